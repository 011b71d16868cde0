"""The commonest case: a folder a class, one command, the counts of plain torch, and every trap on the way."""

import os
import shutil
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from pictures import COLOURS, write_project, write_split
from PIL import Image
from test_cli import one_line
from torchvision import datasets
from torchvision.transforms import v2

from evalkit.datasets.images import decode
from evalkit.result import read_result

PREPROCESS = "{resize: 14, crop: 12, mean: [0.4, 0.5, 0.6], std: [0.2, 0.25, 0.3]}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project in the current folder, and its network."""
    model = write_project(tmp_path / "p")
    monkeypatch.chdir(tmp_path / "p")
    return model


def words(**changes):
    flags = {
        "model": "colours:ColourNet",
        "checkpoint": "best.pth",
        "data": "data/val",
        "classes": "folder:data/train",
        "preprocess": PREPROCESS,
    }
    flags |= changes
    given = [
        word
        for key, value in flags.items()
        if value is not None
        for word in (f"--{key.replace('_', '-')}", value)
    ]
    return ["run", *given, "-o", "out"]


def plain_counts(model, root="data/val"):
    """What a training script computes with torchvision alone."""
    transform = v2.Compose(
        [
            v2.Resize(14, antialias=True),
            v2.CenterCrop(12),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.4, 0.5, 0.6], [0.2, 0.25, 0.3]),
        ]
    )
    data, names = datasets.ImageFolder(root, transform), sorted(COLOURS)
    model.eval()
    counts = np.zeros((len(names), len(names)), int)
    with torch.no_grad():
        for x, y in data:
            counts[names.index(data.classes[y]), model(x[None]).argmax()] += 1
    return counts


def test_one_command_gives_the_counts_of_plain_torch(folder, evalkit):
    """No file, no Python; the preprocessing is torchvision's, and printed."""
    code, _, err = evalkit(*words())
    assert code == 0, err
    assert "RGB, resize 14 (bilinear, antialias), central crop 12, divided by 255, minus mean" in err
    result = read_result_of("out")
    assert result.confusion.matrix.tolist() == plain_counts(folder).tolist()
    assert result.data["modes"] == {"RGB": 24}
    assert len(result.data["input_statistics"]["mean"]) == 3
    ids = pq.read_table("out/predictions.parquet")["sample_id"].to_pylist()
    assert ids[0] == "blue/0.png"


def read_result_of(name):
    return read_result(Path(name))


@pytest.mark.parametrize("n_workers", ["0", "2"])
def test_workers_change_nothing(n_workers, folder, evalkit):
    """Decoding in other processes gives the same pictures."""
    assert evalkit(*words(workers=n_workers))[0] == 0
    assert read_result_of("out").confusion.matrix.tolist() == plain_counts(folder).tolist()


def test_a_missing_class_folder_shifts_no_label(folder, evalkit):
    """Labels are matched by name: the classes after a missing one keep their index."""
    expected = plain_counts(folder)
    for path in (entry for entry in os.scandir("data/val/blue")):
        os.unlink(path)
    os.rmdir("data/val/blue")
    assert evalkit(*words())[0] == 0
    found = read_result_of("out").confusion.matrix
    assert found[1:].tolist() == expected[1:].tolist()
    assert found[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["purple", ".ipynb_checkpoints", "Blue"])
def test_unknown_and_hidden_folders_are_refused(name, folder, evalkit):
    """A stray folder is no class, and never shifts the others."""
    os.mkdir(f"data/val/{name}")
    code, _, err = evalkit(*words())
    assert code == 4
    assert name in one_line_after(err)
    assert "--classes" in err


def one_line_after(err):
    return one_line("\n".join(line for line in err.splitlines() if not line.startswith("preprocessing:")))


def test_stray_files_are_skipped_and_listed(folder, evalkit):
    """Thumbs.db is no picture."""
    open("data/val/red/Thumbs.db", "w").close()
    open("data/val/.DS_Store", "w").close()
    open("data/val/red/clip.gif", "w").close()
    os.mkdir("data/val/red/.cache")
    shutil.copy("data/val/red/0.png", "data/val/red/.cache/0.png")
    assert evalkit(*words())[0] == 0
    skipped = read_result_of("out").data["skipped"]
    assert skipped["n"] == 4
    assert skipped["first"] == [".DS_Store", "red/.cache/0.png", "red/Thumbs.db", "red/clip.gif"]


def bomb(path):
    """A PNG of 20,000 x 20,000 pixels in a few hundred bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def truncated(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def sixteen_bits(path):
    Image.fromarray(np.full((16, 20), 40_000, np.uint16)).save(path)


def sixteen_bit_colour(path):
    """A PNG of 2 x 2 pixels that Pillow would open as RGB of 8 bits."""
    deep_png(path, colour=2)


def sixteen_bit_alpha(path):
    deep_png(path, colour=6)


def deep_png(path, colour):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    channels = {2: 3, 6: 4}[colour]
    rows = b"".join(b"\0" + bytes(2 * 2 * channels) for _ in range(2))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, colour, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def rotated(path):
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif)


def text(path):
    path.write_text("no picture")


def empty(path):
    path.write_bytes(b"")


SPOILED = {
    bomb: "too large",
    truncated: "truncated",
    sixteen_bits: "8 bits",
    sixteen_bit_colour: "has 16 bits a channel",
    sixteen_bit_alpha: "has 16 bits a channel",
    rotated: "EXIF orientation 6",
    text: "cannot identify",
    empty: "cannot identify",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda function: function.__name__)
def test_unreadable_pictures(spoil, folder, evalkit, tmp_path):
    """All are collected; refused with exit 4, or left out, counted and said."""
    base = tmp_path / "p/data/val"
    for name in ("red/3.png", "green/1.png"):
        spoil(base / name)
    code, _, err = evalkit(*words())
    assert code == 4
    line = one_line_after(err)
    assert "2 of 24 cannot be read (green/1.png: " in line
    assert SPOILED[spoil] in line
    assert not os.path.exists("out")
    code, _, _ = evalkit(*words(on_unreadable="exclude"), "--min", "accuracy=0.0")
    result = read_result_of("out")
    assert code == 5  # over 1 %: no gate can be judged
    assert result.n_samples == 22
    assert "excluded:2" in result.signature
    assert result.data["n_unreadable"] == 2
    assert len(pq.read_table("out/predictions.parquet")) == 22


def test_decoding_follows_the_declaration(tmp_path):
    """EXIF rotation ignored or applied, 16 bits kept, every other mode converted as torchvision does."""
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "a.png")
    rotated(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", mode="RGB", exif="ignore").image.size == (6, 4)
    assert decode(tmp_path / "a.png", mode="RGB", exif="apply").image.size == (4, 6)
    sixteen_bits(tmp_path / "b.png")
    assert np.asarray(decode(tmp_path / "b.png", mode="I16", exif="refuse").image).max() == 40_000
    rgba = np.random.default_rng(0).integers(0, 255, (5, 5, 4), np.uint8)
    warnings.simplefilter("ignore")  # torchvision's loader passes Pillow's warnings on
    for mode in ("RGBA", "CMYK", "P", "L", "LA", "1"):
        path = tmp_path / f"{mode}.{'tif' if mode == 'CMYK' else 'png'}"
        Image.fromarray(rgba, "RGBA").convert("RGB" if mode == "CMYK" else "RGBA").convert(mode).save(path)
        decoded = decode(path, mode="RGB", exif="refuse")
        assert decoded.image.tobytes() == datasets.folder.pil_loader(str(path)).tobytes()
        with Image.open(path) as image:
            assert decoded.mode == image.mode


def test_a_library_that_switched_truncation_on_changes_nothing(tmp_path, monkeypatch):
    """LOAD_TRUNCATED_IMAGES would turn half a picture black without a word."""
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    truncated(tmp_path / "a.png")
    with pytest.raises(OSError, match="truncated"):
        decode(tmp_path / "a.png", mode="RGB", exif="refuse")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize("kind", ["loop", "out", "fifo", "class"])
def test_links_and_pipes(kind, folder, evalkit, tmp_path):
    """Exit 4, and no hang."""
    here = tmp_path / "p/data/val/red"
    if kind == "loop":
        (here / "again").symlink_to(here, target_is_directory=True)
    elif kind == "out":
        (here / "x.png").symlink_to(tmp_path / "p/data/train/red/0.png")
    elif kind == "class":
        shutil.rmtree(here)
        here.symlink_to(tmp_path / "p/data/val/green", target_is_directory=True)
    else:
        os.mkfifo(here / "x.png")
    assert evalkit(*words())[0] == 4


@pytest.mark.parametrize("order", [None, "torchvision", "natural"])
def test_numbers_as_names_need_an_order(order, folder, evalkit):
    """ "10" comes before "2" for torchvision, after it for timm; nobody guesses."""
    for split in ("train", "val"):
        for old, new in zip(sorted(COLOURS), ("2", "10", "3"), strict=True):
            os.rename(f"data/{split}/{old}", f"data/{split}/{new}")
    code, _, err = evalkit(*words(class_order=order))
    if order is None:
        assert code == 2
        assert "--class-order torchvision or natural" in err
    else:
        assert code == 0
        expected = ("10", "2", "3") if order == "torchvision" else ("2", "3", "10")
        assert read_result_of("out").class_names == expected


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ("checkpoint:classes", sorted(COLOURS)),
        ("data", sorted(COLOURS)),
        ("[red, green, blue]", ["red", "green", "blue"]),
    ],
)
def test_where_class_names_come_from(classes, expected, folder, evalkit):
    """The checkpoint, the data themselves (said to be assumed), or a list in the model's own order."""
    code, out, _ = evalkit(*words(classes=classes))
    assert code == 0
    result = read_result_of("out")
    assert list(result.class_names) == expected
    assert ("classes:assumed" in result.signature) == (classes == "data")
    assert ("assumed" in out) == (classes == "data")


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ({0: "a", 1: "b", 2: "c"}, "abc"),
        ({"0": "a", "1": "b", "2": "c"}, "abc"),
        ({"c": 2, "a": 0, "b": 1}, "abc"),
    ],
)
def test_names_saved_as_mappings(saved, expected, folder, evalkit):
    """id2label and class_to_idx, whichever way round."""
    state = torch.load("best.pth", weights_only=True)
    torch.save({**state, "names": saved}, "best.pth")
    evalkit(*words(classes="checkpoint:names"))
    code, _, err = evalkit(*words(classes="checkpoint:names"))
    assert code == 4  # the data's folders are not a, b, c: both sides are shown
    assert all(repr(name) in err for name in expected)
    assert evalkit(*words(classes="checkpoint:nmaes"))[0] == 4


def test_images_need_a_preprocessing(folder, evalkit):
    """Nobody guesses a mean."""
    code, _, err = evalkit(*words(preprocess=None))
    assert code == 2
    assert "--preprocess" in one_line_after(err)
    code, _, err = evalkit(*words(preprocess="{resize: 14, crp: 12}"))
    assert code == 2
    assert "did you mean 'crop'" in err
    assert evalkit(*words(preprocess="library"))[0] == 2


def test_preprocessing_by_the_training_script(folder, evalkit):
    """module:object is the one the script uses."""
    with open("transforms.py", "w") as file:
        file.write(
            "import torch\nfrom torchvision.transforms import v2\n"
            "val = v2.Compose([v2.Resize(14, antialias=True), v2.CenterCrop(12), v2.PILToTensor(),\n"
            "    v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])])\n"
        )
    assert evalkit(*words(preprocess="transforms:val"))[0] == 0
    assert read_result_of("out").confusion.matrix.tolist() == plain_counts(folder).tolist()


def test_attributes_are_joined_by_file_name(folder, evalkit):
    """Every row meets an image and every image a row, or exit 4."""
    files = [f"{name}/{i}.png" for name in COLOURS for i in range(8)]
    with open("meta.csv", "w") as file:
        file.write("file_name,camera\n" + "".join(f"{name},c{i % 2}\n" for i, name in enumerate(files)))
    assert evalkit(*words(attributes="meta.csv"))[0] == 0
    table = pq.read_table("out/predictions.parquet").to_pydict()
    assert dict(zip(table["sample_id"], table["camera"], strict=True))["green/1.png"] == "c1"
    with open("meta.csv", "a") as file:
        file.write("green/99.png,c1\n")
    code, _, err = evalkit(*words(attributes="meta.csv"))
    assert code == 4
    assert "1 rows without an image: green/99.png" in err


def test_sizes_that_differ_need_a_crop(folder, evalkit, tmp_path):
    """Ragged tensors are refused with the file."""
    Image.new("RGB", (31, 16)).save(tmp_path / "p/data/val/red/0.png")
    code, _, err = evalkit(*words(preprocess="{resize: 14}"))
    assert code == 4
    assert "Set a crop" in err


@pytest.mark.parametrize("path", ["data/none", "notes.txt", "a b:c"])
def test_data_that_nobody_knows(path, folder, evalkit):
    """Neither a folder nor a known file nor module:callable."""
    open("notes.txt", "w").close()
    assert evalkit(*words(data=path))[0] == 2


def test_the_first_command_becomes_a_file(folder, evalkit):
    """--write-spec saves what was said; the file alone gives the same result."""
    assert evalkit(*words(), "--min", "accuracy=0.0", "--write-spec", "ci/eval.yaml")[0] == 0
    first = read_result_of("out")
    assert yaml.safe_load(Path("ci/eval.yaml").read_text())["gates"] == [{"metric": "accuracy", "min": 0.0}]
    os.rename("colours.py", "ci/colours.py")
    assert evalkit("run", "ci/eval.yaml", "-o", "out")[0] == 0
    assert read_result_of("out").counts == first.counts


TABLE = [(f"{name}/{i}.png", name, i) for name in COLOURS for i in range(8)]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_of_paths(suffix, folder, evalkit):
    """The same pictures through a table give the same counts."""
    import pandas as pd

    frame = pd.DataFrame(TABLE, columns=["path", "colour", "age"])
    if suffix == "csv":
        with open("t.csv", "w", newline="\r\n", encoding="utf-8-sig") as file:
            frame.to_csv(file, index=False)
    else:
        frame.to_parquet("t.parquet")
    settings = [
        "--set",
        "data.image=path",
        "--set",
        "data.label=colour",
        "--set",
        "data.root=data/val",
        "--set",
        "data.attributes=[age]",
    ]
    code, _, err = evalkit(*words(data=f"t.{suffix}"), *settings)
    assert code == 0, err
    assert read_result_of("out").confusion.matrix.tolist() == plain_counts(folder).tolist()
    assert pq.read_table("out/predictions.parquet")["age"].to_pylist()[:3] == [0, 1, 2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../train/red/0.png,red,1", "leaves"),
        ("/etc/passwd,red,1", "leaves"),
        ("red/0.png,rde,1", r"did you mean 'red'"),
        ("red/0.png,,1", "labels are missing (rows 24)"),
        ("red/0.png,red,1", "unique"),
    ],
)
def test_rows_that_are_refused(row, message, folder, evalkit):
    """Exit 4 with the row."""
    with open("t.csv", "w") as file:
        file.write("path,colour,age\n" + "".join(f"{a},{b},{c}\n" for a, b, c in TABLE) + row + "\n")
    settings = ["--set", "data.image=path", "--set", "data.label=colour", "--set", "data.root=data/val"]
    code, _, err = evalkit(*words(data="t.csv"), *settings)
    assert code == 4
    assert message in err


def test_tables_of_features(project, evalkit, tmp_path):
    """Numeric columns in the model's order; labels by index or by name."""
    project.write_data()
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "npz")[0] == 0
    expected = read_result(tmp_path / "npz").counts
    for kind in ("index", "name"):
        with open(project.path / "t.csv", "w") as file:
            file.write("a,b,c,d,y\n")
            for x, y in zip(project.x, project.y, strict=True):
                label = y if kind == "index" else f"class {y}"
                file.write(",".join(repr(float(value)) for value in x) + f",{label}\n")
        data = {"source": "table", "path": "t.csv", "features": ["a", "b", "c", "d"], "label": "y"}
        project.write_spec(data=data)
        code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / kind)
        assert code == 0, err
        assert read_result(tmp_path / kind).counts == expected


DATASET = """
import numpy as np, torch
from torch.utils.data import Dataset, IterableDataset

class Items(Dataset):
    def __init__(self, form):
        self.form, self.z = form, np.load({path!r})
    def __len__(self):
        return len(self.z["y"])
    def __getitem__(self, i):
        x, y = torch.from_numpy(self.z["x"][i]), int(self.z["y"][i])
        return {{"pair": (x, y), "triple": (x, y, {{"even": i % 2}}), "mapping": {{"x": x, "label": y}},
                "tuple": ((x,), y)}}[self.form]

def pair(): return Items("pair")
def triple(): return Items("triple")
def mapping(): return Items("mapping")
def tuple_(): return Items("tuple")

class Stream(IterableDataset):
    def __iter__(self):
        yield from ()
def stream(): return Stream()
def broken(): raise RuntimeError("no data today")
"""


@pytest.mark.parametrize("form", ["pair", "triple", "mapping", "tuple_"])
def test_datasets_of_ones_own(form, project, evalkit, tmp_path):
    """Items as pairs, triples or mappings give the counts of the same arrays."""
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "npz")[0] == 0
    (project.path / "mydata.py").write_text(DATASET.format(path=str(project.path / "test.npz")))
    project.write_spec(data={"source": "factory", "path": f"mydata:{form}"})
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o")
    assert code == 0, err
    found, expected = read_result(tmp_path / "o"), read_result(tmp_path / "npz")
    assert found.counts == expected.counts
    assert found.digests["data"] == expected.digests["data"]
    if form == "triple":
        assert "even" in pq.read_table(tmp_path / "o/predictions.parquet").column_names


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [("stream", 4, "iterable"), ("broken", 2, "no data today"), ("none", 2, "no 'none'")],
)
def test_datasets_that_cannot_be_walked(name, code, message, project, evalkit, tmp_path):
    """Refused with the ways out."""
    (project.path / "mydata.py").write_text(DATASET.format(path=str(project.path / "test.npz")))
    project.write_spec(data={"source": "factory", "path": f"mydata:{name}"})
    found, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o")
    assert found == code
    assert message in err


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_library_models(library, folder, evalkit):
    """Built offline with the number of classes, filled from the checkpoint."""
    pytest.importorskip(library, reason=f"needs the extra of {library}")
    import importlib

    module = importlib.import_module(library)
    torch.manual_seed(0)
    if library == "timm":
        factory, model = "timm:resnet10t", module.create_model("resnet10t", num_classes=3)
    else:
        factory, model = "torchvision:squeezenet1_1", module.models.squeezenet1_1(num_classes=3)
    torch.save(model.state_dict(), "lib.pth")
    preprocess = "{resize: 40, crop: 32, mean: [0.4, 0.5, 0.6], std: [0.2, 0.25, 0.3]}"
    code, _, err = evalkit(*words(model=factory, checkpoint="lib.pth", preprocess=preprocess))
    assert code == 0, err
    assert read_result_of("out").n_samples == 24
    code, _, err = evalkit(*words(model=factory + "x", checkpoint="lib.pth"))
    assert code == 2
    assert "did you mean" in err


def test_weights_entries_differ_in_preprocessing(folder, evalkit):
    """`library` needs the entry, else the entries are listed."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    torch.save(resnet18(num_classes=3).state_dict(), "r.pth")
    code, _, err = evalkit(*words(model="torchvision:resnet18", checkpoint="r.pth", preprocess="library"))
    assert code == 2
    assert "torchvision:resnet18/IMAGENET1K_V1 (resize [256], crop [224], 69.758 % on ImageNet)" in err
    code, _, err = evalkit(
        *words(model="torchvision:resnet18/IMAGENET1K_V1", checkpoint="r.pth", preprocess=None)
    )
    assert code == 0, err
    assert "library: ImageClassification( crop_size=[224]" in err
    assert evalkit(*words(model="torchvision:resnet18/V9", checkpoint="r.pth", preprocess="library"))[0] == 2


def test_wrong_keys_for_a_source(folder, evalkit):
    """A key that the source does not have is refused, never ignored."""
    code, _, err = evalkit(*words(), "--set", "data.image=path")
    assert code == 2
    assert "data.image: belongs to another source" in err


def test_helpers_write_what_they_say(tmp_path):
    """The fixture's pictures are pictures."""
    write_split(tmp_path, n=1)
    with Image.open(tmp_path / "red/0.png") as image:
        assert image.size == (20, 16)


def save_with(preprocess, factory="torchvision:squeezenet1_1", **more):
    from torchvision.models import squeezenet1_1

    from evalkit import save_checkpoint

    torch.manual_seed(0)
    model = squeezenet1_1(num_classes=3)
    save_checkpoint(
        "best.safetensors", model, factory=factory, classes=sorted(COLOURS), preprocess=preprocess, **more
    )
    return model


def test_a_checkpoint_that_says_what_it_is(folder, evalkit):
    """Training and evaluation share one declaration: checkpoint and data are enough."""
    model = save_with({"resize": 40, "crop": 32, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]})
    code, _, err = evalkit("run", "--checkpoint", "best.safetensors", "--data", "data/val", "-o", "out")
    assert code == 0, err
    result = read_result_of("out")
    assert result.class_names == ("blue", "green", "red")
    assert result.spec["model"]["factory"] == "torchvision:squeezenet1_1"
    assert "central crop 32" in result.model["preprocessing"]
    assert result.model["n_parameters"] == sum(value.numel() for value in model.parameters())


def test_what_was_said_wins_over_what_the_file_says(folder, evalkit):
    """A flag replaces a declaration."""
    save_with({"resize": 40, "crop": 32})
    flags = ["--preprocess", "{resize: 50, crop: 48}", "--classes", "[x, y, z]"]
    code, _, err = evalkit(
        "run", "--checkpoint", "best.safetensors", "--data", "data/val", *flags, "-o", "out"
    )
    assert code == 4  # the folders are no x, y, z
    assert "'x', 'y', 'z'" in err


@pytest.mark.parametrize(
    ("factory", "preprocess", "words"),
    [
        ("surprise:build", None, "--model surprise:build"),
        ("surprise:build", "surprise:val", "--model surprise:build --preprocess surprise:val"),
        ("torchvision:squeezenet1_1", "surprise:val", "--preprocess surprise:val"),
    ],
)
def test_code_that_a_file_names_is_never_imported(factory, preprocess, words, folder, evalkit):
    """Exit 2 with the flags to paste; the module beside it is not touched."""
    Path("surprise.py").write_text("open('marker', 'w')")
    save_with(preprocess, factory=factory)
    code, _, err = evalkit("run", "--checkpoint", "best.safetensors", "--data", "data/val", "-o", "out")
    assert code == 2
    assert words in one_line_after(err)
    assert not os.path.exists("marker")


def test_a_declaration_that_is_no_declaration(folder, evalkit):
    """Damaged metadata and impossible values are refused with the file's name."""
    import safetensors.torch

    for text, code in (
        ("{", 4),
        ('{"factory": 3}', 4),
        ('{"factory": "torchvision:resnet18", "preprocess": {"crp": 3}}', 2),
    ):
        safetensors.torch.save_file({"w": torch.ones(1)}, "best.safetensors", metadata={"evalkit": text})
        words = (
            "run",
            "--checkpoint",
            "best.safetensors",
            "--data",
            "data/val",
            "--classes",
            "data",
            "-o",
            "out",
        )
        found, _, err = evalkit(*words)
        assert found == code
        assert "best.safetensors" in err


def test_preprocessing_from_the_checkpoint(folder, evalkit):
    """What the training loop saved beside its weights."""
    state = torch.load("best.pth", weights_only=True)
    state["config"] = {"input": {"resize": 14, "crop": 12, "mean": (0.4, 0.5, 0.6), "std": [0.2, 0.25, 0.3]}}
    torch.save(state, "best.pth")
    code, _, err = evalkit(*words(preprocess="checkpoint:config.input"))
    assert code == 0, err
    assert read_result_of("out").confusion.matrix.tolist() == plain_counts(folder).tolist()
    assert evalkit(*words(preprocess="checkpoint:config.inptu"))[0] == 4
    assert evalkit(*words(preprocess="checkpoint:classes"))[0] == 2


def test_the_page_shows_the_flow_of_samples(folder, evalkit):
    """Found, skipped, unreadable, evaluated; preprocessing heads the data card; assumptions stand on top."""
    open("data/val/red/Thumbs.db", "w").close()
    text(Path("data/val/red/3.png"))
    code, out, _ = evalkit(*words(classes="data", on_unreadable="exclude"))
    assert code == 0
    assert "1 of 24 samples could not be read and were left out" in out
    assert "Class names were assumed from the data itself" in out
    page = Path("out/report.html").read_text()
    assert "25 found, 1 skipped, 1 unreadable, 23 evaluated" in page
    assert page.index("RGB, resize 14") < page.index("25 found")
    assert "Input mean" in page


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        (("NA", "None", "null"), ["NA", "null", "None"], [0, 2, 1]),
        (("01", "02", "10"), ["10", "01", "01"], [2, 0, 0]),
        (("a", "b", "c"), ["2", "0", "1"], [2, 0, 1]),
        (("0", "1", "2"), ["2", "0", "1"], [2, 0, 1]),
        (("2", "1", "0"), ["2", "0", "1"], None),
        (("10", "20", "30"), ["0", "1", "2"], None),
        (("true", "false", "1e3"), ["1e3", "true", "false"], [2, 0, 1]),
    ],
)
def test_labels_of_a_csv_are_taken_as_they_are_written(names, labels, expected, tmp_path):
    """NA, 01 and true are names; integers are indices; what could be both is asked."""
    from evalkit.datasets.preprocess import Preprocessing
    from evalkit.datasets.tables import Columns, open_table
    from evalkit.errors import SpecificationError

    (tmp_path / "t.csv").write_text("f,id,y\n" + "".join(f"1.5,00{i},{y}\n" for i, y in enumerate(labels)))
    columns = Columns("y", None, ["f"], "id", [], tmp_path)
    arguments = (tmp_path / "t.csv", columns, names, Preprocessing(None, ""))
    if expected is None:
        with pytest.raises(SpecificationError, match="names or indices"):
            open_table(*arguments)
        return
    source = open_table(*arguments)
    assert source.y.tolist() == expected
    assert source.ids == ("000", "001", "002")


def test_timm_preprocessing_is_asked_for_or_named(folder, evalkit):
    """The architecture alone says nothing about the training; `library` or a weights tag does."""
    timm = pytest.importorskip("timm", reason="needs the extra timm")
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet10t", num_classes=3).state_dict(), "t.pth")
    given = {"checkpoint": "t.pth"}
    assert evalkit(*words(model="timm:resnet10t", preprocess=None, **given))[0] == 2
    code, _, err = evalkit(*words(model="timm:resnet10t", preprocess="library", **given))
    assert code == 0, err
    code, _, err = evalkit(*words(model="timm:resnet10t.c3_in1k", preprocess=None, **given))
    assert code == 0, err
    assert "library: Compose(" in err


def test_too_few_names_for_the_checkpoints_head(folder, evalkit):
    """Names taken from data that lack a class do not fit, and the message says so in numbers."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    torch.save(
        {"model": {f"module.{k}": v for k, v in resnet18(num_classes=5).state_dict().items()}}, "r.pth"
    )
    code, _, err = evalkit(*words(model="torchvision:resnet18", checkpoint="r.pth", classes="data"))
    assert code == 2
    assert "the checkpoint's head has 5 outputs, but 3 class names are declared (data)" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("f,y\n1,a,9\n2,b,9\n", "Expected 2 columns, got 3"),
        ("f,y\n1,a\n2,b,9\n", "Row #3: Expected 2 columns, got 3"),
        ("f,y\n1,a\n2\n", "Row #3: Expected 2 columns, got 1"),
        ("f,y,f\n1,a,2\n", "the column 'f' stands twice"),
        ("f,y\n1,a\n,b\n", "missing features"),
        ("f,y\n", "holds no samples"),
        ("", "cannot be read"),
    ],
)
def test_a_csv_whose_rows_do_not_fit_its_header(content, message, tmp_path):
    """A field too many would move every column by one."""
    from evalkit.datasets.preprocess import Preprocessing
    from evalkit.datasets.tables import Columns, open_table
    from evalkit.errors import DataError

    (tmp_path / "t.csv").write_text(content)
    columns = Columns("y", None, ["f"], None, [], tmp_path)
    with pytest.raises(DataError, match=message):
        open_table(tmp_path / "t.csv", columns, ("a", "b"), Preprocessing(None, ""))


def test_a_number_column_may_turn_late_into_another(tmp_path):
    """Types are those of the whole column, not of its first megabyte."""
    from evalkit.datasets.tables import read_table

    lines = [f"{i},text" for i in range(200_000)]
    (tmp_path / "t.csv").write_text("f,t\n" + "\n".join(lines) + '\n0.5,"two\nlines"\n')
    frame = read_table(tmp_path / "t.csv")
    assert len(frame) == 200_001
    assert frame["f"].iloc[-1] == 0.5
    assert frame["t"].iloc[-1] == "two\nlines"


@pytest.mark.parametrize("cell", ["", "nan"])
def test_an_image_without_a_path(cell, folder, evalkit):
    """An empty cell is no file; one named nan would be."""
    with open("t.csv", "w") as file:
        file.write(f"path,colour\nred/0.png,red\n{cell},red\n")
    settings = ["--set", "data.image=path", "--set", "data.label=colour", "--set", "data.root=data/val"]
    code, _, err = evalkit(*words(data="t.csv"), *settings)
    assert code == 4
    assert ("'path' is missing in 1 rows (1)" if not cell else "nan: No such file") in err


def test_an_attribute_may_be_empty(folder, evalkit):
    """A blank cell of text is a value like any other."""
    with open("meta.csv", "w") as file:
        file.write("file_name,site\n")
        file.writelines(f"{name}/{i}.png,{'A' if i else ''}\n" for name in COLOURS for i in range(8))
    code, _, err = evalkit(*words(attributes="meta.csv"))
    assert code == 0, err
    assert pq.read_table("out/predictions.parquet")["site"].to_pylist()[:2] == ["", "A"]


def test_variables_in_the_data_flag(folder, evalkit, monkeypatch):
    """What ${NAME} stands for decides the source."""
    monkeypatch.setenv("DATA", "data")
    assert evalkit(*words(data="${DATA}/val"))[0] == 0


def test_numbers_as_names_of_a_table(project, evalkit, tmp_path, monkeypatch):
    """Parquet integers that could be names or indices are refused, 1-based names are not."""
    import pandas as pd

    from evalkit.datasets.preprocess import Preprocessing
    from evalkit.datasets.tables import Columns, open_table
    from evalkit.errors import SpecificationError

    pd.DataFrame({"f": [1.0, 2.0, 3.0], "y": [1, 2, 3]}).to_parquet(tmp_path / "t.parquet")
    columns = Columns("y", None, ["f"], None, [], tmp_path)
    arguments = (tmp_path / "t.parquet", columns)
    source = open_table(*arguments, ("1", "2", "3"), Preprocessing(None, ""))
    assert source.y.tolist() == [0, 1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert source.batch(np.arange(3)).inputs[0].shape == (3, 1)
    with pytest.raises(SpecificationError, match="names or indices"):
        open_table(*arguments, ("1", "0", "x", "y"), Preprocessing(None, ""))


@pytest.mark.parametrize("name", ["y_pred", "index", "score_0", "top_1"])
def test_attributes_never_replace_the_ledgers_own_columns(name, folder, evalkit):
    """In a joined table and in a table of samples."""
    with open("meta.csv", "w") as file:
        file.write(f"file_name,{name}\n")
        file.writelines(f"{colour}/{i}.png,2\n" for colour in COLOURS for i in range(8))
    code, _, err = evalkit(*words(attributes="meta.csv"))
    assert code == 4
    assert "one of the ledger's own columns" in err


@pytest.mark.parametrize("odd", [".", "..", "", "red/", "/"])
def test_a_class_whose_name_is_a_path_has_no_folder(odd, folder, evalkit):
    """No file is evaluated twice."""
    names = str(["blue", "green", odd, "red"])
    model = write_project(Path("other"), num_classes=4)
    del model
    code, _, err = evalkit(*words(classes=names, checkpoint="other/best.pth", model_args="{num_classes: 4}"))
    assert code == 0, err
    assert read_result_of("out").n_samples == 24


@pytest.mark.parametrize(
    "names", [["10", "2", "other"], ["-1", "-10", "-2"], ["1.5", "10.5", "2.5"], ["1_a", "10_b", "2_c"]]
)
def test_number_like_names_need_an_order(names, folder, evalkit):
    """As soon as the two libraries would order them differently."""
    for split in ("train", "val"):
        for old, new in zip(COLOURS, names, strict=True):
            os.rename(f"data/{split}/{old}", f"data/{split}/{new}")
    code, _, err = evalkit(*words())
    assert code == 2
    assert "--class-order torchvision or natural" in err


def test_natural_order_is_timms(tmp_path):
    """Upper and lower case are the same to it."""
    from timm.data.readers.reader_image_folder import find_images_and_targets

    from evalkit.checkpoints.contract import _natural_key

    for name in ("Bear", "ant1", "Ant10", "ant2"):
        (tmp_path / name).mkdir()
        Image.new("L", (2, 2)).save(tmp_path / name / "0.png")
    _, index = find_images_and_targets(str(tmp_path))
    names = sorted(index, key=_natural_key)
    assert names == sorted(index, key=index.get) == ["ant1", "ant2", "Ant10", "Bear"]


def test_what_a_file_says_of_the_model_that_was_pasted(folder, evalkit):
    """The flags that evalkit prints mean the file's own model: its output and arguments hold."""
    import evalkit as library

    declared = {"factory": "colours:ColourNet", "classes": sorted(COLOURS), "args": {"num_classes": 3}}
    library.save_checkpoint("best.safetensors", folder, output="scores", **declared)
    code, _, err = evalkit(
        *words(checkpoint="best.safetensors", model="colours:ColourNet", classes=None), "--min", "accuracy=0"
    )
    assert code == 0, err
    result = read_result_of("out")
    assert result.spec["model"]["output"] == "scores"
    assert result.spec["model"]["args"] == {"num_classes": 3}


def test_the_word_data_is_no_path(folder, evalkit):
    """Beside a folder of that name: the written file means the same."""
    assert evalkit(*words(classes="data"), "--write-spec", "ci/e.yaml")[0] == 0
    assert yaml.safe_load(Path("ci/e.yaml").read_text())["model"]["classes"] == "data"


def test_a_file_name_that_is_no_text(folder, evalkit):
    """Its bytes are escaped in every document."""
    shutil.copy(b"data/val/red/0.png", b"data/val/red/\xff.png")
    code, _, err = evalkit(*words())
    assert code == 0, err
    assert "red/\\udcff.png" in pq.read_table("out/predictions.parquet")["sample_id"].to_pylist()


def test_a_dangling_link_is_unreadable_like_any_file(folder, evalkit):
    """Collected with the others, and left out where that was asked for."""
    os.symlink("none.png", "data/val/red/x.png")
    code, _, err = evalkit(*words())
    assert code == 4
    assert "1 of 25 cannot be read (red/x.png: No such file or directory)" in one_line_after(err)
    assert evalkit(*words(on_unreadable="exclude"))[0] == 0


@pytest.mark.parametrize(
    "model", ["timm:hf_hub:timm/resnet18.a1_in1k", "torchvision:fcn_resnet50", "timm:resnet81"]
)
def test_libraries_stay_offline(model, folder, evalkit):
    """Only classifiers by name; nothing that would be downloaded."""
    code, _, err = evalkit(*words(model=model))
    assert code == 2
    assert "has no classifier" in err


def test_thirty_two_bits_are_not_sixteen(tmp_path):
    """Dividing them by 65,535 would be another picture."""
    Image.fromarray(np.full((3, 3), 1 << 20, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="32 bits"):
        decode(tmp_path / "a.tif", mode="I16", exif="refuse")
    Image.fromarray(np.full((3, 3), 40_000, np.uint16)).save(tmp_path / "b.tif")
    assert np.asarray(decode(tmp_path / "b.tif", mode="I16", exif="refuse").image).max() == 40_000


@pytest.mark.parametrize("values", [["1", "2"], ["1_000", "2"]])
def test_features_are_numbers(values, tmp_path):
    """Text that looks like numbers, and dates, are none."""
    import pandas as pd

    from evalkit.datasets.preprocess import Preprocessing
    from evalkit.datasets.tables import Columns, open_table
    from evalkit.errors import DataError

    for column in (values, pd.to_datetime(["2026-01-01", "2026-01-02"])):
        pd.DataFrame({"f": column, "y": ["a", "b"]}).to_parquet(tmp_path / "t.parquet")
        with pytest.raises(DataError, match="'f' holds no numbers"):
            open_table(
                tmp_path / "t.parquet",
                Columns("y", None, ["f"], None, [], tmp_path),
                ("a", "b"),
                Preprocessing(None, ""),
            )


def test_one_image_has_one_spelling(folder, evalkit):
    """The same file twice is a repeated id."""
    with open("t.csv", "w") as file:
        file.write("path,colour\nred/0.png,red\nblue/../red/0.png,red\n")
    settings = ["--set", "data.image=path", "--set", "data.label=colour", "--set", "data.root=data/val"]
    code, _, err = evalkit(*words(data="t.csv"), *settings)
    assert code == 4
    assert "unique" in err


@pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", "vgg11", "efficientnet_b0", "squeezenet1_0", "resnet18"]
)
def test_heads_are_found_by_name(name):
    """So that a wrong number of names is said, not weights that do not fit."""
    from torchvision import models

    from evalkit.checkpoints.library import head_width

    with torch.device("meta"):
        model = models.get_model(name, weights=None, num_classes=7)
    assert head_width([model.state_dict()]) == 7

"""Folders that Hugging Face transformers wrote: model, names and preprocessing from the folder, offline."""

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evalkit.result import read_result

if os.environ.get("CI") == "true":
    import transformers
else:
    transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

NAMES = ["bird", "cat", "dog"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A small ViT with its processor, twelve pictures in class folders, and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was asked"))
    rng = np.random.default_rng(0)
    for name in NAMES:
        (tmp_path / "val" / name).mkdir(parents=True)
        for k in range(4):
            pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "val" / name / f"{k}.png")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32,
        patch_size=8, id2label=dict(enumerate(NAMES)), label2id={name: k for k, name in enumerate(NAMES)},
    )  # fmt: skip
    save(transformers.ViTForImageClassification(config).eval(), tmp_path / "vit")
    return tmp_path


def save(model, path, **options):
    model.save_pretrained(path, **options)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(path)


def plain_counts(folder):
    """What a loop over transformers' own objects counts."""
    model = transformers.AutoModelForImageClassification.from_pretrained(folder / "vit").eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder / "vit")
    counts = np.zeros((3, 3), int)
    for path in sorted((folder / "val").glob("*/*.png")):
        pixels = processor(images=Image.open(path), return_tensors="pt")
        with torch.no_grad():
            said = model(**pixels).logits.argmax(1).item()
        counts[NAMES.index(path.parent.name), said] += 1
    return counts


RUN = ("run", "--model", "transformers:vit", "--data", "val", "-o", "out", "--quiet")


def test_counts_are_those_of_transformers(folder, evalkit):
    """Nothing but the folder and the data is named."""
    code, _, err = evalkit(*RUN)
    assert code == 0, err
    result = read_result(Path("out"))
    assert np.array_equal(result.counts, plain_counts(folder))
    assert result.class_names == tuple(NAMES)
    assert "ViTImageProcessor" in result.model["preprocessing"]
    assert result.model["format"] == "safetensors"
    assert result.digests["weights"] == result.model["sha256"]


def test_shards_and_other_types(folder, evalkit):
    """Weights in several files, in half precision: converted, and said."""
    model = transformers.AutoModelForImageClassification.from_pretrained(folder / "vit")
    (folder / "vit/model.safetensors").unlink()
    save(model.half(), folder / "vit", max_shard_size="40KB")
    code, _, err = evalkit(*RUN)
    assert code == 0, err
    facts = read_result(Path("out")).model
    assert facts["format"] == "sharded safetensors"
    assert list(facts["casts"]) == ["float16 -> float32"]


def test_a_specification_elsewhere_finds_the_folder(folder, evalkit):
    """Paths in a file are relative to it; --write-spec rewrites them."""
    code, _, err = evalkit(*RUN, "--write-spec", "specs/eval.yaml")
    assert code == 0, err
    assert "transformers:../vit" in Path("specs/eval.yaml").read_text()
    assert evalkit("run", "specs/eval.yaml", "-o", "again", "--quiet")[0] == 0


def spoil(change):
    def apply(folder):
        from safetensors.torch import load_file, save_file

        state = load_file(folder / "vit/model.safetensors")
        change(state)
        save_file(state, folder / "vit/model.safetensors")

    return apply


def configure(**changes):
    def apply(folder):
        path = folder / "vit/config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return apply


WRONG = {
    "a weight missing": (spoil(lambda s: s.pop("classifier.bias")), 4, "1 missing: classifier.bias"),
    "one too many": (spoil(lambda s: s.update(extra=torch.ones(1))), 4, "1 unexpected: extra"),
    "another shape": (spoil(lambda s: s.update({"classifier.bias": torch.ones(4)})), 4, "do not fit"),
    "not a number": (spoil(lambda s: s["classifier.bias"].fill_(float("nan"))), 4, "NaN or infinite"),
    "code of its own": (configure(auto_map={"AutoModel": "evil.Net"}), 2, "names code of its own"),
    "no configuration": (lambda f: (f / "vit/config.json").unlink(), 4, "config.json: cannot be read"),
    "no processor": (lambda f: (f / "vit/preprocessor_config.json").unlink(), 2, "processor.save_pretrained"),
    "no weights": (lambda f: (f / "vit/model.safetensors").unlink(), 2, "model.checkpoint: is required"),
    "names with a hole": (configure(id2label={"0": "a", "2": "b"}), 4, "id2label"),
    "unknown architecture": (configure(model_type="nothing"), 2, "raised"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused(case, folder, evalkit):
    """Nothing is left random, no code of the folder runs, and each mistake has its sentence."""
    change, code, message = WRONG[case]
    change(folder)
    found, _, err = evalkit(*RUN)
    assert (found, message in err) == (code, True), err


def test_a_file_cannot_name_a_folder(folder, evalkit):
    """A checkpoint's metadata may name a library's model, not a place on this machine."""
    from safetensors.torch import load_file, save_file

    declared = json.dumps({"factory": "transformers:vit", "classes": NAMES})
    state = load_file("vit/model.safetensors")
    save_file(state, "c.safetensors", metadata={"evalkit": declared})
    code, _, err = evalkit("run", "--checkpoint", "c.safetensors", "--data", "val", "-o", "out")
    assert code == 2
    assert "--model transformers:vit" in err

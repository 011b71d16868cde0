"""Samples that a reader wants to see: chosen, pictured, kept out where that was said."""

import json
import re

import numpy as np
import pytest
from pictures import write_project

import evalkit as library
from evalkit.datasets import NpzSource
from evalkit.errors import DocumentError
from evalkit.gallery import GalleryRow, read_gallery, write_gallery
from evalkit.picking import MAX_SHOWN, pick
from evalkit.showing import are_images, shown


def scored(tmp_path, y, p, **options):
    library.score(
        y,
        y_score=p,
        output="probabilities",
        class_names=["a", "b", "c"],
        ids=[f"s{i}" for i in range(len(y))],
        **options,
    ).save(tmp_path / "run")
    return tmp_path / "run/predictions.parquet"


def confident(n=600, seed=0):
    """A good model: labels, and probabilities that are mostly sure of them."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    p = rng.dirichlet(np.ones(3), n) * 0.2 + 0.8 * np.eye(3)[y]
    return rng, y, p


def test_planted_label_errors_are_found(tmp_path):
    """Ten labels of 600 are wrong; the model knows better."""
    rng, y, p = confident()
    planted = rng.choice(600, 10, replace=False)
    y[planted] = (y[planted] + 1) % 3
    rows, positions = pick(scored(tmp_path, y, p))
    suspected = {row.sample_id for row in rows if "label" in row.why}
    assert suspected == {f"s{i}" for i in planted}
    assert [row.sample_id for row in rows] == [f"s{i}" for i in positions]


def test_mistakes_near_misses_and_pairs(tmp_path):
    """The surest mistake first; the closest call; some of each commonest confusion."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 500)
    p = rng.dirichlet(np.ones(3), 500) * 0.6 + 0.4 * np.eye(3)[y]
    rows, _ = pick(scored(tmp_path, y, p.astype(np.float32)))
    wrong = p.argmax(axis=1) != y
    surest = np.flatnonzero(wrong)[np.argmax(p.max(axis=1)[wrong])]
    assert rows[0].sample_id == f"s{surest}"
    assert rows[0].why[0] == "confident"
    ordered = np.sort(p, axis=1)
    closest = int(np.argmin(ordered[:, 2] - ordered[:, 1]))
    assert any(row.sample_id == f"s{closest}" and "margin" in row.why for row in rows)
    cells = np.bincount((y * 3 + p.argmax(axis=1))[wrong], minlength=9)
    true, said = divmod(int(cells.argmax()), 3)
    assert any(f"pair:{true}:{said}" in row.why for row in rows)
    assert len(rows) <= MAX_SHOWN
    assert len({row.sample_id for row in rows}) == len(rows)


def test_flips_are_shown(tmp_path):
    """Samples that the baseline had right, where they are in the table."""
    _, y, p = confident(100)
    rows, _ = pick(scored(tmp_path, y, p), ["s5", "s7", "elsewhere"])
    assert {row.sample_id for row in rows if "flip" in row.why} == {"s5", "s7"}


def test_labels_without_scores_choose_pairs_only(tmp_path):
    """Nothing is sure of anything."""
    y = np.repeat([0, 1, 2], 20)
    library.score(y, np.roll(y, 1), class_names=["a", "b", "c"]).save(tmp_path / "run")
    rows, _ = pick(tmp_path / "run/predictions.parquet")
    assert rows
    assert all(why.startswith("pair:") for row in rows for why in row.why)


@pytest.mark.parametrize(
    ("shape", "kind"), [((1, 8, 8), "webp"), ((3, 200, 100), "webp"), ((30,), "values"), ((2, 50), "values")]
)
def test_pictures_and_values(shape, kind):
    """At most 96 pixels; other samples as at most 256 numbers."""
    import io

    from PIL import Image

    x = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    source = NpzSource(x, np.zeros(4, np.int64), None, {})
    rows = [GalleryRow(str(i), ("confident",), (0,), (1,), 0.9, 0.1) for i in range(2)]
    found = shown(source, rows, [0, 3])
    assert [row.kind for row in found] == [kind, kind]
    assert are_images(source) == (kind == "webp")
    if kind == "webp":
        assert max(Image.open(io.BytesIO(found[0].content)).size) == 96
    else:
        assert np.allclose(np.frombuffer(found[1].content, "<f4"), x[3].reshape(-1)[: x[3].shape[-1]])


def test_a_sample_that_fails_has_no_picture():
    """It was measured already; the page goes without."""

    class Broken(NpzSource):
        def batch(self, index):
            raise OSError("gone")

    source = Broken(np.zeros((2, 3), np.float32), np.zeros(2, np.int64), None, {})
    (row,) = shown(source, [GalleryRow("s", ("margin",), (0,), (0,), None, None)], [0])
    assert (row.kind, row.content) == ("", b"")


def test_the_document_survives_its_own_file(tmp_path):
    """What is written is what is read; what is no gallery is refused."""
    rows = (
        GalleryRow("a", ("confident", "pair:0:1"), (0,), (1,), 0.5, 0.25, "webp", b"RIFF-webp"),
        GalleryRow("b", ("margin",), (0, 2), (), None, None),
    )
    write_gallery(tmp_path / "gallery.parquet", rows)
    assert read_gallery(tmp_path) == rows
    (tmp_path / "gallery.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DocumentError):
        read_gallery(tmp_path)
    assert read_gallery(tmp_path / "nowhere") == ()


@pytest.fixture
def pictured(tmp_path, evalkit):
    """A run over picture files, with thumbnails."""
    write_project(tmp_path / "p")
    words = (
        "run", "--model", "colours:ColourNet", "--checkpoint", tmp_path / "p/best.pth",
        "--data", tmp_path / "p/data/val", "--classes", "checkpoint:classes", "--preprocess", "{mode: RGB}",
        "--quiet",
    )  # fmt: skip

    def run(name, *more):
        import os

        before = os.getcwd()
        os.chdir(tmp_path / "p")
        try:
            code, out, err = evalkit(*words, "-o", tmp_path / name, *more)
        finally:
            os.chdir(before)
        assert code == 0, err
        return tmp_path / name

    return run


def test_what_a_run_keeps_of_samples(pictured):
    """Names by default off a terminal; pictures where they are asked for; nothing where that is said."""
    ids = pictured("ids")
    assert b"data:image/webp" not in (ids / "report.html").read_bytes()
    assert all(row.kind == "" for row in read_gallery(ids))
    page = (pictured("thumbnails", "--samples", "thumbnails") / "report.html").read_text()
    n = int(re.search(r"This page holds (\d+) pictures and (\d+) sample names", page)[1])
    assert n == page.count("data:image/webp") > 0
    nothing = pictured("none", "--samples", "none")
    assert not (nothing / "gallery.parquet").exists()
    assert "no samples" in (nothing / "report.html").read_text()


def test_a_copy_to_pass_on(pictured, tmp_path, evalkit):
    """No picture, no name, or names as hashes; the run itself stays as it is."""
    run = pictured("run", "--samples", "thumbnails")
    before = (run / "report.html").read_bytes()
    names = [row.sample_id for row in read_gallery(run)]
    share = tmp_path / "share.html"
    assert evalkit("report", run, "--samples", "none", "--hash-ids", "-o", share)[0] == 0
    text = share.read_text()
    assert "webp" not in text
    assert not [name for name in names if name in text]
    assert evalkit("report", run, "--samples", "ids", "--hash-ids", "-o", share)[0] == 0
    text = share.read_text()
    assert "data:image/webp" not in text
    assert not [name for name in names if name in text]
    from evalkit.render.redact import hashed

    assert hashed(names[0]) in text
    assert (run / "report.html").read_bytes() == before
    assert evalkit("report", run)[0] == 0
    assert (run / "report.html").read_bytes() == before


def test_flips_are_hashed_too(tmp_path, evalkit):
    """In a comparison's lists."""
    from test_compare import gates_file, saved, two_models

    y, old, new = two_models(300, accuracy=(0.9, 0.7))
    ids = [f"secret-{i}" for i in range(300)]
    a, b = saved(tmp_path / "old", y, old, ids), saved(tmp_path / "new", y, new, ids)
    path = gates_file(tmp_path, {"metric": "accuracy", "max_drop": 0.5})
    assert evalkit("gate", b, "--gates", path, "--baseline", a)[0] == 0
    assert b"secret-" in (b / "report.html").read_bytes()
    for words in (("--samples", "none"), ("--hash-ids",)):
        assert evalkit("report", b, *words, "-o", tmp_path / "share.html")[0] == 0
        assert b"secret-" not in (tmp_path / "share.html").read_bytes()
    assert "secret-" in json.dumps(json.loads((b / "verdict.json").read_text())["comparison"])

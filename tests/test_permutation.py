"""A wrong class order is told from a bad model, on the page, at the console and in the verdict."""

import json

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evalkit.counts import ConfusionCounts
from evalkit.permutation import suspected_permutation


def names(k):
    return [f"class {i}" for i in range(k)]


def confusion(k, n, accuracy, seed=0):
    """A model that is right with some probability, and wrong anywhere else."""
    rng = np.random.default_rng(seed)
    y_true = np.arange(n) % k
    y_pred = np.where(rng.random(n) < accuracy, y_true, rng.integers(0, k, n))
    return ConfusionCounts.from_labels(y_true, y_pred, n_classes=k).matrix


@given(st.integers(2, 30), st.integers(0, 10_000), st.floats(0.6, 1.0))
def test_a_permuted_model_is_found(k, seed, accuracy):
    """Every permutation without fixed names, of a model that is mostly right; the mapping is its inverse."""
    order = np.roll(np.arange(k), 1 + seed % (k - 1))
    matrix = confusion(k, 60 * k, accuracy, seed)[:, order]
    found = suspected_permutation(ConfusionCounts(matrix), names(k))
    if k == 2 and accuracy < 0.8:
        return  # right by half: three times as much is not there
    assert found is not None
    assert dict(found.mapping) == {f"class {said}": f"class {order[said]}" for said in range(k)}
    assert found.exchanged > 3 * found.accuracy


@given(st.integers(2, 40), st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_a_bad_model_is_not(k, seed, accuracy):
    """However bad, by chance or by one favourite class: no other order helps enough."""
    for matrix in (confusion(k, 90 * k, accuracy, seed), np.eye(k, dtype=int)[0] * np.full((k, 1), 20)):
        assert suspected_permutation(ConfusionCounts(matrix), names(k)) is None


@pytest.mark.parametrize(
    ("matrix", "suspected"),
    [
        ([[2, 8], [8, 2]], True),  # 20 % right, 80 % exchanged: three times and more
        ([[3, 7], [7, 3]], False),  # not three times
        ([[0, 9], [9, 0]], False),  # 18 samples, 20 are needed
        ([[0, 10], [10, 0]], True),
        ([[10, 0], [0, 10]], False),
        ([[5, 5], [5, 5]], False),
    ],
)
def test_the_limits(matrix, suspected):
    """As documented: plus 0.2, three times, ten samples a class."""
    assert (suspected_permutation(ConfusionCounts(matrix), ["a", "b"]) is not None) == suspected


def test_exactly_a_fifth_counts():
    """Compared as counts, not as rounded shares."""
    matrix = np.array([[0, 1, 0], [0, 0, 4], [25, 0, 0]])
    padded = ConfusionCounts(np.pad(matrix, ((0, 0), (0, 0))))
    assert suspected_permutation(padded, names(3)) is not None
    spread = np.zeros((5, 5), int)
    spread[0] = 20
    spread[0, 1] = 20
    assert suspected_permutation(ConfusionCounts(spread), names(5)) is None


def test_it_is_said_everywhere(project, evalkit, tmp_path):
    """Integrity, warning, console and page, with the mapping; --strict makes it a failure."""
    outputs = project.plain_outputs()
    project.y = outputs.argmax(axis=1)
    project.write_data(y=project.y)
    order = ["class 1", "class 2", "class 0"]
    spec = project.write_spec("wrong.yaml", model__classes=order, gates=[{"metric": "accuracy", "max": 1.0}])
    code, out, err = evalkit("run", spec, "-o", tmp_path / "o")
    assert code == 0, err
    assert "class order looks wrong" not in out  # positions are consistent: nothing is wrong yet
    np.savez(project.path / "named.npz", x=project.x, y=(project.y + 1) % 3)
    data = {"source": "npz", "path": "named.npz"}
    spec = project.write_spec("wrong.yaml", data=data, gates=[{"metric": "accuracy", "min": 0.0}])
    code, out, err = evalkit("run", spec, "-o", tmp_path / "o")
    assert code == 0, err
    assert "warning: class order looks wrong" in out
    assert "'class 0' is 'class 1'" in out
    result = json.loads((tmp_path / "o/result.json").read_text())
    assert result["data"]["suspected_order"] == {f"class {k}": f"class {(k + 1) % 3}" for k in range(3)}
    assert {row["check"]: row["status"] for row in result["integrity"]}["class_order"] == "warn"
    assert "class order looks wrong" in (tmp_path / "o/report.html").read_text()
    assert evalkit("run", spec, "-o", tmp_path / "o", "--strict")[0] == 3


def test_the_files_own_order_is_compared(project, evalkit, tmp_path):
    """The same names in another order than the file's own: one of them is wrong, and it is said before anything."""
    names = project.spec["model"]["classes"]
    own = {"model": project.model.state_dict(), "class_to_idx": {name: k for k, name in enumerate(names)}}
    project.save(own, "own.pt")
    for order, said in ((names, False), (names[::-1], True)):
        spec = project.write_spec("o.yaml", model__checkpoint="own.pt", model__classes=order)
        code, out, err = evalkit("run", spec, "-o", tmp_path / "o")
        assert code == 0, err
        assert ("the checkpoint's own class_to_idx has 2 of 3 names elsewhere" in out) == said


def test_tables_are_looked_at_too(tmp_path, evalkit, monkeypatch):
    """`score` has no model, but names."""
    import evalkit as library

    y = np.arange(90) % 3
    result = library.score(y, (y + 1) % 3, class_names=["a", "b", "c"])
    rows = {row.check: row for row in result.document.integrity}
    assert rows["class_order"].status == "warn"
    assert yaml.safe_load(json.dumps(result.document.data["suspected_order"])) == {
        "b": "a",
        "c": "b",
        "a": "c",
    }

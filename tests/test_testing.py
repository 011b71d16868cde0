"""Gates as tests: an assertion, and a plugin that is inert without its options."""

import subprocess
import sys

import pytest
from test_compare import gates_file, saved, two_models

import evalkit
from evalkit.errors import SpecificationError
from evalkit.testing import assert_gates

IDS = [f"s{i}" for i in range(400)]


def test_assert_gates(tmp_path):
    """On a result, a run directory, a list or a file; with a baseline."""
    y, old, new = two_models(accuracy=(0.9, 0.6))
    result = evalkit.score(y, new, class_names=["a", "b", "c"])
    assert_gates(result, [{"metric": "accuracy", "min": 0.3}])
    with pytest.raises(AssertionError, match="failed: accuracy is 0.6.* but must be at least 0.9"):
        assert_gates(result, [{"metric": "accuracy", "min": 0.9}])
    assert_gates(
        result, [{"metric": "accuracy", "min": 0.3}, {"metric": "mcc", "min": 0.99, "advisory": True}]
    )
    a, b = saved(tmp_path / "old", y, old), saved(tmp_path / "new", y, new)
    path = gates_file(tmp_path, {"metric": "accuracy", "max_drop": 0.01})
    with pytest.raises(AssertionError, match="dropped by"):
        assert_gates(b, path, a)
    assert_gates(a, path, baseline=b)
    with pytest.raises(SpecificationError, match="needs a baseline"):
        assert_gates(b, path)
    with pytest.raises(SpecificationError, match="at least one gate"):
        assert_gates(result, [])


def test_assert_gates_takes_every_baseline(tmp_path):
    """none in a file judges nothing, a result stands for itself, changed data may be said to be meant."""
    y, old, new = two_models(accuracy=(0.9, 0.9))
    a, b = saved(tmp_path / "old", y, old, IDS), saved(tmp_path / "new", y, new, IDS)
    path = tmp_path / "gates.yaml"
    path.write_text("baseline: none\ngates: [{metric: accuracy, max_drop: 0.5}]\n")
    with pytest.raises(AssertionError, match="there is no baseline"):
        assert_gates(b, path)
    names = ["a", "b", "c"]
    results = [evalkit.score(y, pred, class_names=names, ids=IDS) for pred in (old, new)]
    gates = [{"metric": "negative_flip_rate", "max": 0.5}, {"metric": "accuracy", "max_drop": 0.5}]
    assert_gates(results[1], gates, results[0])
    fewer = evalkit.score(y[1:], new[1:], class_names=names, ids=IDS[1:])
    with pytest.raises(AssertionError, match="another set of samples"):
        assert_gates(fewer, gates, a)
    assert_gates(fewer, gates, a, compare={"on_changed_data": "common"})
    assert_gates(results[1].document, gates[1:], results[0].document)  # no tables: unpaired


def test_assert_gates_can_be_strict(tmp_path):
    """A warning is a failure then."""
    y, old, _ = two_models(300)
    a, b = saved(tmp_path / "old", y, old), saved(tmp_path / "new", y, y)
    gates = [{"metric": "accuracy", "max_drop": 0.0}]
    assert_gates(b, gates, a)
    with pytest.raises(AssertionError, match="warning: Gate 1"):
        assert_gates(b, gates, a, strict=True)


def pytest_in(folder, *words):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_plugin(tmp_path):
    """One test a gate; skipped where advisory; a usage error for half of the options."""
    y, _, new = two_models()
    saved(tmp_path / "run", y, new)
    (tmp_path / "test_own.py").write_text("def test_mine():\n    assert True\n")
    gates_file(
        tmp_path,
        {"metric": "accuracy", "min": 0.3},
        {"metric": "recall", "class": "a", "min": 0.999},
        {"metric": "mcc", "min": 0.999, "advisory": True},
    )
    code, out = pytest_in(tmp_path, "-q")
    assert (code, "1 passed" in out) == (0, True)
    code, out = pytest_in(tmp_path, "-q", "--evalkit-result", "run", "--evalkit-gates", "gates.yaml")
    assert code == 1
    assert "2 passed" in out
    assert "1 failed" in out
    assert "1 skipped" in out
    assert "failed: recall of 'a' is" in out
    assert "Traceback" not in out
    assert pytest_in(tmp_path, "--evalkit-result", "run")[0] == 4
    code, out = pytest_in(tmp_path, "--evalkit-result", "nothing", "--evalkit-gates", "gates.yaml")
    assert code == 4
    assert "no such run directory" in out

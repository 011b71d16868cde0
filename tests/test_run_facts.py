"""How a run went can be gated, and a run can do without its per-sample table."""

import json

import pytest
from toys import Project


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


FACTS = {"throughput": "min", "latency_p50_ms": "max", "latency_p95_ms": "max", "peak_memory_mb": "max"}


def test_how_a_run_went_is_gated(project, evalkit, tmp_path):
    """By its value: what is slow or large fails, and nothing is compared with a baseline."""
    kind = {"min": (1e-6, 1e12), "max": (1e12, 1e-6)}
    for place, expected in ((0, 0), (1, 3)):
        gates = [{"metric": slug, rule: kind[rule][place]} for slug, rule in FACTS.items()]
        spec = project.write_spec("g.yaml", gates=gates)
        code, out, _ = evalkit("run", spec, "-o", tmp_path / "o")
        assert code == expected, out
        assert all(slug in out for slug in FACTS)
        verdict = json.loads((tmp_path / "o" / "verdict.json").read_text())
        assert {check["outcome"] for check in verdict["checks"]} == {"failed" if place else "passed"}
    for gate in ({"max_drop": 1}, {"min": 1, "judge": "interval"}, {"min": 1, "class": "class 0"}):
        spec = project.write_spec("g.yaml", gates=[{"metric": "throughput", **gate}])
        assert evalkit("run", spec, "-o", tmp_path / "o")[0] == 2


def test_a_run_says_where_its_time_went(project, evalkit, tmp_path):
    """The parts of the loop's time are those of the whole; latencies are in order."""
    assert evalkit("run", project.write_spec(), "-o", tmp_path / "o")[0] == 0
    run = json.loads((tmp_path / "o" / "result.json").read_text())["run"]
    assert sum(run["breakdown"].values()) == pytest.approx(run["seconds"]["inference"])
    assert all(seconds > 0 for seconds in run["breakdown"].values())
    assert 0 < run["latency_p50_ms"] <= run["latency_p95_ms"]
    assert run["throughput"] == run["samples_per_second"]
    assert run["peak_memory_mb"] > 50


def test_a_run_without_a_table_has_the_same_numbers(project, evalkit, tmp_path):
    """Everything but the table is there, to the byte; judging again works, asking for samples does not."""
    spec = project.write_spec(report={"samples": "ids"}, data__slices=[])
    assert evalkit("run", spec, "-o", tmp_path / "full")[0] == 0
    none = ("run", spec, "--set", "run.ledger=none", "-o", tmp_path / "none")
    assert evalkit(*none)[0] == 0
    assert (tmp_path / "full" / "predictions.parquet").exists()
    left = {path.name for path in (tmp_path / "none").iterdir()}
    assert not left & {"predictions.parquet", "gallery.parquet", "parts"}
    documents = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("full", "none")]
    for document in documents:
        del document["run"], document["provenance"]
    assert documents[0] == documents[1]
    assert "nothing changed" in evalkit(*none)[2]
    assert evalkit("gate", tmp_path / "none", "--gates", _gates(tmp_path))[0] == 0
    code, _, err = evalkit(*none, "--expect", "accuracy=0.5")
    assert code == 2
    assert "run.ledger: none" in err


def test_a_run_without_a_table_is_not_paired(project, evalkit, tmp_path):
    """A drop is judged from the documents, where that can be done, and said to be unpaired or not judged."""
    spec = project.write_spec(gates=[{"metric": "negative_flips", "max": 5}], baseline=str(tmp_path / "old"))
    first = project.write_spec("first.yaml")
    assert evalkit("run", first, "--set", "run.ledger=none", "-o", tmp_path / "old")[0] == 0
    code, out, _ = evalkit("run", spec, "-o", tmp_path / "new", "--allow-same-model")
    assert code == 5
    assert "cannot be judged" in out or "cannot_judge" in out


def _gates(folder):
    path = folder / "gates.yaml"
    path.write_text("gates: [{metric: accuracy, min: 0}]")
    return path

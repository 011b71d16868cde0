"""What a candidate is compared with: measured beside it, fed otherwise, the candidate itself, or nothing."""

import json

import numpy as np
import pytest
import torch
import yaml
from test_compare import git, saved, two_models

from evalkit.result import read_result

DROP = {"metric": "accuracy", "max_drop": 0.02}
MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    calls = 0

    def __init__(self, n_in=4, n_out=3, width=8):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, width), nn.ReLU())
        self.head = nn.Linear(width, n_out)

    def forward(self, x):
        return self.head(self.body(x))

def build(**args):
    return Net(**args)

def wide(n_out=3):
    return Net(n_out=n_out, width=16)

def broken(n_out=3):
    class Broken(Net):
        def forward(self, x):
            raise ValueError("no")
    return Broken(n_out=n_out)
"""


@pytest.fixture
def two(project):
    """A project with a second checkpoint of the same network, whose answers differ now and then."""
    project.write_model(MODEL)
    torch.manual_seed(1)
    project.model = project.build(n_out=3)
    project.save(project.model.state_dict(), "old.pt")
    for value in project.model.parameters():
        value.data.add_(torch.randn_like(value) * 0.1)
    project.save(project.model.state_dict())
    return project


def run(project, evalkit, out, *words, **changes):
    project.write_spec(**changes)
    return evalkit("run", project.path / "eval.yaml", "-o", out, *words)


def test_old_weights_are_measured_beside(two, tmp_path, evalkit):
    """The numbers are those of two runs of their own; the data are read once."""
    code, out, err = run(two, evalkit, tmp_path / "old", model__checkpoint="old.pt")
    assert code == 0, err
    assert run(two, evalkit, tmp_path / "new")[0] == 0
    keys = {"baseline": {"checkpoint": "old.pt"}, "gates": [{**DROP, "max_drop": 0.9}]}
    code, out, err = run(two, evalkit, tmp_path / "both", **keys)
    assert code == 0, out + err
    both, old, new = (read_result(tmp_path / name) for name in ("both", "old", "new"))
    assert both.counts == new.counts
    kept = read_result(tmp_path / "both", name="baseline-result.json")
    assert kept.counts == old.counts
    assert kept.digests == old.digests
    verdict = json.loads((tmp_path / "both/verdict.json").read_text())
    assert verdict["baseline"]["path"] == "checkpoint old.pt"
    assert verdict["checks"][0]["baseline_value"] == old.rows()[("accuracy", (), None, None, None)].value
    assert verdict["comparison"]["rows"][0]["method"] == "tango"
    assert verdict["warnings"] == []
    code, again, err = evalkit("gate", tmp_path / "both")
    assert code == 0, err
    assert json.loads((tmp_path / "both/verdict.json").read_text())["checks"] == verdict["checks"]


def test_the_data_are_read_once(two, tmp_path, evalkit):
    """One decoding pass, two models: a source that counts what it hands out."""
    (two.path / "counting.py").write_text(
        "import pathlib\nimport numpy as np\nimport torch\n"
        "class Data(torch.utils.data.Dataset):\n"
        "    classes = [f'class {k}' for k in range(3)]\n"
        "    def __init__(self):\n"
        "        found = np.load(pathlib.Path(__file__).parent / 'test.npz')\n"
        "        self.x, self.y = found['x'], found['y']\n"
        "    def __len__(self):\n        return len(self.y)\n"
        "    def __getitem__(self, i):\n"
        "        with (pathlib.Path(__file__).parent / 'reads.txt').open('a') as file:\n"
        "            file.write(f'{i}\\n')\n"
        "        return torch.from_numpy(self.x[i]), int(self.y[i])\n"
        "def data():\n    return Data()\n"
    )
    two.spec["data"] = {"source": "factory", "path": "counting:data"}
    assert run(two, evalkit, tmp_path / "one")[0] == 0
    alone = (two.path / "reads.txt").read_text()
    (two.path / "reads.txt").unlink()
    keys = {"baseline": {"checkpoint": "old.pt"}, "gates": [{**DROP, "max_drop": 0.9}]}
    assert run(two, evalkit, tmp_path / "two", **keys)[0] == 0
    assert (two.path / "reads.txt").read_text() == alone


def test_another_architecture_and_class_order(two, tmp_path, evalkit):
    """The baseline may have a factory of its own; its outputs are matched by name."""
    namespace: dict = {}
    exec(compile(MODEL, "model.py", "exec"), namespace)
    torch.manual_seed(4)
    wide = namespace["wide"]()
    names = [f"class {k}" for k in range(3)]
    order = [2, 0, 1]
    moved = {k: v[order] if k.startswith("head") else v for k, v in wide.state_dict().items()}
    two.save({"model": wide.state_dict(), "names": names}, "wide.pt")
    two.save({"model": moved, "names": [names[i] for i in order]}, "moved.pt")
    found = two.path / "weights.pt"
    two.save({"model": torch.load(found, weights_only=False), "names": names})
    two.spec["model"]["classes"] = "checkpoint:names"
    two.spec["model"]["args"] = {"n_out": 3}
    counts = {}
    for name in ("wide", "moved"):
        baseline = {"checkpoint": f"{name}.pt", "factory": "model:wide"}
        code, out, err = run(
            two, evalkit, tmp_path / name, baseline=baseline, gates=[{**DROP, "max_drop": 0.9}]
        )
        assert code == 0, out + err
        verdict = json.loads((tmp_path / name / "verdict.json").read_text())
        counts[name] = verdict["checks"][0]["baseline_value"], verdict["comparison"]["flips"]
    assert counts["wide"] == counts["moved"]


def test_a_baseline_that_fails_leaves_the_candidate_alone(two, tmp_path, evalkit):
    """Its forward pass raises: comparing checks cannot be judged, floors are; the run is valid."""
    baseline = {"checkpoint": "old.pt", "factory": "model:broken"}
    gates = [DROP, {"metric": "accuracy", "min": 0.0}]
    code, out, err = run(two, evalkit, tmp_path / "out", baseline=baseline, gates=gates)
    assert code == 5, out + err
    verdict = json.loads((tmp_path / "out/verdict.json").read_text())
    assert [check["outcome"] for check in verdict["checks"]] == ["cannot_judge", "passed"]
    assert "the baseline is an invalid run" in out
    assert read_result(tmp_path / "out").valid


@pytest.mark.parametrize(
    ("baseline", "code", "message"),
    [
        ({"checkpoint": "nothing.pt"}, 4, "nothing.pt"),
        ({"checkpoint": "old.pt", "sha256": "0" * 64}, 4, "sha256"),
        ({"checkpoint": "old.pt", "factory": "model:wide"}, 4, "old.pt"),
        ({"checkpoint": "old.pt", "factory": "model:nothing"}, 2, "nothing"),
        ({"checkpiont": "old.pt"}, 2, "baseline.checkp"),
        ({"checkpoint": "weights.pt"}, 4, "own weights and inputs"),
    ],
)
def test_baselines_that_are_refused(baseline, code, message, two, tmp_path, evalkit):
    """Unreadable, another pin, other shapes, no such factory, a slip of the pen, the candidate itself."""
    found, out, err = run(two, evalkit, tmp_path / "out", baseline=baseline, gates=[DROP])
    assert found == code, out + err
    assert message in err


def test_flags_name_a_checkpoint_from_the_current_folder(two, tmp_path, evalkit, monkeypatch):
    """--set baseline={checkpoint: old.pt} is relative to where the command runs; the saved file to itself."""
    monkeypatch.chdir(two.path)
    two.write_spec(gates=[{**DROP, "max_drop": 0.9}], baseline="none")
    words = ("--set", "baseline={checkpoint: old.pt}", "--write-spec", tmp_path / "there/eval.yaml")
    assert evalkit("run", "eval.yaml", "-o", tmp_path / "out", *words)[0] == 0
    written = yaml.safe_load((tmp_path / "there/eval.yaml").read_text())
    assert (tmp_path / "there" / written["baseline"]["checkpoint"]).resolve() == two.path / "old.pt"


def test_a_forgotten_scaling_is_a_warning(two, tmp_path, evalkit):
    """The same weights fed other inputs: compared, warned of with the figures, and a failure with --strict."""
    x = two.x
    assert run(two, evalkit, tmp_path / "old")[0] == 0
    two.write_data(x=(x * 255).astype(np.float32))
    gates = [{"metric": "accuracy", "min": 0.0}, {**DROP, "max_drop": 0.9}]
    keys = {"baseline": str(tmp_path / "old"), "gates": gates}
    code, out, _ = run(two, evalkit, tmp_path / "new", **keys)
    assert code == 0
    assert "warning: The two models were fed other inputs" in out
    assert "std was 1" in out or "mean was" in out
    assert "The weights are the same" in out
    assert "a forgotten scaling looks just like it" in (tmp_path / "new/report.html").read_text()
    code, out, err = run(two, evalkit, tmp_path / "strict", "--strict", **keys)
    assert code == 3
    assert "count" in out.splitlines()[0]
    assert "error[gate-failed]" in err
    assert evalkit("gate", tmp_path / "new", "--strict")[0] == 3
    assert "--strict" in (tmp_path / "new/report.html").read_text()
    assert evalkit("gate", tmp_path / "new")[0] == 0
    code, out, _ = evalkit("compare", tmp_path / "old", tmp_path / "new")
    assert code == 0
    assert "warning: The two models" in out


def test_the_same_statistics_are_a_note(two, tmp_path, evalkit):
    """Inputs that differ in their last bits only: said, and no failure with --strict."""
    assert run(two, evalkit, tmp_path / "old", model__checkpoint="old.pt")[0] == 0
    two.write_data(x=(two.x * np.float32(1.0001)))
    keys = {"baseline": str(tmp_path / "old"), "gates": [{**DROP, "max_drop": 0.9}]}
    code, out, _ = run(two, evalkit, tmp_path / "new", "--strict", **keys)
    assert code == 0, out
    assert "note: The two models were fed other inputs" in out
    assert "agree within 0.1 %" in out


def test_a_margin_that_is_too_narrow_is_a_warning(tmp_path, evalkit):
    """What an equally good model would often miss; --strict fails it, advisory gates only get a note."""
    y, old, _ = two_models(300)
    a, b = saved(tmp_path / "old", y, old), saved(tmp_path / "new", y, y)
    path = tmp_path / "gates.yaml"
    gates = [{"metric": "accuracy", "max_drop": 0.0}]
    path.write_text(yaml.safe_dump({"gates": gates, "baseline": str(a)}))
    code, out, _ = evalkit("gate", b, "--gates", path)
    assert code == 0
    assert "warning: Gate 1: a margin of 0.0000 on accuracy is narrower" in out
    assert "an equally good model passes four times in five from a margin of" in out
    assert evalkit("gate", b, "--gates", path, "--strict")[0] == 3
    gates[0]["advisory"] = True
    gates.append({"metric": "accuracy", "min": 0.1})
    path.write_text(yaml.safe_dump({"gates": gates, "baseline": str(a)}))
    code, out, _ = evalkit("gate", b, "--gates", path, "--strict")
    assert code == 0
    assert "note: Gate 1" in out


def test_thresholds_may_differ_and_are_said(tmp_path, evalkit):
    """They come with a model."""
    import evalkit as library

    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    p = 1 / (1 + np.exp(-(2 * y - 1 + rng.normal(size=300))))
    for name, threshold in (("old", 0.5), ("new", 0.4)):
        library.score(
            y, y_score=p, task="binary", output="probabilities", class_names=["n", "y"], threshold=threshold
        ).save(tmp_path / name)
    code, out, _ = evalkit("compare", tmp_path / "old", tmp_path / "new")
    assert code == 0
    assert "note: The two models decide by other thresholds: 0.5 before, 0.4 now." in out


def test_a_git_baseline_of_a_run_from_another_machine(tmp_path, evalkit, monkeypatch):
    """The run's own folder is not here: git is asked in the current one."""
    y, old, new = two_models(200)
    repository = tmp_path / "repo"
    a = saved(tmp_path / "old", y, old)
    b = saved(tmp_path / "new", y, new)
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    assert evalkit("bless", a, "-o", repository / "base")[0] == 0
    git(repository, "add", "base")
    git(repository, "commit", "-q", "-m", "Bless")
    document = json.loads((b / "result.json").read_text())
    document["spec"]["baseline"] = "git:main:base"
    document["spec"]["gates"] = [{"metric": "accuracy", "max_drop": 0.5}]
    document["provenance"]["base"] = "../../nowhere"
    (b / "result.json").write_text(json.dumps(document))
    monkeypatch.chdir(repository)
    code, out, err = evalkit("gate", b)
    assert code == 0, out + err


def test_units_are_compared_as_one(tmp_path, evalkit):
    """Samples of a patient are combined in both runs before anything is paired."""
    import evalkit as library

    rng = np.random.default_rng(0)
    n_units, size = 80, 5
    unit = np.repeat(np.arange(n_units), size)
    y = np.repeat(rng.integers(0, 2, n_units), size)
    scores = [1 / (1 + np.exp(-(1.5 * (2 * y - 1) + rng.normal(scale=2, size=y.size)))) for _ in range(2)]
    options = {
        "task": "binary",
        "output": "probabilities",
        "class_names": ["n", "y"],
        "attributes": {"patient": unit},
        "metrics": {"unit": {"by": "patient", "combine": "mean"}},
    }
    for name, p in zip(("old", "new"), scores, strict=True):
        library.score(y, y_score=p, **options).save(tmp_path / name)
    code, out, err = evalkit("compare", tmp_path / "old", tmp_path / "new", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["flips"]["n_samples"] == n_units
    row = next(one for one in document["rows"] if one["metric"] == "accuracy")
    means = [p.reshape(n_units, size).astype(np.float32).mean(axis=1) for p in scores]
    right = [(mean >= 0.5) == (y[::size] == 1) for mean in means]
    assert row["difference"] == pytest.approx(right[1].mean() - right[0].mean())
    assert row["low"] < row["difference"] < row["high"]
    assert document["flips"]["only_baseline"] == (right[0] & ~right[1]).sum()


def test_the_same_weights_in_another_file_are_noticed(project, evalkit, tmp_path):
    """Saved again as safetensors: another digest of the file, the same of what was loaded; --strict fails."""
    import safetensors.torch

    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "old")[0] == 0
    safetensors.torch.save_file(project.model.state_dict(), project.path / "again.safetensors")
    gates = [{"metric": "accuracy", "max_drop": 0.01}]
    options = {"model__checkpoint": "again.safetensors", "baseline": str(tmp_path / "old"), "gates": gates}
    spec = project.write_spec("again.yaml", **options)
    code, out, err = evalkit("run", spec, "-o", tmp_path / "new")
    assert code == 0, err
    assert "holds the same weights in another file" in out
    assert evalkit("run", spec, "-o", tmp_path / "new", "--strict")[0] == 3

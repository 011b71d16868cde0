"""Two models in one pass keep apart: weights, inputs, failures and guards of one never reach the other."""

import json

import pytest
import torch
import yaml
from test_baselines import DROP, MODEL, run

from evalkit.cli import main
from evalkit.result import read_result

BESIDE = {"baseline": {"checkpoint": "old.pt"}, "gates": [{**DROP, "max_drop": 0.9}]}
FORWARD = "        return self.head(self.body(x))"
CACHED = "import functools\n\n@functools.lru_cache\ndef build("
SHARED = "SHARED = nn.Linear(4, 8)\n\ndef build(**args):\n    net = Net(**args)\n    net.body[0] = SHARED\n    return net\n"


@pytest.fixture
def two(project):
    """A project with a second checkpoint of the same network; the test says what the network is."""
    project.write_model(MODEL)
    torch.manual_seed(1)
    model = project.build(n_out=3)
    project.save(model.state_dict(), "old.pt")
    for value in model.parameters():
        value.data.add_(torch.randn_like(value))
    project.save(model.state_dict())
    return project


@pytest.mark.parametrize(
    "network",
    [
        MODEL.replace("def build(", CACHED),
        MODEL.partition("def build")[0] + SHARED,
    ],
    ids=["cached", "shared"],
)
def test_a_factory_that_gives_one_tensor_twice_is_refused(network, two, tmp_path, evalkit):
    """Loading the baseline's weights would have replaced the candidate's."""
    two.write_model(network)
    code, _, err = run(two, evalkit, tmp_path / "out", **BESIDE)
    assert code == 2
    assert "in common" in err
    assert not (tmp_path / "out/result.json").exists()


def test_inputs_that_are_changed_in_place_stay_ones_own(two, tmp_path, evalkit):
    """Both get what each would get alone."""
    two.write_model(MODEL.replace(FORWARD, f"        x.mul_(3).add_(1)\n{FORWARD}"))
    run(two, evalkit, tmp_path / "old", model__checkpoint="old.pt")
    run(two, evalkit, tmp_path / "new")
    code, out, err = run(two, evalkit, tmp_path / "both", **BESIDE)
    assert code == 0, out + err
    both = [read_result(tmp_path / "both", name=name) for name in ("result.json", "baseline-result.json")]
    alone = [read_result(tmp_path / name) for name in ("new", "old")]
    assert [one.counts for one in both] == [one.counts for one in alone]
    assert [one.digests for one in both] == [one.digests for one in alone]
    assert json.loads((tmp_path / "both/verdict.json").read_text())["warnings"] == []


def test_a_baseline_that_fails_late_says_why(two, tmp_path, evalkit):
    """The reason stands in gate and warning; nothing is said of inputs that were half read."""
    two.write_model(f"{MODEL}\ndef late(**args):\n    return Late(**args)\n\nclass Late(Net):\n{LATE}")
    keys = {**BESIDE, "baseline": {"checkpoint": "old.pt", "factory": "model:late"}, "run__batch_size": 30}
    floor = [{"metric": "accuracy", "min": 0.0}]
    code, out, _ = run(two, evalkit, tmp_path / "out", **keys)
    assert code == 5
    assert "accuracy cannot be judged: the baseline is an invalid run: the model raised on batch 1" in out
    code, out, _ = run(two, evalkit, tmp_path / "floor", **{**keys, "gates": floor})
    assert code == 0
    verdict = json.loads((tmp_path / "floor/verdict.json").read_text())
    assert ["boom" in text and "other inputs" not in text for text in verdict["warnings"]] == [True]


def test_a_candidate_that_fails_leaves_no_baseline_behind(two, tmp_path, evalkit):
    """Its failure is the run's; the model beside it has none of its own."""
    two.write_model(f"{MODEL}\ndef late(**args):\n    return Late(**args)\n\nclass Late(Net):\n{LATE}")
    two.spec["model"]["factory"] = "model:late"
    keys = {**BESIDE, "baseline": {"checkpoint": "old.pt", "factory": "model:build"}, "run__batch_size": 30}
    code, _, err = run(two, evalkit, tmp_path / "out", **keys)
    assert code == 5
    assert "boom" in err
    assert not (tmp_path / "out/baseline-result.json").exists()
    assert evalkit("gate", tmp_path / "out")[0] == 5


LATE = """
    def forward(self, x):
        self.seen = getattr(self, "seen", 0) + (len(x) == 30)
        if self.seen == 2 and len(x) == 30:
            raise ValueError("boom")
        return super().forward(x)
"""


def test_what_failed_first_is_what_failed(two, tmp_path, evalkit):
    """A module left in train mode by a forward pass that raised hides nothing."""
    two.write_model(MODEL.replace(FORWARD, "        self.head.train()\n        raise ValueError('boom')"))
    code, _, err = run(two, evalkit, tmp_path / "out")
    assert code == 5
    assert "ValueError: boom" in err


def test_no_guard_outlives_the_command(two, tmp_path, capsys):
    """In process: gradients and inference mode are as before."""
    two.write_spec(**BESIDE)
    assert main(["run", str(two.path / "eval.yaml"), "-o", str(tmp_path / "out"), "--quiet"]) == 0
    capsys.readouterr()
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_a_worker_that_dies_makes_the_run_invalid(two, tmp_path, evalkit):
    """Torch's handler raises in whatever statement the main process is: exit 5, never an internal error."""
    (two.path / "dying.py").write_text(
        "import os\nimport torch\n"
        "class Data(torch.utils.data.Dataset):\n"
        "    classes = [f'class {k}' for k in range(3)]\n"
        "    def __len__(self):\n        return 60\n"
        "    def __getitem__(self, i):\n"
        "        if i == 40:\n            os._exit(1)\n"
        "        return torch.zeros(4), 0\n"
        "def data():\n    return Data()\n"
    )
    two.spec["data"] = {"source": "factory", "path": "dying:data"}
    code, _, err = run(two, evalkit, tmp_path / "out", "--debug", run__workers=2, run__batch_size=8)
    assert code == 5, err
    result = read_result(tmp_path / "out")
    assert [row.check for row in result.integrity if row.status == "fail"] == ["workers"]


def test_gates_need_no_baseline_of_an_invalid_run(two, tmp_path, evalkit):
    """The same code as the run: the specification's baseline was never measured."""
    two.write_model(MODEL.replace(FORWARD, "        raise ValueError('boom')"))
    assert run(two, evalkit, tmp_path / "out", **BESIDE)[0] == 5
    gates = yaml.safe_dump({"gates": BESIDE["gates"]})
    (tmp_path / "gates.yaml").write_text(gates)
    assert evalkit("gate", tmp_path / "out", "--gates", tmp_path / "gates.yaml")[0] == 5

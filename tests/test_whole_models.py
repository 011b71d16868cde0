"""Whole models: their weights are read as data; their code runs only where the command line says so."""

import copy
import json
import sys
import warnings

import pytest
import torch
from torch import nn
from weights import equal, load, network, trained_network

from evalkit.checkpoints.reader import read_checkpoint
from evalkit.checkpoints.tree import tensor_sets
from evalkit.errors import CheckpointError


@pytest.fixture
def trained():
    return trained_network()


class Wrapper(nn.Module):
    """What people wrap: a model as an attribute, a loss beside it, a buffer that no state_dict has."""

    def __init__(self, model):
        super().__init__()
        self.net = model
        self.loss = nn.CrossEntropyLoss(weight=torch.ones(3))
        self.register_buffer("scratch", torch.zeros(5), persistent=False)
        self.classes = ["a", "b", "c"]


class Slotted(nn.Linear):
    """A module whose class has slots: pickle writes two dictionaries."""

    __slots__ = ("extra",)

    def __init__(self):
        super().__init__(4, 3)
        self.extra = 1

    def __getstate__(self):
        return self.__dict__, {"extra": 1}


FORMS = {
    "itself": lambda m: m,
    "under a key": lambda m: {"model": m, "epoch": 3},
    "in a list": lambda m: {"nets": [m]},
    "parallel": nn.DataParallel,
    "wrapped": Wrapper,
    "averaged": torch.optim.swa_utils.AveragedModel,
    "traced by fx": torch.fx.symbolic_trace,
    "with a hook": lambda m: m,
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("form", FORMS)
def test_weights_of_whole_models_are_read(form, legacy, trained, tmp_path):
    """From `_parameters`, `_buffers` and `_modules`, whatever the classes."""
    path, whole = tmp_path / "c.pt", FORMS[form](trained)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(whole, path, _use_new_zipfile_serialization=not legacy)
    model = network()
    loaded = load(model, path)
    assert equal(model, trained)
    assert loaded.facts()["whole_model"]
    (held,) = tensor_sets(read_checkpoint(path).contents.tree)
    if isinstance(whole, nn.Module):
        assert set(held.tensors) == set(whole.state_dict())


def test_slots(tmp_path):
    """State as a pair of dictionaries."""
    torch.save(Slotted(), tmp_path / "c.pt")
    load(nn.Linear(4, 3), tmp_path / "c.pt")


def test_model_and_average_beside_each_other(trained, tmp_path):
    """Two whole models fit: the flag to paste names both."""
    torch.save({"model": trained, "ema": copy.deepcopy(trained)}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=r"--weights model \| ema"):
        load(network(), tmp_path / "c.pt")
    load(network(), tmp_path / "c.pt", weights="ema")


def test_another_architecture_is_refused(trained, tmp_path):
    """Strictly, as any other weights."""
    torch.save(trained, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="with another shape"):
        load(network(7), tmp_path / "c.pt")


def whole(project):
    """The project's own model, saved whole as a script beside model.py would."""
    sys.path.insert(0, str(project.path))
    try:
        sys.modules.pop("model", None)
        import model as module

        net = module.Net()
        net.load_state_dict(project.model.state_dict())
        net.names = list(project.spec["model"]["classes"])
        torch.save(net, project.path / "whole.pt")
    finally:
        sys.path.remove(str(project.path))
        sys.modules.pop("model", None)


def counts(folder):
    return json.loads((folder / "result.json").read_text())["counts"]


def test_counts_are_those_of_the_state_dict(project, evalkit, tmp_path):
    """By the factory, and by the file's own code where that is trusted; the page says which."""
    whole(project)
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "a")[0] == 0
    spec = project.write_spec("whole.yaml", model__checkpoint="whole.pt", model__classes="checkpoint:names")
    code, out, err = evalkit("run", spec, "-o", tmp_path / "b")
    assert code == 0, err
    assert "holds a whole model (model.Net): its code was not used" in out
    assert "its code was not used" in (tmp_path / "b/report.html").read_text()
    trusted = project.write_spec(
        "trusted.yaml", model={"checkpoint": "whole.pt", "classes": "checkpoint:names"}
    )
    code, _, err = evalkit("run", trusted, "-o", tmp_path / "c")
    assert code == 2
    assert "--trust-checkpoint" in err
    code, out, err = evalkit("run", trusted, "-o", tmp_path / "c", "--trust-checkpoint")
    assert code == 0, err
    assert "checkpoint's own code was run" in out
    assert "own code was run" in (tmp_path / "c/report.html").read_text()
    assert counts(tmp_path / "a") == counts(tmp_path / "b") == counts(tmp_path / "c")


def test_what_trust_does_not_mean(project, evalkit, tmp_path):
    """A factory beside it, a dictionary of weights, a missing module, a hostile file: refused."""
    whole(project)
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o", "--trust-checkpoint")
    assert code == 2
    assert "no code of the checkpoint to trust" in err
    model = {"checkpoint": "weights.pt", "classes": ["a", "b", "c"]}
    spec = project.write_spec("t.yaml", model=model)
    code, _, err = evalkit("run", spec, "-o", tmp_path / "o", "--trust-checkpoint")
    assert code == 4
    assert "holds no whole model" in err
    (project.path / "model.py").unlink()
    spec = project.write_spec("t.yaml", model={**model, "checkpoint": "whole.pt"})
    code, _, err = evalkit("run", spec, "-o", tmp_path / "o", "--trust-checkpoint")
    assert code == 4
    assert "No module named 'model'" in err


def test_trust_is_no_key_of_a_specification(project, evalkit, tmp_path):
    """A file cannot ask for it: only who types the command."""
    spec = project.write_spec("t.yaml", model__trust_checkpoint=True)
    assert evalkit("run", spec, "-o", tmp_path / "o")[0] == 2


def test_trusted_weights_must_be_numbers(project, evalkit, tmp_path):
    """NaN is refused as in any other file."""
    with torch.no_grad():
        project.model.head.bias[0] = float("nan")
    whole(project)
    spec = project.write_spec("t.yaml", model={"checkpoint": "whole.pt", "classes": "checkpoint:names"})
    code, _, err = evalkit("run", spec, "-o", tmp_path / "o", "--trust-checkpoint")
    assert code == 4
    assert "NaN or infinite values in head.bias" in err

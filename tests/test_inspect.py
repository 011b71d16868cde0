"""`evalkit inspect`: what a file holds with nothing executed; with a model, its layers."""

import argparse
import json

import pytest
import safetensors.torch
import torch
from attacks.files import ATTACKS

import evalkit as library


@pytest.fixture
def training(project):
    """A training file: two sets of weights, names, numbers, things that are not read."""
    state = project.model.state_dict()
    content = {
        "model": state,
        "model_ema": {key: value.clone() for key, value in state.items()},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}},
        "class_to_idx": {"cat": 1, "ant": 0, "dog": 2},
        "epoch": 7,
        "best": 0.5,
        "worst": float("inf"),
        "args": argparse.Namespace(lr=0.1),
    }
    return project.save(content, "training.pt")


def test_a_file_says_what_it_holds(training, evalkit, project):
    """Format, digest, sets, keys, shapes, types, names, what is beside and not read; the flags to paste."""
    (project.path / "model.py").write_text("raise SystemExit('executed')")
    code, out, err = evalkit("inspect", training, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["file"]["format"] == "zip"
    assert found["file"]["sha256"] == library_digest(training)
    assert [one["name"] for one in found["weights"]] == ["model", "model_ema", "optimizer.state.0"]
    assert found["weights"][0]["tensors"][0] == {
        "key": "body.0.weight",
        "shape": [8, 4],
        "dtype": "float32",
        "refusal": None,
    }
    assert found["class_names"] == {"class_to_idx": ["ant", "cat", "dog"]}
    assert found["values"] == {"epoch": 7, "best": 0.5, "worst": "inf"}
    assert found["file"]["not_read"] == ["argparse.Namespace"]
    assert found["architecture"] is None
    code, out, _ = evalkit("inspect", training)
    assert "--weights 'model|model_ema' --classes checkpoint:class_to_idx" in out
    assert "beside the weights 1 smaller sets of tensors: optimizer.state.0" in out


def library_digest(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_specification_adds_the_layers(project, evalkit):
    """One batch of its own data is run."""
    code, out, err = evalkit("inspect", project.path / "eval.yaml", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [layer["name"] for layer in found["architecture"]["layers"]] == [
        "body.0",
        "body.1",
        "body.2",
        "body.3",
        "head",
    ]
    assert found["loaded"]["factory"] == "model:build"
    code, out, _ = evalkit("inspect", project.path / "eval.yaml")
    assert "dropout (Dropout)" in out
    assert "train mode drops 50 %" in out


def test_a_model_by_flags(project, evalkit, monkeypatch, training):
    """With a shape its layers, without one whether the weights fit; wrong weights and shapes are refused."""
    monkeypatch.chdir(project.path)
    words = ("inspect", "training.pt", "--model", "model:build", "--model-args", "{n_out: 3}")
    code, _, err = evalkit(*words)
    assert code == 4
    assert "--weights model | model_ema" in err
    code, _, err = evalkit(*words, "--weights", "model")
    assert code == 0
    assert "the weights fit" in err
    code, out, _ = evalkit(*words, "--weights", "model", "--input-shape", "4")
    assert code == 0
    assert "linear (Linear)" in out
    for shape, expected in (("5", 5), ("x", 2), ("0", 2), ("9999999x9999999", 2), ("9" * 30, 2)):
        assert evalkit(*words, "--weights", "model", "--input-shape", shape)[0] == expected


def test_combinations_that_mean_nothing(project, evalkit, training):
    """A shape without a model, a model beside a specification."""
    assert evalkit("inspect", training, "--input-shape", "4")[0] == 2
    assert evalkit("inspect", training, "--weights", "modle")[0] == 2
    assert evalkit("inspect", training, "--model-args", "{n: 1}")[0] == 2
    assert evalkit("inspect", project.path / "eval.yaml", "--model", "a:b")[0] == 2
    assert evalkit("inspect", training, "--model", "a:b", "--model-args", "3")[0] == 2
    assert evalkit("inspect", project.path / "none.pt")[0] == 4


def test_library_models_need_no_arguments(tmp_path, evalkit, monkeypatch):
    """Their number of classes is the head's."""
    models = pytest.importorskip("torchvision.models", reason="needs the extra vision")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(models.squeezenet1_1(num_classes=7).state_dict(), "s.pt")
    code, out, err = evalkit(
        "inspect", "s.pt", "--model", "torchvision:squeezenet1_1", "--input-shape", "3x64x64"
    )
    assert code == 0, err
    assert "7x3x3" in out


def test_a_specification_without_a_factory_is_a_file(project, evalkit):
    """Only the file's facts."""
    spec = project.write_spec("plain.yaml", model={"checkpoint": "weights.pt", "classes": ["a", "b", "c"]})
    code, out, err = evalkit("inspect", spec, "--json")
    assert code == 0, err
    assert json.loads(out)["architecture"] is None


def test_declared_files_name_their_flags(project, evalkit):
    """What a file of ours says of itself; its format has no checksums, so a pin is offered."""
    path = project.path / "c.safetensors"
    library.save_checkpoint(path, project.model, factory="model:build", classes=["a", "b", "c"])
    code, out, _ = evalkit("inspect", path)
    assert code == 0
    assert "--model model:build" in out
    assert "--classes" not in out
    assert "--sha256" in out


def test_refusals_are_shown(project, evalkit):
    """Tensors that could not be loaded, with why."""
    state = {
        "nan": torch.tensor([float("nan")]),
        "complex": torch.ones(1, dtype=torch.complex64),
        "sparse": torch.eye(2).to_sparse(),
        "good": torch.ones(2),
    }
    path = project.save(state, "odd.pt")
    code, out, _ = evalkit("inspect", path)
    assert code == 0
    for words in ("has NaN or infinite values", "is complex", "is no plain tensor", "3 refused"):
        assert words in out


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_files(attack, tmp_path, evalkit, monkeypatch):
    """Listed or refused, never anything else."""
    monkeypatch.chdir(tmp_path)
    ATTACKS[attack](tmp_path / "c.pt")
    assert evalkit("inspect", tmp_path / "c.pt")[0] in {0, 4}


def test_long_lists_are_cut_and_names_escaped(tmp_path, evalkit):
    """The first forty; all on demand; nothing in a name moves the cursor."""
    state = {f"layer\x1b[31m{k}.weight": torch.ones(1) for k in range(50)}
    safetensors.torch.save_file(state, tmp_path / "c.safetensors")
    code, out, _ = evalkit("inspect", tmp_path / "c.safetensors")
    assert code == 0
    assert "and 10 more: --all" in out
    assert "\x1b" not in out
    assert evalkit("inspect", tmp_path / "c.safetensors", "--all")[1].count("layer") == 50

"""`--expect`: a number from somebody's own loop agrees, or is traced to the known mistake that gives it."""

import json

import numpy as np
import pytest
import torch

from evalkit.errors import SpecificationError
from evalkit.expecting import parse_expectation


@pytest.fixture
def predictions(project):
    """Labels and predictions of the toy, from a plain loop."""
    project.y = (project.plain_outputs().argmax(1) + (np.arange(60) % 7 % 3 == 1)) % 3
    project.write_data(y=project.y)
    return project.y, project.plain_outputs().argmax(1)


def ask(evalkit, spec, out, number):
    code, text, err = evalkit("run", spec, "-o", out, "--expect", number, "--json", "--quiet")
    assert code == 0, err
    return json.loads(text)["expected"]


def first(found):
    """The attempts that give the number."""
    return [one["what"] for one in found["attempts"] if one["agrees"]]


def test_a_number_that_agrees(project, evalkit, tmp_path, predictions):
    """To the digits that were typed."""
    y, said = predictions
    value = (y == said).mean()
    for digits in (3, 6):
        assert ask(evalkit, project.path / "eval.yaml", tmp_path / "o", f"accuracy={value:.{digits}f}")[
            "agrees"
        ]
    found = ask(evalkit, project.path / "eval.yaml", tmp_path / "o", f"accuracy={value + 0.002:.3f}")
    assert not found["agrees"]
    assert "of 60 samples apart" in found["text"]


def test_means_of_batch_means_and_dropped_batches(project, evalkit, tmp_path, predictions):
    """The commonest mistakes of loops, at usual batch sizes."""
    y, said = predictions
    right = (y == said).astype(float)
    mean = np.mean([right[k : k + 32].mean() for k in range(0, 60, 32)])
    found = ask(evalkit, project.path / "eval.yaml", tmp_path / "o", f"accuracy={mean:.6f}")
    assert "mean of batch means, batches of 32" in first(found)
    dropped = right[:50].mean()
    assert dropped != right.mean()
    found = ask(evalkit, project.path / "eval.yaml", tmp_path / "o", f"accuracy={dropped:.6f}")
    assert "the last batch dropped, batches of 50" in first(found)


def test_averages_are_asked_too(project, evalkit, tmp_path, predictions):
    """The macro F1 of each batch, averaged: not the run's."""
    from sklearn.metrics import f1_score

    y, said = predictions
    parts = [f1_score(y[k : k + 20], said[k : k + 20], average="macro") for k in range(0, 60, 20)]
    found = ask(evalkit, project.path / "eval.yaml", tmp_path / "o", f"f1:macro={np.mean(parts):.6f}")
    assert "mean of batch means, batches of 20" in first(found)


def test_train_mode(project, evalkit, tmp_path, predictions):
    """A model that was left in train mode; ours is given back as it was."""
    y, _ = predictions
    project.write_model((project.path / "model.py").read_text().replace("nn.Dropout(0.5)", "nn.Dropout(0.0)"))
    project.model.train()
    project.model.body[3].p = 0.0
    with torch.no_grad():
        value = (project.model(torch.from_numpy(project.x)).argmax(1).numpy() == y).mean()
    found = ask(evalkit, project.path / "eval.yaml", tmp_path / "o", f"accuracy={value:.6f}")
    assert found["agrees"] or "train mode, batches of 256" in first(found)


def test_the_files_other_weights(project, evalkit, tmp_path, predictions):
    """The average of the weights beside the weights."""
    y, _ = predictions
    state = project.model.state_dict()
    ema = {key: value.clone() for key, value in state.items()}
    ema["head.weight"] = -ema["head.weight"]
    project.save({"model": state, "ema": ema}, "both.pt")
    project.model.load_state_dict(ema)
    value = (project.plain_outputs().argmax(1) == y).mean()
    spec = project.write_spec("both.yaml", model__checkpoint="both.pt", model__weights="model")
    found = ask(evalkit, spec, tmp_path / "o", f"accuracy={value:.6f}")
    assert "--weights 'ema'" in first(found)


def test_the_other_class_order(project, evalkit, tmp_path):
    """Labels numbered as another library sorts the names."""
    names = ["class 1", "class 2", "class 10"]
    project.y = project.plain_outputs().argmax(1)
    project.write_data(y=project.y)
    moved = np.array([sorted(names).index(name) for name in names])
    value = (moved[project.y] == project.y).mean()
    spec = project.write_spec("o.yaml", model__classes=names)
    found = ask(evalkit, spec, tmp_path / "o", f"accuracy={value:.6f}")
    assert "labels numbered in lexicographic (torchvision) order" in first(found)


def test_it_is_a_question_not_a_gate(project, evalkit, tmp_path):
    """Exit 0, whatever the answer; in words where no JSON is asked for."""
    code, out, _ = evalkit(
        "run", project.path / "eval.yaml", "-o", tmp_path / "o", "--expect", "accuracy=0.123457"
    )
    assert code == 0
    assert "not 0.123457" in out
    assert "nothing that was tried gives it; nearest:" in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accuracy=91", "did you mean 0.91"),
        ("accuracy", "expected METRIC=NUMBER"),
        ("accuracy=x", "expected METRIC=NUMBER"),
        ("accuracy=nan", "out of the metric's range"),
        ("acuracy=0.5", "did you mean 'accuracy'"),
        ("recall=0.5", "recall:macro"),
        ("roc_auc=0.5", "not one number of counts"),
        ("recall:most=0.5", "recall:macro"),
    ],
)
def test_what_cannot_be_asked(text, message):
    """One line, exit 2."""
    with pytest.raises(SpecificationError) as caught:
        parse_expectation(text)
    assert message in str(caught.value)


def test_digits_decide_what_agrees():
    """0.91 is anything that rounds to it."""
    assert parse_expectation("accuracy=0.91").agrees(0.9149)
    assert not parse_expectation("accuracy=0.910").agrees(0.9149)
    assert parse_expectation("accuracy=0.9").decimals == 2
    assert parse_expectation("accuracy=9.1e-1").decimals == 15

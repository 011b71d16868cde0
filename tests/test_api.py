"""The Python door: the same numbers as the command, models left as they were, loaders taken at their word."""

import doctest
import importlib
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import evalkit
from evalkit.errors import DataError, InvalidRunError, ModelError, SpecificationError
from evalkit.result import read_result

NAMES = ["a", "b", "c"]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(50, 4)).astype(np.float32))
    return TensorDataset(x, torch.from_numpy(rng.integers(0, 3, 50)))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))


def plain(model, data):
    model.eval()
    with torch.no_grad():
        pred = model(data.tensors[0]).argmax(1)
    model.train()
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (data.tensors[1].numpy(), pred.numpy()), 1)
    return counts


def counts_of(result):
    return result.document.confusion.matrix.tolist()


def test_a_module_and_a_dataset(data):
    """Plain torch's counts; the module comes back in the mode it was found in."""
    model = net()
    expected = plain(model, data).tolist()
    model[1].eval()
    result = evalkit.evaluate(model, data, class_names=NAMES)
    assert counts_of(result) == expected
    assert [module.training for module in model] == [True, False, True, True]


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 7}, {"batch_size": 7, "shuffle": True}, {"batch_size": 50, "num_workers": 1}, {}],
)
def test_loaders_are_walked_in_order(options, data):
    """Shuffling changes neither numbers nor digests."""
    model = net()
    result = evalkit.evaluate(model, DataLoader(data, **options), class_names=NAMES)
    assert counts_of(result) == plain(model, data).tolist()
    assert (
        result.document.digests["data"]
        == evalkit.evaluate(model, data, class_names=NAMES).document.digests["data"]
    )


class Stream(IterableDataset):
    def __iter__(self):
        yield from ()


def test_loaders_that_lose_or_repeat_samples_are_refused(data):
    """drop_last, weights, ranks, streams: each with its reason."""
    cases = {
        "drops its last batch": DataLoader(data, batch_size=7, drop_last=True),
        "not every sample": DataLoader(data, sampler=SequentialSampler(range(20))),
        "its last batch": DataLoader(
            data, batch_sampler=BatchSampler(SequentialSampler(data), 7, drop_last=True)
        ),
        "or not every": DataLoader(data, batch_sampler=BatchSampler(RandomSampler(range(9)), 7, False)),
        "WeightedRandomSampler": DataLoader(data, sampler=WeightedRandomSampler([1.0] * 50, 50)),
        "DistributedSampler": DataLoader(data, sampler=torch.utils.data.DistributedSampler(data, 4, 0)),
        "replacement": DataLoader(data, sampler=torch.utils.data.RandomSampler(data, replacement=True)),
        "iterable": DataLoader(Stream()),
        "without length": iter([1]),
    }
    for words, loader in cases.items():
        with pytest.raises(DataError, match=words):
            evalkit.evaluate(net(), loader, class_names=NAMES)


class Mappings(Dataset):
    """A Hugging Face-style data set."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        x, y = self.data[i]
        return {"pixel_values": x, "mask": torch.ones(1), "labels": int(y), "site": i % 2}


class TwoInputs(nn.Module):
    """Returns an object with logits, as library models do."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.config = SimpleNamespace(id2label={0: "a", 1: "b", 2: "c"})

    def forward(self, pixel_values, mask):
        return SimpleNamespace(logits=self.inner(pixel_values) * mask)


def test_mappings_inputs_by_name_and_names_from_the_model(data):
    """model(**x), logits by name, class names from id2label, attributes kept."""
    inner = net()
    result = evalkit.evaluate(TwoInputs(inner), Mappings(data), attributes=["site"])
    assert counts_of(result) == plain(inner, data).tolist()
    assert result.document.class_names == ("a", "b", "c")
    with pytest.raises(DataError, match="no inputs"):
        evalkit.evaluate(TwoInputs(inner), Mappings(data), inputs=["pixels"])


def test_names_come_from_the_data_set_or_are_asked_for(data):
    """dataset.classes, as torchvision has it."""
    data.classes = NAMES
    assert evalkit.evaluate(net(), data).document.class_names == ("a", "b", "c")
    del data.classes
    with pytest.raises(SpecificationError, match="class_names"):
        evalkit.evaluate(net(), data)


def test_an_invalid_run_raises(data):
    """No number, no result."""

    class Broken(nn.Module):
        def forward(self, x):
            return x[:, :3] / 0

    with pytest.raises(InvalidRunError, match="NaN or infinite"):
        evalkit.evaluate(Broken(), data, class_names=NAMES)


def test_labels_outside_the_classes(data):
    """Found while reading, with the positions."""
    with pytest.raises(DataError, match="labels outside 0 to 2"):
        evalkit.evaluate(net(), TensorDataset(data.tensors[0], data.tensors[1] + 1), class_names=NAMES)


def test_score_equals_scikit_learn():
    """Names, indices and scores."""
    rng = np.random.default_rng(1)
    y_true, y_pred = rng.integers(0, 3, 80), rng.integers(0, 3, 80)
    names = np.array(NAMES)
    for result in (evalkit.score(y_true, y_pred), evalkit.score(names[y_true], names[y_pred])):
        assert result.value("f1", average="macro") == pytest.approx(f1_score(y_true, y_pred, average="macro"))
    y_score = rng.normal(size=(80, 3))
    assert counts_of(evalkit.score(y_true, y_score=y_score)) == counts_of(
        evalkit.score(y_true, y_score.argmax(1))
    )
    assert evalkit.score(names[y_true], names[y_pred]).document.class_names == ("a", "b", "c")


def test_accumulator_equals_one_call():
    """However the batches fall; tensors and lists alike."""
    rng = np.random.default_rng(2)
    y_true, y_score = rng.integers(0, 3, 40), rng.normal(size=(40, 3)).astype(np.float32)
    whole = evalkit.score(y_true, y_score=y_score, class_names=NAMES)
    loop = evalkit.Accumulator(NAMES)
    for start in range(0, 40, 7):
        loop.add(
            torch.from_numpy(y_true[start : start + 7]), y_score=torch.from_numpy(y_score[start : start + 7])
        )
    result = loop.result()
    assert counts_of(result) == counts_of(whole)
    assert result.document.digests == whole.document.digests
    assert any("evalkit did not run the model" in row.detail for row in result.document.integrity)
    with pytest.raises(DataError, match="taken already"):
        loop.add([0], y_pred=[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y_true": [0, 1]}, "y_pred or y_score"),
        ({"y_true": [0, 3], "y_pred": [0, 1]}, "labels outside 0 to 2"),
        ({"y_true": [0, -1], "y_pred": [0, 1]}, "labels outside"),
        ({"y_true": [0.0, 1.0], "y_pred": [0, 1]}, "class indices or names"),
        ({"y_true": [0, 1], "y_pred": [0]}, "expected 2 rows"),
        ({"y_true": ["a", "x"], "y_pred": ["a", "b"]}, "row 1: 'x'"),
        ({"y_true": [0, 1], "y_score": [[1, 2], [3, 4]]}, r"expected shape \(2, 3\)"),
        ({"y_true": [0, 1], "y_score": [[1, 2, float("nan")]] * 2}, "NaN or infinite in rows 0, 1"),
        ({"y_true": [0, 1], "y_pred": [0, 1], "ids": ["x", "x"]}, "unique"),
        ({"y_true": [], "y_pred": []}, "no samples"),
        ({"y_true": [0, 1], "y_pred": [0, 1], "ids": ["x", None]}, r"ids: 1 are missing \(rows 1\)"),
        ({"y_true": [0.0, float("nan")], "y_pred": [0, 1]}, r"labels are missing \(rows 1\)"),
        ({"y_true": [0, 1], "y_pred": (label for label in [0])}, "expected 2 rows"),
    ],
)
def test_predictions_outside_the_contract(arguments, message):
    """Nothing is rounded, clipped or dropped."""
    with pytest.raises(DataError, match=message):
        evalkit.score(class_names=NAMES, **arguments)


def test_declared_probabilities_and_binary():
    """Probabilities must be some; a threshold for mere scores must be said."""
    with pytest.raises(DataError, match="no probability distribution"):
        evalkit.score([0, 1], y_score=[[2.0, 3.0], [0.1, 0.9]], output="probabilities")
    with pytest.raises(SpecificationError, match="threshold"):
        evalkit.score([0, 1], y_score=[[2.0, 3.0], [0.1, 0.9]], task="binary")
    result = evalkit.score(
        [0, 1], y_score=[[0.6, 0.4], [0.1, 0.9]], task="binary", output="probabilities", threshold=0.3
    )
    assert counts_of(result) == [[0, 1], [0, 1]]
    assert evalkit.score([0, 1], [0, 1], task="binary").document.positive_class == "1"


def test_a_result_can_be_looked_at_saved_and_read(tmp_path, data):
    """Frame, mistakes, documents, page, notebook."""
    result = evalkit.evaluate(net(), data, class_names=["<b>", "b", "c"], name="toy")
    frame = result.to_frame()
    assert set(frame["metric"]) >= {"accuracy", "tp", "f1"}
    mistakes = result.mistakes(5)
    assert len(mistakes) == 5
    assert (mistakes["y_true"] != mistakes["y_pred"]).all()
    assert mistakes["margin"].is_monotonic_decreasing
    result.save(tmp_path / "run")
    assert read_result(tmp_path / "run") == result.document
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "result.json",
        "verdict.json",
        "report.html",
        "predictions.parquet",
    }
    result.report(tmp_path / "page.html")
    assert b"toy" in (tmp_path / "page.html").read_bytes()
    assert "<table>" in result._repr_html_()
    assert "right" in repr(result)
    frame_html = result.show(300)._repr_html_()
    assert frame_html.startswith('<iframe srcdoc="')
    assert frame_html.count('"') == 6
    assert "&lt;!doctype html&gt;" in frame_html
    assert result.value("recall", class_name="<b>") is not None
    with pytest.raises(KeyError, match="no macro accuracy"):
        result.value("accuracy", average="macro")


def test_a_saved_result_is_gated_like_any_other(tmp_path, evalkit, data):
    """The command judges what Python measured."""
    import evalkit as package

    package.evaluate(net(), data, class_names=NAMES).save(tmp_path / "run")
    (tmp_path / "gates.yaml").write_text("gates: [{metric: accuracy, min: 0.0}]\n")
    assert evalkit("gate", tmp_path / "run", "--gates", tmp_path / "gates.yaml")[0] == 0
    assert json.loads((tmp_path / "run/verdict.json").read_text())["outcome"] == "passed"


def test_score_needs_no_torch():
    """Predictions are scored on a machine without it."""
    script = (
        "import sys, evalkit; r = evalkit.score([0, 1, 1], [0, 1, 0]); r.document.to_json();"
        "a = evalkit.Accumulator(['x', 'y']); a.add([0], y_score=[[1.0, 2.0]]); a.result();"
        "print([m for m in ('torch', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_public_names():
    """`__all__` is what there is."""
    for name in evalkit.__all__:
        assert getattr(evalkit, name) is not None
    assert sorted(evalkit.__all__) == dir(evalkit)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        evalkit.nothing  # noqa: B018


@pytest.mark.parametrize("module", ["counts", "rules", "display", "api", "testing"])
def test_examples_in_docstrings(module):
    """What a docstring shows is what happens."""
    found = doctest.testmod(importlib.import_module(f"evalkit.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_names_and_indices_are_not_mixed():
    """Which index is "a"? Nobody guesses."""
    with pytest.raises(SpecificationError, match="mix names and indices"):
        evalkit.score(["a", "b"], [0, 1])
    assert evalkit.score(["a", "b"], [0, 1], class_names=["a", "b"]).value("accuracy") == 1.0


def test_a_label_that_is_no_index():
    """2**62 classes are a mistake, not a matrix."""
    with pytest.raises(DataError, match="4611686018427387904 as a class index"):
        evalkit.score([0, 1], [0, 2**62])


def test_a_refused_batch_leaves_no_trace():
    """Neither its ids nor that there were ids."""
    loop = evalkit.Accumulator(NAMES)
    with pytest.raises(DataError, match="unique"):
        loop.add([0, 1], y_pred=[0, 1], ids=["x", "x"])
    loop.add([0, 1], y_pred=[0, 1])
    with pytest.raises(DataError, match="all batches or for none"):
        loop.add([0, 1], y_pred=[0, 1], ids=["x", "y"])
    assert loop.result().document.n_samples == 2


@pytest.mark.parametrize("threshold", [float("nan"), "x", True, 1.5])
def test_thresholds_that_decide_nothing(threshold):
    """A probability's threshold is a probability."""
    with pytest.raises(SpecificationError, match="threshold: must be"):
        evalkit.score(
            [0, 1],
            y_score=[[0.5, 0.5], [0.2, 0.8]],
            task="binary",
            output="probabilities",
            threshold=threshold,
        )


class Leaves(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        if i == 1:
            raise SystemExit(0)
        return torch.zeros(4), 0


@pytest.mark.parametrize("options", [{}, {"num_workers": 1}])
def test_a_sample_that_leaves_is_unreadable(options):
    """exit() in user code ends no evaluation with success."""
    with pytest.raises(DataError, match="sample 1: SystemExit"):
        evalkit.evaluate(net(), DataLoader(Leaves(), **options), class_names=NAMES)


def test_what_is_no_module(data):
    """A function has no eval mode."""
    with pytest.raises(ModelError, match="expected a torch.nn.Module, got a function"):
        evalkit.evaluate(lambda x: x, data, class_names=NAMES)


def test_names_of_a_config_follow_the_indices(data):
    """Text keys are numbers all the same; a plain tensor needs no select."""
    model = net()
    model.config = SimpleNamespace(id2label={"2": "c", "0": "a", "1": "b"})
    assert counts_of(evalkit.evaluate(model, data)) == plain(model, data).tolist()
    model.config = SimpleNamespace(id2label={0: "a", 1: "b", 3: "c"})
    with pytest.raises(SpecificationError, match="does not name the indices 0 to 2"):
        evalkit.evaluate(model, data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factory": "resnet18"}, "factory: expected module:callable"),
        ({"classes": ["a", "a"]}, "unique"),
        ({"classes": ["a", "b", "c"]}, "the model's head has 2 outputs, got 3 names"),
        ({"preprocess": {"resize": 8, "croop": 4}}, "croop: unknown key"),
        ({"preprocess": {"mean": [0.5, 0.5]}}, "mean: expected 3 numbers"),
        ({"preprocess": "none at all"}, "preprocess: expected a mapping"),
        ({"output": "logit"}, "output: expected logits"),
        ({"args": {"width": {1}}}, "args: cannot be written as JSON"),
    ],
)
def test_a_declaration_is_checked_when_it_is_written(changes, message, tmp_path):
    """Not weeks later, when it is read."""
    model = nn.Module()
    model.fc = nn.Linear(3, 2)
    declared = {"factory": "torchvision:resnet18", "classes": ["a", "b"], "preprocess": {"resize": 8}}
    evalkit.save_checkpoint(tmp_path / "good.safetensors", model, **declared)
    with pytest.raises(SpecificationError, match=message):
        evalkit.save_checkpoint(tmp_path / "bad.safetensors", model, **declared | changes)
    assert not (tmp_path / "bad.safetensors").exists()


def test_a_refused_batch_is_not_counted():
    """Whatever refuses it: here scores for some batches only."""
    loop = evalkit.Accumulator(NAMES).add([0, 1], y_score=np.eye(3)[:2])
    with pytest.raises(DataError, match="y_score: expected for all batches or for none"):
        loop.add([1, 1, 1], y_pred=[2, 2, 2])
    assert loop.result().value("accuracy") == 1.0


def test_labels_of_a_data_set_with_names_are_matched_by_name(data):
    """The model's order is its own; the data set's indices are those of its own list."""
    model = net()
    expected = plain(model, data)
    data.classes = ["b", "c", "a"]
    result = evalkit.evaluate(model, data, class_names=NAMES)
    order = [1, 2, 0]
    shifted = np.zeros((3, 3), int)
    for k in range(3):
        shifted[order[k]] = expected[k]
    assert counts_of(result) == shifted.tolist()
    data.classes = ["b", "c", "x"]
    with pytest.raises(SpecificationError, match="'x' of the data set are no classes of the model"):
        evalkit.evaluate(model, data, class_names=NAMES)
    model.config = SimpleNamespace(id2label={0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"})
    assert evalkit.evaluate(model, data).document.class_names == ("b", "c", "x")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({0: "x", 1: "y"}, ("x", "y")),
        ({"y": 1, "x": 0}, ("x", "y")),
        (np.array(["x", "y"]), ("x", "y")),
        ("xy", None),
        ({"x", "y"}, None),
        (3, None),
        ({0: "x", 2: "y"}, None),
    ],
)
def test_names_need_an_order(names, expected):
    """A list, an array, a mapping with indices; never a set."""
    if expected is None:
        with pytest.raises(SpecificationError, match="class_names"):
            evalkit.Accumulator(names)
    else:
        loop = evalkit.Accumulator(names).add([0], y_pred=[0])
        assert loop.result().document.class_names == expected


def test_scores_are_numbers():
    """Neither complex nor text; and 1 beside "a" is no name."""
    for scores in ([[1j, 0]], [["a", "b"]]):
        with pytest.raises(DataError, match="expected numbers"):
            evalkit.score([0], y_score=scores, class_names=["x", "y"])
    with pytest.raises((DataError, SpecificationError)):
        evalkit.score(["a", 1, "b"], ["a", "b", "b"])


def test_attributes_may_be_one_key_or_none(data):
    """None is the default of the signature, a text is one key."""
    inner = net()
    for attributes in (None, "site", ["site"]):
        result = evalkit.evaluate(
            TwoInputs(inner), Mappings(data), attributes=attributes, inputs=["pixel_values", "mask"]
        )
        assert counts_of(result) == plain(inner, data).tolist()


def test_booleans_are_labels_of_two_classes():
    """False is the first."""
    assert evalkit.score(np.array([True, False]), np.array([True, True])).value("accuracy") == 0.5

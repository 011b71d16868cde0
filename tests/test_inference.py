"""The loop: eval mode, every sample once, one decision rule, nothing guessed from values."""

import sys
import threading
from contextlib import closing

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from evalkit.datasets import Batch, NpzSource
from evalkit.datasets.userdata import UserData
from evalkit.decide import Decision
from evalkit.errors import DataError, InvalidRunError, ModelError, SpecificationError
from evalkit.inference import (
    Fed,
    Predictor,
    batch_list,
    evaluation_mode,
    feed,
    iterate_batches,
    pick_device,
)
from evalkit.inference.unchanged import check_unchanged, model_digest
from evalkit.parts import Observed
from evalkit.parts.seen import Seen


def source_of(n=20, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    return NpzSource(x, rng.integers(0, 3, n), None, {})


def run(
    model, source, *, batch_size=6, workers=0, select=None, output="logits", dtype=torch.float32, n_classes=3
):
    state, seen = Observed(), Seen(len(source))
    with evaluation_mode(model):
        predictor = Predictor(
            model,
            Decision("multiclass", output),
            n_classes,
            select,
            torch.device("cpu"),
            dtype,
            exclude=False,
            state=state,
        )
        stream = iterate_batches(source, batch_list(len(source), batch_size), workers=workers)
        batches = [
            predictor.take(position, Fed.of(batch, predictor.dtype)).batch
            for position, batch in enumerate(stream)
        ]
    for batch in batches:
        seen.add(batch.index)
    seen.check(0, len(source))
    return batches, state


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))


@given(st.integers(0, 50), st.integers(1, 60))
def test_batch_list_covers_every_position_once(n, size):
    """Consecutive, nothing padded, nothing dropped."""
    batches = batch_list(n, size)
    assert [i for batch in batches for i in batch.tolist()] == list(range(n))
    assert all(len(batch) == size for batch in batches[:-1])


@pytest.mark.parametrize("batch_size", [1, 3, 20, 100])
@pytest.mark.parametrize("workers", [0, 2])
def test_predictions_do_not_depend_on_batches_or_workers(batch_size, workers):
    """BatchNorm and Dropout in the model; the last short batch counts."""
    model, source = net(), source_of()
    reference, _ = run(model, source, batch_size=7)
    batches, state = run(model, source, batch_size=batch_size, workers=workers)
    expected = np.concatenate([batch.y_pred for batch in reference])
    assert np.concatenate([batch.y_pred for batch in batches]).tolist() == expected.tolist()
    assert np.concatenate([batch.index for batch in batches]).tolist() == list(range(20))
    assert state.inputs == run(model, source)[1].inputs


def test_the_model_comes_back_as_it_was():
    """Training flags, parameters and buffers; no graph is kept."""
    model, source = net(), source_of()
    model[1].eval()
    flags = [module.training for module in model.modules()]
    before = model_digest(model)
    run(model, source)
    assert [module.training for module in model.modules()] == flags
    assert model_digest(model) == before
    check_unchanged(before, model_digest(model))
    assert all(parameter.grad is None for parameter in model.parameters())


class Stubborn(nn.Module):
    """Sets the root's flag alone, as a published model does."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Dropout(0.5)

    def train(self, mode=True):
        self.training = mode
        return self

    def forward(self, x):
        return self.inner(x)[:, :3]


class Relapsing(nn.Module):
    """Goes back to train mode inside forward."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, x):
        self.inner.train()
        return self.inner(x)


@pytest.mark.parametrize(("model", "when"), [(Stubborn(), "although"), (Relapsing(), "after the run")])
def test_train_mode_makes_a_run_invalid(model, when):
    """Checked on every submodule, before and after."""
    with pytest.raises(InvalidRunError, match=f"inner.*|{when}") as caught:
        run(model, source_of())
    assert caught.value.check == "eval_mode"
    assert when in caught.value.message


def test_constructor_that_leaves_children_in_train_mode():
    """A model that sets only its own flag when built is put right by eval()."""
    model = net()
    model.training = False
    batches, _ = run(model, source_of())
    assert sum(len(batch.index) for batch in batches) == 20


class Output(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def logits(x):
    return x[:, :3]


@pytest.mark.parametrize(
    ("function", "select"),
    [
        (lambda x: (x, logits(x)), 1),
        (lambda x: [logits(x)], 0),
        (lambda x: (x, logits(x)), -1),
        (lambda x: {"logits": logits(x), "z": x}, "logits"),
        (lambda x: type("Out", (), {"logits": logits(x)})(), "logits"),
        (logits, None),
    ],
)
def test_select_finds_the_scores(function, select):
    """Tuples, lists, mappings and objects, by index or key."""
    source = source_of()
    batches, _ = run(Output(function), source, select=select)
    assert np.concatenate([batch.y_pred for batch in batches]).tolist() == source.x[:, :3].argmax(1).tolist()


@pytest.mark.parametrize(
    ("function", "select", "message"),
    [
        (
            lambda x: (x, logits(x)),
            None,
            r"a tuple \(a tensor \(6, 4\), a tensor \(6, 3\)\).*index from 0 to 1",
        ),
        (lambda x: {"a": x}, "b", r"'b' is not in a mapping {a: a tensor \(6, 4\)}.*one of 'a'"),
        (lambda x: (x,), 3, "3 is not in"),
        (lambda x: x, None, "has 4 outputs, but 3 class names"),
        (lambda x: x[:, :1], None, "has 1 outputs.*task: binary"),
        (lambda x: x[:, 0], None, r"shape \(6,\), expected \(6, 3\)"),
        (lambda x: logits(x)[:-1], None, r"shape \(5, 3\)"),
        (lambda x: None, None, "NoneType.*must return a tensor"),
        (lambda x: logits(x).to_sparse(), None, "sparse"),
        (lambda x: logits(x).long() + 2**60, None, r"beyond 2\*\*53"),
        (lambda x: logits(x).to(torch.complex64), None, "complex"),
    ],
)
def test_outputs_that_were_not_declared(function, select, message):
    """Shapes are listed, and the way out is named."""
    with pytest.raises(ModelError, match=message):
        run(Output(function), source_of(), select=select)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_outputs_are_never_scored(value):
    """A NaN would count as class 0; the first positions are listed instead."""

    def broken(x):
        out = logits(x).clone()
        out[x[:, 0] > 0, 1] = value
        return out

    source = source_of(40)
    rows = np.flatnonzero(source.x[:6, 0] > 0)
    assert rows.size
    with pytest.raises(InvalidRunError, match=f"samples {rows[0]}") as caught:
        run(Output(broken), source)
    assert caught.value.check == "finite_outputs"


def test_declared_probabilities_are_checked():
    """Rows that do not sum to 1, or leave [0, 1], are no probabilities; scores may do both."""
    run(Output(lambda x: logits(x).softmax(1)), source_of(), output="probabilities")
    with pytest.raises(InvalidRunError, match=r"sum to 1\.\d"):
        run(Output(lambda x: logits(x).softmax(1) * 1.2 / 1), source_of(), output="probabilities")
    with pytest.raises(InvalidRunError, match="outside"):
        run(
            Output(lambda x: torch.tensor([[-0.5, 1.0, 0.5]]).expand(len(x), 3)),
            source_of(),
            output="probabilities",
        )
    run(Output(lambda x: logits(x).sigmoid() * 3), source_of(), output="scores")


def test_forward_that_raises_names_batch_and_samples():
    """One line with batch, positions, input shape and the first line of the user's error."""

    def fails(x):
        if x.shape[0] < 6:
            raise RuntimeError("size mismatch\nlong story")
        return logits(x)

    with pytest.raises(
        InvalidRunError,
        match=r"batch 3 \(samples 18 to 19, input \(2, 4\) float32\): RuntimeError: size mismatch$",
    ):
        run(Output(fails), source_of())


class Broken:
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 4

    def batch(self, index):
        if index[0] >= 2:
            self.error()
        return source_of().batch(index)


def raise_value_error():
    raise ValueError("bad pixel")


def die():
    import os

    os._exit(3)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_raises_is_refused(workers):
    """Exit 4 with the positions, whatever the number of workers."""
    with pytest.raises(DataError, match=r"samples 2 to 3 cannot be read: ValueError: .*bad pixel"):
        list(iterate_batches(Broken(raise_value_error), batch_list(4, 2), workers=workers))


def test_a_worker_that_dies_makes_the_run_invalid():
    """Not a partial number."""
    with pytest.raises(InvalidRunError, match="worker died while batch") as caught:
        list(iterate_batches(Broken(die), batch_list(4, 2), workers=1))
    assert caught.value.check == "workers"


def test_positions_seen_twice_or_never():
    """Padding and dropping are found, not averaged away."""
    seen = Seen(4)
    for index in ([0, 1], [1, 3]):
        seen.add(np.array(index))
    with pytest.raises(InvalidRunError, match=r"2 samples .* \(first: 1\)"):
        seen.check(0, 4)


def test_multiclass_takes_the_lowest_index_on_a_tie():
    """Ties are counted."""
    outputs = np.array([[1, 3, 3], [2, 2, 2], [0, 1, 5]], np.float32)
    y_pred, n_ties = Decision("multiclass", "logits").decide(outputs)
    assert (y_pred.tolist(), n_ties) == ([1, 0, 2], 2)


@pytest.mark.parametrize("positive", [0, 1])
def test_binary_decides_by_threshold(positive):
    """p(positive) >= threshold in float64: equal logits are a tie and positive."""
    outputs = np.array([[0, 0], [0, 1], [1, 0], [80, 0], [0, 800]], np.float32)
    y_pred, n_ties = Decision("binary", "logits", positive, 0.5).decide(outputs)
    expected = [positive, 1, 0, 0, 1]
    assert (y_pred.tolist(), n_ties) == (expected, 1)
    y_pred, _ = Decision("binary", "logits", positive, 0.9).decide(outputs)
    assert y_pred.tolist()[1:3] == [1 - positive] * 2


def test_binary_scores_use_their_own_units():
    """No softmax over scores."""
    outputs = np.array([[9, 2.5], [0, 2.4]])
    assert Decision("binary", "scores", 1, 2.5).decide(outputs)[0].tolist() == [1, 0]


def test_float64_inputs_take_the_models_type():
    """The cast is recorded; integers are left alone."""
    source = source_of()
    wide = NpzSource(source.x.astype(np.float64), source.y, None, {})
    _, state = run(net(), wide)
    assert state.input_cast == "float64 -> float32"
    assert (
        run(
            Output(lambda x: logits(x.double())),
            NpzSource((source.x * 9).astype(np.int16), source.y, None, {}),
        )[1].input_cast
        is None
    )


def test_a_changed_model_is_found():
    """A forward pass that moves a buffer or a parameter, persistent or not."""
    model = net()
    model.register_buffer("hidden", torch.zeros(2), persistent=False)
    before = model_digest(model)
    model.hidden[1] = 1
    with pytest.raises(InvalidRunError, match="changed"):
        check_unchanged(before, model_digest(model))


def test_devices():
    """A device that this machine does not have is a usage error."""
    assert pick_device("cpu").type == "cpu"
    if not torch.cuda.is_available():
        assert pick_device("auto").type in {"cpu", "mps"}
        with pytest.raises(SpecificationError, match="not available"):
            pick_device("cuda:3")


def test_integer_scores_stay_exact():
    """float32 would merge 2**24 and 2**24 + 1."""
    scores = torch.tensor([[2**24, 2**24 + 1, 2**24]])
    batches, _ = run(Output(lambda x: scores.expand(len(x), 3)), source_of(), output="scores")
    assert batches[0].y_pred.tolist() == [1] * 6
    assert batches[0].outputs.dtype == np.float64


def test_a_forward_that_exits_is_a_failed_forward():
    """sys.exit(0) in a model is no success of evalkit."""
    with pytest.raises(InvalidRunError, match="SystemExit: 0"):
        run(Output(lambda x: sys.exit(0)), source_of())


def test_what_makes_bits_reproducible_is_given_back():
    """No TF32, no autotuning while a model is measured; recorded, and as it was afterwards."""
    from evalkit.inference.mode import flags, reproducible

    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = cuda.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    try:
        cuda.allow_tf32 = cudnn.benchmark = True
        with reproducible():
            assert not cuda.allow_tf32
            assert not cudnn.benchmark
        assert cuda.allow_tf32
        assert cudnn.benchmark
        assert flags()["tf32"] is False
        assert flags()["threads"] == torch.get_num_threads()
    finally:
        cuda.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


def batches_of(sizes, *, fails=False):
    """Yield batches of a few samples each, of which the last may not be readable."""
    start = 0
    for size in sizes:
        index = np.arange(start, start + size)
        x = torch.arange(start * 3, (start + size) * 3, dtype=torch.float64).reshape(size, 3)
        yield Batch(index, (x,), index % 2)
        start += size
    if fails:
        raise DataError("cannot be read")


@pytest.mark.parametrize("ahead", [False, True])
def test_feeding_gives_the_batches_as_they_are(ahead):
    """In order, in the model's type, with the codes that each has alone; an error comes after what was read."""
    alone = [Fed.of(batch, torch.float32) for batch in batches_of([4, 4, 0, 1, 4])]
    fed = []
    with pytest.raises(DataError, match="cannot be read"):
        fed.extend(feed(batches_of([4, 4, 0, 1, 4], fails=True), dtype=torch.float32, ahead=ahead))
    assert [one.batch.index.tolist() for one in fed] == [one.batch.index.tolist() for one in alone]
    for one, other in zip(fed, alone, strict=True):
        assert np.array_equal(one.codes, other.codes)
        assert one.inputs[0].dtype == torch.float32
        assert one.cast == "float64 -> float32"


@pytest.mark.parametrize("ahead", [False, True])
def test_what_a_gpu_fetches_is_pinned(ahead, monkeypatch):
    """Every input of every batch, before the model is fed it."""
    copied = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda value: copied.append(len(value)) or value.clone())
    batches = (Batch(np.arange(2), {"a": torch.ones(2, 3), "b": torch.ones(2)}, np.zeros(2)) for _ in "xy")
    fed = list(feed(batches, dtype=torch.float64, ahead=ahead, pin=True))
    assert copied == [2, 2, 2, 2]
    assert [one.inputs["a"].dtype for one in fed] == [torch.float64] * 2


def test_feeding_ahead_ends_with_its_reader():
    """Whoever stops reading ends the thread, and what it reads from is closed."""
    closed = []

    def endless():
        try:
            while True:
                yield from batches_of([2])
        finally:
            closed.append(True)

    before = threading.active_count()
    with closing(feed(endless(), dtype=None, ahead=True)) as stream:
        next(stream)
    assert closed == [True]
    assert threading.active_count() == before


@pytest.mark.parametrize("positions", [[1, 2, 3], [5, 1, 2], [4]])
def test_tensors_in_memory_are_cut_as_a_whole(positions):
    """A TensorDataset gives the batch that joining its items gives, in memory of its own."""
    x, y = torch.randn(9, 3), torch.arange(9) % 2
    data = torch.utils.data.TensorDataset(x, y)
    index = np.array(positions)
    cut = UserData(data, "data", ("a", "b")).batch(index)
    joined = UserData(data, "data", ("a", "b"), torch.utils.data.default_collate).batch(index)
    assert torch.equal(cut.inputs[0], joined.inputs[0])
    assert np.array_equal(cut.y_true, joined.y_true)
    cut.inputs[0].zero_()
    assert torch.equal(x[positions], joined.inputs[0])

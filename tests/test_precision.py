"""Half precision: the answers that it could decide otherwise are those of full precision, and it is said."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from passes import document, measured, setup_of, shard_of, source_of
from scipy.stats import binomtest
from torch import nn

import evalkit
from evalkit import concluding
from evalkit.compare.question import is_same_model, remarks
from evalkit.decide import Decision
from evalkit.describing import record_warnings
from evalkit.errors import InvalidRunError, SpecificationError
from evalkit.inference.precision import N_MEASURED, half_of
from evalkit.integrity import IntegrityLog
from evalkit.merging import merged
from evalkit.parts.repeats import Repeats
from evalkit.parts.spent import AskedAgain, Latencies
from evalkit.render.facts import run_facts
from evalkit.uncertainty import share_at_most

NAMES = tuple("abcd")


class Pictures(torch.utils.data.Dataset):
    """Pictures whose classes a small network can hardly tell apart."""

    classes = NAMES

    def __init__(self, n=400):
        generator = torch.Generator().manual_seed(1)
        self.x = torch.rand(n, 3, 8, 8, generator=generator)
        self.y = torch.randint(0, 4, (n,), generator=generator)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, k):
        return self.x[k], int(self.y[k])


def close_network(scale=0.3):
    """A network whose best two outputs are often near each other."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    head = nn.Linear(32, 4)
    with torch.no_grad():
        features = body(Pictures().x)
        head.weight.mul_(scale * 30)
        head.bias.copy_(-(head.weight @ features.mean(0)))
    return nn.Sequential(*body, head)


@pytest.fixture(scope="module")
def results():
    """One evaluation of each kind."""
    data, model = Pictures(), close_network()
    return {
        kind: evalkit.evaluate(model, data, batch_size=50, precision=kind, metrics={"names": ["accuracy"]})
        for kind in ("exact", "amp", "fast")
    }


def rows(result):
    return pq.read_table(result.ledger())


def test_fast_decides_as_full_precision(results):
    """No prediction differs, where plain half precision changes some; what ran again is near a tie."""
    exact, amp, fast = (np.array(rows(results[kind])["y_pred"]) for kind in ("exact", "amp", "fast"))
    assert (exact != amp).any()
    assert np.array_equal(exact, fast)
    assert results["exact"].document.counts == results["fast"].document.counts
    facts = results["fast"].document.run["fast"]
    assert 0 < facts["ran_again"] < 400
    assert facts["compared"] == 100
    assert facts["changed"] == 0
    assert facts["measured_error"] <= facts["largest_error"] < 2 * facts["measured_error"]


def test_scores_near_ties_are_those_of_full_precision(results):
    """A sample that ran again has the scores of the exact run, to the last bits; others have bfloat16's."""
    exact, fast = (np.stack([rows(results[k])[f"score_{c}"] for c in range(4)]) for k in ("exact", "fast"))
    same = np.abs(exact - fast).max(axis=0) < 1e-6
    assert same.sum() >= results["fast"].document.run["fast"]["ran_again"] - 1
    assert not same.all()
    margin = np.array(rows(results["exact"])["margin"])
    assert margin[same].mean() < margin[~same].mean()


def test_precision_is_recorded(results):
    """The signature's type, the check and the facts say what was computed how."""
    types = {kind: result.document.signature.rpartition("dtype:")[2] for kind, result in results.items()}
    assert types == {"exact": "float32", "amp": "bfloat16", "fast": "bfloat16+float32"}
    found = {
        kind: next(row for row in result.document.integrity if row.check == "precision")
        for kind, result in results.items()
    }
    assert [found[kind].status for kind in ("exact", "amp", "fast")] == ["ok", "not_run", "ok"]
    bound = share_at_most(0, 100, level=0.95)
    assert f"at most {bound:.2%} of all do" in found["fast"].detail
    assert results["fast"].document.run["fast"]["changed_at_most"] == bound
    assert all(results[kind].document.run["precision"] == kind for kind in results)
    shown = dict(run_facts(results["fast"].document))
    assert shown["Compared at random"] == "100, of which 0 changed"
    assert shown["Predictions changed, at most"] == f"{bound:.2%}"
    assert "Ran again in full precision" not in dict(run_facts(results["exact"].document))


def test_bound_is_clopper_and_pearsons():
    """The bound is scipy's, of one side."""
    for k, n in ((0, 100), (3, 100), (1, 1000), (5, 5)):
        expected = binomtest(k, n).proportion_ci(0.9, "exact").high
        assert share_at_most(k, n, level=0.95) == pytest.approx(expected)
    assert share_at_most(0, 0, level=0.95) == 1


def wide_model():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.mark.parametrize("n", [1, 50, 301])
def test_shards_and_resumed_runs_are_the_whole_run(tmp_path, n):
    """Law 4 for fast: the document and the table of parts put together are those of the whole run."""
    setup = setup_of(source_of(n), model=wide_model(), precision="fast", run={"precision": "fast"})
    whole = measured(setup, tmp_path / "whole")
    expected = document(whole.evaluation({}).result)
    shards = [
        shard_of(measured(setup, tmp_path / f"s{k}", index=k, count=3), tmp_path / f"s{k}") for k in (1, 2, 3)
    ]
    put = merged(shards)
    ledger = tmp_path / "merged.parquet"
    again = concluding.conclude(put.described, put.parts, put.integrity, ledger=ledger, provenance={})
    assert document(again.result) == expected
    assert pq.read_table(ledger).equals(pq.read_table(whole.work.ledger))
    if n > 1:
        assert again.result.run["fast"]["ran_again"] > 0
    assert again.result.run["fast"]["compared"] == min(n, 100)


def test_what_changes_is_a_warning(tmp_path):
    """A prediction that full precision changes is counted, bounded and warned of."""
    setup = setup_of(source_of(300), model=wide_model(), precision="fast", run={"precision": "fast"})
    run = measured(setup, tmp_path)
    run.evaluation({})
    observed = replace(run.observed, again=AskedAgain(10, 100, 2, 0.1, 0.5))

    class Joined:
        pass

    Joined.observed = observed
    log = IntegrityLog()
    record_warnings(run.described, Joined, Repeats(), log)
    status, detail = log.found["precision"]
    assert status == "warn"
    assert "2 change their prediction" in detail
    assert f"{share_at_most(2, 100, level=0.95):.2%}" in detail


def test_the_same_samples_are_drawn_in_every_shard():
    """They follow from seed and data alone, at least a hundred and at most a thousand."""
    sizes = [len(half_of("fast", n, 0).audited) for n in (1, 99, 4_000, 10_000, 10**6)]
    assert sizes == [1, 99, 100, 200, 1_000]
    assert np.array_equal(half_of("fast", 500, 3).audited, half_of("fast", 500, 3).audited)
    assert not np.array_equal(half_of("fast", 500, 3).audited, half_of("fast", 500, 4).audited)
    assert half_of("exact", 500, 0) is None
    assert N_MEASURED > 100


LOGIT = float(np.log(0.8 / 0.2))


@pytest.mark.parametrize(
    ("decision", "outputs", "expected"),
    [
        (Decision("multiclass", "logits"), [[3, 1, 2.5]], 0.5),
        (Decision("multiclass", "scores"), [[7, 7, 1]], 0),
        (Decision("binary", "logits", 1, 0.8), [[1, 1 + LOGIT + 0.25]], 0.25),
        (Decision("binary", "probabilities", 0, 0.5), [[0.4, 0.6]], 0.1),
        (Decision("multilabel", "logits", None, 0.8), [[LOGIT + 2, LOGIT - 1, 9]], 1),
        (Decision("multilabel", "scores", None, 3.0), [[5, 1, 2]], 1),
    ],
)
def test_margins_are_the_distance_of_another_decision(decision, outputs, expected):
    """By that much an output has to move before the decision does, and by hardly more."""
    outputs = np.array(outputs, np.float64)
    assert decision.margins(outputs)[0] == pytest.approx(expected)
    before = decision.decide(outputs)[0]
    for place in range(outputs.shape[1]):
        for step in (-1, 1):
            moved = outputs.copy()
            moved[0, place] += step * max(expected - 1e-9, 0) / 2
            assert np.array_equal(decision.decide(moved)[0], before)


def test_certain_thresholds_have_margins():
    """Thresholds of 0 and 1 are far from everything that a logit says."""
    for threshold in (0.0, 1.0):
        assert np.isfinite(Decision("binary", "logits", 1, threshold).margins(np.zeros((2, 2)))).all()


def test_random_models_are_not_compared():
    """Answers that are meant to be random cannot be held against others."""
    with pytest.raises(SpecificationError, match="stochastic"):
        evalkit.evaluate(close_network(), Pictures(8), precision="fast", stochastic=True)


def test_a_model_that_changes_its_inputs_is_asked_with_its_own():
    """What runs again was not spoilt by the first answer."""

    class Spoils(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = close_network()

        def forward(self, x):
            found = self.net(x)
            x.zero_()
            return found

    data = Pictures()
    before = data.x.clone()
    fast = evalkit.evaluate(Spoils(), data, class_names=NAMES, precision="fast")
    exact = evalkit.evaluate(close_network(), data)
    assert fast.document.counts == exact.document.counts
    assert torch.equal(before, data.x)


def test_latencies_add_up():
    """Quantiles are within 1 % of numpy's, whatever the parts."""
    times = np.random.default_rng(0).lognormal(-4, 1, 1001)
    parts = Latencies(), Latencies()
    for k, seconds in enumerate(times):
        parts[k % 2].add(seconds)
    parts[0].bins.update(parts[1].bins)
    for share in (0.5, 0.95):
        expected = 1000 * np.quantile(times, share, method="inverted_cdf")
        assert parts[0].milliseconds(share) == pytest.approx(expected, rel=0.015)
    assert Latencies().milliseconds(0.5) is None
    assert json.dumps(list(parts[0].bins.items()))


class Tensors(torch.utils.data.TensorDataset):
    """Tensors of known classes."""

    def __init__(self, x, n_classes=4, seed=0):
        generator = torch.Generator().manual_seed(seed)
        super().__init__(x, torch.randint(0, n_classes, (len(x),), generator=generator))


def predictions(model, data, precision, **further):
    found = evalkit.evaluate(model, data, class_names=NAMES, precision=precision, **further)
    return np.array(rows(found)["y_pred"]), found.document


def check_of(document):
    return next(row for row in document.integrity if row.check == "precision")


def test_samples_that_grow_are_decided_as_in_full_precision():
    """The first ones, a thousand times smaller than the last, say nothing of the errors of these."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(30, 32, bias=False), nn.ReLU(), nn.Linear(32, 4, bias=False)).eval()
    x = torch.randn(3_000, 30) * torch.logspace(-2, 1, 3_000)[:, None]
    exact, _ = predictions(model, Tensors(x), "exact")
    amp, _ = predictions(model, Tensors(x), "amp")
    fast, document = predictions(model, Tensors(x), "fast")
    assert (exact != amp).any()
    assert np.array_equal(exact, fast)
    assert check_of(document).status == "ok"


class Blunder(nn.Module):
    """In half precision it is off, far more for a few samples."""

    def __init__(self, far):
        super().__init__()
        self.far = far

    def forward(self, x):
        low = torch.is_autocast_enabled("cpu")
        return x + (0.001 + self.far * (x[:, :1] > 9)) * torch.tensor([0.0, 1, 0, 0]) * low


def blundering(far):
    """What becomes of a model whose errors show in samples that were not measured; some of them are drawn."""
    half = half_of("fast", 4_000, 0)
    special = np.setdiff1d(np.arange(0, 4_000, 20), half.measured)
    x = torch.zeros(4_000, 4)
    x[:, 2] = 3.0
    x[special, 0] = 10.0
    drawn = np.intersect1d(special, half.audited)
    assert len(drawn)
    return *predictions(Blunder(far), Tensors(x), "fast"), special, drawn


def test_errors_that_were_not_foreseen_are_a_warning():
    """What was drawn shows that the limit was too small, although nothing was decided otherwise."""
    fast, document, special, _ = blundering(far=4)
    assert (fast[special] == 0).all()
    assert document.run["fast"]["changed"] == 0
    assert check_of(document).status == "warn"
    assert "an error of 4 was seen where 0.001 was measured before" in check_of(document).detail


def test_whatever_was_asked_in_full_precision_is_kept():
    """A drawn sample whose prediction changes is counted as changed, and has the right one."""
    fast, document, special, drawn = blundering(far=40)
    assert (fast[drawn] == 0).all()
    assert (fast[np.setdiff1d(special, drawn)] == 1).all()
    assert document.run["fast"]["changed"] == len(drawn)
    assert check_of(document).status == "warn"


def test_measured_and_compared_samples_are_others():
    """Drawn from all of the data; of few samples they are the same ones."""
    half = half_of("fast", 5_000, 0)
    assert not set(half.measured) & set(half.audited)
    assert (np.diff(half.measured) > 0).all()
    assert half.measured[-1] > 4_000
    assert len(half_of("fast", 150, 0).measured) == N_MEASURED
    assert list(half_of("fast", 1, 0).measured) == [0]


def softmax_network():
    return nn.Sequential(*close_network(), nn.Softmax(dim=1))


def viewing_network():
    """It looks at its pictures as they lie in memory."""

    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(2)
            self.convolve, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 4)

        def forward(self, x):
            return self.head(self.convolve(x).view(-1, 4 * 36))

    return Views()


@pytest.mark.parametrize(
    ("build", "output"), [(softmax_network, "probabilities"), (viewing_network, "logits")]
)
def test_models_that_half_precision_or_its_layout_upsets(build, output):
    """Sums of bfloat16 miss 1, and strides are others: neither keeps a model from being evaluated."""
    exact, _ = predictions(build(), Pictures(), "exact", output=output)
    fast, document = predictions(build(), Pictures(), "fast", output=output)
    assert np.array_equal(exact, fast)
    assert document.valid
    assert predictions(build(), Pictures(), "amp", output=output)[1].valid


class Picky(nn.Module):
    """It takes float32 alone."""

    def __init__(self):
        super().__init__()
        self.net = close_network()

    def forward(self, x):
        found = self.net(x)
        assert found.dtype == torch.float32
        return found


@pytest.mark.parametrize("kind", ["fast", "amp"])
def test_what_fails_in_half_precision_says_so(kind):
    """The error names the precision, and what to do."""
    with pytest.raises(InvalidRunError, match=f"precision: {kind} computes in bfloat16") as caught:
        predictions(Picky(), Pictures(), kind)
    assert "run.precision to exact" in caught.value.hint


@pytest.mark.parametrize(("kind", "shown"), [("fast", "bfloat16+float32"), ("amp", "bfloat16")])
def test_the_signature_shows_half_precision_whatever_the_answers_type(kind, shown):
    """A model that casts its answer to float32 has computed it in bfloat16 all the same."""

    class Casts(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = close_network()

        def forward(self, x):
            return self.net(x).float()

    assert predictions(Casts(), Pictures(), kind)[1].signature.endswith(f"dtype:{shown}")


def test_batches_that_were_halved_are_recorded():
    """Measuring finds out what fits first; the batches that count are recorded all the same."""

    class Large(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = close_network()

        def forward(self, x):
            if len(x) > 100:
                raise RuntimeError("can't allocate memory")
            return self.net(x)

    runs = [predictions(Large(), Pictures(), kind, batch_size=200)[1].run for kind in ("exact", "fast")]
    assert runs[0]["halved_batches"] == runs[1]["halved_batches"] > 0


def test_precisions_of_one_model_are_compared(results):
    """The same weights, computed otherwise, are no longer the same model; and it is said."""
    exact, amp = results["exact"].document, results["amp"].document
    assert not is_same_model(amp, exact)
    assert is_same_model(exact, exact)
    assert "precision exact before, amp now" in remarks(amp, exact, same=False).notes[0]


def test_a_compiled_model_answers_the_quick_half(monkeypatch, tmp_path):
    """Made once; full precision is the model's own, and nobody else is let to compile."""
    model, made = wide_model(), []

    def compiled(module):
        made.append(module)
        return lambda x: module(x) + 1e-3 * torch.arange(3)

    monkeypatch.setattr(torch, "compile", compiled)
    setup = setup_of(source_of(300), model=model, precision="fast", compiles=True, run={"precision": "fast"})
    run = measured(setup, tmp_path)
    again = measured(replace(setup, compiles=False, precision="exact", run={}), tmp_path / "exact")
    assert made == [model]
    assert run.observed.again.limit >= 1e-3
    assert run.evaluation({}).result.counts == again.evaluation({}).result.counts
    with pytest.raises(SpecificationError, match=r"run\.compile: changes answers"):
        replace(setup, precision="amp")

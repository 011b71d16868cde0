"""Sums and bins of scores: laws of mergeable states, exactness, and bins that keep the order."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import check_monoid, check_partition

from evalkit.scores import Moments, ScoreBins, ScoreSums

KINDS = st.sampled_from(["probability", "score"])
unit = st.one_of(
    st.floats(0, 1), st.floats(0, 1, width=32), st.sampled_from([0.0, 1e-300, 0.5, 1 - 2**-53, 1.0])
)
number = st.floats(allow_nan=False)
truths = st.tuples(st.booleans(), unit)
samples = st.lists(truths, max_size=30)
losses = st.lists(
    st.tuples(st.floats(0, 1e12), st.floats(0, 2), st.floats(0, 1)),
    max_size=20,
)


def bins(pairs, kind="probability"):
    positive, score = np.array([p for p, _ in pairs], bool), np.array([s for _, s in pairs], float)
    return ScoreBins.from_scores(positive, score, kind=kind)


def sums(rows):
    return ScoreSums.of(*np.array(rows, float).reshape(-1, 3).T)


def cuts(rows, data):
    order = data.draw(st.permutations(rows))
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4))), len(rows)]
    return [order[i:j] for i, j in zip(edges[:-1], edges[1:], strict=True)]


@given(samples, samples, samples, KINDS)
def test_bins_are_a_monoid(a, b, c, kind):
    """Bins add like numbers."""
    check_monoid(ScoreBins.empty(kind), bins(a, kind), bins(b, kind), bins(c, kind))


@given(losses, losses, losses)
def test_sums_are_a_monoid(a, b, c):
    """Sums add like numbers: they are whole numbers."""
    check_monoid(ScoreSums.empty(), sums(a), sums(b), sums(c))


@given(samples, st.data())
def test_any_partition_and_order_gives_the_same_bins(rows, data):
    """Batches, shards and their order cannot change a bin."""
    check_partition(bins, rows, cuts(rows, data), ScoreBins.empty("probability"))


@given(losses, st.data())
def test_any_partition_and_order_gives_the_same_sums(rows, data):
    """Batches, shards and their order cannot change a sum, though floats would."""
    check_partition(sums, rows, cuts(rows, data), ScoreSums.empty())


def as_units(value):
    return round(Fraction(value) * 2**32)


@given(losses)
def test_sums_equal_exact_arithmetic(rows):
    """Each value is rounded once, and nothing after; also beyond what numpy's integers hold."""
    units = [as_units(row[0]) for row in rows]
    state = sums(rows)
    assert state.log_loss == Moments(sum(units), sum(unit * unit for unit in units))
    if len(rows) > 1:
        mean = Fraction(sum(units), len(rows))
        variance = sum((unit - mean) ** 2 for unit in units) / (len(rows) - 1)
        assert state.mean("log_loss") == float(mean / 2**32)
        assert state.variance("log_loss") == float(variance / 2**64)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40))
def test_mean_and_variance_are_numpys(values):
    """Within half a unit of rounding a value."""
    state = ScoreSums.of(values, values, values)
    assert state.mean("brier") == pytest.approx(np.mean(values), abs=1e-9)
    assert state.variance("confidence") == pytest.approx(np.var(values, ddof=1), abs=1e-5, rel=1e-9)


def test_sums_do_not_overflow():
    """Many samples of a large loss: past int64 in both sums."""
    n, value = 10**6, 1e6 + 0.1
    state = ScoreSums.of(*[np.full(n, value)] * 3)
    assert state.log_loss == Moments(n * as_units(value), n * as_units(value) ** 2)
    assert n * as_units(value) > 2**63
    assert state.variance("log_loss") == 0.0


def test_undefined_moments_are_nan():
    """No mean of nothing, no variance of one sample."""
    assert math.isnan(ScoreSums.empty().mean("brier"))
    assert math.isnan(sums([(1, 1, 1)]).variance("brier"))
    assert sums([(1, 1, 1)]).mean("brier") == 1.0


@pytest.mark.parametrize(
    "rows", [([1.0], [1.0], [1.0, 2.0]), ([[1.0]],) * 3, ([math.nan],) * 3, ([math.inf],) * 3]
)
def test_sums_refuse_what_they_cannot_add(rows):
    """Nothing is broadcast; NaN and infinity have no integer."""
    with pytest.raises(ValueError, match="score sums"):
        ScoreSums.of(*rows)


@settings(max_examples=300)
@given(st.lists(number, min_size=2, max_size=8), KINDS)
def test_bins_follow_the_score(values, kind):
    """A greater score never falls into a lower bin, and equal scores fall into one."""
    if kind == "probability":
        values = [abs(math.remainder(value, 2)) if math.isfinite(value) else 1.0 for value in values]
    keys = [int(ScoreBins.from_scores([True], [value], kind=kind).keys[0]) for value in sorted(values)]
    assert keys == sorted(keys)
    for (low, high), (first, second) in zip(
        zip(sorted(values)[:-1], sorted(values)[1:], strict=True),
        zip(keys[:-1], keys[1:], strict=True),
        strict=True,
    ):
        assert low != high or first == second


@settings(max_examples=300)
@given(st.lists(st.one_of(unit, number), min_size=1, max_size=20), KINDS)
def test_a_representative_is_the_smallest_score_of_its_bin(values, kind):
    """`score >= representative` is exactly the bin and those above it."""
    values = [v for v in values if abs(v) >= 2.0**-126 or v == 0]
    if kind == "probability":
        values = [v for v in values if 0 <= v <= 1]
    state = ScoreBins.from_scores(np.ones(len(values), bool), values, kind=kind)
    smallest = state.representatives()
    assert (np.diff(smallest) > 0).all()
    above = np.cumsum(state.positives[::-1])[::-1]
    assert [sum(v >= s for v in values) for s in smallest] == above.tolist()
    inside = smallest[np.isfinite(smallest)]
    again = ScoreBins.from_scores(np.ones(inside.size, bool), inside, kind=kind)
    assert again.keys.tolist() == state.keys[np.isfinite(smallest)].tolist()


@pytest.mark.parametrize("kind", ["probability", "score"])
def test_many_samples_are_counted_like_few(kind):
    """The dense table and the sorting one agree."""
    rng = np.random.default_rng(5)
    score = rng.random(600_000)
    positive = rng.random(score.size) < score
    whole = ScoreBins.from_scores(positive, score, kind=kind)
    parts = [
        bins(list(zip(positive[i::2000], score[i::2000], strict=True)), kind) for i in range(0, 2000, 400)
    ]
    rest = np.arange(score.size) % 400 != 0
    few = parts[0]
    for part in parts[1:]:
        few = few + part
    assert few + ScoreBins.from_scores(positive[rest], score[rest], kind=kind) == whole
    assert int(whole.n_samples.sum()) == score.size
    assert whole.keys.size < 2**20


def test_bins_are_fine_near_both_ends():
    """1e-9 and 2e-9 differ, and so do 1 - 1e-9 and 1 - 2e-9; -0.0 is 0.0."""
    values = [1e-9, 2e-9, 1 - 2e-9, 1 - 1e-9, 0.5, 0.5 - 2**-54]
    assert ScoreBins.from_scores([True] * 6, values, kind="probability").keys.size == 6
    for kind in ("probability", "score"):
        assert ScoreBins.from_scores([True] * 2, [0.0, -0.0], kind=kind).keys.tolist() == [0]


@given(samples, KINDS)
def test_arrays_round_trip(rows, kind):
    """A state survives an npz file's arrays."""
    state = bins(rows, kind)
    assert ScoreBins.from_arrays(state.to_arrays()) == state


@pytest.mark.parametrize(
    "change",
    [
        {"kind": np.array("margin")},
        {"keys": np.array([2, 1])},
        {"keys": np.array([1, 1])},
        {"keys": np.array([-1, 1])},
        {"keys": np.array([1, 2**20])},
        {"keys": np.array([1.0, 2.0])},
        {"keys": np.array([1])},
        {"positives": np.array([[1, 0]])},
        {"positives": np.array([-1, 3])},
        {"positives": np.array([0, 1])},
    ],
)
def test_damaged_arrays_are_refused(change):
    """What no scores could give is not read."""
    arrays = {"kind": np.array("probability"), "keys": np.array([1, 2])}
    arrays |= {"positives": np.array([1, 0]), "negatives": np.array([0, 1])}
    ScoreBins.from_arrays(arrays)
    with pytest.raises(ValueError, match="score bins"):
        ScoreBins.from_arrays(arrays | change)


@pytest.mark.parametrize(
    ("positive", "score", "kind"),
    [
        ([True], [math.nan], "score"),
        ([True, False], [0.5, math.nan], "probability"),
        ([True], [1.1], "probability"),
        ([True], [-0.1], "probability"),
        ([True], [0.1, 0.2], "score"),
        ([[True]], [[0.1]], "score"),
    ],
)
def test_scores_outside_the_contract_are_refused(positive, score, kind):
    """Nothing is clipped, dropped or broadcast."""
    with pytest.raises(ValueError, match="scores"):
        ScoreBins.from_scores(positive, score, kind=kind)


def test_kinds_do_not_mix():
    """A bin of log-odds is not one of probabilities."""
    with pytest.raises(ValueError, match="kinds"):
        ScoreBins.empty("score") + ScoreBins.empty("probability")


def test_a_state_is_a_value():
    """The arrays inside cannot be changed, nor through those it was made from."""
    keys = np.array([1])
    state = ScoreBins("score", keys, np.array([1]), np.array([0]))
    keys[0] = 2
    assert state.keys.tolist() == [1]
    with pytest.raises(ValueError, match="read-only"):
        state.positives[0] = 5

"""Calibration: bins that miss nothing, a bias that is really taken off, and intervals with a width."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.metrics.areas import average_precision, average_precision_of, coarsened
from evalkit.metrics.calibration import (
    Confidences,
    Reliability,
    ece,
    ece_by_chance,
    ece_debiased,
    ece_of,
    mce,
    mce_of,
    reliability,
)
from evalkit.metrics.ranked import Ranked
from evalkit.uncertainty.bootstrap import bootstrap_interval

confidences = st.one_of(st.floats(0, 1), st.integers(0, 10).map(lambda k: k / 10))
samples = st.lists(st.tuples(confidences, st.booleans()), min_size=1, max_size=40)
SCHEMES = st.sampled_from(["mass", "width"])


def binned(rows, **how):
    return reliability(
        Confidences.of(np.array([c for c, _ in rows], float), np.array([y for _, y in rows], bool)), **how
    )


def calibrated(n, *, seed, off=0.0):
    """Confidences that are right as often as they say, or `off` less often."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.5, 1, n)
    return confidence, rng.random(n) < confidence - off


def by_definition(rows, n_bins):
    """ECE and MCE from bins [i/B, (i+1)/B), by a loop over the samples."""
    gaps = []
    for i in range(n_bins):
        last = i == n_bins - 1
        inside = [(c, y) for c, y in rows if i / n_bins <= c and (last or c < (i + 1) / n_bins)]
        if inside:
            gaps.append(
                (len(inside), abs(sum(y for _, y in inside) - sum(c for c, _ in inside)) / len(inside))
            )
    return sum(n * gap for n, gap in gaps) / len(rows), max(gap for _, gap in gaps)


@given(samples, st.integers(1, 20))
def test_width_follows_the_definition(rows, n_bins):
    """ECE and MCE of equal widths, by a loop."""
    bins = binned(rows, n_bins=n_bins, scheme="width")
    assert (ece(bins), mce(bins)) == pytest.approx(by_definition(rows, n_bins), abs=1e-12)


@given(samples, st.integers(1, 20), SCHEMES, st.randoms(use_true_random=False))
def test_bins_hold_every_sample_whatever_the_order(rows, n_bins, scheme, random):
    """Nothing is lost at 0, at 1 or at an edge, and order does not matter to the last bit."""
    bins = binned(rows, n_bins=n_bins, scheme=scheme)
    assert bins.n.sum() == len(rows)
    assert (bins.n > 0).all()
    assert bins.counts.sum(axis=0).tolist() == [sum(not y for _, y in rows), sum(y for _, y in rows)]
    assert (bins.low <= bins.mean_confidence + 1e-12).all()
    assert (bins.mean_confidence <= bins.high + 1e-12).all()
    assert (bins.high[:-1] <= bins.low[1:]).all()
    random.shuffle(rows)
    again = binned(rows, n_bins=n_bins, scheme=scheme)
    for name in ("low", "high", "n", "mean_confidence", "share_correct"):
        assert getattr(again, name).tolist() == getattr(bins, name).tolist()


@given(samples, st.integers(1, 20))
def test_mass_never_splits_equal_confidences(rows, n_bins):
    """Each confidence lies in one bin, and there are at most as many bins as asked for."""
    bins = binned(rows, n_bins=n_bins, scheme="mass")
    assert len(bins.n) <= n_bins
    assert (bins.high[:-1] < bins.low[1:]).all()


@given(st.integers(1, 60), st.integers(1, 20))
def test_mass_is_as_equal_as_it_can_be(n, n_bins):
    """Different confidences: sizes differ by one at most, and no bin stays empty."""
    bins = reliability(Confidences.of(np.arange(n) / n, np.zeros(n, bool)), n_bins=n_bins)
    assert bins.n.max() - bins.n.min() <= 1
    assert len(bins.n) == min(n, n_bins)


@pytest.mark.parametrize("edge", [lambda k: 0.1 * k, lambda k: k / 10])
def test_an_edge_belongs_to_the_bin_above(edge):
    """0.1 * 3 is a little over 0.3, and 1.0 lies in the last bin."""
    for k in range(11):
        bins = reliability(Confidences.of([edge(k)], [True]), n_bins=10, scheme="width")
        assert bins.low.tolist() == [min(k, 9) / 10]
        assert bins.high.tolist() == [min(k + 1, 10) / 10]


def test_edges_are_exact_where_a_product_is_not():
    """0.29 * 100 is 28.999999999999996."""
    assert reliability(Confidences.of([0.29], [True]), n_bins=100, scheme="width").low.tolist() == [0.29]


def test_one_joins_the_last_bin():
    """Confidence 1.0 (and what rounding put above it) gets no bin of its own: half right at 0.975 on average."""
    bins = reliability(Confidences.of([0.95, 1.0], [True, False]), n_bins=10, scheme="width")
    assert bins.n.tolist() == [2]
    assert ece(bins) == pytest.approx(0.475)
    assert reliability(Confidences.of([1.0000001], [True]), scheme="width").high.tolist() == [1.0]


@pytest.mark.parametrize("scheme", ["mass", "width"])
def test_no_samples_have_no_error(scheme):
    """Undefined, not 0: not a perfect calibration."""
    bins = reliability(Confidences.of([], []), scheme=scheme)
    assert len(bins.n) == len(bins.low) == len(bins.high) == 0
    assert all(math.isnan(metric(bins)) for metric in (ece, ece_debiased, mce))


@pytest.mark.parametrize(
    ("confidence", "correct", "how"),
    [
        ([math.nan], [True], {}),
        ([0.5], [True, False], {}),
        ([-0.1], [True], {}),
        ([0.5], [True], {"n_bins": 0}),
    ],
)
def test_confidences_outside_the_contract_are_refused(confidence, correct, how):
    """NaN belongs to no bin."""
    with pytest.raises(ValueError, match=r"scores|calibration"):
        reliability(Confidences.of(confidence, correct), **how)


def test_the_bias_is_the_one_of_redrawn_shares():
    """The closed form against simulation of its definition."""
    rng = np.random.default_rng(0)
    bins = reliability(Confidences.of(*calibrated(300, seed=1)))
    sd = np.sqrt(bins.share_correct * (1 - bins.share_correct) / bins.n)
    redrawn = rng.normal(bins.share_correct, sd, size=(100_000, len(bins.n)))
    expected = (np.abs(redrawn - bins.mean_confidence) * bins.n / bins.n.sum()).sum(axis=1).mean()
    assert ece_debiased(bins) == pytest.approx(2 * ece(bins) - expected, abs=2e-4)


def test_debiasing_helps():
    """Of a calibrated model the plug-in says .055 on average; debiased it says .034."""
    bins = [reliability(Confidences.of(*calibrated(500, seed=seed))) for seed in range(200)]
    plugin, debiased = (np.array([metric(one) for one in bins]) for metric in (ece, ece_debiased))
    assert plugin.mean() > 0.04
    assert abs(debiased.mean()) < 0.7 * plugin.mean()


def test_the_debiased_error_may_be_negative():
    """No gap at all is less than chance gives, and is returned as such: -sd * sqrt(2 / pi)."""
    bins = reliability(Confidences.of([0.5] * 16, [True, False] * 8))
    assert ece_debiased(bins) == pytest.approx(-math.sqrt(2 / math.pi) / 8)


def test_a_certain_share_has_no_bias():
    """Always right: redrawing changes nothing."""
    bins = reliability(Confidences.of([0.9] * 20, [True] * 20))
    assert ece_debiased(bins) == ece(bins) == pytest.approx(0.1)


@given(samples, SCHEMES)
def test_statistics_of_tables_are_the_metrics(rows, scheme):
    """Replicate by replicate."""
    bins = binned(rows, scheme=scheme)
    table = np.stack([bins.counts, 2 * bins.counts])
    assert ece_of(bins.mean_confidence)(table) == pytest.approx([ece(bins)] * 2, abs=1e-12)
    assert mce_of(bins.mean_confidence)(table) == pytest.approx([mce(bins)] * 2, abs=1e-12)


def test_bootstrap_of_a_share_is_the_known_one():
    """The percentile interval of 300 in 1,000 is about that of the normal distribution."""
    low, high = bootstrap_interval(
        np.array([[300, 700]]), lambda r: r[:, 0, 0] / r.sum(axis=(1, 2)), level=0.95
    )
    half = 1.959964 * math.sqrt(0.3 * 0.7 / 1000)
    assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.003)


def share(counts):
    return counts[:, 0, 0] / counts.sum(axis=(1, 2))


def test_bootstrap_is_deterministic_and_seeded():
    """The same seed gives the same interval; another seed another."""
    table = np.array([[30, 70]])
    intervals = [bootstrap_interval(table, share, level=0.9, seed=seed) for seed in (1, 1, 2)]
    assert intervals[0] == intervals[1]
    moved = bootstrap_interval(table, lambda counts: share(counts) ** 1.5, level=0.9, seed=2)
    assert moved != intervals[2]


@pytest.mark.parametrize(
    ("table", "statistic"),
    [
        ([[0, 0]], share),
        ([[5, 0]], share),
        ([[3, 4]], lambda counts: np.full(len(counts), np.nan)),
        ([[3, 4]], lambda counts: np.ones(len(counts))),
    ],
)
def test_bootstrap_never_gives_an_interval_without_width(table, statistic):
    """Nothing observed, nothing that varies, or nothing defined: no interval."""
    assert bootstrap_interval(np.array(table), statistic, level=0.95) is None


def test_bootstrap_moves_to_its_centre():
    """The median replicate lies at the value that the interval is for."""
    table = np.array([[300, 700]])
    low, high = bootstrap_interval(table, share, level=0.95)
    moved = bootstrap_interval(table, share, level=0.95, centre=0.5)
    assert moved[1] - moved[0] == pytest.approx(high - low)
    assert sum(moved) / 2 == pytest.approx(0.5, abs=0.003)


def test_bootstrap_in_chunks_holds_every_replicate(monkeypatch):
    """A large table is drawn a few replicates at a time."""
    from evalkit.uncertainty import bootstrap

    sizes = []

    def statistic(counts):
        sizes.append(len(counts))
        return share(counts)

    monkeypatch.setattr(bootstrap, "_MAX_CELLS", 14)
    bootstrap_interval(np.array([[3, 4]]), statistic, level=0.95, n_replicates=20)
    assert sizes == [7, 7, 6]


def test_bootstrap_covers_average_precision():
    """On coarsened groups, at the exact value: the limit of many samples lies inside about 95 in 100 times."""

    def ranking(n, seed):
        rng = np.random.default_rng(seed)
        positive = rng.random(n) < 0.2
        return Ranked.of(positive, rng.normal(size=n) + 1.5 * positive)

    truth = average_precision(ranking(500_000, 99)).value
    inside = 0
    for seed in range(100):
        groups = ranking(400, seed)
        low, high = bootstrap_interval(
            coarsened(groups, max_groups=64),
            average_precision_of,
            level=0.95,
            n_replicates=300,
            centre=average_precision(groups).value,
        )
        inside += low <= truth <= high
    assert 88 <= inside <= 100


@pytest.mark.parametrize("off", [0.0, 0.1])
def test_intervals_cover_the_calibration_error(off):
    """A calibrated model, and one that is overconfident by .1: debiased centre, down to 0 within chance."""
    inside = 0
    for seed in range(100):
        bins = reliability(Confidences.of(*calibrated(5000, seed=seed, off=off)))
        low, high = bootstrap_interval(
            bins.counts, ece_of(bins.mean_confidence), level=0.95, n_replicates=300, centre=ece_debiased(bins)
        )
        if ece(bins) <= ece_by_chance(bins, level=0.975, n_replicates=300):
            low = 0.0
        inside += low <= off <= high
    assert 90 <= inside <= 100


def test_chance_explains_the_error_of_a_calibrated_model():
    """In 90 of 100 cases, about; never that of a model that is off by .1."""
    explained = {
        off: sum(
            ece(bins) <= ece_by_chance(bins, level=0.9, n_replicates=300)
            for bins in (
                reliability(Confidences.of(*calibrated(2000, seed=seed, off=off))) for seed in range(100)
            )
        )
        for off in (0.0, 0.1)
    }
    assert 83 <= explained[0.0] <= 99
    assert explained[0.1] == 0
    assert math.isnan(ece_by_chance(reliability(Confidences.of([], [])), level=0.9))


def test_a_reliability_knows_its_counts():
    """Wrong and right, by the shares."""
    one = np.array([0.5])
    assert Reliability(one, one, np.array([3]), one, np.array([2 / 3])).counts.tolist() == [[1, 2]]

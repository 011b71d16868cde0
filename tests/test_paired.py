"""Paired differences: Tango's interval and McNemar's test, against published numbers and enumeration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest, norm

from evalkit.uncertainty.paired import Flips, mcnemar, tango_interval, tango_statistic


def flips(gained, lost, n):
    return Flips(*(np.asarray(part) for part in (gained, lost, n)))


def constrained(gained, lost, n, delta):
    """The statistic from its definition: the likelihood maximised under the hypothesis."""
    low, high = max(0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12
    found = minimize_scalar(
        lambda q: (
            -(gained * np.log(q + delta) + lost * np.log(q) + (n - gained - lost) * np.log(1 - 2 * q - delta))
        ),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-12},
    )
    return (gained - lost - n * delta) / np.sqrt(n * (2 * found.x + delta - delta**2))


@pytest.mark.parametrize("delta", [-0.3, -0.05, 0.05, 0.1, 0.33])
def test_the_statistic_is_the_score_test(delta):
    """The closed form equals the numerical maximum of the likelihood."""
    assert tango_statistic(flips(12, 2, 50), delta) == pytest.approx(constrained(12, 2, 50, delta), abs=1e-5)


def test_no_flips_at_all():
    """Still plus or minus z squared over n plus z squared."""
    low, high = tango_interval(flips(0, 0, [10, 449]), level=0.95)
    z2 = norm.isf(0.025) ** 2
    assert high == pytest.approx(z2 / (np.array([10, 449]) + z2))
    assert low == pytest.approx(-high)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))))
def test_bounds_invert_the_test_and_never_meet(drawn):
    """At a bound the statistic is the quantile; without flips there is still width."""
    gained, lost, n = drawn
    if gained + lost > n:
        return
    found = flips(gained, lost, n)
    low, high = tango_interval(found, level=0.9)
    assert -1 <= low < high <= 1
    assert low <= found.difference <= high
    z = norm.isf(0.05)
    for bound, sign in ((low, 1), (high, -1)):
        if abs(bound) < 1 - 1e-9:
            assert tango_statistic(found, bound) == pytest.approx(sign * z, abs=1e-5)


def test_swapping_the_models_mirrors_the_interval():
    """New less old, or old less new."""
    low, high = tango_interval(flips([7], [3], [90]), level=0.95)
    other = tango_interval(flips([3], [7], [90]), level=0.95)
    assert (low[0], high[0]) == pytest.approx((-other[1][0], -other[0][0]))


@pytest.mark.parametrize(("p_gained", "p_lost", "n"), [(0.03, 0.05, 200), (0.1, 0.1, 80), (0.01, 0.01, 500)])
def test_exact_coverage(p_gained, p_lost, n):
    """By enumeration of all outcomes: 93 to 98 % for 95 %."""
    gained, lost = (part.ravel() for part in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    kept = gained + lost <= min(n, int(n * (p_gained + p_lost) * 4) + 12)
    gained, lost = gained[kept], lost[kept]
    weight = binom.pmf(gained, n, p_gained) * binom.pmf(lost, n - gained, p_lost / (1 - p_gained))
    assert weight.sum() > 1 - 1e-6
    low, high = tango_interval(flips(gained, lost, np.full(len(gained), n)), level=0.95)
    truth = p_gained - p_lost
    covered = weight[(low <= truth) & (truth <= high)].sum()
    assert 0.93 <= covered <= 0.98


@settings(max_examples=50)
@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_binomial_test(gained, lost):
    """Exact equals scipy's; mid-p takes half the probability of what was observed off each side."""
    exact, mid = mcnemar(gained, lost)
    n = gained + lost
    if n == 0:
        assert (exact, mid) == (1.0, 1.0)
        return
    assert exact == pytest.approx(binomtest(gained, n).pvalue)
    assert mid == pytest.approx(min(2 * binom.cdf(min(gained, lost), n, 0.5) - binom.pmf(gained, n, 0.5), 1))

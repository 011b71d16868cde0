"""Wilson's interval: scipy's values, vectorised, never of zero width."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from evalkit.uncertainty import normal_quantile, wilson


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_equals_scipy(pair, level):
    """The closed form is scipy's."""
    k, n = pair
    low, high = wilson(k, n, level=level)
    expected = binomtest(k, n).proportion_ci(level, method="wilson")
    assert float(low) == pytest.approx(expected.low, abs=1e-9)
    assert float(high) == pytest.approx(expected.high, abs=1e-9)
    assert low < high
    assert low <= k / n <= high


def test_a_perfect_run_is_not_certain():
    """n of n and 0 of n have width, and touch 1 and 0 exactly."""
    low, high = wilson([0, 449], [449, 449], level=0.95)
    assert low[0] == 0.0
    assert high[1] == 1.0
    assert low[1] == pytest.approx(0.9915, abs=1e-4)


def test_no_trials_give_no_interval():
    """A denominator of 0 gives NaN bounds, which a document turns into null."""
    low, high = wilson([0, 3], [0, 4], level=0.95)
    assert np.isnan([low[0], high[0]]).all()
    assert np.isfinite([low[1], high[1]]).all()


def test_quantile():
    """The level is two-sided."""
    assert normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)


def test_coverage_is_near_its_level():
    """Exact coverage at n = 200 averages between 94 and 96 % over accuracies."""
    n, k = 200, np.arange(201)
    low, high = wilson(k, np.full(201, n), level=0.95)
    from scipy.stats import binom

    shares = np.linspace(0.7, 0.99, 59)
    covered = [binom.pmf(k, n, p)[(low <= p) & (p <= high)].sum() for p in shares]
    assert 0.94 < np.mean(covered) < 0.96
    assert min(covered) > 0.9

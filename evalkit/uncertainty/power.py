"""What a comparison of two models can see: the margins that equal models pass, the drops that are found.

Two models that disagree on a share of the samples flip some of them; how many were lost decides. Everything
is enumerated exactly for shares of independent samples (Tango's rule), and normal for other differences.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.uncertainty.paired import Flips, tango_statistic
from evalkit.uncertainty.wilson import normal_quantile

POWER = 0.8
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_SPREAD, _GRID, _STEPS = 8.0, 400, 50


@dataclass(frozen=True, slots=True)
class Design:
    """How a drop is judged; a drop is the old model's share less the new one's.

    Attributes:
        judge: point, guard or interval.
        alpha: One-sided.
    """

    judge: str
    alpha: float

    @property
    def z(self) -> float:
        """The quantile of the interval."""
        return normal_quantile(1 - 2 * self.alpha)

    def passes(self, flips: Flips, margin: float) -> Bools:
        """Return where a drop passes; the rule of :func:`evalkit.rules.judge_drop` on Tango's interval."""
        if self.judge == "interval":
            proven = tango_statistic(flips, -margin) >= self.z
            return np.asarray(proven | (margin >= 1))  # no drop is larger than 1
        return np.asarray(-flips.difference <= margin)

    def fails(self, flips: Flips, margin: float) -> Bools:
        """Return where a drop fails; what does neither is inconclusive."""
        if self.judge == "interval":
            return np.asarray(tango_statistic(flips, -margin) < -self.z)
        beyond = -flips.difference > margin
        return np.asarray(
            beyond & (tango_statistic(flips, 0.0) < -self.z) if self.judge == "guard" else beyond
        )


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Samples of which two models answer a share differently.

    Attributes:
        n: Samples.
        share: That one model has right and the other has not.
    """

    n: int
    share: float

    def passing(self, design: Design, margin: float, *, drop: float = 0.0) -> float:
        """Return how often a candidate with a true drop passes."""
        return self._probability(lambda flips: design.passes(flips, margin), drop=drop, rising=False)

    def failing(self, design: Design, margin: float, *, drop: float = 0.0) -> float:
        """Return how often a candidate with a true drop fails."""
        return self._probability(lambda flips: design.fails(flips, margin), drop=drop, rising=True)

    def smallest_margin(self, design: Design, *, power: float = POWER) -> float | None:
        """Return the smallest margin, in steps of 1/n, that an equally good candidate passes so often."""
        low, high = -1, self.n
        if self.passing(design, 1.0) < power:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.passing(design, middle / self.n) >= power else (middle, high)
        return high / self.n

    def smallest_drop(self, design: Design, margin: float, *, power: float = POWER) -> float | None:
        """Return the smallest true drop that fails a margin with a probability; None where none does."""
        if self.failing(design, margin, drop=1.0) < power:
            return None
        return _bisected(lambda drop: self.failing(design, margin, drop=drop) >= power)

    def smallest_gain(self, design: Design, margin: float, *, power: float = POWER) -> float | None:
        """Return the smallest true gain that passes a (negative) margin with a probability."""
        if self.passing(design, margin, drop=-1.0) < power:
            return None
        return _bisected(lambda gain: self.passing(design, margin, drop=-gain) >= power)

    def most_errors(self, design: Design, margin: float) -> int | None:
        """Return how many more errors pass at most, at the expected number of flips; None for no number.

        Negative where only fewer errors than before pass.
        """
        if design.judge != "interval":
            errors = round(margin * self.n)
            return errors if errors / self.n <= margin else errors - 1
        m = round(self.n * self.share)
        lost = np.arange(m + 1)
        passed = np.flatnonzero(design.passes(self._flips(np.full(m + 1, m), lost), margin))
        return 2 * int(passed[-1]) - m if passed.size else None

    def _flips(self, m: Ints, lost: Ints) -> Flips:
        return Flips(m - lost, lost, np.full(np.shape(m), self.n))

    def _probability(self, outcome: Callable[[Flips], Bools], *, drop: float, rising: bool) -> float:
        """Sum over the number of flips; inside one, the outcome changes once as more of them are lost."""
        from scipy.special import bdtr, gammaln  # noqa: PLC0415 - documents are read without it

        share = min(max(self.share, abs(drop)), 1.0)
        if share == 0:
            nothing = self._flips(np.zeros(1, np.int64), np.zeros(1, np.int64))
            return float(outcome(nothing)[0])
        m = _likely(self.n, share)
        logs = gammaln(self.n + 1) - gammaln(m + 1) - gammaln(self.n - m + 1) + m * math.log(share)
        logs = logs + (self.n - m) * math.log1p(-share) if share < 1 else np.where(m == self.n, 0.0, -np.inf)
        weights = np.exp(logs - logs.max())
        first = self._first(outcome, m, rising=rising)
        below = np.where(first > 0, bdtr(np.maximum(first - 1, 0), m, (share + drop) / (2 * share)), 0.0)
        chance = 1 - below if rising else below
        return float((weights * chance).sum() / weights.sum())

    def _first(self, outcome: Callable[[Flips], Bools], m: Ints, *, rising: bool) -> Ints:
        """Return the first number of lost flips at which the outcome comes, or goes; m + 1 for never."""
        low, high = np.zeros_like(m), m + 1
        while (low < high).any():
            middle = (low + high) // 2
            there = outcome(self._flips(m, np.minimum(middle, m))) == rising
            there = there | (middle > m)
            low, high = np.where(there | (low >= high), low, middle + 1), np.where(there, middle, high)
        return low


@dataclass(frozen=True, slots=True)
class Normal:
    """A difference whose estimate is normal around the true one.

    Attributes:
        error: Its standard error.
    """

    error: float

    def smallest_margin(self, design: Design, *, power: float = POWER) -> float:
        """Return the smallest margin that an equally good candidate passes with a probability."""
        quantile = normal_quantile(2 * power - 1)
        return self.error * (quantile + (design.z if design.judge == "interval" else 0.0))

    def smallest_drop(self, design: Design, margin: float, *, power: float = POWER) -> float:
        """Return the smallest true drop that fails a margin with a probability."""
        quantile, needed = normal_quantile(2 * power - 1), margin
        if design.judge == "interval":
            needed = margin + design.z * self.error
        elif design.judge == "guard":
            needed = max(margin, design.z * self.error)
        return needed + quantile * self.error

    def smallest_gain(self, design: Design, margin: float, *, power: float = POWER) -> float:
        """Return the smallest true gain that passes a (negative) margin with a probability."""
        return self.smallest_margin(design, power=power) - margin


def _likely(n: int, share: float) -> Ints:
    """Return numbers of flips that hold nearly all of their probability, thinned where they are many."""
    mean, spread = n * share, math.sqrt(n * share * (1 - share))
    low, high = math.floor(mean - _SPREAD * spread) - 1, math.ceil(mean + _SPREAD * spread) + 1
    low, high = max(low, 0), min(high, n)
    return np.unique(np.linspace(low, high, min(high - low + 1, _GRID)).round().astype(np.int64))


def _bisected(holds: Callable[[float], bool]) -> float:
    """Return the smallest number from 0 to 1 at which something holds that stays so."""
    low, high = 0.0, 1.0
    if holds(low):
        return low
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
        if high - low < 1e-7:  # noqa: PLR2004 - far below what is shown
            break
    return high

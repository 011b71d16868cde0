"""What a comparison can see: the rule enumerated exactly, against brute force, simulation and known tables."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from evalkit.rules import judge_drop
from evalkit.uncertainty.paired import Flips, tango_interval
from evalkit.uncertainty.power import POWER, Design, Disagreement, Normal

JUDGES = ("point", "guard", "interval")


def outcome(design, flips, margin):
    """The rule itself, on the interval itself."""
    low, high = (float(bound) for bound in tango_interval(flips, level=1 - 2 * design.alpha))
    return judge_drop(design.judge, float(-flips.difference), (-high, -low), margin)


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("n", [1, 7, 16])
def test_the_planner_uses_the_rule_that_judges(judge, n):
    """Every table of flips, at margins on and off the lattice: passed and failed are judge_drop's."""
    design = Design(judge, 0.025)
    for margin in (0.0, 0.01, 1 / n, 0.1, 0.2):
        for m in range(n + 1):
            for lost in range(m + 1):
                flips = Flips(*(np.asarray(part) for part in (m - lost, lost, n)))
                found = outcome(design, flips, margin)
                assert (found == "passed") == bool(design.passes(flips, margin)), (margin, m, lost)
                assert (found == "failed") == bool(design.fails(flips, margin)), (margin, m, lost)


def brute(n, share, drop, wanted):
    """Sum over every table of flips."""
    share = max(share, drop)
    total = 0.0
    for m in range(n + 1):
        weight = binom.pmf(m, n, share)
        for lost in range(m + 1):
            flips = Flips(*(np.asarray(part) for part in (m - lost, lost, n)))
            if wanted(flips):
                total += weight * binom.pmf(lost, m, (share + drop) / (2 * share))
    return total


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("drop", [0.0, 0.05, 0.2])
def test_probabilities_are_exact(judge, drop):
    """Against the sum over all tables of 30 samples."""
    design, models = Design(judge, 0.05), Disagreement(30, 0.15)
    passing = brute(30, 0.15, drop, lambda flips: bool(design.passes(flips, 0.1)))
    failing = brute(30, 0.15, drop, lambda flips: bool(design.fails(flips, 0.1)))
    assert models.passing(design, 0.1, drop=drop) == pytest.approx(passing, abs=1e-9)
    assert models.failing(design, 0.1, drop=drop) == pytest.approx(failing, abs=1e-9)


# n, disagreement: share of weeks in which equal models, and a true drop of two points, pass and fail a margin
# of one point; simulated 40,000 times elsewhere. (At 449 samples those intervals came from the plain variance,
# which Tango's, with nine expected flips, is not.)
WEEKS = {
    (1000, 0.05): {"interval": (0.30, 0.00, 0.00, 0.28), "guard": (0.93, 0.02, 0.08, 0.82)},
    (2000, 0.05): {"interval": (0.52, 0.00, 0.00, 0.52), "guard": (0.98, 0.02, 0.02, 0.98)},
    (5000, 0.05): {"interval": (0.88, 0.00, 0.00, 0.89), "guard": (1.00, 0.00, 0.00, 1.00)},
    (449, 0.02): {"guard": (0.94, 0.02, 0.05, 0.95)},
}


@pytest.mark.parametrize(
    ("n", "share", "judge"), [(*key, judge) for key, found in WEEKS.items() for judge in found]
)
def test_weeks_of_equal_and_worse_models(n, share, judge):
    """Within three points."""
    models, design = Disagreement(n, share), Design(judge, 0.025)
    found = [
        call(design, 0.01, drop=drop) for drop in (0.0, 0.02) for call in (models.passing, models.failing)
    ]
    assert found == pytest.approx(WEEKS[n, share][judge], abs=0.03)


@pytest.mark.parametrize("judge", ["guard", "interval"])
def test_planned_margins_and_drops_hold_in_simulation(judge):
    """Equal models pass the planned margin, and the planned drop fails, in 80 % of rounds, within two points."""
    n, share, margin, rounds = 1500, 0.06, 0.012, 4000
    models, design = Disagreement(n, share), Design(judge, 0.025)
    rng = np.random.default_rng(11)

    def simulated(drop):
        chances = [(share - drop) / 2, (share + drop) / 2, 1 - share]
        gained, lost, _ = rng.multinomial(n, chances, rounds).T
        return Flips(gained, lost, np.full(rounds, n))

    least = models.smallest_margin(design)
    passed = design.passes(simulated(0.0), least).mean()
    assert passed == pytest.approx(models.passing(design, least), abs=0.02)
    assert models.passing(design, least) >= POWER > models.passing(design, least - 1 / n)
    drop = models.smallest_drop(design, margin)
    assert design.fails(simulated(drop), margin).mean() == pytest.approx(POWER, abs=0.02)


def test_more_samples_see_more():
    """Margins and drops shrink about as one over the root of n."""
    for judge in JUDGES:
        design = Design(judge, 0.025)
        small, large = Disagreement(1000, 0.05), Disagreement(16_000, 0.05)
        assert small.smallest_margin(design) / large.smallest_margin(design) == pytest.approx(4, rel=0.25)
        assert small.smallest_drop(design, 0.0) > large.smallest_drop(design, 0.0)


def test_large_and_normal_agree():
    """At a million samples the exact figures are the normal ones."""
    n, share = 10**6, 0.05
    normal, models = Normal(math.sqrt(share / n)), Disagreement(n, share)
    for judge in JUDGES:
        design = Design(judge, 0.025)
        assert models.smallest_margin(design) == pytest.approx(normal.smallest_margin(design), rel=0.02)
        drop = models.smallest_drop(design, 0.001)
        assert drop == pytest.approx(normal.smallest_drop(design, 0.001), rel=0.02)
        gain = models.smallest_gain(design, -0.001)
        assert gain == pytest.approx(normal.smallest_gain(design, -0.001), rel=0.02)


def test_errors_that_pass():
    """At most so many more; by interval only fewer, where the samples are few; none at all of three."""
    assert Disagreement(1000, 0.05).most_errors(Design("guard", 0.025), 0.01) == 10
    assert Disagreement(449, 0.02).most_errors(Design("point", 0.025), 0.01) == 4
    assert Disagreement(1000, 0.05).most_errors(Design("interval", 0.025), 0.01) == -6
    assert Disagreement(3, 0.5).most_errors(Design("interval", 0.025), 0.0) is None
    for n in (3, 10, 100, 700):  # a margin on the lattice belongs to it
        assert Disagreement(n, 0.1).most_errors(Design("guard", 0.025), 3 / n) == 3


def test_models_that_never_disagree():
    """Equal in every sample: any margin is passed, and a drop is all lost flips."""
    models, design = Disagreement(200, 0.0), Design("guard", 0.025)
    assert models.passing(design, 0.0) == 1.0
    assert models.smallest_margin(design) == 0.0
    drop = models.smallest_drop(design, 0.0)
    assert binom.sf(3, 200, drop) == pytest.approx(
        0.8, abs=0.02
    )  # four flips of four are the first that fail
    assert Disagreement(5, 0.0).smallest_drop(Design("interval", 0.025), 1.0) is None

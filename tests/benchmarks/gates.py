"""What gates do when nothing, or something, is wrong: simulated through the rules that judge."""

import numpy as np

import evalkit
from evalkit.compare.differences import paired_gap
from evalkit.compare.joined import Joined
from evalkit.gates.case import Case
from evalkit.gates.families import Limit, judge_family
from evalkit.rows import Measures, row_key
from evalkit.rules import judge_drop
from evalkit.samples import Samples
from evalkit.uncertainty.paired import Flips, tango_interval
from evalkit.uncertainty.power import POWER, Design, Disagreement

ROUNDS = 20_000
ALPHA = 0.025
OUTCOMES = ("passed", "inconclusive", "failed")


def shares(rng: np.random.Generator, design: Design, n: int, disagreement: float, drop: float, margin: float):
    """Return how often a candidate with a true drop passes, is undecided, and fails; a name each."""
    share = max(disagreement, drop)
    chances = [(share - drop) / 2, (share + drop) / 2, 1 - share]
    gained, lost, _ = rng.multinomial(n, chances, ROUNDS).T
    kinds, weights = np.unique(np.stack([gained, lost]), axis=1, return_counts=True)
    flips = Flips(kinds[0], kinds[1], np.full(kinds.shape[1], n))
    low, high = tango_interval(flips, level=1 - 2 * design.alpha)
    found = dict.fromkeys(OUTCOMES, 0.0)
    for fall, least, most, weight in zip(-flips.difference, -high, -low, weights, strict=True):
        outcome = judge_drop(design.judge, float(fall), (float(least), float(most)), margin)
        found[outcome] += weight / ROUNDS
    return found


def weeks(rng: np.random.Generator) -> None:
    """Equal models and a true drop of two points under a margin of one, week after week."""
    print(
        f"{'n, disagreement':18}{'judge':10}{'equal: pass / ? / fail':>26}{'drop .02: pass / ? / fail':>28}"
    )
    for n, disagreement in ((449, 0.02), (1000, 0.05), (2000, 0.05), (5000, 0.05)):
        for judge in ("interval", "guard"):
            design = Design(judge, ALPHA)
            cells = [shares(rng, design, n, disagreement, drop, 0.01).values() for drop in (0.0, 0.02)]
            texts = [" / ".join(f"{value:.2f}" for value in cell) for cell in cells]
            print(f"{f'{n}, {disagreement:.0%}':18}{judge:10}{texts[0]:>26}{texts[1]:>28}")


def power(rng: np.random.Generator) -> None:
    """max_drop: 0 against equal models and a drop of two points, beside the exact enumeration."""
    print(
        f"{'n, disagreement':18}{'judge':10}{'equal fail':>12}{'found':>8}{'exact':>8}{'planned .80 fails':>19}"
    )
    for n, disagreement in ((500, 0.05), (1000, 0.08), (2000, 0.05), (5000, 0.1)):
        models = Disagreement(n, disagreement)
        for judge in ("guard", "interval"):
            design = Design(judge, ALPHA)
            equal, worse = (shares(rng, design, n, disagreement, drop, 0.0)["failed"] for drop in (0.0, 0.02))
            planned = models.smallest_drop(design, 0.01) or 1.0
            hit = shares(rng, design, n, disagreement, planned, 0.01)["failed"]
            exact = models.failing(design, 0.0, drop=0.02)
            label = f"{n}, {disagreement:.0%}"
            print(
                f"{label:18}{judge:10}{equal:12.3f}{worse:8.3f}{exact:8.3f}{hit:14.3f} ({hit - POWER:+.3f})"
            )


def two_models(rng: np.random.Generator, n: int, n_classes: int, accuracy: float, drop: float):
    """Return labels and two models' answers whose errors mostly coincide; class 0 is the rarest."""
    rare = rng.random(n) < 0.05
    y = np.where(rare, 0, rng.integers(1, n_classes, n))
    shared, predictions = rng.random(n), []
    for share in (accuracy, accuracy - drop):
        own = np.where(rng.random(n) < 0.8, shared, rng.random(n))
        other = (y + rng.integers(1, n_classes, n)) % n_classes
        predictions.append(np.where(own < share, y, other))
    return y, *predictions


def coverage(rng: np.random.Generator, trials: int = 1500) -> None:
    """How often paired intervals of other metrics hold the difference of two equal models, which is 0."""
    keys = [row_key("f1", average="macro"), row_key("balanced_accuracy"), row_key("mcc"), row_key("cohen_kappa"),
            row_key("precision", class_name="0")]  # fmt: skip
    print(
        f"{'n, K, accuracy':20}"
        + "".join(f"{' '.join(filter(None, key[:1] + key[2:4])):>20}" for key in keys)
    )
    for n, n_classes, accuracy in ((500, 3, 0.9), (1000, 10, 0.8), (2000, 5, 0.97)):
        names, held = tuple(map(str, range(n_classes))), dict.fromkeys(keys, 0)
        for _ in range(trials):
            y, old, new = two_models(rng, n, n_classes, accuracy, 0.0)
            joined = Joined(Samples(y, new), Samples(y, old), None)
            for key in keys:
                gap = paired_gap(key, joined, Measures(), np.ones(n_classes, bool), names, level=0.95)
                held[key] += gap.bounds is not None and gap.bounds[0] <= 0 <= gap.bounds[1]
        label = f"{n}, {n_classes}, {accuracy}"
        print(f"{label:20}" + "".join(f"{count / trials:20.3f}" for count in held.values()))


def families(rng: np.random.Generator, runs: int = 1000) -> None:
    """False alarms over 50 slices that are exactly at the limit, and how often one bad slice is found."""
    code = np.repeat(np.arange(50), 60)
    truth, keys = np.zeros(len(code), int), [row_key("accuracy", slice_={"site": k}) for k in range(50)]

    def alarms(bad: float) -> float:
        found = 0
        for _ in range(runs):
            wrong = rng.random(len(code)) > np.where(code == 7, bad, 0.9)
            options = {"class_names": ["right", "wrong"], "attributes": {"site": code}, "slices": ["site"]}
            result = evalkit.score(truth, wrong.astype(int), **options).document
            verdict = judge_family(Case(result, None), keys, Limit(0.9, True, None, 30, ALPHA))
            found += verdict["outcome"] == "failed"
        return found / runs

    margin = 3 * np.sqrt(ALPHA * (1 - ALPHA) / runs)
    print(
        f"50 slices of 60 samples at the limit: {alarms(0.9):.3f} alarms, at most {ALPHA} + {margin:.3f} wanted"
    )
    print(f"one of them at 0.65 instead of 0.90: found in {alarms(0.65):.3f} of runs")


def run(seed: int = 2026) -> None:
    """Print everything."""
    rng = np.random.default_rng(seed)
    for part in (weeks, power, coverage, families):
        part(rng)
        print()

"""Flips: who was right before and is not now, by class and slice, counted, listed, and gated."""

import csv
import json

import numpy as np
import pytest
from test_compare import NAMES, compared, gates_file, saved, two_models

import evalkit as library
from evalkit.compare.shares import share_gaps
from evalkit.rows import row_key
from evalkit.uncertainty import wilson
from evalkit.uncertainty.paired import Flips, tango_interval


@pytest.fixture
def runs(tmp_path):
    """Two runs with slices and ids, and what they are made of."""
    y, old, new = two_models(500, accuracy=(0.85, 0.8))
    options = {"attributes": {"site": np.arange(500) % 4}, "slices": ["site"]}
    ids = [f"s{i}" for i in range(500)]
    a = saved(tmp_path / "old", y, old, ids, **options)
    b = saved(tmp_path / "new", y, new, ids, **options)
    return a, b, y, old, new


def test_flips_by_class_and_slice_add_up(runs, evalkit):
    """Each group's four counts are its samples; classes and slices both sum to the whole."""
    a, b, y, old, new = runs
    code, out, err = evalkit("compare", a, b, "--json")
    assert code == 0, err
    flips = json.loads(out)["flips"]
    four = ("both_right", "only_candidate", "only_baseline", "both_wrong")
    for one in (flips, *flips["by_class"], *flips["by_slice"]):
        assert sum(one[name] for name in four) == one["n_samples"]
    for name in (*four, "n_samples"):
        assert sum(one[name] for one in flips["by_class"]) == flips[name]
        assert sum(one[name] for one in flips["by_slice"]) == flips[name]
    assert flips["only_candidate"] - flips["only_baseline"] == (new == y).sum() - (old == y).sum()
    for k, one in enumerate(flips["by_class"]):
        of = y == k
        assert one["class_name"] == NAMES[k]
        assert one["only_baseline"] == (of & (old == y) & (new != y)).sum()
    assert [one["slice"] for one in flips["by_slice"]] == [{"site": k} for k in range(4)]


def test_groups_have_the_intervals_of_their_rows(runs):
    """A class's difference is that of its recall, a slice's that of its accuracy."""
    a, b, y, old, new = runs
    found = compared(a, b)
    joined = found.tables.joined()
    right, before = new == y, old == y
    by_class = share_gaps(right, before, joined.new.y_true, 3, clusters=None, level=0.95)
    for k, name in enumerate(NAMES):
        gap = found.gap(row_key("recall", class_name=name), level=0.95)
        assert (by_class.low[k], by_class.high[k]) == pytest.approx(gap.bounds)
    by_slice = share_gaps(right, before, np.arange(500) % 4, 4, clusters=None, level=0.95)
    for k in range(4):
        gap = found.gap(row_key("accuracy", slice_={"site": k}), level=0.95)
        assert (by_slice.low[k], by_slice.high[k]) == pytest.approx(gap.bounds)


def test_clustered_groups_have_the_intervals_of_their_rows(tmp_path):
    """The same sums of influences by cluster, for all groups at once."""
    y, old, new = two_models(600, accuracy=(0.85, 0.8))
    options = {
        "attributes": {"p": np.arange(600) // 10, "site": np.arange(600) % 2},
        "metrics": {"cluster": "p"},
        "slices": ["site"],
    }
    a, b = saved(tmp_path / "old", y, old, **options), saved(tmp_path / "new", y, new, **options)
    found = compared(a, b)
    joined = found.tables.joined()
    assert joined.clusters is not None
    gaps = share_gaps(new == y, old == y, y, 3, clusters=joined.clusters, level=0.95)
    for k, name in enumerate(NAMES):
        gap = found.gap(row_key("recall", class_name=name), level=0.95)
        assert (gaps.low[k], gaps.high[k]) == pytest.approx(gap.bounds, rel=0.05)
        assert gap.method == gaps.method == "influence"
    few = share_gaps(new == y, old == y, y, 3, clusters=np.arange(600) % 19, level=0.95)
    assert np.isnan(few.low).all()
    row = found.flips(0.95)[row_key("negative_flip_rate", class_name="a")]
    assert row.method == "wilson-effective-clustered"


def test_rates_are_shares_with_wilsons_interval(runs):
    """Negative flips over all samples of the group; the count has no interval."""
    a, b, y, old, new = runs
    rows = compared(a, b).flips(0.9)
    negative = (old == y) & (new != y)
    for key, of in (
        (row_key("negative_flip_rate"), np.ones(500, bool)),
        (row_key("negative_flip_rate", class_name="b"), y == 1),
        (row_key("negative_flip_rate", slice_={"site": 2}), np.arange(500) % 4 == 2),
    ):
        row, k, n = rows[key], int((negative & of).sum()), int(of.sum())
        assert (row.numerator, row.denominator, row.value) == (k, n, k / n)
        assert (row.low, row.high) == pytest.approx(tuple(map(float, wilson(k, n, level=0.9))))
        count = rows[("negative_flips", *key[1:])]
        assert (count.value, count.low, count.no_interval) == (k, None, "count")


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        ({"metric": "negative_flips", "max": 500}, 0),
        ({"metric": "negative_flips", "max": 0}, 3),
        ({"metric": "negative_flip_rate", "max": 0.5, "judge": "upper"}, 0),
        ({"metric": "negative_flip_rate", "max": 0.01, "judge": "interval"}, 3),
        ({"metric": "negative_flip_rate", "class": "a", "max": 0.5}, 0),
        ({"metric": "negative_flip_rate", "class": "*", "max": 0.5}, 0),
        ({"metric": "negative_flip_rate", "class": "*", "max": 0.001}, 3),
        ({"metric": "negative_flip_rate", "slice": {"site": "*"}, "max": 0.5, "require": "each"}, 0),
        ({"metric": "negative_flip_rate", "slice": {"site": 1}, "max": 0.5}, 0),
        ({"metric": "negative_flips", "class": "*", "max": 400, "judge": "point"}, 0),
        ({"metric": "negative_flips", "class": "*", "max": 400}, 2),  # a count has no interval
        ({"metric": "negative_flips", "class": "*", "max": 1, "judge": "point"}, 3),
        ({"metric": "negative_flips", "max": 3, "judge": "lower"}, 2),
        ({"metric": "negative_flips", "max_drop": 1}, 2),
        ({"metric": "negative_flip_rate", "average": "macro", "max": 0.5}, 2),
        ({"metric": "negative_flip_rate", "class": "a", "slice": {"site": 1}, "max": 0.5}, 2),
    ],
)
def test_flips_are_gated(gate, code, runs, tmp_path, evalkit):
    """Overall, by class, by slice, one by one or as a family; never by max_drop."""
    a, b, *_ = runs
    found, out, err = evalkit("gate", b, "--gates", gates_file(tmp_path, gate), "--baseline", a)
    assert found == code, out + err


def test_flips_need_a_baseline_and_its_table(runs, tmp_path, evalkit, project):
    """Without the one it is a mistake, without the other they cannot be judged."""
    a, b, *_ = runs
    path = gates_file(tmp_path, {"metric": "negative_flips", "max": 500})
    code, _, err = evalkit("gate", b, "--gates", path)
    assert code == 2
    assert "gates[0].metric: needs a baseline" in err
    (a / "predictions.parquet").unlink()
    code, out, _ = evalkit("gate", b, "--gates", path, "--baseline", a)
    assert code == 5
    assert "flips need both runs' per-sample tables" in out
    code, out, err = evalkit("compare", a, b, "--flips", tmp_path / "flips.csv")
    assert code == 5
    assert not (tmp_path / "flips.csv").exists()
    project.spec |= {"metrics": {"names": ["negative_flips"]}}
    project.write_spec()
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    assert code == 2
    assert "gate it instead" in err


def test_every_flip_is_written(runs, tmp_path, evalkit):
    """One line a flip: the sample, its class, and what both models said."""
    a, b, y, old, new = runs
    assert evalkit("compare", a, b, "--flips", tmp_path / "flips.csv")[0] == 0
    lines = list(csv.DictReader((tmp_path / "flips.csv").read_text().splitlines()))
    rows = np.flatnonzero((new == y) != (old == y))
    assert [line["sample_id"] for line in lines] == [f"s{i}" for i in rows]
    for line, i in zip(lines, rows, strict=True):
        assert line["flip"] == ("positive" if new[i] == y[i] else "negative")
        assert [line[name] for name in ("y_true", "baseline", "candidate")] == [
            NAMES[k] for k in (y[i], old[i], new[i])
        ]


def test_label_sets_flip_as_a_whole_and_by_label(tmp_path):
    """A set is right with all of its labels; a label where a sample that has it was given it."""
    rng = np.random.default_rng(0)
    y = rng.random((300, 3)) < 0.4
    old, new = (np.where(rng.random(y.shape) < share, y, ~y) for share in (0.9, 0.8))
    for name, pred in (("old", old), ("new", new)):
        library.score(y, pred, task="multilabel", class_names=NAMES).save(tmp_path / name)
    found = compared(tmp_path / "old", tmp_path / "new")
    rows = found.flips(0.95)
    whole = ((old == y).all(axis=1) & ~(new == y).all(axis=1)).sum()
    assert rows[row_key("negative_flips")].value == whole
    for k, name in enumerate(NAMES):
        of = y[:, k]
        assert rows[row_key("negative_flips", class_name=name)].value == (of & old[:, k] & ~new[:, k]).sum()
        gained, lost = (of & new[:, k] & ~old[:, k]).sum(), (of & old[:, k] & ~new[:, k]).sum()
        expected = tango_interval(Flips(*map(np.asarray, (gained, lost, of.sum()))), level=0.95)
        gap = found.gap(row_key("recall", class_name=name), level=0.95)
        assert gap.bounds == pytest.approx(tuple(map(float, expected)))
    for metric in ("f1", "precision"):  # means over samples are paired, too
        low, high = found.gap(row_key(metric, average="samples"), level=0.95).bounds
        assert low < 0
        assert high < 0


def test_the_verdict_and_the_page_hold_flips(runs, tmp_path, evalkit):
    """By class and slice in verdict.json; classes that lost most first on the page."""
    a, b, *_ = runs
    path = gates_file(tmp_path, {"metric": "negative_flips", "max": 500})
    assert evalkit("gate", b, "--gates", path, "--baseline", a)[0] == 0
    flips = json.loads((b / "verdict.json").read_text())["comparison"]["flips"]
    assert len(flips["by_class"]) == 3
    assert len(flips["by_slice"]) == 4
    page = (b / "report.html").read_text()
    assert "only right before" in page
    assert "site = 3" in page

"""Two runs on the same samples: joined by id, paired differences, and gates that know their noise."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import yaml

import evalkit as library
from evalkit.compare import pair, tables_of
from evalkit.errors import DocumentError
from evalkit.result import read_result
from evalkit.rows import row_key
from evalkit.uncertainty.paired import Flips, tango_interval

NAMES = ["a", "b", "c"]


def two_models(n=400, seed=0, accuracy=(0.85, 0.85), agreement=0.8, n_classes=3):
    """Labels and two models' answers, whose errors mostly coincide."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    shared = rng.random(n)
    predictions = []
    for share in accuracy:
        own = np.where(rng.random(n) < agreement, shared, rng.random(n))
        wrong = (y + 1 + (shared > 0.95)) % n_classes
        predictions.append(np.where(own < share, y, wrong))
    return y, *predictions


def saved(folder, y, pred, ids=None, class_names=NAMES, **options):
    order = np.array([NAMES.index(name) for name in class_names])
    back = np.argsort(order)
    result = library.score(back[y], back[pred], ids=ids, class_names=class_names, **options)
    result.save(folder)
    return folder


def compared(old, new, **options):
    mine, theirs = read_result(new), read_result(old)
    tables = tables_of(mine, theirs, new / "predictions.parquet", old / "predictions.parquet")
    return pair(mine, theirs, tables=tables, **options)


def test_accuracy_is_tangos(tmp_path):
    """From the flips, whatever the order of samples and classes in the two runs."""
    y, old, new = two_models()
    ids = np.array([f"s{i}" for i in range(len(y))])
    shuffled = np.random.default_rng(1).permutation(len(y))
    a = saved(tmp_path / "old", y[shuffled], old[shuffled], ids[shuffled], class_names=["c", "a", "b"])
    b = saved(tmp_path / "new", y, new, ids)
    found = compared(a, b)
    assert found.differences == ()
    gained, lost = ((new == y) & (old != y)).sum(), ((old == y) & (new != y)).sum()
    expected = tango_interval(Flips(gained, lost, np.asarray(len(y))), level=0.95)
    gap = found.gap(row_key("accuracy"), level=0.95)
    assert (gap.method, gap.bounds) == ("tango", pytest.approx(tuple(map(float, expected))))
    for k, name in enumerate(NAMES):
        of = y == k
        parts = ((new == y) & (old != y) & of).sum(), ((old == y) & (new != y) & of).sum(), of.sum()
        expected = tango_interval(Flips(*map(np.asarray, parts)), level=0.9)
        gap = found.gap(row_key("recall", class_name=name), level=0.9)
        assert gap.bounds == pytest.approx(tuple(map(float, expected)))


def test_other_samples_in_the_table_are_refused(tmp_path):
    """A table that is not its result's."""
    y, old, new = two_models(60)
    a = saved(tmp_path / "old", y, old, [f"s{i}" for i in range(60)])
    b = saved(tmp_path / "new", y, new, [f"t{i}" for i in range(60)])
    with pytest.raises(DocumentError, match="other samples"):
        compared(a, b).tables.joined()


@pytest.mark.parametrize(
    "key",
    [
        row_key("f1", average="macro"),
        row_key("precision", class_name="b"),
        row_key("mcc"),
        row_key("specificity", class_name="a"),
        row_key("balanced_accuracy"),
    ],
)
def test_two_equal_models_are_not_certain_to_be_equal(key, tmp_path):
    """No flips, and still the interval has width."""
    y, old, _ = two_models(200)
    found = compared(saved(tmp_path / "old", y, old), saved(tmp_path / "new", y, old))
    low, high = found.gap(key, level=0.95).bounds
    assert low < 0 < high
    assert high - low < 0.2


@pytest.mark.parametrize("key", [row_key("accuracy"), row_key("f1", average="macro"), row_key("mcc")])
def test_paired_intervals_cover(key, tmp_path):
    """Equal models: 0 lies inside in 92 to 100 % of 120 pairs, by samples rather than by documents."""
    from evalkit.compare.differences import paired_gap
    from evalkit.compare.joined import Joined
    from evalkit.rows import Measures
    from evalkit.samples import Samples

    covered = 0
    for seed in range(120):
        y, old, new = two_models(300, seed=seed)
        joined = Joined(Samples(y, new), Samples(y, old), None)
        gap = paired_gap(key, joined, Measures(), np.ones(3, bool), tuple(NAMES), level=0.95)
        covered += gap.bounds[0] <= 0 <= gap.bounds[1]
    assert covered >= 0.92 * 120


def test_clusters_widen_the_difference(tmp_path):
    """Ten copies of each sample say no more than one."""
    y, old, new = two_models(60)
    options = {
        "attributes": {"p": np.repeat(np.arange(60), 10)},
        "metrics": {"cluster": "p"},
    }
    many = [
        saved(tmp_path / name, np.repeat(y, 10), np.repeat(pred, 10), **options)
        for name, pred in (("old", old), ("new", new))
    ]
    one = [saved(tmp_path / f"{name}1", y, pred) for name, pred in (("old", old), ("new", new))]
    key = row_key("f1", average="macro")
    wide = compared(*many).gap(key, level=0.95).bounds
    alone = compared(*one).gap(key, level=0.95).bounds
    assert wide[1] - wide[0] == pytest.approx(alone[1] - alone[0], rel=0.15)


def test_losses_and_auc_are_paired(tmp_path):
    """t of the per-sample differences, DeLong of the two rankings."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    z = 1.2 * (2 * y - 1) + rng.normal(size=300)
    scores = [1 / (1 + np.exp(-(z + rng.normal(scale=0.4, size=300)))) for _ in range(2)]
    folders = []
    for name, p in zip(("old", "new"), scores, strict=True):
        result = library.score(y, y_score=p, task="binary", output="probabilities", class_names=["n", "y"])
        result.save(tmp_path / name)
        folders.append(tmp_path / name)
    found = compared(*folders)
    loss = [-np.log(np.where(y == 1, p, 1 - p)) for p in scores]
    change = loss[1] - loss[0]
    gap = found.gap(row_key("log_loss"), level=0.95)
    half = 1.96 * change.std() / np.sqrt(300)
    assert gap.bounds == pytest.approx((change.mean() - half, change.mean() + half), abs=1e-4)
    auc = found.gap(row_key("roc_auc"), level=0.95)
    assert auc.method == "delong"
    rows = [read_result(folder).rows()[row_key("roc_auc")] for folder in folders]
    difference = rows[1].value - rows[0].value
    assert auc.bounds[0] < difference < auc.bounds[1]
    unpaired = np.hypot(rows[0].high - rows[0].low, rows[1].high - rows[1].low)
    assert auc.bounds[1] - auc.bounds[0] < unpaired


def test_without_tables_the_difference_is_unpaired(tmp_path):
    """Named as such, and wider."""
    y, old, new = two_models()
    a, b = saved(tmp_path / "old", y, old), saved(tmp_path / "new", y, new)
    paired = compared(a, b).gap(row_key("accuracy"), level=0.95)
    (a / "predictions.parquet").unlink()
    gap = pair(read_result(b), read_result(a)).gap(row_key("accuracy"), level=0.95)
    assert gap.method == "newcombe"
    assert gap.bounds[1] - gap.bounds[0] > paired.bounds[1] - paired.bounds[0]


def test_slices_are_compared_on_their_own_samples(tmp_path):
    """A column, and a bin."""
    y, old, new = two_models()
    options = {"attributes": {"age": np.arange(400)}, "slices": [{"age": [100, 300]}]}
    a = saved(tmp_path / "old", y, old, **options)
    b = saved(tmp_path / "new", y, new, **options)
    found = compared(a, b)
    gap = found.gap(row_key("accuracy", slice_={"age": "[100, 300)"}), level=0.95)
    of = slice(100, 300)
    gained = ((new == y) & (old != y))[of].sum(), ((old == y) & (new != y))[of].sum()
    expected = tango_interval(Flips(*map(np.asarray, gained), np.asarray(200)), level=0.95)
    assert gap.bounds == pytest.approx(tuple(map(float, expected)))


def gates_file(tmp_path, *gates):
    path = tmp_path / "gates.yaml"
    path.write_text(yaml.safe_dump({"gates": list(gates)}))
    return path


@pytest.mark.parametrize(
    ("accuracy", "gate", "code"),
    [
        ((0.9, 0.7), {"max_drop": 0.01}, 3),  # guard: beyond the limit, and real
        ((0.85, 0.85), {"max_drop": 0.2}, 0),
        ((0.7, 0.9), {"min_gain": 0.05}, 0),
        ((0.85, 0.85), {"min_gain": 0.2}, 7),
        ((0.85, 0.85), {"max_drop": 0.02, "judge": "interval"}, 7),
        ((0.85, 0.85), {"max_drop": 0.02, "judge": "interval", "on_inconclusive": "fail"}, 3),
        ((0.85, 0.85), {"max_drop": 0.2, "judge": "interval"}, 0),
        ((0.85, 0.85), {"min": 0.5, "judge": "lower"}, 0),
        ((0.85, 0.85), {"min": 0.86, "judge": "interval"}, 7),
        ((0.85, 0.85), {"min": 0.99, "judge": "interval"}, 3),
        ((0.85, 0.85), {"max": 0.99, "judge": "upper", "alpha": 0.01}, 0),
    ],
)
def test_judges_through_the_command(accuracy, gate, code, tmp_path, evalkit):
    """Each judge's exit code, and the interval in verdict.json and sentence."""
    y, old, new = two_models(accuracy=accuracy)
    a, b = saved(tmp_path / "old", y, old), saved(tmp_path / "new", y, new)
    path = gates_file(tmp_path, {"metric": "accuracy", **gate})
    words = ["--baseline", a] if "max_drop" in gate or "min_gain" in gate else []
    found, out, err = evalkit("gate", b, "--gates", path, *words)
    assert found == code, out + err
    check = json.loads((b / "verdict.json").read_text())["checks"][0]
    assert check["low"] < check["high"]
    assert check["level"] == pytest.approx(1 - 2 * gate.get("alpha", 0.025))
    if words:
        assert ("cannot be excluded" in out) == (check["high"] > 0)


def test_metrics_without_a_paired_interval_need_another_judge(tmp_path, evalkit):
    """Unknown noise never passes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    for name in ("old", "new"):
        p = 1 / (1 + np.exp(-(2 * y - 1 + rng.normal(size=200))))
        library.score(y, y_score=p, task="binary", output="probabilities", class_names=["n", "y"]).save(
            tmp_path / name
        )
    path = gates_file(tmp_path, {"metric": "ece", "max_drop": 0.5})
    code, out, _ = evalkit("gate", tmp_path / "new", "--gates", path, "--baseline", tmp_path / "old")
    assert code == 5
    assert "judge: point needs none" in out
    path = gates_file(tmp_path, {"metric": "ece", "max_drop": 0.5, "judge": "point"})
    assert evalkit("gate", tmp_path / "new", "--gates", path, "--baseline", tmp_path / "old")[0] == 0


def test_the_comparison_command(tmp_path, evalkit):
    """Both runs, differences with intervals, flips with ids; the identity of flips and right answers."""
    y, old, new = two_models(accuracy=(0.8, 0.9))
    ids = [f"s{i}" for i in range(len(y))]
    a, b = saved(tmp_path / "old", y, old, ids), saved(tmp_path / "new", y, new, ids)
    code, out, err = evalkit("compare", a, b)
    assert code == 0, err
    assert "Newly right: s" in out
    code, out, _ = evalkit("compare", a, b, "--json")
    document = json.loads(out)
    flips = document["flips"]
    assert flips["only_candidate"] - flips["only_baseline"] == (new == y).sum() - (old == y).sum()
    assert flips["negative_ids"] == [ids[i] for i in np.flatnonzero((old == y) & (new != y))[:100]]
    assert sum(flips[name] for name in ("both_right", "both_wrong", "only_candidate", "only_baseline")) == 400
    assert sum(one["only_baseline"] for one in flips["by_class"]) == flips["only_baseline"]
    row = next(one for one in document["rows"] if one["metric"] == "accuracy")
    assert row["difference"] == pytest.approx((new == y).mean() - (old == y).mean())
    assert row["low"] < row["difference"] < row["high"]
    assert row["method"] == "tango"


def test_runs_that_answer_other_questions_are_not_compared(tmp_path, evalkit):
    """Exit 5 with both signatures; exit 4 for what is no run."""
    y, old, new = two_models()
    a = saved(tmp_path / "old", y, old)
    b = saved(tmp_path / "new", (y + 1) % 3, new)
    code, _, err = evalkit("compare", a, b)
    assert code == 5
    assert "error[incomparable]" in err
    assert err.count("evalkit:1|task:multiclass") == 2
    assert evalkit("compare", a, tmp_path / "nothing")[0] == 4


def test_a_blessed_baseline(tmp_path, evalkit):
    """Small, checked by its sums, replaced only by another blessing, and paired like any run."""
    y, old, new = two_models(5000)
    ids = [f"image-{i:05}.png" for i in range(5000)]
    a, b = saved(tmp_path / "old", y, old, ids), saved(tmp_path / "new", y, new, ids)
    base = tmp_path / "base"
    code, _, err = evalkit("bless", a, "-o", base, "--by", "me", "--why", "first release")
    assert code == 0, err
    assert sorted(path.name for path in base.iterdir()) == [
        "bless.json",
        "predictions.parquet",
        "result.json",
    ]
    assert (base / "predictions.parquet").stat().st_size < 40_000
    gates = gates_file(tmp_path, {"metric": "accuracy", "max_drop": 0.02})
    assert evalkit("gate", b, "--gates", gates, "--baseline", base)[0] == 0
    assert json.loads((b / "verdict.json").read_text())["comparison"]["rows"][0]["method"] == "tango"
    before = sorted(path.name for path in base.iterdir())
    assert evalkit("run", "nothing.yaml", "-o", base)[0] == 2
    assert evalkit("gate", base, "--gates", gates_file(tmp_path, {"metric": "accuracy", "min": 0.1}))[0] == 0
    assert sorted(path.name for path in base.iterdir()) == before
    gates = gates_file(tmp_path, {"metric": "accuracy", "max_drop": 0.02})
    first = json.loads((base / "bless.json").read_text())
    assert evalkit("bless", b, "-o", base)[0] == 0
    second = json.loads((base / "bless.json").read_text())
    assert second["previous_signature"] == first["signature"]
    (base / "predictions.parquet").write_bytes(b"PAR1")
    code, _, err = evalkit("gate", a, "--gates", gates, "--baseline", base)
    assert code == 4
    assert "is not what was blessed" in err


def test_scores_are_blessed_where_that_is_asked(tmp_path, evalkit):
    """Without them a gate on a loss cannot be judged by its noise."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    for name in ("old", "new"):
        p = 1 / (1 + np.exp(-(2 * y - 1 + rng.normal(size=300))))
        library.score(y, y_score=p, task="binary", output="probabilities", class_names=["n", "y"]).save(
            tmp_path / name
        )
    path = gates_file(
        tmp_path, {"metric": "log_loss", "max_drop": 0.5}, {"metric": "roc_auc", "max_drop": 0.2}
    )
    words = ("gate", tmp_path / "new", "--gates", path, "--baseline", tmp_path / "base")
    assert evalkit("bless", tmp_path / "old", "-o", tmp_path / "base")[0] == 0
    assert evalkit(*words)[0] == 5
    assert evalkit("bless", tmp_path / "old", "-o", tmp_path / "base", "--scores")[0] == 0
    code, out, err = evalkit(*words)
    assert code == 0, out + err


def test_what_is_no_baseline(tmp_path, evalkit):
    """A partial run, a folder of somebody's, nothing at all."""
    y, old, _ = two_models(60)
    a = saved(tmp_path / "old", y, old)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    assert evalkit("bless", a, "-o", tmp_path / "mine")[0] == 6
    assert evalkit("bless", tmp_path / "nothing", "-o", tmp_path / "base")[0] == 4
    document = json.loads((a / "result.json").read_text())
    document["partial"] = {"limit": 60, "of": 100}
    (a / "result.json").write_text(json.dumps(document))
    assert evalkit("bless", a, "-o", tmp_path / "base")[0] == 5


def test_no_baseline_said_on_purpose(tmp_path, evalkit, project):
    """Comparing gates cannot be judged; floors are. Without the word it is a mistake, exit 2."""
    y, old, _ = two_models(200)
    a = saved(tmp_path / "old", y, old)
    path = tmp_path / "gates.yaml"
    gates = [{"metric": "accuracy", "max_drop": 0.01}, {"metric": "accuracy", "min": 0.1}]
    path.write_text(yaml.safe_dump({"baseline": "none", "gates": gates}))
    code, out, _ = evalkit("gate", a, "--gates", path)
    assert code == 5
    assert "there is no baseline" in out
    assert "passed" in out
    gates[0]["advisory"] = True
    path.write_text(yaml.safe_dump({"baseline": "none", "gates": gates}))
    assert evalkit("gate", a, "--gates", path)[0] == 0
    path.write_text(yaml.safe_dump({"gates": gates}))
    assert evalkit("gate", a, "--gates", path)[0] == 2
    project.spec |= {"baseline": "none", "gates": [{"metric": "accuracy", "max_drop": 0.01}]}
    project.write_spec()
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out")[0] == 5
    assert evalkit("gate", tmp_path / "out")[0] == 5


def git(folder, *words):
    subprocess.run(
        ["git", "-C", folder, "-c", "user.name=t", "-c", "user.email=t@example.org", *words],
        check=True,
        capture_output=True,
    )


@pytest.mark.skipif(shutil.which("git") is None, reason="a baseline out of git needs git")
def test_a_baseline_out_of_git(tmp_path, evalkit, monkeypatch):
    """What was committed judges, whatever lies in the folder now; a missing ref names the fetch."""
    y, old, new = two_models(accuracy=(0.9, 0.7))
    repository = tmp_path / "repo"
    a, b = saved(tmp_path / "old", y, old), saved(repository / "new", y, new)
    git(repository, "init", "-q", "-b", "main")
    assert evalkit("bless", a, "-o", repository / "baselines/model")[0] == 0
    git(repository, "add", "baselines")
    git(repository, "commit", "-q", "-m", "Bless")
    assert evalkit("bless", b, "-o", repository / "baselines/model")[0] == 0  # brings its own judge
    path = repository / "gates.yaml"
    gates = [{"metric": "accuracy", "max_drop": 0.01}]
    path.write_text(yaml.safe_dump({"baseline": "git:main:baselines/model", "gates": gates}))
    code, out, err = evalkit("gate", b, "--gates", path)
    assert code == 3, out + err
    verdict = json.loads((b / "verdict.json").read_text())
    assert verdict["baseline"]["path"] == "git:main:baselines/model"
    assert verdict["comparison"]["rows"][0]["method"] == "tango"
    monkeypatch.chdir(repository)
    gates_only = gates_file(tmp_path, *gates)
    words = ("gate", b, "--gates", gates_only, "--baseline")
    assert evalkit(*words, "git:main:baselines/model")[0] == 3
    for named, message in (
        ("git:v9:baselines/model", "git fetch origin v9"),
        ("git:main:nowhere", "main has no nowhere/result.json"),
        ("git:main", "expected git:REF:PATH"),
        ("git:--output=x:y", "expected git:REF:PATH"),
    ):
        code, _, err = evalkit(*words, named)
        assert code == 4
        assert message in err

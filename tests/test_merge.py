"""Shards: whole batches, each once, and together the single run to the byte."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import document, measured, setup_of, shard_of, source_of
from test_cli import IMPORTS
from test_tasks import label_sets
from toys import Project

from evalkit.concluding import conclude
from evalkit.errors import ChangedError, DataError, DocumentError
from evalkit.integrity import IntegrityLog
from evalkit.merging import merged, read_shards
from evalkit.parts import join
from evalkit.work import Share


def merge(shards, folder):
    one = merged(shards)
    return conclude(one.described, one.parts, one.integrity, ledger=folder / "merged.parquet", provenance={})


@pytest.mark.parametrize("group", range(8))
def test_any_number_of_shards_gives_the_single_run(group, tmp_path):
    """Law 4, 1 to 8 shards of 1 to 50 samples: some of one batch, of none, of several; with ids and without."""
    for n in range(1 + group, 51, 8):
        setup = setup_of(source_of(n, ids=n % 3 == 0))
        whole = document(measured(setup, tmp_path / f"{n}/whole").evaluation({}).result)
        table = (tmp_path / f"{n}/whole/table.parquet").read_bytes()
        for count in range(1, 9):
            shards = []
            for index in range(1, count + 1):
                folder = tmp_path / f"{n}/{index}of{count}"
                shards.append(shard_of(measured(setup, folder, index=index, count=count), folder))
            assert document(merge(shards, tmp_path).result) == whole
            assert (tmp_path / "merged.parquet").read_bytes() == table
        shutil.rmtree(tmp_path / f"{n}")


@pytest.mark.parametrize("n_shards", range(1, 9))
def test_nothing_to_shard(n_shards, tmp_path):
    """No samples are refused, as in a single run."""
    with pytest.raises(DataError, match="holds no samples"):
        measured(setup_of(source_of(0)), tmp_path, count=n_shards)


@given(st.integers(0, 10_000), st.integers(1, 300), st.integers(1, 60))
def test_shares_cover_every_batch_once(n, size, count):
    """In order, none larger than another by more than a batch, and the first with the first samples."""
    shares = [Share(n, size, index, count) for index in range(1, count + 1)]
    assert [b for share in shares for b in share.batches] == list(range(-(-n // size)))
    assert [i for share in shares for i in share.samples] == list(range(n))
    sizes = [len(share.batches) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert n == 0 or 0 in shares[0].samples


def test_unreadable_samples_are_joined(tmp_path):
    """Also of a shard in which nothing can be read at all."""
    source = Torn(source_of(20), {8, 9, 10, 11, 17})
    setup = setup_of(source, exclude=True)
    whole = measured(setup, tmp_path / "whole").evaluation({})
    shards = []
    for index in range(1, 6):
        folder = tmp_path / str(index)
        shards.append(shard_of(measured(setup, folder, index=index, count=5), folder))
    assert not list((tmp_path / "3/parts").glob("x"))
    assert document(merge(shards, tmp_path).result) == document(whole.result)
    assert whole.result.data["n_unreadable"] == 5


class Torn:
    """Samples of which some cannot be read."""

    def __init__(self, source, lost):
        self.source, self.lost = source, lost

    def __len__(self):
        return len(self.source)

    def __getattr__(self, name):
        return getattr(self.source, name)

    def batch(self, index):
        from evalkit.datasets import Batch
        from evalkit.parts import Unreadable

        kept = np.array([i for i in index.tolist() if i not in self.lost], np.int64)
        lost = tuple(Unreadable(i, f"sample {i}", "torn") for i in index.tolist() if i in self.lost)
        if not len(kept):
            return Batch(kept, (), np.array([], np.int64), unreadable=lost)
        found = self.source.batch(kept)
        return Batch(kept, found.inputs, found.y_true, found.ids, found.attributes, lost)


@pytest.fixture
def three(tmp_path):
    """Three shards of 30 samples, and a way to read them again."""
    setup = setup_of(source_of(30))
    for index in (1, 2, 3):
        folder = tmp_path / f"s{index}"
        shard_of(measured(setup, folder, index=index, count=3), folder, {"weights": "a", "files": str(index)})
    return [tmp_path / f"s{index}" for index in (1, 2, 3)]


def edit(folder, change):
    path = folder / "run.json"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def test_shards_come_in_any_order(three):
    """Sorted by what they say, not by how they are named; copies on other machines have other times."""
    assert [shard.run.shard[0] for shard in read_shards(three[::-1])] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: run["hashes"].update(weights="b"), "differs from the first shard in the weights"),
        (lambda run: run.update(batch_size=8), "the batch size (4, now 8)"),
        (lambda run: run.update(n_samples=31), "the number of samples (30, now 31)"),
        (lambda run: run.update(shard=[2, 4]), "is one of 4 shards"),
        (lambda run: run.update(shard=[1, 3]), "shard 1/3 is there twice"),
    ],
)
def test_shards_of_another_run(change, words, three):
    """What was not made of the same things is not added up."""
    edit(three[1], change)
    with pytest.raises(ChangedError) as caught:
        read_shards(three)
    assert words in str(caught.value)


def test_code_that_differs(three):
    """A model.py that was edited between two shards."""
    edit(three[0], lambda run: run.update(code={"model.py": "a", "early.py": "c"}))
    edit(three[2], lambda run: run.update(code={"model.py": "b"}))
    with pytest.raises(ChangedError, match=r"s3: differs from the first shard in model\.py"):
        read_shards(three)


def test_a_missing_shard(three):
    """Named."""
    with pytest.raises(ChangedError, match="1 shards are missing: 2/3"):
        read_shards([three[0], three[2]])


def test_gaps_and_overlaps_inside_a_shard(three):
    """The batches are proved, not the number of files."""
    parts = three[1] / "parts"
    (path,) = parts.iterdir()
    longer = path.with_name(path.name.replace("-00000003-", "-00000002-"))
    path.rename(longer)
    edit(three[1], lambda run: run["streams"]["candidate"].update(parts=[longer.name]))
    with pytest.raises(ChangedError, match="an overlap in its parts at batch 2"):
        merged(read_shards(three))
    edit(three[1], lambda run: run["streams"]["candidate"].update(parts=[]))
    with pytest.raises(ChangedError, match="a gap in its parts at batch 3"):
        merged(read_shards(three))


def test_a_damaged_part(three, tmp_path):
    """One bit."""
    (path,) = (three[1] / "parts").iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DocumentError, match="is torn or damaged"):
        merge(read_shards(three), tmp_path)
    path.unlink()
    with pytest.raises(DocumentError, match="1 of its parts are missing"):
        merge(read_shards(three), tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{}", '{"schema": "evalkit.run/1"}', '{"schema": "evalkit.run/2"}', "[]"]
)
def test_a_run_json_that_is_none(content, three):
    """Refused, not a crash."""
    (three[1] / "run.json").write_text(content)
    with pytest.raises(DocumentError):
        read_shards(three)


@pytest.mark.parametrize("key", ["described", "findings", "parts"])
@pytest.mark.parametrize("value", [None, 3, "x", [], {}, {"a": 1}, [3], {"check": 3}])
def test_odd_streams(key, value, three, tmp_path):
    """A run.json of somebody else's making gives one clear line."""
    edit(three[0], lambda run: run["streams"]["candidate"].update({key: value}))
    legitimate = (key, value) == ("findings", {})
    if legitimate:
        assert merge(read_shards(three), tmp_path).failure is None
        return
    with pytest.raises((DocumentError, ChangedError)):
        merge(read_shards(three), tmp_path)


def test_shards_from_the_command_line(project, evalkit, tmp_path):
    """Whatever comes with a run comes with its shards: gates, a measured baseline, exclusions, warnings."""
    project.write_spec(
        run__batch_size=16, gates=[{"metric": "accuracy", "min": 0.99}], metrics__names=["roc_auc"]
    )
    spec = project.path / "eval.yaml"
    assert evalkit("run", spec, "-o", tmp_path / "whole")[0] == 3
    for index in (1, 2, 3, 4, 5):
        code, out, err = evalkit("run", spec, "--shard", f"{index}/5", "-o", tmp_path / f"s{index}")
        assert (code, out) == (0, ""), err
        assert not (tmp_path / f"s{index}/verdict.json").exists()
    code, out, err = evalkit(
        "merge", *[tmp_path / f"s{i}" for i in (5, 3, 1, 2, 4)], "-o", tmp_path / "merged"
    )
    assert code == 3
    assert "error[gate-failed]" in err
    assert same(tmp_path / "whole", tmp_path / "merged")
    # The merged run is one: judged again, compared, and not computed a second time.
    assert evalkit("gate", tmp_path / "merged", "--quiet")[0] == 3
    code, _, err = evalkit("run", spec, "-o", tmp_path / "merged")
    assert "nothing changed" in err


def same(a, b):
    left, right = (json.loads((folder / "result.json").read_text()) for folder in (a, b))
    for found in (left, right):
        del found["run"], found["provenance"]
    assert left == right
    return (a / "predictions.parquet").read_bytes() == (b / "predictions.parquet").read_bytes()


def test_a_shard_says_that_it_is_one(project, evalkit, tmp_path):
    """Its own numbers are partial: nothing judges them, nothing is compared with them."""
    project.write_spec(run__batch_size=16, gates=[{"metric": "accuracy", "min": 0.0}])
    spec = project.path / "eval.yaml"
    assert evalkit("run", spec, "--shard", "2/4", "-o", tmp_path / "s")[0] == 0
    found = json.loads((tmp_path / "s/result.json").read_text())
    assert found["partial"] == {"limit": 16, "of": 60, "shard": [2, 4]}
    assert evalkit("gate", tmp_path / "s")[0] == 5
    assert evalkit("bless", tmp_path / "s", "-o", tmp_path / "blessed")[0] == 5
    code, _, err = evalkit("run", spec, "--shard", "2/4", "-o", tmp_path / "s")
    assert (code, "nothing changed" in err) == (0, True)
    code, _, err = evalkit("merge", tmp_path / "s", "-o", tmp_path / "m")
    assert (code, "3 shards are missing: 1/4, 3/4, 4/4" in err) == (4, True)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "1/0", "a/b", "1/2/3", "-1/2", "1.5/2"])
def test_shards_that_there_are_none(text, project, evalkit, tmp_path):
    """Exit 2, before anything is built."""
    code, _, err = evalkit("run", project.path / "eval.yaml", "--shard", text, "-o", tmp_path / "s")
    assert (code, f"--shard {text}: expected I/N" in err) == (2, True)


def test_merging_needs_no_torch(three, tmp_path):
    """On the machine that gathers there may be none."""
    words = ["merge", *map(str, three), "-o", str(tmp_path / "merged")]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, "torch,sklearn", *words], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "LOADED 0 []", done.stderr


def test_merging_what_is_no_shard(project, evalkit, digits_run, tmp_path):
    """A whole run, a folder of somebody else's, a shard as its own output."""
    assert "is a whole run" in evalkit("merge", digits_run, "-o", tmp_path / "m")[2]
    (tmp_path / "foreign").mkdir()
    assert evalkit("merge", tmp_path / "foreign", "-o", tmp_path / "m")[0] == 4
    assert evalkit("merge", tmp_path / "none", "-o", tmp_path / "m")[0] == 4
    assert evalkit("merge", "-o", tmp_path / "m")[0] == 2
    assert evalkit("run", project.path / "eval.yaml", "--shard", "1/2", "-o", tmp_path / "s")[0] == 0
    assert evalkit("merge", tmp_path / "s", "-o", tmp_path / "s")[0] == 6


def test_shards_of_label_sets(evalkit, tmp_path):
    """The averages that a single run has without being asked."""
    project = Project(tmp_path / "labels")
    label_sets(project)
    spec = project.write_spec(run__batch_size=16)
    assert evalkit("run", spec, "-o", tmp_path / "whole")[0] == 0
    for index in (1, 2):
        assert evalkit("run", spec, "--shard", f"{index}/2", "-o", tmp_path / f"s{index}")[0] == 0
    assert evalkit("merge", tmp_path / "s1", tmp_path / "s2", "-o", tmp_path / "merged")[0] == 0
    assert same(tmp_path / "whole", tmp_path / "merged")


def test_code_of_later_shards(three):
    """A module that the first shard never imported: the others must agree, and the merged run knows it."""
    for folder, digest in zip(three[1:], "ab", strict=True):
        edit(folder, lambda run, digest=digest: run.update(code={"late.py": digest}))
    with pytest.raises(ChangedError, match=r"s3: differs from the first shard in late\.py"):
        read_shards(three)
    edit(three[2], lambda run: run.update(code={"late.py": "a"}))
    shards = read_shards(three)
    assert shards[0].run.of_whole(shard.run for shard in shards).code == {"late.py": "a"}


def test_a_threshold_that_was_chosen_on_the_samples_of_one_shard(tmp_path):
    """The question is that of the whole data; a shard does not answer it."""
    setup = setup_of(source_of(20))
    first = measured(setup, tmp_path / "1", index=1, count=2)
    digest = join(first.parts, first.describe().shape, IntegrityLog(), ledger=tmp_path / "x").data.hexdigest()
    again = measured(replace(setup, chosen_on=digest), tmp_path / "2", index=1, count=2)
    assert again.evaluation({}).failure is None


ODD = [None, 3, -1, 1e300, "x", "\ud800", [], {}, {"a": 1}, [3], [[]], "~nouser/x", True, 10**15, 10**30]


@pytest.mark.parametrize("seed", range(6))
def test_a_run_json_of_somebody_elses_making(seed, project, evalkit, tmp_path):
    """Any value anywhere: merged, or refused with one line; never a crash, never a fortune of memory."""
    project.write_spec(run__batch_size=16)
    for index in (1, 2):
        code = evalkit(
            "run", project.path / "eval.yaml", "--shard", f"{index}/2", "-o", tmp_path / f"s{index}"
        )[0]
        assert code == 0
    original = (tmp_path / "s1/run.json").read_text()
    rng = np.random.default_rng(seed)
    for _ in range(25):
        found = json.loads(original)
        paths = list(places(found))
        *way, last = paths[rng.integers(len(paths))]
        where = found
        for key in way:
            where = where[key]
        where[last] = ODD[rng.integers(len(ODD))]
        (tmp_path / "s1/run.json").write_text(json.dumps(found))
        code, _, err = evalkit("merge", tmp_path / "s1", tmp_path / "s2", "-o", tmp_path / "m", "--quiet")
        assert code in (0, 2, 4, 5), (way, last, where[last], err)


def places(value, way=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*way, key)
        yield from places(child, (*way, key))


def test_shards_of_two_models(project, evalkit, tmp_path):
    """A baseline that is measured beside the candidate is merged beside it."""
    old = project.build(n_out=3)
    project.save(old.state_dict(), "old.pt")
    gates = [{"metric": "accuracy", "max_drop": 0.9}]
    project.write_spec(run__batch_size=16, baseline={"checkpoint": "old.pt"}, gates=gates)
    spec = project.path / "eval.yaml"
    assert evalkit("run", spec, "-o", tmp_path / "whole")[0] == 0
    for index in (1, 2, 3):
        assert evalkit("run", spec, "--shard", f"{index}/3", "-o", tmp_path / f"s{index}")[0] == 0
    code, _, err = evalkit("merge", *[tmp_path / f"s{i}" for i in (1, 2, 3)], "-o", tmp_path / "merged")
    assert code == 0, err
    assert same(tmp_path / "whole", tmp_path / "merged")
    name = "baseline-predictions.parquet"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "merged" / name).read_bytes()
    checks = [json.loads((tmp_path / f / "verdict.json").read_text())["checks"] for f in ("whole", "merged")]
    assert checks[0] == checks[1]

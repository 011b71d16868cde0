"""A run that was stopped goes on where it was, and gives the document of an unbroken one; or it says why not."""

import json
import os
import sys
import time

import numpy as np
import pytest
import torch
from test_merge import same

COUNTING = """
import os
from pathlib import Path

import torch
from torch import nn

FOLDER = Path(__file__).parent

class Net(nn.Module):
    def __init__(self, n_in=4, n_out=3):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(8, n_out)

    def forward(self, x):
        with (FOLDER / "calls").open("a") as file:
            file.write(f"{len(x)}\\n")
        stop = FOLDER / "stop"
        if stop.exists() and (FOLDER / "calls").read_text().count("\\n") > int(stop.read_text()):
            raise KeyboardInterrupt
        return self.head(self.body(x))

def build(**args):
    return Net(**args)
"""
# The layers are looked at in one call, at the end.
LAYERS = 1
SAMPLES = """
import numpy as np
from pathlib import Path

class Samples:
    classes = ["class 0", "class 1", "class 2"]

    def __init__(self):
        self.path = Path(__file__).parent / "test.npz"

    def __len__(self):
        return 60

    def __getitem__(self, i):
        found = np.load(self.path)
        return found["x"][i], int(found["y"][i]), {"site": int(found["site"][i])}
"""


@pytest.fixture(autouse=True)
def parts_of_one_batch(monkeypatch):
    """Every batch is worth a part, however fast."""
    monkeypatch.delitem(sys.modules, "late", raising=False)  # of another test in this process
    monkeypatch.setattr("evalkit.running.PART_SECONDS", 0)
    monkeypatch.setattr("evalkit.running.LOST_SHARE", 0)
    monkeypatch.setattr("evalkit.running.CHECK_SHARE", float("inf"))


@pytest.fixture
def long(project):
    """Fifteen batches of four; the audit of the first one asks ten times more."""
    project.write_model(COUNTING)
    project.write_spec(run__batch_size=4)
    return project


def calls(project):
    return (project.path / "calls").read_text().split()


def stopped(project, evalkit, out, *, after, words=()):
    """Stop a run after so many calls of the model."""
    (project.path / "calls").write_text("")
    (project.path / "stop").write_text(str(after))
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", out, *words)
    (project.path / "stop").unlink()
    assert code == 130
    return err


def parts_in(out):
    return sorted(path.name for path in (out / "parts").iterdir()) if (out / "parts").exists() else []


def test_stopped_anywhere(long, evalkit, tmp_path):
    """At every batch: the rest is run, and only the rest; the document is the unbroken run's."""
    spec = long.path / "eval.yaml"
    assert evalkit("run", spec, "-o", tmp_path / "whole")[0] == 0
    n_calls = len(calls(long))
    n_asked_again = n_calls - 15 - LAYERS
    for after in range(1, n_calls):
        out = tmp_path / f"out{after}"
        err = stopped(long, evalkit, out, after=after)
        n_done = len(parts_in(out))
        assert n_done == min(15, max(0, after - n_asked_again))
        if not n_done:
            assert not out.exists()
            continue
        assert "with --resume goes on" in err
        assert not json.loads((out / "run.json").read_text())["complete"]
        (long.path / "calls").write_text("")
        code, _, err = evalkit("run", spec, "--resume", "-o", out)
        assert code == 0, err
        assert len(calls(long)) == 15 - n_done + LAYERS
        assert same(tmp_path / "whole", out)
        assert json.loads((out / "run.json").read_text())["complete"]
        assert not (out / "parts").exists()


def test_stopped_again_and_again(long, evalkit, tmp_path):
    """Also with a baseline beside, explicit ids, attributes, duplicates; one batch at a time."""
    long.x[7] = long.x[9]
    long.write_data(id=np.array([f"s{i}" for i in range(60)]), site=np.arange(60) % 3)
    long.save({**long.model.state_dict(), "head.bias": torch.zeros(3)}, "old.pt")
    gates = [{"metric": "accuracy", "max_drop": 0.9}]
    long.write_spec(run__batch_size=4, baseline={"checkpoint": "old.pt"}, gates=gates, data__slices=["site"])
    spec, out = long.path / "eval.yaml", tmp_path / "out"
    assert evalkit("run", spec, "-o", tmp_path / "whole")[0] == 0
    stopped(long, evalkit, out, after=24)
    for _ in range(20):
        if stopped_once_more(long, evalkit, out):
            break
    assert same(tmp_path / "whole", out)
    name = "baseline-predictions.parquet"
    assert (tmp_path / "whole" / name).read_bytes() == (out / name).read_bytes()


def stopped_once_more(project, evalkit, out):
    (project.path / "calls").write_text("")
    (project.path / "stop").write_text("5")
    code = evalkit("run", project.path / "eval.yaml", "--resume", "-o", out)[0]
    (project.path / "stop").unlink()
    return code == 0


def change_weights(project):
    state = project.model.state_dict()
    state["head.bias"][0] += 1e-4
    project.save(state)


def change_data(project):
    project.x[59] += 1
    project.write_data()


def change_labels(project):
    project.y[59] = (project.y[59] + 1) % 3
    project.write_data()


def change_code(project):
    project.write_model(COUNTING + "\n# another comment\n")


def change_batch_size(project):
    project.write_spec(run__batch_size=5)


def change_classes(project):
    project.write_spec(run__batch_size=4, model__classes=["class 1", "class 0", "class 2"])


def add_a_sample(project):
    project.x, project.y = np.concatenate([project.x, project.x[:1]]), np.append(project.y, 0)
    project.write_data()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_weights, "the weights"),
        (change_data, "the data"),
        (change_labels, "the data"),
        (change_code, "model.py"),
        (change_batch_size, "the batch size (4, now 5)"),
        (change_classes, "classes, decision rule"),
        (add_a_sample, "the number of samples (60, now 61)"),
    ],
)
def test_what_changed_is_refused(change, words, long, evalkit, tmp_path):
    """Exit 4 naming it; the parts stay, and go on once it is as it was."""
    out = tmp_path / "out"
    stopped(long, evalkit, out, after=20)
    before = parts_in(out)
    kept = {path: path.read_bytes() for path in long.path.iterdir() if path.is_file()}
    change(long)
    code, _, err = evalkit("run", long.path / "eval.yaml", "--resume", "-o", out)
    assert (code, "error[changed]" in err, words in err) == (4, True, True), err
    assert parts_in(out) == before != []
    for path, content in kept.items():
        path.write_bytes(content)
    assert evalkit("run", long.path / "eval.yaml", "--resume", "-o", out)[0] == 0


@pytest.mark.parametrize("words", [("--workers", "2"), ("--min", "accuracy=0.1"), ("--samples", "none")])
def test_what_may_change(words, long, evalkit, tmp_path):
    """How it is loaded, judged and shown."""
    out = tmp_path / "out"
    stopped(long, evalkit, out, after=20)
    n_done = len(parts_in(out))
    (long.path / "calls").write_text("")
    code, _, err = evalkit("run", long.path / "eval.yaml", "--resume", "-o", out, *words)
    assert code == 0, err
    assert len(calls(long)) == 15 - n_done + LAYERS


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "gone"])
@pytest.mark.parametrize("which", [0, 2, -1])
def test_damaged_parts_are_made_again(damage, which, long, evalkit, tmp_path):
    """The last one, the first one, one in the middle: found, said, and the document is the same."""
    spec, out = long.path / "eval.yaml", tmp_path / "out"
    assert evalkit("run", spec, "-o", tmp_path / "whole")[0] == 0
    stopped(long, evalkit, out, after=20)
    path = out / "parts" / parts_in(out)[which]
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    damaged = {"torn": content[: len(content) // 2], "flipped": content, "empty": b""}
    path.unlink() if damage == "gone" else path.write_bytes(damaged[damage])
    code, _, err = evalkit("run", spec, "--resume", "-o", out)
    assert code == 0, err
    assert ("1 parts are torn or damaged" in err) == (damage != "gone")
    assert same(tmp_path / "whole", out)


def test_data_that_only_reading_tells(long, evalkit, tmp_path):
    """A data set of the user's code: its finished samples are read again, without the model."""
    (long.path / "samples.py").write_text(SAMPLES)
    changes = {"source": "factory", "path": "samples:Samples", "slices": ["site"]}
    long.write_spec(data=changes, run__batch_size=4)
    long.write_data(site=np.arange(60) % 2)
    spec, out = long.path / "eval.yaml", tmp_path / "out"
    assert evalkit("run", spec, "-o", tmp_path / "whole")[0] == 0
    stopped(long, evalkit, out, after=20)
    n_done = len(parts_in(out))
    kept = (long.path / "test.npz").read_bytes()
    for name in ("x", "y", "site"):
        arrays = dict(np.load(long.path / "test.npz"))
        arrays[name][2] = (arrays[name][2] + 1) % 2
        np.savez(long.path / "test.npz", **arrays)
        code, _, err = evalkit("run", spec, "--resume", "-o", out)
        assert (code, "samples from 0 on are not what they were" in err) == (4, True), err
        (long.path / "test.npz").write_bytes(kept)
    (long.path / "calls").write_text("")
    assert evalkit("run", spec, "--resume", "-o", out)[0] == 0
    assert len(calls(long)) == 15 - n_done + LAYERS
    assert same(tmp_path / "whole", out)
    code, _, err = evalkit("run", spec, "-o", out)
    assert (code, "nothing changed" in err) == (0, False)


LATE = COUNTING.replace(
    "\n        return self.head(self.body(x))\n",
    "\n        import late\n        return late.f(self.head(self.body(x)))\n",
)


def test_late_imports_are_known_when_a_run_goes_on(long, evalkit, tmp_path):
    """A module that only the forward pass imports, changed while the run was stopped."""
    long.write_model(LATE)
    (long.path / "late.py").write_text("def f(x):\n    return x\n")
    out = tmp_path / "out"
    stopped(long, evalkit, out, after=20)
    (long.path / "late.py").write_text("def f(x):\n    return -x\n")
    code, _, err = evalkit("run", long.path / "eval.yaml", "--resume", "-o", out)
    assert (code, "late.py" in err) == (4, True), err
    assert "same command with --resume" not in err


def test_the_first_samples_cannot_be_read(long, evalkit, tmp_path):
    """The first ones that can be are asked about again, in an unbroken run and in one that goes on."""
    (long.path / "samples.py").write_text(
        SAMPLES.replace(
            "        found = np.load",
            "        if i < 10:\n            raise OSError('torn')\n        found = np.load",
        )
    )
    long.write_data(site=np.arange(60) % 2)
    data = {"source": "factory", "path": "samples:Samples", "on_unreadable": "exclude"}
    long.write_spec(data=data, run__batch_size=4)
    spec, out = long.path / "eval.yaml", tmp_path / "out"
    assert evalkit("run", spec, "-o", tmp_path / "whole")[0] == 0
    rows = json.loads((tmp_path / "whole/result.json").read_text())["integrity"]
    assert {row["check"]: row["status"] for row in rows}["deterministic"] == "ok"
    for after in (1, 14):
        stopped(long, evalkit, out, after=after)
        assert evalkit("run", spec, "--resume", "-o", out)[0] == 0
        assert same(tmp_path / "whole", out)
        (out / "result.json").write_text("{}")  # so that it is computed again
    # A shard without a readable sample is a shard.
    for index in (1, 2, 3, 4, 5):
        code, _, err = evalkit("run", spec, "--shard", f"{index}/8", "-o", tmp_path / f"s{index}")
        assert code == 0, err


def test_what_is_in_the_folder_of_parts_is_not_ours(long, evalkit, tmp_path):
    """A link to somebody else's files: refused, and nothing there is touched."""
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.mkdir()
    (victim / "precious.txt").write_text("years")
    stopped(long, evalkit, out, after=20)
    for path in (out / "parts").iterdir():
        path.unlink()
    (out / "parts").rmdir()
    (out / "parts").symlink_to(victim)
    for word in ("--resume", "--force"):
        code, _, err = evalkit("run", long.path / "eval.yaml", word, "-o", out)
        assert (code, "is no folder of evalkit's" in err) == (6, True), err
    assert [path.name for path in victim.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize("name", ["/dev/zero", "../../../../../../etc/passwd", "a\0b", "x" * 5000, ""])
def test_odd_names_of_source_files(name, long, evalkit, tmp_path):
    """A run.json of somebody else's names a device, or nothing that there is."""
    out = tmp_path / "out"
    assert evalkit("run", long.path / "eval.yaml", "-o", out)[0] == 0
    found = json.loads((out / "run.json").read_text())
    found["code"][name] = "0"
    (out / "run.json").write_text(json.dumps(found))
    code, _, err = evalkit("run", long.path / "eval.yaml", "-o", out)
    assert (code, "nothing changed" in err) == (0, False), err


def test_without_resume_it_begins_anew(long, evalkit, tmp_path):
    """And says what would have been; --resume without anything to go on with just runs."""
    spec, out = long.path / "eval.yaml", tmp_path / "out"
    stopped(long, evalkit, out, after=20)
    (long.path / "calls").write_text("")
    code, _, err = evalkit("run", spec, "-o", out)
    assert (code, "begins anew; --resume goes on" in err) == (0, True)
    assert len(calls(long)) > 15
    assert evalkit("run", spec, "-o", tmp_path / "new", "--resume")[0] == 0
    assert evalkit("run", spec, "-o", tmp_path / "new", "--resume", "--force")[0] == 2


def test_the_last_report_survives_a_stopped_run(long, evalkit, tmp_path):
    """It is rendered while the next run waits to be continued; it does not pass for that one."""
    spec, out = long.path / "eval.yaml", tmp_path / "out"
    assert evalkit("run", spec, "-o", out)[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.name != "run.json"}
    change_weights(long)
    stopped(long, evalkit, out, after=20)
    for name, content in before.items():
        assert (out / name).read_bytes() == content
    assert evalkit("report", out)[0] == 0
    code, _, err = evalkit("gate", out, "--gates", gate_file(tmp_path))
    assert (code, "error[unfinished]" in err, "a later run was begun there" in err) == (5, True, True)
    assert evalkit("bless", out, "-o", tmp_path / "blessed")[0] == 5
    assert not (tmp_path / "blessed").exists()
    assert evalkit("compare", out, out)[0] == 5
    assert evalkit("run", spec, "--resume", "-o", out)[0] == 0
    assert evalkit("gate", out, "--gates", gate_file(tmp_path))[0] == 0
    assert (out / "result.json").read_bytes() != before["result.json"]


def gate_file(folder):
    path = folder / "gates.yaml"
    path.write_text("gates: [{metric: accuracy, min: 0.0}]")
    return path


def test_a_damaged_run_json(long, evalkit, tmp_path):
    """Nothing that could be continued: the run begins, as without one."""
    out = tmp_path / "out"
    stopped(long, evalkit, out, after=20)
    (out / "run.json").write_text('{"schema": "evalkit.run/1"')
    assert evalkit("run", long.path / "eval.yaml", "--resume", "-o", out)[0] in (0, 6)


def test_a_shard_goes_on(long, evalkit, tmp_path):
    """Killed, continued, finished, merged."""
    spec = long.path / "eval.yaml"
    assert evalkit("run", spec, "-o", tmp_path / "whole")[0] == 0
    stopped(long, evalkit, tmp_path / "s1", after=15, words=("--shard", "1/2"))
    assert parts_in(tmp_path / "s1")
    code, _, err = evalkit("merge", tmp_path / "s1", tmp_path / "s1", "-o", tmp_path / "m")
    assert (code, "shard 1/2 is not finished" in err) == (4, True)
    assert evalkit("run", spec, "--shard", "1/2", "--resume", "-o", tmp_path / "s1")[0] == 0
    assert evalkit("run", spec, "--shard", "2/2", "--resume", "-o", tmp_path / "s2")[0] == 0
    assert evalkit("merge", tmp_path / "s1", tmp_path / "s2", "-o", tmp_path / "m")[0] == 0
    assert same(tmp_path / "whole", tmp_path / "m")
    code, _, err = evalkit("run", spec, "--shard", "1/3", "--resume", "-o", tmp_path / "s1")
    assert code == 0, err


class TestUnchanged:
    """A finished run of the very same things is not computed again."""

    def test_its_gates_are_judged_again(self, long, evalkit, tmp_path):
        """With their exit code, and nothing of the result moves."""
        long.write_spec(run__batch_size=4, gates=[{"metric": "accuracy", "min": 0.99}])
        spec, out = long.path / "eval.yaml", tmp_path / "out"
        assert evalkit("run", spec, "-o", out)[0] == 3
        before = {path.name: path.read_bytes() for path in out.iterdir()}
        (long.path / "calls").write_text("")
        code, printed, err = evalkit("run", spec, "-o", out)
        assert code == 3
        assert "s ago, nothing changed; --force repeats it" in err
        assert "1 of 1 gates failed" in printed
        assert calls(long) == []
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
        code, printed, _ = evalkit("run", spec, "-o", out, "--json", "--quiet", "--expect", "accuracy=0.5")
        assert (code, json.loads(printed)["expected"]["expected"]) == (3, 0.5)
        (long.path / "calls").write_text("")
        assert evalkit("run", spec, "-o", out, "--force")[0] == 3
        assert len(calls(long)) > 15

    @pytest.mark.parametrize(
        "change",
        [
            change_weights,
            change_data,
            change_labels,
            change_code,
            change_batch_size,
            change_classes,
            add_a_sample,
        ],
    )
    def test_whatever_changed_is_computed(self, change, long, evalkit, tmp_path):
        """Silently wrong would be a number of another model."""
        spec, out = long.path / "eval.yaml", tmp_path / "out"
        assert evalkit("run", spec, "-o", out)[0] == 0
        change(long)
        code, _, err = evalkit("run", spec, "-o", out)
        assert (code, "nothing changed" in err) == (0, False)

    @pytest.mark.parametrize(
        "words", [("--set", "metrics.interval=0.9"), ("--limit", "20"), ("--min", "f1=0.1")]
    )
    def test_another_question_is_computed(self, words, long, evalkit, tmp_path):
        """Another interval, other samples, another gate: another document."""
        spec, out = long.path / "eval.yaml", tmp_path / "out"
        assert evalkit("run", spec, "-o", out)[0] == 0
        assert "nothing changed" not in evalkit("run", spec, "-o", out, *words)[2]

    @pytest.mark.parametrize("name", ["result.json", "predictions.parquet", "run.json"])
    @pytest.mark.parametrize("damage", ["edited", "gone"])
    def test_documents_that_were_touched_are_made_again(self, name, damage, long, evalkit, tmp_path):
        """A cached folder is no proof: what the documents rest on is compared by digest."""
        spec, out = long.path / "eval.yaml", tmp_path / "out"
        assert evalkit("run", spec, "-o", out)[0] == 0
        before = (out / "predictions.parquet").read_bytes()
        content = (out / name).read_bytes()
        (out / name).unlink() if damage == "gone" else (out / name).write_bytes(content + b" ")
        code, _, err = evalkit("run", spec, "-o", out)
        assert (code, "nothing changed" in err) == (0, name == "run.json" and damage == "edited")
        assert (out / "predictions.parquet").read_bytes() == before

    def test_an_invalid_run_is_tried_again(self, long, evalkit, tmp_path):
        """It gave no number."""
        long.save({**long.model.state_dict(), "head.weight": torch.full((3, 8), 3e38)})
        spec, out = long.path / "eval.yaml", tmp_path / "out"
        for _ in range(2):
            code, _, err = evalkit("run", spec, "-o", out)
            assert (code, "nothing changed" in err) == (5, False)

    def test_files_that_the_model_reads(self, long, evalkit, tmp_path):
        """When it is built, and when it runs; by open, exec, or a loader of its own."""
        long.write_model(
            COUNTING.replace(
                "        return self.head(self.body(x))\n",
                "        sign = (FOLDER / 'sign.txt').read_text()\n        return float(sign) * self.head(self.body(x))\n",
            )
            + "exec((FOLDER / 'more.py').read_text())\nimport json\nSCALE = json.loads((FOLDER / 'scale.json').read_text())\n"
        )
        for name, content in {"sign.txt": "1", "more.py": "X = 1", "scale.json": "1"}.items():
            (long.path / name).write_text(content)
        spec, out = long.path / "eval.yaml", tmp_path / "out"
        assert evalkit("run", spec, "-o", out)[0] == 0
        for name in ("sign.txt", "more.py", "scale.json"):
            assert "nothing changed" in evalkit("run", spec, "-o", out)[2]
            (long.path / name).write_text((long.path / name).read_text() + " ")
            assert "nothing changed" not in evalkit("run", spec, "-o", out)[2], name

    def test_code_that_is_edited_while_it_runs(self, long, evalkit, tmp_path, monkeypatch):
        """What was imported is what counts, not what the file says in the end."""
        from evalkit import running

        take, out, spec = running.Run.take, tmp_path / "out", long.path / "eval.yaml"

        def take_and_edit(run, position, batch):
            (long.path / "model.py").write_text(COUNTING + "\n# edited\n")
            take(run, position, batch)

        with monkeypatch.context() as patch:
            patch.setattr(running.Run, "take", take_and_edit)
            assert evalkit("run", spec, "-o", out)[0] == 0
        assert "nothing changed" not in evalkit("run", spec, "-o", out)[2]
        assert "nothing changed" in evalkit("run", spec, "-o", out)[2]

    def test_a_model_that_is_meant_to_be_random(self, long, evalkit, tmp_path):
        """Another run may give other numbers."""
        long.write_spec(run={"batch_size": 4, "stochastic": True})
        for _ in range(2):
            code, _, err = evalkit("run", long.path / "eval.yaml", "-o", tmp_path / "out")
            assert (code, "nothing changed" in err) == (0, False)

    @pytest.mark.parametrize(
        "name", ["baseline-result.json", "baseline-predictions.parquet", "gallery.parquet"]
    )
    @pytest.mark.parametrize("damage", ["edited", "gone"])
    def test_every_document_counts(self, name, damage, long, evalkit, tmp_path):
        """Also of the baseline that was measured beside."""
        long.save({**long.model.state_dict(), "head.bias": torch.zeros(3)}, "old.pt")
        gates = [{"metric": "accuracy", "max_drop": 0.9}]
        long.write_spec(run__batch_size=4, baseline={"checkpoint": "old.pt"}, gates=gates)
        spec, out = long.path / "eval.yaml", tmp_path / "out"
        assert evalkit("run", spec, "-o", out)[0] == 0
        assert "nothing changed" in evalkit("run", spec, "-o", out)[2]
        content = (out / name).read_bytes()
        (out / name).unlink() if damage == "gone" else (out / name).write_bytes(content + b" ")
        code, _, err = evalkit("run", spec, "-o", out)
        assert (code, "nothing changed" in err) == (0, False)
        assert (out / name).read_bytes() == content or name == "baseline-result.json"

    def test_code_that_is_imported_late(self, long, evalkit, tmp_path):
        """A module that the forward pass imports counts as well."""
        long.write_model(LATE)
        (long.path / "late.py").write_text("def f(x):\n    return x\n")
        spec, out = long.path / "eval.yaml", tmp_path / "out"
        assert evalkit("run", spec, "-o", out)[0] == 0
        assert "late.py" in json.loads((out / "run.json").read_text())["code"]
        assert "nothing changed" in evalkit("run", spec, "-o", out)[2]
        (long.path / "late.py").write_text("def f(x):\n    return -x\n")
        assert "nothing changed" not in evalkit("run", spec, "-o", out)[2]


def test_a_picture_that_was_written_again(evalkit, tmp_path, monkeypatch):
    """The same size, other pixels: its time tells."""
    from pictures import write_project

    write_project(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path / "pictures")
    out, flags = tmp_path / "out", pictures(tmp_path / "pictures")
    assert evalkit("run", *flags, "-o", out)[0] == 0
    assert "nothing changed" in evalkit("run", *flags, "-o", out)[2]
    picture = tmp_path / "pictures/data/val/red/3.png"
    later = time.time_ns() + 10**9
    os.utime(picture, ns=(later, later))
    assert "nothing changed" not in evalkit("run", *flags, "-o", out)[2]
    assert "nothing changed" in evalkit("run", *flags, "-o", out)[2]
    assert "nothing changed" not in evalkit("run", *flags[:-1], "{mode: RGB, resize: 12}", "-o", out)[2]


def pictures(folder):
    return (
        *("--model", "colours:ColourNet", "--checkpoint", folder / "best.pth"),
        *("--data", folder / "data/val", "--classes", "checkpoint:classes", "--preprocess", "{mode: RGB}"),
    )

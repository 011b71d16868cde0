"""Ranks of torchrun: the single run's document; who fails or dies is named, and nothing that was done is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from passes import document, measured, setup_of, source_of
from test_merge import same
from torch.utils.data import TensorDataset
from toys import Project

from evalkit import errors
from evalkit.cli import hand as hands
from evalkit.cli.hand import Hand
from evalkit.cli.job import is_answered
from evalkit.cli.ranks import Signal, noting_sigterm, place_here
from evalkit.counts import ConfusionCounts
from evalkit.datasets import Batch
from evalkit.datasets.userdata import UserData
from evalkit.errors import EvalkitError, InvalidRunError, SpecificationError
from evalkit.fingerprint import fingerprint
from evalkit.inference import pick_device
from evalkit.integrity import IntegrityLog
from evalkit.measure import Candidate, measure, share_of
from evalkit.parts import CANDIDATE, PartFile, Unreadable
from evalkit.parts.rows import read_parts
from evalkit.ranks import (
    Board,
    Place,
    Report,
    Signs,
    Tally,
    error_of,
    holds_token,
    words_of,
    write_token,
)
from evalkit.ranks.world import World
from evalkit.work import Share, Work

TESTS = Path(__file__).parent
LENGTHS = (1, 7, 50)
# What a rank does at its second batch, where a file asks it to.
FALLING = """
import os
import signal
from pathlib import Path

import torch
from torch import nn

FOLDER, RANK = Path(__file__).parent, os.environ.get("RANK")

class Net(nn.Module):
    def __init__(self, n_in=4, n_out=3):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(8, n_out)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 1 and (FOLDER / f"raise-{RANK}").exists():
            raise ValueError("the cable came off")
        if self.calls > 1 and (FOLDER / f"kill-{RANK}").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if self.calls > 1 and (FOLDER / "terminate").exists():
            os.kill(os.getpid(), signal.SIGTERM)
        if (FOLDER / f"random-{RANK}").exists():
            x = x + torch.randn_like(x)
        return self.head(self.body(x))

def build(**args):
    return Net(**args)
"""


def torchrun(world, *words):
    """Start ranks on this machine alone; gives the exit code and what was printed."""
    env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"),
        *("--nproc-per-node", world, *words),
    ]
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, env=env, timeout=120, check=False
    )


def toy(folder, n=50):
    """A project whose batches have four samples."""
    project = Project(folder, n_samples=n)
    project.write_model(FALLING)
    project.write_spec(run__batch_size=4)
    return project


def with_older(folder):
    """The same with a baseline beside, ids, attributes, and samples that occur twice."""
    project = toy(folder)
    project.x[7] = project.x[41]
    project.write_data(id=np.array([f"s{i}" for i in range(50)]), site=np.arange(50) % 3)
    project.save({**project.model.state_dict(), "head.bias": torch.zeros(3)}, "old.pt")
    gates = [{"metric": "accuracy", "max_drop": 0.9}, {"metric": "accuracy", "min": 0.99}]
    project.write_spec(
        run__batch_size=4, baseline={"checkpoint": "old.pt"}, gates=gates, data__slices=["site"]
    )
    return project


TORN = """
import numpy as np

class Samples:
    classes = ["class 0", "class 1", "class 2"]

    def __len__(self):
        return 50

    def __getitem__(self, i):
        if i in (3, 40):
            raise OSError("torn")
        return np.full(4, i, np.float32), i % 3
"""


# Names in a set come in another order in every process.
SHUFFLED = (
    TORN.replace("if i in (3, 40)", "if False")
    .replace("    def __len__", "    names = list({f'sample {i}' for i in range(50)})\n\n    def __len__")
    .replace("np.full(4, i, np.float32)", "np.full(4, int(self.names[i].split()[1]), np.float32)")
)


def torn(folder, samples=TORN):
    """A specification over samples of which each of two ranks cannot read one."""
    project = toy(folder)
    (project.path / "samples.py").write_text(samples)
    return project.write_spec(run__batch_size=4, data={"source": "factory", "path": "samples:Samples"})


def all_cases(world, folder, cases):
    """Run the cases in one start of torchrun; gives (exit code, stdout, stderr) by name and rank."""
    path = folder / f"cases-{world}"
    path.write_text(json.dumps({name: [str(word) for word in words] for name, words in cases.items()}))
    done = torchrun(world, TESTS / "ranked.py", path)
    assert done.returncode == 0, done.stderr
    found = {}
    for rank in range(world):
        codes = json.loads(Path(f"{path}.{rank}").read_text())
        for name, code in codes.items():
            printed = [Path(f"{path}.{name}.{rank}.{kind}").read_text() for kind in ("out", "err")]
            found[name, rank] = (code, *printed)
    return found


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Projects, and what a single process makes of them."""
    from evalkit.cli import main

    folder = tmp_path_factory.mktemp("ranks")
    found = {f"of {n}": toy(folder / f"of{n}", n) for n in LENGTHS}
    found |= {"older": with_older(folder / "older"), "nothing": toy(folder / "nothing", 0)}
    for name, project in found.items():
        code = main(["run", str(project.path / "eval.yaml"), "-o", str(project.path / "whole"), "--quiet"])
        assert code == {"older": 3, "nothing": 4}.get(name, 0)
    return found


def alike(project, out):
    """Law 4, for every document that holds numbers."""
    whole = project.path / "whole"
    assert same(whole, out)
    if (whole / "baseline-result.json").exists():
        name = "baseline-predictions.parquet"
        assert (whole / name).read_bytes() == (out / name).read_bytes()
        checks = [json.loads((one / "verdict.json").read_text())["checks"] for one in (whole, out)]
        assert checks[0] == checks[1]
    left = {path.name for path in out.iterdir()} ^ {path.name for path in whole.iterdir()}
    assert not left


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run of two ranks of which one was killed, started as a user does."""
    project = toy(tmp_path_factory.mktemp("killed") / "project")
    project.write_spec(run__batch_size=4, gates=[{"metric": "accuracy", "min": 0.0}])
    spec, out = project.path / "eval.yaml", project.path / "out"
    (project.path / "kill-1").touch()
    done = torchrun(2, "-m", "evalkit", "run", spec, "-o", out)
    (project.path / "kill-1").unlink()
    return project, done, out


def test_a_rank_that_is_killed(killed, evalkit):
    """Rank 0 names it and writes an invalid run; what it did itself is kept."""
    _, done, out = killed
    assert done.returncode == 1  # torchrun's, whatever ours is
    assert (
        "evalkit: error[invalid-run]: rank 1 is missing: its process has ended without a word" in done.stderr
    )
    assert "exit code 5, of which torchrun makes 1" in done.stderr
    assert evalkit("gate", out)[0] == 5
    document = json.loads((out / "result.json").read_text())
    assert (document["valid"], document["run"]["world_size"]) == (False, 2)
    assert len(list((out / "parts").iterdir())) >= 1
    assert not json.loads((out / "run.json").read_text())["complete"]


def test_going_on_alone(killed, evalkit, tmp_path):
    """What a rank did is not done again by a single process."""
    project, _, out = killed
    shutil.copytree(out, tmp_path / "out")
    spec = project.path / "eval.yaml"
    n_done = sum(int(part.name[19:27]) - int(part.name[10:18]) for part in (out / "parts").iterdir())
    assert 0 < n_done <= 7
    assert evalkit("run", spec, "-o", project.path / "whole")[0] == 0
    code, _, err = evalkit("run", spec, "--resume", "-o", tmp_path / "out")
    assert (code, "begins anew" in err) == (0, False), err
    alike(project, tmp_path / "out")
    assert "world_size" not in json.loads((tmp_path / "out/result.json").read_text())["run"]


def test_two_ranks(projects, tmp_path):
    """One sample and no batch for the second rank, a short last batch, many; then nothing to do."""
    cases = {
        name: ("run", project.path / "eval.yaml", "-o", tmp_path / name) for name, project in projects.items()
    }
    cases["again"] = cases["of 50"]
    cases["shard"] = (*cases["of 50"], "--shard", "1/2")
    cases["unlike"] = (*cases["of 50"], "--set", "run.batch_size=1{rank}", "--force")
    cases["torn"] = ("run", torn(tmp_path / "torn"), "-o", tmp_path / "out")
    cases["shuffled"] = ("run", torn(tmp_path / "shuffled", SHUFFLED), "-o", tmp_path / "out")
    odd = toy(tmp_path / "odd")
    (odd.path / "random-1").touch()
    cases["random"] = ("run", odd.path / "eval.yaml", "-o", tmp_path / "random")
    cases["misspelt"] = (*cases["of 50"], "--set", "run.bath_size=1", "--junit", tmp_path / "{rank}.xml")
    found = all_cases(2, tmp_path, cases)
    for name, project in projects.items():
        code, printed, err = found[name, 0]
        assert code == {"older": 3, "nothing": 4}.get(name, 0), err
        if name != "nothing":
            alike(project, tmp_path / name)
            assert json.loads((tmp_path / name / "result.json").read_text())["run"]["world_size"] == 2
            assert "samples, 3 classes" in printed
            assert found[name, 1] == (0, "", "")
    assert found["nothing", 0][2].count("holds no samples") == 1
    assert found["nothing", 1] == (4, "", "")
    assert "nothing changed" in found["again", 0][2]
    assert found["again", 1] == (0, "", "")
    assert "of which torchrun makes 1" in found["older", 0][2]
    assert [found["unlike", rank][0] for rank in (0, 1)] == [4, 4]
    assert (
        "error[changed]: rank 1: its run differs from rank 0's in the batch size (10, now 11)"
        in found["unlike", 0][2]
    )
    assert (found["torn", 0][0], found["torn", 1][1:]) == (4, ("", ""))
    torn_err = found["torn", 0][2]
    assert "1 of 50 cannot be read (sample 3:" in torn_err
    # What the other rank cannot read is told, too, unless it was stopped before it came so far.
    assert "rank 1" not in torn_err or "error[data]: rank 1: 1 of 50 cannot be read (sample 40" in torn_err
    assert not (tmp_path / "out").exists()
    assert "rank 1: its run differs from rank 0's in samples here and there" in found["shuffled", 0][2]
    assert found["random", 0][0] == 5
    assert "rank 1: the same batch twice gives other answers" in found["random", 0][2]
    assert [found["misspelt", rank][0] for rank in (0, 1)] == [2, 2]
    assert [(tmp_path / f"{rank}.xml").exists() for rank in (0, 1)] == [True, False]
    assert found["shard", 0][0] == found["shard", 1][0] == 2
    assert (found["shard", 0][2].count("the batches among them"), found["shard", 1][2]) == (1, "")


def test_four_ranks(projects, killed, tmp_path):
    """The same; going on with what two left; a rank that raises, all are stopped; a folder that some do not see."""
    names = [name for name in projects if name.startswith("of")]
    cases = {name: ("run", projects[name].path / "eval.yaml", "-o", tmp_path / name) for name in names}
    shutil.copytree(killed[2], tmp_path / "resumed")
    cases["resumed"] = ("run", killed[0].path / "eval.yaml", "--resume", "-o", tmp_path / "resumed")
    raising = toy(tmp_path / "raising")
    (raising.path / "raise-2").touch()
    cases["raised"] = ("run", raising.path / "eval.yaml", "-o", tmp_path / "raised")
    stopping = toy(tmp_path / "stopping")
    (stopping.path / "terminate").touch()
    cases["stopped"] = ("run", stopping.path / "eval.yaml", "-o", tmp_path / "stopped")
    cases["apart"] = ("run", raising.path / "eval.yaml", "-o", str(tmp_path / "apart-{rank}"))
    found = all_cases(4, tmp_path, cases)
    for name in names:
        assert [found[name, rank][0] for rank in range(4)] == [0] * 4, found[name, 0][2]
        alike(projects[name], tmp_path / name)
    check_resumed(killed[0], found["resumed", 0], tmp_path / "resumed")
    check_raised([found["raised", rank] for rank in range(4)], tmp_path / "raised")
    check_stopped([found["stopped", rank] for rank in range(4)], tmp_path / "stopped")
    assert [found["apart", rank][0] for rank in range(4)] == [6, 5, 5, 5]
    words = "the run folder is not shared between the nodes: ranks 1, 2, 3 do not see"
    assert words in found["apart", 0][2]
    assert [found["apart", rank][1:] for rank in (1, 2, 3)] == [("", "")] * 3
    assert not list(tmp_path.glob("apart-*"))


def check_resumed(project, ended, out):
    code, _, err = ended
    assert (code, "begins anew" in err) == (0, False), err
    alike(project, out)


def check_stopped(ended, out):
    """SIGTERM for all, as where torchrun itself is stopped: no verdict, and everything to go on with."""
    assert ended[0][0] == 143
    assert {code for code, _, _ in ended[1:]} <= {143, 5}  # 5: others' signals came before its own
    assert "keeps what was done; the same command with --resume goes on" in ended[0][2]
    assert "evalkit: terminated: stopped by SIGTERM" in ended[0][2]
    assert [printed for _, *printed in ended[1:]] == [["", ""]] * 3
    assert {path.name for path in out.iterdir()} == {"parts", "run.json"}
    assert len(list((out / "parts").iterdir())) == 4


def check_raised(ended, out):
    """Said once, by rank 0, of the rank that failed; what was done stays."""
    assert [code for code, _, _ in ended] == [5] * 4
    words = "error[invalid-run]: rank 2: the model raised on batch"
    assert words in ended[0][2]
    assert "ValueError: the cable came off" in ended[0][2]
    assert [printed for _, *printed in ended[1:]] == [["", ""]] * 3
    document = json.loads((out / "result.json").read_text())
    rows = {row["check"]: row["status"] for row in document["integrity"]}
    assert (document["valid"], rows["forward"]) == (False, "fail")
    assert (out / "parts").is_dir()


@given(st.integers(0, 200), st.integers(1, 9), st.sets(st.integers(0, 60)))
def test_ranks_have_everything_once(n, size, kept):
    """Whatever is done already: neighbours of what is missing, in order, none with more than one more."""
    work = Work(Path(), Path(), Share(n, 4), [part(position) for position in kept])
    shares = [replace(work, rank=rank, n_ranks=size).to_do for rank in range(size)]
    assert [position for share in shares for position in share] == work.to_do
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert [replace(work, rank=rank).is_first for rank in range(size)] == [True] + [False] * (size - 1)


def part(position):
    return PartFile(Path(), CANDIDATE, position, position + 1, "")


class Clock:
    """Says what it is set to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class TestSigns:
    """Who is lost: by its process, or by its silence."""

    def of(self, gone=()):
        store, clock = dist.HashStore(), Clock()
        boards = [Board(store, rank, 3) for rank in range(3)]
        for rank in (1, 2):
            boards[rank].come(["host", 1, rank])
        signs = Signs(boards[0], timeout=10, clock=clock, gone=lambda process: process[2] in gone)
        assert signs.lost([1, 2]) == dict.fromkeys(gone, "its process has ended without a word")
        return boards, signs, clock

    def test_a_process_that_is_gone(self):
        """At once; unless it had reported before it ended."""
        boards, signs, _ = self.of(gone=[2])
        boards[2].report(Report())
        assert signs.lost([1, 2]) == {}

    def test_a_rank_that_is_slow(self):
        """It may take any time, as long as it gives signs."""
        boards, signs, clock = self.of()
        for _ in range(5):
            clock.now += 9
            boards[1].beat(3)
            boards[2].beat(0)  # it waits, with nothing left
            assert signs.lost([1, 2]) == {}

    def test_a_rank_that_hangs(self):
        """Silent for as long as is allowed."""
        boards, signs, clock = self.of()
        clock.now = 9
        boards[1].beat(3)
        assert signs.lost([1, 2]) == {}
        clock.now = 10
        assert signs.lost([1, 2]) == {2: "it gave no sign for 10 s"}


@pytest.mark.parametrize(
    "kind", [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, EvalkitError)]
)
def test_errors_go_over_the_board(kind):
    """Every kind keeps its slug, code, hint and check, and names the rank; also where its words are odd."""
    words = {"check": "forward"} if kind is InvalidRunError else {}
    error = kind("it\ud800 fell\n::error::", hint="Stand up", **words)
    boards = [Board(dist.HashStore(), 1, 2)] * 2
    boards[0].report(Report(failures={CANDIDATE: words_of(error)}))
    found = error_of(1, boards[1].reported(1).failures[CANDIDATE])
    assert type(found) is kind
    assert str(found) == "rank 1: it\ud800 fell\n::error::. Stand up"
    assert getattr(found, "check", None) == words.get("check")


def test_a_store_that_is_gone():
    """The machine that held it went down: an invalid run, not a bug."""

    class Gone:
        def check(self, keys):
            raise dist.DistNetworkError("Broken pipe")

    with pytest.raises(InvalidRunError, match="cannot be reached: DistNetworkError: Broken pipe"):
        Board(Gone(), 0, 2).planned()


def test_the_token_of_another_folder(tmp_path):
    """An earlier token, none, and a folder that is not there."""
    token = write_token(tmp_path)
    assert holds_token(tmp_path, token)
    assert not holds_token(tmp_path, write_token(tmp_path)[::-1])
    assert not holds_token(tmp_path, token)
    assert not holds_token(tmp_path / "none", token)


HERE = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({}, Place(1, 4, 1)),
        ({"WORLD_SIZE": "1", "RANK": "0"}, None),
        ({"MASTER_ADDR": ""}, None),
        ({"LOCAL_RANK": ""}, None),
        ({"RANK": "4"}, SpecificationError),
        ({"RANK": "5", "WORLD_SIZE": "1"}, SpecificationError),
        ({"RANK": "9" * 20, "WORLD_SIZE": "9" * 21}, SpecificationError),
        ({"MASTER_PORT": "abc"}, SpecificationError),
        ({"MASTER_PORT": "99999"}, SpecificationError),
        ({"RANK": "-1"}, SpecificationError),
        ({"WORLD_SIZE": "many"}, SpecificationError),
        ({"LOCAL_RANK": "\u0663"}, SpecificationError),
    ],
)
def test_where_this_process_is(change, place, monkeypatch):
    """All of torchrun's variables, or it is alone; what is no rank is refused."""
    for name, text in {**HERE, **change}.items():
        monkeypatch.setenv(name, text)
    if place is SpecificationError:
        with pytest.raises(SpecificationError, match="is no rank of torchrun's"):
            place_here()
    else:
        assert place_here() == place


def test_counts_that_are_not_those_of_the_parts(tmp_path):
    """The sum over ranks is an integrity check: one sample otherwise, and there is no number."""
    run = measured(setup_of(source_of(30)), tmp_path)
    tally = Tally({CANDIDATE: ("multiclass", 3)})
    tally.take_parts(CANDIDATE, read_parts(run.parts))
    vector = tally.vector()
    run.counted = tally.split(vector)[CANDIDATE]
    assert run.evaluation({}).result.valid
    vector[np.flatnonzero(vector)[0]] -= 1
    run.counted = tally.split(vector)[CANDIDATE]
    found = run.evaluation({})
    assert (found.failure.check, found.result.valid) == ("seen_once", False)


def test_counts_of_several_streams():
    """One vector for all, and back."""
    tally = Tally({"candidate": ("multiclass", 3), "baseline": ("multilabel", 2)})
    assert tally.vector().tolist() == [0] * 17
    found = tally.split(np.arange(17))
    assert found["candidate"] == ConfusionCounts(np.arange(9).reshape(3, 3))
    assert found["baseline"] == ConfusionCounts(np.arange(9, 17).reshape(2, 2, 2))


def hand_of(store, *, rank=0, sent=None):
    clock = Clock()
    world = World(Place(rank, 2, rank), Board(store, rank, 2))
    return Hand(world, sent or Signal(), timeout=10, clock=clock, pause=lambda seconds: None), clock


def test_what_a_rank_hears():
    """A stop that another one asked for, at its next look; and SIGTERM at once."""
    store = dist.HashStore()
    (mine, clock), other = hand_of(store), Board(store, 1, 2)
    shown = []
    update = mine.watching(lambda done, total, _: shown.append((done, total)))
    other.beat(6)
    update(14, 20, {})  # of ten samples that are ours four are done, of the other's ten four as well
    assert (shown, mine.stopping()) == ([(8, 20)], False)
    other.stop()
    update(15, 20, {})
    assert not mine.stopping()
    clock.now = hands.POLL_SECONDS
    update(16, 20, {})
    assert mine.stopping()
    signalled, _ = hand_of(dist.HashStore(), sent=Signal(came=True))
    assert signalled.stopping()


def test_a_rank_that_is_missing_in_the_sum():
    """It has reported, and is needed all the same."""
    store, clock = dist.HashStore(), Clock()
    board, other = Board(store, 0, 2), Board(store, 1, 2)
    other.come(["here", 1, 2])
    other.report(Report())
    signs = Signs(board, timeout=10, clock=clock, gone=lambda process: True)
    assert signs.lost([1]) == {}
    assert signs.lost([1], summing=True) == {1: "its process has ended without a word"}


def test_sigterm_is_noted():
    """So that what is done can be written down; then it ends as it would have."""
    came = []
    before = signal.signal(signal.SIGTERM, lambda *_: came.append(True))
    try:
        with noting_sigterm() as sent:
            signal.raise_signal(signal.SIGTERM)
            assert (sent.came, came) == (True, [])
            sent.end()
        assert came == [True]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_process_that_has_ended():
    """Of this machine and this parent; of another one that cannot be told."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    here = hands.process_here()
    assert hands.is_gone([*here[:2], child.pid])
    assert not hands.is_gone(here)
    assert not hands.is_gone(["another", here[1], child.pid])


@pytest.mark.parametrize("n", [1, 3, 7, 200])
def test_what_ranks_compare_of_data_of_ones_own(n):
    """Any number of tensors in memory; alone nothing is looked at, and another order shows."""
    x, y = torch.arange(4.0 * n).reshape(n, 4), torch.zeros(n, dtype=torch.long)

    def looked_at(rows, **run):
        source = UserData(TensorDataset(x[rows], y), "data", ("ant", "bee", "cat"))
        setup = setup_of(source, run={"batch_size": 4, **run})
        return fingerprint(setup, share_of(setup)).hashes["samples"]

    rows = torch.arange(n)
    assert looked_at(rows) == ""
    assert looked_at(rows, world_size=2) == looked_at(rows, world_size=2) != ""
    assert (looked_at(rows.flip(0), world_size=2) == looked_at(rows, world_size=2)) == (n == 1)


def test_gpus_of_one_machine(monkeypatch):
    """Each rank has its own where nothing else is said; alone, the specification's word stands."""
    chosen = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    assert [str(pick_device("auto", local_rank=rank)) for rank in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert [str(device) for device in chosen] == ["cuda:0", "cuda:1", "cuda:0"]
    assert str(pick_device("auto")) == "cuda"
    assert str(pick_device("cpu", local_rank=1)) == "cpu"


def passed(setup, folder, *, done=(), **words):
    """Run what is left of a pass, as one of two ranks or alone."""
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    share = share_of(setup)
    work = Work(folder / "parts", folder / "table.parquet", share, done, **words)
    log = IntegrityLog()
    (run,) = measure([Candidate(setup, log, work)], clock=lambda: 0.0, progress=lambda *_: None)
    return run


class Torn:
    """A source whose first samples cannot be read."""

    def __init__(self, source, n):
        self._source, self._n = source, n

    def __len__(self):
        return len(self._source)

    def __getattr__(self, name):
        return getattr(self._source, name)

    def batch(self, index):
        lost = tuple(Unreadable(i, f"sample {i}", "torn") for i in index.tolist() if i < self._n)
        kept = index[index >= self._n]
        if not len(kept):
            return Batch(kept, (), kept, unreadable=lost)
        return replace(self._source.batch(kept), unreadable=lost)


def test_nothing_of_the_first_share_can_be_read(tmp_path):
    """The samples that are asked again are the first that can be, whoever has them."""
    setup = setup_of(Torn(source_of(30), 16), exclude=True)
    whole = document(measured(setup, tmp_path / "whole").evaluation({}).result)
    first = passed(setup, tmp_path, rank=0, n_ranks=2)
    second = passed(setup, tmp_path, rank=1, n_ranks=2)
    first.parts += second.parts
    assert document(first.evaluation({}).result) == whole


def test_what_later_ranks_find_is_theirs(tmp_path):
    """Of the answers that move with the batch, those of the first samples stand in the document."""
    setup = setup_of(source_of(30))
    whole = document(measured(setup, tmp_path / "whole").evaluation({}).result)
    first, share = passed(setup, tmp_path, rank=0, n_ranks=2), share_of(setup)
    (tmp_path / "parts").mkdir(exist_ok=True)
    work = Work(tmp_path / "parts", tmp_path / "table.parquet", share, rank=1, n_ranks=2)
    log = IntegrityLog()
    log.record("batch_independent", "warn", "3 predictions move with the batch, at near-ties")
    (second,) = measure([Candidate(setup, log, work)], clock=lambda: 0.0, progress=lambda *_: None)
    first.parts += second.parts
    assert document(first.evaluation({}).result) == whole


def test_only_the_later_half_was_done(tmp_path):
    """Rank 0 was killed: whoever goes on asks about the first samples again, as an unbroken run does."""
    setup = setup_of(source_of(30))
    whole = document(measured(setup, tmp_path / "whole").evaluation({}).result)
    later = passed(setup, tmp_path, rank=1, n_ranks=2).parts
    assert [(one.first, one.stop) for one in later] == [(4, 8)]
    share = share_of(setup)
    assert not is_answered(share, later)
    run = passed(setup, tmp_path, done=later, answered=is_answered(share, later))
    assert document(run.evaluation({}).result) == whole
    assert is_answered(share, run.parts)
    assert is_answered(share, [one for one in run.parts if one.first == 0])

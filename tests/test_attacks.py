"""Every hostile file of attacks/README.md: its outcome, its cost, and that nothing it names is touched."""

import re
import resource
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from attacks.files import ATTACKS, MARKER, network

from evalkit.checkpoints.loading import load_weights
from evalkit.checkpoints.reader import read_checkpoint
from evalkit.errors import CheckpointError, ExitCode

FOLDER = Path(__file__).parent / "attacks"
ROWS = dict(
    re.findall(
        r"^\| ([\w-]+) \| .*? \| (read|refused: .*) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE
    )
)
MAX_SECONDS = 10  # of the processor, so that a busy machine fails nothing
MAX_MEGABYTES = 300

BOOM = "raise SystemExit('imported')\n"


def test_every_attack_is_described():
    """No file without its row, no row without its file, and enough of them."""
    assert set(ROWS) == set(ATTACKS)
    assert len(ATTACKS) >= 20


@pytest.mark.parametrize("attack", ATTACKS)
def test_outcome(attack, tmp_path, monkeypatch):
    """As the README says: refused with these words on one line, or read bit for bit; quickly and in little."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "boom.py").write_text(BOOM)
    ATTACKS[attack](tmp_path / "c.pt")
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model, good, refusal = network(), network().state_dict(), None
    with torch.no_grad():
        for value in model.state_dict().values():
            value.zero_()
    try:
        load_weights(model, read_checkpoint(tmp_path / "c.pt"))
    except CheckpointError as error:
        refusal = error
    assert time.process_time() - start < MAX_SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MAX_MEGABYTES
    if ROWS[attack] == "read":
        assert refusal is None, refusal
        assert all(torch.equal(value, good[key]) for key, value in model.state_dict().items())
    else:
        assert refusal is not None
        assert ROWS[attack].removeprefix("refused: ") in str(refusal)
        assert "\n" not in str(refusal)
        assert refusal.exit_code is ExitCode.INPUT
        assert all(not value.any() for value in model.state_dict().values())
    assert not (tmp_path / MARKER).exists()


def test_nothing_that_a_file_names_is_touched(tmp_path):
    """In a fresh process: an import hook and an audit hook see nothing but the files being read."""
    (tmp_path / "boom.py").write_text(BOOM)
    for attack, build in ATTACKS.items():
        (tmp_path / attack).mkdir()
        build(tmp_path / attack / "c.pt")
    body = """
        import importlib.abc, sys
        from pathlib import Path
        from attacks.files import ATTACKS, network
        from evalkit.checkpoints.loading import load_weights
        from evalkit.checkpoints.reader import read_checkpoint
        from evalkit.errors import CheckpointError

        def read(path):
            try:
                load_weights(network(), read_checkpoint(path))
            except CheckpointError:
                pass

        read(Path("global-alone/c.pt"))  # whatever Python loads on first use
        read(Path("legacy-length/c.pt"))
        read(Path("long-text/c.pt"))
        read(Path("deep-header/c.pt"))
        seen, allowed = [], {str(Path(name, "c.pt")) for name in ATTACKS} | {"index-lies/one.safetensors"}
        harmless = {"object.__getattr__", "object.__setattr__", "os.listdir", "os.scandir", "glob.glob",
                    "pathlib.Path.glob", "gc.get_objects", "sys._getframe", "_thread.start_new_thread",
                    "_thread.start_joinable_thread", "builtins.id", "code.__new__"}

        class Watch(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                seen.append(("find_spec", name))

        def audit(event, args):
            if event == "open" and str(args[0]) in allowed and args[1] in ("rb", "r"):
                return
            if event not in harmless:
                seen.append((event, repr(args)[:100]))

        sys.meta_path.insert(0, Watch())
        sys.addaudithook(audit)
        for name in ATTACKS:
            read(Path(name, "c.pt"))
        found = list(seen)
        assert "boom" not in sys.modules
        assert not found, found
        print(len(ATTACKS))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body)],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{FOLDER.parent}:{tmp_path}", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(ATTACKS)}\n"
    assert not (tmp_path / MARKER).exists()


def test_pickle_itself_falls_for_them(tmp_path):
    """The attacks are real: Python's own unpickler does what the files ask for."""
    import zipfile

    for attack in ("reduce-system", "instance", "reduce-exec"):
        ATTACKS[attack](tmp_path / f"{attack}.pt")
        with zipfile.ZipFile(tmp_path / f"{attack}.pt") as archive:
            pickled = archive.read("archive/data.pkl")
        body = (
            "import pickle, sys\n"
            "class Reader(pickle.Unpickler):\n"
            "    def persistent_load(self, pid): return None\n"
            "    def find_class(self, module, name):\n"
            "        return (lambda *a: None) if 'rebuild' in name"
            " else super().find_class(module, name)\n"
            "Reader(sys.stdin.buffer).load()\n"
        )
        subprocess.run([sys.executable, "-c", body], input=pickled, cwd=tmp_path, check=True)
        assert (tmp_path / MARKER).exists(), attack
        (tmp_path / MARKER).unlink()

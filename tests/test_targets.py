"""Files for CI: refused before anything runs where they would replace something, and written straight to streams."""

import os
import shutil
from pathlib import Path

import pytest
from told import github_commands, keys

from evalkit.cli.kinds import is_for_ci
from evalkit.cli.targets import write_target

TABLE = "y_true,y_pred\na,a\nb,b\nb,a\n"
FILES = ("junit", "openmetrics", "markdown")


@pytest.fixture
def scored(tmp_path, monkeypatch, evalkit):
    """A table and its run, in the current folder; gives a function that scores it again."""
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(TABLE)

    def score(*words, output="o"):
        return evalkit("score", "t.csv", "-o", output, *words)

    assert score()[0] == 0
    return score


def everything():
    return {path: path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("t.csv", "is what the command itself reads or writes"),
        ("./o/../t.csv", "is what the command itself reads or writes"),
        ("o/result.json", "is what the command itself reads or writes"),
        ("o/bless.json", "is what the command itself reads or writes"),
        ("other/run.json", "is what the command itself reads or writes"),
        ("new", "is what the command itself reads or writes"),
        ("new/report.html", "is what the command itself reads or writes"),
        ("new/parts", "is what the command itself reads or writes"),
        ("o/parts", "is what the command itself reads or writes"),
        ("mine.yaml", "holds something else than"),
        ("link", "holds something else than"),
        ("none/x", "there is no folder none"),
        ("mine.yaml/x", "there is no folder mine.yaml"),
        ("other", "is a folder"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
def test_refused_before_anything_runs(kind, path, message, scored):
    """Exit code 6, and everything is as it was."""
    Path("mine.yaml").write_text("a: 1\n")
    Path("link").symlink_to("mine.yaml")
    shutil.copytree("o", "other")
    before = everything()
    code, _, err = scored(f"--{kind}", path, output="new")
    assert code == 6
    assert "evalkit: error[output]: " in err
    assert message in err
    assert everything() == before


def test_one_file_for_two(scored, monkeypatch):
    """A usage error, and neither is written; the third tells of it, and so does a job."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, out, err = scored("--junit", "x", "--markdown", "./x", "--openmetrics", "m.txt", output="new")
    assert code == 2
    assert "error[specification]: --junit x: is what --markdown names, too" in err
    assert (Path("x").exists(), Path("new").exists()) == (False, False)
    assert "evalkit_exit_code" in Path("m.txt").read_text()
    assert len(github_commands(out)) == 1


def test_judged_again(scored, evalkit):
    """What `gate` reads it does not write over; its own files are replaced, also empty ones, also in the run."""
    for kind, path in (("junit", "o/result.json"), ("markdown", "o/verdict.json"), ("junit", "g.yaml")):
        Path("g.yaml").write_text("gates: [{metric: accuracy, min: 0.1}]\n")
        assert evalkit("gate", "o", "--gates", "g.yaml", f"--{kind}", path)[0] == 6
    Path("m.txt").touch()
    for _ in range(2):
        words = ("--gates", "g.yaml", "--junit", "o/j.xml", "--openmetrics", "m.txt", "--markdown", "c.md")
        assert evalkit("gate", "o", *words)[0] == 0
    assert [is_for_ci(Path(path)) for path in ("o/j.xml", "m.txt", "c.md", "g.yaml", "o", "none")] == (
        [True] * 3 + [False] * 3
    )
    Path("pom.xml").write_text("<?xml version='1.0'?><project/>")
    assert evalkit("gate", "o", "--junit", "pom.xml")[0] == 6


def test_in_the_output_folder(scored):
    """Which need not be there yet, nor the folder above it."""
    assert scored("--junit", "a/j.xml", "--markdown", "a/b/c.md", output="a/b")[0] == 0
    assert keys(Path("a/j.xml").read_bytes())
    assert Path("a/b/c.md").is_file()


def test_streams_are_written_to(scored, tmp_path):
    """Our own stdout, though it is a file; a pipe; and nothing at all."""
    code, out, _ = scored("--junit", "/dev/stdout", "--markdown", "/dev/null", "--openmetrics", "/dev/null")
    assert code == 0
    assert out.index("66.7 % right") < out.index("<testsuites")
    assert Path("/dev/null").is_char_device()
    read, write = os.pipe()
    write_target(Path(f"/dev/fd/{write}"), b"x")
    assert os.read(read, 9) == b"x"
    os.close(read)
    os.close(write)

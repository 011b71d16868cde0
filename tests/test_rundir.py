"""Run directories: complete new documents or the old ones, and nobody else's files."""

import json
import os

import pytest
from documents import result_of

from evalkit.errors import OutputError
from evalkit.rundir import open_run_directory, publish_file


def finished(path):
    with open_run_directory(path) as directory:
        directory.publish(
            {"result.json": result_of().to_json(), "verdict.json": b"{}", "report.html": b"old"}
        )
    return path


def contents(path):
    return {entry.name: entry.read_bytes() for entry in path.iterdir()}


def test_a_set_replaces_a_set(tmp_path):
    """Documents that the new set does not have are removed; nothing temporary stays."""
    out = finished(tmp_path / "a" / "b")
    with open_run_directory(out) as directory:
        part = directory.temporary("predictions.parquet")
        part.write_bytes(b"rows")
        directory.publish({"predictions.parquet": part, "result.json": result_of().to_json()})
    assert sorted(contents(out)) == ["predictions.parquet", "result.json"]


def test_kept_documents_stay(tmp_path):
    """`gate` replaces two documents and touches no other."""
    out = finished(tmp_path / "run")
    before = contents(out)
    with open_run_directory(out) as directory:
        directory.publish({"verdict.json": b"new"}, keep=("result.json", "report.html"))
    assert contents(out) == {**before, "verdict.json": b"new"}


def test_a_failure_leaves_the_old_run_and_no_litter(tmp_path):
    """Also when the folder was made for the run: it is gone again."""
    out = finished(tmp_path / "run")
    before = contents(out)
    for target in (out, tmp_path / "new" / "deep"):
        with pytest.raises(RuntimeError), open_run_directory(target) as directory:
            directory.temporary("predictions.parquet").write_bytes(b"half")
            raise RuntimeError
    assert contents(out) == before
    assert not (tmp_path / "new").exists()


def test_a_write_that_fails_leaves_the_old_run(tmp_path, monkeypatch):
    """The k-th flush to disk fails, for k = 1, 2, ...: old or new, never a mixture of halves."""
    out = finished(tmp_path / "run")
    before = contents(out)
    new = {"result.json": result_of(name="new").to_json(), "verdict.json": b"{}", "report.html": b"new"}
    real = os.fsync
    for k in range(1, 6):
        calls = iter(range(1, 100))

        def failing(descriptor, calls=calls, k=k):
            if next(calls) == k:
                raise OSError(28, "No space left on device")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", failing)
        try:
            with open_run_directory(out) as directory:
                directory.publish(new)
        except OutputError as error:
            assert "No space left" in str(error)
            assert set(contents(out)) == set(before)
            if k <= 3:
                assert contents(out) == before
        else:
            assert contents(out) == new
    assert k == 5


@pytest.mark.parametrize("kind", ["file", "foreign", "foreign json", "blessed", "under a file"])
def test_refused(kind, tmp_path):
    """Before inference, with exit 6; the files are untouched."""
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("x")
    elif kind == "under a file":
        (tmp_path / "f").write_text("x")
        out = tmp_path / "f" / "out"
    else:
        out.mkdir()
        (out / "notes.txt").write_text("mine")
        if kind == "foreign json":
            (out / "result.json").write_text(json.dumps({"schema": "other/1"}))
        if kind == "blessed":
            finished_in = result_of().to_json()
            (out / "result.json").write_bytes(finished_in)
            (out / "bless.json").write_text("{}")
    with pytest.raises(OutputError) as caught, open_run_directory(out):
        pass
    assert caught.value.exit_code == 6
    if out.is_dir():
        assert (out / "notes.txt").read_text() == "mine"


def test_a_run_with_somebodys_notes_is_still_a_run(tmp_path):
    """Only evalkit's documents are replaced in it."""
    out = finished(tmp_path / "run")
    (out / "notes.txt").write_text("mine")
    with open_run_directory(out) as directory:
        directory.publish({"result.json": result_of().to_json()})
    assert sorted(contents(out)) == ["notes.txt", "result.json"]


def test_single_file(tmp_path):
    """Replaced as a whole, or an OutputError."""
    publish_file(tmp_path / "r.html", b"one")
    publish_file(tmp_path / "r.html", b"two")
    assert contents(tmp_path) == {"r.html": b"two"}
    with pytest.raises(OutputError):
        publish_file(tmp_path / "none" / "r.html", b"x")


def test_links_are_followed_and_devices_written_to(tmp_path):
    """A link stays a link; a device is not replaced by a file."""
    (tmp_path / "real.html").write_bytes(b"old")
    (tmp_path / "link.html").symlink_to("real.html")
    publish_file(tmp_path / "link.html", b"new")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "real.html").read_bytes() == b"new"
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    publish_file(tmp_path / "fifo", b"page")
    assert os.read(reader, 10) == b"page"
    os.close(reader)
    assert not (tmp_path / "fifo").is_file()


def test_a_name_that_no_file_system_takes(tmp_path):
    """Exit 6, not a crash."""
    with pytest.raises(OutputError, match="too long"), open_run_directory(tmp_path / ("x" * 300)):
        pass

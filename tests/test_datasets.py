"""npz sources: labels inside the contract or exit 4 with the rows; nothing is rounded, parsed or guessed."""

import io
import os
import zipfile

import numpy as np
import pyarrow as pa
import pytest

from evalkit.datasets import open_npz
from evalkit.errors import DataError
from evalkit.labels import check_range

X = np.arange(12, dtype=np.float32).reshape(6, 2)
Y = np.array([0, 1, 2, 0, 1, 2])


def write(tmp_path, **arrays):
    path = tmp_path / "t.npz"
    np.savez(path, **{"x": X, "y": Y, **arrays})
    return path


def test_arrays_come_back_as_they_are(tmp_path):
    """x, y, ids and attributes, with a batch sliced by position."""
    path = write(tmp_path, id=np.array(list("abcdef")), ink=np.array(["low"] * 6), age=np.arange(6))
    source = open_npz(path)
    assert len(source) == 6
    assert source.ids == tuple("abcdef")
    assert sorted(source.attributes) == ["age", "ink"]
    for index in ([0, 1, 2], [4, 1], [5]):
        batch = source.batch(np.array(index))
        assert batch.inputs[0].numpy().tolist() == X[index].tolist()
        assert batch.y_true.tolist() == Y[index].tolist()


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint64", ">i4"])
def test_integer_types_are_labels(dtype, tmp_path):
    """Any integer type, any byte order."""
    assert open_npz(write(tmp_path, y=Y.astype(dtype))).y.dtype == np.int64


WRONG = {
    "below": ({"y": np.array([0, -1, 2, 0, 1, 2])}, r"1 labels outside 0 to 2 \(row 1: -1\)"),
    "above": ({"y": np.array([0, 1, 3, 0, 9, 2])}, r"2 labels outside 0 to 2 \(row 2: 3, row 4: 9\)"),
    "uint8 wrap": ({"y": np.array([0, 255, 2, 0, 1, 2], np.uint8)}, "row 1: 255"),
    "huge": ({"y": np.array([0, 2**64 - 1, 2, 0, 1, 2], np.uint64)}, "row 1: 9223372036854775807"),
    "float": ({"y": Y.astype(float)}, "must hold integers .* float64"),
    "bool": ({"y": Y > 0}, "must hold integers .* bool"),
    "text": ({"y": Y.astype(str)}, "must hold integers"),
    "column": ({"y": Y[:, None]}, "must hold integers"),
    "objects": ({"y": Y.astype(object)}, "Python objects"),
    "lengths": ({"x": X[:5]}, "y has 6 rows"),
    "empty": ({"x": X[:0], "y": Y[:0]}, "no samples"),
    "x text": ({"x": np.array(["a"] * 6)}, "no tensor has"),
    "complex": ({"x": X.astype(complex)}, "no tensor has"),
    "attribute length": ({"ink": np.arange(5)}, r"attribute 'ink' has shape \(5,\)"),
    "attribute name": ({"y_pred": Y}, "ledger's own"),
    "attribute type": ({"z": Y.astype(complex)}, "no table has"),
    "ids twice": ({"id": np.array(list("abcdea"))}, r"1 repeated \(rows 0 and 5: 'a'\)"),
    "ids float": ({"id": Y.astype(float)}, "id must be text or integers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(case, tmp_path):
    """Each fault is one line that names the array and the rows."""
    arrays, message = WRONG[case]
    with pytest.raises(DataError, match=message) as caught:
        source = open_npz(write(tmp_path, **arrays))
        check_range(source.y, n_classes=3, where="t.npz")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_archives(tmp_path):
    """Missing, a folder, text, a single array, a truncated archive, an archive without y."""
    with pytest.raises(DataError, match="No such file"):
        open_npz(tmp_path / "none.npz")
    with pytest.raises(DataError, match="is not a file"):
        open_npz(tmp_path)
    path = tmp_path / "t.npz"
    whole = write(tmp_path).read_bytes()
    for content, words in {
        b"": "cannot be read",
        b"hello": "a text file, not an npz",
        b"<html>": "web page",
        whole[: len(whole) // 2]: "cannot be read",
        b"\x80\x04K\x01.": "Python objects",
    }.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=words):
            open_npz(path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DataError, match="is not a file"):
        open_npz(tmp_path / "fifo")
    with pytest.raises(DataError, match="too long"):
        open_npz(tmp_path / ("x" * 5000))
    buffer = io.BytesIO()
    np.save(buffer, X)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="single array"):
        open_npz(path)
    np.savez(path, x=X)
    with pytest.raises(DataError, match="it holds: x"):
        open_npz(path)


def test_damaged_archives_never_crash(tmp_path):
    """Flipped bytes are refused or harmless; nothing else is raised."""
    path = write(tmp_path)
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(200):
        spoiled = bytearray(whole)
        spoiled[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoiled)
        try:
            source = open_npz(path)
        except DataError:
            continue
        assert source.y.tolist() == Y.tolist()
        assert source.x.tolist() == X.tolist()


def test_members_that_are_no_arrays_or_stand_twice(tmp_path):
    """An archive says one thing once."""
    path = write(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README", "hello")
    with pytest.raises(DataError, match="README is no array"):
        open_npz(path)
    path = write(tmp_path)
    buffer = io.BytesIO()
    np.save(buffer, Y[::-1])
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("y.npy", buffer.getvalue())
    with pytest.raises(DataError, match=r"y\.npy stands twice"):
        open_npz(path)


@pytest.mark.parametrize("dtype", [">i4", ">f8", "M8[D]", "M8[h]", "M8[ns]", "?", "u8", "f2", "S3", "U3"])
def test_attributes_of_every_type_reach_the_table(dtype, tmp_path):
    """Any byte order and unit of time; text as text."""
    values = Y.astype("M8[D]" if dtype.startswith("M8") else dtype).astype(dtype)
    column = open_npz(write(tmp_path, a=values)).attributes["a"]
    assert len(pa.array(column)) == 6


@pytest.mark.parametrize("values", [Y.astype(np.longdouble), Y.astype(complex), np.array(["NaT"] * 6, "M8")])
def test_attributes_that_no_table_holds(values, tmp_path):
    """Refused before inference."""
    with pytest.raises(DataError, match="no table has"):
        open_npz(write(tmp_path, a=values))

"""Tables of any kind of file: the same rows in batches, and an error that names what is wrong."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.errors import DataError
from evalkit.tables import ROWS, open_table


def rows_of(path, *columns):
    return [row for batch in open_table(path).batches(columns) for row in batch.to_pylist()]


def test_a_spreadsheets_csv(tmp_path):
    """A byte order mark, CRLF, quoted commas and line ends: only an empty cell is missing."""
    content = '\ufefflabel,"a, b"\r\ncat,"1,5"\r\nNA,"two\r\nlines"\r\n"null",\r\n'
    (tmp_path / "t.csv").write_bytes(content.encode())
    assert open_table(tmp_path / "t.csv").names == ("label", "a, b")
    assert rows_of(tmp_path / "t.csv", "a, b", "label") == [
        {"a, b": "1,5", "label": "cat"},
        {"a, b": "two\r\nlines", "label": "NA"},
        {"a, b": None, "label": "null"},
    ]


def test_tabs(tmp_path):
    """A .tsv is parted by tabs."""
    (tmp_path / "t.tsv").write_text("a\tb\n1,2\t3\n")
    assert rows_of(tmp_path / "t.tsv", "a", "b") == [{"a": "1,2", "b": "3"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n3\n", "1 rows have other than 2 cells (row 1: 1)"),
        ("a,b\n1,2\n3,4,5\n6\n7,8\n", "2 rows have other than 2 cells (row 1: 3, row 2: 1)"),
        ("a,a\n1,2\n", "the column 'a' stands twice"),
        ("", "Empty CSV file"),
        ("a,b\n1,\xff\n", "invalid UTF8"),
    ],
)
def test_a_broken_csv(content, said, tmp_path):
    """Ragged rows are counted and named, from 0 below the header."""
    (tmp_path / "t.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError) as error:
        rows_of(tmp_path / "t.csv", "a", "b")
    assert said in str(error.value)


def test_a_ragged_row_far_down(tmp_path):
    """A row is named by its number in the file, not in its block."""
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 2_500_000 + "1,2,3\n")
    with pytest.raises(DataError, match=r"row 2500000: 3"):
        rows_of(tmp_path / "t.csv", "a")


def test_a_folder_of_parquet_files(tmp_path):
    """Files in the order of their names, without what Spark leaves beside; a folder's name is a column."""
    for camera, part, values in (("day", 1, [3]), ("day", 0, [1, 2]), ("night", 0, [4])):
        folder = tmp_path / "t" / f"camera={camera}"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"y": values}), folder / f"part-{part}.parquet")
    (tmp_path / "t/_SUCCESS").touch()
    (tmp_path / "t/_temporary").mkdir()
    (tmp_path / "t/_temporary/part-9.parquet").write_bytes(b"half")
    table = open_table(tmp_path / "t")
    assert (table.names, table.n_rows()) == (("y", "camera"), 4)
    assert rows_of(tmp_path / "t", "camera", "y") == [
        {"camera": "day", "y": 1},
        {"camera": "day", "y": 2},
        {"camera": "day", "y": 3},
        {"camera": "night", "y": 4},
    ]


def test_files_of_other_columns_are_no_table(tmp_path):
    """One table has one set of columns."""
    pq.write_table(pa.table({"y": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"z": [1]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="has other columns than"):
        open_table(tmp_path)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays(order, tmp_path):
    """An archive is read a piece at a time; a matrix is a column a class, text stays text."""
    n = ROWS + 5
    score = np.array(np.arange(2 * n, dtype=np.float32).reshape(n, 2), order=order)
    names = np.array(["a", "é"])[np.arange(n) % 2]
    np.savez_compressed(tmp_path / "t.npz", y=np.arange(n, dtype=np.int32), y_score=score, name=names)
    table = open_table(tmp_path / "t.npz")
    assert (table.names, table.n_rows()) == (("y", "y_score_0", "y_score_1", "name"), n)
    batches = list(table.batches(["name", "y_score_1", "y"]))
    assert [batch.num_rows for batch in batches] == [ROWS, 5]
    assert batches[1].to_pylist()[-1] == {"name": names[-1], "y_score_1": 2 * n - 1, "y": n - 1}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"a": np.zeros(3), "b": np.zeros(4)}, "expected arrays of one length"),
        ({"a": np.array([None, 1])}, "expected numbers or text"),
        ({"a": np.zeros((3, 2, 2))}, "shape (3, 2, 2)"),
    ],
)
def test_arrays_that_are_no_table(arrays, said, tmp_path):
    """Nothing is guessed, and nothing is unpickled."""
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(DataError) as error:
        open_table(tmp_path / "t.npz")
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.npz", "t.xlsx", "nothing.csv", "folder"])
def test_what_cannot_be_read_is_one_clear_line(name, tmp_path):
    """Damaged, foreign, missing and empty: a DataError with the path."""
    (tmp_path / "folder").mkdir()
    if name.startswith("t."):
        (tmp_path / name).write_bytes(b"\x00\x01PK")
    with pytest.raises(DataError) as error:
        rows_of(tmp_path / name, "a")
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_largest_label_is_in_the_footers(tmp_path):
    """Of integers in every row group; of anything else only reading tells."""
    for part, values in enumerate(([3, 1], [7, None])):
        table = pa.table({"y": values, "text": ["b", "a"], "x": [0.5, 1.5], "empty": pa.nulls(2, pa.int64())})
        pq.write_table(table, tmp_path / f"{part}.parquet", row_group_size=1)
    table = open_table(tmp_path)
    assert [table.largest(name) for name in ("text", "x", "empty", "y")] == [None] * 4
    pq.write_table(pa.table({"y": pa.array([3, 9], pa.uint8())}), tmp_path / "one.parquet", row_group_size=1)
    assert open_table(tmp_path / "one.parquet").largest("y") == 9
    pq.write_table(pa.table({"y": [1, 2]}), tmp_path / "none.parquet", write_statistics=False)
    assert open_table(tmp_path / "none.parquet").largest("y") is None

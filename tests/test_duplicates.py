"""Ids that stand twice are found with their rows, in memory that does not grow; equal codes alone are no proof."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.codes import Texts, text_codes
from evalkit.errors import DataError, OutputError
from evalkit.scoring import duplicates
from evalkit.scoring.duplicates import Duplicates


def checked(folder, *batches):
    found = Duplicates(folder)
    for batch in batches:
        found.add(duplicates.text_codes(Texts.of(batch))[0])
    found.check((pa.array(batch, pa.string()) for batch in batches), where="t: id")


@given(st.lists(st.text(alphabet="abc", max_size=3), max_size=30), st.integers(0, 30))
def test_what_stands_twice_is_found(tmp_path_factory, ids, cut):
    """Exactly the tables with a repeated id are refused, wherever they are cut into batches."""
    folder = tmp_path_factory.mktemp("ids")
    if len(set(ids)) == len(ids):
        checked(folder, ids[:cut], ids[cut:])
        return
    with pytest.raises(DataError, match=f"{len(ids) - len(set(ids))} repeated"):
        checked(folder, ids[:cut], ids[cut:])


def test_rows_are_those_of_the_table(tmp_path):
    """Rows count over all batches; the first two of each id are shown."""
    with pytest.raises(DataError, match=r"2 repeated \(rows 1 and 3: 'b'\)"):
        checked(tmp_path, ["a", "b", "c"], ["b", "b"])


def test_equal_codes_of_unequal_ids_are_no_duplicates(tmp_path, monkeypatch):
    """Where two ids share a code, the ids themselves decide."""

    def coarse(texts):
        return text_codes(texts) & np.uint64(0xC000000000000000)

    monkeypatch.setattr(duplicates, "text_codes", coarse)
    checked(tmp_path, [f"s{i}" for i in range(50)], [f"t{i}" for i in range(50)])
    with pytest.raises(DataError, match=r"rows 3 and 53: 's3'"):
        checked(tmp_path, [f"s{i}" for i in range(50)], [f"s{i}" if i == 3 else f"t{i}" for i in range(50)])


def test_a_full_disk_is_said(tmp_path):
    """Buckets that cannot be written are an output error."""
    with pytest.raises(OutputError, match="ids cannot be noted"):
        checked(tmp_path / "gone", ["a"])

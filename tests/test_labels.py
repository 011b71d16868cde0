"""Labels become indices by name or by position, and never by a guess."""

import numpy as np
import pandas as pd
import pytest

from evalkit.classes import names_by_index
from evalkit.errors import DataError, SpecificationError
from evalkit.labels import class_indices, match_labels

ANIMALS = ("cat", "dog", "owl")


def match(values, names=ANIMALS, **options):
    return match_labels(np.asarray(values), names, where="y", **options).tolist()


@pytest.mark.parametrize(
    ("values", "names", "expected"),
    [
        ([2, 0, 1], ANIMALS, [2, 0, 1]),
        (["owl", "cat"], ANIMALS, [2, 0]),
        (np.array(["owl", "cat"], object), ANIMALS, [2, 0]),
        (np.array([1, 0], object), ANIMALS, [1, 0]),
        (pd.Series([1, 0], dtype="Int64"), ANIMALS, [1, 0]),
        ([], ANIMALS, []),
        ([1, 0], ("0", "1"), [1, 0]),
        ([1, 0], ("zero", "1"), [1, 0]),
        ([1, 2, 3], ("1", "2", "3"), [0, 1, 2]),  # 3 can only be a name
        ([10, 20], ("10", "20", "30"), [0, 1]),
        (["3", "1"], ("1", "2", "3"), [2, 0]),  # text is a name
        ([0, 2], ("1", "cat", "dog"), [0, 2]),  # neither 0 nor 2 is a name
    ],
)
def test_names_and_indices(values, names, expected):
    """Text is a name, an integer an index, unless it can only be a name."""
    assert match(values, names) == expected


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1, 2], ("1", "2", "3")),
        ([1, 0], ("1", "0")),
        ([0, 1], ("1", "2", "3")),
        ([1, 0, 2], ("1", "0", "x")),
        ([0], ("1", "2", "3")),
        ([3, 0], ("1", "2", "3")),
    ],
)
def test_integers_that_could_be_either_are_asked(values, names):
    """Renumbered classes: nobody guesses."""
    with pytest.raises(SpecificationError, match="names or indices"):
        match(values, names)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 3], r"1 labels outside 0 to 2 \(row 1: 3\)"),
        ([0, -1], "row 1: -1"),
        (np.array([0, 2**64 - 1], np.uint64), "1 labels outside"),
        (np.array([0, 2**70], object), "row 1: 1180591620717411303424"),
        (["cat", "dgo"], r"row 1: 'dgo' \(did you mean 'dog'\?\)"),
        ([0.0, 1.0], "got float64"),
        ([0.0, float("nan")], r"1 labels are missing \(rows 1\)"),
        (np.array(["cat", None], object), "rows 1"),
        (pd.Series([1, None], dtype="Int64"), "rows 1"),
        (np.array(["cat", 1], object), "got int and str"),
        ([[0, 1]], r"shape \(n,\)"),
        ([True, False], "got bool"),
    ],
)
def test_refused(values, message):
    """With the first rows."""
    with pytest.raises(DataError, match=message):
        match(values)


def test_arrays_of_indices_are_matched_only_where_names_are_integers():
    """What an npz or a data set holds: indices, unless they may be names."""
    assert class_indices(np.array([7, 1]), ANIMALS, where="y").tolist() == [7, 1]
    assert class_indices(np.array(["owl"]), ANIMALS, where="y").tolist() == [2]
    assert class_indices(np.array([1, 10, 2]), ("1", "10", "2"), where="y").tolist() == [0, 1, 2]
    with pytest.raises(SpecificationError, match="names or indices"):
        class_indices(np.array([1, 2]), ("1", "2", "3"), where="y")


@pytest.mark.parametrize("values", [["1", "0"], ["0", "2"]])
def test_a_csv_knows_no_types(values):
    """1 in a CSV may be a name or an index, and counts as an integer."""
    assert match(values, typed=False) == [int(value) for value in values]
    with pytest.raises(SpecificationError, match="names or indices"):
        match(values, ("2", "1", "0"), typed=False)
    assert match(["01", "02"], ("02", "01"), typed=False) == [1, 0]


@pytest.mark.parametrize(
    ("mapping", "names"),
    [
        ({0: "a", 1: "b"}, ["a", "b"]),
        ({str(k): f"n{k}" for k in range(12)}, [f"n{k}" for k in range(12)]),
        ({"b": 1, "a": 0}, ["a", "b"]),
    ],
)
def test_names_of_a_mapping_follow_the_indices(mapping, names):
    """Index 10 comes after 9, however it is written."""
    assert names_by_index(mapping) == names


@pytest.mark.parametrize(
    "mapping",
    [{0: "a", 2: "b"}, {1: "a", 2: "b"}, {"x": "a", "y": "b"}, {"a": 0, "b": 0}, {0: "a", "0": "b"}],
)
def test_mappings_that_name_no_outputs(mapping):
    """Gaps, doubles, no indices."""
    with pytest.raises(ValueError, match="maps no|does not name"):
        names_by_index(mapping)

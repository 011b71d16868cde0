"""Codes of text: equal for equal text, however it came, different for anything else."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.codes import Texts, mixed, text_codes

texts = st.lists(st.text(max_size=40), max_size=30)


@given(texts, texts)
def test_a_text_has_one_code_whoever_stands_beside_it(before, after):
    """The code of a text does not depend on its neighbours, nor on where arrow keeps it."""
    whole = text_codes(Texts.of([*before, "needle", *after]))
    assert (whole[:, len(before)] == text_codes(Texts.of(["needle"]))[:, 0]).all()
    plain = [text for text in [*before, *after] if text.isprintable()]
    for kind in (pa.string(), pa.large_string()):
        column = pa.array(["x", *plain, "y"], kind)[1:-1]
        assert np.array_equal(text_codes(Texts.of_arrow(column)), text_codes(Texts.of(plain)))


@given(st.sets(st.text(max_size=20), max_size=60))
def test_unequal_texts_differ(names):
    """Neither code of unequal texts is equal; an empty one and zeros are texts, too."""
    found = text_codes(Texts.of([*names]))
    assert all(len(set(row.tolist())) == len(names) for row in found)


def test_zeros_and_lengths_count():
    """A text is not the same text with zeros behind it."""
    found = text_codes(Texts.of(["", "\0", "\0\0", "a", "a\0", "a" * 8, "a" * 8 + "\0", "a" * 16]))
    assert all(len(set(row.tolist())) == 8 for row in found)


def test_bits_look_like_coin_tosses():
    """Of codes of ids that hardly differ every bit is set in about half, and no two codes are equal."""
    found = text_codes(Texts.of([f"img_{i:07d}" for i in range(200_000)]))
    bits = np.unpackbits(found.view(np.uint8).reshape(2, 200_000, 8), axis=2).mean(axis=1)
    assert np.abs(bits - 0.5).max() < 0.006
    assert all(len(np.unique(row)) == 200_000 for row in found)


def test_a_sum_of_codes_is_no_code():
    """Mixing keeps pairs apart whose sums are equal."""
    codes = text_codes(Texts.of(["a", "b"]))
    total = codes[:, :1] + codes[:, 1:]
    assert not np.array_equal(mixed(codes).sum(axis=1), mixed(total)[:, 0])


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1 << 14, (1 << 14) + 1])
def test_any_number_of_texts(size):
    """Pieces are cut where it suits the cache, and nobody notices."""
    found = text_codes(Texts.of([str(i) for i in range(size)]))
    assert found.shape == (2, size)
    assert len(set(found[0].tolist())) == size

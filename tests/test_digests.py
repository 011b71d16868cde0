"""Digests: equal for equal content, whatever the order, different for anything else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import check_monoid, check_partition

from evalkit.digests import DataDigest, OrderFreeDigest, input_codes

items = st.lists(st.integers(0, 3), max_size=8)


def digest(rows):
    """What a digest says of samples with one input each."""
    return OrderFreeDigest.of_codes(input_codes([np.array(rows, np.int64)]))


@given(items, items, items)
def test_monoid(a, b, c):
    """Digests merge like counts."""
    check_monoid(OrderFreeDigest(), digest(a), digest(b), digest(c))


@given(items, st.data())
def test_partition_and_order(whole, data):
    """Shards and their order do not change a digest."""
    order = data.draw(st.permutations(whole))
    cut = data.draw(st.integers(0, len(whole)))
    check_partition(digest, whole, [order[:cut], order[cut:]], OrderFreeDigest())


def test_repeats_do_not_cancel():
    """An item that occurs twice is not an item that does not occur."""
    assert digest([1, 1]).hexdigest() != OrderFreeDigest().hexdigest()
    assert digest([1, 1, 2]) != digest([2])


def digest_of(names, labels, ids=None, cut=None):
    digest = DataDigest(names)
    index = np.array([names.index(label) for label in labels])
    for part in (slice(None, cut), slice(cut, None)) if cut else (slice(None),):
        digest.add(index[part], None if ids is None else ids[part])
    return digest.hexdigest()


def test_text_boundaries_cannot_be_shifted():
    """("ab", "c") is not ("a", "bc")."""
    names = ["c", "bc", "b", "\0b"]
    assert digest_of(names, ["c"], ["ab"]) != digest_of(names, ["bc"], ["a"])
    assert digest_of(names, ["b"], ["a\0"]) != digest_of(names, ["\0b"], ["a"])


def test_data_digest_follows_names_not_positions():
    """Another output order changes nothing; another label, name or place does."""
    labels, ids = ["cat", "dog", "dog"], ["a", "b", "c"]
    for known in (None, ids):
        base = digest_of(["cat", "dog"], labels, known)
        assert base == digest_of(["dog", "cat"], labels, known)
        assert base == digest_of(["cat", "dog"], labels, known, cut=1)
        assert base != digest_of(["cat", "dog"], ["dog", "dog", "dog"], known)
        assert base != digest_of(["cat", "hen"], ["cat", "hen", "hen"], known)
        assert base != digest_of(["cat", "dog", "hen"], labels, known)
    assert digest_of(["cat", "dog"], labels) != digest_of(["cat", "dog"], ["dog", "cat", "dog"])
    assert digest_of(["cat", "dog"], labels, ids) == digest_of(["cat", "dog"], labels[::-1], ids[::-1])


def digest_of_inputs(*inputs):
    return OrderFreeDigest.of_codes(input_codes(inputs))


def test_inputs_digest_sees_type_shape_and_value():
    """What the model was fed includes how it was fed."""
    rows = np.arange(4, dtype=np.float32).reshape(2, 2)
    base = digest_of_inputs(rows)
    assert base == digest_of_inputs(rows[::-1])
    for other in (rows.astype(np.float64), rows.reshape(2, 1, 2), rows / 255):
        assert base != digest_of_inputs(other)


@pytest.mark.parametrize("n_bytes", [1, 7, 8, 63, 8 * 8192, 8 * 8192 + 9])
def test_rows_have_codes_of_their_own(n_bytes):
    """A row's codes are the same alone and among others, and any byte changes both."""
    rows = np.random.default_rng(n_bytes).integers(0, 256, (9, n_bytes), dtype=np.uint8)
    codes = input_codes([rows])
    assert np.array_equal(codes, np.concatenate([input_codes([row[None]]) for row in rows]))
    assert np.array_equal(codes, input_codes([np.asfortranarray(rows)]))
    changed = np.repeat(rows[:1], min(n_bytes, 64), axis=0)
    changed[np.arange(len(changed)), np.arange(len(changed))] ^= 0x80
    found = np.concatenate([codes[:1], input_codes([changed])])
    assert [len(np.unique(found[:, k])) for k in range(2)] == [len(found)] * 2


def test_signs_and_places_of_values_count():
    """Rows that differ in two signs, in the order of their values or in which input holds which differ."""
    x = np.arange(1, 9, dtype=np.float64)[None]
    flipped = np.where(np.arange(8) % 3 == 0, -x, x)
    rolled = np.roll(x, 1, axis=1)
    found = np.concatenate([input_codes([x]), input_codes([flipped]), input_codes([rolled])])
    assert len(np.unique(found[:, 0])) == len(np.unique(found[:, 1])) == 3
    assert digest_of_inputs(x, flipped) != digest_of_inputs(flipped, x)

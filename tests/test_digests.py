"""Digests: equal for equal content, whatever the order, different for anything else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from laws import check_monoid, check_partition

from evalkit.digests import DataDigest, OrderFreeDigest, array_items

items = st.lists(st.binary(max_size=4), max_size=8)


@given(items, items, items)
def test_monoid(a, b, c):
    """Digests merge like counts."""
    check_monoid(OrderFreeDigest(), OrderFreeDigest.of(a), OrderFreeDigest.of(b), OrderFreeDigest.of(c))


@given(items, st.data())
def test_partition_and_order(whole, data):
    """Shards and their order do not change a digest."""
    order = data.draw(st.permutations(whole))
    cut = data.draw(st.integers(0, len(whole)))
    check_partition(OrderFreeDigest.of, whole, [order[:cut], order[cut:]], OrderFreeDigest())


def test_repeats_do_not_cancel():
    """An item that occurs twice is not an item that does not occur."""
    assert OrderFreeDigest.of([b"a", b"a"]).hexdigest() != OrderFreeDigest().hexdigest()
    assert OrderFreeDigest.of([b"a", b"a", b"b"]) != OrderFreeDigest.of([b"b"])


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


def test_inputs_digest_sees_type_shape_and_value():
    """What the model was fed includes how it was fed."""
    rows = np.arange(4, dtype=np.float32).reshape(2, 2)
    base = OrderFreeDigest.of(array_items([rows]))
    assert base == OrderFreeDigest.of(array_items([rows[::-1]]))
    for other in (rows.astype(np.float64), rows.reshape(2, 1, 2), rows / 255):
        assert base != OrderFreeDigest.of(array_items([other]))

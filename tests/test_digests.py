"""Digests: equal for equal content, whatever the order, different for anything else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from laws import check_monoid, check_partition

from evalkit.digests import OrderFreeDigest, array_items, named_data_digest, positional_data_digest

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


def test_text_boundaries_cannot_be_shifted():
    """("ab", "c") is not ("a", "bc")."""
    assert named_data_digest(["ab"], ["c"], ["c"]) != named_data_digest(["a"], ["bc"], ["c"])
    assert named_data_digest(["a\0"], ["b"], ["b"]) != named_data_digest(["a"], ["\0b"], ["b"])


def test_data_digest_follows_names_not_positions():
    """Relabelling the output order changes nothing; relabelling a sample does."""
    ids, names = ["a", "b"], ["cat", "dog"]
    assert named_data_digest(ids, ["dog", "cat"], names) == named_data_digest(
        ids[::-1], ["cat", "dog"], names
    )
    assert named_data_digest(ids, ["dog", "dog"], names) != named_data_digest(ids, ["dog", "cat"], names)
    first = positional_data_digest(np.array([0, 1]), names)
    assert first != positional_data_digest(np.array([1, 0]), names)
    assert first != positional_data_digest(np.array([0, 1]), ["cat", "hen"])


def test_inputs_digest_sees_type_shape_and_value():
    """What the model was fed includes how it was fed."""
    rows = np.arange(4, dtype=np.float32).reshape(2, 2)
    base = OrderFreeDigest.of(array_items([rows]))
    assert base == OrderFreeDigest.of(array_items([rows[::-1]]))
    for other in (rows.astype(np.float64), rows.reshape(2, 1, 2), rows / 255):
        assert base != OrderFreeDigest.of(array_items([other]))

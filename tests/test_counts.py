"""The confusion matrix: laws of a mergeable state, and every cell against scikit-learn."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import check_monoid, check_partition
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

from evalkit.counts import ConfusionCounts, LabelCounter

K = 4
labels = st.lists(st.tuples(st.integers(0, K - 1), st.integers(0, K - 1)), max_size=30)


def build(pairs):
    y = np.array(pairs, np.int64).reshape(-1, 2)
    return ConfusionCounts.from_labels(y[:, 0], y[:, 1], n_classes=K)


@given(labels, labels, labels)
def test_monoid(a, b, c):
    """Counts add like numbers."""
    check_monoid(ConfusionCounts.empty(K), build(a), build(b), build(c))


@given(labels, st.data())
def test_any_partition_and_order_gives_the_same_counts(pairs, data):
    """Batches, shards and their order cannot change a count."""
    order = data.draw(st.permutations(pairs))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(pairs)), max_size=4)))
    edges = [0, *cuts, len(pairs)]
    parts = [order[i:j] for i, j in zip(edges[:-1], edges[1:], strict=True)]
    check_partition(build, pairs, parts, ConfusionCounts.empty(K))


@dataclass(frozen=True)
class LastOneWins:
    """A broken state."""

    value: int

    def __add__(self, other):
        return LastOneWins(other.value or self.value)


def test_laws_refuse_a_broken_state():
    """The law helpers themselves can fail."""
    with pytest.raises(AssertionError):
        check_monoid(LastOneWins(0), LastOneWins(1), LastOneWins(2), LastOneWins(3))
    with pytest.raises(AssertionError):
        check_partition(lambda part: len(part) + 1, [1, 2], [[1], [2]], 0)


@given(labels.filter(bool))
def test_every_cell_equals_scikit_learn(pairs):
    """tp, fp, fn and tn of each class are scikit-learn's, also for classes that never occur."""
    y = np.array(pairs)
    counts = build(pairs)
    expected = multilabel_confusion_matrix(y[:, 0], y[:, 1], labels=range(K))
    assert counts.matrix.tolist() == confusion_matrix(y[:, 0], y[:, 1], labels=range(K)).tolist()
    for cells, ours in zip(
        ((0, 0), (0, 1), (1, 0), (1, 1)), (counts.tn, counts.fp, counts.fn, counts.tp), strict=True
    ):
        assert expected[:, cells[0], cells[1]].tolist() == ours.tolist()


@given(labels)
def test_cells_sum_to_n_for_each_class(pairs):
    """tp + fp + fn + tn = n, and the matrix sums to n."""
    counts = build(pairs)
    assert (counts.tp + counts.fp + counts.fn + counts.tn).tolist() == [len(pairs)] * K
    assert int(counts.n_samples) == len(pairs)


@given(labels, st.permutations(range(K)))
def test_reordering_classes_permutes_the_cells(pairs, order):
    """Position is no identity: the same counts under another order of classes."""
    counts = build(pairs)
    moved = counts.reordered(order)
    assert moved.tp.tolist() == counts.tp[list(order)].tolist()
    assert moved.tn.tolist() == counts.tn[list(order)].tolist()


def test_leading_axes_are_vectorised():
    """Slices, thresholds and replicates are leading axes of the same state."""
    stack = ConfusionCounts(np.arange(2 * 3 * 9).reshape(2, 3, 3, 3))
    assert stack.tn.shape == (2, 3, 3)
    one = ConfusionCounts(stack.matrix[1, 2])
    assert stack.tn[1, 2].tolist() == one.tn.tolist()
    assert stack.sum(axis=0).matrix.tolist() == stack.matrix.sum(axis=0).tolist()


def test_counts_stay_exact_past_float_limits():
    """Counters do not stop at 2**24 or 2**53."""
    big = ConfusionCounts(np.array([[2**53, 0], [0, 0]]))
    assert int((big + build_two([0], [0])).tp[0]) == 2**53 + 1


def build_two(y_true, y_pred):
    return ConfusionCounts.from_labels(y_true, y_pred, n_classes=2)


@pytest.mark.parametrize(
    ("y_true", "y_pred"),
    [([0, 2], [0, 1]), ([0, -1], [0, 1]), ([0], [0, 1]), ([0.0], [0]), ([[0]], [[0]]), ([0], [2])],
)
def test_labels_outside_the_contract_are_refused(y_true, y_pred):
    """Nothing is clipped, wrapped, broadcast or rounded."""
    with pytest.raises(ValueError, match="labels"):
        build_two(y_true, y_pred)


def test_a_state_is_a_value():
    """The array inside cannot be changed, nor through the array it was made from."""
    source = np.eye(2, dtype=np.int64)
    counts = ConfusionCounts(source)
    source[0, 0] = 9
    assert counts.matrix[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        counts.matrix[0, 0] = 5


@given(st.lists(labels, max_size=5), st.integers(1, 8))
def test_label_counter_equals_one_count(batches, flush_at):
    """However the batches fall, and whenever it counts."""
    counter = LabelCounter(K)
    counter._FLUSH_AT = flush_at
    for batch in batches:
        y = np.array(batch, np.int64).reshape(-1, 2)
        counter.add(y[:, 0], y[:, 1])
    assert counter.result() == build([pair for batch in batches for pair in batch])

"""Samples where they lie: what is summed in pieces says the same as what is held."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evalkit as library
from evalkit import samples, stored
from evalkit.findings import find
from evalkit.metrics.calibration import Confidences, ece, ece_debiased, reliability
from evalkit.score_rows.states import ConfidenceSums
from evalkit.stored import Stored

confidence = st.floats(0, 1, width=32)


def scored(task, k, n=3000, seed=0, output="probabilities"):
    """A tally of a model that is mostly right, with two attributes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k)) + 2 * np.eye(k)[y]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    age = rng.normal(40, 20, n)
    age[::50] = np.nan
    attributes = {"age": age, "writer": np.array(["a", "b", ""])[rng.integers(0, 3, n)]}
    found = library.Accumulator(
        [f"c{i}" for i in range(k)],
        task=task,
        output=output,
        threshold=0.5 if task == "binary" else None,
        slices=["writer", {"age": [0, 18, 65]}, ("writer", "age")]
        if n < 100
        else ["writer", {"age": [18, 65]}],
        metrics={"names": ["mce"]} if output == "probabilities" else None,
    )
    return found.add(y, y_score=p.astype(np.float32), attributes=attributes)


@pytest.mark.parametrize("size", [7, 4096])
@pytest.mark.parametrize(
    ("task", "k", "output"),
    [("multiclass", 4, "probabilities"), ("binary", 2, "probabilities"), ("binary", 2, "scores")],
)
def test_pieces_say_what_the_whole_says(task, k, output, size, monkeypatch):
    """Counts, losses, top-k and slices to the bit; rankings within their bound; calibration within a bin."""
    monkeypatch.setattr(samples, "_PIECE", size)
    monkeypatch.setattr(stored, "_ROWS", size)
    tally = scored(task, k, n=400 if size < 10 else 3000, output=output)._tally
    whole, asked = tally.find(), tally._asked(scored=True)
    place = Stored(tally.ledger(), task, k, asked.grouping.columns, memory=1)
    assert not place.fits()
    pieces = find(asked, whole.counts, lambda: place)
    expected, found = ({row.key: row for row in one.rows()} for one in (whole, pieces))
    assert list(expected) == list(found)
    assert whole.slices == pieces.slices
    for key, row in expected.items():
        other = found[key]
        if key[0] in ("roc_auc", "average_precision"):
            assert abs(row.value - other.value) <= other.bound + 1e-12
        elif key[0] in ("ece", "mce"):
            assert other.value == pytest.approx(row.value, abs=0.03 if key[0] == "mce" else 0.01)
        else:
            assert row == other


@given(st.lists(st.tuples(confidence, st.booleans()), min_size=1, max_size=60), st.data())
def test_confidences_add_up_in_any_pieces(rows, data):
    """Whatever the cut, the groups are the same, and the error by width is that of the samples."""
    sure = np.array([c for c, _ in rows], np.float32)
    right = np.array([r for _, r in rows])
    cut = data.draw(st.integers(0, len(rows)))
    parts = (slice(None, cut), slice(cut, None)), (slice(cut, None), slice(None, cut)), (slice(None),)
    found = []
    for pieces in parts:
        sums = ConfidenceSums()
        for piece in pieces:
            sums.add(sure[piece], right[piece])
        found.append(sums.result())
    for other in found[1:]:
        for name in ("values", "n", "right", "total"):
            assert np.array_equal(getattr(found[0], name), getattr(other, name))
    exact = Confidences.of(sure.astype(float), right)
    by_width = [ece(reliability(groups, scheme="width")) for groups in (exact, found[0])]
    assert by_width[0] == pytest.approx(by_width[1], abs=1e-8)


def test_groups_are_fine_enough_for_equal_mass():
    """Of many samples the error by mass differs by less than what a bin is wide."""
    rng = np.random.default_rng(0)
    sure = rng.beta(8, 2, 50_000).astype(np.float32)
    right = rng.random(50_000) < sure**2
    sums = ConfidenceSums()
    sums.add(sure, right)
    exact, summed = (
        ece_debiased(reliability(groups))
        for groups in (Confidences.of(sure.astype(float), right), sums.result())
    )
    assert summed == pytest.approx(exact, abs=2e-4)


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.string(), pa.bool_()])
def test_cells_of_any_column(kind, tmp_path, monkeypatch):
    """Attributes of any type, missing ones too, make the same cells however they are cut."""
    values = {pa.string(): ["x", "", None, "y"], pa.bool_(): [True, False, True, False]}.get(
        kind, [3, 1, 2, 3]
    )
    table = pa.table(
        {
            "y_true": pa.array([0, 1, 1, 0] * 50, pa.int32()),
            "y_pred": pa.array([0, 1, 0, 0] * 50, pa.int32()),
            "by": pa.array(values * 50, kind),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    monkeypatch.setattr(stored, "_ROWS", 3)
    monkeypatch.setattr(stored, "_MAX_CELLS", 5)
    cells = Stored(tmp_path / "t.parquet", "multiclass", 2, ("by",)).cells("by")
    assert cells.n.sum() == 200
    assert len(cells) <= 4
    assert (cells.y_true[cells.n == 50] <= 1).all()

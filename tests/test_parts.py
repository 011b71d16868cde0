"""Parts: wherever a pass is cut, the same bits; what is torn is found; which samples were seen takes a bit each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import NAMES, document, measured, setup_of, source_of

from evalkit.binned import ClassBins
from evalkit.errors import DataError, DocumentError, InvalidRunError
from evalkit.ledger import PredictionBatch
from evalkit.parts import CANDIDATE, Observed, PartWriter, Unreadable, list_parts
from evalkit.parts.repeats import find_repeats
from evalkit.parts.rows import read_part
from evalkit.parts.seen import Seen
from evalkit.parts.statistics import MAX_SAMPLES, InputStatistics


@pytest.mark.parametrize("seed", range(8))
def test_wherever_it_is_cut(seed, monkeypatch, tmp_path):
    """Law 4: parts of one batch, of several, of all; the table is the same file, too."""
    setup = setup_of(source_of(61, ids=seed % 2 == 0), batch_size=3)
    whole = measured(setup, tmp_path / "whole").evaluation({})
    rng = np.random.default_rng(seed)
    monkeypatch.setattr("evalkit.running.Run.part_is_due", property(lambda run: rng.random() < 0.4))
    cut = measured(setup, tmp_path / "cut")
    assert 3 < len(cut.parts) < 21
    assert document(cut.evaluation({}).result) == document(whole.result)
    tables = [(tmp_path / name / "table.parquet").read_bytes() for name in ("whole", "cut")]
    assert tables[0] == tables[1]


@given(st.lists(st.lists(st.integers(0, 99), max_size=12), max_size=12))
def test_seen(batches):
    """As a dictionary would count."""
    seen, times = Seen(100), np.zeros(100, int)
    for batch in batches:
        seen.add(np.array(batch, np.int64))
        np.add.at(times, np.array(batch, int), 1)
    holes = [i for first, stop in seen.missing() for i in range(first, stop)]
    assert holes == np.flatnonzero(times == 0).tolist()
    if (times == 1).all():
        seen.check(0, 100)
    else:
        with pytest.raises(InvalidRunError):
            seen.check(0, 100)


def test_positions_that_there_are_not():
    """Refused, not wrapped around."""
    for index in ([-1], [10]):
        with pytest.raises(InvalidRunError, match="of 10 samples"):
            Seen(10).add(np.array(index))


@given(st.integers(1, 40), st.integers(1, 7), st.randoms(use_true_random=False))
def test_statistics_of_parts(n, size, chance):
    """The same bits as in one go, in whatever order parts are joined; only of the first positions."""
    x = np.random.default_rng(n).normal(size=(n, 2, 3)).astype(np.float32)
    index = np.arange(n) + MAX_SAMPLES - 30  # the last ones do not count
    whole, parts = InputStatistics(), []
    for start in range(0, n, size):
        rows = slice(start, start + size)
        whole.add(index[rows], x[rows])
        parts.append(InputStatistics())
        parts[-1].add(index[rows], x[rows])
    chance.shuffle(parts)
    joined = InputStatistics()
    for part in parts:
        joined.join(InputStatistics.from_json(part.to_json()))
    assert joined.summary() == whole.summary()
    counted = x[index < MAX_SAMPLES].astype(float)
    assert np.allclose(whole.summary()["mean"], counted.mean(axis=(0, 2)), atol=1e-5)
    assert np.allclose(whole.summary()["std"], counted.std(axis=(0, 2)), atol=1e-5)


def written(folder, *, rows=5, first=0, attributes=None):
    folder.mkdir(exist_ok=True)
    writer = PartWriter(folder, CANDIDATE, "logits", ClassBins((1,), n_classes=80, output="logits"))
    outputs = np.random.default_rng(0).normal(size=(rows, 80)).astype(np.float32)
    batch = PredictionBatch(
        np.arange(rows), np.arange(rows) % 3, np.arange(rows) % 3, outputs, attributes=attributes or {}
    )
    writer.add(batch, np.arange(rows, dtype=np.uint64))
    observed = Observed(n_evaluated=rows, unreadable=[Unreadable(9, "a\udcff", "torn")], halved={3: 2})
    observed.spend("inference", 0.25)
    observed.statistics.add(batch.index, np.full((rows, 3), np.inf, np.float32))
    return writer.write(first, first + 1, observed, {"deterministic": ("ok", "fine")})


def test_a_part_is_read_as_it_was_written(tmp_path):
    """Rows, prints, scores that are binned, and everything that was observed."""
    file = written(tmp_path / "parts")
    assert list_parts(tmp_path / "parts", CANDIDATE) == [file]
    part = read_part(file)
    assert part.rows.num_rows == 5
    assert not any(name.startswith("hidden") for name in part.rows.column_names)
    assert part.prints.tolist() == [0, 1, 2, 3, 4]
    assert list(part.scores) == [1]
    assert part.observed.halved == {3: 2}
    assert part.observed.seconds == {"inference": 0.25}
    assert part.observed.unreadable[0].name == "a\udcff"
    assert part.observed.statistics.summary() is None
    assert part.findings == {"deterministic": ("ok", "fine")}


@pytest.mark.parametrize("k", range(20))
def test_any_damage_is_found(k, tmp_path):
    """Cut short, or one bit elsewhere."""
    file = written(tmp_path / "parts")
    content = bytearray(file.path.read_bytes())
    place = np.random.default_rng(k).integers(len(content))
    content[place] ^= 1 << k % 8
    file.path.write_bytes(content if k % 2 else content[:place])
    with pytest.raises(DocumentError, match="torn or damaged"):
        read_part(file)


def test_names_that_are_no_parts(tmp_path):
    """Other files in the folder are left alone and not read."""
    (tmp_path / "candidate-00000000-00000001-zz.arrow").write_text("x")
    (tmp_path / "candidate.arrow").write_text("x")
    assert list_parts(tmp_path, CANDIDATE) == []
    assert list_parts(tmp_path / "none", CANDIDATE) == []


def test_attributes_that_change_their_type_between_parts(tmp_path):
    """As between batches of one part."""
    from evalkit.integrity import IntegrityLog
    from evalkit.parts import Shape, join
    from evalkit.scoring import make_decision

    decision = make_decision(NAMES, task="multiclass", output="logits", threshold=None, positive_class=None)
    shape = Shape(tuple(str(k) for k in range(80)), decision, (1,), 100)
    parts = [
        written(tmp_path / "parts", first=0, attributes={"age": np.arange(5)}),
        written(tmp_path / "parts", first=1, attributes={"age": np.arange(5) + 0.5}),
    ]
    with pytest.raises(DataError, match="attributes change their names or types"):
        join(parts, shape, IntegrityLog(), ledger=tmp_path / "table.parquet")


def naive(codes, labels):
    groups: dict = {}
    for row, code in enumerate(codes):
        groups.setdefault(code, []).append(row)
    several = [rows for rows in groups.values() if len(rows) > 1]
    torn = sorted(
        (rows for rows in several if len({labels[row] for row in rows}) > 1), key=lambda rows: rows[0]
    )
    shown = [row for rows in torn for row in rows][:16]
    return sum(len(rows) - 1 for rows in several), sum(map(len, torn)), tuple(shown)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_repeats(seed, several, tmp_path):
    """As a dictionary finds them; of classes and of label sets."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 30, rng.integers(1, 80)).astype(np.uint64)
    labels = rng.integers(0, 2, len(codes)).tolist()
    column = [[0, label] for label in labels] if several else labels
    pq.write_table(pa.table({"y_true": column}), tmp_path / "table.parquet")
    found = find_repeats(codes, tmp_path / "table.parquet")
    assert (found.n_duplicates, found.n_conflicting, found.conflicting) == naive(codes.tolist(), labels)

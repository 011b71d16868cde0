"""Which columns of a table mean what: said by name, by a list, or by a pattern such as ``p_*``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalkit.errors import DataError, SpecificationError, listed, nearest
from evalkit.ledger import reserved
from evalkit.spec import Loaded
from evalkit.tables import Table

LABEL, PREDICTION, ID, MATRIX = "y_true", "y_pred", "sample_id", "y_score_*"
_SEPARATORS = (";", "\t", "|", ",")
_OWN = frozenset(("index", ID, LABEL, PREDICTION, "logloss", "brier", "true_rank"))


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns by what they mean.

    Attributes:
        label, prediction: One column; of a multilabel task one a label. No predictions where they are decided
            from the scores.
        scores: In class order, or one of the positive class; empty where there are none.
        id, count: Of a sample, and of how many a row stands for.
        attributes: Further columns to keep.
        parts: By pattern's key: what the star stood for, and the column.
        positions: Of columns that are a matrix's: which of them.
        own: Whether evalkit wrote the table.
    """

    label: tuple[str, ...]
    prediction: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    id: str | None = None
    count: str | None = None
    attributes: tuple[str, ...] = ()
    parts: Mapping[str, Mapping[str, str]] | None = None
    positions: Mapping[str, int] = field(default_factory=dict)
    own: bool = False

    @property
    def all(self) -> tuple[str, ...]:
        """Every column that is read, once."""
        single = [name for name in (self.id, self.count) if name is not None]
        return tuple(dict.fromkeys((*self.label, *self.prediction, *self.scores, *single, *self.attributes)))

    def in_class_order(self, class_names: Sequence[str], loaded: Loaded) -> "Columns":
        """Put columns that a pattern found in the order of the classes, by name, or by index.

        Raises:
            SpecificationError: They are not those of the classes, or their number is another one.
        """
        found: dict[str, Any] = {
            key: self._ordered(parts, class_names, loaded, key=key)
            for key, parts in (self.parts or {}).items()
        }
        ordered = replace(self, **found)
        n_classes, n_scores = len(class_names), len(ordered.scores)
        if loaded.spec.task != "multilabel":
            for key in ("label", "prediction"):
                if len(getattr(ordered, key)) > 1:
                    raise loaded.source.error(("data", key), "several columns belong to task: multilabel")
        if n_scores not in (0, n_classes, *((1,) if loaded.spec.task == "binary" else ())):
            raise loaded.source.error(("data", "scores"), f"{n_scores} columns for {n_classes} classes")
        if loaded.spec.task == "multilabel":
            for key, names in (("label", ordered.label), ("prediction", ordered.prediction)):
                if len(names) not in ({1, n_classes} if key == "label" else {0, 1, n_classes}):
                    text = f"{len(names)} columns for {n_classes} labels"
                    raise loaded.source.error(("data", key), text)
        return ordered

    def _ordered(
        self, parts: Mapping[str, str], class_names: Sequence[str], loaded: Loaded, *, key: str
    ) -> tuple[str, ...]:
        """Return columns in class order: those of a matrix by position, others by what names them."""
        positions = [self.positions.get(name) for name in parts.values()]
        if None not in positions:
            return tuple(sorted(parts.values(), key=self.positions.__getitem__))
        numbers = [str(k) for k in range(len(class_names))]
        fitting = [order for order in (list(class_names), numbers) if set(order) == set(parts)]
        reading = loaded.spec.data.labels_are
        if len(fitting) > 1 and fitting[0] != fitting[1] and reading is None:
            text = "the columns are numbered, and class names are numbers in another order"
            hint = "Say --labels-are names or indices, or name the columns in class order, as a list"
            raise loaded.source.error(("data", key), text, hint=hint)
        if fitting:
            return tuple(parts[name] for name in fitting[-1 if reading == "indices" else 0])
        odd = sorted(set(parts) ^ set(class_names))
        raise loaded.source.error(
            ("data", key),
            f"the columns and the class names differ: {listed(map(repr, odd), limit=5)}",
            hint="Name the columns in class order, as a list",
        )


def find_columns(loaded: Loaded, table: Table, *, attributes: Sequence[str]) -> Columns:
    """Find every column that the specification names, or that has evalkit's own name for it.

    Args:
        loaded: The specification.
        table: The file.
        attributes: Columns that numbers need.

    Raises:
        SpecificationError: A pattern fits nothing, or nothing says where predictions are.
        DataError: A column is missing.
    """
    data, names = loaded.spec.data, table.names
    said = {key: getattr(data, key) for key in ("label", "prediction", "scores")}
    own = not any(said.values()) and data.count is None and set(names) >= _OWN
    usual = {"label": LABEL, "prediction": PREDICTION if PREDICTION in names else None}
    usual["scores"] = MATRIX if any(name.startswith(MATRIX[:-1]) for name in names) else None
    found, parts = {}, {}
    for key, declared in said.items():
        if isinstance(declared or usual[key], str) and "*" in str(declared or usual[key]):
            parts[key] = _parts(str(declared or usual[key]), names, loaded, key=key)
            found[key] = tuple(parts[key].values())
        else:
            found[key] = _tuple(declared or usual[key])
    kept = tuple(dict.fromkeys((*_tuple(data.attributes), *attributes)))
    columns = Columns(
        **found,
        id=None if own or data.count else data.id or (ID if ID in names else None),
        count=data.count,
        attributes=kept,
        parts=parts,
        positions=table.positions,
        own=own,
    )
    _check(columns, names, loaded, table.path)
    return columns


def _check_roles(columns: Columns, loaded: Loaded) -> None:
    """Refuse an empty list, and a column that is to mean two things."""
    data = loaded.spec.data
    for key in ("label", "prediction", "scores"):
        if getattr(data, key) == ():
            raise loaded.source.error(("data", key), "names no column")
    if columns.count is not None and data.id is not None:
        raise loaded.source.error(("data", "id"), "counts have no ids")
    single = [name for name in (columns.id, columns.count) if name is not None]
    named = [*columns.label, *columns.prediction, *columns.scores, *single]
    twice = [name for name, n in Counter(named).items() if n > 1]
    if twice and not columns.own:
        raise loaded.source.error(("data",), f"the column {twice[0]!r} cannot mean two things")


def _tuple(declared: str | Sequence[str] | None) -> tuple[str, ...]:
    if declared is None:
        return ()
    return (declared,) if isinstance(declared, str) else tuple(declared)


def _parts(pattern: str, names: Sequence[str], loaded: Loaded, *, key: str) -> dict[str, str]:
    """Return what the star of a pattern stands for, by column."""
    before, _, after = pattern.partition("*")
    if "*" in after:
        raise loaded.source.error(("data", key), f"{pattern} has more than one star")
    found = {
        name[len(before) : len(name) - len(after)]: name
        for name in names
        if len(name) >= len(before) + len(after) and name.startswith(before) and name.endswith(after)
    }
    if not found:
        raise loaded.source.error(("data", key), f"no column is named {pattern}; there are: {listed(names)}")
    return found


def _way_out(missing: str, names: Sequence[str]) -> str | None:
    """Say what a column is missing for: it is a matrix, or other characters part the cells."""
    if f"{missing}_0" in names:
        return f"A matrix is a column a class: say {missing}_*"
    for separator in _SEPARATORS:
        cells = (cell.strip(' "') for name in names for cell in name.split(separator))
        if missing in cells:
            return f"The separator seems to be {separator!r}: expected commas in .csv, tabs in .tsv"
    return None


def _check(columns: Columns, names: Sequence[str], loaded: Loaded, path: Path) -> None:
    _check_roles(columns, loaded)
    missing = [name for name in columns.all if name not in names]
    if missing:
        near = nearest(missing[0], names)
        text = f"{path}: has no column {missing[0]!r}{near}; it has: {listed(names)}"
        raise DataError(text, hint=_way_out(missing[0], names))
    odd = [name for name in columns.attributes if reserved(name)]
    if odd and not columns.own:
        raise loaded.source.error(
            ("data", "attributes"), f"{odd[0]!r} is the name of a column of evalkit's own"
        )
    if not (columns.prediction or columns.scores):
        raise SpecificationError(
            f"{path}: nothing says where the predictions are",
            hint="Say --prediction COLUMN, or --scores COLUMN,COLUMN or --scores 'p_*'",
        )
    if columns.count and (columns.scores or loaded.spec.task == "multilabel"):
        raise loaded.source.error(("data", "count"), "counts are of one class and one prediction a row")
    if columns.scores and not columns.own and "output" not in loaded.spec.model.model_fields_set:
        raise loaded.source.error(
            ("model", "output"),
            "is required: what are the scores?",
            hint="Say --output-kind probabilities, logits or scores",
        )

"""Which columns of a table mean what: said by name, by a list, or by a pattern such as ``p_*``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit.errors import DataError, SpecificationError, listed, nearest
from evalkit.ledger import reserved
from evalkit.spec import Loaded

LABEL, PREDICTION, ID, MATRIX = "y_true", "y_pred", "sample_id", "y_score_*"
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
        own: Whether evalkit wrote the table.
    """

    label: tuple[str, ...]
    prediction: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    id: str | None = None
    count: str | None = None
    attributes: tuple[str, ...] = ()
    parts: Mapping[str, Mapping[str, str]] | None = None
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
            key: _ordered(parts, class_names, loaded, key=key) for key, parts in (self.parts or {}).items()
        }
        ordered = replace(self, **found)
        n_classes, n_scores = len(class_names), len(ordered.scores)
        if n_scores not in (0, n_classes, *((1,) if loaded.spec.task == "binary" else ())):
            raise loaded.source.error(("data", "scores"), f"{n_scores} columns for {n_classes} classes")
        if loaded.spec.task == "multilabel":
            for key, names in (("label", ordered.label), ("prediction", ordered.prediction)):
                if len(names) not in ({1, n_classes} if key == "label" else {0, 1, n_classes}):
                    text = f"{len(names)} columns for {n_classes} labels"
                    raise loaded.source.error(("data", key), text)
        return ordered


def find_columns(loaded: Loaded, names: Sequence[str], *, attributes: Sequence[str], path: Path) -> Columns:
    """Find every column that the specification names, or that has evalkit's own name for it.

    Args:
        loaded: The specification.
        names: Of the table.
        attributes: Columns that numbers need.
        path: The table, for messages.

    Raises:
        SpecificationError: A pattern fits nothing, or nothing says where predictions are.
        DataError: A column is missing.
    """
    data = loaded.spec.data
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
        own=own,
    )
    _check(columns, names, loaded, path)
    return columns


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


def _ordered(
    parts: Mapping[str, str], class_names: Sequence[str], loaded: Loaded, *, key: str
) -> tuple[str, ...]:
    for order in (list(class_names), [str(k) for k in range(len(class_names))]):
        if set(order) == set(parts):
            return tuple(parts[name] for name in order)
    odd = sorted(set(parts) ^ set(class_names))
    raise loaded.source.error(
        ("data", key),
        f"the columns and the class names differ: {listed(map(repr, odd), limit=5)}",
        hint="Name the columns in class order, as a list",
    )


def _check(columns: Columns, names: Sequence[str], loaded: Loaded, path: Path) -> None:
    missing = [name for name in columns.all if name not in names]
    if missing:
        near = nearest(missing[0], names)
        raise DataError(f"{path}: has no column {missing[0]!r}{near}; it has: {listed(names)}")
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

"""A run for other programs: a tidy CSV, the front matter of a model card, and numbers for ``dvc metrics``."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import PurePosixPath
from typing import Any

import yaml

from evalkit.display import MAX_TEXT, numbered, spreadsheet_text, visible
from evalkit.render.numbers import interval_text
from evalkit.render.tables import is_headline
from evalkit.render.terms import terms_of
from evalkit.render.words import noun
from evalkit.result import EvalResult
from evalkit.rows import MetricRow, describe_params, describe_slice
from evalkit.verdict import Outcome, Verdict

COLUMNS = (
    "metric", "params", "average", "class_name", "slice", "value", "low", "high", "level", "method",
    "n_samples", "n_classes", "numerator", "denominator", "undefined", "no_interval", "greater_is_better",
    "partial",
)  # fmt: skip
# Words that every reader of YAML takes for text, or that pyyaml quotes itself.
_WORD = re.compile(r"[A-Za-z][A-Za-z_-]{2,}")
_PICTURE = 3


@dataclass(frozen=True, slots=True)
class Card:
    """What a model card says of the data, and where the numbers come from; None for what nobody said."""

    dataset_name: str | None = None
    dataset_type: str | None = None
    split: str | None = None
    url: str | None = None


def partial_words(result: EvalResult) -> str:
    """Say that only a part was evaluated; nothing where it was all."""
    partial = result.partial
    return "" if partial is None else f"{partial.limit} of {partial.of} samples only"


def render_csv(result: EvalResult) -> str:
    """Return every metric row; numbers as they are, names with nothing hidden and nothing that is run."""
    target = StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS)
    partial = partial_words(result)
    for row in result.metrics:
        cells: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS if name != "partial"}
        cells["params"] = describe_params(row.params) or None
        cells["slice"] = None if row.slice is None else describe_slice(row.slice)
        writer.writerow([_cell(value) for value in (*cells.values(), partial or None)])
    return target.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return spreadsheet_text(visible(value, limit=MAX_TEXT))


def render_model_index(result: EvalResult, card: Card) -> str:
    """Return the front matter of a model card for the Hugging Face Hub."""
    data = result.spec.get("data") or {}
    named = card.dataset_name or PurePosixPath(str(data.get("path") or "")).stem or result.name
    source = str(data.get("source") or "unknown")
    dataset = {
        "name": named,
        "type": card.dataset_type or {"folder": "imagefolder"}.get(source, source),
        "split": card.split,
        "revision": result.digests.get("data"),
    }
    found: dict[str, Any] = {
        "task": {"type": f"{'image' if _pictures(result) else 'tabular'}-classification"},
        "dataset": {key: visible(text, limit=MAX_TEXT) for key, text in dataset.items() if text is not None},
        "metrics": list(_card_metrics(result)),
    }
    if card.url is not None:
        version = (result.provenance.get("versions") or {}).get("evalkit") or ""
        found["source"] = {
            "name": visible(f"evalkit {version}".strip()),
            "url": visible(card.url, limit=MAX_TEXT),
        }
    document = {"model-index": [{"name": visible(result.name), "results": [found]}]}
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=MAX_TEXT)
    return f"---\n{text}---\n"


class _Dumper(yaml.SafeDumper):
    """Puts names in quotation marks, for readers of YAML differ on ``no``; pyyaml asks for a class."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - pyyaml's signature
        """Return True."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if _WORD.fullmatch(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _pictures(result: EvalResult) -> bool:
    return noun(result) == "images" or len(result.data.get("input_shape") or ()) == _PICTURE


def _card_metrics(result: EvalResult) -> Iterator[dict[str, Any]]:
    terms, partial = terms_of(result), partial_words(result)
    for row in result.metrics:
        if row.class_name is None and row.slice is None and is_headline(row) and row.value is not None:
            said = [f"{row.level * 100:g}% CI {interval_text(row)}"] if row.level is not None else []
            said += [partial] if partial else []
            label = terms.metric(row.metric, row.average, row.params)
            name = f"{label} ({'; '.join(said)})" if said else label
            yield {"type": row.metric, "value": row.value, "name": name}


def render_dvc(result: EvalResult, verdict: Verdict | None) -> str:
    """Return nested JSON of plain numbers; what has no value is left out."""
    document: dict[str, Any] = {"n_samples": result.n_samples}
    if result.partial is not None:
        document["partial"] = {"limit": result.partial.limit, "of": result.partial.of}
    classes = _distinct(result.class_names)
    slices = _distinct(describe_slice(row.slice) for row in result.metrics if row.slice is not None)
    for row in result.metrics:
        if row.value is not None:
            *blocks, key = _path(row, classes, slices)
            where = document
            for block in blocks:
                where = where.setdefault(block, {})
            where[key] = row.value
    if verdict is not None:
        document["gates"] = {outcome: verdict.counted(outcome) for outcome in _OUTCOMES}
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


_OUTCOMES: tuple[Outcome, ...] = ("passed", "failed", "inconclusive", "cannot_judge")


def _distinct(names: Iterable[str]) -> dict[str, str]:
    """Return each name as a key: nothing hides in it, and no other has it."""
    found = list(dict.fromkeys(names))
    return dict(zip(found, numbered(visible(name, limit=MAX_TEXT) for name in found), strict=True))


def _path(row: MetricRow, classes: Mapping[str, str], slices: Mapping[str, str]) -> Iterator[str]:
    """Yield the keys that lead to a number, such as overall, macro, f1."""
    if row.slice is None:
        yield "classes" if row.class_name is not None else "overall"
    else:
        yield from ("slices", slices[describe_slice(row.slice)])
        yield from () if row.class_name is None else ("classes",)
    yield from () if row.class_name is None else (classes[row.class_name],)
    yield from () if row.average is None else (row.average,)
    yield "_".join([row.metric, *re.findall(r"\w+", describe_params(row.params))])

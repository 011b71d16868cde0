"""From a file and flags to a validated specification, with errors that name file, line and key."""

import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from evalkit.errors import SpecificationError, nearest
from evalkit.spec.checks import (
    PREDICTIONS,
    check_comparable,
    check_gates,
    check_normalisation,
    check_slices,
    check_values,
)
from evalkit.spec.extending import KEY, read_extended
from evalkit.spec.paths import hide_home, is_path_key, rebase_document, rebased, resolve_path
from evalkit.spec.schema import (
    BaselineCheckpoint,
    Block,
    CompareSpec,
    GateSpec,
    MetricsSpec,
    PreprocessSpec,
    SliceSpec,
    Specification,
)
from evalkit.spec.source import KeyPath, SourceMap, override, parse_value, read_yaml

M = TypeVar("M", bound=Block)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A specification and where it came from.

    Attributes:
        spec: The validated specification.
        source: Lines and flags, for errors that are found later.
        base: The folder that its paths are relative to.
    """

    spec: Specification
    source: SourceMap
    base: Path

    def resolve(self, path: str) -> Path:
        """Return a path of the specification as one that can be opened."""
        return resolve_path(path, self.base)

    def updated(self, changes: dict[str, dict[str, Any]], *, where: str) -> "Loaded":
        """Return the specification with some keys of its blocks replaced, validated again.

        Args:
            changes: Block to keys to values.
            where: Where the values come from, for messages.
        """
        data = self.spec.model_dump(mode="python", by_alias=True, exclude_unset=True)
        for block, keys in changes.items():
            data[block] = {**data[block], **keys}
        source = replace(self.source, name=where)
        spec = _validate(Specification, data, source)
        check_values(spec, source)
        return Loaded(spec, self.source, self.base)

    def beside(self, declared: BaselineCheckpoint) -> "Loaded":
        """Return the specification of a baseline that is measured over the same samples.

        What it does not say is the candidate's; which weights and pin belong to the candidate's file, and
        arguments and selection to its factory.
        """
        data = self.spec.model_dump(mode="python", by_alias=True, exclude_unset=True)
        said = declared.model_dump(mode="python", exclude_none=True)
        own = {"weights", "sha256"} | ({"args", "select"} if declared.factory else set())
        model = {key: value for key, value in data["model"].items() if key not in own}
        data = {**data, "name": Path(declared.checkpoint).stem, "model": {**model, **said}}
        del data["baseline"]
        source = replace(self.source, name=f"{self.source.name}: baseline")
        spec = _validate(Specification, data, source)
        check_values(spec, source)
        return Loaded(spec, self.source, self.base)

    def document(self) -> dict[str, Any]:
        """Return the resolved specification as a result holds it: without ``run``, no home in its paths."""
        document = self.spec.model_dump(mode="json", by_alias=True, exclude={"run"})
        hide_home(document)
        return document

    def to_yaml(self, path: Path) -> str:
        """Write what was asked for as a file in the folder of ``path``."""
        document = self.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        columns = self.spec.data.source == PREDICTIONS
        rebase_document(document, start=self.base, base=path.parent, columns=columns)
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


class SlicesSpec(Block):
    """Slices alone."""

    slices: tuple[SliceSpec, ...] = ()


class GateFile(Block):
    """What ``evalkit gate --gates FILE`` reads: gates, and optionally a baseline and how it is compared."""

    gates: tuple[GateSpec, ...]
    baseline: str | None = None
    compare: CompareSpec | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """A key that a flag sets.

    Attributes:
        key: Dotted, such as ``run.batch_size``.
        value: As it was typed.
        flag: For messages.
        literal: The value is text as it stands; otherwise it is read as YAML.
    """

    key: str
    value: str
    flag: str
    literal: bool = False


def load_specification(
    path: Path | None,
    *,
    overrides: Sequence[Override] = (),
    gates: Sequence[dict[str, Any]] = (),
    known: dict[str, Any] | None = None,
) -> Loaded:
    """Read, override and validate a specification, with what it extends.

    Args:
        path: The YAML file; None where flags say everything.
        overrides: In the order of the command line.
        gates: Further gates, from flags.
        known: What is known without a file.

    Raises:
        SpecificationError: Anything unknown, mistyped or impossible.
    """
    data, source = (dict(known or {}), SourceMap("command line")) if path is None else read_extended(path)
    base = Path() if path is None else path.parent
    for item in overrides:
        if item.key == KEY:
            raise SpecificationError(f"{item.flag}: {KEY} is read before any flag", hint="Set it in the file")
        value: Any = item.value if item.literal else parse_value(item.value, flag=item.flag)
        if is_path_key(item.key):
            value = rebased(item.key, value, start=Path(), base=base)
        source.flags[override(data, item.key.split("."), value, flag=item.flag)] = item.flag
    if path is None and "name" not in data:
        data["name"] = _default_name(data)
    if gates:
        data["gates"] = [*(data.get("gates") or ()), *gates]
    spec = _validate(Specification, data, source)
    check_values(spec, source)
    check_gates(spec.gates, source, given="gates" in spec.model_fields_set)
    if spec.baseline is None:
        check_comparable(spec.gates, source, hint="Set baseline: DIR")
    return Loaded(spec, source, base)


def _default_name(data: dict[str, Any]) -> str:
    """Name a run without a file after its checkpoint, or the folder that its model comes from."""
    block = data.get("model")
    model = block if isinstance(block, dict) else {}
    if isinstance(model.get("checkpoint"), str):
        return Path(model["checkpoint"]).stem
    library, _, folder = str(model.get("factory")).partition(":")
    return Path(folder).name or "model" if library == "transformers" else "model"


def load_gate_file(path: Path, *, changes: dict[str, Any] | None = None) -> tuple[GateFile, SourceMap]:
    """Read and validate a file of gates, with some of its keys replaced."""
    data, source = read_yaml(path)
    return validate_gates({**data, **(changes or {})}, source), source


def validate_gates(data: dict[str, Any], source: SourceMap) -> GateFile:
    """Validate ``gates`` and ``baseline``, wherever they were written."""
    found = _validate(GateFile, data, source)
    check_gates(found.gates, source, given=True)
    return found


def validate_metrics(
    declared: dict[str, Any], slices: Sequence[Any], *, where: str
) -> tuple[MetricsSpec, tuple[SliceSpec, ...]]:
    """Validate a metrics block and slices outside a specification; SpecificationError names the key."""
    metrics = _validate(MetricsSpec, declared, SourceMap(where))
    found = _validate(SlicesSpec, {"slices": list(slices)}, SourceMap(where))
    check_slices(found.slices, ("slices",), SourceMap(where))
    return metrics, found.slices


def validate_preprocess(declared: dict[str, Any], *, where: str) -> PreprocessSpec:
    """Validate a preprocessing mapping outside a specification; SpecificationError names the key."""
    source = SourceMap(where)
    spec = _validate(PreprocessSpec, declared, source)
    check_normalisation(spec, (), source)
    return spec


def _validate(model: type[M], data: dict[str, Any], source: SourceMap) -> M:
    try:
        block = model.model_validate(data)
    except ValidationError as error:
        raise _first_error(model, data, error.errors(), source) from error
    return block


def _first_error(
    model: type[Block], data: Any, errors: list[ErrorDetails], source: SourceMap
) -> SpecificationError:
    paths = [_real_path(model, data, error["loc"]) for error in errors]
    # A union complains once for each of its members; the deepest complaint is about what was meant.
    inside = [found for found in paths if found[: len(paths[0])] == paths[0]]
    path = max(inside, key=len)
    same = [error for error, found in zip(errors, paths, strict=True) if found == path]
    others = len(
        {found for found in paths if found[: len(paths[0])] != paths[0] and path[: len(found)] != found}
    )
    more = f" (and {others} more)" if others else ""
    return source.error(path, _message(model, path, same) + more)


def _real_path(model: type[Block], data: Any, loc: tuple[str | int, ...]) -> KeyPath:
    """Drop the parts of pydantic's location that name a union's member rather than a key."""
    path: list[str | int] = []
    where = data
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        if isinstance(where, dict) and part in where:
            path.append(part)
            where = where[part]
        elif isinstance(where, list) and isinstance(part, int):
            path.append(part)
            where = where[part] if part < len(where) else None
        elif last and isinstance(where, dict) and part in _keys(model, tuple(path)):
            path.append(part)
    return tuple(path)


def _message(model: type[Block], path: KeyPath, errors: list[ErrorDetails]) -> str:
    error = errors[0]
    value, kind = error["input"], error["type"]
    if kind == "extra_forbidden":
        return "unknown key" + nearest(str(path[-1]), _keys(model, path[:-1]))
    if kind == "missing":
        return "is required"
    if kind == "literal_error" and len(errors) == 1:
        expected = error.get("ctx", {}).get("expected", "")
        allowed = expected.replace("'", "").replace(" or ", ", ").split(", ")
        return f"must be {expected}, got {value!r}{nearest(str(value), allowed)}"
    if any(item["type"] == "string_type" for item in errors) and isinstance(value, (bool, int, float)):
        return f"must be text, got {value!r} (quote it)"
    if isinstance(value, str) and any(item["type"] == "float_type" for item in errors) and _is_number(value):
        return f"must be a number, and YAML reads {value} as text (write {float(value)!r})"
    texts = dict.fromkeys(item["msg"].removeprefix("Value error, ") for item in errors)
    return f"{' or '.join(_lower(text) for text in texts)}, got {value!r}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the allowed keys of the block at a path."""
    for part in path:
        if isinstance(part, str):
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            if part not in fields:
                return []
            found = list(_block_types(fields[part].annotation))
            if not found:
                return []
            model = found[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def _block_types(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _block_types(argument)

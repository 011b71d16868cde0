"""Shards become one run: whole batches of one list, each exactly once, made of the same things."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from evalkit.describing import Description
from evalkit.errors import ChangedError, DocumentError
from evalkit.integrity import CHECKS, IntegrityLog
from evalkit.parts import BASELINE, CANDIDATE, PartFile, list_parts
from evalkit.result import Status
from evalkit.rundir import PARTS
from evalkit.runfile import RunFile
from evalkit.work import Share

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Shard:
    """A folder that ``run --shard`` wrote, complete."""

    path: Path
    run: RunFile


@dataclass(frozen=True, slots=True)
class Merged:
    """One model's pass, put together from all shards.

    Attributes:
        described: What a document says of it beside the numbers.
        parts: In the order of their batches.
        integrity: What was found in any shard; the worst counts.
    """

    described: Description
    parts: Sequence[PartFile]
    integrity: IntegrityLog


def read_shards(paths: Sequence[Path]) -> list[Shard]:
    """Read the shards of one run, in any order.

    Raises:
        DocumentError: A folder holds no complete shard.
        ChangedError: They are not shards of one run, one is missing, or one is there twice.
    """
    shards = [_read(path) for path in paths]
    first = min(shards, key=lambda shard: shard.run.shard)
    _check_siblings(shards, first.run)
    n_shards = first.run.shard[1]
    by_index: dict[int, Shard] = {}
    for shard in shards:
        index, count = shard.run.shard
        if count != n_shards:
            raise ChangedError(f"{shard.path}: is one of {count} shards, {first.path} one of {n_shards}")
        if index in by_index:
            twice = f"{by_index[index].path}, {shard.path}"
            raise ChangedError(f"shard {index}/{n_shards} is there twice: {twice}")
        by_index[index] = shard
    n_missing = n_shards - len(by_index)
    if n_missing:
        missing = (f"{index}/{n_shards}" for index in range(1, n_shards + 1) if index not in by_index)
        more = f" and {n_missing - _SHOWN} more" if n_missing > _SHOWN else ""
        raise ChangedError(f"{n_missing} shards are missing: {', '.join(islice(missing, _SHOWN))}{more}")
    return [by_index[index] for index in sorted(by_index)]


def _check_siblings(shards: Sequence[Shard], known: RunFile) -> None:
    """Raise ChangedError where shards differ; what only some imported must agree among these, too."""
    for shard in shards:
        known.check_sibling(shard.run, f"{shard.path}:")
        code, packages = (
            {**getattr(shard.run, name), **getattr(known, name)} for name in ("code", "packages")
        )
        known = replace(known, code=code, packages=packages)


def merged(shards: Sequence[Shard], stream: str = CANDIDATE) -> Merged:
    """Put one model's pass together.

    Args:
        shards: From :func:`read_shards`.
        stream: Which model's.

    Raises:
        DocumentError: A part is missing, or run.json is not what evalkit writes.
        ChangedError: The parts have a gap or an overlap.
    """
    first = shards[0].run
    integrity, parts = IntegrityLog(), []
    for shard in shards:
        stated = _stream(shard, stream)
        integrity.join(_findings(stated))
        found = _parts(shard, stream, stated)
        share = Share(first.n_samples, first.batch_size, *shard.run.shard)
        check_cover(found, share.batches, shard.path)
        parts += found
    # A sample takes more than a byte in its part: nobody may ask for memory that the files do not justify.
    n_bytes = sum(part.path.stat().st_size for part in parts)
    if first.n_samples > n_bytes:
        raise DocumentError(f"{shards[0].path}: {first.n_samples} samples in {n_bytes} bytes of parts")
    described = Description.of_all(_stream(shards[0], stream)["described"], n_samples=first.n_samples)
    n_shards = len(shards)
    return Merged(replace(described, run={**described.run, "shards": n_shards}), parts, integrity)


def has_baseline(shards: Sequence[Shard]) -> bool:
    """Return whether a baseline was measured over the same batches."""
    return BASELINE in shards[0].run.streams


def _read(path: Path) -> Shard:
    run = RunFile.read_from(path)
    if run.shard == (1, 1):
        raise DocumentError(f"{path}: is a whole run, not a shard")
    if not run.complete:
        raise DocumentError(
            f"{path}: shard {run.shard[0]}/{run.shard[1]} is not finished", hint="Run it with --resume"
        )
    return Shard(path, run)


def _stream(shard: Shard, stream: str) -> Mapping[str, Any]:
    """Return what a shard says of a model's pass; DocumentError where that is not what evalkit writes."""
    stated: Mapping[str, Any] = shard.run.streams.get(stream) or {}
    findings = stated.get("findings", {})
    if stated and all(check in CHECKS and _is_finding(found) for check, found in findings.items()):
        return stated
    raise DocumentError(f"{shard.path}: run.json is not what evalkit writes")


def _is_finding(found: object) -> bool:
    if not isinstance(found, list) or len(found) != 2:  # noqa: PLR2004 - status and detail
        return False
    return found[0] in get_args(Status) and isinstance(found[1], str)


def _findings(stated: Mapping[str, Any]) -> dict[str, Any]:
    return {check: (status, detail) for check, (status, detail) in stated["findings"].items()}


def _parts(shard: Shard, stream: str, stated: Mapping[str, Any]) -> list[PartFile]:
    """Return the parts that the shard names; others are none of its own."""
    found = {part.path.name: part for part in list_parts(shard.path / PARTS, stream)}
    lost = [name for name in stated["parts"] if name not in found]
    if lost:
        raise DocumentError(f"{shard.path}: {len(lost)} of its parts are missing ({lost[0]})")
    return sorted((found[name] for name in stated["parts"]), key=lambda part: part.first)


def check_cover(parts: Sequence[PartFile], batches: range, path: Path) -> None:
    """Raise ChangedError unless the parts hold exactly these batches, side by side."""
    expected = batches.start
    for part in parts:
        if part.first != expected:
            what = "a gap" if part.first > expected else "an overlap"
            raise ChangedError(f"{path}: {what} in its parts at batch {min(part.first, expected)}")
        expected = part.stop
    if expected != batches.stop:
        what = "a gap" if expected < batches.stop else "an overlap"
        raise ChangedError(f"{path}: {what} in its parts at batch {min(expected, batches.stop)}")

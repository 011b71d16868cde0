"""run.json: what a run is made of, and how far it is. Parts belong together only where these agree."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from evalkit.documents import format_json, read_json
from evalkit.errors import ChangedError, DocumentError, UnfinishedError
from evalkit.rundir import RUN

SCHEMA: Final = "evalkit.run/1"

# What each digest covers, in the words of a message.
HASHES = {
    "weights": "the weights",
    "baseline_weights": "the baseline's weights",
    "data": "the data",
    "samples": "samples here and there",
    "files": "the data's files",
    "preprocessing": "the preprocessing",
    "question": "classes, decision rule or training manifest",
    "measuring": "model, data, run or device of the specification",
    "specification": "the specification",
    "software": "the version of evalkit, torch or another library",
}
# Not between shards, whose machines have copies of their own; and not of a run that goes on: gates and
# metrics are asked of a finished pass.
_ONE_MACHINE = frozenset({"files"})
# Samples are all read again then, where only that tells what they are.
_ASKED_LATER = frozenset({"specification", "samples"})


@dataclass(frozen=True, slots=True)
class RunFile:
    """The document.

    Attributes:
        hashes: Digests by what they cover, see ``HASHES``.
        code: The user's source files and what they read while the model was built, by path from the
            specification's folder, and their SHA-256.
        read: The same of what the forward pass read.
        packages: Installed packages: version, and size and time of the top file.
        n_samples, batch_size: The list of batches.
        shard: Which one, of how many.
        repeatable: Whether the same hashes mean the same numbers: not where only reading the samples tells
            what they are, or where the model is meant to be random.
        complete: Whether every document, or of a shard every part, is there.
        finished: When it was.
        documents: SHA-256 of documents that later commands rely on.
        streams: Of a finished shard, what a document says of each model beside its numbers.
    """

    hashes: Mapping[str, str]
    code: Mapping[str, str]
    n_samples: int
    batch_size: int
    shard: tuple[int, int] = (1, 1)
    repeatable: bool = True
    read: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False
    finished: str | None = None
    documents: Mapping[str, str] = field(default_factory=dict)
    streams: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Return the document's bytes."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return format_json({"schema": SCHEMA, **values, "shard": list(self.shard)})

    @classmethod
    def read_from(cls, directory: Path) -> "RunFile":
        """Read a folder's document; DocumentError where it is missing or damaged."""
        path = directory / RUN
        found = read_json(path, schema=SCHEMA)
        try:
            values = {one.name: found[one.name] for one in fields(cls)}
            values["shard"] = tuple(values["shard"])
            made = cls(**values)
        except (KeyError, TypeError) as error:
            raise DocumentError(f"{path}: is not what evalkit writes") from error
        if not made.is_sound():
            raise DocumentError(f"{path}: is not what evalkit writes")
        return made

    def is_sound(self) -> bool:
        """Return whether everything is of its type."""
        numbers = (self.n_samples, self.batch_size, *self.shard)
        return (
            len(self.shard) == 2  # noqa: PLR2004 - which of how many
            and all(type(number) is int and number > 0 for number in numbers)
            and self.shard[0] <= self.shard[1]
            and type(self.repeatable) is type(self.complete) is bool
            and all(map(_is_table, (self.hashes, self.code, self.read, self.packages, self.documents)))
            and set(self.hashes) == set(HASHES)
            and isinstance(self.streams, dict)
            and all(map(_is_stream, self.streams.values()))
        )

    def of_whole(self, shards: "Iterable[RunFile]") -> "RunFile":
        """Return the same for all shards together."""
        code, read = dict(self.code), dict(self.read)
        for shard in shards:
            code |= shard.code
            read |= shard.read
        return replace(self, shard=(1, 1), streams={}, code=code, read=read)

    def resumed_by(self, now: "RunFile") -> list[str]:
        """Say what keeps a run from being continued; nothing where it can be."""
        packages = _unequal(self.packages, now.packages, shared=True)
        return self._differences(now, without=_ASKED_LATER) + _unequal(self.code, now.code) + packages

    def repeated_by(self, now: "RunFile") -> list[str]:
        """Say what another run would do otherwise; nothing where it would do the very same."""
        unknown = [] if self.repeatable and now.repeatable else ["what only reading the samples tells"]
        same = self._differences(now, without=frozenset()) + _unequal(self.code, now.code)
        packages = _unequal(self.packages, now.packages, shared=True)
        return same + _unequal(self.read, now.read) + packages + unknown

    def check_sibling(self, other: "RunFile", where: str, *, first: str = "the first shard") -> None:
        """Raise ChangedError where another shard was not made of the same things.

        Args:
            other: What it was made of.
            where: Names it, as the message begins.
            first: Names this one.
        """
        mine, others = (
            {name: text.partition("|")[0] for name, text in one.packages.items()} for one in (self, other)
        )
        found = self._differences(other, without=_ONE_MACHINE, shards=True)
        found += _unequal(self.code, other.code, shared=True) + _unequal(mine, others, shared=True)
        if found:
            raise ChangedError(f"{where} differs from {first} in {', '.join(found)}")

    def _differences(self, other: "RunFile", *, without: frozenset[str], shards: bool = False) -> list[str]:
        found = [
            what
            for key, what in HASHES.items()
            if key not in without and self.hashes[key] != other.hashes[key]
        ]
        if self.batch_size != other.batch_size:
            found.insert(0, f"the batch size ({self.batch_size}, now {other.batch_size})")
        if self.n_samples != other.n_samples:
            found.insert(0, f"the number of samples ({self.n_samples}, now {other.n_samples})")
        if not shards and self.shard != other.shard:
            then, now = ("/".join(map(str, one.shard)) for one in (self, other))
            found.insert(0, f"the shard ({then}, now {now})")
        return found


def check_finished(directory: Path) -> None:
    """Raise UnfinishedError where a later run was begun in a folder: its documents are an older one's."""
    try:
        finished = not (directory / RUN).exists() or RunFile.read_from(directory).complete
    except DocumentError:  # what it was made of is not asked here
        return
    if not finished:
        text = "a later run was begun there and is not finished: its documents are an older run's"
        raise UnfinishedError(f"{directory}: {text}", hint="Go on with --resume, or evaluate again")


def _unequal(mine: Mapping[str, str], other: Mapping[str, str], *, shared: bool = False) -> list[str]:
    """List names that differ, or of those that both have."""
    names = mine.keys() & other.keys() if shared else mine.keys() | other.keys()
    return [name for name in sorted(names) if mine.get(name) != other.get(name)]


def _is_table(table: object) -> bool:
    return isinstance(table, dict) and all(isinstance(value, str) for value in table.values())


def _is_stream(stream: object) -> bool:
    if not isinstance(stream, dict):
        return False
    parts, blocks = stream.get("parts"), ("described", "findings", "provenance")
    named = isinstance(parts, list) and all(isinstance(name, str) for name in parts)
    return named and all(isinstance(stream.get(block), dict) for block in blocks)

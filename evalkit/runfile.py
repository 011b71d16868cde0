"""run.json: what a run is made of, and how far it is. Parts belong together only where these agree."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from evalkit.documents import format_json, read_json
from evalkit.errors import ChangedError, DocumentError
from evalkit.rundir import RUN

SCHEMA: Final = "evalkit.run/1"

# What each digest covers, in the words of a message.
HASHES = {
    "weights": "the weights",
    "baseline_weights": "the baseline's weights",
    "data": "the data",
    "files": "the data's files",
    "preprocessing": "the preprocessing",
    "question": "classes, decision rule or training manifest",
    "measuring": "model, data or run of the specification",
    "specification": "the specification",
    "software": "the version of evalkit, torch or another library",
}
# Not between shards, whose machines have copies of their own; and not of a run that goes on: gates and
# metrics are asked of a finished pass.
_ONE_MACHINE = frozenset({"files"})
_ASKED_LATER = frozenset({"specification"})


@dataclass(frozen=True, slots=True)
class RunFile:
    """The document.

    Attributes:
        hashes: Digests by what they cover, see ``HASHES``.
        code: The user's source files, by path from the specification's folder, and their SHA-256.
        n_samples, batch_size: The list of batches.
        shard: Which one, of how many.
        data_known: Whether ``data`` covers what the samples hold; if not, only reading them tells.
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
    data_known: bool = True
    complete: bool = False
    finished: str | None = None
    documents: Mapping[str, str] = field(default_factory=dict)
    streams: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Return the document's bytes."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return format_json({"schema": SCHEMA, **values, "shard": list(self.shard)})

    @classmethod
    def read(cls, directory: Path) -> "RunFile":
        """Read a folder's document; DocumentError where it is missing or damaged."""
        path = directory / RUN
        found = read_json(path, schema=SCHEMA)
        try:
            values = {one.name: found[one.name] for one in fields(cls)}
            values["shard"] = tuple(values["shard"])
            made = cls(**values)
        except (KeyError, TypeError) as error:
            raise DocumentError(f"{path}: is not what evalkit writes") from error
        numbers = (made.n_samples, made.batch_size, *made.shard)
        tables = (made.hashes, made.code, made.documents, made.streams)
        if (
            any(type(number) is not int or number < 1 for number in numbers)
            or len(made.shard) != 2  # noqa: PLR2004 - which of how many
            or not all(isinstance(table, dict) for table in tables)
        ):
            raise DocumentError(f"{path}: is not what evalkit writes")
        return made

    def of_whole(self) -> "RunFile":
        """Return the same for all shards together."""
        return replace(self, shard=(1, 1), streams={})

    def resumed_by(self, now: "RunFile") -> list[str]:
        """Say what keeps a run from being continued; nothing where it can be."""
        return self._differences(now, without=_ASKED_LATER) + self._changed_code(now)

    def repeated_by(self, now: "RunFile") -> list[str]:
        """Say what another run would do otherwise; nothing where it would do the very same."""
        unknown = [] if self.data_known else ["the data, which only reading them tells"]
        return self._differences(now, without=frozenset()) + self._changed_code(now) + unknown

    def check_sibling(self, other: "RunFile", where: str) -> None:
        """Raise ChangedError where another shard was not made of the same things."""
        both = {path for path in self.code if path in other.code}
        code = [f"{path}" for path in sorted(both) if self.code[path] != other.code[path]]
        found = self._differences(other, without=_ONE_MACHINE, shards=True) + code
        if found:
            raise ChangedError(f"{where}: differs from the first shard in {', '.join(found)}")

    def _differences(self, other: "RunFile", *, without: frozenset[str], shards: bool = False) -> list[str]:
        found = [
            what
            for key, what in HASHES.items()
            if key not in without and self.hashes.get(key) != other.hashes.get(key)
        ]
        if self.batch_size != other.batch_size:
            found.insert(0, f"the batch size ({self.batch_size}, now {other.batch_size})")
        if self.n_samples != other.n_samples:
            found.insert(0, f"the number of samples ({self.n_samples}, now {other.n_samples})")
        if not shards and self.shard != other.shard:
            found.insert(
                0, f"the shard ({'/'.join(map(str, self.shard))}, now {'/'.join(map(str, other.shard))})"
            )
        return found

    def _changed_code(self, now: "RunFile") -> list[str]:
        """List source files that differ; what was imported late then may not be imported yet."""
        return [path for path in sorted({*self.code, *now.code}) if self.code.get(path) != now.code.get(path)]

"""The error tree: every failure has a slug, an exit code, one sentence and often the way out."""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What a process of evalkit ends with; the README explains each."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    GATE_FAILED = 3
    INPUT = 4
    CANNOT_JUDGE = 5
    OUTPUT = 6
    INCONCLUSIVE = 7


_ORDER = (
    ExitCode.INTERNAL,
    ExitCode.USAGE,
    ExitCode.OUTPUT,
    ExitCode.INPUT,
    ExitCode.GATE_FAILED,
    ExitCode.CANNOT_JUDGE,
    ExitCode.INCONCLUSIVE,
    ExitCode.OK,
)


def precedence(code: ExitCode, *, valid: bool = True) -> float:
    """Return a number by which codes are ordered where several apply: the lowest counts.

    Args:
        code: The code.
        valid: False where the run itself is invalid, so that its 5 goes before 4 and 3.
    """
    if code is ExitCode.CANNOT_JUDGE and not valid:
        return _ORDER.index(ExitCode.OUTPUT) + 0.5
    return _ORDER.index(code)


class EvalkitError(Exception):
    """A failure that a person can act on.

    Args:
        message: What went wrong and where: *subject: expected X, got Y*.
        hint: What to do about it.
    """

    slug = "internal"
    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        stop = "" if self.message.endswith("?") else "."
        return f"{self.message}{stop} {self.hint}" if self.hint else self.message


class SpecificationError(EvalkitError):
    """The specification or a flag asks for something that does not exist or cannot be meant."""

    slug = "specification"
    exit_code = ExitCode.USAGE


class ModelError(EvalkitError):
    """The model that the specification names cannot be built, or does not return what was declared."""

    slug = "model"
    exit_code = ExitCode.USAGE


class CheckpointError(EvalkitError):
    """The checkpoint was refused: damaged, foreign, hostile, or made for another model."""

    slug = "checkpoint"
    exit_code = ExitCode.INPUT


class DataError(EvalkitError):
    """Samples or labels were refused."""

    slug = "data"
    exit_code = ExitCode.INPUT


class DocumentError(EvalkitError):
    """A document of a run (candidate or baseline) is missing, damaged, or newer than this evalkit."""

    slug = "document"
    exit_code = ExitCode.INPUT


class ChangedError(EvalkitError):
    """Parts of a run do not belong together: something changed since it was begun, or between shards."""

    slug = "changed"
    exit_code = ExitCode.INPUT


class UnfinishedError(EvalkitError):
    """A later run was begun in a folder and not finished: the documents there say nothing of it."""

    slug = "unfinished"
    exit_code = ExitCode.CANNOT_JUDGE


class SameModelError(EvalkitError):
    """The baseline is the candidate: comparing them would prove nothing."""

    slug = "same-model"
    exit_code = ExitCode.INPUT


class IncomparableError(EvalkitError):
    """Two runs do not answer the same question."""

    slug = "incomparable"
    exit_code = ExitCode.CANNOT_JUDGE


class InvalidRunError(EvalkitError):
    """The run cannot give a number: the forward pass, a worker or an integrity check failed.

    Args:
        message: What went wrong and where.
        check: The integrity check that it breaks.
        hint: What to do about it.
    """

    slug = "invalid-run"
    exit_code = ExitCode.CANNOT_JUDGE

    def __init__(self, message: str, *, check: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.check = check


class OutputError(EvalkitError):
    """A document could not be written, or would have replaced something that is not evalkit's."""

    slug = "output"
    exit_code = ExitCode.OUTPUT


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest allowed name, or an empty string."""
    matches = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def listed(items: Iterable[object], *, limit: int = 10) -> str:
    """Join the first ``limit`` items with commas and count the rest."""
    shown = list(items)
    rest = len(shown) - limit
    text = ", ".join(str(item) for item in shown[:limit])
    return f"{text} and {rest} more" if rest > 0 else text


def reason_of(error: BaseException) -> str:
    """Return an exception of somebody else's code as ``ValueError: first line``."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def os_reason(error: Exception) -> str:
    """Return why the operating system, or a parser, refused: its own words without path and number."""
    return getattr(error, "strerror", None) or str(error)

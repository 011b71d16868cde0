"""JSON as evalkit writes and reads it: no NaN, a schema name in front, stable bytes."""

import json
import math
from pathlib import Path
from typing import Any

from evalkit.errors import DocumentError, os_reason

MAX_BYTES = 1 << 30


def format_json(document: dict[str, Any], *, line_lists: frozenset[str] = frozenset()) -> bytes:
    """Write a document with one line a key, and one line an item for the named lists.

    Raises:
        ValueError: A number is NaN or infinite: evalkit writes null and a reason instead.
    """
    lines = []
    for key, value in document.items():
        if key in line_lists and value:
            items = ",\n".join(f"  {_compact(item)}" for item in value)
            lines.append(f"{_compact(key)}: [\n{items}\n]")
        else:
            lines.append(f"{_compact(key)}: {_compact(value)}")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")


def read_json(path: Path, *, schema: str) -> dict[str, Any]:
    """Read a document of a known schema.

    Args:
        path: The file.
        schema: Such as ``evalkit.result/1``; another major version is refused.

    Raises:
        DocumentError: Missing, not JSON, NaN inside, of another kind, or newer than this evalkit.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DocumentError(f"{path}: larger than {MAX_BYTES} bytes")
        document = json.loads(path.read_bytes(), parse_constant=_refuse_constant, parse_float=_finite)
    except OSError as error:
        raise DocumentError(f"{path}: cannot be read: {os_reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{path}: not a JSON document: {error}") from error
    _check_schema(document, path, schema)
    return dict(document)


def _check_schema(document: Any, path: Path, schema: str) -> None:
    kind, _, major = schema.partition("/")
    found = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(found, str) or not found.startswith(f"{kind}/"):
        raise DocumentError(f"{path}: expected schema {schema}, got {found!r}")
    if found == schema:
        return
    number = found.partition("/")[2]
    if number.isdecimal() and int(number) > int(major):
        raise DocumentError(
            f"{path}: written by a newer evalkit ({found})", hint="Upgrade evalkit to read it"
        )
    raise DocumentError(f"{path}: expected schema {schema}, got {found!r}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that JSON has")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large for a number")
    return number


def _compact(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(", ", ": "))

"""How numbers and names are written for people: no rounding that lies, no character that hides.

>>> show(0.99999), show(1.0), show(None)
('0.99999', '1.0000', 'n/a')
"""

import unicodedata
from collections.abc import Iterable

MAX_NAME = 120
MAX_TEXT = 2_000
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_MAX_DIGITS = 17  # a float has no more


def show(value: float | None, digits: int = 4) -> str:
    """Write a value with fixed digits; more of them where it would read as exactly 0 or 1 but is not."""
    if value is None:
        return "n/a"
    if isinstance(value, int):
        return str(int(value))
    if float(value).is_integer():
        return f"{value:.0f}" if abs(value) > 1 else f"{value:.{digits}f}"
    text = f"{value:.{digits}f}"
    while float(text).is_integer() and digits < _MAX_DIGITS:
        digits += 1
        text = f"{value:.{digits}f}"
    return text


def tell_apart(value: float | None, limit: float) -> tuple[str, str]:
    """Write a value and its limit with as many digits as it takes to see that they differ."""
    shown = show(value)
    for digits in range(4, _MAX_DIGITS + 1):
        shown = show(value, digits)
        if value is None or value == limit or float(shown) != limit:
            break
    return shown, repr(limit)


def percent(value: float, digits: int = 1) -> str:
    """Write a share in percent with fixed digits; 100.0 and 0.0 only where exact."""
    text = f"{value * 100:.{digits}f}"
    while float(text) in (0.0, 100.0) and value not in (0, 1) and digits < _MAX_DIGITS:
        digits += 1
        text = f"{value * 100:.{digits}f}"
    return f"{text} %"


def spreadsheet_text(text: str) -> str:
    """Return a cell's text with an apostrophe in front where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def visible(text: str, *, limit: int = MAX_NAME) -> str:
    """Return a name in which nothing hides: control and invisible characters as escapes, cut if long."""
    shown = "".join(char if _is_plain(char) else _escape(char) for char in text[:limit])
    return f"{shown}…" if len(text) > limit else shown or "(empty)"


def quoted(text: str) -> str:
    """Return a visible name in quotation marks."""
    return f"'{visible(text)}'"


def numbered(texts: Iterable[str]) -> list[str]:
    """Return texts of which no two are equal: those that came before get a number, ``x (2)``."""
    found: list[str] = []
    seen: set[str] = set()
    for text in texts:
        name, count = text, 1
        while name in seen:
            count += 1
            name = f"{text} ({count})"
        seen.add(name)
        found.append(name)
    return found


def _is_plain(char: str) -> bool:
    return char == " " or unicodedata.category(char)[0] not in "CZ"


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004


def portable_text(name: str) -> str:
    """Return a file's name as text that every document can hold: bytes that are no UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()

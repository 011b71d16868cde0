"""Numbers and names for people: rounding that does not lie, characters that cannot hide."""

import pytest

from evalkit.display import percent, quoted, show, spreadsheet_text, tell_apart, visible


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0000"),
        (0.0, "0.0000"),
        (0.99999, "0.99999"),
        (0.999999999, "0.999999999"),
        (0.00001, "0.00001"),
        (0.5, "0.5000"),
        (-0.25, "-0.2500"),
        (449, "449"),
        (None, "n/a"),
        (1 - 2**-53, "0.9999999999999999"),
    ],
)
def test_show(value, text):
    """1 and 0 stand only for exactly 1 and 0."""
    assert show(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "100.0 %"), (0.9996, "99.96 %"), (0.0, "0.0 %"), (0.123, "12.3 %")]
)
def test_percent(value, text):
    """The same rule in percent."""
    assert percent(value) == text


def test_tell_apart():
    """As many digits as it takes to see which is larger; the limit as it was written."""
    assert tell_apart(0.9499999, 0.95) == ("0.9499999", "0.95")
    assert tell_apart(0.95, 0.95) == ("0.9500", "0.95")
    assert tell_apart(0.9512, 0.95) == ("0.9512", "0.95")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tabby cat", "tabby cat"),
        ("Katze ä 猫 🐈", "Katze ä 猫 🐈"),
        ("a\nb", "a\\x0ab"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("z\u200bw", "z\\u200bw"),
        ("\udcff", "\\udcff"),
        ("\u2028", "\\u2028"),
        ("\U000e0041", "\\U000e0041"),
        ("", "(empty)"),
    ],
)
def test_visible(text, shown):
    """Control, bidi, zero-width and surrogate characters become escapes."""
    assert visible(text) == shown
    assert quoted(text) == f"'{shown}'"


def test_long_names_are_cut():
    """At 120 characters, with a mark."""
    assert visible("x" * 10_000) == "x" * 120 + "…"


@pytest.mark.parametrize(
    ("text", "cell"),
    [("=cmd()", "'=cmd()"), ("-1+1", "'-1+1"), ("@x", "'@x"), ("+1", "'+1"), ("5", "5"), ("a=b", "a=b")],
)
def test_a_spreadsheet_runs_no_name(text, cell):
    """What looks like a formula is text."""
    assert spreadsheet_text(text) == cell

"""The page: pure, self-contained, well-formed, and no name becomes markup."""

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from documents import HOSTILE, MATRIX, NAMES, result_of
from test_gates import verdict_of

from evalkit.display import show
from evalkit.render.html import render_html
from evalkit.render.numbers import digits_of
from evalkit.render.text import render_text
from evalkit.render.view import report_view

VOID = {"meta", "link", "br", "hr", "img", "input", "path", "circle", "rect", "line", "polyline"}


class Page(HTMLParser):
    """Collects elements, attributes, ids and texts; fails on unbalanced tags."""

    def __init__(self, page: bytes):
        super().__init__()
        self.elements: Counter = Counter()
        self.attributes: Counter = Counter()
        self.ids: list = []
        self.links: list = []
        self.texts: list = []
        self.open: list = []
        self.feed(page.decode())
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements[tag] += 1
        for name, value in attrs:
            self.attributes[(tag, name)] += 1
            if name == "id":
                self.ids.append(value)
            if name in {"href", "src"}:
                self.links.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def page_of(result, *gates):
    return render_html(result, verdict_of(result, *gates) if gates else None)


def reports():
    big = np.eye(60, dtype=int) * 3
    big[3, 4] = 2
    return {
        "passed": page_of(result_of(), {"metric": "accuracy", "min": 0.5}),
        "failed": page_of(result_of(), {"metric": "accuracy", "min": 0.99}),
        "no gates": page_of(result_of()),
        "invalid": page_of(result_of(valid=False), {"metric": "accuracy", "min": 0.5}),
        "partial": page_of(result_of(limit=900), {"metric": "accuracy", "min": 0.5}),
        "undefined": page_of(result_of(((5, 0, 0), (7, 0, 0), (0, 0, 0)))),
        "many classes": page_of(result_of(big, tuple(f"c{i}" for i in range(60)))),
        "binary": page_of(result_of(((5, 1), (2, 9)), ("no", "yes"), positive="yes", threshold=0.5)),
    }


@pytest.mark.parametrize("name", reports())
def test_well_formed_and_self_contained(name):
    """Balanced, unique ids, every link lands, nothing is fetched, no inline style or handler."""
    page = reports()[name]
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert all(link.startswith("#") and link[1:] in parsed.ids for link in parsed.links)
    assert b"http" not in page.replace(b"http-equiv", b"")
    assert b"//" not in re.sub(rb"<script>.*?</script>", b"", page, flags=re.DOTALL).replace(b"://", b"")
    assert not [name for _, name in parsed.attributes if name == "style" or name.startswith("on")]
    assert page.count(b"<script>") == 1
    assert parsed.elements["h1"] == 1
    assert parsed.elements["caption"] == parsed.elements["table"]


def test_security_policy_covers_the_style():
    """The policy allows this style sheet by its hash, and nothing else."""
    page = page_of(result_of()).decode()
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = re.search(r'content="(default-src[^"]*)"', page)[1].replace("&#39;", "'").replace("&#43;", "+")
    assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_hostile_names_change_no_element_and_no_attribute():
    """A page with hostile names has the elements of the same page with plain ones."""
    n = len(HOSTILE)
    matrix = np.eye(n, dtype=int) * 5 + np.eye(n, k=1, dtype=int)
    plain = tuple(f"class {i}" for i in range(n))
    gates = ({"metric": "recall", "class": None, "min": 0.99},)

    def page(names):
        rules = [{**gates[0], "class": names[i]} for i in range(n)]
        return Page(page_of(result_of(matrix, names, name=names[0]), *rules))

    hostile, harmless = page(HOSTILE), page(plain)
    assert hostile.elements == harmless.elements
    assert hostile.attributes == harmless.attributes
    assert hostile.ids == harmless.ids
    text = "".join(hostile.texts)
    assert "<script>alert(1)</script>" in text
    assert "{{7*7}}" in text
    assert not set(text) & set("\x00\x1b\u202e")


def test_numbers_on_the_page_are_the_documents():
    """Every per-class count and value of the document stands in its row of the page."""
    result = result_of()
    view = report_view(result, None)
    by_name = {row.name: [text for text, _ in row.cells] for row in view.classes}
    for row in result.metrics:
        if row.class_name:
            digits = digits_of(row.low, row.high)
            expected = show(row.value, digits) if isinstance(row.value, float) else str(row.value)
            assert expected in by_name[row.class_name]
    cells = [[int(cell.count) for cell in line.cells] for line in view.matrix.rows]
    assert cells == [list(line) for line in MATRIX]
    parsed = Page(page_of(result))
    for name in NAMES:
        assert name in parsed.texts


def test_states_are_words_not_only_colours():
    """The heading says what ships, what does not, and what nobody knows."""
    headings = {name: re.search(r"<h1>(.*?)</h1>", page.decode())[1] for name, page in reports().items()}
    assert headings["passed"] == "toy on test.npz: the gate passed"
    assert headings["failed"] == "toy on test.npz: 1 of 1 gates failed"
    assert headings["no gates"] == "toy on test.npz: 88.0 % right (80.2 % to 93.0 %), no gates set"
    assert "INVALID" in headings["invalid"]
    assert headings["partial"] == "toy on test.npz: 1 of 1 gates cannot be judged"


def test_an_invalid_run_shows_no_number():
    """Integrity only."""
    parsed = Page(page_of(result_of(valid=False)))
    assert not {"metrics", "confusion", "classes"} & set(parsed.ids)
    assert "integrity" in parsed.ids


def test_undefined_cells_say_why():
    """n/a with the reason, never 0."""
    text = "".join(Page(reports()["undefined"]).texts)
    assert "n/a" in text
    assert "never predicted" in text
    assert "neither occurs nor predicted" in text


def test_many_classes_show_confusions_instead_of_a_matrix():
    """Up to 60 a grid whose numbers show on focus, above a picture; the confusions are always there."""
    parsed = Page(reports()["many classes"])
    assert "matrix-table" in parsed.ids
    assert "confusions" in parsed.ids
    assert parsed.elements["tr"] < 240


def test_rendering_is_pure():
    """The same documents give the same bytes."""
    assert reports() == reports()


def test_text_shows_the_same_numbers_and_no_control_characters():
    """The console's table comes from the same view."""
    names = (*HOSTILE[:10], *HOSTILE[16:])
    result = result_of(np.eye(len(names), dtype=int) * 5, names)
    text = render_text(report_view(result, verdict_of(result, {"metric": "accuracy", "min": 0.5})))
    assert not {char for char in text if ord(char) < 32} - {"\n"}
    assert "1.0000" in text
    assert "all" not in text.splitlines()[0] or "gate" in text.splitlines()[0]
    assert all(line.startswith("  ") or not line for line in text.splitlines()[2:])


def test_a_thousand_classes():
    """Size and work stay in bounds: no K x K in the page."""
    k = 1000
    matrix = np.eye(k, dtype=int) * 9
    page = page_of(result_of(matrix, tuple(f"c{i}" for i in range(k))))
    assert len(page) < 1_000_000

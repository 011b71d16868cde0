"""The forms of a report: Markdown, PDF, templates of one's own, a comparison's page, an index of runs, sizes."""

import re
import shutil
from datetime import datetime, timedelta

import pytest
from documents import HOSTILE, result_of
from pages import binary, hostile, large, pages
from test_compare import saved, two_models
from test_gates import verdict_of
from test_render import Page

from evalkit.render import pdf
from evalkit.render.html import render_html, templates_dir
from evalkit.render.index import Run, index_view
from evalkit.render.markdown import render_markdown
from evalkit.render.text import render_text
from evalkit.render.view import report_view

GATES = ({"metric": "accuracy", "min": 0.95}, {"metric": "recall", "class": "dog", "min": 0.5})


def test_markdown_has_the_numbers_of_the_page():
    """To the digit: every headline value, interval and class cell stands in both."""
    result = result_of()
    verdict = verdict_of(result, *GATES)
    view = report_view(result, verdict)
    text = re.sub(r"\\(.)", r"\1", render_markdown(view))
    page = "".join(Page(render_html(result, verdict)).texts)
    for metric in view.metrics:
        if metric.headline:
            assert f"| {metric.label} | {metric.value} | {metric.interval} |" in text
            assert metric.value in page
    for row in view.classes:
        assert f"| {row.name} | " + " | ".join(cell for cell, _ in row.cells) + " |" in text
    for gate in view.gates:
        assert gate.sentence in text
    assert view.heading in render_text(view)


def test_hostile_names_stay_text_in_markdown():
    """No element, no link, no row or column more than with plain names."""
    plain = hostile().model_copy(update={"class_names": tuple(f"c{i}" for i in range(len(HOSTILE)))})
    text = render_markdown(report_view(hostile(), None))
    assert not re.search(r"(?<!\\)<(?!/?(details|summary)>)", text)
    assert not set(text) & set("\x00\x1b\u202e")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows if "Class" not in line}) <= 2
    assert text.count("\n") == render_markdown(report_view(_renamed(plain), None)).count("\n")


def _renamed(result):
    rows = tuple(result_of(result.counts, result.class_names).metrics)
    return result.model_copy(update={"metrics": rows})


def test_hostile_names_change_no_element_anywhere():
    """Every page, with scripts and data in it."""
    n = len(HOSTILE)
    matrix = [[5 if i == j else int(j == i + 1) for j in range(n)] for i in range(n)]
    found = Page(render_html(result_of(matrix, HOSTILE, name=HOSTILE[0]), None))
    plain = Page(render_html(result_of(matrix, [f"c{i}" for i in range(n)], name="plain"), None))
    assert found.elements == plain.elements
    assert found.attributes == plain.attributes
    assert found.ids == plain.ids
    page = render_html(binary().model_copy(update={"name": "</script><script>alert(1)"}), None).decode()
    assert page.count("<script") == 2  # the data and ours


def test_report_writes_markdown_and_page(tmp_path, evalkit):
    """Beside the page, and the page as it was."""
    y, old, _ = two_models(100)
    run = saved(tmp_path / "run", y, old)
    code, _, err = evalkit("report", run, "--markdown", tmp_path / "report.md")
    assert code == 0, err
    assert (tmp_path / "report.md").read_text().startswith("## model")


def test_without_a_browser_a_pdf_is_an_output_error(tmp_path, evalkit, monkeypatch):
    """Exit 6, and what to do."""
    monkeypatch.setattr(pdf, "find_browser", lambda: None)
    y, old, _ = two_models(100)
    run = saved(tmp_path / "run", y, old)
    code, _, err = evalkit("report", run, "--pdf", tmp_path / "report.pdf")
    assert code == 6
    assert "Install one" in err
    monkeypatch.setattr(pdf, "find_browser", lambda: "/bin/false")
    assert evalkit("report", run, "--pdf", tmp_path / "report.pdf")[0] == 6
    assert not (tmp_path / "report.pdf").exists()


def test_single_blocks_are_overridden(tmp_path, evalkit):
    """A template that extends ours; a mistake in it is a specification error with its line."""
    y, old, _ = two_models(100)
    run = saved(tmp_path / "run", y, old)
    own = tmp_path / "own"
    own.mkdir()
    (own / "report.html.j2").write_text(
        '{% extends "evalkit/report.html.j2" %}\n{% block reading %}<p id="ours">{{ view.title }}</p>{% endblock %}\n'
    )
    assert evalkit("report", run, "--templates", own, "-o", tmp_path / "page.html")[0] == 0
    page = (tmp_path / "page.html").read_text()
    assert '<p id="ours">model</p>' in page
    assert 'id="reading"' not in page
    assert 'id="metrics"' in page
    for wrong in (
        "{% block reading %}",
        '{% extends "evalkit/report.html.j2" %}{% block words %}{{ nothing }}{% endblock %}',
    ):
        (own / "report.html.j2").write_text(wrong)
        from evalkit.render.html import _environment

        _environment.cache_clear()
        code, _, err = evalkit("report", run, "--templates", own, "-o", tmp_path / "page.html")
        assert code == 2
        assert "own: " in err
    assert evalkit("report", run, "--templates", tmp_path / "nowhere")[0] == 2


def test_templates_do_no_arithmetic():
    """They place finished strings."""
    for path in templates_dir().rglob("*.j2"):
        for expression in re.findall(r"{{(.*?)}}", path.read_text()):
            inside = re.sub(r"\"[^\"]*\"|'[^']*'", "", expression)
            assert not re.search(r"[\w)\]] [-*/%+] [\w(]", inside), (path.name, expression)


def test_comparisons_are_pages(tmp_path, evalkit):
    """compare -o writes the candidate's page with the comparison into a folder of its own."""
    y, old, new = two_models(300, accuracy=(0.8, 0.9))
    a, b = saved(tmp_path / "old", y, old), saved(tmp_path / "new", y, new)
    for _ in range(2):
        code, _, err = evalkit("compare", a, b, "-o", tmp_path / "both")
        assert code == 0, err
    assert {path.name for path in (tmp_path / "both").iterdir()} == {"report.html", "verdict.json"}
    page = (tmp_path / "both/report.html").read_text()
    assert 'id="comparison"' in page
    assert "the new one corrects" in page
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("")
    for target in (tmp_path / "mine", b, tmp_path / "mine/thesis.txt"):
        assert evalkit("compare", a, b, "-o", target)[0] == 6


@pytest.fixture
def runs():
    """Three ages of one model, another question, an invalid run and one that cannot be read."""
    start = datetime.fromisoformat("2026-01-02T03:04:05+00:00")

    def run(folder, days, *gates, **options):
        result = result_of(**options)
        when = (start + timedelta(days=days)).isoformat()
        result = result.model_copy(update={"provenance": {**result.provenance, "started": when}})
        return Run(folder, result, verdict_of(result, *gates) if gates else None)

    better = ((43, 2, 0), (1, 34, 0), (1, 0, 19))
    return [
        run("jan", 0, {"metric": "accuracy", "min": 0.5}),
        run("feb", 30, {"metric": "accuracy", "min": 0.99}),
        run("mar", 41, {"metric": "accuracy", "min": 0.5}, matrix=better),
        run("other", 41, data="d2"),
        run("broken", 10, valid=False),
        Run("gone", None, problem="result.json: not a JSON document"),
    ]


def test_the_index_is_sorted_by_trouble(runs):
    """Invalid and unreadable first; ages against the newest; ranks where the question is the same."""
    view = index_view(runs)
    by_folder = {line.folder: line for line in view.lines}
    assert view.heading == "6 runs: 3 in trouble"
    assert [line.state for line in view.lines] == ["invalid", "invalid", "failed", "none", "passed", "passed"]
    assert by_folder["jan"].age == "41 days older"
    assert by_folder["feb"].age == "11 days older"
    assert by_folder["mar"].age == "newest"
    assert [by_folder[name].rank for name in ("mar", "jan", "feb", "other")] == [
        "1 of 3",
        "2 of 3",
        "2 of 3",
        "",
    ]
    assert "not a JSON document" in by_folder["result.json: not a JSON document"].folder
    (chart,) = view.charts
    assert len(chart.dots) == 3
    assert index_view(list(reversed(runs))) == view


def test_the_index_command(tmp_path, evalkit):
    """Every run below a folder, damaged ones, too; nothing to index is an error."""
    y, old, new = two_models(200)
    saved(tmp_path / "runs/a", y, old)
    b = saved(tmp_path / "runs/deep/b", y, new)
    (b / "result.json").write_text("{")
    code, out, err = evalkit("index", tmp_path / "runs")
    assert code == 0, err
    assert out.startswith("2 runs: 1 in trouble")
    parsed = Page((tmp_path / "runs/index.html").read_bytes())
    assert parsed.elements["h1"] == 1
    assert evalkit("index", tmp_path / "runs", "-o", tmp_path / "page.html", "--quiet")[1] == ""
    (tmp_path / "empty").mkdir()
    assert evalkit("index", tmp_path / "empty")[0] == 4
    assert evalkit("index", tmp_path / "nowhere")[0] == 4


LIMITS = {
    "binary": 150_000,
    "large": 1_000_000,
    "dense": 350_000,
    "multilabel": 150_000,
    "undefined": 100_000,
}


@pytest.mark.parametrize("name", LIMITS)
def test_pages_stay_small(name):
    """Without pictures; a thousand classes of 200,000 samples under a megabyte."""
    assert len(pages()[name]) <= LIMITS[name]


def test_the_shell_and_the_script_stay_small():
    """Style and script under 60 KB, the script under 30 KB."""
    sizes = [(templates_dir() / name).stat().st_size for name in ("report.js", "report.css")]
    assert sizes[0] <= 30_000
    assert sum(sizes) <= 60_000


def test_a_page_with_sixty_four_pictures_stays_small(digits_run, tmp_path, evalkit):
    """Ten classes, thumbnails of 96 pixels."""
    import numpy as np
    from conftest import DIGITS

    from evalkit.datasets import NpzSource
    from evalkit.gallery import GalleryRow
    from evalkit.result import read_result
    from evalkit.showing import shown

    with np.load(DIGITS / "data/test.npz") as found:
        source = NpzSource(found["x"], found["y"], None, {})
    rows = [GalleryRow(str(i), ("confident",), (0,), (1,), 0.9, 0.1) for i in range(64)]
    page = render_html(read_result(digits_run), None, shown(source, rows, range(64)))
    assert page.count(b"data:image/webp") == 64
    assert len(page) <= 350_000


def test_pages_do_not_depend_on_place_or_time(tmp_path, process):
    """Other locale, time zone, hash seed and folder: the same bytes."""
    y, old, new = two_models(200)
    saved(tmp_path / "a", y, new)
    pages = []
    for number, env in enumerate(
        ({"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "1"}, {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "2"})
    ):
        run = tmp_path / f"run{number}"
        shutil.copytree(tmp_path / "a", run)
        assert process("report", run, "--quiet", env=env).returncode == 0
        pages.append((run / "report.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_thousand_classes_name_the_largest_cells():
    """The picture's data hold counts that the matrix has."""
    result = large(100, n=20_000)
    matrix = result.confusion.matrix
    view = report_view(result, None).matrix
    assert view.picture.startswith("data:image/png;base64,")
    assert all(matrix[true, said] == n for true, said, n in view.cells)
    assert max(n for *_, n in view.cells) == max(
        matrix[i, j] for i in range(100) for j in range(100) if i != j
    )


def test_an_index_says_which_runs_are_parts():
    """Numbers of a shard, or of the first samples, are no numbers of the data."""
    from evalkit.result import Partial

    whole = result_of()
    parts = [Partial(limit=3, of=9), Partial(limit=3, of=9, shard=(2, 3))]
    runs = [Run("whole", whole, None)]
    runs += [Run(str(k), whole.model_copy(update={"partial": part}), None) for k, part in enumerate(parts)]
    words = {line.folder: line.word for line in index_view(runs).lines}
    assert words["0"] == f"{words['whole']}, partial"
    assert words["1"] == f"{words['whole']}, shard 2 of 3"

"""The page in a real browser: no request, no message, no violation; it works by hand, by keyboard and on paper."""

import contextlib
import http.server
import os
import shutil
import threading

import pytest
from conftest import DIGITS, ROOT
from pages import binary, pages

from evalkit.cli import main
from evalkit.display import show
from evalkit.render.explorer import explorer_view
from evalkit.render.html import render_html
from evalkit.render.pdf import find_browser

BROWSER = find_browser()
playwright = None
with contextlib.suppress(ImportError):
    from playwright import sync_api as playwright

if not (BROWSER and playwright) and os.environ.get("CI") == "true":
    pytest.fail("CI needs Chromium and playwright", pytrace=False)
pytestmark = pytest.mark.skipif(
    not (BROWSER and playwright), reason="pages are tested where Chromium and playwright are installed"
)
JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self'"
WIDTHS = (360, 640, 1280)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every page as a file."""
    out = tmp_path_factory.mktemp("pages")
    for name, content in pages().items():
        (out / f"{name}.html").write_bytes(content)
    runs = tmp_path_factory.mktemp("runs")
    words = ("--quiet", "--samples", "thumbnails")
    assert main(["run", str(DIGITS / "eval.yaml"), "-o", str(runs / "digits"), *words]) == 0
    assert main(["run", str(DIGITS / "eval-regressed.yaml"), "-o", str(runs / "regressed"), *words]) == 3
    gates = runs / "gates.yaml"
    gates.write_text("gates: [{metric: recall, class: '*', max_drop: 0.05}, {metric: accuracy, min: 0.9}]\n")
    assert (
        main(["gate", str(runs / "regressed"), "--gates", str(gates), "--baseline", str(runs / "digits")])
        == 3
    )
    cancer = ROOT / "samples/breast_cancer/eval.yaml"
    assert main(["run", str(cancer), "-o", str(runs / "cancer"), *words]) == 0
    assert main(["index", str(runs), "-o", str(out / "index.html"), "--quiet"]) == 0
    for name in ("digits", "regressed", "cancer"):
        shutil.copy(runs / name / "report.html", out / f"{name}.html")
    return out


NAMES = (
    "digits",
    "regressed",
    "cancer",
    "large",
    "dense",
    "multilabel",
    "binary",
    "undefined",
    "invalid",
    "hostile",
    "index",
)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        found = started.chromium.launch(executable_path=BROWSER, args=options)
        yield found
        found.close()


@contextlib.contextmanager
def opened(browser, address, **options):
    """A page with everything that it asked for and said."""
    options.setdefault("viewport", {"width": 1280, "height": 900})
    context = browser.new_context(**options)
    context.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.log('violation ' + e.violatedDirective))"
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.asked, page.said = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.goto(address)
    yield page
    context.close()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_asked_for_and_nothing_goes_wrong(name, folder, browser):
    """From a file, at every width, in light and dark: no request, no message, no sideways scrolling."""
    address = (folder / f"{name}.html").as_uri()
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            size = {"width": width, "height": 900}
            with opened(browser, address, viewport=size, color_scheme=scheme) as page:
                assert page.said == []
                assert [url for url in page.asked if not url.startswith("data:")] == [address]
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.locator("h1").is_visible()
                assert page.evaluate("window.alert.toString()").count("native") == 1


# The page of a thousand classes has the other pages' colours, and takes as long as all of them.
@pytest.mark.parametrize(
    ("name", "scheme"),
    [(name, scheme) for name in NAMES for scheme in ("light", "dark") if (name, scheme) != ("large", "dark")],
)
def test_axe_finds_nothing(name, scheme, folder, browser):
    """No violation of the accessibility rules that a machine can check; every picture has a name."""
    from axe_playwright_python.sync_playwright import Axe

    with opened(browser, (folder / f"{name}.html").as_uri(), color_scheme=scheme, bypass_csp=True) as page:
        page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        names = page.evaluate(
            "[...document.querySelectorAll('svg[role=img]')].map(s => s.getAttribute('aria-label') || "
            "document.getElementById(s.getAttribute('aria-labelledby').split(' ')[0]).textContent)"
        )
        assert all(names)


@pytest.fixture(scope="module")
def jenkins(folder):
    """The pages behind the content policy that Jenkins sets."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **options):
            super().__init__(*args, directory=str(folder), **options)

        def end_headers(self):
            self.send_header("Content-Security-Policy", JENKINS)
            super().end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("name", ["regressed", "cancer", "large"])
def test_jenkins_shows_the_page(name, jenkins, browser):
    """Without our style and script: verdict, tables, and curves in their own colours."""
    with opened(browser, f"{jenkins}/{name}.html") as page:
        assert page.locator("h1").is_visible()
        assert page.locator("table").first.is_visible()
        curves = page.locator("#curve-roc svg polyline")
        if curves.count():
            assert curves.first.get_attribute("stroke") == "#0072b2"
            assert curves.first.get_attribute("fill") == "none"
            assert curves.first.bounding_box()["width"] > 10


@pytest.mark.parametrize("name", NAMES)
def test_the_page_works_without_script(name, folder, browser):
    """Everything is in the page; nothing that would need the script shows."""
    with opened(browser, (folder / f"{name}.html").as_uri(), java_script_enabled=False) as page:
        assert page.locator("h1").is_visible()
        assert page.locator(".controls").count() == 0
        for table in page.locator("#class-table, #matrix-table").all():
            assert table.is_visible()
        for explorer in page.locator("#explorer").all():
            assert not explorer.is_visible()


def cells(page, column):
    return page.locator(f"#class-table tbody tr:not([hidden]) > :nth-child({column})").evaluate_all(
        "cells => cells.map(cell => cell.firstChild.textContent.trim())"
    )


def test_classes_sort_and_filter(folder, browser):
    """By a column, both ways, said to screen readers; by name, support and failure."""
    with opened(browser, (folder / "regressed.html").as_uri()) as page:
        head = page.locator("#class-table th", has_text="Recall").first
        recall = [cell.inner_text().strip() for cell in page.locator("#class-table thead th").all()].index(
            "Recall"
        ) + 1
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "descending"
        found = [float(text) for text in cells(page, recall)]
        assert found == sorted(found, reverse=True)
        head.locator("button").press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        assert [float(text) for text in cells(page, recall)] == sorted(found)
        page.fill("#class-filter", "8")
        assert cells(page, 1) == ["8"]
        assert "1 of 10 classes shown" in page.locator("#class-table caption").inner_text()
        page.fill("#class-filter", "")
        page.check("#class-failing")
        assert "8" in cells(page, 1)
        assert len(cells(page, 1)) < 10
        page.uncheck("#class-failing")
        page.fill("#class-support", "45")
        assert all(int(text) >= 45 for text in cells(page, 2))


@pytest.mark.parametrize("which", ["binary", "costly", "multiclass"])
def test_the_explorer_agrees_with_python_everywhere(which, browser, tmp_path):
    """At every threshold of every class that the page holds, to the last digit shown."""
    if which == "multiclass":
        import numpy as np

        import evalkit

        rng = np.random.default_rng(1)
        y = rng.integers(0, 3, 200)
        p = rng.dirichlet(np.ones(3), 200) * 0.5 + 0.5 * np.eye(3)[y]
        result = evalkit.score(y, y_score=p, output="probabilities", class_names=["a", "b", "c"]).document
    else:
        result = binary(**({"metrics": {"cost": [[0, 1], [5, 0]]}} if which == "costly" else {}))
    (tmp_path / "page.html").write_bytes(render_html(result, None))
    view = explorer_view(result)
    shown = ("tp", "fp", "fn", "tn", "precision", "recall", "f1", "fpr", "cost")
    read = f"{list(shown)}.map(key => document.getElementById('explorer-' + key).textContent)"
    with opened(browser, (tmp_path / "page.html").as_uri()) as page:
        for position, one in enumerate(view.data):
            if len(view.data) > 1:
                page.select_option("#explorer-class", str(position))
            for step in range(len(one["t"])):
                page.locator("#explorer-threshold").evaluate(
                    "(slider, step) => { slider.value = step; slider.dispatchEvent(new Event('input')); }",
                    step,
                )
                k = len(one["t"]) - 1 - step
                tp, fp = one["tp"][k], one["fp"][k]
                fn, tn = one["p"] - tp, one["n"] - fp
                ratios = ((tp, tp + fp), (tp, tp + fn), (2 * tp, 2 * tp + fp + fn), (fp, fp + tn))
                expected = [f"{n:,}" for n in (tp, fp, fn, tn)]
                expected += [show(a / b) if b else "n/a" for a, b in ratios]
                expected += [f"{(fp + 5 * fn) / 600:.4f}" if which == "costly" else ""]
                assert page.evaluate(read) == expected, (one["name"], one["t"][k])


def test_the_threshold_in_force_is_marked(folder, browser):
    """The slider starts there."""
    with opened(browser, (folder / "binary.html").as_uri()) as page:
        assert page.inner_text("#explorer-mark") == "in force"
        assert page.inner_text("#explorer-value") == "0.5"
        page.locator("#explorer-threshold").press("ArrowRight")
        assert page.inner_text("#explorer-mark") == ""


def test_matrices_answer_to_pointer_and_keys(folder, browser):
    """A dense table tells the cell under the arrow keys, a picture the one under the pointer."""
    with opened(browser, (folder / "dense.html").as_uri()) as page:
        first = page.locator("#matrix-table td[tabindex]")
        first.focus()
        page.keyboard.press("ArrowRight")
        assert "class 0000 taken for class 0001" in page.locator("#matrix-table caption").inner_text()
        assert page.locator("#matrix-table td[tabindex]").count() == 1
    with opened(browser, (folder / "large.html").as_uri()) as page:
        page.locator(".pixels").scroll_into_view_if_needed()
        box = page.locator(".pixels").bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
        assert "taken for class 0" in page.locator("#matrix-picture figcaption").inner_text()
    with opened(browser, (folder / "digits.html").as_uri()) as page:
        page.get_by_role("button", name="% of the row").click()
        assert page.locator("#matrix-table td.right").first.inner_text() == "100.0 %"


def test_the_keyboard_is_enough(folder, browser):
    """The first stop skips to the report; every control can be reached and shows that it is."""
    with opened(browser, (folder / "regressed.html").as_uri()) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        stops = set()
        for _ in range(200):
            page.keyboard.press("Tab")
            stops.add(page.evaluate("document.activeElement.tagName + (document.activeElement.id || '')"))
        assert {
            "A",
            "SUMMARY",
            "BUTTON",
            "INPUTclass-filter",
            "INPUTexplorer-threshold",
            "SELECTexplorer-class",
        } <= stops


@pytest.mark.parametrize("name", ["regressed", "cancer", "dense", "multilabel", "hostile"])
def test_nothing_is_cut_on_paper(name, folder, browser):
    """At the width of A4 no table is wider than the page, and what was folded is open."""
    with opened(browser, (folder / f"{name}.html").as_uri(), viewport={"width": 688, "height": 980}) as page:
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        wide = page.evaluate(
            "[...document.querySelectorAll('table')].filter(t => t.getBoundingClientRect().right > innerWidth + 1)"
            ".map(t => t.caption.textContent)"
        )
        assert wide == []
        assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
        assert not page.locator(".contents").first.is_visible()


def test_a_pdf(folder, tmp_path):
    """report --pdf prints the page by the browser that is there."""
    out = tmp_path / "run"
    assert main(["run", str(DIGITS / "eval.yaml"), "-o", str(out), "--quiet"]) == 0
    assert main(["report", str(out), "--pdf", str(tmp_path / "report.pdf"), "--quiet"]) == 0
    content = (tmp_path / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert (
        content.count(b"/Type /Page\n") + content.count(b"/Type /Page/") + content.count(b"/Type/Page/") >= 0
    )
    assert len(content) > 30_000


def test_a_thousand_classes_are_quick(folder, browser):
    """Drawn and sorted without a pause; the figures are in make bench."""
    with opened(browser, (folder / "large.html").as_uri()) as page:
        page.locator("#class-table thead button").nth(1).click()
        supports = [int(text.replace(",", "")) for text in cells(page, 2)]
        assert supports == sorted(supports, reverse=True)
        assert len(supports) == 1000

"""How long a page takes: rendering in Python; first paint and sorting in headless Chromium."""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' own pages

from evalkit.render.html import render_html
from evalkit.render.pdf import find_browser

ROUNDS = 7
_PAINT = "performance.getEntriesByType('paint').find(one => one.name === 'first-contentful-paint').startTime"
_SORT = """() => {
  const button = document.querySelectorAll('#class-table thead button')[6];
  const start = performance.now();
  button.click();
  document.body.getBoundingClientRect();
  return performance.now() - start;
}"""


def run() -> None:
    """Print medians; without a browser only what Python does."""
    from pages import large

    result = large(1000, n=10**6)
    render_html(result, None)
    times, page = [], b""
    for _ in range(ROUNDS):
        start = time.perf_counter()
        page = render_html(result, None)
        times.append(time.perf_counter() - start)
    print(
        f"render K = 1000, n = 10^6 ({len(page):,} bytes): {statistics.median(times):.2f} s   must: <= 1 s, 1 MB"
    )
    browser = find_browser()
    if browser is None:
        print("no browser: first paint and sorting were not measured")
        return
    _in_browser(browser, page)


def _in_browser(browser: str, page: bytes) -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        path = Path(folder) / "page.html"
        path.write_bytes(page)
        found = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        paints, sorts = [], []
        for _ in range(ROUNDS):
            tab = found.new_page()
            tab.goto(path.as_uri())
            tab.wait_for_function("performance.getEntriesByType('paint').length > 1")
            paints.append(tab.evaluate(_PAINT))
            tab.wait_for_timeout(500)  # a reader needs longer to find the button
            sorts.append(tab.evaluate(_SORT))
            tab.close()
        found.close()
    print(f"first contentful paint: {statistics.median(paints):.0f} ms   must: <= 500 ms")
    print(f"sorting 1,000 rows: {statistics.median(sorts):.0f} ms   must: <= 200 ms")

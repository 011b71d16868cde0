"""The page on paper: printed by a browser that is installed."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from evalkit.errors import OutputError, os_reason
from evalkit.rundir import publish_file

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "msedge",
)
_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
_SECONDS = 120


def find_browser() -> str | None:
    """Return an installed Chrome, Chromium or Edge."""
    found = (shutil.which(name) for name in BROWSERS)
    return next(
        (path for path in found if path), next((path for path in _PLACES if Path(path).exists()), None)
    )


def print_pdf(page: bytes, target: Path) -> None:
    """Print a page to a PDF file.

    Raises:
        OutputError: No browser is installed, or it prints nothing.
    """
    browser = find_browser()
    if browser is None:
        raise OutputError(
            f"{target}: cannot be printed: no Chrome, Chromium or Edge is installed",
            hint="Install one, or print report.html from any browser",
        )
    with tempfile.TemporaryDirectory(prefix="evalkit-") as folder:
        source, printed = Path(folder) / "report.html", Path(folder) / "report.pdf"
        source.write_bytes(page)
        words = [
            browser,
            "--headless",
            "--disable-gpu",
            "--no-first-run",
            f"--user-data-dir={folder}/profile",
            "--no-pdf-header-footer",
            f"--print-to-pdf={printed}",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            words.append("--no-sandbox")  # root may not have one
        try:
            done = subprocess.run(  # noqa: S603 - a browser by its path, and files of ours
                [*words, source.as_uri()], capture_output=True, timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise OutputError(f"{target}: {browser} does not print: {os_reason(error)}") from error
        if done.returncode != 0 or not printed.exists():
            raise OutputError(f"{target}: {browser} does not print (exit code {done.returncode})")
        publish_file(target, printed.read_bytes())

"""The page: one self-contained file from the view, through Jinja with autoescape on."""

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evalkit.errors import OutputError
from evalkit.render.view import ReportView, report_view
from evalkit.result import EvalResult
from evalkit.verdict import Verdict


def templates_dir() -> Path:
    """Return the folder of templates: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "report.html.j2").is_file():
            return folder
    raise OutputError(
        f"{package}: the templates are missing from this installation", hint="Install evalkit again"
    )


def render_html(result: EvalResult, verdict: Verdict | None) -> bytes:
    """Render the report of a run; the same documents give the same bytes."""
    view = report_view(result, verdict)
    return _render(view).encode("utf-8", "backslashreplace")


def _render(view: ReportView) -> str:
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .get_template("report.html.j2")
        .render(view=view, style=style, style_hash=f"sha256-{digest}")
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(templates_dir()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _style() -> Markup:
    """Return our own style sheet, the only text that is not escaped."""
    return Markup((templates_dir() / "report.css").read_text(encoding="utf-8"))  # noqa: S704 - a file of ours

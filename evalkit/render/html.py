"""The page: one self-contained file from the view, through Jinja with autoescape on."""

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
)
from markupsafe import Markup

from evalkit.errors import OutputError, SpecificationError
from evalkit.gallery import GalleryRow
from evalkit.render.redact import Documents, allowed
from evalkit.render.view import report_view
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


def render_html(
    result: EvalResult,
    verdict: Verdict | None,
    gallery: Sequence[GalleryRow] = (),
    *,
    templates: Path | None = None,
) -> bytes:
    """Render the report of a run; the same documents give the same bytes.

    Args:
        result, verdict, gallery: The documents.
        templates: A folder whose templates go before evalkit's own.

    Raises:
        SpecificationError: A template of the user's own is wrong.
    """
    found = allowed(Documents(result, verdict, tuple(gallery)))
    view = report_view(found.result, found.verdict, found.gallery)
    return render_page("report.html.j2", templates=templates, view=view)


def render_page(name: str, *, templates: Path | None = None, **values: Any) -> bytes:
    """Fill a template with a view, our own style and script, and the policy that allows just these."""
    environment = _environment(templates)
    try:
        style, script = (_own(environment, f"report.{kind}") for kind in ("css", "js"))
        page = environment.get_template(name).render(
            style=style, script=script, style_hash=_digest(style), script_hash=_digest(script), **values
        )
    except Exception as error:
        if templates is None:
            raise
        line = getattr(error, "lineno", None)
        where = f"{getattr(error, 'name', None) or name}{f':{line}' if line else ''}"
        raise SpecificationError(f"{templates}: {where}: {error}") from error
    return page.encode("utf-8", "backslashreplace")


@cache
def _environment(templates: Path | None) -> Environment:
    own = FileSystemLoader(templates_dir())
    loaders: list[BaseLoader] = [own, PrefixLoader({"evalkit": own})]
    if templates is not None:
        if not templates.is_dir():
            raise SpecificationError(f"--templates {templates}: no such folder")
        loaders.insert(0, FileSystemLoader(templates))
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data"] = _data
    return environment


def _data(value: Any) -> Markup:
    """Write data for a script: JSON in which nothing can end the element or start another."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 - escaped just now


def _own(environment: Environment, name: str) -> Markup:
    """Return a style sheet or script of ours, the only text that is not escaped."""
    assert environment.loader is not None
    source, _, _ = environment.loader.get_source(environment, name)
    return Markup(source)  # noqa: S704 - a file of ours, or of the user's own templates


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"

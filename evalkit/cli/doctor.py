"""``evalkit doctor``: what is installed, and whether it computes what it should."""

import importlib
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import click

from evalkit import __version__
from evalkit.cli.console import emit, emit_json
from evalkit.documents import format_json
from evalkit.errors import ExitCode
from evalkit.rundir import publish_file

_CORE = (
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "jinja2",
    "pydantic",
    "click",
    "rich",
)
_CORE_MORE = ("pyyaml", "pillow", "safetensors")
_EXTRAS = {"vision": "torchvision", "timm": "timm", "transformers": "transformers", "lightning": "lightning"}
# What `report`, `gate` and `compare` import: a machine that only judges needs nothing else.
_GATE = ("click", "jinja2", "numpy", "pyarrow", "pydantic", "pyyaml", "scipy")


@click.command("doctor")
@click.option("--requirements", type=click.Choice(["gate"]), help="Print what a machine without torch needs.")
@click.option("--self-test", "test", is_flag=True, help="Compare with scikit-learn and pinned constants.")
@click.option(
    "--record", type=click.Path(path_type=Path), default="evalkit-self-test.json", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(*, requirements: str | None, test: bool, record: Path, as_json: bool, debug: bool) -> int:  # noqa: ARG001
    """Say what is installed: versions, devices, extras."""
    if requirements is not None:
        emit("".join(f"{_requirement(name)}\n" for name in _GATE))
        return 0
    if test:
        return _self_test(record, as_json=as_json)
    facts = _facts()
    if as_json:
        emit_json(facts)
    else:
        emit("".join(f"{name:14} {value}\n" for name, value in facts.items()))
    return 0


def _self_test(path: Path, *, as_json: bool) -> int:
    from evalkit.selftest import record, self_test  # noqa: PLC0415 - scikit-learn

    rows = self_test()
    found = {name: metadata.version(name) for name in ("numpy", "scikit-learn")}
    document = record(
        rows,
        versions={"evalkit": __version__, "python": platform.python_version(), **found},
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    publish_file(path, format_json(document, line_lists=frozenset({"rows"})))
    wrong = [row for row in rows if not row.agrees]
    if as_json:
        emit_json(document)
    else:
        lines = [f"  {row.check}: {row.ours!r}, expected {row.expected!r}\n" for row in wrong]
        emit(f"{len(rows) - len(wrong)} of {len(rows)} checks agree; recorded in {path}\n" + "".join(lines))
    return int(ExitCode.INTERNAL if wrong else ExitCode.OK)


def _requirement(name: str) -> str:
    """Return the requirement as the package itself states it."""
    try:
        stated = metadata.requires("torch-evalkit") or []
    except metadata.PackageNotFoundError:
        return name
    for line in stated:
        requirement = line.partition(";")[0].strip()
        if requirement.lower().startswith(name) and not requirement[len(name) : len(name) + 1].isalnum():
            return requirement
    return name


def _facts() -> dict[str, str]:
    facts = {"evalkit": __version__, "python": platform.python_version()}
    facts |= {name: _version(name) for name in (*_CORE, *_CORE_MORE)}
    facts |= {f"[{extra}]": _version(name) for extra, name in _EXTRAS.items()}
    return {**facts, "devices": _devices()}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _devices() -> str:
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return "none: torch is not installed (report and gate need none)"
    found = ["cpu"]
    found += [f"cuda:{k} ({torch.cuda.get_device_name(k)})" for k in range(torch.cuda.device_count())]
    found += ["mps"] if torch.backends.mps.is_available() else []
    return ", ".join(found)

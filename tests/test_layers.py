"""Imports point down, heavy libraries stay in their rooms, and only the top floor prints."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "evalkit"

# From the ground up; a room imports rooms of lower lines only.
FLOORS = (
    {"errors", "files", "reads", "codes"},
    {"classes", "catalogue", "display", "reasons", "sniff"},
    {"scores", "digests", "labels"},
    {"counts"},
    {"metrics"},
    {"uncertainty"},
    {"rows", "documents", "provenance"},
    {"count_rows"},
    {"verdict", "ledger", "rundir", "tables"},
    {"rules", "gallery"},
    {"result", "spec", "runfile", "sources"},
    {
        "permutation",
        "manifest",
        "blessing",
        "gitref",
        "signature",
        "usercode",
        "decide",
        "integrity",
        "samples",
        "binned",
    },
    {"baselines", "parts", "picking"},
    {"grouping", "score_rows", "predictions", "work", "attempt"},
    {"stored"},
    {"curves", "sample_rows", "slices"},
    {"findings"},
    {"asking", "assemble", "deciding"},
    {"describing"},
    {"concluding", "merging"},
    {"checkpoints", "datasets", "compare", "render"},
    {"gates", "inference"},
    {"setup", "showing", "scoring", "selftest"},
    {"running", "fingerprint", "resuming", "ranks"},
    {"measure", "opening"},
    {"prepare", "expecting"},
    {"api"},
    {"trained"},
    {"testing", "lightning", "hf"},
    {"pytest_plugin"},
    {"cli"},
)
THIRD_PARTY = {
    "codes": {"numpy"},
    "counts": {"numpy"},
    "digests": {"numpy"},
    "labels": {"numpy"},
    "scores": {"numpy"},
    "metrics": {"numpy"},
    "uncertainty": {"numpy", "scipy"},
    "count_rows": {"numpy"},
    "rows": {"numpy"},
    "result": {"numpy", "pydantic"},
    "verdict": {"pydantic"},
    "ledger": {"numpy", "pyarrow"},
    "spec": {"pydantic", "pydantic_core", "yaml"},
    "checkpoints": {"torch", "safetensors"},
    "datasets": {"numpy", "torch", "PIL", "pandas", "pyarrow", "torchvision"},
    "opening": {"numpy"},
    "prepare": {"numpy", "torch"},
    "compare": {"numpy", "pyarrow"},
    "blessing": {"pyarrow"},
    "gates": {"scipy"},
    "gallery": {"pyarrow"},
    "permutation": {"numpy", "scipy"},
    "manifest": {"numpy"},
    "parts": {"numpy", "pyarrow"},
    "picking": {"numpy", "pyarrow"},
    "resuming": {"numpy", "pyarrow"},
    "showing": {"numpy", "torch", "PIL"},
    "render": {"numpy", "jinja2", "markupsafe", "PIL", "yaml"},
    "inference": {"numpy", "torch"},
    "decide": {"numpy"},
    "samples": {"numpy", "pyarrow"},
    "binned": {"numpy"},
    "stored": {"numpy", "pyarrow"},
    "tables": {"numpy", "pyarrow"},
    "grouping": {"numpy"},
    "score_rows": {"numpy"},
    "predictions": {"numpy"},
    "curves": {"numpy"},
    "sample_rows": {"numpy"},
    "slices": {"numpy"},
    "findings": {"numpy"},
    "fingerprint": {"numpy"},
    "setup": {"numpy", "torch"},
    "expecting": {"numpy", "torch", "pyarrow"},
    "running": {"numpy", "torch"},
    "measure": {"torch"},
    "ranks": {"numpy", "torch"},
    "scoring": {"numpy", "pyarrow"},
    "selftest": {"numpy", "sklearn"},
    "api": {"numpy", "pandas", "markupsafe"},
    "trained": {"numpy", "torch"},
    "lightning": {"lightning", "torch"},
    "hf": {"numpy", "torch"},
    "pytest_plugin": {"pytest"},
    "cli": {"click", "pydantic", "rich", "yaml"},
}
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
SOURCES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in SOURCES}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.Module) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def violations(room: str, tree: ast.Module) -> list[str]:
    found = []
    for name in imports(tree):
        parts = name.split(".")
        if parts[0] == "evalkit":
            target = parts[1]
            if target in LEVEL and target != room and LEVEL[target] >= LEVEL[room]:
                found.append(name)
        elif parts[0] not in sys.stdlib_module_names and parts[0] not in THIRD_PARTY.get(room, set()):
            found.append(name)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    """A room imports lower rooms and its own third parties, nothing else."""
    room = room_of(path)
    if room in {"__init__", "__main__"}:
        return
    assert room in LEVEL, f"{room} stands on no floor"
    assert violations(room, TREES[path]) == []


def test_every_floor_is_built():
    """The table names no room that does not exist."""
    assert set(LEVEL) == {room_of(path) for path in SOURCES} - {"__init__", "__main__"}


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("counts", "import evalkit.gates"),
        ("gates", "from evalkit.cli import main"),
        ("gates", "import torch"),
        ("render", "def f():\n    from evalkit.measure import evaluate_specification"),
        ("result", "from evalkit import samples"),
    ],
)
def test_tester_sees_violations(room, source):
    """The check itself fails on what it is there for."""
    assert violations(room, ast.parse(source))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_prints_and_reads_the_clock(path):
    """Everything below the top floor is a function of its arguments."""
    if room_of(path) in {"cli", "api", "__main__"}:
        return
    tree = TREES[path]
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not calls & {"print", "time.time", "time.perf_counter", "datetime.now", "sys.exit", "os.getenv"}


def test_one_place_runs_a_checkpoints_code():
    """torch.load stands where --trust-checkpoint leads, once; pickle and its kin nowhere."""
    places = []
    for path in SOURCES:
        tree = TREES[path]
        called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not set(called) & {"pickle.load", "pickle.loads", "torch.jit.load", "eval", "exec"}
        places += [path.name] * called.count("torch.load")
    assert places == ["trusted.py"]


def test_no_template_switches_escaping_off():
    """`|safe` and unquoted attributes have no place in a template."""
    for path in (PACKAGE.parent / "templates").rglob("*.j2"):
        text = path.read_text()
        assert "safe" not in text.replace("|", " | ").split(), path
        assert "autoescape" not in text, path
        assert "={{" not in text.replace(" ", ""), path

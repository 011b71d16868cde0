"""The README is part of the product: its commands run, its output is real, its tables are complete."""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from evalkit import errors
from evalkit.catalogue import METRICS
from evalkit.cli import COMMANDS, main
from evalkit.reasons import EXCEPTIONS
from evalkit.spec import load_specification

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
DOTS = "…"


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def steps(block):
    """Split a console block into (command, expected lines)."""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:].split("  #")[0].strip(), []))
        else:
            found[-1][1].append(line)
    return found


def matches(expected, actual):
    """Compare lines; a line of dots stands for any lines."""
    pattern = r"\n".join(r"(.*\n)*?.*" if line.strip() == DOTS else re.escape(line) for line in expected)
    strip = re.compile(r"\|torch:[^|]*")
    return (
        re.search(strip.sub("", pattern.replace(r"\|torch:2\.14\.1", "")), strip.sub("", actual)) is not None
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what the README talks about, so that nothing is written into the checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("samples", "templates"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", copy)
    return copy


def shell(command, folder, capfd):
    """Run a command of the README; `make demo` runs what make would run, without installing again.

    evalkit's own in this process, where torch is loaded already; test_cli has processes.
    """
    if command.startswith("make "):
        printed = subprocess.run(
            ["make", "--silent", "--dry-run", "-o", ".venv/.installed", command[5:]],
            cwd=folder, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        if command != "make demo":
            return printed
        done = shell(printed.strip().removeprefix(".venv/bin/"), folder, capfd)
        return printed + done
    words = shlex.split(command)
    assert words[0] in {"evalkit", "python"}
    if words[0] == "python":
        return subprocess.run(
            [sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
    capfd.readouterr()
    with contextlib.chdir(folder):
        code = main(words[1:])
    out, err = capfd.readouterr()
    assert code in {0, 3}, err
    return out


@pytest.mark.skipif(shutil.which("make") is None, reason="the README's commands need make")
def test_readme_commands_print_what_it_says(checkout, monkeypatch, capfd):
    """Every command of every console block, in order; then the Python, on what they made."""
    commands = [step for block in blocks(README, "console") for step in steps(block)]
    assert len(commands) >= 4
    for command, expected in commands:
        actual = shell(command, checkout, capfd)
        assert matches(expected, actual), f"{command} printed:\n{actual}"
    monkeypatch.chdir(checkout)
    code, *after_training = blocks(README, "python")
    rooms = [re.findall(r"evalkit\.(\w+) import", block) for block in after_training]
    assert rooms == [["lightning"], ["hf"]]  # run in test_lightning and test_hf
    namespace: dict = {}
    exec(compile(code, "README", "exec"), namespace)
    written = json.loads((checkout / "out/folder/result.json").read_text())
    assert namespace["result"].document.counts == tuple(map(tuple, written["counts"]))


@pytest.mark.skipif(shutil.which("make") is None, reason="the commands need make")
def test_contributing_commands_exist(checkout, capfd):
    """`make` knows every target that CONTRIBUTING names."""
    for block in blocks(CONTRIBUTING, "console"):
        for command, _ in steps(block):
            assert shell(command, checkout, capfd)


def test_the_comparison_of_output_can_fail():
    """Dots stand for lines, not for anything."""
    assert matches(["a", DOTS, "c"], "a\nb\nc\n")
    assert not matches(["a", "c"], "a\nb\nc\n")
    assert not matches(["a", DOTS, "d"], "a\nb\nc\n")


def test_the_specification_by_example_is_one(tmp_path):
    """The README's YAML validates as it stands."""
    (yaml_block,) = blocks(README, "yaml")
    (tmp_path / "eval.yaml").write_text(yaml_block)
    assert len(load_specification(tmp_path / "eval.yaml").spec.gates) == 3


def test_the_template_by_example_works(checkout, tmp_path):
    """The README's own block replaces ours, and nothing else."""
    (block,) = blocks(README, "jinja")
    (tmp_path / "branding").mkdir()
    (tmp_path / "branding/report.html.j2").write_text(block)
    run, page = tmp_path / "run", tmp_path / "page.html"
    assert main(["run", str(checkout / "samples/digits/eval.yaml"), "-o", str(run), "--quiet"]) == 0
    assert main(["report", str(run), "--templates", str(tmp_path / "branding"), "-o", str(page)]) == 0
    text = page.read_text()
    assert "Questions about digits: the vision team, room 4." in text
    assert 'id="reading"' in text


def test_every_slug_has_its_anchor():
    """An error's slug leads to its row in the README, with its exit code."""
    classes = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, Exception)]
    slugs = {cls.slug: int(cls.exit_code) for cls in classes}
    slugs |= {"usage": 2, "gate-failed": 3, "cannot-judge": 5, "inconclusive": 7}
    rows = dict(re.findall(r'<a id="error-([a-z-]+)"></a>`\1` \| (\d)', README))
    assert {slug: int(code) for slug, code in rows.items()} == slugs


def test_every_command_is_in_the_readme_and_has_help(evalkit):
    """A command that nobody can find does not exist."""
    for name in COMMANDS:
        assert f"evalkit {name}" in README
        code, out, _ = evalkit(name, "--help")
        assert code == 0
        assert "Usage: evalkit" in out


def test_links_land():
    """Files and pictures that the documents point to are there."""
    for text in (README, CONTRIBUTING):
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if "://" not in target:
                assert (ROOT / target).exists(), target


def test_nothing_points_outside_the_project():
    """No file of the project names a folder outside it, or the host of an index."""
    index = "pypi" + ".org"
    for path in ROOT.rglob("*"):
        hidden = {
            ".git",
            ".venv",
            "out",
            "dist",
            "__pycache__",
            ".hypothesis",
            ".mypy_cache",
            ".ruff_cache",
            ".pytest_cache",
        }
        if (
            path.is_file()
            and not hidden & set(path.relative_to(ROOT).parts)
            and path.suffix in {".py", ".md", ".toml", ".yaml", ""}
        ):
            text = path.read_text(errors="replace")
            assert index not in text, path
            assert "../" + "shared" not in text, path
            assert "/wo" + "rk/" not in text, path
    assert Path(ROOT / ".ci/run").exists()


def metric_table():
    """The README's table of metrics, from the catalogue."""
    lines = ["| metric | values | range | formula |", "|---|---|---|---|"]
    for metric in METRICS.values():
        values = ["one"] if metric.overall else []
        values += ["per class"] if metric.per_class else []
        values += list(metric.averages)
        low = "-∞" if metric.lower is None else f"{metric.lower:g}"
        high = "∞" if metric.upper is None else f"{metric.upper:g}"
        formula = metric.formula.replace("|", "\\|")
        lines.append(f"| `{metric.slug}` | {', '.join(values)} | {low} to {high} | {formula} |")
    return "\n".join(lines)


def exception_table():
    """The README's table of differences from scikit-learn, from the catalogue."""
    lines = ["| metric | when | here |", "|---|---|---|"]
    lines += [f"| {metric} | {when} | {here} |" for metric, when, here in EXCEPTIONS]
    return "\n".join(lines)


@pytest.mark.parametrize("table", [metric_table, exception_table])
def test_tables_come_from_the_catalogue(table):
    """One place where each formula lives."""
    assert table() in README


def test_the_query_is_the_samples_own():
    """The SQL of the README is what the sample runs."""
    assert blocks(README, "sql") == [(ROOT / "samples/predictions/counts.sql").read_text()]

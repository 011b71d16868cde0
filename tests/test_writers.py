"""All writers tell the same of the same verdicts, and no name becomes anything but a name in any of them."""

import csv
import doctest
import json
import re
from io import StringIO

import pytest
import yaml
from documents import result_of
from huggingface_hub import metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results
from junitparser import JUnitXml
from test_gates import verdict_of
from told import (
    NASTY,
    check,
    github_commands,
    github_outputs,
    gitlab_metrics,
    hostile_runs,
    keys,
    member,
    numbers,
    samples,
    verdict,
)

from evalkit.cli import console
from evalkit.cli.console import harmless
from evalkit.display import MAX_TEXT, visible
from evalkit.render.exports import Card, render_csv, render_dvc, render_model_index
from evalkit.render.github import annotations, outputs, step_summary
from evalkit.render.judged_run import JudgedRun
from evalkit.render.junit import render_junit
from evalkit.render.openmetrics import render_openmetrics
from evalkit.render.summaries import MARKER, render_comment

SMALL = [member(f"c{k}", None, support=3) for k in range(25)]


def run(code, judged, **changes):
    return JudgedRun("toy", code, changes.pop("result", result_of()), judged, **changes)


def of(result, *gates):
    return {"result": result, "judged": verdict_of(result, *gates)}


# name: run, then passed, failed, error, skipped cases; gates that failed and that are undecided; the state
TABLE = {
    "passed": (run(0, verdict(check("passed"), outcome="passed")), (1, 0, 0, 0), (0, 0), "passed"),
    "failed": (run(3, verdict(check(), check("passed", rule="max"))), (1, 1, 0, 0), (1, 0), "failed"),
    "inconclusive": (
        run(7, verdict(check("inconclusive"), outcome="inconclusive")), (0, 0, 1, 0), (0, 1), "inconclusive",
    ),
    "missing": (
        run(5, **of(result_of(((5, 0), (7, 0)), ("a", "b")), {"metric": "precision", "class": "b", "min": 0.1})),
        (0, 0, 1, 0), (0, 1), "cannot_judge",
    ),
    "advisory": (
        run(0, verdict(check(advisory=True), check("passed", rule="max"), outcome="passed")),
        (1, 0, 0, 1), (0, 0), "passed",
    ),
    "strict": (
        run(3, verdict(check("passed"), warnings=("odd", "odder"), strict=True)), (1, 1, 0, 0), (0, 0), "failed",
    ),
    "lenient": (
        run(0, verdict(check("passed"), warnings=("odd",), outcome="passed")), (1, 0, 0, 0), (0, 0), "passed",
    ),
    "family": (
        run(3, verdict(check(class_name="*", members=(member("a", "failed"), *SMALL)))),
        (0, 1, 0, 20), (1, 0), "failed",
    ),
    "family that passed": (
        run(0, verdict(check("passed", class_name="*", members=(member("a"), *SMALL)), outcome="passed")),
        (1, 0, 0, 0), (0, 0), "passed",
    ),
    "invalid": (
        run(5, **of(result_of(valid=False), {"metric": "accuracy", "min": 0.5}), problem="error[invalid-run]: x"),
        (0, 0, 2, 0), (0, 1), "invalid",
    ),
    "invalid without gates": (run(5, **of(result_of(valid=False))), (0, 0, 1, 0), (0, 0), "invalid"),
    "partial": (
        run(5, **of(result_of(limit=900), {"metric": "accuracy", "min": 0.5})), (0, 0, 1, 0), (0, 1), "cannot_judge",
    ),
    "no gates": (run(0, verdict(outcome="none")), (1, 0, 0, 0), (0, 0), "none"),
    "same model": (
        run(4, verdict(check("passed"), outcome="passed"), problem="error[same-model]: x"),
        (1, 0, 1, 0), (0, 0), "error",
    ),
    "no verdict": (JudgedRun("toy", 4, problem="error[data]: no labels"), (0, 0, 1, 0), (0, 0), "error"),
    "nothing": (JudgedRun("toy", 1), (0, 0, 1, 0), (0, 0), "error"),
}  # fmt: skip


def suites(written):
    """Cases in each state of each suite, as junitparser counts them."""
    xml = JUnitXml.fromstring(written)
    for suite in xml:
        declared = (suite.tests, suite.failures, suite.errors, suite.skipped)
        suite.update_statistics()
        assert declared == (suite.tests, suite.failures, suite.errors, suite.skipped)
        yield (
            suite.tests - suite.failures - suite.errors - suite.skipped,
            suite.failures,
            suite.errors,
            suite.skipped,
        )


@pytest.mark.parametrize("name", TABLE)
def test_writers_agree(name):
    """JUnit, annotations, outputs, metrics and Markdown say what the table says."""
    one, cases, (failed, undecided), state = TABLE[name]
    assert list(suites(render_junit([one]))) == [cases]
    commands = [command for command, _, _ in github_commands("\n".join(annotations([one])))]
    assert commands.count("error") == cases[1] + cases[2] - (name == "inconclusive")
    assert commands.count("warning") == (name in {"advisory", "lenient", "inconclusive"})
    told = github_outputs(outputs([one], one.exit_code, delimiter="d"))
    assert (told["verdict"], told["exit-code"]) == (state, str(one.exit_code))
    assert (told["gates-failed"], told["gates-undecided"]) == (str(failed), str(undecided))
    metrics = render_openmetrics([one])
    assert numbers(metrics, "gates_failed") == [failed]
    assert numbers(metrics, "gates_undecided") == [undecided]
    assert numbers(metrics, "exit_code") == [one.exit_code]
    row = step_summary([one]).splitlines()[2]
    assert (f"{failed} failed" in row) == (failed > 0)
    assert (f"{undecided} undecided" in row) == (undecided > 0)
    assert render_comment([one]).count(MARKER) == 1


@pytest.mark.parametrize("name", TABLE)
def test_green_is_exit_code_zero(name):
    """A test report without a failure or an error belongs to exit code 0, and to no other."""
    one, (_, failed, error, _), _, _ = TABLE[name]
    assert (failed + error == 0) == (one.exit_code == 0)


def test_several_runs_are_told_apart():
    """Twelve runs of one name are twelve suites, twelve rows and twelve samples; the worst is the verdict."""
    runs = [entry[0] for entry in TABLE.values()]
    written = render_junit(runs)
    assert list(suites(written)) == [entry[1] for entry in TABLE.values()]
    assert len(set(keys(written))) == len(keys(written))
    assert len(gitlab_metrics(render_openmetrics(runs))) == len(samples(render_openmetrics(runs)))
    assert numbers(render_openmetrics(runs), "gates_failed") == [entry[2][0] for entry in TABLE.values()]
    told = github_outputs(outputs(runs, 5, delimiter="d"))
    assert told["verdict"] == "error"
    assert told["gates-failed"] == str(sum(entry[2][0] for entry in TABLE.values()))
    assert "accuracy" not in told
    table = step_summary(runs).split("\n\n")[0].splitlines()
    assert len(table) == 2 + len(runs)


@pytest.fixture(scope="module")
def hostile():
    """Runs with hostile names, read-only by agreement."""
    return hostile_runs()


def test_hostile_names_in_junit(hostile):
    """Well-formed, every case once, and every name still to be told from the others."""
    written = render_junit(hostile)
    assert [sum(counts) for counts in suites(written)] == [len(NASTY) + 1, 1, 1]
    assert len(set(keys(written))) == len(NASTY) + 3
    assert not re.search("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe]", written.decode())
    assert any(r"nul\x00" in name for _, name in keys(written))


def test_hostile_names_in_openmetrics(hostile):
    """Both parsers read it, one sample a class; nothing is a comment by accident."""
    written = render_openmetrics(hostile)
    found = [labels for name, labels, _ in samples(written) if name == "recall" and "class" in labels]
    assert len(found) == len({labels["class"] + labels.get("nth", "") for labels in found}) == len(NASTY)
    assert len(gitlab_metrics(written)) == len(samples(written))
    assert all("#" not in line for line in written.splitlines() if not line.startswith("#"))
    assert all(
        re.search(r" -?\d+(\.\d+)?$", line) for line in written.splitlines() if not line.startswith("#")
    )


def test_hostile_names_in_annotations(hostile):
    """Only errors and warnings of ours reach the runner, one a line."""
    lines = annotations(hostile)
    found = github_commands("\n".join(lines))
    assert [name for name, _, _ in found] == ["error"] * 10 + ["warning"]
    assert len(lines) == len(found)
    assert all(properties["title"].startswith("evalkit") for _, properties, _ in found)
    assert found[9][2] == f"and {len(NASTY) + 1 + 2 - 9} more; the report has all of them"


def test_hostile_names_in_outputs(hostile):
    """A value cannot end itself and begin another."""
    told = github_outputs(outputs(hostile, 4, delimiter="random"))
    assert set(told) == {
        "verdict",
        "exit-code",
        "gates-failed",
        "gates-undecided",
        "warnings-failed",
        "report",
    }


def test_hostile_names_in_markdown(hostile):
    """No element but our own, no second marker, and as many cells in a row as in its head."""
    written = render_comment(hostile)
    assert written.startswith(MARKER)
    bare = re.sub(r"\\.", "", written.removeprefix(MARKER))
    assert set(re.findall(r"<[^>]*>", bare)) == {"<details>", "<summary>", "</summary>", "</details>"}
    for block in bare.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "http" not in re.sub(r"https\\:", "", written)


def test_hostile_names_in_csv(hostile):
    """Every row has its cells, and no cell is a formula."""
    result = hostile[0].result
    rows = list(csv.DictReader(StringIO(render_csv(result))))
    assert len(rows) == len(result.metrics)
    assert all(None not in row and None not in row.values() for row in rows)
    texts = [row[name] for row in rows for name in ("params", "class_name", "slice")]
    assert not [text for text in texts if text.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert "'=1+1" in texts
    assert len({row["class_name"] for row in rows} - {""}) == len(NASTY)


def test_hostile_names_in_a_model_card(tmp_path):
    """Names that YAML takes for something else come back as they were, from the Hub's own reader."""
    for name in NASTY:
        written = render_model_index(result_of(name=name), Card(split=name))
        (tmp_path / "README.md").write_text(written, encoding="utf-8")
        named, found = model_index_to_eval_results(metadata_load(tmp_path / "README.md")["model-index"])
        assert named == visible(name)
        assert found[0].dataset_split == visible(name, limit=MAX_TEXT)
        assert (found[0].metric_type, found[0].dataset_name) == ("accuracy", "test")


def test_words_of_yaml_stay_text():
    """`no`, `off`, `null` and `1e3` are text for readers of YAML 1.2, too."""
    for name in ("no", "off", "null", "1e3", "0x10", "y"):
        written = render_model_index(result_of(name=name), Card())
        assert yaml.safe_load(written.split("---")[1])["model-index"][0]["name"] == name
        assert re.search(rf"""name: ["']{name}["']""", written)


def test_hostile_names_in_dvc(hostile):
    """Nested numbers and nothing else, one block a class."""

    def check_plain(block):
        for value in block.values():
            if isinstance(value, dict):
                check_plain(value)
            else:
                assert isinstance(value, (int, float))

    document = json.loads(render_dvc(hostile[0].result, hostile[0].verdict))
    check_plain(document)
    assert len(document["classes"]) == len(NASTY)


COMMANDS = ("::add-mask::x", "  ::add-mask::x", "\u00a0::error::x", "a ##[add-mask]x", "###[error]x", "\n\n::error::x",
            "a\r::add-mask::b", ":::error::x", "::error file=a::x")  # fmt: skip


@pytest.mark.parametrize("text", COMMANDS)
def test_what_is_printed_is_no_command(text):
    """The parser sees a command before, and none after; text that is none stays as it is."""
    assert github_commands(text) or text.startswith(":::")
    assert github_commands(harmless(text)) == []
    for plain in ("a::b", "C# code", "# EOF", "## 1", "path[0]", "  :x", "a\n  b :: c"):
        assert harmless(plain) == plain


def test_the_example_of_an_escape():
    """The docstring's own."""
    assert doctest.testmod(console).failed == 0


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_the_console_gives_no_command_away(words, hostile, evalkit, tmp_path, monkeypatch):
    """Of all that `gate` prints about hostile names the runner takes our annotations, and nothing else."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "result.json").write_bytes(hostile[0].result.to_json())
    gates = [
        {"metric": "recall", "class": name, "min": 0.95, "min_support": 1} for name in NASTY if name.isascii()
    ]
    (tmp_path / "gates.yaml").write_text(yaml.safe_dump({"gates": gates}))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    code, out, err = evalkit("gate", folder, "--gates", tmp_path / "gates.yaml", *words)
    assert code == 3
    data, commands = (err, out) if words else (out, err)
    assert github_commands(commands) == []
    found = github_commands(data)
    assert [name for name, _, _ in found] == ["error"] * 10
    if words:
        assert json.loads(out)["outcome"] == "failed"

"""What a GitHub Actions job is told: no more than it shows, at the line of the gate, and only when it is one."""

import json

import pytest
from conftest import DIGITS
from documents import result_of
from told import check, github_commands, github_outputs, verdict

from evalkit.cli.ci import gates_at, path_in_job
from evalkit.render.github import MAX_SUMMARY, annotations, outputs, step_summary
from evalkit.render.judged_run import JudgedRun
from evalkit.render.summaries import MARKER, MAX_COMMENT, render_comment
from evalkit.spec import Override, load_gate_file, load_specification


@pytest.fixture
def job(tmp_path, monkeypatch):
    """An environment as in a job; gives the files of summary and outputs."""
    files = {"GITHUB_STEP_SUMMARY": tmp_path / "summary.md", "GITHUB_OUTPUT": tmp_path / "output.txt"}
    for name, value in {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": tmp_path, **files}.items():
        monkeypatch.setenv(name, str(value))
    return tuple(files.values())


def failing(n, **changes):
    """A run with so many failed gates."""
    return JudgedRun("toy", 3, result_of(), verdict(*(check(gate=k, **changes) for k in range(n))))


@pytest.mark.parametrize(("n", "shown"), [(1, 1), (9, 9), (10, 10), (40, 10)])
def test_no_more_than_a_step_shows(n, shown):
    """Nine, and a tenth that says how many more; over all runs of the command."""
    for runs in ([failing(n)], [failing(n - n // 3), failing(n // 3)] if n > 2 else [failing(n)]):
        found = github_commands("\n".join(annotations(runs)))
        assert len([one for one in found if one[0] == "error"]) == shown
        if n > 9:
            assert found[-1][2].startswith(f"and {n - 9} more")


def test_runs_take_turns():
    """A first run in much trouble does not hide the second and the third."""
    runs = [failing(20), JudgedRun("b", 3, result_of(), verdict(check())), failing(2)]
    titles = [one[1]["title"].split(":")[0] for one in github_commands("\n".join(annotations(runs)))]
    assert titles == [
        "evalkit toy", "evalkit b", "evalkit toy (2)", "evalkit toy", "evalkit toy (2)", *["evalkit toy"] * 4,
        "evalkit",
    ]  # fmt: skip


def test_inconclusive_is_no_error():
    """It is neither green nor red: a warning, at its line; what cannot be judged beside it stays an error."""
    checks = check("inconclusive"), check("cannot_judge", gate=1)
    run = JudgedRun("toy", 5, result_of(), verdict(*checks), gates_at={0: ("eval.yaml", 3)})
    first, second = github_commands("\n".join(annotations([run])))
    assert (first[0], first[1]["title"]) == ("error", "evalkit toy: gate cannot be judged")
    assert (second[0], second[1]["line"]) == ("warning", "3")


def test_the_run_that_decides_gives_the_verdict():
    """The order is that of exit codes: an invalid run before a refused input before a failed gate."""
    failed = JudgedRun("f", 3, result_of(), verdict(check()))
    refused = JudgedRun("r", 4, problem="error[same-model]: x")
    invalid = JudgedRun("i", 5, result_of(valid=False), verdict(check("cannot_judge"), valid=False))
    undecided = JudgedRun("u", 5, result_of(), verdict(check("cannot_judge"), outcome="cannot_judge"))
    typo = JudgedRun("t", 2, problem="error[specification]: x")
    order = [(typo, "error"), (invalid, "invalid"), (refused, "error"), (failed, "failed")]
    order.append((undecided, "cannot_judge"))
    for k, (_, state) in enumerate(order):
        rest = [run for run, _ in order[k:]]
        for runs in (rest, rest[::-1]):
            assert github_outputs(outputs(runs, 0, delimiter="d"))["verdict"] == state


def test_strict_warnings_are_told():
    """Where nothing else failed, row and outputs say why it is red."""
    judged = verdict(check("passed"), check("passed", gate=1), warnings=("odd", "odder"), strict=True)
    run = JudgedRun("toy", 3, result_of(), judged)
    told = github_outputs(outputs([run], 3, delimiter="d"))
    assert (told["gates-failed"], told["warnings-failed"]) == ("0", "2")
    assert "| 2 passed, 2 warnings \\(\\-\\-strict\\) |" in step_summary([run])
    calm = JudgedRun("toy", 0, result_of(), verdict(check("passed"), outcome="passed", warnings=("odd",)))
    assert "| 1 passed |" in step_summary([calm])


def test_warnings_have_a_limit_of_their_own():
    """Advisory gates in trouble and warnings of the verdict; those that passed are no news."""
    checks = [check(gate=k, advisory=True) for k in range(8)] + [check("passed", advisory=True)]
    run = JudgedRun("toy", 0, result_of(), verdict(*checks, warnings=("odd: 50 %, a", "odder", "oddest")))
    found = github_commands("\n".join(annotations([run, failing(3)])))
    assert [name for name, _, _ in found] == ["error"] * 3 + ["warning"] * 10
    assert found[11][2] == "odd: 50 %, a"
    assert found[-1][2].startswith("and 2 more")


def test_place_and_words():
    """File and line of the gate, the state in the title, the sentence in front."""
    run = JudgedRun(
        "a, b", 5, result_of(), verdict(check("cannot_judge", gate=1)), gates_at={1: ("x,y:z/eval.yaml", 14)}
    )
    ((name, properties, data),) = github_commands(annotations([run])[0])
    assert name == "error"
    assert properties == {
        "title": "evalkit a, b: gate cannot be judged", "file": "x,y:z/eval.yaml", "line": "14",
    }  # fmt: skip
    assert data.splitlines()[0] == run.verdict.checks[0].sentence


def test_outputs_of_one_run():
    """Plain values, the accuracy unrounded."""
    run = JudgedRun("toy", 0, result_of(), verdict(outcome="none"), report="out/report.html")
    told = github_outputs(outputs([run], 0, delimiter="d"))
    assert told == {
        "verdict": "none",
        "exit-code": "0",
        "gates-failed": "0",
        "gates-undecided": "0",
        "warnings-failed": "0",
        "report": "out/report.html",
        "accuracy": "0.88",
    }


def test_summaries_fit():
    """Whole sections go from the end; what is left says so, and the table of models stays."""
    runs = [failing(400, sentence=f"accuracy {'x' * 300}") for _ in range(12)]
    for text, limit in ((step_summary(runs), MAX_SUMMARY), (render_comment(runs), MAX_COMMENT)):
        assert limit // 3 < len(text.encode()) <= limit or limit == MAX_COMMENT
        assert len(text.encode()) <= limit
        assert text.endswith("sections were cut here, because the text was too long.*\n")
        assert text.removeprefix(f"{MARKER}\n\n").splitlines()[13].startswith("| failed | toy \\(12\\) |")
        for block in text.split("\n\n"):
            if block.startswith("|"):
                assert all(line.endswith("|") for line in block.strip().splitlines())
    assert "cut here" not in step_summary(runs[:1])


def test_a_job_is_told(job, evalkit, tmp_path):
    """Annotations at the specification's lines, summary and outputs appended, the comment with its marker."""
    summary, output = job
    summary.write_text("before\n")
    spec = tmp_path / "eval.yaml"
    text = (DIGITS / "eval-regressed.yaml").read_text()
    for name in ("model.py", "checkpoints", "data"):
        (tmp_path / name).symlink_to(DIGITS / name)
    spec.write_text(text)
    words = ("-o", tmp_path / "out", "--quiet", "--markdown", tmp_path / "c.md")
    code, out, _ = evalkit("run", spec, *words, "--min", "mcc=0.99")
    found = github_commands(out)
    lines = [k for k, line in enumerate(text.splitlines(), 1) if "{metric:" in line]
    assert [one[1].get("line") for one in found] == [*map(str, lines), None]
    assert {one[1].get("file") for one in found} == {"eval.yaml", None}
    told = github_outputs(output.read_text())
    assert (code, told["verdict"], told["gates-failed"], told["report"]) == (
        3,
        "failed",
        "4",
        "out/report.html",
    )
    written = summary.read_text()
    assert written.startswith("before\n| Outcome |")
    assert (tmp_path / "c.md").read_text() == f"{MARKER}\n\n{written.removeprefix(f'before{chr(10)}')}"
    code, out, err = evalkit("run", spec, *words, "--json", "--min", "mcc=0.99")
    assert len(json.loads(out)["checks"]) == len(github_commands(err)) == 4


@pytest.mark.parametrize("how", ["flag", "elsewhere"])
def test_nobody_else_is_told(how, job, digits_run, evalkit, monkeypatch):
    """With --no-ci, or where there is no job, nothing is printed and no file is touched."""
    if how == "elsewhere":
        monkeypatch.delenv("GITHUB_ACTIONS")
    words = ("--no-ci",) if how == "flag" else ()
    code, out, err = evalkit("gate", digits_run, *words)
    assert code == 0
    assert github_commands(out + err) == []
    assert not any(path.exists() for path in job)


def test_an_early_end_is_told(job, evalkit, tmp_path):
    """An error before there is a verdict is an annotation, too."""
    code, out, err = evalkit("gate", tmp_path / "nothing")
    ((name, properties, data),) = github_commands(out)
    assert (code, name, properties) == (4, "error", {"title": "evalkit nothing: ended with an error"})
    assert data in err
    assert github_outputs(job[1].read_text())["exit-code"] == "4"


def test_a_summary_that_cannot_be_written(job, digits_run, evalkit, monkeypatch, tmp_path):
    """Exit code 6, in the outputs, too."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no/summary.md"))
    code, _, err = evalkit("gate", digits_run)
    assert code == 6
    assert "GITHUB_STEP_SUMMARY" in err
    assert github_outputs(job[1].read_text())["exit-code"] == "6"


def test_lines_of_gates(tmp_path, monkeypatch):
    """Lines are those of the file; a list that a flag replaces has none, and neither has a gate from a flag."""
    path = tmp_path / "gates.yaml"
    path.write_text(
        "gates:\n  - {metric: accuracy, min: 0.1}\n  # said\n  - metric: accuracy\n    max: 0.9\n"
    )
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    _, source = load_gate_file(path)
    assert gates_at(source, 3) == {0: ("gates.yaml", 2), 1: ("gates.yaml", 4)}
    spec = DIGITS / "eval.yaml"
    flag = Override("gates", "[{metric: accuracy, min: 0.1}]", "--set gates")
    assert gates_at(load_specification(spec, overrides=[flag]).source, 3) == {}
    assert len(gates_at(load_specification(spec).source, 3)) == 3


def test_paths_in_a_job(tmp_path, monkeypatch):
    """Relative to the checkout where they lie in it, else as they were given."""
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert path_in_job(tmp_path / "a/b.html") == "a/b.html"
    assert str(path_in_job(DIGITS)) == str(DIGITS)
    monkeypatch.delenv("GITHUB_WORKSPACE")
    assert path_in_job(tmp_path.__class__("b.html")) == "b.html"

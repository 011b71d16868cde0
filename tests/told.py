"""Runs as CI is told of them, the names that try to be something else, and how CI systems read what is written."""

import shlex
from xml.etree import ElementTree as ET

from documents import HOSTILE, result_of
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from test_gates import verdict_of

from evalkit.render.judged_run import JudgedRun
from evalkit.verdict import Check, Member, Verdict

NASTY = (
    *HOSTILE,
    'x"y',
    "new\n::error::line",
    "::add-mask::x",
    "  ::add-mask::y",
    "##[add-mask]z",
    "##vso[task.setvariable variable=a]b",
    "%0A::add-mask::v",
    "a\r::add-mask::w",
    "no",
    "off",
    "1e3",
    "null",
    "=1+1",
    "+1",
    "-1",
    "@x",
    "a,b='c'",
    "back\\slash",
    "<!-- evalkit -->",
    "--> ]]> -->",
    "https://example.com/x",
    "x" * 301,
)


def check(outcome="failed", *, metric="accuracy", sentence=None, **changes):
    """One judged limit, made by hand."""
    known = {
        "gate": 0,
        "rule": "min",
        "limit": 0.9,
        "judge": "point",
        "metric": metric,
        "average": None,
        "class_name": None,
        "outcome": outcome,
        "reason": "beyond_limit",
        "sentence": sentence or f"{metric} is 0.5, {outcome}",
        "value": 0.5,
        "baseline_value": None,
        "drop": None,
        "advisory": False,
    }
    return Check(**{**known, **changes})


def verdict(*checks, outcome="failed", **changes):
    """A verdict of these checks."""
    known = {
        "name": "toy",
        "outcome": outcome,
        "valid": True,
        "checks": checks,
        "warnings": (),
        "signature": "s",
        "result_sha256": "0" * 64,
        "baseline": None,
    }
    return Verdict(**{**known, **changes})


def member(name, outcome="passed", *, support=50, **changes):
    """One class of a family."""
    reason = "insufficient" if outcome is None else ""
    return Member(
        class_name=name, slice=None, value=0.5, support=support, outcome=outcome, reason=reason, **changes
    )


def hostile_runs():
    """A run each class of which has a name that tries to be something else, and a gate of its own."""
    size = len(NASTY)
    matrix = [[9 if i == j else int(j == (i + 1) % size) for j in range(size)] for i in range(size)]
    result = result_of(matrix, NASTY, name="::add-mask::run\n##[error]")
    gates = [{"metric": "recall", "class": name, "min": 0.95, "min_support": 1} for name in NASTY]
    judged = verdict_of(result, *gates)
    sliced = check(slice={"site\n::error::a": "x#\ny"}, metric="accuracy", sentence="a\n::add-mask::b is bad")
    # What no gate would make: a document may come from anybody.
    judged = judged.model_copy(update={"checks": (*judged.checks, sliced), "warnings": ("a\n::add-mask::c",)})
    return [
        JudgedRun(result.name, 3, result, judged, report="out/a\n::add-mask::d/report.html"),
        JudgedRun("x" * 200, 4, problem="error[data]: a\n::add-mask::e: cannot be read"),
        JudgedRun("x" * 201, 4, problem="error[data]: ##[add-mask]f"),
    ]


def github_commands(printed):
    """What GitHub's runner makes of a log: (command, properties, data) of each line that it acts upon."""
    known = {
        "error",
        "warning",
        "notice",
        "debug",
        "add-mask",
        "group",
        "endgroup",
        "stop-commands",
        "set-env",
    }
    found = []
    for line in printed.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        text = line.strip()
        if text.startswith("::") and "::" in text[2:]:
            head, _, data = text[2:].partition("::")
            name, _, said = head.partition(" ")
            if name in known:
                pairs = [part.split("=", 1) for part in said.split(",") if "=" in part]
                found.append((name, {key: _unescaped(value) for key, value in pairs}, _unescaped(data)))
                continue
        start = text.find("##[")
        if start >= 0 and "]" in text[start:]:
            name = text[start + 3 : text.index("]", start)].split(" ")[0]
            if name in known:
                found.append((name, {}, text))
    return found


def _unescaped(text):
    for token, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(token, char)
    return text


def github_outputs(written):
    """What GitHub's runner makes of a file of outputs."""
    lines, found = iter(written.splitlines()), {}
    for line in lines:
        key, _, delimiter = line.partition("<<")
        value = []
        while (one := next(lines)) != delimiter:
            value.append(one)
        found[key] = "\n".join(value)
    return found


def gitlab_metrics(written):
    """What GitLab makes of a metrics report: name to value, both text."""
    found = {}
    for line in written.splitlines():
        words = shlex.split(line.partition("#")[0])
        if words:
            assert words[0] not in found
            assert len(words) == 2
            found[words[0]] = words[1]
    return found


def samples(written):
    """What Prometheus' parser makes of OpenMetrics: (name, labels, value) of each sample."""
    families = list(text_string_to_metric_families(written))
    assert all(family.documentation for family in families)
    return [
        (sample.name.removeprefix("evalkit_"), sample.labels, sample.value)
        for family in families
        for sample in family.samples
    ]


def numbers(written, family):
    """The values of one family, in the order of the runs."""
    return [value for name, _, value in samples(written) if name == family]


def keys(junit):
    """What GitLab tells cases apart by."""
    return [(case.get("classname"), case.get("name")) for case in ET.fromstring(junit).iter("testcase")]

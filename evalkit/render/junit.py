"""JUnit XML: one suite a run, one case a check, for every CI system that has a tab for tests.

Jenkins reads ``message``, GitLab the text below it: both are filled. For GitLab classname and name are the
key of a case: no two are equal.
"""

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from evalkit.render.cases import Account, Case, accounts
from evalkit.render.judged_run import JudgedRun

_FORBIDDEN = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KINDS = {"failed": ("failure", "GateFailed"), "error": ("error", "NotDecided"), "skipped": ("skipped", None)}


def render_junit(runs: Sequence[JudgedRun]) -> bytes:
    """Return the document; it depends on the runs alone, not on the clock."""
    found = accounts(runs)
    root = ET.Element("testsuites", _attributes("evalkit", found))
    for account in found:
        root.append(_suite(account))
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _attributes(name: str, found: Sequence[Account]) -> dict[str, str]:
    return {
        "name": _xml(name),
        "tests": str(sum(len(account.cases) for account in found)),
        "failures": str(sum(account.counted("failed") for account in found)),
        "errors": str(sum(account.counted("error") for account in found)),
        "skipped": str(sum(account.counted("skipped") for account in found)),
        "time": f"{sum(account.run.seconds or 0.0 for account in found):.3f}",
    }


def _suite(account: Account) -> ET.Element:
    name, result = f"evalkit.{account.name}", account.run.result
    suite = ET.Element("testsuite", _attributes(name, [account]))
    started = None if result is None else result.provenance.get("started")
    if isinstance(started, str):
        suite.set("timestamp", _xml(started))
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(account.run).items():
        if value is not None:
            ET.SubElement(properties, "property", {"name": key, "value": _xml(value)})
    for case in account.cases:
        suite.append(_case(case, name))
    return suite


def _properties(run: JudgedRun) -> dict[str, str | None]:
    result, verdict = run.result, run.verdict
    return {
        "model": run.name,
        "exit_code": str(run.exit_code),
        "signature": None if result is None else result.signature,
        "result_sha256": None if verdict is None else verdict.result_sha256,
        "report": run.report,
    }


def _case(case: Case, classname: str) -> ET.Element:
    element = ET.Element("testcase", {"classname": _xml(classname), "name": _xml(case.name), "time": "0"})
    properties = ET.SubElement(element, "properties")
    ET.SubElement(properties, "property", {"name": "group", "value": case.group})
    if case.state != "passed":
        tag, kind = _KINDS[case.state]
        told = ET.SubElement(element, tag, {"message": _xml(case.message)})
        if kind is not None:
            told.set("type", kind)
        told.text = _xml("\n".join([case.message, *case.detail]))
    return element


def _xml(text: str) -> str:
    """Write what XML cannot hold as an escape."""
    return _FORBIDDEN.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)

"""pytest's ``--evalkit-result DIR --evalkit-gates FILE``: one test a gate; inert otherwise."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from evalkit.verdict import Check


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("evalkit")
    group.addoption("--evalkit-result", metavar="DIR", help="Run directory whose gates are tests.")
    group.addoption("--evalkit-gates", metavar="FILE", help="Its gates.")
    group.addoption("--evalkit-baseline", metavar="DIR", help="What they compare with.")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse one option without the other."""
    options = [config.getoption(f"--evalkit-{name}") for name in ("result", "gates", "baseline")]
    if any(option is not None for option in options) and not all(options[:2]):
        raise pytest.UsageError("--evalkit-result and --evalkit-gates belong together")


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add a test for every limit of every gate."""
    result, gates = config.getoption("--evalkit-result"), config.getoption("--evalkit-gates")
    if not result:
        return
    from evalkit.errors import EvalkitError  # noqa: PLC0415 - inert without the options
    from evalkit.testing import verdict_of  # noqa: PLC0415

    try:
        verdict = verdict_of(Path(result), Path(gates), config.getoption("--evalkit-baseline"))
    except EvalkitError as error:
        raise pytest.UsageError(str(error)) from error
    items.extend(
        GateItem.from_parent(session, name=f"gate-{check.gate + 1}-{check.metric}-{check.rule}", check=check)
        for check in verdict.checks
    )


class GateItem(pytest.Item):
    """A limit of a gate as a test."""

    def __init__(self, *, check: "Check", **options: Any) -> None:
        super().__init__(**options)
        self.check = check

    def runtest(self) -> None:
        """Pass where the gate did; an advisory one that did not is skipped with its sentence."""
        if self.check.outcome == "passed":
            return
        if self.check.advisory:
            pytest.skip(f"advisory: {self.check.sentence}")
        raise GateError(f"{self.check.outcome}: {self.check.sentence}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the sentence, not a traceback."""
        if isinstance(excinfo.value, GateError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Name the gate in reports."""
        return self.path, None, self.name


class GateError(Exception):
    """A gate did not pass."""

"""Which exit code a command ends with, where several apply."""

from collections.abc import Collection

from evalkit.errors import ExitCode, precedence

HUNG_UP, INTERRUPTED, TERMINATED = 129, 130, 143


class Terminated(BaseException):
    """SIGTERM or SIGHUP: what is open is closed, what is half written is removed, as after Control-C.

    Args:
        code: What the process ends with.
    """

    def __init__(self, code: int = TERMINATED) -> None:
        super().__init__(code)
        self.code = code


def stop_code(stop: BaseException) -> int:
    """Return the exit code of a command that something stopped."""
    if isinstance(stop, KeyboardInterrupt):
        return INTERRUPTED
    return stop.code if isinstance(stop, Terminated) else int(ExitCode.INTERNAL)


def decide_exit(codes: Collection[ExitCode], *, valid: bool = True) -> ExitCode:
    """Return the first that applies of 1, 2, 6, 5 (an invalid run), 4, 3, 5, 7, 0.

    Args:
        codes: Every code that applies.
        valid: False where the run itself is invalid, so that its 5 goes before 4 and 3.
    """
    return min(codes, key=lambda code: precedence(code, valid=valid), default=ExitCode.OK)

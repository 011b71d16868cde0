"""Names that only an attack would call from a checkpoint."""

from evalkit.display import visible
from evalkit.errors import CheckpointError

# Protocol 2 writes Python 2's names: subprocess stands there as commands, builtins as __builtin__.
_HOSTILE_MODULES = frozenset(
    "os posix nt subprocess socket importlib imp runpy shutil sys pty ctypes pickle _pickle marshal"
    " commands popen2 webbrowser pdb bdb timeit profile cProfile".split()
)
# As a part inside a path these are no module of anybody's own: torch.serialization.os.system.
_HOSTILE_PARTS = frozenset("os posix nt subprocess importlib sys shutil pty ctypes builtins".split())
_HOSTILE_NAMES = frozenset(
    "eval exec execfile compile open __import__ getattr setattr delattr input breakpoint apply file".split()
)
_BUILTINS = frozenset({"builtins", "__builtin__"})
_HOSTILE = frozenset(
    "io.open io.open_code io.FileIO _io.open _io.FileIO codecs.open operator.attrgetter operator.methodcaller"
    " code.interact pip.main types.FunctionType types.CodeType"
    " torch.load torch.hub.load torch.jit.load torch.serialization.load numpy.load".split()
)


def check_harmless(name: str) -> None:
    """Raise CheckpointError where a file calls what only an attack would call."""
    root, _, rest = name.partition(".")
    inside = _HOSTILE_PARTS.intersection(rest.split(".")[:-1])
    if (
        root in _HOSTILE_MODULES
        or inside
        or name in _HOSTILE
        or (root in _BUILTINS and rest in _HOSTILE_NAMES)
    ):
        raise hostile(f"call {visible(name)}")


def hostile(act: str) -> CheckpointError:
    """Build the refusal of a file that would do something to whoever loads it."""
    return CheckpointError(
        f"hostile: the file would {act} when loaded by pickle (nothing was run)",
        hint="Unless you wrote it yourself, do not load it with other tools",
    )

"""Names that only an attack would call from a checkpoint."""

from evalkit.errors import CheckpointError

# Protocol 2 writes Python 2's names: subprocess stands there as commands, builtins as __builtin__.
_HOSTILE_MODULES = frozenset(
    "os posix nt subprocess socket importlib imp runpy shutil sys pty ctypes pickle _pickle marshal"
    " commands popen2 webbrowser pdb".split()
)
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
    if root in _HOSTILE_MODULES or name in _HOSTILE or (root in _BUILTINS and rest in _HOSTILE_NAMES):
        raise CheckpointError(
            f"hostile: the file would call {name} when loaded by pickle (nothing was run)",
            hint="Unless you wrote it yourself, do not load it with other tools",
        )

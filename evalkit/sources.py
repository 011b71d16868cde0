"""The files that a model's code consists of, and those that it reads, with their digests."""

import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from importlib.util import source_from_cache
from pathlib import Path

from evalkit.provenance import portable_path
from evalkit.reads import noted

# Of larger files size and time are taken instead of their content.
_MAX_BYTES = 64 * 1024**2
_PACKAGE = Path(__file__).parent


class Sources:
    """Digests of files, each as it was when it was first seen: what is edited later is not what ran.

    Args:
        base: The specification's folder: what is imported from there is the user's.
        loaded_before: Other modules that are left out: what the process had imported before.
    """

    def __init__(self, base: Path, loaded_before: frozenset[str]) -> None:
        self._base = base.resolve()
        self._loaded_before = loaded_before
        self._code: dict[str, str] = {}
        self._read: dict[str, str] = {}

    def code(self) -> dict[str, str]:
        """Return the source files that are imported by now, and what was read while the model was built."""
        for path in (*self._imported(), *(_source(path) for path in noted("built"))):
            self._note(self._code, path)
        return dict(self._code)

    def read(self) -> dict[str, str]:
        """Return what the forward pass has read by now."""
        for path in map(_source, noted("run")):
            self._note(self._read, path)
        return {name: digest for name, digest in self._read.items() if name not in self._code}

    def now(self, known: Iterable[str]) -> dict[str, str]:
        """Return the digests of a known run's files, which may not be open yet, as they are now."""
        return {name: digest_of(self._base / name) for name in known}

    def _note(self, found: dict[str, str], path: str) -> None:
        if path.startswith(_elsewhere()) or not os.path.isfile(path):  # noqa: PTH113 - thousands of them
            return
        name = portable_path(Path(path), base=self._base)
        if name not in found:
            found[name] = digest_of(Path(path))

    def _imported(self) -> Iterable[str]:
        inside = f"{self._base}{os.sep}"
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or not file.endswith(".py"):
                continue
            if name not in self._loaded_before or file.startswith(inside):
                yield file


def digest_of(path: Path) -> str:
    """Return a regular file's SHA-256, of a large one the size and time; empty where there is none."""
    try:
        if not path.is_file():  # a device or a pipe may never end
            return ""
        state = path.stat()
        if state.st_size > _MAX_BYTES:
            return f"{state.st_size} bytes, {state.st_mtime_ns}"
        return sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return ""


def packages() -> dict[str, str]:
    """Return the installed packages that are imported: version, and the size and time of the top file."""
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." in name or not isinstance(file, str) or not file.startswith(_installed()):
            continue
        try:
            state = os.stat(file)  # noqa: PTH116 - hundreds of them
        except OSError:
            continue
        version = vars(module).get("__version__")  # without asking: some modules warn
        found[name] = f"{version if isinstance(version, str) else ''}|{state.st_size}|{state.st_mtime_ns}"
    return found


@cache
def own_source() -> str:
    """Return the digest of evalkit itself."""
    digest = sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _source(path: str) -> str:
    """Return the source of a compiled module, any other path as it is."""
    path = os.path.abspath(path)  # noqa: PTH100 - links stay as they are named
    if path.endswith(".pyc") and "__pycache__" in path:
        try:
            return source_from_cache(path)
        except ValueError:
            return path
    return path


@cache
def _installed() -> tuple[str, ...]:
    paths: Mapping[str, str] = sysconfig.get_paths()
    return tuple({f"{paths[name]}{os.sep}" for name in ("purelib", "platlib")})


@cache
def _elsewhere() -> tuple[str, ...]:
    """Return folders whose files are not the user's: installed ones, caches, and what the system makes up."""
    paths: Mapping[str, str] = sysconfig.get_paths()
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")]
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home raises where there is none
    folders += [str(_PACKAGE), "/proc", "/sys", "/dev", os.path.join(home, ".cache")]  # noqa: PTH118
    return tuple({f"{folder}{os.sep}" for folder in folders})

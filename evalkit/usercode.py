"""Code that the user names as ``module:object``: looked for beside the specification first."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from evalkit.errors import ModelError, listed, nearest, reason_of
from evalkit.reads import noting


def find_object(name: str, *, base: Path) -> Any:
    """Import ``module:object``; the module is looked for beside the specification first."""
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise ModelError(f"{name}: expected module:callable")
    module = _import(module_name, base, name)
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            public = [key for key in dir(found) if not key.startswith("_")]
            raise ModelError(f"{name}: {module_name} has no {part!r}{nearest(part, public)}") from error
        except Exception as error:
            raise ModelError(f"{name}: looking {part!r} up raised {reason_of(error)}") from error
    return found


@contextlib.contextmanager
def import_path(base: Path) -> Iterator[None]:
    """Put the specification's folder first on the import path for a while."""
    entry = str(base.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(entry)


def _import(module_name: str, base: Path, name: str) -> ModuleType:
    try:
        with import_path(base), noting("built"):
            importlib.invalidate_caches()
            _forget_other(module_name, base)
            return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            where = base.resolve()
            beside = listed(sorted(path.stem for path in where.glob("*.py")))
            raise ModelError(
                f"{name}: no module {error.name!r} beside the specification or installed",
                hint=f"Beside it are: {beside}" if beside else None,
            ) from error
        raise ModelError(f"{name}: importing it raised {reason_of(error)}") from error
    except (Exception, SystemExit) as error:
        # A training script may do anything at import.
        raise ModelError(f"{name}: importing it raised {reason_of(error)}") from error


def _forget_other(module_name: str, base: Path) -> None:
    """Drop a module of the same name that was imported for another specification."""
    top = module_name.partition(".")[0]
    beside = [base.resolve() / f"{top}.py", base.resolve() / top / "__init__.py"]
    loaded = getattr(sys.modules.get(top), "__file__", None)
    mine = next((path for path in beside if path.exists()), None)
    if mine is not None and top in sys.modules and loaded != str(mine):
        for key in [key for key in sys.modules if key == top or key.startswith(f"{top}.")]:
            del sys.modules[key]

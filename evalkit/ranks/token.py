"""Whether all ranks see one folder: rank 0 writes a random token there, and everyone looks for it."""

import secrets
from pathlib import Path

from evalkit import files
from evalkit.errors import OutputError, os_reason

# Removed with everything else that is temporary when the folder is given back.
TOKEN = f"{files.TEMPORARY}token"
N_BYTES = 16


def write_token(folder: Path) -> bytes:
    """Write a new token into a folder; OutputError where that cannot be written."""
    token = secrets.token_bytes(N_BYTES)
    try:
        files.replace_file(folder / TOKEN, token)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {os_reason(error)}") from error
    return token


def holds_token(folder: Path, token: bytes) -> bool:
    """Return whether a folder, as this process sees it, holds the token; not where it cannot be read."""
    try:
        return (folder / TOKEN).read_bytes() == token
    except OSError:
        return False

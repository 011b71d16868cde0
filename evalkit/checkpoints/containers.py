"""Recognises a checkpoint by its first bytes and opens it; what is none is refused with its own sentence."""

from evalkit.checkpoints import legacy_file, zip_file
from evalkit.checkpoints.data import Contents
from evalkit.checkpoints.safetensors_file import is_safetensors, open_safetensors
from evalkit.errors import CheckpointError

_HEAD_BYTES = 4096
_PRINTABLE = frozenset(range(32, 127)) | frozenset(b"\t\n\r\f")
# The commonest files that are no checkpoints, by how they start.
_FOREIGN = (
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself", "Run git lfs pull"),
    (b"<", "looks like a web page, not a checkpoint", "Download it again"),
    (b"{", "a JSON text, not a checkpoint", "Download it again"),
    (b"\x80", "a plain pickle that torch.save did not write", "Save the state_dict with torch.save"),
    (b"\x89hdf", "an HDF5 file, not a torch checkpoint", None),
)


def open_container(data: bytes) -> Contents:
    """Open the whole bytes of a file.

    Raises:
        CheckpointError: It is empty, foreign, or damaged.
        Exception: Whatever else a damaged pickle provokes; the caller maps it.
    """
    if not data:
        raise CheckpointError("the file is empty")
    if data.startswith(zip_file.MAGIC):
        return zip_file.open_zip(data)
    if data.startswith(legacy_file.MAGIC):
        return legacy_file.open_legacy(data)
    if is_safetensors(data):
        return open_safetensors(data)
    raise _foreign(data[:_HEAD_BYTES])


def _foreign(head: bytes) -> CheckpointError:
    start = head.lstrip().lower()
    for magic, text, hint in _FOREIGN:
        if start.startswith(magic):
            return CheckpointError(text, hint=hint)
    if head[257:262] == b"ustar":
        return CheckpointError("torch's old tar format is not read", hint="Load and save it again with torch")
    if set(head) <= _PRINTABLE:
        return CheckpointError("a text file, not a checkpoint")
    return CheckpointError("not a checkpoint: expected torch's zip or legacy format, or safetensors")

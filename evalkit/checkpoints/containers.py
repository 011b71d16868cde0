"""Recognises a checkpoint by its first bytes and opens it; what is none is refused with its own sentence."""

from evalkit.checkpoints import legacy_file, zip_file
from evalkit.checkpoints.data import Contents
from evalkit.checkpoints.safetensors_file import is_safetensors, open_safetensors
from evalkit.errors import CheckpointError
from evalkit.sniff import HEAD_BYTES, foreign


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
    if legacy_file.is_legacy(data):
        return legacy_file.open_legacy(data)
    if is_safetensors(data):
        return open_safetensors(data)
    raise _refusal(data[:HEAD_BYTES])


def _refusal(head: bytes) -> CheckpointError:
    known = foreign(head)
    if known is not None:
        return CheckpointError(f"{known[0]}, not a checkpoint", hint=known[1])
    if head.startswith(b"\x80"):
        return CheckpointError(
            "a plain pickle that torch.save did not write", hint="Save the state_dict with torch.save"
        )
    if head[257:262] == b"ustar":
        return CheckpointError("torch's old tar format is not read", hint="Load and save it again with torch")
    return CheckpointError("not a checkpoint: expected torch's zip or legacy format, or safetensors")

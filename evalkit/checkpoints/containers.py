"""Recognises a checkpoint by its first bytes; what is none is refused with its own sentence."""

from collections.abc import Callable

from evalkit.checkpoints import legacy_file, zip_file
from evalkit.checkpoints.data import Contents
from evalkit.checkpoints.safetensors_file import is_safetensors, open_safetensors
from evalkit.errors import CheckpointError
from evalkit.sniff import foreign


def recognise(head: bytes, size: int) -> Callable[[bytes], Contents]:
    """Return what opens the whole bytes of a file; nothing but its beginning was read yet.

    Args:
        head: The first :data:`evalkit.sniff.HEAD_BYTES` bytes.
        size: Of the file.

    Raises:
        CheckpointError: It is empty or foreign.
    """
    if not head:
        raise CheckpointError("the file is empty")
    if head.startswith(zip_file.MAGIC):
        return zip_file.open_zip
    if legacy_file.is_legacy(head):
        return legacy_file.open_legacy
    if is_safetensors(head, size):
        return open_safetensors
    raise _refusal(head)


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

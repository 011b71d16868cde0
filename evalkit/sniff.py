"""What a file is that is not what was asked for, by its first bytes: the commonest mistakes by name."""

HEAD_BYTES = 4096

_PRINTABLE = frozenset(range(32, 127)) | frozenset(b"\t\n\r\f")
_STARTS = (
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself", "Run git lfs pull"),
    (b"<", "looks like a web page", "Download it again"),
    (b"{", "a JSON text", "Download it again"),
    (b"\x89hdf", "an HDF5 file", None),
    (b"par1", "a Parquet file", None),
)


def foreign(head: bytes) -> tuple[str, str | None] | None:
    """Return what a file seems to be and what to do about it; None where nothing is known.

    Args:
        head: Its first :data:`HEAD_BYTES` bytes.
    """
    start = head.lstrip().lower()
    for magic, text, hint in _STARTS:
        if start.startswith(magic):
            return text, hint
    if head and set(head) <= _PRINTABLE:
        return "a text file", None
    return None

"""What a file is that is not what was asked for, by its first bytes: the commonest mistakes by name."""

HEAD_BYTES = 4096

# An ONNX file begins with the number of its format and the name of what wrote it.
_ONNX_VERSION, _ONNX_HEAD, _ONNX_WRITERS = b"\x08", 64, (b"torch", b"onnx", b"tf2")
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
    if head.startswith(_ONNX_VERSION) and any(
        word in head[:_ONNX_HEAD] for word in (b"torch", b"onnx", b"tf2")
    ):
        return "an ONNX file", "evalkit.score takes the predictions of any framework"
    if head and set(head) <= _PRINTABLE:
        return "a text file", None
    return None

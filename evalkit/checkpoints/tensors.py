"""Gives one tensor of a file: a strided view of its storage, of a plain type, inside its bytes."""

import warnings

import torch

from evalkit.checkpoints.data import TensorData, itemsize
from evalkit.errors import CheckpointError


def tensor_of(data: TensorData, raw: memoryview, *, byteorder: str = "little") -> torch.Tensor:
    """Return a tensor that shares a storage's memory (of the other byte order: a copy).

    Args:
        data: The view.
        raw: The storage's bytes.
        byteorder: ``little`` or ``big``.

    Raises:
        CheckpointError: It reaches outside its storage, is an expanded view, or of a type not read.
    """
    size, dtype = itemsize(data.dtype), getattr(torch, data.dtype)
    if data.dtype.startswith(("qint", "quint")):
        raise CheckpointError("is quantized, which is not read")
    if data.storage.numel * itemsize(data.storage.dtype) > len(raw):
        raise CheckpointError("its storage is shorter than the file says")
    numel, last = 1, data.offset
    for extent, stride in zip(data.shape, data.stride, strict=True):
        numel *= extent
        last += (extent - 1) * stride
    available = len(raw) // size
    if numel == 0:
        return torch.empty(data.shape, dtype=dtype)
    if any(stride == 0 and extent > 1 for extent, stride in zip(data.shape, data.stride, strict=True)):
        raise CheckpointError("is an expanded view", hint="Save it with .contiguous()")
    if numel > available or last >= available:
        raise CheckpointError("reaches outside its storage")
    return _flat(raw[: available * size], dtype, byteorder).as_strided(data.shape, data.stride, data.offset)


def _flat(raw: memoryview, dtype: torch.dtype, byteorder: str) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        flat = torch.frombuffer(raw, dtype=dtype)
    if byteorder == "big" and dtype.itemsize > 1:
        one = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
        flat = flat.view(torch.uint8).reshape(-1, one).flip(1).reshape(-1).view(dtype)
    return flat

"""What chosen samples look like: the only place that looks at inputs twice."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from evalkit.datasets import Batch, Source
from evalkit.gallery import GalleryRow, Kind
from evalkit.inference.batches import tensors_of

SIDE, QUALITY = 96, 70
_MAX_VALUES = 256
_CHANNELS = (1, 3)


def shown(source: Source, rows: Sequence[GalleryRow], positions: Sequence[int]) -> tuple[GalleryRow, ...]:
    """Add to each sample a picture of at most 96 pixels, or its values; a sample that fails has none."""
    return tuple(
        GalleryRow(
            row.sample_id,
            row.why,
            row.y_true,
            row.y_pred,
            row.p_pred,
            row.p_true,
            *_content(source, position),
        )
        for row, position in zip(rows, positions, strict=True)
    )


def are_images(source: Source) -> bool:
    """Return whether samples are pictures: files, or arrays with one or three channels."""
    return hasattr(source, "picture") or _as_image(_first(source.batch(np.array([0])))) is not None


def _content(source: Source, position: int) -> tuple[Kind, bytes]:
    try:
        picture = getattr(source, "picture", None)
        image = picture(position) if picture is not None else None
        value = None if image is not None else _first(source.batch(np.array([position])))
        image = image or _as_image(value)
        if image is not None:
            return "webp", _webp(image)
        return ("values", _values(value)) if value is not None else ("", b"")
    except Exception:  # noqa: BLE001 - it was measured already; a page without this picture is no wrong page
        return "", b""


def _first(batch: Batch) -> NDArray[Any] | None:
    """Return the first input of the first sample."""
    found = tensors_of(batch.inputs)
    if not len(batch.index) or not found:
        return None
    value = found[0][0]
    return np.asarray(value.float() if value.dtype == torch.bfloat16 else value)


def _as_image(value: NDArray[Any] | None) -> Image.Image | None:
    """Return an array (C, H, W) as a picture, stretched from its least to its greatest value."""
    if value is None or value.ndim != 3 or value.shape[0] not in _CHANNELS or min(value.shape[1:]) < 4:  # noqa: PLR2004
        return None
    plane = value.astype(np.float64)
    span = float(plane.max() - plane.min()) or 1.0
    pixels = np.rint((plane - plane.min()) / span * 255).astype(np.uint8)
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))


def _webp(image: Image.Image) -> bytes:
    scale = SIDE / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    target = io.BytesIO()
    image.convert("RGB").resize((size[0], size[1]), how).save(target, format="WEBP", quality=QUALITY)
    return target.getvalue()


def _values(value: NDArray[Any]) -> bytes:
    """Return at most 256 numbers of the first channel."""
    flat = value.reshape(-1) if value.ndim < 2 else value.reshape(len(value), -1)[0]  # noqa: PLR2004
    step = max(1, -(-len(flat) // _MAX_VALUES))
    return flat[::step].astype("<f4").tobytes()

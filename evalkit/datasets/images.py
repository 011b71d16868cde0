"""Decodes image files, and refuses what would silently become another picture."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageFile, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

Mode = Literal["RGB", "L", "I16"]
Exif = Literal["refuse", "ignore", "apply"]

# As torchvision.datasets.ImageFolder.
EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})

_ORIENTATION = 0x0112
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_TURNED = range(2, 9)
_BYTE, _WORD = 8, 16
_TIFF_BITS = 258
_PNG_DEPTH = slice(24, 25)  # signature, length and type of IHDR, width, height; then the depth
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image in the mode that was asked for, and the mode that the file had."""

    image: Image.Image
    mode: str


def truncated_allowed() -> bool:
    """Return whether somebody made Pillow fill up truncated images; evalkit's own reading never does."""
    return bool(ImageFile.LOAD_TRUNCATED_IMAGES)


def decode(path: Path, *, mode: Mode, exif: Exif) -> Decoded:
    """Decode one file.

    Args:
        path: The image.
        mode: RGB or L converts as torchvision's loader does; I16 takes 16-bit greyscale as it is.
        exif: What to do with an orientation that is not the identity.

    Raises:
        ValueError: 16 bits where 8 were asked for, a rotation that nobody decided on, or a picture so large
            that it may be an attack.
        OSError: The file is truncated or no image.
    """
    with _strict(), Image.open(path) as opened:
        found = opened.mode
        if mode != "I16" and found in _DEEP_MODES:
            raise ValueError(f"has more than 8 bits a channel (mode {found}); converting would clip it")
        depth = _depth(opened, path)
        if mode != "I16" and depth > _BYTE:
            raise ValueError(f"has {depth} bits a channel, of which Pillow keeps 8 in mode {found}")
        if mode == "I16" and not (found.startswith("I") and depth == _WORD):
            raise ValueError(f"is not 16-bit greyscale (mode {found}, {depth} bits)")
        orientation = opened.getexif().get(_ORIENTATION, 1)
        image: Image.Image = opened
        turned = orientation in _TURNED
        if turned and exif == "refuse":
            raise ValueError(
                f"is to be shown rotated (EXIF orientation {orientation}); say exif: ignore or apply"
            )
        if turned and exif == "apply":
            image = ImageOps.exif_transpose(opened)
        return Decoded(image.convert("I" if mode == "I16" else mode), found)


def _depth(image: Any, path: Path) -> int:
    """Return the bits a channel that the file has, where its format can have more than Pillow decodes."""
    if isinstance(image, TiffImageFile):
        return max(map(int, image.tag_v2.get(_TIFF_BITS, (_BYTE,))))
    if image.format == "PNG":
        with path.open("rb") as file:
            head = file.read(_PNG_DEPTH.stop)
        return head[_PNG_DEPTH.start]
    if image.format == "PPM":
        arguments = image.tile[0].args
        if isinstance(arguments, tuple):
            return int(arguments[1]).bit_length()
        return _WORD if "16" in arguments else _BYTE
    return _WORD if image.mode.startswith("I;16") else _BYTE


@contextmanager
def _strict() -> Iterator[None]:
    """Refuse truncated files and decompression bombs, whatever other libraries have switched."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a decoder finds odd and reads all the same
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        switched = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ValueError(f"is too large: {error}") from error
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = switched

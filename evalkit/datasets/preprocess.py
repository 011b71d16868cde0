"""Preprocessing is declared, applied as torchvision applies it, and said in one line."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from evalkit.datasets.images import Exif, Mode
from evalkit.errors import DataError, SpecificationError, listed
from evalkit.spec import Loaded, PreprocessSpec
from evalkit.usercode import find_object

_IMAGE_SOURCES = ("folder", "table")
_DIVISORS = {"RGB": 255, "L": 255, "I16": 65535}


class Library(Protocol):
    """What a library declares for its own weights."""

    @property
    def transform(self) -> Callable[[Any], torch.Tensor]:
        """From a Pillow image to a tensor."""

    @property
    def text(self) -> str:
        """The same in one line."""

    @property
    def named(self) -> bool:
        """Whether the factory names the weights that it belongs to."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image becomes a tensor.

    Attributes:
        transform: From a Pillow image to a tensor, shape (C, H, W); None where inputs are taken as they are.
        text: The line that heads the data card.
        mode, exif: How files are decoded.
    """

    transform: Callable[[Any], Any] | None
    text: str
    mode: Mode = "RGB"
    exif: Exif = "refuse"

    @classmethod
    def declared(
        cls, loaded: Loaded, *, library: Library | None, in_file: Any = None, options: list[str] | None = None
    ) -> "Preprocessing":
        """Return what the specification, else the checkpoint, else the library declares.

        Args:
            loaded: The specification.
            library: What the factory's library declares.
            in_file: What the checkpoint's metadata declares.
            options: Values of ``preprocess`` to name where images have none.

        Raises:
            SpecificationError: Images without any, or a declaration that does not fit the source.
        """
        declared = loaded.spec.data.preprocess
        images = loaded.spec.data.source in _IMAGE_SOURCES and not loaded.spec.data.features
        path = ("data", "preprocess")
        if declared is None and in_file is not None:
            declared = in_file
        if not images:
            if declared is not None:
                raise loaded.source.error(
                    path, f"belongs to images, not to source: {loaded.spec.data.source}"
                )
            return cls(None, "none: inputs are fed as they are")
        if declared == "library" or (declared is None and library is not None and library.named):
            if library is None:
                raise loaded.source.error(
                    path,
                    "the library's weights entries differ, name one in model.factory",
                    hint=_one_of(options),
                )
            return cls(library.transform, f"library: {library.text}")
        if isinstance(declared, PreprocessSpec):
            return cls(image_transform(declared), describe(declared), declared.mode, declared.exif)
        if isinstance(declared, str):
            return cls(_user_transform(declared, loaded), f"{declared} (user code)")
        raise loaded.source.error(
            path,
            "is required for images",
            hint='Say --preprocess "{resize: 256, crop: 224, mean: [...], std: [...]}" or module:object'
            + (f", or library with {_one_of(options)} as model" if options else ""),
        )


def _one_of(options: list[str] | None) -> str | None:
    return f"one of {listed(options)}" if options else None


def describe(spec: PreprocessSpec) -> str:
    """Write a declared preprocessing as one line."""
    scale = f"divided by {_DIVISORS[spec.mode]}" if spec.scale is None else f"times {spec.scale}"
    parts: list[str] = [spec.mode]
    if spec.resize is not None:
        parts.append(f"resize {spec.resize} ({spec.interpolation}, antialias)")
    if spec.crop is not None:
        parts.append(f"central crop {spec.crop}")
    parts.append(scale)
    if spec.mean is not None:
        parts.append(f"minus mean {list(spec.mean)}")
    if spec.std is not None:
        parts.append(f"divided by std {list(spec.std)}")
    if spec.exif != "refuse":
        parts.append(f"EXIF rotation: {spec.exif}")
    return ", ".join(parts)


def image_transform(spec: PreprocessSpec) -> Callable[[Any], torch.Tensor]:
    """Build the transform of a mapping, with torchvision's own resize and crop on the Pillow image."""
    try:
        from torchvision.transforms import v2  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SpecificationError(
            "preprocessing images needs torchvision", hint="pip install 'torch-evalkit[vision]'"
        ) from error
    functional = v2.functional
    interpolation = v2.InterpolationMode(spec.interpolation)

    def transform(image: Any) -> torch.Tensor:
        if spec.resize is not None:
            size = [spec.resize] if isinstance(spec.resize, int) else list(spec.resize)
            image = functional.resize(image, size, interpolation=interpolation, antialias=True)
        if spec.crop is not None:
            size = [spec.crop, spec.crop] if isinstance(spec.crop, int) else list(spec.crop)
            image = functional.center_crop(image, size)
        pixels = np.asarray(image, dtype=np.float32)
        # Divided, not multiplied by the inverse: to the bit what torchvision's ToTensor gives.
        if spec.scale is None:
            pixels = np.divide(pixels, np.float32(_DIVISORS[spec.mode]))
        else:
            pixels = np.multiply(pixels, np.float32(spec.scale))
        tensor = torch.from_numpy(pixels if pixels.ndim == 3 else pixels[:, :, None])  # noqa: PLR2004
        tensor = tensor.permute(2, 0, 1).contiguous()
        if spec.mean is None and spec.std is None:
            return tensor
        mean = torch.tensor([float(str(m)) for m in spec.mean or (0.0,)])
        std = torch.tensor([float(str(s)) for s in spec.std or (1.0,)])
        return (tensor - mean[:, None, None]) / std[:, None, None]

    return transform


def _user_transform(name: str, loaded: Loaded) -> Callable[[Any], Any]:
    function = find_object(name, base=loaded.base)
    if not callable(function):
        raise loaded.source.error(("data", "preprocess"), f"{name} is not callable")

    def transform(image: Any) -> Any:
        result = function(image)
        if not isinstance(result, torch.Tensor):
            raise DataError(f"{name} returned a {type(result).__name__}, expected a tensor")
        return result

    return transform

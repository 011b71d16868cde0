"""Image files by path: decoded in the order that is asked for; what cannot be read is named, not skipped."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from evalkit.datasets.images import decode
from evalkit.datasets.preprocess import Preprocessing
from evalkit.datasets.source import Batch, Identity
from evalkit.digests import content_digest
from evalkit.display import portable_text
from evalkit.errors import DataError, os_reason, reason_of
from evalkit.parts import Unreadable


@dataclass(frozen=True, slots=True)
class Pictures:
    """Image files with labels.

    Attributes:
        root: What the paths are relative to.
        files: POSIX paths.
        ids: Sample ids.
        y: Class indices, int64, shape (n,), or label sets as booleans, shape (n, L).
        preprocessing: From an image to a tensor.
        attributes: Further columns by name, each of shape (n,).
        described: Facts for the document.
    """

    root: Path
    files: Sequence[str]
    ids: Sequence[str]
    y: NDArray[Any]
    preprocessing: Preprocessing
    attributes: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    described: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)

    def labels(self) -> NDArray[Any]:
        """Return all class indices, or label sets."""
        return self.y

    def batch(self, index: NDArray[np.int64]) -> Batch:
        """Decode the images at some positions."""
        kept: list[int] = []
        tensors: list[torch.Tensor] = []
        lost: list[Unreadable] = []
        modes: Counter[str] = Counter()
        for position in index.tolist():
            try:
                tensor, mode = self._read(position)
            except DataError:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001 - any decoder, any fault
                lost.append(
                    Unreadable(position, portable_text(self.files[position]), portable_text(_reason(error)))
                )
                continue
            kept.append(position)
            tensors.append(tensor)
            modes[mode] += 1
        where = np.array(kept, np.int64)
        return Batch(
            where,
            (self._stacked(tensors, kept),) if tensors else (),
            self.y[where],
            ids=[self.ids[i] for i in kept],
            attributes={name: values[where] for name, values in self.attributes.items()},
            unreadable=tuple(lost),
            modes=modes,
        )

    def picture(self, position: int) -> Image.Image:
        """Return one image as it is in its file, for people."""
        preprocessing = self.preprocessing
        path = self.root / self.files[position]
        return decode(path, mode=preprocessing.mode, exif=preprocessing.exif).image

    def identity(self) -> Identity:
        """Return a digest of the files' names and sizes, and of when they were written."""
        digest = sha256(content_digest(self.y, self.ids, self.attributes).encode())
        for name, state in self._states():
            size = "gone" if state is None else state.st_size
            digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
        return Identity(digest.hexdigest(), self.stamp())

    def stamp(self) -> str:
        """Return a digest of the files' sizes and times."""
        digest = sha256()
        for _, state in self._states():
            known = () if state is None else (state.st_size, state.st_mtime_ns, state.st_ctime_ns)
            digest.update(f"{known}\0".encode())
        return digest.hexdigest()

    def _states(self) -> Iterator[tuple[str, os.stat_result | None]]:
        for name in self.files:
            try:
                yield name, (self.root / name).stat()
            except OSError:  # the run will find out why
                yield name, None

    def facts(self) -> dict[str, Any]:
        """Return what the document says about the data."""
        return {
            **self.described,
            "n_samples": len(self),
            "ids": "explicit",
            "attributes": sorted(self.attributes),
        }

    def _read(self, position: int) -> tuple[torch.Tensor, str]:
        preprocessing = self.preprocessing
        decoded = decode(self.root / self.files[position], mode=preprocessing.mode, exif=preprocessing.exif)
        assert preprocessing.transform is not None
        return preprocessing.transform(decoded.image), decoded.mode

    def _stacked(self, tensors: list[torch.Tensor], positions: list[int]) -> torch.Tensor:
        for tensor, position in zip(tensors, positions, strict=True):
            if tensor.shape != tensors[0].shape:
                raise DataError(
                    f"{self.ids[position]}: preprocessing gives shape {tuple(tensor.shape)}, "
                    f"others have {tuple(tensors[0].shape)}",
                    hint="Set a crop, or a resize of two numbers",
                )
        return torch.stack(tensors)


def _reason(error: BaseException) -> str:
    text = os_reason(error) if isinstance(error, OSError) else reason_of(error)
    return text.removeprefix("ValueError: ").removeprefix("OSError: ")

"""Models of torchvision by name, offline: ``torchvision:NAME[/WEIGHTS_ENTRY]``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.checkpoints.library import LibraryPreprocessing, check_known, imported
from evalkit.errors import SpecificationError, listed, nearest


@dataclass(frozen=True, slots=True)
class TorchvisionModel:
    """A :class:`~evalkit.checkpoints.library.LibraryModel` of torchvision.

    Attributes:
        name: Of the architecture.
        entry: Of the weights, whose preprocessing and class names are meant.
    """

    name: str
    entry: str | None
    sized_by_classes: bool = True
    select: str | None = None

    def check(self) -> None:
        """Raise ModelError where torchvision has no such classifier."""
        models = imported("torchvision").models
        check_known("torchvision", self.name, models.list_models(module=models))

    def build(self, args: Mapping[str, Any]) -> Any:
        """Build it with random weights."""
        return imported("torchvision").models.get_model(self.name, weights=None, **args)

    def preprocessing(self) -> LibraryPreprocessing | None:
        """Return the transforms of the weights entry; SpecificationError where there is no such entry."""
        if self.entry is None:
            return None
        transform = self._weights(self.entry).transforms()
        return LibraryPreprocessing(transform, " ".join(repr(transform).split()), named=True)

    def entries(self) -> list[str]:
        """List the weights entries with their sizes and published accuracy."""
        lines = []
        for weights in imported("torchvision").models.get_model_weights(self.name):
            transform = weights.transforms()
            resize, crop = (getattr(transform, name, "?") for name in ("resize_size", "crop_size"))
            found = weights.meta.get("_metrics", {}).get("ImageNet-1K", {}).get("acc@1")
            published = "" if found is None else f", {found} % on ImageNet"
            lines.append(f"torchvision:{self.name}/{weights.name} (resize {resize}, crop {crop}{published})")
        return lines

    def class_names(self) -> list[str] | None:
        """Return the class names of the weights entry."""
        if self.entry is None:
            return None
        categories = self._weights(self.entry).meta.get("categories")
        return None if categories is None else list(categories)

    def weights_file(self) -> Path | None:
        """Return None: torchvision's weights would be downloaded."""
        return None

    def _weights(self, entry: str) -> Any:
        weights = imported("torchvision").models.get_model_weights(self.name)
        names = [item.name for item in weights]
        if entry not in names:
            raise SpecificationError(
                f"torchvision:{self.name} has no weights entry {entry!r}{nearest(entry, names)}",
                hint=f"It has: {listed(names)}",
            )
        return weights[entry]

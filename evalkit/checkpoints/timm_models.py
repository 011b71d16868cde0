"""Models of timm by name, offline: ``timm:NAME[.TAG]``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.checkpoints.library import LibraryPreprocessing, check_known, imported


@dataclass(frozen=True, slots=True)
class TimmModel:
    """A :class:`~evalkit.checkpoints.library.LibraryModel` of timm.

    Attributes:
        name: Of the architecture; with a tag, of weights whose preprocessing is meant.
    """

    name: str
    sized_by_classes: bool = True
    select: str | None = None

    def check(self) -> None:
        """Raise ModelError where timm has no such classifier: also places that would be downloaded from."""
        check_known("timm", self.name.partition(".")[0], imported("timm").list_models())

    def build(self, args: Mapping[str, Any]) -> Any:
        """Build it with random weights."""
        return imported("timm").create_model(self.name, pretrained=False, **args)

    def preprocessing(self) -> LibraryPreprocessing | None:
        """Return the transforms of timm's configuration."""
        timm, data = imported("timm"), imported("timm").data
        config = data.resolve_data_config(timm.get_pretrained_cfg(self.name).to_dict())
        transform = data.create_transform(**config)
        return LibraryPreprocessing(transform, " ".join(repr(transform).split()), named="." in self.name)

    def entries(self) -> list[str]:
        """Return none: timm names weights by a tag."""
        return []

    def class_names(self) -> list[str] | None:
        """Return None: timm does not name classes."""
        return None

    def weights_file(self) -> Path | None:
        """Return None: timm's weights would be downloaded."""
        return None

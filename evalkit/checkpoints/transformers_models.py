"""Image classifiers that Hugging Face transformers saved: ``transformers:DIR``, a local folder, offline."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from evalkit.checkpoints.library import LibraryPreprocessing, built, imported
from evalkit.checkpoints.loading import casts_to, check_finite
from evalkit.checkpoints.reader import Checkpoint
from evalkit.checkpoints.tree import tensor_sets
from evalkit.classes import names_by_index
from evalkit.display import MAX_TEXT, visible
from evalkit.errors import CheckpointError, ModelError, listed, os_reason, reason_of

# As transformers itself looks for them.
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_LOCAL = {"local_files_only": True, "trust_remote_code": False}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from drawing a bar and reporting what is refused in our own words."""
    logging = imported("transformers").utils.logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def load_pretrained(
    architecture: Any, config: Any, checkpoint: Checkpoint, args: Mapping[str, Any]
) -> tuple[torch.nn.Module, dict[str, int]]:
    """Build a class of transformers with the weights of a checkpoint, in float32, and count the casts.

    Args:
        architecture: The class, which knows the names that its weights had in earlier versions.
        config: What it is built from.
        checkpoint: The file.
        args: Further arguments of the class.

    Raises:
        CheckpointError: A weight is missing, left over, of another shape, or no number.
    """
    held = next((held for held in tensor_sets(checkpoint.contents.tree) if not held.name), None)
    if held is None:
        raise CheckpointError(f"{checkpoint.path}: holds no weights: no dictionary of tensors in it")
    state = {key: checkpoint.tensor(data, name=key).clone() for key, data in held.tensors.items()}
    check_finite(checkpoint.path, state)
    try:
        with _quiet():
            model, found = architecture.from_pretrained(
                None,
                config=config,
                state_dict=state,
                dtype=torch.float32,
                output_loading_info=True,
                **args,
            )
    except Exception as error:
        raise CheckpointError(
            f"{checkpoint.path}: the weights do not fit the model: {reason_of(error)}"
        ) from error
    wrong = {kind: found[f"{kind}_keys"] for kind in ("missing", "unexpected", "mismatched")}
    if any(wrong.values()):
        text = "; ".join(
            f"{len(keys)} {kind}: {listed(sorted(map(str, keys)))}" for kind, keys in wrong.items() if keys
        )
        raise CheckpointError(
            f"{checkpoint.path}: the weights do not fit the model: {visible(text, limit=MAX_TEXT)}"
        )
    return model, casts_to(state, torch.float32)


@dataclass(frozen=True, slots=True)
class TransformersModel:
    """A :class:`~evalkit.checkpoints.library.LibraryModel` of a folder with config.json.

    The architecture is transformers' own class; code that the folder brings is not used. Its weights are read
    as data, and filled in by transformers, which knows the names that they had in its earlier versions.

    Attributes:
        folder: Where ``save_pretrained`` wrote model and image processor.
    """

    folder: Path
    sized_by_classes: bool = False
    select: str | None = "logits"

    def check(self) -> None:
        """Raise ModelError where transformers is missing, CheckpointError where the folder is none."""
        imported("transformers")
        self._config()

    def build(self, args: Mapping[str, Any]) -> Any:
        """Build it with random weights."""
        library = imported("transformers")
        return library.AutoModelForImageClassification.from_config(self._settings(), **args)

    def load(self, checkpoint: Checkpoint, args: Mapping[str, Any]) -> tuple[torch.nn.Module, dict[str, int]]:
        """Build it with the weights of a checkpoint, in float32, and count the casts.

        Raises:
            CheckpointError: A weight is missing, left over, of another shape, or no number.
            ModelError: transformers cannot build it.
        """
        architecture = type(built(f"transformers:{self.folder}", self, args))
        return load_pretrained(architecture, self._settings(), checkpoint, args)

    def preprocessing(self) -> LibraryPreprocessing | None:
        """Return the folder's image processor.

        Raises:
            ModelError: There is none, or it cannot be built.
        """
        library = imported("transformers")
        try:
            processor = library.AutoImageProcessor.from_pretrained(self.folder, **_LOCAL)
        except Exception as error:
            raise ModelError(
                f"{self.folder}: its image processor cannot be built: {reason_of(error)}",
                hint="Save it beside the model (processor.save_pretrained), or say --preprocess",
            ) from error

        def transform(image: Any) -> torch.Tensor:
            pixels: torch.Tensor = processor(images=image, return_tensors="pt")["pixel_values"][0]
            return pixels

        text = json.dumps(processor.to_dict(), sort_keys=True, default=str)
        return LibraryPreprocessing(transform, f"{type(processor).__name__} {text}", named=True)

    def entries(self) -> list[str]:
        """Return none: the folder is the entry."""
        return []

    def class_names(self) -> list[str] | None:
        """Return the names of id2label.

        Raises:
            CheckpointError: It does not name the outputs 0 to K - 1.
        """
        found = self._config().get("id2label")
        if not found:
            return None
        try:
            return names_by_index(found)
        except (ValueError, AttributeError) as error:
            raise CheckpointError(f"{self.folder}: id2label {error}") from error

    def weights_file(self) -> Path | None:
        """Return the folder's weights."""
        return next((self.folder / name for name in _WEIGHTS if (self.folder / name).exists()), None)

    def _settings(self) -> Any:
        if "auto_map" in self._config():
            raise ModelError(f"{self.folder}: names code of its own, which is not run")
        return imported("transformers").AutoConfig.from_pretrained(self.folder, **_LOCAL)

    def _config(self) -> dict[str, Any]:
        path = self.folder / "config.json"
        try:
            return dict(json.loads(path.read_bytes()))
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {os_reason(error)}") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(f"{path}: is no configuration of a model") from error

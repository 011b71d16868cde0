"""The prints of a data set's inputs, to find samples of the training set among those that are evaluated."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import DocumentError, os_reason

SCHEMA = "evalkit.manifest/2"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model was, or would be, fed.

    Attributes:
        prints: 64 bits of a keyed hash of each input, as the model is fed it; uint64, sorted.
        preprocessing: How the inputs were made, in one line: inputs made otherwise are not comparable.
    """

    prints: NDArray[np.uint64]
    preprocessing: str

    def n_shared(self, prints: NDArray[np.uint64]) -> int:
        """Return how many of some inputs are among these."""
        return int(np.isin(prints, self.prints).sum())


def format_manifest(manifest: Manifest) -> bytes:
    """Write a manifest: a NumPy archive of 8 bytes a sample."""
    header, file = json.dumps({"schema": SCHEMA, "preprocessing": manifest.preprocessing}), io.BytesIO()
    np.savez(file, header=np.frombuffer(header.encode(), np.uint8), prints=np.sort(manifest.prints))
    return file.getvalue()


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        DocumentError: Missing, damaged, or of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            header, prints = json.loads(found["header"].tobytes()), found["prints"]
        schema, preprocessing = header["schema"], header["preprocessing"]
    except OSError as error:
        raise DocumentError(f"{path}: cannot be read: {os_reason(error)}") from error
    except Exception as error:
        # A damaged archive can provoke any exception of numpy and zipfile.
        raise DocumentError(f"{path}: is no manifest", hint="evalkit manifest writes one") from error
    if (
        schema != SCHEMA
        or not isinstance(preprocessing, str)
        or prints.dtype != np.uint64
        or prints.ndim != 1
    ):
        raise DocumentError(f"{path}: expected {SCHEMA}, got {schema!r}")
    return Manifest(prints, preprocessing)

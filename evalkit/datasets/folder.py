"""A folder a class, as torchvision reads it, matched to the model's classes by name."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.datasets.images import EXTENSIONS
from evalkit.datasets.pictures import Pictures
from evalkit.datasets.preprocess import Preprocessing
from evalkit.datasets.tables import plain_column, read_table
from evalkit.display import portable_text
from evalkit.errors import DataError, listed, nearest, os_reason
from evalkit.ledger import check_attributes

_CHOICES = "The model's names come from --classes: folder:TRAINING_DIR, checkpoint:KEY, or a file"


@dataclass(slots=True)
class _Listing:
    """What a walk over the folders found."""

    files: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def open_folder(
    root: Path, class_names: tuple[str, ...], preprocessing: Preprocessing, *, attributes: Path | None
) -> Pictures:
    """List the images of a folder data set.

    Args:
        root: One folder a class; a class without a folder is allowed, an unknown folder is not.
        class_names: In the model's order.
        preprocessing: From an image to a tensor.
        attributes: A table joined by its column ``file_name``.

    Raises:
        DataError: Unknown or hidden class folders, links that leave the root, no images.
    """
    _check_class_folders(root, class_names)
    listing = _Listing()
    for index, name in sorted(enumerate(class_names), key=lambda item: item[1]):
        _list_class(root, name, index, listing)
    listing.skipped += [portable_text(entry.name) for entry in sorted(root.iterdir()) if not entry.is_dir()]
    if not listing.files:
        raise DataError(f"{root}: holds no images (looked for {', '.join(sorted(EXTENSIONS))})")
    order = np.argsort(np.array(listing.files), kind="stable").tolist()
    files = [listing.files[i] for i in order]
    ids = [portable_text(name) for name in files]
    empty = [name for k, name in enumerate(class_names) if k not in set(listing.labels)]
    return Pictures(
        root=root,
        files=files,
        ids=ids,
        y=np.array([listing.labels[i] for i in order], np.int64),
        preprocessing=preprocessing,
        attributes={} if attributes is None else _joined(attributes, ids),
        described={
            "source": "folder",
            "n_found": len(files) + len(listing.skipped),
            "skipped": _skipped(listing.skipped),
            "classes_without_samples": empty,
        },
    )


def _check_class_folders(root: Path, class_names: tuple[str, ...]) -> None:
    try:
        folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    except OSError as error:
        raise DataError(f"{root}: cannot be read: {os_reason(error)}") from error
    if not folders:
        raise DataError(f"{root}: holds no class folders")
    unknown = [name for name in folders if name not in class_names]
    if unknown:
        hints = [f"{name!r}{nearest(name, class_names)}" for name in unknown]
        raise DataError(
            f"{root}: {len(unknown)} folders are no classes of the model: {listed(hints, limit=5)}; "
            f"the model has: {listed([repr(name) for name in class_names], limit=5)}",
            hint=_CHOICES,
        )


def _list_class(root: Path, name: str, index: int, listing: _Listing) -> None:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        return  # a class whose name no folder can have
    if (root / name).is_symlink():
        raise DataError(f"{root / name}: a link to a folder, which is not followed")
    for folder, inner, names in os.walk(root / name, followlinks=False):
        here = Path(folder)
        for directory in sorted(inner):
            if (here / directory).is_symlink():
                raise DataError(f"{here / directory}: a link to a folder, which is not followed")
        inner.sort()
        for file in sorted(names):
            path = here / file
            relative = path.relative_to(root).as_posix()
            hidden = any(part.startswith(".") for part in Path(relative).parts[1:])
            if hidden or path.suffix.lower() not in EXTENSIONS:
                listing.skipped.append(portable_text(relative))
                continue
            _check_contained(path, root)
            listing.files.append(relative)
            listing.labels.append(index)


def _check_contained(path: Path, root: Path) -> None:
    try:
        resolved = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return  # a link that leads nowhere is unreadable, as any other file may be
    if not resolved.is_relative_to(root.resolve()):
        raise DataError(f"{path}: a link that leaves {root}")
    if not resolved.is_file():
        raise DataError(f"{path}: is not a regular file")


def _skipped(names: list[str]) -> dict[str, Any]:
    by_suffix = Counter(Path(name).suffix or Path(name).name for name in names)
    return {"n": len(names), "by_suffix": dict(sorted(by_suffix.items())), "first": sorted(names)[:20]}


def _joined(table: Path, files: list[str]) -> Mapping[str, NDArray[Any]]:
    """Join a table by file name; every row must meet an image and every image a row."""
    frame = read_table(table, text=["file_name"])
    if "file_name" not in frame:
        raise DataError(f"{table}: has no column file_name, it has: {listed(frame.columns)}")
    names = frame["file_name"].fillna("").astype(str).map(os.path.normpath)
    check_attributes([name for name in frame if name != "file_name"], where=str(table))
    repeated = names[names.duplicated()].tolist()
    unmatched = sorted(set(names) - set(files))
    missing = sorted(set(files) - set(names))
    for what, found in (
        ("repeated", repeated),
        ("without an image", unmatched),
        ("missing for images", missing),
    ):
        if found:
            raise DataError(f"{table}: {len(found)} rows {what}: {listed(found, limit=5)}")
    rows = frame.assign(file_name=names).set_index("file_name").loc[files]
    return {str(name): plain_column(rows[name]) for name in rows.columns}

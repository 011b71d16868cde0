"""From the specification's data block to a source."""

from evalkit.datasets.folder import open_folder
from evalkit.datasets.npz import open_npz
from evalkit.datasets.preprocess import Preprocessing
from evalkit.datasets.source import Source
from evalkit.datasets.tables import Columns, open_table
from evalkit.datasets.userdata import UserData, build_dataset, check_dataset, own_indices
from evalkit.reads import noting
from evalkit.spec import Loaded
from evalkit.usercode import find_object, import_path

# Which keys of the data block belong to which source; any other is refused, never ignored.
_KEYS = {
    "npz": set(),
    "folder": {"attributes", "preprocess"},
    "table": {"attributes", "preprocess", "root", "image", "features", "label", "id"},
    "factory": {"collate"},
}
_ALL_KEYS = ("attributes", "preprocess", "root", "image", "features", "label", "id", "collate")


def check_data(loaded: Loaded) -> None:
    """Refuse keys that the source does not have, and a table without its columns.

    Raises:
        SpecificationError: With the key.
    """
    data, source = loaded.spec.data, loaded.source
    for key in _ALL_KEYS:
        if getattr(data, key) is not None and key not in _KEYS[data.source]:
            raise source.error(("data", key), f"belongs to another source, not to {data.source}")
    if data.source == "table":
        if data.label is None:
            raise source.error(("data", "label"), "is required for source: table")
        if isinstance(data.label, tuple) != (loaded.spec.task == "multilabel"):
            raise source.error(
                ("data", "label"), "is a list of columns for task: multilabel, one column for any other"
            )
        if (data.image is None) == (not data.features):
            raise source.error(("data",), "a table needs either image or features")
    if data.source == "folder" and loaded.spec.task == "multilabel":
        raise source.error(("data", "source"), "a folder a class cannot hold label sets", hint="Use a table")
    if data.source == "folder" and isinstance(data.attributes, tuple):
        raise source.error(("data", "attributes"), "must be the path of a table with a column file_name")
    if data.source == "table" and isinstance(data.attributes, str):
        raise source.error(("data", "attributes"), "must be a list of columns")


def open_source(loaded: Loaded, class_names: tuple[str, ...], preprocessing: Preprocessing) -> Source:
    """Open the data of a specification.

    Raises:
        DataError: Whatever is refused.
    """
    data, multilabel = loaded.spec.data, loaded.spec.task == "multilabel"
    if data.source == "factory":
        return _open_factory(loaded, class_names)
    path = loaded.resolve(data.path)
    if data.source == "npz":
        return open_npz(path, class_names, multilabel=multilabel)
    if data.source == "folder":
        table = loaded.resolve(data.attributes) if isinstance(data.attributes, str) else None
        return open_folder(path, class_names, preprocessing, attributes=table)
    columns = Columns(
        label=data.label or "",
        image=data.image,
        features=data.features or (),
        id=data.id,
        attributes=data.attributes or (),
        root=loaded.resolve(data.root) if data.root else path.parent,
    )
    return open_table(path, columns, class_names, preprocessing)


def _open_factory(loaded: Loaded, class_names: tuple[str, ...]) -> UserData:
    data = loaded.spec.data
    with import_path(loaded.base), noting("built"):
        dataset = build_dataset(find_object(data.path, base=loaded.base), data.path)
    check_dataset(dataset, data.path)
    collate = find_object(data.collate, base=loaded.base) if data.collate else None
    multilabel = loaded.spec.task == "multilabel"
    return UserData(
        dataset,
        data.path,
        class_names,
        collate,
        indices=None if multilabel else own_indices(dataset, class_names, data.path),
        multilabel=multilabel,
    )

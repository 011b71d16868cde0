"""Digests of what was asked and fed: equal for equal content, whatever the batches, shards or their order."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.codes import Codes, Texts, mixed, row_codes, text_codes

_MODULUS = 1 << 64


@dataclass(frozen=True, slots=True)
class OrderFreeDigest:
    """A multiset hash: two 64-bit codes of each item, each summed modulo 2**64.

    Sums commute, so parts merge by ``+`` in any order; unlike an exclusive or, an item that occurs twice does
    not vanish.
    """

    first: int = 0
    second: int = 0
    n_items: int = 0

    @classmethod
    def of_codes(cls, codes: NDArray[np.uint64]) -> "OrderFreeDigest":
        """Digest items by their codes, uint64, shape (n, 2)."""
        first, second = np.add.reduce(codes, axis=0, dtype=np.uint64).tolist()  # modulo 2**64, as it should
        return cls(first, second, len(codes))

    def __add__(self, other: "OrderFreeDigest") -> "OrderFreeDigest":
        return OrderFreeDigest(
            (self.first + other.first) % _MODULUS,
            (self.second + other.second) % _MODULUS,
            self.n_items + other.n_items,
        )

    def hexdigest(self) -> str:
        """Return 64 hexadecimal digits that also cover the number of items."""
        parts = (self.first, self.second, self.n_items)
        return hashlib.sha256(b"".join(part.to_bytes(8, "little") for part in parts)).hexdigest()


def input_codes(inputs: Sequence[NDArray[np.generic]]) -> NDArray[np.uint64]:
    """Return two codes of what the model was fed of each sample, uint64, shape (n, 2).

    Dtypes and shapes count as well as values.

    Args:
        inputs: The model's inputs as host arrays, each of shape (n, ...).
    """
    header = "|".join(f"{array.dtype.str}{array.shape[1:]}" for array in inputs)
    found = _header_codes(header)
    for array in inputs:
        rows = np.ascontiguousarray(array).reshape(len(array), math.prod(array.shape[1:]))
        found = mixed(found ^ row_codes(rows.view(np.uint8)))
    return found.T


@lru_cache(maxsize=8)
def _header_codes(header: str) -> Codes:
    """Return the codes of a header, shape (2, 1)."""
    return text_codes(Texts.of([header]))


class DataDigest:
    """Digests the question's data as it goes by: who was asked about, and the *name* of each true class.

    Samples known by position count in the order in which they are added, each label as its rank among the
    sorted class names; samples with ids count as (id, class name) pairs in any order. Output order of the
    classes never goes in.

    Attributes:
        in_order: Whether class indices are ranks already.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        ranks = {name: rank for rank, name in enumerate(sorted(class_names))}
        # The smallest type that holds every rank, little-endian on every machine.
        kind = np.min_scalar_type(max(len(ranks) - 1, 0)).newbyteorder("<")
        self._ranks = np.array([ranks[name] for name in class_names], dtype=kind)
        self.in_order = list(class_names) == sorted(class_names)
        self._order = np.argsort(np.array([ranks[name] for name in class_names]))
        self._header = _names_bytes(sorted(class_names))
        self._positional = hashlib.sha256(self._header)
        self._named = OrderFreeDigest()
        self._codes = mixed(text_codes(Texts.of(class_names)))

    def add(self, y_true: NDArray[Any], ids: Sequence[str] | Codes | None) -> None:
        """Take class indices (n,), or label sets (n, L), and ids, or their codes, where there are any."""
        several = y_true.ndim == 2  # noqa: PLR2004 - (n, L)
        if ids is None:
            ranked = np.packbits(y_true[:, self._order], axis=1) if several else self._ranked(y_true)
            self._positional.update(np.ascontiguousarray(ranked).data)
        else:
            named = ids if isinstance(ids, np.ndarray) else text_codes(Texts.of(ids))
            self._add_codes(self._of_sets(y_true) if several else self._codes[:, y_true], named)

    def _add_codes(self, labels: Codes, named: Codes) -> None:
        """Take samples by the codes of their labels and ids, each of shape (2, n)."""
        self._named += OrderFreeDigest.of_codes(mixed(labels + named).T)

    def _ranked(self, y_true: NDArray[Any]) -> NDArray[Any]:
        return y_true.astype(self._ranks.dtype, copy=False) if self.in_order else self._ranks.take(y_true)

    def _of_sets(self, y_true: NDArray[np.bool_]) -> Codes:
        """Return a code for each set of labels, whatever their order."""
        return mixed(self._codes @ y_true.T.astype(np.uint64))

    def hexdigest(self) -> str:
        """Return 64 hexadecimal digits."""
        if not self._named.n_items:
            return self._positional.hexdigest()
        return hashlib.sha256(self._header + self._named.hexdigest().encode()).hexdigest()


def counted_digest(class_names: Sequence[str], support: Sequence[int]) -> str:
    """Digest what is known of samples that came as counts: how many there are of each class."""
    parts = [text for pair in sorted(zip(class_names, map(str, support), strict=True)) for text in pair]
    return hashlib.sha256(_names_bytes(["counted", *parts])).hexdigest()


def _names_bytes(names: Sequence[str]) -> bytes:
    return b"".join(len(name).to_bytes(8, "little") + name for name in map(_text, names))


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def content_digest(
    y: NDArray[Any],
    ids: Sequence[str] | None,
    attributes: Mapping[str, NDArray[Any]],
    x: NDArray[Any] | None = None,
) -> str:
    """Return the SHA-256 of everything that a source holds in memory, in its order."""
    digest = hashlib.sha256()
    for name, values in [("x", x), ("y", y), *sorted(attributes.items())]:
        if values is None:
            continue
        if values.dtype.kind in "OU":
            kind = "text"
            content: Any = _names_bytes([str(value) for value in values.ravel().tolist()])
        else:
            kind, content = values.dtype.str, np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
        digest.update(_names_bytes([name, kind, str(values.shape)]))
        digest.update(content)
    digest.update(b"" if ids is None else _names_bytes(ids))
    return digest.hexdigest()

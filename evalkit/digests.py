"""Digests of what was asked and fed: equal for equal content, whatever the batches, shards or their order."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MODULUS = 1 << 64
_KEY = b"evalkit.digest/1"


@dataclass(frozen=True, slots=True)
class OrderFreeDigest:
    """A multiset hash: two keyed 64-bit hashes of each item, each summed modulo 2**64.

    The two are the halves of one keyed 128-bit BLAKE2b. Sums commute, so parts merge by ``+`` in any order;
    unlike an exclusive or, an item that occurs twice does not vanish.
    """

    first: int = 0
    second: int = 0
    n_items: int = 0

    @classmethod
    def of(cls, items: Iterable[bytes]) -> "OrderFreeDigest":
        """Digest some items."""
        first = second = n_items = 0
        for item in items:
            code = int.from_bytes(hashlib.blake2b(item, digest_size=16, key=_KEY).digest(), "little")
            first += code % _MODULUS
            second += code >> 64
            n_items += 1
        return cls(first % _MODULUS, second % _MODULUS, n_items)

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


class DataDigest:
    """Digests the question's data as it goes by: who was asked about, and the *name* of each true class.

    Samples known by position count in the order in which they are added, each label as its rank among the
    sorted class names; samples with ids count as (id, class name) pairs in any order. Output order of the
    classes never goes in.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = list(class_names)
        ranks = {name: rank for rank, name in enumerate(sorted(class_names))}
        self._ranks = np.array([ranks[name] for name in class_names], dtype="<i8")
        self._header = _names_bytes(sorted(class_names))
        self._positional = hashlib.sha256(self._header)
        self._named = OrderFreeDigest()

    def add(self, y_true: NDArray[np.int64], ids: Sequence[str] | None) -> None:
        """Take class indices, shape (n,), and the ids of the samples, where they have any."""
        if ids is None:
            self._positional.update(self._ranks[y_true].tobytes())
        else:
            labels = [self._names[label] for label in y_true.tolist()]
            self._named += OrderFreeDigest.of(_names_bytes(pair) for pair in zip(ids, labels, strict=True))

    def hexdigest(self) -> str:
        """Return 64 hexadecimal digits."""
        if not self._named.n_items:
            return self._positional.hexdigest()
        return hashlib.sha256(self._header + self._named.hexdigest().encode()).hexdigest()


def array_items(inputs: Sequence[NDArray[np.generic]]) -> Iterable[bytes]:
    """Yield one byte string a sample: what the model was fed, with dtype and shape.

    Args:
        inputs: The model's positional inputs as host arrays, each of shape (n, ...).
    """
    header = "|".join(f"{array.dtype.str}{array.shape[1:]}" for array in inputs).encode()
    for row in zip(*(np.ascontiguousarray(array) for array in inputs), strict=True):
        yield header + b"".join(value.tobytes() for value in row)


def _names_bytes(names: Sequence[str]) -> bytes:
    return b"".join(len(name).to_bytes(8, "little") + name for name in map(_text, names))


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")

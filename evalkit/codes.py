"""Two 64-bit codes of each text of a column, or of each row of an array, thousands of them at a time.

Not a cryptographic hash: it keeps apart what differs by chance or by accident, not what somebody built to be
the same.

>>> text_codes(Texts.of(["a", "b", "a"]))[0].tolist() == text_codes(Texts.of(["a"]))[0].tolist()
True
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint64]

_WORD = 8
_AT_ONCE = 1 << 14  # temporaries stay in the processor's cache
_BLOCK = 1 << 13  # words of rows at a time, for the same reason
# One row a code: a start, and the two multipliers of a mixing step (a bijection of 64 bits, as splitmix64's).
_CONSTANTS = np.array(
    [
        [0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB],
        [0xC2B2AE3D27D4EB4F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3],
    ],
    np.uint64,
)


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of text as UTF-8.

    Attributes:
        data: All bytes, uint8.
        offsets: Where each text begins, and the last one ends, int64, shape (n + 1,).
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Take strings."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
        return cls(np.frombuffer(b"".join(encoded), np.uint8), np.concatenate([[0], np.cumsum(sizes)]))

    @classmethod
    def of_arrow(cls, column: Any) -> "Texts":
        """Take an arrow array of strings without missing ones; nothing is copied but the offsets."""
        kind = np.int64 if str(column.type).startswith("large") else np.int32
        _, offsets, data = column.buffers()
        inside = np.frombuffer(offsets, kind)[column.offset : column.offset + len(column) + 1]
        found = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
        return cls(found, inside.astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1


def text_codes(texts: Texts) -> Codes:
    """Return both codes of each text, uint64, shape (2, n)."""
    found = np.empty((2, len(texts)), np.uint64)
    for start in range(0, len(texts), _AT_ONCE):
        offsets = texts.offsets[start : start + _AT_ONCE + 1]
        part = texts.data[offsets[0] : offsets[-1]]
        found[:, start : start + _AT_ONCE] = _codes(part, offsets - offsets[0])
    return found


def row_codes(rows: NDArray[np.uint8]) -> Codes:
    """Return both codes of each row of bytes, uint64, shape (2, n); rows of other lengths are not told apart.

    Every word of eight bytes is mixed by itself and weighed by an odd number of its place and code, so that
    rows are summed like a product of matrices, in blocks whose size changes nothing.
    """
    words = _words(rows)
    found = np.zeros((2, len(words)), np.uint64)
    weights, width = _weights(words.shape[1]), min(max(words.shape[1], 1), _BLOCK)
    height = _BLOCK // width
    spare = np.empty((2, height, width), np.uint64)
    for top in range(0, len(words), height):
        for left in range(0, words.shape[1], width):
            part = words[top : top + height, left : left + width]
            each = _mixed_words(part, spare[:, : len(part), : part.shape[1]])
            found[:, top : top + height] += np.einsum("ij,kj->ki", each, weights[:, left : left + width])
    return mixed(found)


def _words(rows: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return rows as words of eight bytes, the last one filled up with zeros; without a copy where it can."""
    left_over = -rows.shape[1] % _WORD
    if left_over or not rows.flags.c_contiguous:
        whole = np.zeros((len(rows), rows.shape[1] + left_over), np.uint8)
        whole[:, : rows.shape[1]] = rows
        rows = whole
    return rows.view("<u8")


def _mixed_words(words: NDArray[np.uint64], spare: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix each word by itself into the first of two spare arrays of the same shape."""
    found, shifted = spare
    np.right_shift(words, np.uint64(32), out=found)
    np.bitwise_xor(found, words, out=found)
    np.multiply(found, _CONSTANTS[0, 1], out=found)
    np.right_shift(found, np.uint64(29), out=shifted)
    found ^= shifted
    return np.asarray(found)


@lru_cache(maxsize=4)
def _weights(n_words: int) -> Codes:
    """Return an odd number for each code and place, uint64, shape (2, n)."""
    places = np.arange(1, n_words + 1, dtype=np.uint64)
    return mixed(_CONSTANTS[:, :1] * places) | np.uint64(1)


def mixed(codes: Codes) -> Codes:
    """Return codes of codes, uint64, shape (2, ...): sums and differences of the old ones mean nothing."""
    return np.stack([_mix(one, *constants[1:]) for one, constants in zip(codes, _CONSTANTS, strict=True)])


def _codes(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Codes:
    starts, sizes = offsets[:-1], np.diff(offsets)
    # Every byte begins a word of eight; what follows the last text is masked out below.
    padded = np.concatenate([data, np.zeros(_WORD, np.uint8)])
    words = np.ndarray(len(padded) - _WORD + 1, "<u8", padded, strides=(1,))
    states = _CONSTANTS[:, :1] ^ sizes.astype(np.uint64)
    live = np.arange(len(sizes))
    for begin in range(0, int(sizes.max(initial=0)), _WORD):
        live = live[sizes[live] > begin]
        word = _cut(words[starts[live] + begin], sizes[live] - begin)
        states[:, live] = mixed(states[:, live] ^ word)
    return mixed(states)


def _cut(word: NDArray[np.uint64], n_bytes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return words without the bytes that belong to the next text."""
    unused = (8 * np.maximum(_WORD - n_bytes, 0)).astype(np.uint64)
    return (word << unused) >> unused


def _mix(state: NDArray[np.uint64], first: np.uint64, second: np.uint64) -> NDArray[np.uint64]:
    state = state ^ (state >> np.uint64(32))
    state *= first
    state ^= state >> np.uint64(29)
    state *= second
    state ^= state >> np.uint64(32)
    return state

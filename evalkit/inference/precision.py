"""Half precision for all samples, and full precision for those that it could decide otherwise.

Which samples are measured, which are drawn to be compared, and which are asked again depends on the data
alone, so that a shard, or a run that goes on, gives a sample the answer that the whole run gives it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.datasets import Inputs
from evalkit.decide import Decision
from evalkit.errors import InvalidRunError

# So many samples tell how large an error is; so many others are drawn, by the size of the data.
N_MEASURED = 128
_AUDITED_SHARE, _FEWEST, _MOST = 0.02, 100, 1_000
# A decision hangs on the difference of two outputs, each of which may be off by the largest error.
SAFETY = 2
HALF = "bfloat16"
_IMAGES = 4
# Less than this share of an output are its last bits, however little was measured.
_LAST_BITS = 4 * float(np.finfo(np.float32).eps)

Outputs = NDArray[np.floating]
Pair = tuple[Outputs, Outputs]


@dataclass(frozen=True, slots=True)
class Limit:
    """How large an error is.

    Attributes:
        absolute: The largest that was measured; infinite where nothing could be.
        relative: The largest as a share of a sample's largest output, or of the middle one of these: errors
            grow with what they are errors of, and samples with far larger outputs may not have been measured.
    """

    absolute: float
    relative: float

    @classmethod
    def of(cls, decision: Decision, pairs: Iterable[Pair]) -> "Limit":
        """Measure answers of half and of full precision to the same samples."""
        found = [(errors_of(decision, *pair), _sizes(pair[1])) for pair in pairs if len(pair[0])]
        if not found:
            return cls(np.inf, 0.0)
        errors, sizes = (np.concatenate(part) for part in zip(*found, strict=True))
        scale = np.maximum(sizes, np.median(sizes))
        relative = np.divide(errors, scale, out=np.zeros_like(errors), where=scale > 0)
        return cls(float(errors.max()), max(float(relative.max()), _LAST_BITS))

    def allowed(self, outputs: Outputs) -> NDArray[np.float64]:
        """Return how large an error each sample's answer may have, shape (n,)."""
        return np.maximum(self.absolute, self.relative * _sizes(outputs))

    def excess(self, errors: NDArray[np.float64], outputs: Outputs) -> float:
        """Return the largest error of samples as a multiple of what each may have."""
        allowed = self.allowed(outputs)
        beyond = np.where(errors > 0, np.inf, 0.0)
        return float(np.divide(errors, allowed, out=beyond, where=allowed > 0).max(initial=0.0))


def errors_of(decision: Decision, quick: Outputs, full: Outputs) -> NDArray[np.float64]:
    """Return the largest difference of what each sample's decision hangs on, shape (n,)."""
    return np.asarray(np.abs(decision.deciding(quick) - decision.deciding(full)).max(axis=1))


def _sizes(outputs: Outputs) -> NDArray[np.float64]:
    return np.asarray(np.abs(outputs.astype(np.float64)).max(axis=1))


@dataclass(frozen=True, slots=True)
class Half:
    """How half precision is used.

    Attributes:
        kind: ``amp`` takes its answers as they are; ``fast`` asks again.
        measured: Positions of the samples that errors are measured on, sorted, int64.
        audited: Positions of the samples that are compared, sorted, int64.
        limit: Of the errors; of ``fast`` None until they are measured.
        channels_last: Whether pictures are laid out so, which is faster.
    """

    kind: str
    measured: NDArray[np.int64]
    audited: NDArray[np.int64]
    limit: Limit | None = None
    channels_last: bool = True

    @property
    def asks_again(self) -> bool:
        """Whether some samples are asked again in full precision."""
        return self.kind == "fast"

    def near(self, decision: Decision, outputs: Outputs) -> NDArray[np.bool_]:
        """Return which samples another answer of full precision could decide otherwise, shape (n,)."""
        assert self.limit is not None
        return decision.margins(outputs) <= SAFETY * self.limit.allowed(outputs)

    def drawn(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which samples were drawn to be compared, shape (n,)."""
        return np.isin(index, self.audited, kind="sort")

    def laid_out(self, inputs: Inputs) -> Inputs:
        """Return copies of inputs: a model may change its own in place."""

        def lay(value: torch.Tensor) -> torch.Tensor:
            pictures = self.channels_last and value.ndim == _IMAGES and value.is_floating_point()
            return value.clone(memory_format=torch.channels_last if pictures else torch.preserve_format)

        if isinstance(inputs, dict):
            return {name: lay(value) for name, value in inputs.items()}
        return tuple(lay(value) for value in inputs)

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Let torch compute in bfloat16 where it takes that to be harmless."""
        return torch.autocast(device.type, getattr(torch, HALF))

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Name the precision in what goes wrong: it may be the cause.

        Raises:
            InvalidRunError: What was raised, with that.
        """
        try:
            yield
        except InvalidRunError as error:
            text = f"{error.message} (precision: {self.kind} computes in {HALF})"
            hint = "Set run.precision to exact, or leave run.compile out: not every model can be computed so"
            raise InvalidRunError(text, check=error.check, hint=hint) from error


def half_of(kind: str, n_samples: int, seed: int) -> Half | None:
    """Return how half precision is used; None where it is not.

    Args:
        kind: Of the specification: exact, amp or fast.
        n_samples: Of all shards.
        seed: Draws the samples that are measured, and others that are compared; of few samples also these.
    """
    if kind == "exact":
        return None
    n_audited = min(n_samples, max(_FEWEST, min(_MOST, round(_AUDITED_SHARE * n_samples))))
    n_measured = min(n_samples, N_MEASURED)
    rng = np.random.default_rng([seed, n_samples])
    drawn = rng.choice(n_samples, min(n_samples, n_audited + n_measured), replace=False)
    audited, measured = (np.sort(part).astype(np.int64) for part in (drawn[:n_audited], drawn[-n_measured:]))
    return Half(kind, measured, audited)


def measure(half: Half, measured: Callable[[Half], Limit]) -> Half:
    """Return the same with its limit, and with pictures laid out as the model takes them.

    Args:
        half: How half precision is to be used.
        measured: Measures so; raises InvalidRunError where the model cannot be asked so.
    """
    try:
        return _with_limit(half, measured)
    except InvalidRunError:  # some models look at their inputs in one layout only
        return _with_limit(replace(half, channels_last=False), measured)


def _with_limit(half: Half, measured: Callable[[Half], Limit]) -> Half:
    return replace(half, limit=measured(half))

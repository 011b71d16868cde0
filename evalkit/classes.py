"""The ordered, unique names of the classes: position is the model's output index, identity is the name."""

from collections import Counter
from collections.abc import Sequence

from evalkit.errors import SpecificationError, listed


def check_class_names(names: Sequence[str], *, where: str) -> tuple[str, ...]:
    """Return the names as a tuple; raise SpecificationError unless there are two or more, all different.

    Args:
        names: One name per output of the model, in the model's order.
        where: The key or file that they come from, for the message.
    """
    if len(names) < 2:  # noqa: PLR2004 - a classifier tells two things apart
        raise SpecificationError(f"{where}: expected at least 2 class names, got {len(names)}")
    repeated = [repr(name) for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise SpecificationError(f"{where}: class names must be unique, repeated: {listed(repeated)}")
    return tuple(names)

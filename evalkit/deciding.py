"""What a specification declares of deciding and memory, as values: for a model and for a table alike."""

import re

from evalkit.decide import Decision
from evalkit.errors import nearest
from evalkit.result import read_result
from evalkit.spec import Loaded, ThresholdFrom

DEFAULT_THRESHOLD = 0.5
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmg]i?b|b)", re.IGNORECASE)
_UNITS = {"b": 1} | {
    f"{letter}{i}b": (1024 if i else 1000) ** power
    for power, letter in enumerate("kmg", 1)
    for i in ("", "i")
}


def decision_of(loaded: Loaded, class_names: tuple[str, ...]) -> tuple[Decision, str | None]:
    """Return the rule, and the digest of the data that its threshold was chosen on.

    Raises:
        SpecificationError: Not two classes of a binary task, or the positive one is not among them; or the
            other run has no such threshold.
        DocumentError: The other run cannot be read.
    """
    spec, positive = loaded.spec, positive_index(loaded, class_names)
    if spec.task == "multiclass":
        return Decision(spec.task, spec.model.output), None
    declared, chosen_on = spec.model.threshold, None
    if isinstance(declared, ThresholdFrom):
        threshold, chosen_on = _threshold_of(loaded, declared)
    else:
        threshold = DEFAULT_THRESHOLD if declared is None else float(str(declared))
    return Decision(spec.task, spec.model.output, positive, threshold), chosen_on


def positive_index(loaded: Loaded, names: tuple[str, ...]) -> int | None:
    """Return the index of the positive class: the second name unless said; None unless binary.

    Raises:
        SpecificationError: Not two classes, or the named one is not among them.
    """
    if loaded.spec.task != "binary":
        return None
    if len(names) != 2:  # noqa: PLR2004 - binary
        raise loaded.source.error(("model", "classes"), f"task: binary has 2 classes, got {len(names)}")
    wanted = loaded.spec.model.positive_class
    if wanted is None:
        return 1
    if wanted not in names:
        raise loaded.source.error(
            ("model", "positive_class"), f"{wanted!r} is not a class name{nearest(wanted, names)}"
        )
    return names.index(wanted)


def memory_of(loaded: Loaded) -> int:
    """Return how many bytes of samples may be held; SpecificationError for what is no size."""
    declared = loaded.spec.metrics.score_memory
    if isinstance(declared, int):
        return declared
    match = _SIZE.fullmatch(declared.strip())
    if match is None:
        raise loaded.source.error(
            ("metrics", "score_memory"), f"expected a size such as 512 MiB, got {declared!r}"
        )
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _threshold_of(loaded: Loaded, declared: ThresholdFrom) -> tuple[float, str | None]:
    """Take the threshold that was best on another run, and the digest of its data."""
    other = read_result(loaded.resolve(declared.from_))
    for point in other.curves.get("operating_points") or ():
        if point.get("name") == declared.choose:
            return float(point["threshold"]), other.digests.get("data")
    raise loaded.source.error(
        ("model", "threshold", "from"), f"{declared.from_} has no operating point {declared.choose}"
    )

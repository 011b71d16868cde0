"""A pass in parts: what is on disk while a run goes, and how parts become one; no torch."""

from evalkit.parts.joined import Joined, Shape, join
from evalkit.parts.observed import Observed, Unreadable
from evalkit.parts.rows import BASELINE, CANDIDATE, PartFile, PartWriter, list_parts

__all__ = [
    "BASELINE",
    "CANDIDATE",
    "Joined",
    "Observed",
    "PartFile",
    "PartWriter",
    "Shape",
    "Unreadable",
    "join",
    "list_parts",
]

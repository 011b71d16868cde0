"""A copy of documents to pass on: without samples, without their pictures, or with names as hashes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalkit.gallery import GalleryRow
from evalkit.result import EvalResult
from evalkit.verdict import Verdict

_DIGITS = 12
FLIP_LISTS = ("negative_ids", "positive_ids")
COMMON_LISTS = ("new_ids", "gone_ids", "relabelled_ids")


@dataclass(frozen=True, slots=True)
class Documents:
    """What a page is made of."""

    result: EvalResult
    verdict: Verdict | None
    gallery: tuple[GalleryRow, ...] = ()


def redacted(documents: Documents, *, samples: str | None, hash_ids: bool) -> Documents:
    """Return the documents with less in them.

    Args:
        documents: Of the run.
        samples: ``none`` leaves out every name of a sample, ``ids`` every picture; None nothing.
        hash_ids: Names become the first digits of their SHA-256. Who knows the names can recognise them.
    """
    if samples is None and not hash_ids:
        return documents
    gallery = () if samples == "none" else documents.gallery
    if samples == "ids":
        gallery = tuple(replace(row, kind="", content=b"") for row in gallery)
    if hash_ids:
        gallery = tuple(replace(row, sample_id=hashed(row.sample_id)) for row in gallery)
    return Documents(
        _result(documents.result, samples=samples, hash_ids=hash_ids),
        _verdict(documents.verdict, samples=samples, hash_ids=hash_ids),
        gallery,
    )


def allowed(documents: Documents) -> Documents:
    """Return what a page may show by the run's own specification."""
    declared = (documents.result.spec.get("report") or {}).get("samples")
    return redacted(documents, samples="none" if declared == "none" else None, hash_ids=False)


def hashed(name: str) -> str:
    """Return what stands for a name."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def _result(result: EvalResult, *, samples: str | None, hash_ids: bool) -> EvalResult:
    """Take file names out of the facts about the data; what was wrong with them stays counted."""
    if samples != "none" and not hash_ids:
        return result
    skipped = result.data.get("skipped") or {}
    data = {**result.data, "unreadable": [], **({"skipped": {**skipped, "first": []}} if skipped else {})}
    return result.model_copy(update={"data": data})


def _verdict(verdict: Verdict | None, *, samples: str | None, hash_ids: bool) -> Verdict | None:
    if verdict is None or verdict.comparison is None:
        return verdict

    def names(found: Sequence[str]) -> list[str]:
        if samples == "none":
            return []
        return [hashed(name) for name in found] if hash_ids else list(found)

    comparison: dict[str, Any] = dict(verdict.comparison)
    for block, keys in (("flips", FLIP_LISTS), ("common", COMMON_LISTS)):
        if block in comparison:
            comparison[block] = {**comparison[block], **{key: names(comparison[block][key]) for key in keys}}
    return verdict.model_copy(update={"comparison": comparison})

"""Facts about model, data, run and provenance as pairs of finished strings."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.display import MAX_TEXT, visible
from evalkit.errors import listed
from evalkit.result import EvalResult

_SHOWN_CHANNELS = 16
Facts = tuple[tuple[str, str], ...]


def model_facts(result: EvalResult) -> Facts:
    """Return what the page says about the model."""
    model, spec = result.model, result.spec.get("model") or {}
    decision = "argmax, the lowest index on a tie"
    if result.threshold is not None:
        of = "each label" if result.positive_class is None else visible(result.positive_class)
        decision = f"score of {of} >= {result.threshold!r}"
    return _facts(
        ("Factory", model.get("factory")),
        ("Class", model.get("class")),
        ("Checkpoint", spec.get("checkpoint")),
        ("Weights from", model.get("origin")),
        ("Format", model.get("format")),
        ("SHA-256", model.get("sha256")),
        ("Byte order", "big" if model.get("byteorder") == "big" else None),
        ("Weights taken", model.get("weights")),
        ("Whole model", model.get("whole_model")),
        ("Prefix taken off", model.get("prefix")),
        ("Keys outside the prefix", _joined(model.get("outside_prefix"))),
        ("Not read from the file", _joined(model.get("not_read"))),
        ("Types converted", _joined([f"{k} ({v} tensors)" for k, v in (model.get("casts") or {}).items()])),
        ("Parameters", model.get("n_parameters")),
        ("Type", model.get("dtype")),
        ("Returns", model.get("output")),
        ("Decides by", decision),
    )


def code_words(model: Mapping[str, Any]) -> tuple[str, ...]:
    """Say whose code a checkpoint that holds a whole model was loaded with, and what of it was left out."""
    if model.get("trusted_code"):
        return (
            "The checkpoint's own code was run (--trust-checkpoint): the file was not read as data alone.",
        )
    whole, outside = model.get("whole_model"), model.get("outside_prefix") or ()
    said = (
        [f"The checkpoint holds a whole model ({visible(str(whole))}): its code was not used."]
        if whole
        else []
    )
    if outside:
        shown = visible(listed(outside, limit=3), limit=MAX_TEXT)
        said.append(f"Tensors beside the weights were not used: {shown}.")
    return tuple(said)


def data_facts(result: EvalResult) -> Facts:
    """Return what the page says about the data, preprocessing first."""
    data, spec = result.data, result.spec.get("data") or {}
    skipped = data.get("skipped") or {}
    return _facts(
        ("Preprocessing", result.model.get("preprocessing")),
        ("Flow", _flow(data)),
        ("Source", data.get("source")),
        ("Path", spec.get("path")),
        ("Sample ids", data.get("ids")),
        ("Input shape", _joined(data.get("input_shape"), " x ")),
        ("Input type", data.get("input_dtype")),
        ("Input converted", data.get("input_cast")),
        *_statistics(data.get("input_statistics") or {}),
        ("Image modes", _counted(data.get("modes") or {})),
        ("Skipped files", _joined(skipped.get("first"))),
        ("Unreadable", _joined(data.get("unreadable"), "; ")),
        ("Classes without samples", _joined(data.get("classes_without_samples"))),
        ("Attributes", _joined(data.get("attributes"))),
        ("Ties", data.get("n_ties")),
    )


def _flow(data: dict[str, Any]) -> str:
    """Write how many samples were found, skipped, unreadable and evaluated, in this order."""
    skipped = data.get("skipped") or {}
    steps = [
        ("found", data.get("n_found", data.get("n_samples"))),
        ("skipped", skipped.get("n")),
        ("unreadable", data.get("n_unreadable")),
        ("evaluated", data.get("n_evaluated")),
    ]
    return ", ".join(f"{count} {word}" for word, count in steps if count is not None)


def _statistics(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"Input {name}", _joined([f"{value:.4g}" for value in values[:_SHOWN_CHANNELS]]))
        for name, values in found.items()
        if isinstance(values, list)
    ]


def _counted(counts: dict[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def run_facts(result: EvalResult) -> Facts:
    """Return how the run went."""
    run = result.run
    seconds, rate = run.get("seconds") or {}, run.get("samples_per_second")
    return _facts(
        ("Device", run.get("used_device")),
        ("Batch size", _batches(run)),
        ("Shards", run.get("shards")),
        ("Ranks", run.get("world_size")),
        ("Workers", run.get("workers")),
        ("Threads", run.get("threads")),
        ("Precision", run.get("precision")),
        *_fast(run.get("fast")),
        ("TF32", None if run.get("tf32") is None else "on" if run["tf32"] else "off"),
        ("Deterministic kernels", "where torch has them" if run.get("deterministic_algorithms") else None),
        ("Seed", run.get("seed")),
        ("Inference", _seconds(seconds.get("inference"))),
        ("Samples per second", f"{rate:.0f}" if isinstance(rate, (int, float)) else None),
        ("Loading, forward, accounting", _breakdown(run.get("breakdown"))),
        ("A batch took (median, 95 %)", _latencies(run)),
        ("Peak memory", _number(run.get("peak_memory_mb"), "{:.0f} MB")),
    )


def _fast(found: Any) -> list[tuple[str, Any]]:
    """Say what half precision was held against."""
    if not isinstance(found, Mapping):
        return []
    compared, changed = found.get("compared"), found.get("changed")
    return [
        ("Ran again in full precision", found.get("ran_again")),
        ("Largest error of half precision", _number(found.get("largest_error"), "{:.3g}")),
        ("Compared at random", None if compared is None else f"{compared}, of which {changed} changed"),
        ("Predictions changed, at most", _number(found.get("changed_at_most"), "{:.2%}")),
    ]


def _breakdown(found: Any) -> str | None:
    if not isinstance(found, Mapping):
        return None
    return _joined([_seconds(found.get(name)) or "?" for name in ("load", "forward", "account")])


def _latencies(run: Mapping[str, Any]) -> str | None:
    shown = [_number(run.get(f"latency_{name}_ms"), "{:.3g} ms") for name in ("p50", "p95")]
    return None if None in shown else _joined([one or "" for one in shown])


def _number(value: Any, form: str) -> str | None:
    return form.format(value) if isinstance(value, (int, float)) else None


def provenance_facts(result: EvalResult) -> Facts:
    """Return what is needed to repeat the run."""
    found = result.provenance
    git = found.get("git")
    commit = (
        None if not git else f"{git.get('commit')}{' (with uncommitted changes)' if git.get('dirty') else ''}"
    )
    return _facts(
        ("Started", found.get("started")),
        ("Specification", found.get("specification")),
        *((name, version) for name, version in (found.get("versions") or {}).items()),
        ("Platform", found.get("platform")),
        ("Commit", commit),
        *((f"Digest of {name}", digest) for name, digest in result.digests.items()),
    )


def reproduce(result: EvalResult) -> str:
    """Return the command that gives the run again, with its words as a shell takes them."""
    words = result.provenance.get("command") or ()
    if not words or words[0] != "evalkit":
        return ""
    return visible(" ".join(shlex.quote(str(word)) for word in words), limit=MAX_TEXT)


def _seconds(value: Any) -> str | None:
    return f"{value:.2f} s" if isinstance(value, (int, float)) else None


def _facts(*pairs: tuple[str, Any]) -> Facts:
    return tuple(
        (label, visible(str(value), limit=MAX_TEXT)) for label, value in pairs if value not in (None, "")
    )


def _joined(values: Sequence[Any] | None, by: str = ", ") -> str:
    return by.join(str(value) for value in values or ())


def _batches(run: Mapping[str, Any]) -> str | None:
    """Return the batch size, and what became of batches that did not fit in memory."""
    size, halved = run.get("batch_size"), run.get("halved_batches")
    if not halved:
        return None if size is None else str(size)
    return f"{size}; {halved} did not fit in memory and ran {run.get('smallest_batch')} samples at a time"

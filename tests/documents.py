"""Builds result documents without a model, for everything right of the wall."""

import numpy as np

from evalkit.count_rows import count_rows
from evalkit.counts import ConfusionCounts
from evalkit.metrics import Policy
from evalkit.result import EvalResult, IntegrityRow, Partial, counts_fields
from evalkit.rows import Measures, asked_metric
from evalkit.signature import signature

NAMES = ("cat", "dog", "hen")
# Class names that would like to be something else.
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='x",
    "{{7*7}}{% raw %}",
    "a|b`x`=cmd()",
    "C# code",
    "new\nline",
    "::error::x",
    "[red]x[/red]",
    "\x1b[31mred",
    "nul\x00",
    "]]>",
    "",
    "x" * 300,
    "שלום",
    "🐈‍⬛",
    "a\u202eb",
    "é",
    "e\u0301",
    "\udcff",
    "javascript:alert(1)",
    "</style><style>*{display:none}",
)
MATRIX = ((40, 5, 0), (4, 30, 1), (2, 0, 18))


def result_of(
    matrix=MATRIX,
    class_names=NAMES,
    *,
    name="toy",
    weights="w1",
    data="d1",
    inputs="i1",
    policy=None,
    valid=True,
    limit=None,
    gates=(),
    names=("accuracy", "balanced_accuracy", "precision", "recall", "f1", "specificity"),
    averages=("micro", "macro", "weighted"),
    positive=None,
    threshold=None,
):
    """Build a document from a matrix."""
    policy = policy or Policy()
    counts = ConfusionCounts(np.array(matrix))
    n_samples = int(counts.n_samples)
    task = "binary" if positive else "multiclass"
    digests = {"data": data, "inputs": inputs, "weights": weights}
    numbers = {"counts": None, "metrics": ()}
    if valid:
        asked = tuple(asked_metric(slug) for slug in names)
        rows = count_rows(counts.matrix, class_names, Measures(task, asked, tuple(averages), policy))
        numbers = {**counts_fields(counts), "metrics": tuple(rows)}
    return EvalResult(
        name=name,
        task=task,
        valid=valid,
        partial=Partial(limit=n_samples, of=limit) if limit else None,
        signature=signature(
            task=task,
            positive=positive,
            class_names=class_names,
            decide="argmax",
            policy=policy,
            n_samples=n_samples,
            digests=digests,
            torch_version="2.14.1",
            dtype="float32",
        ),
        digests=digests,
        class_names=tuple(class_names),
        positive_class=positive,
        threshold=threshold,
        n_samples=n_samples,
        spec={
            "name": name,
            "model": {"factory": "model:build", "checkpoint": "weights.pt", "output": "logits"},
            "data": {"source": "npz", "path": "test.npz"},
            "metrics": {"classes": policy.classes, "zero_division": policy.zero_division},
            "baseline": None,
            "gates": [dict(gate) for gate in gates],
        },
        integrity=(
            IntegrityRow(check="eval_mode", status="ok", detail="every submodule is in eval mode"),
            IntegrityRow(
                check="finite_outputs", status="ok" if valid else "fail", detail="outputs are finite"
            ),
        ),
        model={
            "factory": "model:build",
            "class": "model.Net",
            "n_parameters": 123,
            "sha256": weights,
            "not_read": [],
        },
        data={"source": "npz", "n_samples": limit or n_samples, "n_evaluated": n_samples, "n_ties": 0},
        run={
            "batch_size": 256,
            "used_device": "cpu",
            "seconds": {"inference": 0.5},
            "samples_per_second": 200.0,
        },
        provenance={
            "started": "2026-01-02T03:04:05+00:00",
            "command": ["evalkit", "run", "eval.yaml", "-o", "out"],
            "specification": "eval.yaml",
            "versions": {"python": "3.11.7", "evalkit": "0.1.0"},
            "platform": "Linux x86_64",
            "git": None,
        },
        **numbers,
    )

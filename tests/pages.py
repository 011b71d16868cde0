"""Reports of every kind, for tests that look at pages: real samples, a thousand classes, corners, hostile names."""

import numpy as np
from documents import HOSTILE, result_of
from test_gates import verdict_of

import evalkit
from evalkit.render.html import render_html


def large(n_classes, *, n=200_000, seed=0):
    """A run over many classes with confusions between neighbours."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    pred = np.where(rng.random(n) < 0.8, y, (y + rng.integers(1, 5, n)) % n_classes)
    return evalkit.score(y, pred, class_names=[f"class {k:04}" for k in range(n_classes)]).document


def multilabel():
    rng = np.random.default_rng(0)
    y = rng.random((400, 5)) < 0.3
    p = y * 0.4 + rng.random(y.shape) * 0.6
    names = ["cat", "dog", "hen", "cow", "pig"]
    return evalkit.score(y, y_score=p, task="multilabel", output="probabilities", class_names=names).document


def binary(**options):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    p = 1 / (1 + np.exp(-(2 * (2 * y - 1) + 2 * rng.normal(size=600))))
    names = ["healthy", "ill"]
    return evalkit.score(
        y, y_score=p, task="binary", output="probabilities", class_names=names, **options
    ).document


def hostile():
    n = len(HOSTILE)
    matrix = np.eye(n, dtype=int) * 5 + np.eye(n, k=1, dtype=int)
    return result_of(matrix, HOSTILE, name=HOSTILE[0])


def pages():
    """Name to page."""
    return {
        "large": render_html(large(1000), None),
        "dense": render_html(large(40, n=20_000), None),
        "multilabel": render_html(multilabel(), None),
        "binary": render_html(binary(), None),
        "undefined": render_html(result_of(((5, 0, 0), (7, 0, 0), (0, 0, 0))), None),
        "invalid": render_html(
            result_of(valid=False), verdict_of(result_of(valid=False), {"metric": "accuracy", "min": 0.5})
        ),
        "hostile": render_html(
            hostile(),
            verdict_of(hostile(), {"metric": "recall", "class": HOSTILE[0], "min": 0.9, "min_support": 1}),
        ),
    }

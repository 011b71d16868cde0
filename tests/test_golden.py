"""Golden files: byte equality without scrubs, because time, versions and paths come from the document.

A mismatch keeps what was rendered under tests/actual/ and says so; --update-golden accepts it.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from documents import result_of
from test_gates import verdict_of

from evalkit.render.html import render_html
from evalkit.render.text import render_text
from evalkit.render.view import report_view
from evalkit.result import EvalResult
from evalkit.spec import Specification

GOLDEN = Path(__file__).parent / "golden"
SCHEMAS = Path(__file__).parents[1] / "evalkit/schemas"
GATES = (
    {"metric": "accuracy", "min": 0.85},
    {"metric": "recall", "class": "hen", "min": 0.95, "min_support": 20},
    {"metric": "precision", "class": "<cow>", "min": 0.5},
    {"metric": "f1", "average": "macro", "min": 0.9, "advisory": True},
)


def documents():
    matrix = np.array([[40, 5, 0, 0], [4, 30, 1, 0], [2, 0, 18, 0], [0, 0, 0, 0]])
    result = result_of(matrix, ("cat", "dog", "hen", "<cow>"), gates=GATES)
    return result, verdict_of(result, *GATES)


def check(path, actual, update):
    """Compare with a golden file, keep what differs, or accept it."""
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(actual)
    if not path.exists() or path.read_bytes() != actual:
        kept = Path(__file__).parent / "actual" / path.name
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(actual)
        pytest.fail(f"{path.name} differs from {kept}; accept it with --update-golden")


@pytest.fixture
def update(request):
    return request.config.getoption("--update-golden")


def test_report(update):
    """The page of a fixed result and verdict."""
    page = render_html(*documents())
    check(GOLDEN / "report.html", page, update)
    assert b"toy on test.npz: 1 of 3 gates failed, 1 cannot be judged" in page
    assert b"&lt;cow&gt;" in page
    assert b"<cow>" not in page


def test_text(update):
    """The console's table of the same."""
    text = render_text(report_view(*documents())).encode()
    check(GOLDEN / "summary.txt", text, update)
    assert b"toy on test.npz: 1 of 3 gates failed" in text


def test_documents(update):
    """result.json and verdict.json, byte for byte."""
    result, verdict = documents()
    check(GOLDEN / "result-v1.json", result.to_json(), update)
    check(GOLDEN / "verdict-v1.json", verdict.to_json(), update)


def test_the_first_result_stays_readable():
    """A stored document of schema 1 is read for ever, and renders."""
    result = EvalResult.model_validate(json.loads((GOLDEN / "result-v1.json").read_text()))
    assert result.n_samples == 100
    assert render_html(result, None)


@pytest.mark.parametrize(("name", "model"), [("specification", Specification), ("result", EvalResult)])
def test_shipped_schemas(name, model, update):
    """Editors and other tools get the schema that evalkit itself validates with."""
    schema, path = model.model_json_schema(), SCHEMAS / f"{name}.schema.json"
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n")
    # Versions of pydantic word the same schema differently; blocks and keys are what counts.
    assert keys_of(json.loads(path.read_text())) == keys_of(schema)


def keys_of(schema):
    """The blocks of a schema and their keys."""
    blocks = {"": schema, **schema.get("$defs", {})}
    return {name: sorted(block.get("properties", {})) for name, block in blocks.items()}


def test_a_difference_is_found(tmp_path):
    """The comparison itself can fail, and keeps what it saw."""
    (tmp_path / "x.txt").write_bytes(b"old")
    with pytest.raises(pytest.fail.Exception, match="x.txt differs"):
        check(tmp_path / "x.txt", b"new", update=False)
    kept = Path(__file__).parent / "actual/x.txt"
    assert kept.read_bytes() == b"new"
    kept.unlink()

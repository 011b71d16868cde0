"""OpenMetrics: what Prometheus and GitLab read are the run's own numbers."""

import pytest
from documents import result_of
from test_gates import verdict_of
from told import check, gitlab_metrics, member, numbers, samples, verdict

from evalkit.catalogue import METRICS
from evalkit.render.judged_run import JudgedRun
from evalkit.render.openmetrics import _OWN, render_openmetrics
from evalkit.rows import row_key


def test_headlines_and_what_gates_ask_for():
    """Not every metric of every class: those shown first, and those that are gated."""
    result = result_of()
    judged = verdict_of(
        result, {"metric": "recall", "class": "dog", "min": 0.5}, {"metric": "accuracy", "min": 0.5}
    )
    found = samples(render_openmetrics([JudgedRun("toy", 0, result, judged)]))
    rows = result.rows()
    assert [(name, labels) for name, labels, _ in found] == [
        ("accuracy", {"model": "toy"}),
        ("balanced_accuracy", {"model": "toy"}),
        ("f1", {"model": "toy", "average": "macro"}),
        ("recall", {"model": "toy", "class": "dog"}),
        *(
            (name, {"model": "toy"})
            for name in ("samples", "gates", "gates_failed", "gates_undecided", "exit_code")
        ),
    ]
    assert found[3][2] == pytest.approx(rows[row_key("recall", class_name="dog")].value, abs=5e-7)
    assert found[4][2] == result.n_samples


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9123, "0.912300"), (1.0, "1.000000"), (0.99999999, "0.99999999"), (2e-9, "0.000000002"), (7, "7")],
)
def test_numbers_have_no_exponent_and_do_not_round_to_a_lie(value, text):
    """Six decimals, more of them where it would read as exactly 0 or 1."""
    run = JudgedRun("toy", 3, None, verdict(check(value=value)))
    assert f'evalkit_accuracy{{model="toy"}} {text}\n' in render_openmetrics([run])


def test_families_of_our_own_are_no_metrics():
    """A metric of the same name would stand in one family with a count of gates."""
    assert not set(_OWN) & set(METRICS)


def test_what_has_no_value_is_left_out():
    """No NaN, for GitLab would show it as a value; the gate is counted all the same."""
    written = render_openmetrics([JudgedRun("toy", 5, None, verdict(check("cannot_judge", value=None)))])
    assert numbers(written, "accuracy") == []
    assert numbers(written, "gates_undecided") == [1]


def test_families_of_samples_stand_together():
    """Also over several runs, as the format demands."""
    run = JudgedRun("toy", 0, result_of(), verdict(outcome="none"))
    lines = render_openmetrics([run, run, run]).splitlines()
    names = [line.split("{")[0] for line in lines if not line.startswith("#")]
    runs = [name for k, name in enumerate(names) if k == 0 or names[k - 1] != name]
    assert len(runs) == len(set(runs)) == sum(line.startswith("# TYPE") for line in lines)
    assert lines[-1] == "# EOF"


def test_a_sharp_does_not_end_a_name():
    """GitLab refuses a whole report for it."""
    run = JudgedRun("C# code", 3, None, verdict(check(class_name="F#", params={"k": 5}, slice={"a#": "b"})))
    (name, value), *_ = gitlab_metrics(render_openmetrics([run])).items()
    sharp = "\N{FULLWIDTH NUMBER SIGN}"
    assert name == f"evalkit_accuracy{{model=C{sharp} code,k=5,class=F{sharp},slice=a{sharp} = b}}"
    assert value == "0.500000"


def test_names_that_only_quotation_marks_tell_apart():
    """GitLab drops the marks, and wants unique names."""
    twins = [check(class_name="a,slice=b = c", slice=None), check(class_name="a", slice={"b": "c"})]
    assert len(gitlab_metrics(render_openmetrics([JudgedRun("toy", 3, None, verdict(*twins))]))) == 6


@pytest.mark.parametrize(("n", "written"), [(100, 100), (101, 2)])
def test_families_of_classes(n, written):
    """Every member of a family, of a large one those in trouble."""
    members = [member(f"c{k}", "failed" if k < 2 else "passed") for k in range(n)]
    run = JudgedRun("toy", 3, None, verdict(check(metric="recall", class_name="*", members=tuple(members))))
    assert len(numbers(render_openmetrics([run]), "recall")) == written

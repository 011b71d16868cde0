"""The run in plain words: whole numbers of cases, each as the counts have it."""

import pytest
from documents import result_of
from pages import binary, multilabel
from test_compare import compared, saved, two_models
from test_gates import verdict_of

from evalkit.compare.document import comparison
from evalkit.render.numbers import digits_of, of_thousand
from evalkit.render.terms import terms_of
from evalkit.render.view import report_view
from evalkit.render.words import plain_words
from evalkit.uncertainty import wilson


def cases(k, n):
    low, high = wilson(k, n, level=0.95)
    return (
        f"{round(k / n * 1000):,} of 1,000",
        f"({round(float(low) * 1000):,} to {round(float(high) * 1000):,})",
    )


def test_multiclass():
    """Right in 1,000, the trivial answer, the worst class, the commonest mistake, and silence about the rest."""
    right, trivial, mistake, silence = plain_words(result_of(), None)[0], *plain_words(result_of(), None)[1:]
    share, bounds = cases(88, 100)
    assert share in right
    assert bounds in right
    assert "always answering 'cat' would be right for 450" in right
    assert trivial == "The class it finds worst is dog: 30 of 35."
    assert mistake == "The commonest mistake is cat taken for dog (5 times)."
    assert "says nothing about others" in silence


def test_binary():
    """Found, missed, false alarms, and how often a positive answer would be right where it is rare."""
    result = binary()
    counts = result.confusion
    tp, fn, fp, tn = (int(part[1]) for part in (counts.tp, counts.fn, counts.fp, counts.tn))
    found, alarms, right, _ = plain_words(result, None)
    assert f"finds about {round(tp / (tp + fn) * 1000)}" in found
    assert f"misses about {round(fn / (tp + fn) * 1000)}" in found
    assert f"about {round(fp / (fp + tn) * 1000)}" in alarms
    recall, rate = tp / (tp + fn), fp / (fp + tn)
    expected = 0.05 * recall / (0.05 * recall + 0.95 * rate)
    assert (
        f"Where 5 of 100 are ill, a positive answer would be right about {expected * 100:.0f} times in 100"
        in right
    )
    stated = plain_words(binary(metrics={"prevalence": 0.2}), None)[2]
    assert stated.startswith("Where 20 of 100 are ill")


def test_label_sets():
    """Whole sets, labels given, labels there, the worst label."""
    words = plain_words(multilabel(), None)
    assert "Every label is right for" in words[0]
    assert "labels that it gives" in words[1]
    assert "labels that are there" in words[2]
    assert "The label it finds worst is" in words[3]


def test_comparison(tmp_path):
    """Corrected and spoiled."""
    y, old, new = two_models(400, accuracy=(0.8, 0.85))
    found = compared(saved(tmp_path / "a", y, old), saved(tmp_path / "b", y, new))
    verdict = verdict_of(result_of(), {"metric": "accuracy", "min": 0.1})
    verdict = verdict.model_copy(update={"comparison": comparison(found)})
    corrected, spoiled = ((new == y) & (old != y)).sum(), ((new != y) & (old == y)).sum()
    text = " ".join(plain_words(found.candidate, verdict))
    assert (
        f"Of 400 samples that both models saw, the new one corrects {corrected} and spoils {spoiled}." in text
    )


def test_corners():
    """Nothing of an invalid run, no division by nothing, classes without samples are named."""
    assert plain_words(result_of(valid=False), None) == ()
    never = result_of(((40, 5, 0), (4, 30, 0), (0, 0, 0)))
    assert "nothing about hen, of which there was no sample" in plain_words(never, None)[-1]
    alone = result_of(((50, 0), (0, 0)), ("no", "yes"), positive="yes", threshold=0.5)
    assert "Of 1,000 that are not, about 0" in " ".join(plain_words(alone, None))
    perfect = result_of(((50, 0), (0, 50)), ("no", "yes"), positive="yes", threshold=0.5)
    assert "right about 100 times in 100 (" in " ".join(plain_words(perfect, None))


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0"), (1.0, "1,000"), (0.0001, "fewer than 1"), (0.9999, "more than 999"), (0.9214, "921")],
)
def test_cases_are_0_and_1000_only_where_exact(share, text):
    """As everywhere."""
    assert of_thousand(share) == text


@pytest.mark.parametrize(
    ("low", "high", "digits"),
    [(0.971, 0.994, 3), (0.44, 0.91, 2), (0.9, 0.9002, 5), (None, None, 4), (0.5, 0.5, 4), (0.0, 1e-12, 8)],
)
def test_digits_follow_the_interval(low, high, digits):
    """Two that mean something, from 2 to 8."""
    assert digits_of(low, high) == digits


def test_terms_change_words_and_no_number():
    """Sensitivity, PPV, acceptance criteria, subgroups; a binary page names both."""
    plain = binary()
    spec = {**plain.spec, "report": {"terms": "clinical"}}
    clinical = plain.model_copy(update={"spec": spec})
    assert terms_of(plain).metric("recall") == "Recall (sensitivity)"
    assert terms_of(clinical).metric("recall") == "Sensitivity (recall)"
    verdict = verdict_of(plain, {"metric": "accuracy", "min": 0.1}, {"metric": "accuracy", "min": 0.2})
    one, other = report_view(plain, verdict), report_view(clinical, verdict)
    assert "all 2 acceptance criteria passed" in other.heading
    assert [(m.value, m.interval) for m in one.metrics] == [(m.value, m.interval) for m in other.metrics]
    multi = result_of()
    assert terms_of(multi).metric("recall") == "Recall"


def test_the_cover_and_the_roles():
    """What a controlled document needs stands in the first block."""
    result = result_of()
    report = {
        "document": {"id": "QA-7", "version": "2", "intended_use": None, "prepared_by": "me"},
        "signoff": ["Lead"],
    }
    view = report_view(result.model_copy(update={"spec": {**result.spec, "report": report}}), None)
    assert view.cover == (("Document", "QA-7"), ("Version", "2"), ("Prepared by", "me"))
    assert view.signoff == ("Lead",)


def test_a_chosen_threshold_says_where():
    """The report names the run that it was chosen on."""
    result = binary()
    chosen = {"model": {"threshold": {"from": "runs/validation", "choose": "max_f1"}}}
    view = report_view(result.model_copy(update={"spec": {**result.spec, **chosen}}), None)
    assert view.explorer.in_force == "0.5000, chosen by max f1 on runs/validation"
    assert "the default" in report_view(result, None).explorer.in_force

"""`question`: a text, or paths of searched parameters."""

from __future__ import annotations

import pytest

from hpsearch.errors import StudyFileError
from hpsearch.results.question import introduction, question_of, structured_question
from hpsearch.study_file.freezing import freeze

QUESTION = "question: {parameter: optimizer.sgd.lr, by: [batch_size]}\n"
STUDY = """\
study: asks
budget: {trials: 2, epochs_per_trial: 1}
data: {source: digits}
model: {mlp: {hidden: [8]}}
optimizer: {sgd: {lr: {min: 0.01, max: 0.1}}}
batch_size: {values: [16, 32]}
"""


def test_paths_are_a_question_that_changes_no_study(load) -> None:
    study, plain = load(STUDY + QUESTION), load(STUDY)
    question = structured_question(study.document)
    assert question is not None and (question.parameter, question.by) == (
        "optimizer.sgd.lr",
        ("batch_size",),
    )
    assert question_of(study.document) == "What does lr change, by batch_size?"
    assert introduction(study.document) == question_of(study.document)
    assert study.fingerprint == plain.fingerprint
    assert structured_question({"question": "What does lr change?"}) is None
    assert "question" not in freeze(study, {"optimizer.sgd.lr": 0.1, "batch_size": 16}, {})


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{parameter: optimizer.sgd.lrr}", "question.parameter: unknown searched parameter"),
        ("{parameter: optimizer.sgd.lr, by: [model]}", "question.by: unknown searched parameter"),
        ("{parameter: optimizer.sgd.lr, by: batch_size}", "question.by: must be a list of paths"),
        ("{by: [batch_size]}", r"must be a text, or {parameter: PATH, by: \[PATH, ..\]}"),
        ("{parameter: optimizer.sgd.lr, bye: [batch_size]}", "unknown key 'bye'"),
        ("3", "question: must be a text, or"),
    ],
)
def test_what_it_cannot_be(load, written: str, message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        load(f"{STUDY}question: {written}\n")


def test_only_hpsearch_writes_an_ablation(load, reload) -> None:
    with pytest.raises(StudyFileError, match="ablates: only hpsearch writes this key"):
        load(STUDY + "ablates: {study: s}\n")
    document = {**load(STUDY).document, "ablates": {"study": "s"}}
    study = reload(document)
    assert study.is_planned and study.document == document

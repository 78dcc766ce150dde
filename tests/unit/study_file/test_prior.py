"""`search: {prior: ..}`: what it means, left out or not, in files and in stored documents."""

from __future__ import annotations

import pytest
from support.searching import SILENT

from hpsearch.errors import StudyFileError
from hpsearch.study_file.compare import as_stored, difference, fingerprint
from hpsearch.study_file.freezing import freeze
from hpsearch.study_file.shipped import SHIPPED

NONE, RULE = f"{SILENT}search: {{prior: none}}\n", f"{SILENT}search: {{prior: rule}}\n"


def test_a_file_names_its_prior_or_leaves_it_to_hpsearch(load):
    assert [load(text).prior for text in (NONE, RULE, SILENT)] == ["none", "rule", SHIPPED[-1]]
    assert "search" in load(SILENT).auto_sections
    assert "search" not in load(RULE).auto_sections | load(NONE).auto_sections
    assert load(SILENT, "search.prior=none").prior == "none"
    assert "search" not in load(SILENT, "search.prior=none").auto_sections


def test_who_names_a_sampler_gets_no_prior_beside_it(load):
    text = f"{SILENT}sampler: random\n"
    assert load(text).prior == "none"
    assert "search" not in load(text).document
    assert "search" in load(text).auto_sections
    assert load(f"{text}search: {{prior: v1}}\n").prior == "v1"
    for silent in (f"{SILENT}sampler: auto\n", f"{SILENT}search: {{prior: auto}}\n"):
        assert load(silent).document == load(SILENT).document
        assert "search" in load(silent).auto_sections


def test_a_prior_is_another_question(load):
    none, rule = load(NONE), load(RULE)
    assert none.fingerprint != rule.fingerprint
    assert difference(none.document, rule.document) == ["search: (absent) -> {prior: rule}"]


def test_a_document_without_the_key_is_of_a_study_without_a_prior(load, reload):
    none = load(NONE)
    assert "search" not in none.document  # as every study was stored before there were priors
    for study in (none, load(RULE), load(SILENT)):
        again = reload(study.document)
        assert (again.prior, again.document) == (study.prior, study.document)
        assert again.fingerprint == study.fingerprint
        assert again.auto_sections == frozenset()


@pytest.mark.parametrize("text", [NONE, RULE])
def test_a_frozen_config_searches_nothing_so_it_has_no_prior(load, reload, text):
    study = load(text)
    frozen = freeze(study, {"optimizer.sgd.lr": 0.5}, {"study": "s"})
    assert "search" not in frozen
    assert reload(frozen).prior == "none"
    assert freeze(reload(frozen), {}, {"study": "s"}) == frozen


def test_a_file_that_says_nothing_goes_on_with_what_was_stored(load):
    stored, rule = load(NONE).document, load(RULE)
    # The file as it was, read by a version in which a prior is the default
    document = as_stored(stored, rule.document, {"search"})
    assert document == stored and fingerprint(document) == fingerprint(stored)
    assert list(document) == list(stored)
    document = as_stored(rule.document, load(NONE).document, {"search"})
    assert fingerprint(document) == rule.fingerprint
    # What it does say is compared
    assert as_stored(stored, rule.document, ()) == rule.document
    more = load(RULE.replace("trials: 4", "trials: 9")).document
    assert as_stored(stored, more, {"search"})["budget"]["trials"] == 9


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("search: {prior: rul}", "none, rule, v1, or the path"),
        ("search: {prior: nowhere.npz}", "nowhere.npz"),
        ("search: {priors: rule}", "priors"),
        ("search: rule", "search"),
        ("search: {prior: {values: [none, rule]}}", "prior"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(load, written, message):
    with pytest.raises(StudyFileError) as caught:
        load(f"{SILENT}{written}\n")
    assert message in str(caught.value) and ":6:" in str(caught.value)

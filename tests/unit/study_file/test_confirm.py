"""`confirm`, what only hpsearch writes for it, and the seeds of a confirmation's trainings."""

from __future__ import annotations

import pytest

from hpsearch.errors import StudyFileError
from hpsearch.study_file.freezing import freeze
from hpsearch.study_file.study import Confirm
from hpsearch.study_file.trial_config import CONFIRM_SEED, trial_seed

CONFIRMS = {"study": "s", "fingerprint": "f", "seeds": 2, "finalists": [], "baseline": None}


def test_left_out_it_is_the_default_and_leaves_no_trace(load, base):
    study = load(base)
    assert study.confirm == Confirm(top=6, seeds=5, share=None)
    assert study.confirms is None
    assert {"confirm", "confirms"}.isdisjoint(study.document)


def test_each_key_has_its_default(load, base):
    study = load(base + "confirm: {top: 3, share: 0.25}\n")
    assert study.confirm == Confirm(top=3, seeds=5, share=0.25)
    assert study.document["confirm"] == {"top": 3, "seeds": 5, "share": 0.25}


def test_it_is_no_other_question_and_no_part_of_a_frozen_config(load, base):
    study, other = load(base), load(base + "confirm: {seeds: 9}\n")
    assert study.fingerprint == other.fingerprint
    frozen = freeze(other, dict.fromkeys(other.space.parameters(), 0.1), {})
    assert "confirm" not in frozen


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{top: 0}", "confirm.top"),
        ("{seeds: 1}", r"a number of seeds from 2 \(one alone doesn't show the spread"),
        ("{seeds: 1000000000}", r"spread\) to 1,000, but got 1000000000"),
        ("{share: 0}", "a share of the search's epochs above 0"),
        ("{rounds: 2}", "unknown key 'rounds'"),
    ],
)
def test_what_it_may_not_be(load, base, written, message):
    with pytest.raises(StudyFileError, match=message):
        load(base + f"confirm: {written}\n")


def test_confirms_is_for_hpsearch_alone(load, reload, base):
    with pytest.raises(StudyFileError, match="confirms: only hpsearch writes this key"):
        load(base + "confirms: {study: other}\n")
    with pytest.raises(StudyFileError, match="confirms: only hpsearch writes this key"):
        load(base, "confirms.study=other")
    study = load(base)
    stored = reload({**study.document, "confirms": CONFIRMS})
    assert stored.confirms == CONFIRMS == stored.document["confirms"]
    assert stored.fingerprint != study.fingerprint


def test_finalists_share_a_seeds_training_and_split(load, base):
    study = load(base.replace("source: digits", "source: digits, limit: 500"))
    params = dict.fromkeys(study.space.parameters(), 0.1)
    one, same, other = (
        study.trial_config({**params, CONFIRM_SEED: fresh}, ticket)
        for fresh, ticket in ((1, 1), (1, 7), (2, 7))
    )
    assert (one.seed, one.split_seed) == (same.seed, same.split_seed)
    assert len({one.seed, one.split_seed, other.seed, other.split_seed}) == 4
    # The images that `limit` takes stay the search's own
    assert one.data.limit_seed == other.data.limit_seed == study.seed
    searched = study.trial_config(params, 1)
    assert (searched.seed, searched.split_seed) == (trial_seed(study.seed, 1), study.seed)
    assert searched.data.limit_seed is None

"""A study with a prior, trained: which trials it chose, what is stored, what status says of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from support.trials import STUDY

from hpsearch.cli.app import run_command
from hpsearch.cli.commands.status import _print_prior
from hpsearch.errors import UserError
from hpsearch.priors.built import Images
from hpsearch.priors.features import NAMES
from hpsearch.priors.making import prior_of
from hpsearch.priors.prior_file import read
from hpsearch.reporting.status import read_prior, status_of
from hpsearch.results.opening import study_of
from hpsearch.results.prior_examples import examples_of
from hpsearch.search.ledger import queries
from hpsearch.search.trust import START
from hpsearch.study_file.shipped import file_of, sha256_of

#: Four decades around 0.02, which is the rule's for a momentum of 0.9 and batches of 32.
WIDE = STUDY.replace("min: 1e-2, max: 0.5", "min: 2e-4, max: 2").replace("trials: 3,", "trials: 7,")


@pytest.fixture(params=["random", "tpe"])
def sampler(request):
    return request.param


def test_a_learned_prior_draws_the_first_points_and_is_stored_with_its_file(open_study):
    search = open_study("search.prior=v1", "sampler=random", "budget.trials=5", text=WIDE)
    search.run_all()
    drawn = [row.user_attrs[START] for row in search.trials()]
    assert drawn == ["v1"] * 4 + ["random"]
    assert search.record().study.document["search"]["sha256"] == sha256_of("v1")
    told = read_prior(search.database, search.record())
    assert told is not None and told["name"] == "v1" and told["weight"] == 0.8


def points(search):
    return [dict(row.params) for row in search.trials()]


def test_the_first_points_are_the_priors_but_for_every_fifth(open_study, sampler):
    search = open_study("search.prior=rule", f"sampler={sampler}", text=WIDE)
    search.run_all()
    rows = search.trials()
    assert [row.user_attrs[START] for row in rows] == ["rule"] * 4 + ["random"] + ["rule"] * 2
    for row in rows:
        if row.user_attrs[START] == "rule":
            assert abs(math.log10(row.params["optimizer.sgd.lr"] / 0.02)) < 0.5
    # What is compared is what the ledger has
    starts = search.bench().history.starts(maximize=True)
    curves = queries.curves(search.database, search.stored.study_id, range(1, 8))
    assert [each.by_prior for each in starts] == [ticket != 5 for ticket in range(1, 8)]
    for ticket, start in enumerate(starts, 1):
        assert start.scores == {
            number: epoch.val_accuracy for number, epoch in enumerate(curves[ticket], 1)
        }
    less = search.bench().history.starts(maximize=False)
    assert less[0].scores[1] == -starts[0].scores[1]


def test_points_follow_from_seed_ticket_and_ledger_not_from_the_process(open_study):
    one = open_study("search.prior=rule", text=WIDE)
    one.run_all()
    other = open_study("search.prior=rule", "study=other", text=WIDE)
    for number in range(7):  # a worker of its own for each trial
        other.run_one(f"worker-{number}")
    assert points(one) == points(other)


def test_without_a_prior_nothing_is_chosen_or_noted(open_study):
    plain = open_study("search.prior=none", text=WIDE)
    plain.run_all()
    assert not any(START in row.user_attrs for row in plain.trials())
    assert "prior" not in status_of(plain.database, plain.record())
    assert plain.bench().history.starts(maximize=True) == []


def test_status_says_whether_the_priors_starts_are_better(open_study, capsys):
    search = open_study("search.prior=rule", "budget.trials=17", text=WIDE)
    search.run_one()
    few = status_of(search.database, search.record())["prior"]
    assert few == {
        "name": "rule", "starts": 1, "random_starts": 0, "better_than_random": None,
        "is_off": False, "weight": 0.8,
    }  # fmt: skip
    _print_prior(few)
    assert "prior rule: 1 start and 0 random ones, too few to compare" in capsys.readouterr().out
    search.run_all()
    told = read_prior(search.database, search.record())
    assert told is not None
    assert (told["starts"], told["random_starts"]) == (14, 3)
    assert told["better_than_random"] > 0.5  # four decades of learning rates leave no doubt
    _print_prior(told)
    out = capsys.readouterr().out.replace("\n", " ")
    assert f"its 14 starts beat 3 random ones in {100 * told['better_than_random']:.0f} %" in out
    assert "it chooses 80 % of the starts" in out and "`search: {prior: none}`" in out
    _print_prior({**told, "is_off": True, "better_than_random": 0.25})
    assert "off for now, as its 14 starts beat 3 random ones in only 25 %" in (
        capsys.readouterr().out.replace("\n", " ")
    )


def test_a_study_of_ones_own_becomes_part_of_a_prior_that_others_may_use(
    open_study, tmp_path, capsys
):
    own = open_study(
        "sampler=random", "pruner=none", "budget={trials: 20, epochs_per_trial: 1}", text=WIDE
    )
    own.run_all()
    file = tmp_path / "mine.npz"
    url = own.database.url.render_as_string(hide_password=False)

    def told(*words, code=0):
        assert run_command(["prior", *words, "--file", str(file)]) == code
        return capsys.readouterr()

    name = own.stored.name
    # Called as a table that comes with hpsearch, which stays
    assert name in [each.name for each in read(file_of("v1")).examples]
    told("add", name, "--storage", url)
    learned = read(file)
    first = file.read_bytes()
    *others, lessons = learned.examples
    assert len(others) == len(read(file_of("v1")).examples) and lessons.name == f"study {name}"
    values = [trial.value for trial in own.record().trials]
    assert spearmanr(lessons.ranks, values).statistic == pytest.approx(1.0)
    lrs = [math.log10(trial.params["optimizer.sgd.lr"]) for trial in own.record().trials]
    assert lessons.rows[:, NAMES.index("lr")] == pytest.approx(np.array(lrs), abs=1e-5)
    # The same again changes nothing
    told("add", name, "--storage", url)
    assert file.read_bytes() == first
    assert name in told("show").out

    other = open_study(f"search.prior={file}", "study=other", "sampler=random", text=WIDE)
    other.run_one()
    assert other.trials()[0].user_attrs[START] == "mine.npz"
    assert other.record().study.document["search"]["sha256"] == sha256_of(str(file))

    told("remove", name)
    assert [each.name for each in read(file).examples] == [each.name for each in others]
    assert "study of the prior" in told("remove", name, code=2).err
    # The file is another one now, so the study that it began can't go on with it
    with pytest.raises(UserError, match="must be the file that it was created with"):
        prior_of(study_of(other.record()))
    file.unlink()
    with pytest.raises(UserError, match="can be read here"):
        prior_of(study_of(other.record()))
    assert "can be read" in told("show", code=2).err


def test_an_unfinished_study_or_one_of_few_trials_teaches_nothing(open_study):
    few = open_study("sampler=random", "budget.trials=2", text=WIDE)
    images = Images((1, 8, 8), 10, 100)
    with pytest.raises(UserError, match=r"a finished study, but .* has 0 of 2 trials"):
        examples_of(few.record(), study_of(few.record()), lambda config: images)
    few.run_all()
    with pytest.raises(UserError, match="at least 20 usable trials"):
        examples_of(few.record(), study_of(few.record()), lambda config: images)

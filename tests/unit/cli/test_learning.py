"""`hpsearch learn`: from a file, from another study, from Optuna's; told, stored, and forgotten."""

from __future__ import annotations

import copy

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from support.searching import epoch_end

from hpsearch.search import prior_results
from hpsearch.search.ledger import studies
from hpsearch.study_file.loading import study_from_document

HEADER = "Name,State,val_accuracy,width,lr\n"


@pytest.fixture(autouse=True)
def only_made_up_components(monkeypatch, made_up_components):
    monkeypatch.setattr("hpsearch.component_registries.registries", made_up_components)


@pytest.fixture
def study(made_up, made_up_components):
    """Store a variant of the made-up study that learns."""

    def store(name: str, **changes):
        document = copy.deepcopy(dict(made_up.study.document))
        document |= {"study": name, "sampler": {"tpe": {"startup_trials": 1}}, **changes}
        return studies.attach(made_up.database, study_from_document(document, made_up_components))

    return store


@pytest.fixture
def pupil(study):
    return study("pupil")


@pytest.fixture
def learn(hpsearch, made_up, pupil):
    return lambda *options: hpsearch(
        "learn", "--study", "pupil", "--storage", made_up.url, *options
    )


@pytest.fixture
def known(made_up, pupil):
    """Return where the pupil's knowledge came from, and how much it is."""
    return lambda: [
        (each.name, each.results)
        for each in prior_results.sources(made_up.database, pupil.study_id)
    ]


def test_a_file_is_told_then_learned_once(learn, known, here):
    (here / "runs.csv").write_text(
        HEADER + "a,finished,81.5,16,0.1\nb,crashed,,8,0.1\n\x1b[31m,finished,85,99,=1+1\n"
    )
    dry = learn("--from", "runs.csv", "--dry-run")
    assert (dry.code, known()) == (0, [])
    lines = dry.out.splitlines()
    assert lines[0] == "pupil learns from runs.csv"
    assert "optimizer.walk.lr from 'lr'" in lines[1]
    assert "in percent: 83.91 means 0.8391" in lines[2]
    assert "0.815" in dry.out
    assert "skipped: its run didn't finish: crashed" in dry.out
    assert "skipped: model.line.width must be in 1 to 64, but is 99" in dry.out
    assert lines[-1] == "1 of 3 rows usable, 2 skipped; nothing stored"
    assert "\x1b" not in dry.out
    assert learn("--from", "runs.csv").out.splitlines()[-1] == (
        "1 result learned, 2 skipped; they are no trials"
    )
    assert known() == [("runs.csv", 1)]
    told = learn("--from", "runs.csv", "--json").json
    assert (told["added"], told["usable"], told["skipped"]) == (0, 1, 2)
    assert told["results"][1]["skipped"].startswith("its run didn't finish")


def test_status_tells_it_apart_from_trials(learn, hpsearch, made_up, here):
    (here / "runs.csv").write_text(HEADER + "a,finished,0.815,16,0.1\n")
    learn("--from", "runs.csv")
    stored = ("--study", "pupil", "--storage", made_up.url)
    told = hpsearch("status", *stored, "--json").json
    assert (told["trials"]["total"], told["best"]) == (0, None)
    assert told["knowledge"][0]["source"] == "runs.csv"
    assert "the sampler uses 1 result from runs.csv\n" in hpsearch("status", *stored).out
    assert hpsearch("show", *stored, "--json").json == []


def test_another_study_is_read_by_this_ones_objective(
    learn, known, made_up, searched, hpsearch, study
):
    """What the other one fixes, or measures otherwise, is known of its trials all the same."""
    ran = learn("--from", "made_up")
    assert ran.code == 0, ran.all
    assert "3 results learned, 2 skipped" in ran.out  # a pruned and a failed one
    assert "skipped: is pruned" in ran.out
    (source,) = known()
    assert source[0].startswith("made_up @ sqlite:///")
    best = study("by_best", objective={"metric": "val_loss", "at": "best"})
    hpsearch("learn", "--study", "by_best", "--storage", made_up.url, "--from", "made_up")
    history = prior_results.PriorResults(best.study_id)
    made_up.database.read(history.read)
    losses = [row[1] for row in history._rows]
    assert [f"{each:.1f}" for each in map(_value, losses)] == ["0.6", "0.7", "0.7"]


def _value(outcome: str) -> float:
    import json

    return json.loads(outcome)["values"][0]


def run(database, stored, trials, **figures):
    """Play a worker: one complete trial for each of ``trials`` (parameters, value)."""
    from hpsearch.search.history import distribution_of
    from hpsearch.search.ledger.claims import Claims
    from hpsearch.search.ledger.ledger import Ledger
    from hpsearch.search.ledger.types import SearchRules, TrialRow
    from hpsearch.study_file.loading import study_from_document

    file = study_from_document(stored.document, registries())
    rules = SearchRules(
        metric="val_accuracy", maximize=True, best_epoch_counts=False, epochs_per_trial=3,
        pruner=lambda report, peers: False,
    )  # fmt: skip
    ledger = Ledger(database, stored.study_id, "w", rules)
    claims = Claims(
        database, stored.study_id, "w", lease_seconds=30, seen_stops=0,
        needs_point=lambda ticket: False, rules=rules,
    )  # fmt: skip
    parameters = file.space.parameters()
    for params, value in trials:
        claim = claims.claim()
        row = TrialRow(
            params=params,
            distributions={path: distribution_of(parameters[path]) for path in params},
            user_attrs={},
            system_attrs={},
        )
        ledger.start(claim, row)
        for epoch in (1, 2, 3):
            ledger.report(claim, epoch_end(epoch, value))


def registries():
    from hpsearch import component_registries

    return component_registries.registries


def test_a_narrower_study(learn, made_up, study, known):
    """What it fixes is a parameter here; what lies outside is told by trial."""
    narrow = study(
        "narrow", model={"line": {"width": 32}}, budget={"trials": 9, "epochs_per_trial": 3}
    )
    lrs = [({"optimizer.walk.lr": lr}, 0.5 + lr) for lr in (0.1, 0.2)]
    run(made_up.database, narrow, lrs)
    told = learn("--from", "narrow", "--json").json
    assert told["added"] == 2
    assert told["results"][1]["params"] == {"model.line.width": 32, "optimizer.walk.lr": 0.2}
    wide = study("wide", model={"line": {"width": 100}})
    run(made_up.database, wide, [({"optimizer.walk.lr": 0.1}, 0.9)])
    ran = learn("--from", "wide")
    assert ran.code == 2
    assert "skipped: model.line.width must be in 1 to 64, but is 100" in ran.out
    assert "no result can be used from wide @" in ran.err
    assert len(known()) == 1


def test_other_data_and_epochs_are_told(learn, made_up, study):
    other = study(
        "other", budget={"trials": 9, "epochs_per_trial": 9}, data={"source": "dots", "limit": 50}
    )
    run(made_up.database, other, [({"model.line.width": 8, "optimizer.walk.lr": 0.1}, 0.5)])
    ran = learn("--from", "other")
    assert "warning: its data or their preparation differ" in ran.out
    assert "up to 9 epochs, this study's for up to 3" in ran.out


def test_any_study_of_optunas(learn, known, here):
    url = f"sqlite:///{here}/optuna.db"
    tuned = optuna.create_study(study_name="tuned", storage=url, direction="maximize")

    def objective(trial):
        lr = trial.suggest_float("lr", 1e-4, 10, log=True)
        if trial.number == 2:
            raise optuna.TrialPruned
        return trial.suggest_int("width", 1, 8) / 10 + min(lr, 1) / 100

    tuned.enqueue_trial({"lr": 0.1, "width": 8})
    tuned.enqueue_trial({"lr": 9.0, "width": 8})
    tuned.optimize(objective, n_trials=3)
    ran = learn("--from", "tuned", "--from-storage", url)
    assert ran.code == 0, ran.all
    assert "1 result learned, 2 skipped" in ran.out
    assert "trial 1" in ran.out and "walk.lr must be in 0.0001 to 1.0, but is 9.0" in ran.out
    assert "its values are read as val_accuracy" in ran.out
    assert "is pruned" in ran.out
    assert known()[0][0] == f"tuned @ {url}"
    unknown = learn("--from", "tunde", "--from-storage", url)
    assert (unknown.code, "Did you mean 'tuned'" in unknown.err) == (2, True)
    assert "doesn't exist" in learn("--from", "x", "--from-storage", "sqlite:///none.db").err
    assert not (here / "none.db").exists()


@pytest.mark.parametrize(
    ("directions", "names", "says"),
    [
        (["minimize"], None, "but has minimize"),
        (["maximize", "minimize"], None, "but has maximize, minimize"),
        (["maximize"], ["auc"], "must measure val_accuracy, but it measures auc"),
    ],
)
def test_what_is_after_something_else_is_refused(learn, here, directions, names, says):
    url = f"sqlite:///{here}/optuna.db"
    other = optuna.create_study(study_name="other", storage=url, directions=directions)
    if names:
        with pytest.warns(ExperimentalWarning):
            other.set_metric_names(names)
    ran = learn("--from", "other", "--from-storage", url)
    assert (ran.code, says in ran.err) == (2, True), ran.all


def test_a_table_of_optunas(learn, known, here):
    """What ``study.trials_dataframe().to_csv()`` writes, pruned and failed trials included."""
    tuned = optuna.create_study(direction="maximize")

    def objective(trial):
        lr, width = trial.suggest_float("lr", 1e-4, 1, log=True), trial.suggest_int("width", 1, 64)
        if trial.number:
            raise (optuna.TrialPruned, ValueError)[trial.number - 1]
        return min(1.0, lr + width / 100)

    tuned.optimize(objective, n_trials=3, catch=ValueError)
    tuned.trials_dataframe().to_csv(here / "optuna.csv")
    told = learn("--from", "optuna.csv", "--json").json
    (one, *others) = told["results"]
    assert one["values"] == [pytest.approx(tuned.trials[0].value)]
    assert one["params"] == {
        "model.line.width": tuned.trials[0].params["width"],
        "optimizer.walk.lr": pytest.approx(tuned.trials[0].params["lr"]),
    }
    assert [each["skipped"].split(" (")[0] for each in others] == [
        "its run didn't finish: PRUNED", "its run didn't finish: FAIL",
    ]  # fmt: skip
    assert known() == [("optuna.csv", 1)]


def test_the_table_of_a_report_teaches_as_its_study_does(learn, made_up, searched, hpsearch, here):
    ran = hpsearch("report", "--study", "made_up", "--storage", made_up.url, "--out", "report",
                   "--no-figures")  # fmt: skip
    assert ran.code == 0, ran.all
    table = learn("--from", "report/trials.csv", "--dry-run", "--json").json
    study = learn("--from", "made_up", "--dry-run", "--json").json

    def lessons(told):
        found = [each for each in told["results"] if each["skipped"] is None]
        return sorted((each["values"], sorted(each["params"].items())) for each in found)

    assert len(lessons(table)) == 3
    assert lessons(table) == lessons(study)


def test_it_is_forgotten(learn, known, here):
    (here / "runs.csv").write_text(HEADER + "a,finished,0.815,16,0.1\n")
    learn("--from", "runs.csv")
    assert "unknown source of knowledge 'run.csv'" in learn("--forget", "run.csv").err
    assert learn("--forget", "runs.csv").out == "pupil: 1 result of runs.csv forgotten\n"
    assert known() == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "must be given"),
        (("--from", "a.csv", "--forget", "b"), "must be given"),
        (("--from", "none.csv"), "none.csv doesn't exist"),
        (("--from", "pupil"), "a study already uses its own trials"),
        (("--from", "nobody"), "unknown study 'nobody'"),
        (("--from", "runs.csv", "--map", "lr"), "must be --map COLUMN=PATH, but got lr"),
        (("--from", "runs.csv", "--fix", "=3"), "must be --fix PATH=VALUE, but got =3"),
        (("--from", "runs.csv", "--value", "nothing"), "unknown column 'nothing'"),
    ],
)
def test_what_is_wrong_is_said(learn, here, options, says):
    (here / "runs.csv").write_text(HEADER + "a,finished,0.815,16,0.1\n")
    ran = learn(*options)
    assert ran.code == 2
    assert says in " ".join(ran.err.split())
    assert "Traceback" not in ran.err


def test_a_sampler_that_looks_at_nothing_cannot_be_taught(hpsearch, made_up, here):
    (here / "runs.csv").write_text(HEADER)
    stored = ("--study", "made_up", "--storage", made_up.url)
    ran = hpsearch("learn", *stored, "--from", "runs.csv")
    assert (ran.code, "has random, which doesn't use any" in ran.err) == (2, True)


def test_a_password_in_the_command_line_draws_a_warning(learn):
    ran = learn("--from", "x", "--from-storage", "postgresql://me:secret@127.0.0.1:1/db")
    assert "warning: --from-storage contains a password" in ran.err
    assert "secret" not in ran.all

"""status, show, export, stop and studies on a study whose figures are made up."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.searching import epoch_end

from hpsearch.search.ledger import studies

#: The winner of ``made_up``.
SEEN = (
    "The best seen is line (trial 2): val_accuracy 80.00 %, not confirmed "
    "(one seed, the best of 3 complete trials: optimistic)."
)


@pytest.fixture(autouse=True)
def only_made_up_components(monkeypatch, made_up_components):
    monkeypatch.setattr("hpsearch.component_registries.registries", made_up_components)


@pytest.fixture
def made_up_args(searched):
    return ("--study", "made_up", "--storage", searched.url)


def test_status_as_json(hpsearch, made_up_args):
    ran = hpsearch("status", *made_up_args, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["trials"] == {
        "total": 6,
        "complete": 3,
        "pruned": 1,
        "failed": 1,
        "running": 1,
        "paused": 0,
        "infeasible": 1,
    }
    assert ran.json["best"] == {**ran.json["best_seen"], "confirmed": False}
    assert ran.json["best_seen"]["number"] == 2
    assert set(ran.json) == {
        "study",
        "trials",
        "budget",
        "epochs_run",
        "compute_seconds",
        "best",
        "best_seen",
        "winner",
        "against",
        "pruning",
    }
    assert ran.json["winner"] == SEEN


def test_status_in_words(hpsearch, made_up_args):
    assert hpsearch("status", *made_up_args).out == (
        "made_up: 5 of 6 trials finished\n"
        "3 complete, 1 pruned, 1 failed, 1 running, 0 paused; 1 infeasible draws\n"
        "12 epochs in 24 s of training\n"
        "pruning saved up to 1 epoch\n"
        "  trial 5 failed: RuntimeError: [red]poison[/red]\n"
        f"{SEEN}\n"
        "  width=16  lr=0.25\n"
    )


def test_status_before_anything_is_complete(hpsearch, made_up):
    ran = hpsearch("status", "--study", "made_up", "--storage", made_up.url)
    assert ran.out.endswith("No winner yet: no trial is complete.\n")


def test_watch_ends_with_the_study(hpsearch, made_up):
    for _ in range(6):
        made_up.trial(0.5, 0.6, 0.7)
    ran = hpsearch("status", "--study", "made_up", "--storage", made_up.url, "--watch")
    assert ran.out.count("6 of 6 trials finished") == 1


def test_watch_looks_again(hpsearch, made_up, monkeypatch):
    def sleep(seconds: float) -> None:
        assert seconds == 0.5
        for _ in range(6):
            made_up.trial(0.5, 0.6, 0.7)

    monkeypatch.setattr("time.sleep", sleep)
    arguments = ("--study", "made_up", "--storage", made_up.url, "--watch", "--interval", "0.5")
    told = hpsearch("status", *arguments).out
    assert re.findall(r"made_up: (\d) of 6", told) == ["0", "6"]


def test_watch_ends_when_its_database_is_replaced(hpsearch, made_up, monkeypatch):
    path = Path(str(made_up.database.url.database))

    def sleep(_seconds: float) -> None:
        copy = path.with_name("copy.db")
        shutil.copy(path, copy)
        copy.replace(path)

    monkeypatch.setattr("time.sleep", sleep)
    ran = hpsearch("status", "--study", "made_up", "--storage", made_up.url, "--watch")
    assert ran.code == 1
    assert "replaced by another file" in ran.err
    assert ran.err.count("\n") == 1


def test_the_study_is_found_by_its_file(hpsearch, here, searched):
    (here / "mine.yaml").write_text("study: made_up\nbudget: [whatever\n")
    broken = hpsearch("status", "--study", "mine.yaml", "--storage", searched.url)
    assert "unknown study 'mine.yaml'" in broken.err
    (here / "mine.yaml").write_text("study: made_up\n")
    assert hpsearch("status", "--study", "mine.yaml", "--storage", searched.url).code == 0


def test_an_unknown_study_lists_those_there_are(hpsearch, searched):
    ran = hpsearch("status", "--study", "made_op", "--storage", searched.url)
    assert ran.code == 2
    assert ran.err.startswith(
        "error: unknown study 'made_op'. Did you mean 'made_up'? Known: made_up."
    )


def test_show_has_everything_of_a_trial(hpsearch, made_up_args):
    page = hpsearch("show", *made_up_args, "2", "--json").json
    assert (page["number"], page["ticket"], page["state"]) == (2, 2, "complete")
    assert page["params"] == {"model.line.width": 16, "optimizer.walk.lr": 0.25}
    assert [point["val_accuracy"] for point in page["curve"]] == [0.4, 0.6, 0.8]
    kinds = [event["kind"] for event in page["events"]]
    assert kinds[:3] == ["claimed", "infeasible", "started"]
    assert kinds[-1] == "complete"
    assert page["noted"]["parameters"] == 1234


def test_show_in_words(hpsearch, made_up_args):
    told = hpsearch("show", *made_up_args, "0").out
    assert "made_up, trial 0: complete\n" in told
    assert "val_accuracy 70.00 % (last epoch); best 90.00 % at epoch 2; 3 of 3 epochs in" in told
    assert "made_up, trial 2: complete (best seen)\n" in hpsearch("show", *made_up_args, "2").out
    assert "in 6.0 s\n" in told
    assert "val_accuracy ▁█▄\n" in told
    assert re.search(r"\n +2 +0\.1 +90\.00 % +0\.6 +90\.00 % +0\.1 +1\.5 +0\.5\n", told)
    assert told.endswith("Files\nnone on this host\n")


def ended(made_up, classes: int, *, overfits: bool) -> None:
    """Train trial 0 for as many epochs as the rule needs, and count its validation images."""
    claim = made_up.claim()
    row = made_up.row(width=8, lr=0.1)
    names = [f"class {number}" for number in range(classes)]
    made_up.ledger.start(claim, replace(row, user_attrs={**row.user_attrs, "class_names": names}))
    losses = [0.5, 0.7, 0.8, 0.9] if overfits else [0.9, 0.8, 0.7, 0.5]
    made_up.ledger.rules = replace(made_up.ledger.rules, epochs_per_trial=4)
    matrix = [[10 * true + named for named in range(classes)] for true in range(classes)]
    for epoch, loss in enumerate(losses, start=1):
        result = epoch_end(epoch, 0.9, val_loss=loss, train_loss=1 / epoch, val_confusion=matrix)
        made_up.ledger.report(claim, result)


def test_show_prints_the_confusion_matrix(hpsearch, made_up):
    ended(made_up, 3, overfits=False)
    told = hpsearch("show", "--study", "made_up", "--storage", made_up.url, "0").out
    table = re.search(
        r"\nValidation images of epoch 4 by true class \(rows\) and predicted class\n"
        r" +class 0 +class 1 +class 2\n"
        r"class 0 +0 +1 +2\nclass 1 +10 +11 +12\nclass 2 +20 +21 +22\n",
        told,
    )
    assert table
    assert "overfits" not in told
    assert "val_confusion" not in told
    assert "class_names" not in told


def test_show_tells_where_a_trial_overfits(hpsearch, made_up):
    ended(made_up, 13, overfits=True)
    arguments = ("show", "--study", "made_up", "--storage", made_up.url, "0")
    told = hpsearch(*arguments).out
    assert "\noverfits from epoch 2: validation loss rises, training falls\n" in told
    assert "Validation images by true class" not in told  # too wide; the JSON has it
    page = hpsearch(*arguments, "--json").json
    assert page["overfits_from"] == 2
    assert page["noted"]["val_confusion"][12][0] == 120
    assert page["noted"]["class_names"][12] == "class 12"
    point = page["curve"][0]
    assert (point["seconds"], point["train_seconds"], point["val_seconds"]) == (2.0, 1.5, 0.5)
    assert {"val_macro_f1", "val_balanced_accuracy"} < set(point)


def test_show_tells_an_error_whole_and_untouched(hpsearch, made_up_args):
    told = hpsearch("show", *made_up_args, "5").out
    assert "Last error\nTraceback ...\nRuntimeError: [red]poison[/red]\n" in told


def test_show_lists_files_on_this_host(hpsearch, made_up_args, here, searched):
    folder = here / "runs" / "made_up" / searched.stored.run_key / "trial-0006"
    folder.mkdir(parents=True)
    (folder / "epoch-0001.attempt-1.pt").write_bytes(b"x" * 1500)
    page = hpsearch("show", *made_up_args, "6", "--json").json
    (file,) = page["files"]
    assert file["path"].endswith("trial-0006/epoch-0001.attempt-1.pt")
    assert file["bytes"] == 1500


def test_show_explains_an_infeasible_draw(hpsearch, made_up_args):
    told = hpsearch("show", *made_up_args, "1").out
    assert "made_up, trial 1: infeasible\nticket 2 drew again" in told
    assert "reason: 64 > 8\n" in told


def test_show_without_a_number_lists_all_best_first(hpsearch, made_up_args):
    listed = hpsearch("show", *made_up_args, "--json").json
    assert [(row["rank"], row["number"]) for row in listed] == [
        (1, 2),
        (2, 4),
        (3, 0),
        (None, 3),
        (None, 5),
        (None, 6),
    ]
    told = hpsearch("show", *made_up_args).out.splitlines()
    assert told[0].split() == [
        "rank",
        "trial",
        "state",
        "val_accuracy",
        "epochs",
        "time",
        "parameters",
    ]
    assert told[1].split()[:5] == ["1", "2", "complete", "80.00", "%"]
    assert told[1].split()[-2:] == ["best", "seen"]
    assert [row.get("winner") for row in listed] == ["best seen", *[None] * 5]


def test_an_unknown_trial(hpsearch, made_up_args):
    ran = hpsearch("show", *made_up_args, "99")
    assert ran.code == 2
    assert "unknown trial of study 'made_up' '99'. Known: 0, 2 to 6." in ran.err


def test_export_writes_the_winner_and_says_what_it_is_worth(hpsearch, made_up_args, here):
    ran = hpsearch("export", *made_up_args)
    assert ran.out == (
        "made_up-trial-2.yaml: trial 2 of study made_up, UNCONFIRMED, "
        "val_accuracy 80.00 % (last epoch)\n"
        f"{SEEN}\n"
        "No fresh seed has confirmed it: run `hpsearch confirm --study made_up`\n"
        "Train it again: hpsearch train made_up-trial-2.yaml\n"
    )
    assert "width: 16" in (here / "made_up-trial-2.yaml").read_text()


def test_export_keeps_what_is_there(hpsearch, made_up_args, here):
    (here / "mine.yaml").write_text("mine")
    ran = hpsearch("export", *made_up_args, "--out", "mine.yaml")
    assert ran.code == 2
    assert "mine.yaml exists; choose another path, or add --force" in ran.err
    assert (here / "mine.yaml").read_text() == "mine"
    assert hpsearch("export", *made_up_args, "--out", "mine.yaml", "--force").code == 0
    assert "width: 16" in (here / "mine.yaml").read_text()


def test_export_as_json(hpsearch, made_up_args):
    told = hpsearch("export", *made_up_args, "--trial", "0", "--json").json
    assert told == {
        "file": "made_up-trial-0.yaml",
        "files": {"config": "made_up-trial-0.yaml"},
        "study": "made_up",
        "number": 0,
        "value": 0.7,
        "rank": 3,
        "complete_trials": 3,
        "params": {"model.line.width": 8, "optimizer.walk.lr": 0.1},
        "confirmed": False,
        "differences": {},
    }


def test_stop_asks_every_worker(hpsearch, made_up_args, searched):
    ran = hpsearch("stop", *made_up_args)
    assert "study made_up is asked to stop: 1 running trial is checkpointed" in ran.out
    assert studies.find(searched.database, "made_up").stops == 1


def test_studies_lists_files_and_what_was_launched(hpsearch, here, searched):
    (here / "studies").mkdir()
    (here / "studies" / "local.yaml").write_text(
        "study: local\ndescription: of mine\nbudget: {trials: 7, epochs_per_trial: 2}\n"
    )
    told = hpsearch("studies", "--storage", searched.url, "--json").json
    local = next(each for each in told["files"] if each["name"] == "local")
    assert (local["description"], local["trials"]) == ("of mine", 7)
    (stored,) = told["stored"]
    assert (stored["study"], stored["finished"]) == ("made_up", 5)
    assert (stored["state"], stored["objective"]) == ("running (1)", "val_accuracy")
    assert (local["packaged"], local["state"], local["data"]) == (False, None, None)
    quickstart = next(each for each in told["files"] if each["name"] == "quickstart")
    assert (quickstart["packaged"], quickstart["data"]) == (True, "digits")


def test_studies_tells_how_far_a_file_has_come(hpsearch, here, searched):
    (here / "studies").mkdir()
    (here / "studies" / "other_name.yaml").write_text("study: made_up\n")
    told = hpsearch("studies", "--storage", searched.url, "--json").json
    (file,) = [each for each in told["files"] if each["name"] == "other_name"]
    assert file["state"] == "running (1)"
    lines = hpsearch("studies", "--storage", searched.url).out.splitlines()
    assert any("studies/other_name.yaml" in line and "running (1)" in line for line in lines)


def test_watch_draws_the_curves_of_the_best_and_of_those_under_way(hpsearch, made_up, monkeypatch):
    class Enough(Exception):
        pass

    def once(seconds: float) -> None:
        raise Enough

    made_up.trial(0.4, 0.5, 0.8)
    made_up.epoch(made_up.start(), 1, 0.7)
    monkeypatch.setattr("hpsearch.cli.commands.status.time.sleep", once)
    ran = hpsearch("status", "--study", "made_up", "--storage", made_up.url, "--watch")
    lines = ran.out.splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("trial  state"))
    rows = [line.split() for line in lines[head + 1 :]]
    # One scale for all, from the lowest value to the highest
    assert rows == [
        ["0", "best", "3/3", "80.00", "%", "▁▃█"],
        ["1", "running", "1/3", "70.00", "%", "▆"],
    ]


def test_studies_creates_no_database(hpsearch, here):
    ran = hpsearch("studies")
    assert ran.code == 0
    assert "none yet; start with: hpsearch launch" in ran.out
    assert list(here.iterdir()) == []


def test_the_environment_names_the_storage(hpsearch, searched, monkeypatch):
    monkeypatch.setenv("HPSEARCH_STORAGE", searched.url)
    assert hpsearch("status", "--study", "made_up").code == 0

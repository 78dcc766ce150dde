"""The confirmed winner as files: which training stands for it, and what is told of it."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from support.commands import Ran
from support.trials import SmallSearch, open_small

from hpsearch import component_registries
from hpsearch.dashboard.notes import study_note
from hpsearch.dashboard.study_view import StudyViews
from hpsearch.notebook.best import best_of
from hpsearch.notebook.overview import overview
from hpsearch.reporting.assemble import read_report
from hpsearch.reporting.writing import write_report
from hpsearch.results.confirmation.plan import PlannedTraining
from hpsearch.results.confirmation.reading import read_confirmation
from hpsearch.results.confirmation.spec import spec_of
from hpsearch.results.confirmation.stored import progress_of, trainings
from hpsearch.results.export.bundle import read_bundle
from hpsearch.results.ranking import best
from hpsearch.results.records import StudyRecord, TrialRecord, read_study
from hpsearch.results.winner import best_seen, confirmed_winner
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.study_file.loading import load_study
from hpsearch.workers.confirmation import ConfirmRequest, prepare_confirmation
from hpsearch.workers.trial.planned import extend_budget_from_plan
from hpsearch.workers.trial.run_folder import RunFolder

Hpsearch = Callable[..., Ran]


@dataclass(frozen=True)
class Confirmed:
    """A search, and its confirmation by two seeds for the choice and two for the report."""

    search: SmallSearch
    confirm: SmallSearch
    url: str

    @property
    def stored(self) -> tuple[str, ...]:
        search = self.search
        folders = ("--runs", str(search.runs), "--data", str(search.data))
        return ("--study", "small", "--storage", self.url, *folders)

    def record(self) -> StudyRecord:
        return read_study(self.search.database, self.confirm.stored.name)

    def first_report(self) -> TrialRecord:
        record = self.record()
        winner = progress_of(record).winner
        assert winner is not None
        seed = spec_of(record.study).report_seeds[0]
        return trainings(record)[PlannedTraining(trial=winner, seed=seed)]


def confirmation_of(search: SmallSearch) -> SmallSearch:
    asked = prepare_confirmation(
        search.database, search.record(), search.study, ConfirmRequest(top=2, seeds=2)
    )
    stored = studies.find(search.database, asked.name)
    return replace(search, study=asked.study, stored=stored)


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Confirmed]:
    folder = tmp_path_factory.mktemp("confirmed")
    url = f"sqlite:///{folder / 'hpsearch.db'}"
    database, before = Database(url), torch.get_num_threads()
    ensure_tables(database)
    torch.set_num_threads(1)  # as the worker notes
    search = open_small(database, folder, folder / "data")
    search.run_all()
    confirm = confirmation_of(search)
    while extend_budget_from_plan(database, confirm.stored.name):
        confirm.run_all()
    yield Confirmed(search, confirm, url)
    torch.set_num_threads(before)
    database.close()


def frozen(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(path)
    return document


def test_the_file_is_the_winners_training_with_the_first_fresh_seed_of_the_report(
    hpsearch: Hpsearch, confirmed: Confirmed, here: Path
) -> None:
    ran = hpsearch("export", *confirmed.stored, "--out", "best.yaml")
    assert (ran.code, ran.err) == (0, "")
    run, verdict = (
        confirmed.first_report(),
        read_confirmation(confirmed.search.database, confirmed.search.record()),
    )
    assert verdict is not None and verdict.confirmed is not None
    assert f"best.yaml: trial {verdict.winner} of study small, confirmed, val_accuracy" in ran.out
    assert "its training with fresh seed 3 in small-confirm)" in ran.out
    winner = confirmed_winner(confirmed.search.record(), verdict)
    assert winner is not None and winner.sentence in ran.out

    config = load_study(here / "best.yaml", component_registries.registries).trial_config(
        {}, ticket=1
    )
    told = confirmed.confirm.study.trial_config(run.params, run.ticket)
    assert config == replace(told, precision="fp32")  # what `auto` came to
    assert config.split_seed != confirmed.search.study.seed == config.data.limit_seed

    origin = frozen(here / "best.yaml")["provenance"]
    assert origin["trial"] == verdict.winner
    assert origin["value"] == origin["figures"]["last"]["val_accuracy"] == run.value
    figures = origin["confirmed"]
    assert figures["mean"] == verdict.confirmed
    assert figures["seeds"] == {str(seed): value for seed, value in verdict.reported.items()}
    assert verdict.next_training is not None
    assert figures["next_training"] == [verdict.next_training.low, verdict.next_training.high]
    assert figures["split"] == "newly drawn for each seed"
    assert figures["optimism"] == verdict.optimism
    assert origin["cost"]["confirmation"]["epochs"] == confirmed.record().counts.epochs_run
    assert "confirmed with fresh seeds; exported by hpsearch" in (here / "best.yaml").read_text()


def test_its_model_is_that_training_and_it_verifies(
    hpsearch: Hpsearch, confirmed: Confirmed, here: Path
) -> None:
    assert hpsearch("export", *confirmed.stored, "--bundle", "best").code == 0
    run, stored = confirmed.first_report(), confirmed.confirm.stored
    kept = RunFolder(confirmed.search.runs, stored.name, stored.run_key).load_best(run.number)
    _, model = read_bundle(here / "best")
    for name, weights in kept["weights"].items():
        assert torch.equal(model.model.state_dict()[name], weights), name

    data = ("--data", str(confirmed.search.data))
    told = hpsearch("verify", "best/best.yaml", *data, "--json").json
    assert (told["exact"], told["value"]) == (True, run.value)
    assert told["expected"]["why"].startswith("the 95 % interval of one more training")
    ran = hpsearch("train", "best/best.yaml", *data)
    winner = progress_of(confirmed.record()).winner
    line = f"every metric equals that of trial {winner} with fresh seed 3 at epoch 3"
    assert f"reproduced exactly: {line}" in ran.out

    card = (here / "best" / "card.md").read_text()
    assert f"**Confirmed.** The winner is mlp (trial {winner}): val_accuracy " in card
    assert "Of the validation images of 2 trainings with fresh seeds, together" in card
    assert "| split | seed" in card and "newly drawn for each seed" in card
    assert "UNCONFIRMED" not in card and "None" not in card and "|  |" not in card
    front = YAML(typ="safe", pure=True).load(card.split("\n---\n")[0])
    (result,) = front["model-index"][0]["results"]
    verdict = read_confirmation(confirmed.search.database, confirmed.search.record())
    assert verdict is not None
    assert result["metrics"][0]["value"] == pytest.approx(verdict.confirmed, abs=1e-5)
    assert (result["dataset"]["name"], result["dataset"]["split"]) == ("digits", "validation")


@pytest.mark.parametrize("unconfirmed", [False, True])
def test_every_output_has_the_same_sentence(
    hpsearch: Hpsearch, confirmed: Confirmed, here: Path, unconfirmed: bool
) -> None:
    database, search = confirmed.search.database, confirmed.search.record()
    verdict = read_confirmation(database, search)
    assert verdict is not None
    winner = best_seen(search) if unconfirmed else confirmed_winner(search, verdict)
    assert winner is not None
    which = ("--unconfirmed",) if unconfirmed else ()
    export = hpsearch("export", *confirmed.stored, *which, "--card", "card.md", "--out", "a.yaml")
    outputs = {
        "export": export.out,
        "card": (here / "card.md").read_text(),
        "frozen file": (here / "a.yaml").read_text().replace("\n# ", " "),
    }
    if not unconfirmed:
        write_report(
            read_report(database, ["small"], data=confirmed.search.data), here / "r", figures=False
        )
        best = best_of(database, search)
        assert best is not None
        outputs |= {
            "status": hpsearch("status", *confirmed.stored[:4]).out,
            "status in JSON": hpsearch("status", *confirmed.stored[:4], "--json").json["winner"],
            "page": html.unescape((here / "r" / "report.html").read_text()),
            "report.md": (here / "r" / "report.md").read_text(),
            "confirm": hpsearch("confirm", *confirmed.stored).out,
            "dashboard": study_note(StudyViews(database).of("small")),
            "notebook": html.unescape(best._repr_html_()),
            "overview": html.unescape(overview(database, search)),
        }
    for name, text in outputs.items():
        # Markdown and wrapped lines
        assert winner.sentence in " ".join(text.replace("\\", "").split()), name


def test_the_best_seen_is_marked(hpsearch: Hpsearch, confirmed: Confirmed, here: Path) -> None:
    stored = (*confirmed.stored, "--unconfirmed", "--out", "seen.yaml", "--card", "seen.md")
    ran = hpsearch("export", *stored)
    winner = best(confirmed.search.record())
    assert winner is not None
    assert f"trial {winner.number} of study small, UNCONFIRMED, val_accuracy" in ran.out
    origin = frozen(here / "seen.yaml")["provenance"]
    assert (origin["confirmed"], origin["value"]) == (False, winner.value)
    assert origin["split_seed"] == confirmed.search.study.seed
    assert ", UNCONFIRMED; exported by hpsearch" in (here / "seen.yaml").read_text()
    assert "**UNCONFIRMED.**" in (here / "seen.md").read_text()


def test_a_winner_that_was_declared_invalid_is_not_exported_as_one(
    hpsearch: Hpsearch, confirmed: Confirmed, here: Path
) -> None:
    record = confirmed.record()
    winner = progress_of(record).winner
    assert winner is not None
    invalidate = ("invalidate", *confirmed.stored[:4], str(winner))
    ran = hpsearch(*invalidate, "--reason", "wrong | <labels>")
    assert "It was a finalist of small-confirm: start a new confirmation" in ran.out
    try:
        ran = hpsearch("export", *confirmed.stored, "--out", "x.yaml")
        assert "UNCONFIRMED" in ran.out
        assert f"The confirmed winner, trial {winner}, was declared invalid: wrong |" in ran.out
        assert f"trial {winner} of study" not in ran.out
        refused = hpsearch("evaluate", *confirmed.stored)
        assert refused.code == 2
        assert f"trial {winner} was declared invalid" in refused.err
        status = hpsearch("status", *confirmed.stored[:4])
        assert f"  its winner, trial {winner}, is invalid: wrong | <labels>" in status.out
        told = hpsearch("report", *confirmed.stored[:4], "--out", "said", "--no-figures")
        assert told.code == 0, told.all
        page = (here / "said" / "report.html").read_text()
        assert "declared invalid in the search" in page
        assert "wrong | <labels>" not in page
        told = hpsearch("confirm", *confirmed.stored)
        assert f"declared invalid in the search: trial {winner} (wrong | <labels>)" in told.out
        assert hpsearch("confirm", *confirmed.stored, "--json").json["invalid"] == {
            str(winner): "wrong | <labels>"
        }
        named = ("--trial", str(winner), "--out", "named.yaml", "--card", "named.md")
        hpsearch("export", *confirmed.stored, *named)
        assert "INVALID" in (card := (here / "named.md").read_text())
        assert "<labels>" not in card
    finally:
        undone = hpsearch(*invalidate, "--undo")
    assert undone.code == 0
    assert "confirmed" in hpsearch("export", *confirmed.stored, "--out", "y.yaml").out


def test_a_finalist_that_was_declared_invalid_is_told_with_the_winner(
    hpsearch: Hpsearch, confirmed: Confirmed, here: Path
) -> None:
    contest, winner = spec_of(confirmed.record().study), progress_of(confirmed.record()).winner
    other = next(trial for trial in contest.trials if trial != winner)
    invalidate = ("invalidate", *confirmed.stored[:4], str(other))
    hpsearch(*invalidate, "--reason", "why")
    try:
        ran = hpsearch("export", *confirmed.stored, "--out", "x.yaml")
        assert f"trial {winner} of study small, confirmed" in ran.out
        assert f"declared invalid in the search: trial {other} (why)" in ran.out
        assert frozen(here / "x.yaml")["provenance"]["confirmed"]["invalid"] == {str(other): "why"}
    finally:
        hpsearch(*invalidate, "--undo")


def test_a_training_of_a_confirmation_is_not_declared_invalid(
    hpsearch: Hpsearch, confirmed: Confirmed
) -> None:
    stored = ("--study", "small-confirm", *confirmed.stored[2:4])
    ran = hpsearch("invalidate", *stored, "0", "--reason", "why")
    assert ran.code == 2
    assert "follow from those before, so none can be removed" in ran.err


def test_a_confirmation_itself_is_not_exported(hpsearch: Hpsearch, confirmed: Confirmed) -> None:
    ran = hpsearch("export", "--study", "small-confirm", *confirmed.stored[2:])
    assert ran.code == 2
    assert "'small-confirm' is the confirmation of 'small'; run `hpsearch export --study" in ran.err


def test_before_the_confirmation_has_ended_the_best_seen_is_exported(
    hpsearch: Hpsearch, confirmed: Confirmed, tmp_path: Path, here: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'begun.db'}"
    database = Database(url)
    ensure_tables(database)
    search = open_small(database, tmp_path, confirmed.search.data)
    search.run_all()
    begun = replace(confirmed, search=search, confirm=confirmation_of(search), url=url)
    begun.confirm.run_one()
    ran = hpsearch("export", *begun.stored)
    assert ran.code == 0
    assert "Its confirmation isn't finished: run `hpsearch confirm --study small`" in ran.out
    assert "UNCONFIRMED" in ran.out
    database.close()

"""Images that come in groups, from the search to every place that tells an interval.

The test part is a folder of its own whose labels are swapped, so that its figure contradicts the
confirmed one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
import torch
from PIL import Image
from support.commands import Ran
from support.confirming import Confirming, confirming
from support.trials import SmallSearch, open_small

from hpsearch import component_registries
from hpsearch.dashboard.notes import study_note
from hpsearch.dashboard.study_view import StudyViews
from hpsearch.metrics import MetricFormat
from hpsearch.notebook.best import best_of
from hpsearch.notebook.overview import overview
from hpsearch.reporting.analysis.matrices import read_matrices
from hpsearch.reporting.assemble import read_report
from hpsearch.reporting.writing import write_report
from hpsearch.results import trial_attributes
from hpsearch.results.confirmation.choosing import choose
from hpsearch.results.confirmation.contributions import contributions
from hpsearch.results.confirmation.over_groups import OVER_GROUPS, VAL_GROUPS, of_json, over_groups
from hpsearch.results.confirmation.predictions import decode
from hpsearch.results.confirmation.reading import read_confirmation
from hpsearch.results.confirmation.statistics import TrainingValues, estimate
from hpsearch.results.final_evaluations import evaluations
from hpsearch.search.database import optuna_rows
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import events
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.study import Confirm
from hpsearch.training.data.prepare import groups_of_test_images, prepare
from hpsearch.workers.retraining.verification import expectation

Hpsearch = Callable[..., Ran]

GROUPS, PICTURES, TEST_GROUPS = 24, 4, 9

STUDY = """
study: grouped
seed: 3
budget: {trials: 3, epochs_per_trial: 2}
sampler: random
pruner: none
data: {source: {image_folder: {path: PICTURES, group: "^(.+)-"}}, validation: 0.4}
model: {mlp: {hidden: [8]}}
optimizer: {sgd: {lr: {min: 1e-2, max: 5e-2, log: true}, momentum: 0.9}}
batch_size: 16
"""

HEADLINE = "The test value is outside the confirmed interval: "


@dataclass(frozen=True)
class Searched:
    search: SmallSearch
    confirm: Confirming
    url: str

    @property
    def stored(self) -> tuple[str, ...]:
        return (
            *("--study", "grouped", "--storage", self.url),
            *("--runs", str(self.search.runs), "--data", str(self.search.data)),
        )


def _draw(folder: Path, groups: int, names: tuple[str, str]) -> None:
    """Write pictures of dark and light objects, several of each; some objects look like others."""
    rng = np.random.default_rng(groups)
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for group in range(groups):
            shade = 100 + 40 * label + 35 * rng.standard_normal()
            for picture in range(PICTURES):
                pixels = shade + rng.normal(0, 12, (8, 8, 3))
                image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
                image.save(folder / name / f"{name}{group}-{picture}.png")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    """A confirmed search of two finalists by two seeds."""
    folder = tmp_path_factory.mktemp("grouped")
    _draw(folder / "pictures" / "train", GROUPS, ("dark", "light"))
    _draw(folder / "swapped", TEST_GROUPS, ("light", "dark"))
    (folder / "swapped").rename(folder / "pictures" / "test")
    for picture in (folder / "pictures" / "test").rglob("*.png"):
        picture.rename(picture.with_name(f"test-{picture.name}".replace("-", "", 1)))
    url = f"sqlite:///{folder / 'hpsearch.db'}"
    database = Database(url)
    ensure_tables(database)
    text = STUDY.replace("PICTURES", str(folder / "pictures"))
    search = open_small(database, folder, folder / "data", text=text)
    search.run_all()
    confirm = confirming(search)
    confirm.run_to_end()
    yield Searched(search, confirm, url)
    database.close()


def prepared(grouped: Searched) -> Any:
    config = grouped.search.study.trial_config(grouped.search.record().trials[0].params, 1)
    return prepare(config.data, split_seed=config.split_seed, root=grouped.search.data)


def test_a_training_keeps_how_far_groups_move_its_figures(grouped: Searched) -> None:
    data = prepared(grouped)
    trial = grouped.search.record().trials[0]
    noted = trial_attributes.read(grouped.search.database, trial.trial_id or -1)
    rows = data.val_indices.numpy()
    assert noted["val_images"] == PICTURES * noted[VAL_GROUPS] == len(rows)
    assert noted[VAL_GROUPS] == len(np.unique(data.groups.numpy()[rows]))
    assert "val_predictions" not in noted, "a search keeps a few numbers, not every prediction"
    found = of_json(noted[OVER_GROUPS])
    assert found is not None
    assert (found.images, found.groups) == (len(rows), noted[VAL_GROUPS])
    assert sum(each.groups for each in found.recall) == found.groups, "a group has one class here"


def test_predictions_are_stored_with_the_groups_of_their_images(grouped: Searched) -> None:
    data = prepared(grouped)
    texts = grouped.confirm.predictions().values()
    assert texts
    for text in texts:
        said = decode(text)
        assert said.groups is not None
        assert np.array_equal(said.groups, data.groups.numpy()[said.rows])
        assert over_groups(said, 2) is not None


def test_the_verdict_is_over_groups(grouped: Searched) -> None:
    verdict = read_confirmation(grouped.search.database, grouped.search.record())
    assert verdict is not None and verdict.winner is not None
    found, alone = [], []
    for entry, text in grouped.confirm.predictions().items():
        if entry.trial == verdict.winner and entry.seed in verdict.reported:
            said = decode(text)
            values = contributions(verdict.metric, said)
            found.append(TrainingValues(rows=said.rows, values=values, groups=said.groups))
            alone.append(TrainingValues(rows=said.rows, values=values))
    expected = estimate(found, share=True)
    assert verdict.over_seeds_and_images == expected.over_seeds_and_images()
    assert verdict.groups == expected.groups
    assert verdict.images == PICTURES * (verdict.groups or 0)
    assert not verdict.lacks_groups
    assert expected.images_variance > estimate(alone, share=True).images_variance
    matrices = read_matrices(grouped.search.database, grouped.search.record())
    assert matrices is not None
    assert all(each.groups for each in matrices.versus[0].classes)


def test_who_may_be_a_finalist_is_by_the_groups_error(grouped: Searched) -> None:
    asked = Confirm(top=1, seeds=2)
    choice = choose(grouped.search.database, grouped.search.record(), asked, has_try_first=False)
    best = grouped.search.record().trial(choice.finalists.trials[0])
    noted = trial_attributes.read(grouped.search.database, best.trial_id or -1)
    known = of_json(noted[OVER_GROUPS])
    assert known is not None
    assert choice.finalists.noise == known.figures["val_accuracy"].standard_error


def test_the_confirmed_figure_says_how_many_groups(grouped: Searched, hpsearch: Hpsearch) -> None:
    told = hpsearch("confirm", "--study", "grouped", *grouped.stored[2:])
    assert told.code == 0, told.err
    verdict = read_confirmation(grouped.search.database, grouped.search.record())
    assert verdict is not None
    said = " ".join(told.out.split())
    assert "seeds and groups of validation images" in said
    # Both ends: these intervals are uneven, and half of a width would misplace them
    told_ends = MetricFormat(verdict.metric).interval
    for interval in (verdict.over_seeds, verdict.over_seeds_and_images, verdict.next_training):
        assert interval is not None
        assert f"{told_ends((interval.low, interval.high))} (95 %" in said
    assert verdict.over_seeds_and_images is not None
    ends = verdict.over_seeds_and_images
    assert ends.high - ends.estimate != pytest.approx(ends.estimate - ends.low, rel=0.01)
    assert "±" not in said
    assert f"{verdict.images} validation images in {verdict.groups} groups" in said


def test_check_says_how_many_groups(grouped: Searched, hpsearch: Hpsearch) -> None:
    file = grouped.search.runs.parent / "study.yaml"
    told = hpsearch("check", "--study", str(file), "--data", str(grouped.search.data))
    data = prepared(grouped)
    assert f"{len(data.val_indices)} validation images in {data.val_groups} groups" in told.out


@pytest.fixture(scope="module")
def opened(grouped: Searched) -> Iterator[Searched]:
    """The same, after its test images were opened."""
    from hpsearch.workers.winner.final_evaluation import evaluate_winner

    evaluate_winner(
        grouped.search.database,
        grouped.search.record(),
        grouped.search.study,
        runs=grouped.search.runs,
        device="cpu",
        data=grouped.search.data,
    )
    yield grouped


def test_a_test_figure_is_over_groups(opened: Searched) -> None:
    (opening,) = evaluations(opened.search.database, opened.search.stored.study_id)
    config = opened.search.study.trial_config(opened.search.record().trials[0].params, 1).data
    groups = groups_of_test_images(config, root=opened.search.data)
    assert groups is not None
    assert opening.groups == len(np.unique(groups)) == 2 * TEST_GROUPS
    assert opening.sample == f"{2 * PICTURES * TEST_GROUPS} images in {2 * TEST_GROUPS} groups"
    assert opening.over == "seeds and groups of images"
    assert opening.metrics()["groups"] == 2 * TEST_GROUPS
    assert set(opening.intervals) == {
        "val_accuracy", "val_loss", "val_macro_f1", "val_balanced_accuracy"
    }  # fmt: skip
    for metric in opening.intervals:
        low, high = opening.interval_of(metric) or (1, 0)
        assert low < opening.value_of(metric) < high


def test_evaluate_says_first_that_the_test_figure_contradicts(
    opened: Searched, hpsearch: Hpsearch
) -> None:
    told = hpsearch("evaluate", *opened.stored)
    assert told.code == 0, told.err
    said = " ".join(told.out.split())
    assert said.startswith(HEADLINE)
    assert "Chance alone hardly explains it" in said
    assert "a separate part" in said
    assert f"images in {2 * TEST_GROUPS} groups (95 % interval over seeds and groups of" in said
    found = hpsearch("evaluate", *opened.stored, "--json").json
    assert found["groups"] == 2 * TEST_GROUPS
    outside = found["outside_confirmed"]
    assert (outside["worse"], outside["by_chance"]) == (True, False)
    assert outside["reasons"]


def test_report_card_dashboard_and_python_say_it_first(
    opened: Searched, hpsearch: Hpsearch, here: Path
) -> None:
    database, record = opened.search.database, opened.search.record()
    page = write_report(
        read_report(database, ["grouped"], data=opened.search.data), here / "r", figures=False
    ).page.read_text()
    assert 0 < page.index(HEADLINE) < page.index("The winner is ")
    markdown = next((here / "r").glob("*.md")).read_text()
    assert 0 < markdown.index(HEADLINE) < markdown.index("The winner is ")
    assert "groups of validation images" in page

    told = hpsearch("export", *opened.stored, "--card", "card.md", "--out", "best.yaml")
    assert told.code == 0, told.err
    card = (here / "card.md").read_text()
    assert 0 < card.index(HEADLINE) < card.index("**Confirmed.**")
    assert "seeds and groups of validation images (" in card
    assert card.count(HEADLINE) == 1
    assert f"seeds and groups of test images ({2 * TEST_GROUPS})" in card
    assert HEADLINE in " ".join(told.out.split())

    note = study_note(StudyViews(database).of("grouped"))
    assert (
        0
        < note.index("test value is outside the confirmed interval")
        < note.index("The winner is ")
    )

    said = " ".join(hpsearch("status", *opened.stored[:4]).out.split())
    assert 0 < said.index(HEADLINE) < said.index("The winner is ")
    told_ends = MetricFormat("val_accuracy").interval

    best = best_of(database, record)
    assert best is not None and best.confirmed and best.test_gap is not None
    assert f"(95 %: {told_ends(best.interval)})" in said
    assert best.note.startswith(HEADLINE)
    assert best.groups is not None and f"in {best.groups} groups" in best.note
    assert HEADLINE in best._repr_html_()
    assert HEADLINE in overview(database, record)


def test_an_unconfirmed_training_has_intervals_over_groups(
    opened: Searched, hpsearch: Hpsearch, here: Path
) -> None:
    arguments = ("--unconfirmed", "--card", "card.md", "--out", "best.yaml")
    assert hpsearch("export", *opened.stored, *arguments).code == 0
    study = load_study(here / "best.yaml", component_registries.registries)
    origin: Any = study.provenance
    known = of_json(origin[OVER_GROUPS])
    assert known is not None
    accuracy = origin["figures"]["last"]["val_accuracy"]
    interval = known.figures["val_accuracy"].interval(accuracy, share=True)
    expected = expectation(study)
    assert (expected.low, expected.high) == interval
    assert f"{known.images} validation images in {known.groups} groups" in expected.why
    card = (here / "card.md").read_text()
    low, high = interval or (0, 0)
    assert f"{100 * low:.2f} to {100 * high:.2f} %" in card
    recall = origin["over_groups"]["recall"]
    assert [each["groups"] for each in recall] == [each.groups for each in known.recall]
    assert hpsearch("train", "best.yaml", "--out", "model", *opened.stored[6:]).code == 0
    trained = (here / "model" / "card.md").read_text()
    assert f"{100 * low:.2f} to {100 * high:.2f} %" in trained, (
        "the same training has the same interval"
    )


def _without_groups(database: Database, confirm: Confirming) -> None:
    """Store the confirmation's predictions and the first test figure as earlier versions did."""
    attributes = optuna_rows.TRIAL_USER_ATTRS

    def work(connection: sa.Connection) -> None:
        query = sa.select(attributes).where(attributes.c.key == "val_predictions")
        for row in connection.execute(query).all():
            said = replace(decode(json.loads(row.value_json)), groups=None)
            connection.execute(
                sa.update(attributes)
                .where(attributes.c.trial_user_attribute_id == row.trial_user_attribute_id)
                .values(value_json=json.dumps(said.encode()))
            )
        keys = [OVER_GROUPS, VAL_GROUPS]
        connection.execute(sa.delete(attributes).where(attributes.c.key.in_(keys)))
        opened = sa.select(events).where(events.c.kind == "test_opened")
        for row in connection.execute(opened).all():
            detail = json.loads(row.detail)
            del detail["groups"], detail["intervals"]
            connection.execute(
                sa.update(events)
                .where(events.c.event_id == row.event_id)
                .values(detail=json.dumps(detail))
            )

    database.write(work)


def test_what_was_stored_without_groups_is_read_and_says_so(
    opened: Searched, hpsearch: Hpsearch, here: Path
) -> None:
    before = read_confirmation(opened.search.database, opened.search.record())
    copied = sa.create_engine(opened.url).raw_connection()
    old = Database(f"sqlite:///{here / 'old.db'}")
    target = sa.create_engine(f"sqlite:///{here / 'old.db'}").raw_connection()
    copied.driver_connection.backup(target.driver_connection)  # type: ignore[union-attr]
    target.close()
    copied.close()
    _without_groups(old, opened.confirm)
    record = replace(opened.search, database=old).record()
    verdict = read_confirmation(old, record)
    assert before is not None and verdict is not None
    assert (verdict.groups, verdict.lacks_groups) == (None, True)
    assert verdict.confirmed == before.confirmed
    assert verdict.other_images == "validation images"
    assert evaluations(old, record.study.study_id)[0].over == "seeds and images"

    stored = ("--study", "grouped", "--storage", f"sqlite:///{here / 'old.db'}", *opened.stored[4:])
    told = " ".join(hpsearch("confirm", *stored).out.split())
    assert "this confirmation was stored before hpsearch recorded them" in told
    assert hpsearch("export", *stored, "--card", "card.md", "--out", "best.yaml").code == 0
    assert "stored before hpsearch recorded them" in (here / "card.md").read_text()
    page = write_report(
        read_report(old, ["grouped"], data=opened.search.data), here / "r", figures=False
    ).page.read_text()
    assert "stored before hpsearch recorded them" in page
    arguments = ("--unconfirmed", "--card", "seen.md", "--out", "seen.yaml")
    assert hpsearch("export", *stored, *arguments).code == 0
    assert "were measured before hpsearch recorded them" in (here / "seen.md").read_text()
    expected = expectation(load_study(here / "seen.yaml", component_registries.registries))
    assert "each image counts as independent" in expected.why
    best = best_of(old, record)
    assert best is not None and "stored before hpsearch recorded them" in best.note
    old.close()

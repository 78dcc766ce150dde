"""The verdict: which trainings each figure rests on, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.specs import made_up_spec

from hpsearch.errors import StorageError
from hpsearch.results.confirmation.judging import judge
from hpsearch.results.confirmation.luck import at_level_of
from hpsearch.results.confirmation.plan import (
    PlannedTraining,
    TrainingResult,
    entries,
)
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.results.confirmation.spec import ConfirmationSpec, Field
from hpsearch.results.confirmation.statistics import TrainingValues, difference, estimate
from hpsearch.results.confirmation.verdict import Cost, Search

IMAGES = 400
#: Trial 1 wins, 2 is close behind, 3 is hopeless; 0 is what a person would have tried.
CONTEST = made_up_spec((2, 1, 3), baseline=0, seeds=3, maximize=True)
#: Wrong images by trial and seed (of 400).
WRONG: Mapping[int, Sequence[int]] = {
    1: [20, 24, 22, 30, 26, 28],
    2: [22, 23, 24, 29, 32, 29],
    3: [90, 94, 0, 0, 0, 0],
    0: [0, 0, 0, 60, 64, 61],
}
SEARCH = Search(
    metric="val_accuracy",
    values={1: 0.955, 2: 0.9625, 3: 0.95, 0: 0.8},
    best_seen=0.9625,
    complete=14,
    search_epochs=80,
    confirmation_epochs=120,
    epochs_per_trial=8,
    new_splits=False,
    class_names=["cat", "dog", "owl"],
    costs={1: Cost(epoch_seconds=4.0, parameters=1000), 2: Cost(epoch_seconds=2.0)},
)


def predictions(trial: int, seed: int, wrong: int) -> Predictions:
    """Cats and dogs in turn; those who are wrong call cats dogs."""
    rows = np.arange(IMAGES)
    truth = rows % 2
    rng = np.random.default_rng([trial, seed])
    predicted = truth.copy()
    predicted[rng.choice(rows[truth == 0], wrong, replace=False)] = 1
    return Predictions(rows=rows, predicted=predicted, truth=truth, loss=rng.gamma(1, size=IMAGES))


def trained(
    contest: ConfirmationSpec = CONTEST, upto: int | None = None
) -> dict[PlannedTraining, TrainingResult]:
    """Play the contest, or its first trainings."""
    outcomes: dict[PlannedTraining, TrainingResult] = {}
    while todo := [entry for entry in entries(contest, outcomes) if entry not in outcomes]:
        for entry in todo:
            if len(outcomes) == upto:
                return outcomes
            wrong = WRONG[entry.trial][entry.seed - 1]
            said = predictions(entry.trial, entry.seed, wrong)
            outcomes[entry] = TrainingResult(value=1 - wrong / IMAGES, predictions=said)
    return outcomes


def right(
    outcomes: Mapping[PlannedTraining, TrainingResult], trial: int, seeds: Sequence[int]
) -> dict[int, TrainingValues]:
    found = {}
    for seed in seeds:
        said = outcomes[PlannedTraining(trial=trial, seed=seed)].predictions
        assert said is not None
        hits = (said.predicted == said.truth).astype(float)
        found[seed] = TrainingValues(rows=said.rows, values=hits)
    return found


def test_the_reported_number_rests_on_the_report_seeds_alone() -> None:
    outcomes = trained()
    found = judge(CONTEST, outcomes, SEARCH)
    assert (found.winner, found.finished, found.complete) == (1, True, 14)
    assert found.reported == {4: 0.925, 5: 0.935, 6: 0.93}
    assert found.confirmed == pytest.approx(0.93)
    assert found.winner_seen == 0.955
    assert found.optimism == pytest.approx(0.0325), "of the best seen, which was another trial"
    modest = judge(CONTEST, outcomes, replace(SEARCH, best_seen=0.92))
    assert modest.optimism == 0.0, "never below 0"
    expected = estimate(list(right(outcomes, 1, [4, 5, 6]).values()), share=True)
    assert found.over_seeds == expected.over_seeds()
    assert found.over_seeds_and_images == expected.over_seeds_and_images()
    assert found.next_training == expected.next_training()
    assert found.images == IMAGES


def test_comparisons_rest_on_seeds_that_chose_neither() -> None:
    outcomes = trained()
    found = judge(CONTEST, outcomes, SEARCH)
    second, first = found.runner_up, found.baseline
    assert second is not None and first is not None
    assert (second.trial, second.seeds, second.fresh) == (2, 3, True)
    assert second.ahead.estimate == pytest.approx((29 + 32 + 29 - 30 - 26 - 28) / 3 / IMAGES)
    assert not second.distinguishable
    assert second.cheaper == {"epoch_seconds": 2.0}, "parameters of one aren't known"
    assert (first.trial, first.fresh, first.distinguishable) == (0, True, True)
    assert set(found.leads) == {each.standing.trial for each in found.finalists} - {1}
    assert found.leads[2] == second
    expected = difference(right(outcomes, 1, [4, 5, 6]), right(outcomes, 0, [4, 5, 6]))
    assert expected is not None
    assert first.ahead == expected.over_seeds_and_images()
    assert not found.winner_is_baseline


def test_a_runner_up_that_was_rejected_is_compared_on_the_seeds_it_has_and_says_so() -> None:
    contest = made_up_spec((1, 3), baseline=1, seeds=3, maximize=True)
    outcomes = trained(contest)
    found = judge(contest, outcomes, SEARCH)
    assert found.runner_up is not None
    assert (found.runner_up.fresh, found.runner_up.seeds) == (False, 2)
    assert found.runner_up.ahead.estimate == pytest.approx(70 / IMAGES)
    assert found.runner_up.distinguishable
    assert found.winner_is_baseline and found.baseline is None
    assert found.chance_of_best is not None and found.chance_of_best > 0.9


def test_the_chance_of_being_best_weighs_every_seed() -> None:
    found = judge(CONTEST, trained(), SEARCH)
    assert found.chance_of_best is not None
    assert 0.7 < found.chance_of_best < 0.99


def test_less_is_better_for_a_loss() -> None:
    contest = replace(CONTEST, metric="val_loss", maximize=False, baseline=None)
    outcomes: dict[PlannedTraining, TrainingResult] = {}
    while todo := [entry for entry in entries(contest, outcomes) if entry not in outcomes]:
        for entry in todo:
            said = predictions(entry.trial, entry.seed, 9)
            mean = 0.5 + entry.trial / 10
            said = replace(said, loss=said.loss / said.loss.mean() * mean)
            outcomes[entry] = TrainingResult(value=mean, predictions=said)
    search = replace(SEARCH, metric="val_loss", best_seen=0.55)
    found = judge(contest, outcomes, search)
    assert found.winner == 1
    assert found.confirmed == pytest.approx(0.6)
    assert found.optimism == pytest.approx(0.05), "0.55 was seen, 0.60 it is"
    assert found.runner_up is not None
    assert found.runner_up.ahead.estimate == pytest.approx(0.1), "ahead is positive"


def test_the_table_lists_every_finalist_in_its_place() -> None:
    found = judge(CONTEST, trained(), SEARCH)
    assert [(each.standing.trial, each.place, each.trainings) for each in found.finalists] == [
        (1, 1, 6),
        (2, 2, 6),
        (3, 3, 2),
    ]
    first, second, third = found.finalists
    assert (first.seen, first.reported) == (0.955, pytest.approx(0.93))
    assert second.cost == Cost(epoch_seconds=2.0)
    assert (third.reported, third.cost) == (None, Cost())
    assert third.standing.reason is not None and "behind trial" in third.standing.reason


def test_figures_of_classes_are_pooled_over_the_report_seeds() -> None:
    found = judge(CONTEST, trained(), SEARCH)
    assert found.confusion == [[600 - 84, 84, 0], [0, 600, 0], [0, 0, 0]]
    cat, dog, owl = found.per_class
    assert (cat.images, cat.precision, cat.recall) == (600, 1.0, pytest.approx(516 / 600))
    assert (dog.precision, dog.recall) == (pytest.approx(600 / 684), 1.0)
    assert dog.f1 == pytest.approx(1200 / 1284)
    assert (owl.images, owl.precision, owl.recall, owl.f1) == (0, None, None, None)


def test_too_many_classes_for_a_matrix_still_have_their_table() -> None:
    names = ["cat", "dog", *map(str, range(99))]
    found = judge(CONTEST, trained(), replace(SEARCH, class_names=names))
    assert found.confusion is None
    assert len(found.per_class) == 101


def test_what_was_spent() -> None:
    found = judge(CONTEST, trained(), SEARCH)
    assert (found.spent_epochs, found.full_trainings) == (200, 25.0)
    assert found.confirmation_share == pytest.approx(0.6)


@pytest.mark.parametrize("ended", [0, 3, 6, 8, 9, 11, 16])
def test_before_the_end_it_tells_what_is_known_so_far(ended: int) -> None:
    found = judge(CONTEST, trained(upto=ended), SEARCH)
    assert not found.finished
    assert (found.winner is None) == (ended < 8)
    # Report seeds come seed by seed: trial 1, 2 and 0
    assert len(found.reported) == max(0, -(-(ended - 8) // 3))
    assert (found.confirmed is None) == (ended < 9)
    assert (found.runner_up is None) == (ended < 13), "one shared seed shows no noise"


def test_a_value_without_predictions_is_refused_and_named() -> None:
    outcomes = trained()
    entry = PlannedTraining(trial=1, seed=5)
    outcomes[entry] = replace(outcomes[entry], predictions=None)
    with pytest.raises(StorageError, match="trial 1 with seed 5 has none"):
        judge(CONTEST, outcomes, SEARCH)


def test_where_everything_failed_nothing_is_claimed() -> None:
    outcomes: dict[PlannedTraining, TrainingResult] = {}
    while todo := [entry for entry in entries(CONTEST, outcomes) if entry not in outcomes]:
        outcomes |= {entry: TrainingResult(value=None) for entry in todo}
    found = judge(CONTEST, outcomes, SEARCH)
    assert found.finished
    assert (found.winner, found.confirmed, found.chance_of_best, found.optimism) == (None,) * 4
    assert (found.confusion, found.per_class) == (None, [])


def in_groups(outcome: TrainingResult, size: int) -> TrainingResult:
    said = outcome.predictions
    assert said is not None
    return replace(outcome, predictions=replace(said, groups=said.rows // size))


def test_groups_of_images_take_their_place_in_every_interval() -> None:
    alone = judge(CONTEST, trained(), SEARCH)
    outcomes = {entry: in_groups(each, 20) for entry, each in trained().items()}
    found = judge(CONTEST, outcomes, replace(SEARCH, names_groups=True))
    assert (found.images, found.groups, found.lacks_groups) == (IMAGES, 20, False)
    assert (found.sample, found.other_images) == (
        "400 validation images in 20 groups",
        "groups of validation images",
    )
    assert found.confirmed == alone.confirmed
    assert (alone.groups, alone.sample) == (None, "400 validation images")
    assert found.runner_up is not None and alone.runner_up is not None
    assert found.runner_up.ahead.estimate == alone.runner_up.ahead.estimate
    grouped = [
        TrainingValues(rows=each.rows, values=each.values, groups=each.rows // 20)
        for each in right(outcomes, 1, [4, 5, 6]).values()
    ]
    assert found.over_seeds_and_images == estimate(grouped, share=True).over_seeds_and_images()


def test_trainings_of_an_earlier_version_take_groups_from_the_others() -> None:
    outcomes = trained()
    every = {entry: in_groups(each, 20) for entry, each in outcomes.items()}
    upgraded = {entry: every[entry] if entry.seed > 4 else each for entry, each in outcomes.items()}
    search = replace(SEARCH, names_groups=True)
    expected, found = judge(CONTEST, every, search), judge(CONTEST, upgraded, search)
    assert found.groups == expected.groups == 20
    assert found.over_seeds_and_images == expected.over_seeds_and_images


def test_a_confirmation_that_stored_no_groups_says_that_it_lacks_them() -> None:
    found = judge(CONTEST, trained(), replace(SEARCH, names_groups=True))
    assert (found.groups, found.lacks_groups) == (None, True)
    assert found.over_seeds_and_images == judge(CONTEST, trained(), SEARCH).over_seeds_and_images


def test_each_classs_recall_has_its_interval() -> None:
    outcomes = {entry: in_groups(each, 20) for entry, each in trained().items()}
    found = judge(CONTEST, outcomes, replace(SEARCH, names_groups=True))
    cat, dog, owl = found.per_class
    judged = []
    for seed in (4, 5, 6):
        said = outcomes[PlannedTraining(trial=1, seed=seed)].predictions
        assert said is not None
        cats = said.truth == 0
        hits = (said.predicted[cats] == 0).astype(float)
        judged.append(
            TrainingValues(rows=said.rows[cats], values=hits, groups=said.rows[cats] // 20)
        )
    assert cat.recall_interval == estimate(judged, share=True).over_seeds_and_images()
    assert cat.recall_interval is not None and dog.recall_interval is not None
    assert cat.recall_interval.estimate == pytest.approx(cat.recall)
    assert dog.recall_interval.low > 0.8, "none was missed; 20 groups are no certainty"
    assert dog.recall_interval.high == 1.0
    assert owl.recall_interval is None, "no image, nothing known"
    # With one seed so far nothing is known of others
    upto = next(n for n in range(20) if len(judge(CONTEST, trained(upto=n), SEARCH).reported) == 1)
    assert judge(CONTEST, trained(upto=upto), SEARCH).per_class[0].recall_interval is None


def test_the_interval_reaches_as_far_as_the_winners_luck_with_its_images() -> None:
    plain = judge(CONTEST, trained(), SEARCH).over_seeds_and_images
    field = Field(middle=0.9, variance=0.0004, better=7)
    found = judge(CONTEST, trained(), replace(SEARCH, field=field))
    assert plain is not None
    assert found.over_seeds_and_images is not None
    assert found.confirmed == plain.estimate, "no figure is corrected by an estimate of luck"
    assert found.over_seeds_and_images.high == plain.high
    luck = plain.low - found.over_seeds_and_images.low
    assert 0 < luck < found.confirmed - field.middle
    wider = judge(CONTEST, trained(), replace(SEARCH, field=replace(field, variance=0.0016)))
    assert wider.over_seeds_and_images is not None
    assert plain.low > wider.over_seeds_and_images.low > found.over_seeds_and_images.low
    # In the middle of the field there is nothing to be lucky with
    middle = replace(field, middle=plain.estimate)
    assert judge(CONTEST, trained(), replace(SEARCH, field=middle)).over_seeds_and_images == plain


def test_a_lead_reaches_as_far_as_its_share_of_luck() -> None:
    field = Field(middle=0.9, variance=0.0004, better=7)
    without, found = (
        judge(CONTEST, trained(), each) for each in (SEARCH, replace(SEARCH, field=field))
    )
    assert without.baseline is not None and found.baseline is not None
    assert without.over_seeds_and_images is not None and found.over_seeds_and_images is not None
    confirmed = estimate(list(right(trained(), 1, [4, 5, 6]).values()), share=True)
    share = (without.over_seeds_and_images.low - found.over_seeds_and_images.low) / (
        confirmed.mean - at_level_of(confirmed, field).middle
    )
    assert 0 < share < 1
    lead = without.baseline.ahead
    assert found.baseline.ahead.low == pytest.approx(lead.low - share * lead.estimate)
    assert found.baseline.ahead.high == lead.high

"""What a sampler knows from elsewhere: it is no trial, it is learned once, and it helps."""

from __future__ import annotations

import math
from statistics import median

from optuna.study import StudyDirection
from scipy.stats import mannwhitneyu
from support.ledger import LosesAnswers, Search, open_search, row
from support.searching import LINE, study_file

from hpsearch.results.ranking import ranked
from hpsearch.results.records import read_study
from hpsearch.results.summary import summary
from hpsearch.search import prior_results
from hpsearch.search.history import TrialHistory
from hpsearch.search.prior_results import PriorResult
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.suggest import draw_trial
from hpsearch.study_file.space import Choice, Group, Range, Space

PLANE = Space(
    Group(
        {
            "lr": Range(low=1e-4, high=1.0, log=True),
            "momentum": Range(low=0.0, high=0.99),
            "batch_size": Choice((16, 32, 64, 128)),
        }
    )
)


def lesson(place: int, value: float, **params) -> PriorResult:
    return PriorResult(place=f"line {place}", params=params, values=(value,), violations={})


def of_the_plane(count: int) -> list[PriorResult]:
    """Points over the whole plane whose best lies at lr 0.01, momentum 0.9, batch size 64."""
    found = []
    for place in range(count):
        lr = 10 ** (-4 + 4 * ((place * 0.618) % 1))
        momentum = 0.99 * ((place * 0.382 + 0.2) % 1)
        batch = (16, 32, 64, 128)[place % 4]
        far = abs(math.log10(lr) + 2) / 2 + abs(momentum - 0.9) + 0.2 * (batch != 64)
        found.append(lesson(place + 2, 0.9 - 0.3 * far, lr=lr, momentum=momentum, batch_size=batch))
    return found


def history_of(opened: Search) -> TrialHistory:
    return TrialHistory(opened.database, opened.study_id, StudyDirection.MAXIMIZE)


def draws(opened: Search, sampler: str, count: int, *, seed: int, **settings) -> list[dict]:
    """Return the configurations of so many tickets of a study in which nothing has ended."""
    return [
        dict(
            draw_trial(
                SAMPLERS[sampler].build(**settings),
                PLANE,
                history_of(opened),
                study_seed=seed,
                ticket=ticket,
                infeasible=0,
                point=None,
            ).params
        )
        for ticket in range(1, count + 1)
    ]


def test_it_is_no_trial(search):
    opened = search(trials=2)
    hand = opened.hand()
    hand.finish(hand.started(), [0.5, 0.6, 0.7])
    before = summary(read_study(opened.database, "line"))
    assert (
        prior_results.add(opened.database, opened.study_id, "a.csv", [lesson(2, 0.99, lr=0.5)]) == 1
    )
    record = read_study(opened.database, "line")
    assert summary(record) == before
    assert [trial.number for trial in ranked(record)] == [0]
    assert len(opened.trials()) == 1
    history = history_of(opened)
    assert [trial.number for trial in history.refresh()] == [0]
    (known,) = history.prior_trials(LINE)
    assert (known.number, known.value, known.params) == (-1, 0.99, {"lr": 0.5})
    assert hand.claim().ticket == 2
    assert opened.event_log()[-2].detail == {"source": "a.csv", "results": 1}


def test_the_same_again_adds_nothing(search):
    opened = search()
    rows = [lesson(2, 0.5, lr=0.1), lesson(3, 0.6, lr=0.2), lesson(4, 0.5, lr=0.1)]
    learn = lambda source, these: prior_results.add(opened.database, opened.study_id, source, these)  # noqa: E731
    assert learn("a.csv", rows) == 2
    assert learn("a.csv", rows) == 0
    assert learn("renamed.csv", rows) == 0
    assert learn("b.csv", [*rows, lesson(5, 0.51, lr=0.1)]) == 1  # the same point, another result
    found = prior_results.sources(opened.database, opened.study_id)
    assert [(each.name, each.results) for each in found] == [("a.csv", 2), ("b.csv", 1)]
    assert opened.events() == ["learned", "learned"]


def test_a_lost_answer_learns_once(prepared_url):
    database = LosesAnswers(prepared_url)
    opened = open_search(database, study_file())
    database.to_lose = 1
    rows = [lesson(2, 0.5, lr=0.1), lesson(3, 0.6, lr=0.2)]
    assert prior_results.add(database, opened.study_id, "a.csv", rows) == 2
    assert opened.events() == ["learned"]
    database.close()


def test_workers_under_way_see_what_is_learned_and_forgotten(search):
    opened = search()
    history = history_of(opened)

    def seen() -> list[float]:
        history.refresh()
        return [trial.value for trial in history.prior_trials(LINE)]

    assert seen() == []
    prior_results.add(opened.database, opened.study_id, "a.csv", [lesson(2, 0.5, lr=0.1)])
    assert seen() == [0.5]
    assert prior_results.remove(opened.database, opened.study_id, "b.csv") == 0
    assert prior_results.remove(opened.database, opened.study_id, "a.csv") == 1
    prior_results.add(opened.database, opened.study_id, "c.csv", [lesson(2, 0.6, lr=0.2)])
    assert seen() == [0.6]
    prior_results.add(opened.database, opened.study_id, "d.csv", [lesson(2, 0.7, lr=0.3)])
    assert [trial.number for trial in history.prior_trials(LINE)] == [-1]
    assert seen() == [0.6, 0.7]
    assert [trial.number for trial in history.prior_trials(LINE)] == [-2, -1]


def test_it_helps(search):
    """TPE's draws lie nearer to the best known point, over seeds, than those that know nothing."""

    def distances(name: str, lessons: list[PriorResult]) -> list[float]:
        opened = search(name=name)
        prior_results.add(opened.database, opened.study_id, "a.csv", lessons)
        return [
            abs(math.log10(drawn["lr"]) + 2) / 2 + abs(drawn["momentum"] - 0.9)
            for seed in range(3)
            for drawn in draws(opened, "tpe", 6, seed=seed, startup_trials=1)
        ]

    taught, alone = distances("taught", of_the_plane(40)), distances("alone", [])
    assert median(taught) < 0.6 * median(alone)
    assert mannwhitneyu(taught, alone, alternative="less").pvalue < 0.01


def test_a_gaussian_process_begins_with_it(search):
    taught, alone = search(name="taught"), search(name="alone")
    prior_results.add(taught.database, taught.study_id, "a.csv", of_the_plane(5))
    drawn = [draws(each, "gp", 1, seed=3, startup_trials=1) for each in (taught, alone)]
    assert drawn[0] != drawn[1] == draws(alone, "random", 1, seed=3)


def test_half_of_the_random_trials_stay(search):
    """With 5 of 10 startup trials ended, 40 results make a model; with 4 they don't."""

    def drawn_with(name: str, lessons: list[PriorResult], ended: int) -> dict:
        opened = search(name=name, trials=20, epochs=1, space=PLANE)
        hand = opened.hand()
        for nth in range(ended):
            drawn = draws(opened, "random", nth + 1, seed=9)[-1]
            hand.finish(hand.started(row(drawn, PLANE)), [0.3 + nth / 100])
        prior_results.add(opened.database, opened.study_id, "a.csv", lessons)
        return draws(opened, "tpe", 1, seed=4, startup_trials=10)[0]

    lessons = of_the_plane(40)
    assert drawn_with("a", lessons, 4) == drawn_with("b", [], 4)
    assert drawn_with("c", lessons, 5) != drawn_with("d", [], 5)


def test_what_is_known_may_be_drawn(search):
    """It is nobody's repeat: a space with one point left has that one to draw."""
    opened = search()
    one = Space(Group({"batch_size": Choice((16, 32))}))
    lessons = [lesson(2, 0.5, batch_size=16), lesson(3, 0.4, batch_size=32)]
    prior_results.add(opened.database, opened.study_id, "a.csv", lessons)
    drawn = draw_trial(
        SAMPLERS["tpe"].build(startup_trials=1), one, history_of(opened), study_seed=1, ticket=1,
        infeasible=0, point=None,
    )  # fmt: skip
    assert drawn.params["batch_size"] in (16, 32)


def test_constraints_and_several_objectives(search):
    """What breaks a constraint elsewhere is known to break it here."""
    opened = search(objectives=("val_accuracy", "parameters"), constraints=("epoch_seconds <= 9",))
    two = [
        PriorResult(
            place=f"trial {place}", params={"lr": 0.1 * place}, values=(0.5, 10.0 * place),
            violations={"epoch_seconds <= 9": -0.5 if place % 2 else 0.7},
        )
        for place in range(1, 5)
    ]  # fmt: skip
    prior_results.add(opened.database, opened.study_id, "other", two)
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    history = TrialHistory(opened.database, opened.study_id, *directions)
    history.refresh()
    known = history.prior_trials(LINE)
    assert [trial.values for trial in known] == [[0.5, 10.0 * place] for place in range(1, 5)]
    assert [trial.constraints["epoch_seconds <= 9"] for trial in known] == [-0.5, 0.7, -0.5, 0.7]
    drawn = draw_trial(
        SAMPLERS["tpe"].build(startup_trials=1), LINE, history, study_seed=1, ticket=1,
        infeasible=0, point=None,
    )  # fmt: skip
    assert 0 <= drawn.params["lr"] <= 1

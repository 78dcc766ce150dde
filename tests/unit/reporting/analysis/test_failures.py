from __future__ import annotations

from hpsearch.reporting.analysis.failures import kinds, read_failures, regions
from hpsearch.results.records import read_study
from hpsearch.results.trial_attributes import InfeasibleDraw


def draw(number: int, **params: object) -> InfeasibleDraw:
    return InfeasibleDraw(number=number, ticket=number, params=params, reason=f"reason {number}")


def test_errors_of_one_kind_differ_only_in_their_numbers() -> None:
    groups = kinds([(7, "ValueError: 3 > 2"), (2, "ValueError: 30 > 2"), (5, "KeyError: 'x'")])
    assert [(kind.error, kind.trials) for kind in groups] == [
        ("ValueError: 30 > 2", (2, 7)),
        ("KeyError: 'x'", (5,)),
    ]


def test_a_region_names_no_more_parameters_than_it_needs() -> None:
    draws = [draw(n, kernel=5, dilation=3, size=8 if n % 2 else 16, width=n % 3) for n in range(6)]
    built = [
        {"kernel": k, "dilation": d, "size": 8, "width": w}
        for k, d in ((5, 1), (5, 2), (3, 3), (3, 1))
        for w in range(3)
    ] + [{"kernel": 3, "dilation": 1, "size": 16, "width": 0}]
    largest, rest = regions(draws, built, ["kernel", "dilation", "size", "width"])
    assert rest == 0
    assert [dict(region.values) for region in largest] == [{"kernel": 5, "dilation": 3}]
    assert largest[0].label == "kernel 5, dilation 3"
    assert (largest[0].infeasible, largest[0].drawn, largest[0].reason) == (6, 6, "reason 0")


def test_values_that_could_be_built_once_are_no_region() -> None:
    draws = [draw(n, kernel=5, dilation=3) for n in range(4)]
    largest, rest = regions(draws, [{"kernel": 5, "dilation": 3}], ["kernel", "dilation"])
    assert (largest, rest) == ((), 4)


def test_what_one_region_doesnt_explain_another_may() -> None:
    draws = [draw(n, a=1, b=n % 2) for n in range(4)] + [draw(9, a=2, b=3), draw(10, a=2, b=3)]
    built = [{"a": 2, "b": 0}, {"a": 2, "b": 1}]
    largest, rest = regions(draws, built, ["a", "b"])
    assert [dict(region.values) for region in largest] == [{"a": 1}, {"b": 3}]
    assert rest == 0


def test_one_draw_makes_no_region() -> None:
    largest, rest = regions([draw(0, a=1)], [{"a": 2}], ["a"])
    assert (largest, rest) == ((), 1)


def test_failures_are_read_from_the_ledger(searched) -> None:
    failures = read_failures(searched.database, read_study(searched.database, "made_up"))
    assert failures.failed == 1
    assert [(kind.error, kind.trials) for kind in failures.kinds] == [
        ("RuntimeError: [red]poison[/red]", (5,))
    ]
    assert (failures.infeasible, failures.unexplained, failures.out_of_memory) == (1, 1, ())


def test_a_trial_without_memory_tells_what_it_measured(made_up) -> None:
    claim = made_up.start(width=64)
    made_up.ledger.fail(
        claim,
        "out of memory on cpu",
        retry=False,
        infeasible_attrs={"out_of_memory": "out of memory on cpu: 900 MB", "memory_peak_mb": 900.0},
    )
    (trial,) = read_failures(
        made_up.database, read_study(made_up.database, "made_up")
    ).out_of_memory
    assert (trial.number, trial.peak_mb, trial.asked_mb) == (0, 900.0, None)
    assert trial.params["model.line.width"] == 64

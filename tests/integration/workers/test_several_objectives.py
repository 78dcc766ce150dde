"""Studies of several objectives and with constraints, whole: real training, every command."""

from __future__ import annotations

import json
import threading
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from optuna.trial import TrialState
from support.trials import STUDY, SmallSearch, open_small
from torch import nn

from hpsearch.cli.terminal.ending import end_of_launch
from hpsearch.dashboard.app import dashboard_server
from hpsearch.errors import UserError
from hpsearch.registry import Component
from hpsearch.results.inherited import winner_of
from hpsearch.results.ranking import front, knee, ranked, violators
from hpsearch.results.space_report import inspect_space, require_feasible
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger.studies import StudyMismatch, attach
from hpsearch.training import latency as latencies
from hpsearch.training.latency import latency
from hpsearch.training.registries import MODELS
from hpsearch.workers.trial import attempt
from hpsearch.workers.winner.final_evaluation import evaluate_winner

#: 16 hidden units are 1,210 parameters of digits, 64 are 4,810, and 300 are 22,510.
SEVERAL = (
    STUDY.replace("hidden: [16]", "hidden: {values: [[4], [16], [64], [300]]}")
    .replace("sampler: random", "sampler: {tpe: {startup_trials: 4}}")
    .replace("pruner: none", "pruner: {percentile: {keep: 70, startup_trials: 3}}")
    .replace("trials: 3,", "trials: 12,")
    + "objectives: [val_accuracy, parameters, latency]\n"
    + 'constraints: ["parameters <= 1e4", "val_accuracy >= 0.15", "latency <= 1000"]\n'
)


@pytest.fixture(scope="module")
def searched(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, data_root: Path
) -> SmallSearch:
    """A finished study of three objectives; tests only read it."""
    folder = tmp_path_factory.mktemp("several")
    database = Database(f"sqlite:///{folder}/hpsearch.db")
    ensure_tables(database)
    torch.set_num_threads(1)
    search = open_small(database, folder, data_root, text=SEVERAL)
    measured = attempt.latency

    def of_size(*args: Any, **kwargs: Any) -> float:
        """Measure, and return the milliseconds that follow from the size alone."""
        assert measured(*args, **kwargs) > 0
        return sum(each.numel() for each in args[1].values()) / 1000

    with pytest.MonkeyPatch.context() as patch:
        # TPE draws by it and the front follows from it: another one in each run, if measured
        patch.setattr(attempt, "latency", of_size)
        search.run_all()
    return search


def commands(search: SmallSearch) -> tuple[str, ...]:
    return ("--study", "small", "--storage", search.database.url.render_as_string())


def test_what_breaks_a_constraint_by_its_size_is_never_trained(searched):
    record = searched.record()
    assert record.counts.finished == 12
    refused = [each for each in searched.trials() if "infeasible" in each.user_attrs]
    assert record.counts.infeasible == len(refused) > 0
    for row in refused:
        assert row.params["model.mlp.hidden"] == "[300]"
        assert (row.state, row.intermediate_values) == (TrialState.PRUNED, {})
        assert row.user_attrs["infeasible"] == (
            "parameters <= 10000 is broken: parameters is 22510"
        )
        assert row.constraints["parameters <= 10000"] == pytest.approx(12510 / 22510)
    trained = [trial.params["model.mlp.hidden"] for trial in record.trials]
    assert "[300]" not in trained


def test_the_front_has_real_figures_and_keeps_its_weights(searched):
    record = searched.record()
    points = front(record)
    rows = {row.number: row for row in searched.trials()}
    sizes = {"[4]": 310, "[16]": 1210, "[64]": 4810}
    for trial in ranked(record):
        row = rows[trial.number]
        assert row.values == list(trial.metrics.values())
        assert trial.metrics["parameters"] == sizes[trial.params["model.mlp.hidden"]]
        assert 0.001 < trial.metrics["latency"] == row.user_attrs["latency"] < 1000
        assert trial.metrics["val_accuracy"] == trial.value >= 0.15
    assert {f"trial-{trial.number:04d}/best.pt" for trial in points} == searched.files()
    pruned = [trial for trial in record.trials if trial.state.value == "pruned"]
    assert pruned
    assert all(rows[trial.number].values is None for trial in pruned)
    assert not {trial.number for trial in violators(record)} & {each.number for each in points}


def test_the_commands_tell_the_front(searched, hpsearch, tmp_path):
    record, args = searched.record(), commands(searched)
    points = front(record)
    told = hpsearch("status", *args, "--json").json
    assert [each["number"] for each in told["front"]] == [each.number for each in points]
    assert told["knee"] == knee(record).number
    assert told["violating"] == len(violators(record))
    words = hpsearch("status", *args).out
    assert f"front: {len(points)} of {record.counts.complete} complete trials" in words
    assert (
        "break a constraint (parameters <= 10000, val_accuracy >= 0.15, latency <= 1000)" in words
    )
    page = hpsearch("show", *args, str(points[0].number), "--json").json
    assert page["figures"] == points[0].metrics
    assert "latency=" in hpsearch("show", *args, str(points[0].number)).out
    assert "latency" in hpsearch("show", *args).out.splitlines()[0]
    listed = hpsearch("show", *args, "--json").json
    assert listed[0]["figures"] == points[0].metrics


def test_export_and_from_ask_which_point(searched, hpsearch):
    record, args = searched.record(), commands(searched)
    asked = hpsearch("export", *args)
    assert asked.code == 2
    assert "has several objectives (val_accuracy, parameters, latency)" in asked.err
    assert "--pick knee or --pick N" in asked.err
    written = ("--out", "knee.yaml", "--card", "knee.md")
    taken = hpsearch("export", *args, "--pick", "knee", *written, "--json")
    assert taken.json["number"] == knee(record).number
    card = Path("knee.md").read_text()
    assert "complete trials by several objectives: val_accuracy " in card
    assert "not confirmed (one seed: optimistic)." in card
    assert "`hpsearch train FILE --seeds 5` confirms it." in card
    assert "hpsearch confirm" not in card  # it would refuse several objectives
    assert hpsearch("check", "--study", "knee.yaml").code == 0
    off_front = next(each for each in record.trials if each not in front(record))
    refused = hpsearch("export", *args, "--pick", str(off_front.number))
    assert refused.code == 2
    assert "a pick must be knee or a trial on the front" in refused.err
    with pytest.raises(UserError, match="several objectives, so it has no single winner"):
        winner_of(record, searched.study)
    number = front(record)[-1].number
    assert winner_of(record, searched.study, number).trial == number


def test_the_test_images_are_opened_for_the_picked_point(searched, hpsearch):
    record = searched.record()
    args = {"runs": searched.runs, "device": "cpu", "data": searched.data}
    with pytest.raises(UserError, match=r"choose a point of its front with --pick"):
        evaluate_winner(searched.database, record, searched.study, **args)
    number = front(record)[-1].number
    opened = evaluate_winner(searched.database, record, searched.study, pick=str(number), **args)
    assert (opened.trial, 0 < opened.accuracy <= 1) == (number, True)


def test_check_tells_objectives_and_the_share_out_of_bounds(searched, hpsearch, tmp_path):
    file = tmp_path / "several.yaml"
    file.write_text(SEVERAL)
    data = ("--data", str(searched.data))
    words = hpsearch("check", "--study", str(file), *data).out
    assert "val_accuracy and parameters and latency (promotion by fronts, " in words
    assert "constraints: parameters <= 10000, val_accuracy >= 0.15, latency <= 1000" in words
    told = hpsearch("check", "--study", str(file), *data, "--json").json
    assert told["objectives"]["latency"] == "minimize"
    share = len(told["violating"]) / told["tried"]
    assert 0.1 < share < 0.45, "a quarter of the space"
    assert {each["reason"] for each in told["violating"]} == {
        "parameters <= 10000 is broken: parameters is 22510"
    }


def test_a_space_that_can_keep_no_constraint_is_refused(open_study):
    hopeless = open_study("constraints=['parameters <= 10']")
    report = inspect_space(hopeless.study, data=hopeless.data)
    with pytest.raises(UserError, match="must satisfy the constraints, but none of the"):
        require_feasible(hopeless.study, report)
    asked = open_study(
        "study=asked",
        "constraints=['parameters <= 1e6']",
        "try_first=[{optimizer: {sgd: {lr: 0.1}}}]",
    )
    require_feasible(asked.study, inspect_space(asked.study, data=asked.data))
    broken = open_study(
        "study=broken",
        "constraints=['multiply_adds <= 2000']",
        "model={mlp: {hidden: {values: [[16], [200]]}}}",
        "try_first=[{model: {mlp: {hidden: [200]}}}]",
    )
    with pytest.raises(
        UserError, match=r"try_first\[0\] must satisfy the study's constraints, but"
    ):
        require_feasible(broken.study, inspect_space(broken.study, data=broken.data))


def test_a_ticket_that_only_breaks_constraints_fails_with_the_reason(open_study, monkeypatch):
    monkeypatch.setattr("hpsearch.workers.trial.trial_run.MAX_INFEASIBLE", 3)
    search = open_study("constraints=['parameters <= 10']", "budget.trials=1")
    ended = search.run_one()
    assert (ended.state.value, ended.infeasible) == ("failed", 3)
    assert "3 configurations in a row can't be built or break a constraint" in ended.last_error


def test_a_measured_constraint_leaves_its_breakers_out(open_study):
    search = open_study("constraints=['latency <= 1e-9']", "budget.trials=2")
    search.run_all()
    record = search.record()
    assert (record.counts.complete, len(violators(record)), ranked(record)) == (2, 2, [])
    assert search.files() == set(), "no weights of a trial that can't win"
    assert all(each.constraints["latency <= 1e-09"] > 0.9 for each in search.trials())


def test_other_constraints_are_another_study(searched):
    changed = open_small_file(searched, 'constraints=["parameters <= 2e4"]')
    with pytest.raises(StudyMismatch, match=r"constraints: \[.*10000.*\] -> \[.*20000.*\]"):
        attach(searched.database, changed)


def open_small_file(search: SmallSearch, *overrides: str):
    from hpsearch import component_registries
    from hpsearch.study_file.loading import load_study

    file = search.runs.parent / "study.yaml"
    return load_study(file, component_registries.registries, overrides=overrides)


def test_the_dashboard_reads_it(searched):
    with dashboard_server(searched.database, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/api/studies"
            with urllib.request.urlopen(url, timeout=240) as answer:
                (study,) = json.load(answer)["study_summaries"]
            with urllib.request.urlopen(f"{url}/{study['study_id']}", timeout=240) as answer:
                detail = json.load(answer)
        finally:
            server.shutdown()
            thread.join()
    assert detail["objective_names"] == ["val_accuracy", "parameters", "latency"]
    assert sorted(each["number"] for each in detail["best_trials"]) == sorted(
        each.number for each in front(searched.record())
    )
    nearest = knee(searched.record())
    notes = {each["number"]: each["note"]["body"] for each in detail["trials"]}
    assert f"; its knee is trial {nearest.number}\\." in detail["note"]["body"]
    assert "**Complete**, on the front, at its **knee**." in notes[nearest.number]
    refused = [
        each for each in detail["trials"] if each["constraints"] and max(each["constraints"]) > 0
    ]
    assert len(refused) == searched.record().counts.infeasible + len(violators(searched.record()))


def test_latency_is_the_time_of_a_pass_and_leaves_random_numbers_alone(monkeypatch):
    """On a clock that runs only in a linear layer: 1/1024 s each, and 1/4 s in the warm-up."""
    clock = {"passes": 0, "now": 0.0}

    def tick(module: nn.Module, *_: Any) -> None:
        if isinstance(module, nn.Linear):
            clock["now"] += 1 / 1024 if clock["passes"] >= latencies.WARM_UP else 1 / 4
        clock["passes"] += isinstance(module, nn.Sequential)

    monkeypatch.setattr(latencies, "time", SimpleNamespace(perf_counter=lambda: clock["now"]))
    hook = nn.modules.module.register_module_forward_hook(tick)
    before = torch.random.get_rng_state()
    try:
        for hidden, layers in (([8], 2), ([16, 16, 16], 4)):
            model = Component("mlp", {"hidden": hidden})
            built = MODELS.build(model, (1, 28, 28), 10)
            torch.random.set_rng_state(before)
            clock["passes"] = 0
            taken = latency(
                model,
                built.state_dict(),
                input_shape=(1, 28, 28),
                classes=10,
                device="cpu",
                precision="fp32",
            )
            assert taken == layers * 1000 / 1024
            assert torch.equal(torch.random.get_rng_state(), before)
    finally:
        hook.remove()


def test_the_end_of_a_launch_proposes_no_confirmation(searched, capsys):
    """`hpsearch confirm` would refuse several objectives."""
    outcome = SimpleNamespace(reason="finished")
    end_of_launch(
        outcome, searched.record(), "sqlite:///hpsearch.db", as_json=False, suggests_export=True
    )
    said = capsys.readouterr().out
    assert "hpsearch export --study small --pick knee" in said
    assert "hpsearch confirm" not in said

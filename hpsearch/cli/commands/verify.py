"""verify: checks that a frozen config's data and metrics equal its record."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from hpsearch.cli.options import (
    DataOption,
    FrozenConfigArgument,
    JsonOption,
    RecordedDeviceOption,
    RecordedThreadsOption,
    SetOption,
)
from hpsearch.cli.terminal.output import print_json, say
from hpsearch.cli.terminal.reproduction import changes
from hpsearch.cli.terminal.training_progress import epoch_printer
from hpsearch.metrics import MetricFormat

if TYPE_CHECKING:
    from hpsearch.study_file.study import StudyFile
    from hpsearch.workers.retraining.verification import Verdict


def verify(
    config: FrozenConfigArgument,
    device: RecordedDeviceOption = None,
    threads: RecordedThreadsOption = None,
    overrides: SetOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a frozen config again, and fail if its images or its value differ from the record.

    Images are compared by their hash before anything is trained. The value of a confirmed winner
    must be in the interval for one more training, that of an unconfirmed one in the interval over
    its validation images. Exit code 0: verified; 1: not verified. Test images aren't opened. --set
    sets only the paths of images and plug-ins on this machine.

    \b
    hpsearch verify best.yaml
    hpsearch verify best/best.yaml --json
    """
    from hpsearch.component_registries import registries
    from hpsearch.errors import UserError
    from hpsearch.study_file.loading import load_study
    from hpsearch.study_file.portable import only_sets_path
    from hpsearch.workers.retraining.assignment import plan_single, require_paths
    from hpsearch.workers.retraining.run import Retraining
    from hpsearch.workers.retraining.verification import data_differences, expectation, judge

    changed = [override for override in overrides or () if not only_sets_path(override)]
    if changed:
        raise UserError(
            "verify checks the file without changes: --set may only set the paths of its images "
            f"and plug-ins (data.source.NAME.path, plugins), but got {changed[0]}; "
            "`hpsearch train` trains a changed file"
        )
    study = load_study(config, registries, overrides=overrides or ())
    if study.has_loop:
        raise UserError(
            f"{config} has a training loop of its own, whose data hpsearch doesn't know, so "
            f"nothing can be verified; `hpsearch train {config}` trains it again and prints the "
            "value beside the recorded one"
        )
    require_paths(study)
    expected = expectation(study)
    differences = data_differences(study, data=data)
    if differences:
        _fail_by_data(study, differences, as_json=as_json)
    assignment = plan_single(study, device=device, threads=threads, data=data)
    environment_changes = changes(assignment.build_plan, study.provenance or {})
    if not as_json:
        say(f"{study.name}: images and split are those of {config}")
    retraining = Retraining(assignment)
    with epoch_printer(study.name, assignment.epochs, 0, quiet=as_json) as tell:
        for metrics in retraining.epochs():
            tell(metrics)
            if metrics.epoch == expected.epoch:
                break
    verdict = judge(expected, retraining.curve)
    if as_json:
        print_json({**_as_json(study, verdict), "other_than_then": environment_changes})
    else:
        _print(verdict)
        if environment_changes and not verdict.exact:
            say(f"changed since: {', '.join(environment_changes)}")
    raise typer.Exit(0 if verdict.holds else 1)


def _fail_by_data(study: StudyFile, differences: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"study": study.name, "holds": False, "data": differences})
    else:
        for difference in differences:
            say(difference, stderr=True)
        say("verification failed: nothing was trained", style="bold", stderr=True)
    raise typer.Exit(1)


def _print(verdict: Verdict) -> None:
    expected, form = verdict.expected, MetricFormat(verdict.metric, digits=4)
    say()
    if verdict.value is None:
        say(
            f"the recorded metrics are of epoch {expected.epoch}, which this training doesn't reach"
        )
    else:
        say(
            f"{verdict.metric} {form.value(verdict.value)}, recorded "
            f"{form.value(expected.recorded)}; expected "
            f"{form.interval((expected.low, expected.high))} ({expected.why})"
        )
    if verdict.exact:
        say("reproduced exactly: every metric equals the recorded value")
    say("verified" if verdict.holds else "verification failed", style="bold")


def _as_json(study: StudyFile, verdict: Verdict) -> dict[str, Any]:
    expected = asdict(verdict.expected)
    return {
        "study": study.name,
        "holds": verdict.holds,
        "data": [],
        "metric": verdict.metric,
        "value": verdict.value,
        "exact": verdict.exact,
        "expected": expected,
    }

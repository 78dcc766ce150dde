"""export: writes the winner as files that need no database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import (
    DEFAULT_RUNS,
    DEFAULT_STORAGE,
    DataOption,
    JsonOption,
    PickOption,
    RunsOption,
    StorageOption,
    StoredStudyOption,
)
from hpsearch.cli.terminal.front import print_warnings
from hpsearch.cli.terminal.output import print_json, say
from hpsearch.metrics import MetricFormat
from hpsearch.results.opening import database_for_reading, record_of, study_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpsearch.results.export.choice import Export
    from hpsearch.training.formats.agreement import Agreement
    from hpsearch.workers.winner.exporting import Targets


def _file(help_text: str, metavar: str = "FILE") -> Any:
    return typer.Option(metavar=metavar, help=help_text)


def export(
    study: StoredStudyOption,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The file to write.  [dim]default: STUDY-trial-N.yaml[/]",
        ),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(metavar="N", help="This trial instead of the winner.")
    ] = None,
    unconfirmed: Annotated[
        bool,
        typer.Option("--unconfirmed", help="The best seen, even if a confirmation chose another."),
    ] = False,
    weights: Annotated[Path | None, _file("The kept weights.", "FILE.safetensors")] = None,
    onnx: Annotated[
        Path | None, _file("The model for other programs, checked by onnxruntime.", "FILE.onnx")
    ] = None,
    torch_export: Annotated[
        Path | None, _file("The model as a torch.export program.", "FILE.pt2")
    ] = None,
    card: Annotated[Path | None, _file("The model card.", "FILE.md")] = None,
    bundle: Annotated[
        Path | None,
        _file("Config, weights, card, classes, picture: the folder predict reads.", "FOLDER"),
    ] = None,
    license_name: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="ID",
            help="The model's license, for its card: mit, apache-2.0, cc-by-4.0, or any name.",
        ),
    ] = None,
    pick: PickOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    storage: StorageOption = DEFAULT_STORAGE,
    runs: RunsOption = DEFAULT_RUNS,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the confirmed winner as a frozen config: a study file without ranges.

    If nothing was confirmed, it is the best seen, and marked so. `hpsearch train` trains the file
    again with the same device, threads and precision.

    \b
    hpsearch export --study quickstart --out best.yaml
    hpsearch export --study quickstart --bundle best/ --license mit
    hpsearch export --study quickstart --onnx best.onnx --card best.md
    hpsearch export --study quickstart --trial 17
    hpsearch export --study small_and_good --pick knee
    """
    from hpsearch.results.export.choice import choose
    from hpsearch.workers.winner.exporting import Targets, write_export

    with database_for_reading(storage) as database:
        record = record_of(database, study)
        choice = choose(
            database, record, study_of, number=trial, pick=pick, unconfirmed=unconfirmed
        ).with_license(license_name)
    targets = Targets(
        config=output,
        card=card,
        weights=weights,
        onnx=onnx,
        torch_export=torch_export,
        bundle=bundle,
    )
    if not targets.files():
        targets = replace(targets, config=Path(choice.default_name))
    print_warnings(record, stderr=as_json)
    agreements = write_export(choice, targets, runs=runs, data=data, overwrite=force)
    if as_json:
        print_json(_as_json(choice, targets, agreements))
    else:
        _print(choice, targets, agreements)


def _print(choice: Export, targets: Targets, agreements: Mapping[str, Agreement]) -> None:
    frozen = choice.frozen
    record, objective = frozen.weights_study, frozen.weights_study.objective
    name = frozen.document["provenance"]["study"]
    value = MetricFormat(objective.metric).value(frozen.weights_trial.value)
    figure = f"{objective.metric} {value} ({objective.at} epoch"
    if frozen.is_confirmed:
        seed = frozen.document["provenance"]["training"]["seed"]
        figure += f", its training with fresh seed {seed} in {record.study.name}"
    first, *others = targets.files()
    kind = "confirmed" if frozen.is_confirmed else "UNCONFIRMED"
    say(f"{first}: trial {frozen.trial.number} of study {name}, {kind}, {figure})")
    for path in others:
        say(f"{path}")
    for field, agreement in agreements.items():
        say(
            f"{getattr(targets, field)} agrees with the model: on {agreement.images} real "
            f"images no logit differs by more than {agreement.difference:.1g} of the largest"
        )
    say(frozen.document["provenance"]["worth"])
    if choice.advice is not None:
        say(choice.advice)
    if targets.bundle is not None:
        say(f"Label pictures: hpsearch predict {targets.bundle} PICTURE...")
    file = targets.config or (targets.bundle / "best.yaml" if targets.bundle else None)
    if file is not None:
        say(f"Train it again: hpsearch train {file}")


def _as_json(
    choice: Export, targets: Targets, agreements: Mapping[str, Agreement]
) -> dict[str, Any]:
    frozen = choice.frozen
    origin = frozen.document["provenance"]
    names = ("config", "card", "weights", "onnx", "torch_export", "bundle")
    written = {name: getattr(targets, name) for name in names}
    return {
        "file": None if targets.config is None else str(targets.config),
        "files": {name: str(path) for name, path in written.items() if path is not None},
        "study": origin["study"],
        "number": frozen.trial.number,
        "value": frozen.weights_trial.value,
        "rank": frozen.rank,
        "complete_trials": frozen.complete,
        "params": frozen.weights_study.values(frozen.trial.params),
        "confirmed": origin["confirmed"],
        "differences": {name: agreement.difference for name, agreement in agreements.items()},
    }

"""init: a study file for the user's own pictures."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import JsonOption, at_least_one, duration, seconds
from hpsearch.cli.terminal.output import print_json, say
from hpsearch.errors import UserError
from hpsearch.formatting import count_noun, format_seconds
from hpsearch.study_file.sections import STUDY_NAME
from hpsearch.workers.run_config import RunConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpsearch.starter.drafting import Drafted

_DEFAULT_TIME = "30m"


def init(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH",
            help="A folder with one folder of pictures per class, a table of file names and "
            "classes, or a file of arrays, Parquet or WebDataset's.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Instead of PATH: a data set by its name, such as fashion_mnist "
            "(`hpsearch data list`) or one of torchvision, such as eurosat.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The file to write.  [dim]default: NAME.yaml[/]"
        ),
    ] = None,
    time: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="TIME",
            callback=duration,
            help="How long search and confirmation may take on this machine: 10m, 2h.",
        ),
    ] = _DEFAULT_TIME,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="STUDY", help="The study's name; by default the file's name."
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            "-w",
            metavar="N",
            callback=at_least_one,
            help="How many workers the launch will have: with one per core, more trials fit.",
        ),
    ] = RunConfig.workers or 1,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="A key of the data source that can't be found, e.g. --set "
            "data.source.table.images_path=photos/; may be repeated.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at your pictures, and write a study file for them that you can launch and edit.

    It finds classes, parts, groups, sizes and colours, and times a few batches of training on this
    machine, so that the search and the confirmation of its winner fit the time.

    \b
    hpsearch init photos/ && hpsearch launch --study photos.yaml --confirm
    hpsearch init photos/ --for 2h --out big.yaml
    hpsearch init --data eurosat
    """
    from hpsearch.durable_files import write_file
    from hpsearch.starter import drafting
    from hpsearch.starter.writing import summary
    from hpsearch.workers.launch.fork_server import start_fork_server

    if (path is None) == (source is None):
        raise UserError(
            "hpsearch init needs either a folder of pictures or --data NAME, but got "
            f"{'neither' if path is None else 'both'}; for example: hpsearch init photos/"
        )
    if name is not None and not re.fullmatch(STUDY_NAME, name):
        raise UserError(
            f"--name must be 1 to 64 letters, digits, _ and -, but got {name!r}; use another name"
        )
    if output is not None and output.suffix not in (".yaml", ".yml"):
        raise UserError(
            f"a study file's name must end in .yaml, but got --out {output}; give --out "
            f"{output}.yaml"
        )
    of_data = drafting.study_name(str(source)) if path is None else drafting.name_for(path)
    study = name or (of_data if output is None else drafting.study_name(output.stem))
    file = output or Path(f"{study}.yaml")
    if file.exists() and not force:
        raise UserError(
            f"hpsearch init replaces no file, but {file} exists; give another one with --out, or "
            "--force to replace it"
        )
    if not file.absolute().parent.is_dir():
        raise UserError(
            f"the folder of the study file must exist, but {file.absolute().parent} doesn't; "
            "create it"
        )
    if path is not None:
        drafting.require_outside(path)
    start_fork_server()
    data = shlex.quote(str(path)) if path is not None else f"--data {shlex.quote(str(source))}"
    if not as_json:
        say(f"{data}: looking at the pictures", stderr=True)
    draft = drafting.draft(
        drafting.Target(
            path=path,
            source=source,
            changes=_changes(overrides or []),
            output=file,
            name=study,
            command=_command(data, output, name, time, workers, overrides or []),
            seconds=seconds(time),
            workers=workers,
        ),
        lambda findings: None if as_json else say("\n".join(summary(findings))),
    )
    try:
        write_file(file, draft.text)
    except OSError as error:
        raise UserError(f"{file} can't be written ({error.strerror}); give --out") from error
    launch = f"hpsearch launch --study {shlex.quote(str(file))} --confirm"
    if workers != RunConfig.workers:
        launch += f" --workers {workers}"
    if as_json:
        print_json(_as_json(draft, file, study, workers))
        return
    _print(draft, file, seconds(time), workers)
    say(f"Next: {launch}", style="bold")


def _changes(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the values of ``--set`` by their paths."""
    from hpsearch.study_file.diagnostics import Diagnostics
    from hpsearch.study_file.overrides import read_overrides
    from hpsearch.study_file.syntax import to_plain

    diagnostics = Diagnostics()
    changes = read_overrides(overrides, diagnostics)
    if diagnostics:
        raise diagnostics.error()
    return {change.path: to_plain(change.value) for change in changes}


def _command(
    data: str,
    output: Path | None,
    name: str | None,
    time: str,
    workers: int,
    overrides: Sequence[str],
) -> str:
    """Return the command with the options that aren't the defaults."""
    options = {
        "--for": None if time == _DEFAULT_TIME else time,
        "--out": output,
        "--name": name,
        "--workers": None if workers == RunConfig.workers else workers,
    }
    parts = [f" {key} {shlex.quote(str(value))}" for key, value in options.items() if value]
    parts += [f" --set {shlex.quote(override)}" for override in overrides]
    return f"hpsearch init {data}{''.join(parts)}"


def _print(draft: Drafted, file: Path, limit: float, workers: int) -> None:
    fit = draft.fit
    sizes = [f"{size}" for size in fit.sizes if size is not None]
    of_sizes = f" at {' or '.join(sizes)} pixels" if sizes else ""
    folds = "" if draft.recipe.folds is None else f", each in {draft.recipe.folds} folds"
    say(
        f"{file}: {fit.trials} trials of up to {fit.epochs} epochs of {', '.join(fit.models)}"
        f"{of_sizes}{folds}; ranked by {draft.recipe.objective}"
    )
    say(
        f"with {count_noun(workers, 'worker')} about "
        f"{format_seconds(fit.search_seconds)} to search and at most "
        f"{format_seconds(fit.confirm_seconds)} to confirm (measured here)"
    )
    if not fit.fits:
        say(
            f"warning: {format_seconds(limit)} isn't enough for these pictures on this machine; a "
            f"smaller search would show nothing, so this one takes {format_seconds(fit.seconds)}",
            style="yellow",
        )
    for warning in draft.warnings:
        say(f"warning: {warning}", style="yellow")


def _as_json(draft: Drafted, file: Path, study: str, workers: int) -> dict[str, Any]:
    findings, fit = draft.findings, draft.fit
    return {
        "file": str(file),
        "study": study,
        "source": {findings.choice.source: dict(findings.choice.settings)},
        "images_per_class": dict(zip(findings.class_names, findings.per_class, strict=True)),
        "val_images": findings.val_images,
        "edges": list(findings.edges),
        "channels": findings.channels,
        "groups": None if findings.groups is None else vars(findings.groups),
        "notes": list(findings.choice.notes),
        "objective": draft.recipe.objective,
        "folds": draft.recipe.folds,
        "models": list(fit.models),
        "input_sizes": list(fit.sizes),
        "trials": fit.trials,
        "epochs_per_trial": fit.epochs,
        "workers": workers,
        "search_seconds": fit.search_seconds,
        "confirm_seconds": fit.confirm_seconds,
        "fits": fit.fits,
        "warnings": list(draft.warnings),
    }

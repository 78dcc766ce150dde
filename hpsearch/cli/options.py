"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hpsearch.cli import completion
from hpsearch.cli.storage_option import DEFAULT_STORAGE as DEFAULT_STORAGE
from hpsearch.cli.storage_option import resolve_storage
from hpsearch.workers.run_config import RunConfig
from hpsearch.workers.runs_place.place import Runs, parse_runs


def at_least_one(value: int | None) -> int | None:
    """Refuse 0 and less; a callback of whole-number options."""
    if value is not None and value < 1:
        raise typer.BadParameter(f"must be at least 1, but got {value}.")
    return value


def number_of_workers(text: str) -> str:
    """Refuse what is neither ``auto`` nor a number from 0; a callback of ``--workers``."""
    if text != "auto" and not (text.isdecimal() and text.isascii()):
        raise typer.BadParameter(f"must be a number from 0, or auto, but got {text}.")
    return text


def more_than_zero(value: float | None) -> float | None:
    """Refuse 0, less, and what isn't finite; a callback of options in seconds."""
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter(f"must be more than 0, but got {value:g}.")
    return value


def duration(text: str | None) -> str | None:
    """Refuse what isn't a duration; a callback of ``--timeout``."""
    if text is not None:
        seconds(text)
    return text


def seconds(text: str) -> float:
    """Return the seconds of a duration such as ``30m``."""
    from hpsearch.study_file.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from error


StudyFileOption = Annotated[
    str,
    typer.Option(
        "--study",
        "-s",
        metavar="NAME|PATH",
        autocompletion=completion.study_files,
        help="The path of a study file, or a name (see [bold]hpsearch studies[/bold]). As the "
        "first word it needs no --study.",
    ),
]
StoredStudyOption = Annotated[
    str,
    typer.Option(
        "--study",
        "-s",
        metavar="NAME",
        autocompletion=completion.stored_studies,
        help="The study's name, or its file. As the first word it needs no --study.",
    ),
]
StorageOption = Annotated[
    str,
    typer.Option(
        metavar="URL",
        envvar="HPSEARCH_STORAGE",
        callback=resolve_storage,
        help="The database: sqlite:///FILE, or postgresql://user@host/database for several hosts. "
        "Put a password into the variable, or into a file (HPSEARCH_STORAGE_FILE).",
    ),
]
PickOption = Annotated[
    str | None,
    typer.Option(
        "--pick",
        metavar="POINT",
        help="Several objectives: a point of the front, knee or a trial's number.",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        envvar="HPSEARCH_DATA",
        help="The folder of downloaded and prepared images.  [dim]default: "
        "~/.cache/hpsearch/data[/dim]",
    ),
]
if TYPE_CHECKING:
    RunsValue: TypeAlias = Runs
else:
    RunsValue = str  # Typer takes no union; the parser's result isn't changed
RunsOption = Annotated[
    RunsValue,
    typer.Option(
        "--runs",
        metavar="FOLDER|URL",
        envvar="HPSEARCH_RUNS",
        parser=parse_runs,
        help="Checkpoints and logs, by study and trial: a folder, or s3://BUCKET/PREFIX for "
        "several hosts.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change the file for this call, e.g. --set data.limit=4000. The value is YAML; "
        "may be repeated.",
    ),
]
TrackOption = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME",
        autocompletion=completion.trackers,
        help="Send every epoch to a tracker: tensorboard, wandb, mlflow; may be repeated.",
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Another name, for another study."),
]
WorkersOption = Annotated[
    str,
    typer.Option(
        "--workers",
        "-w",
        metavar="N|auto",
        callback=number_of_workers,
        help="Worker processes. auto: one per core; on a GPU as many as give the most "
        "throughput. 0 only stores the study, for `hpsearch worker` on other hosts.",
    ),
]
DevicesOption = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        autocompletion=completion.devices,
        help="auto, cpu, mps, or a list: cuda:0,cuda:1.",
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME[:PROFILE]",
        help="Where workers run: local, slurm, kubernetes, ray; a profile is in engines.yaml.",
    ),
]
EngineSettingOption = Annotated[
    list[str] | None,
    typer.Option(
        "-E",
        "--engine-setting",
        metavar="KEY=VALUE",
        help="Change a setting of the engine's profile for this call; may be repeated.",
    ),
]
WorkersPerGpuOption = Annotated[
    int | None,
    typer.Option(callback=at_least_one, metavar="K", help="The most workers on one GPU."),
]
FrozenConfigArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A frozen config, from `hpsearch export`.")
]
RecordedDeviceOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The device instead of the recorded one: cpu, mps, cuda:0."),
]
RecordedThreadsOption = Annotated[
    int | None,
    typer.Option(callback=at_least_one, help="CPU threads instead of the recorded number."),
]
TimeoutOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        callback=duration,
        help="Stop after this time (90s, 30m, 8h); running trials are paused.",
    ),
]
LeaseOption = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        callback=more_than_zero,
        help="If a worker is silent for this long, another worker takes over its trial.",
    ),
]
CheckpointOption = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="The least time between two checkpoints of a trial; 0: after every epoch.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DEFAULT_RUNS = RunConfig.runs

"""data list, data prepare: lists data sources, and prepares images before a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.flags import Command, Group
from hpsearch.cli.options import (
    DEFAULT_STORAGE,
    DataOption,
    JsonOption,
    NameOption,
    SetOption,
    StorageOption,
    at_least_one,
)
from hpsearch.cli.terminal.output import print_json, say, show_bytes, table
from hpsearch.errors import UserError
from hpsearch.results.opening import study_file

if TYPE_CHECKING:
    from hpsearch.study_file.trial_config import DataConfig
    from hpsearch.training.data.availability import Availability

app = typer.Typer(cls=Group, help="List data sources, and prepare images before a search.")


@app.callback()
def _root() -> None:
    """List data sources, and prepare images before a search."""


@app.command("list", cls=Command)
def list_sources(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the data sources that a study file may name, and whether their images are here.

    Nothing is downloaded.

    \b
    hpsearch data list
    """
    from hpsearch.training.data import availability
    from hpsearch.training.data.place import data_root

    root = data_root(data)
    sources = [_source(source) for source in availability.list_sources(data)]
    if as_json:
        print_json({"root": str(root), "sources": sources})
        return
    say(f"data root: {root}")
    say()
    table(
        ("source", "images", "keys", "description"),
        [
            (source["name"], source["here"], ", ".join(source["keys"]), source["description"])
            for source in sources
        ],
    )


@app.command(cls=Command)
def prepare(
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="A source that needs no settings.")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            "--study", "-s", metavar="NAME|PATH", help="All images that this study may use."
        ),
    ] = None,
    input_size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            callback=at_least_one,
            help="With SOURCE: resize to this edge, in pixels.",
        ),
    ] = None,
    overrides: SetOption = None,
    name: NameOption = None,
    storage: StorageOption = DEFAULT_STORAGE,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download and decode images before a search, in every size that a study searches over.

    \b
    hpsearch data prepare --study cnn_dilation
    hpsearch data prepare fashion_mnist --input-size 32
    """
    from hpsearch.results.images_used import images_used
    from hpsearch.training.data.data_warnings import (
        data_notes,
        data_warnings,
        images_per_class,
    )
    from hpsearch.training.data.prepare import prepare as prepare_data

    if (source is None) == (study is None):
        raise UserError(
            "give either a source or --study, but got "
            f"{'neither' if source is None else 'both'}; `hpsearch data list` lists the sources"
        )
    if study is not None:
        file = study_file(study, storage=storage, overrides=overrides or (), name=name)
        configs, seed = images_used(file), file.seed
    else:
        configs, seed = [_source_config(str(source), input_size)], 0
    done: list[dict[str, Any]] = []
    all_notes: dict[str, None] = {}
    all_warnings: dict[str, None] = {}
    for config in configs:
        prepared = prepare_data(config, split_seed=seed, root=data)
        done.append(
            {
                "source": config.source.name,
                "input_shape": list(prepared.input_shape),
                "train_images": len(prepared.train_indices),
                "val_images": len(prepared.val_indices),
                "trainings": config.rounds,
                "classes": len(prepared.class_names),
                "images_per_class": dict(
                    zip(prepared.class_names, images_per_class(prepared), strict=True)
                ),
                "data_hash": prepared.data_hash,
                "folder": str(prepared.cache_folder),
                "bytes": prepared.cache_bytes,
            }
        )
        warnings = data_warnings(config.source.name, prepared)
        all_warnings |= dict.fromkeys(warnings)  # the same of every size
        notes = data_notes(config.source.name, prepared)
        all_notes |= dict.fromkeys(notes)
        done[-1] |= {"notes": list(notes), "warnings": list(warnings)}
        if not as_json:
            shape = "x".join(map(str, prepared.input_shape))
            images = f"{len(prepared.train_indices):,} training and "
            images += f"{len(prepared.val_indices):,} validation images"
            if config.folds is not None:
                images = f"{len(prepared.val_indices):,} images in {config.folds} folds"
            elif config.splits is not None:
                images += f" in {config.splits} splits together"
            say(
                f"{config.source.name} {shape}: {images}, "
                f"{show_bytes(prepared.cache_bytes)} in {prepared.cache_folder}"
            )
    if as_json:
        print_json(done)
        return
    for note in all_notes:
        say(f"note: {note}")
    for warning in all_warnings:
        say(f"warning: {warning}", style="yellow")


def _source(source: Availability) -> dict[str, Any]:
    if source.required:
        here = f"given by {', '.join(source.required)}"
    else:
        here = source.detail if source.ready else "not here yet"
    return {
        "name": source.name,
        "description": source.description,
        "keys": list(source.keys),
        "here": here,
    }


def _source_config(name: str, input_size: int | None) -> DataConfig:
    from hpsearch.registry import Component
    from hpsearch.study_file.trial_config import DataConfig
    from hpsearch.training.data.availability import available

    required = available(name).required
    if required:
        raise UserError(
            f"source {name!r} needs {', '.join(required)}; write it in a study file and run "
            "`hpsearch data prepare --study FILE`"
        )
    return DataConfig(source=Component(name), input_size=input_size)

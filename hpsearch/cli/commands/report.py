"""report: the results of a study as a page, charts and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.options import DEFAULT_STORAGE, DataOption, JsonOption, StorageOption
from hpsearch.cli.terminal.output import print_json, say, show_bytes
from hpsearch.formatting import count_noun
from hpsearch.results.opening import database_for_reading, stored_name


def report(
    studies: Annotated[
        list[str],
        typer.Option(
            "--study",
            "-s",
            metavar="NAME",
            help="The study's name (or its file). Repeat it to compare studies.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="The folder to write.  [dim]default: STUDY-report[/]",
        ),
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures/--no-figures", help="PNG and SVG files, for a paper.")
    ] = True,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    storage: StorageOption = DEFAULT_STORAGE,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the results of a study: a page, charts for a paper, and tables.

    The page needs no network and no server. Several studies are compared by their confirmed
    winners. With --json the content is printed, and no file is written unless --out is given.

    \b
    hpsearch report --study quickstart --out report/
    hpsearch report --study stage_1 --study stage_2 --out stages/
    hpsearch report --study quickstart --json
    """
    from hpsearch.reporting.assemble import read_report

    with database_for_reading(storage) as database:
        names = [stored_name(database, study) for study in studies]
        content = read_report(database, names, data=data)
    if as_json and out is None:
        print_json(content.as_json())
        return
    from hpsearch.reporting.writing import write_report

    folder = out or Path(f"{names[0]}-report")
    written = write_report(content, folder, figures=figures)
    if as_json:
        print_json(content.as_json())
    else:
        charts = [path for path in written.files if path.suffix in (".png", ".svg")]
        for path in written.files[: len(written.files) - len(charts)]:
            say(f"{path}  {show_bytes(path.stat().st_size)}")
        if charts:
            say(f"{charts[0].parent}/  {count_noun(len(charts), 'file')}, PNG and SVG")
        say(f"Open {written.page} in a browser; it needs no network.")
    if show:
        import webbrowser

        webbrowser.open(written.page.resolve().as_uri())

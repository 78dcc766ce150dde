"""The list of commands, and error handling.

An error of the user's is one message on stderr and no traceback (``exit_codes``).
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any

import typer

import hpsearch
from hpsearch.cli.commands import (
    ablate,
    check,
    confirm,
    dashboard,
    data,
    doctor,
    evaluate,
    export,
    fleets,
    init,
    invalidate,
    launch,
    learn,
    predict,
    prior,
    report,
    show,
    status,
    storage,
    studies,
    train,
    verify,
)
from hpsearch.cli.flags import Command, Group
from hpsearch.cli.paths import takes_paths
from hpsearch.cli.process_setup import Terminated, end_of, require_current_folder, set_up
from hpsearch.errors import HpsearchError, UserError
from hpsearch.exit_codes import DONE, FAILED, WRONG
from hpsearch.foreign_text import clean
from hpsearch.machine_limits import limit_reached
from hpsearch.output_streams import OutputLost, require_output
from hpsearch.registry import plugin_fault

app = typer.Typer(
    name="hpsearch",
    cls=Group,
    help="Hyperparameter search for image classifiers.",
    epilog="Begin with: hpsearch launch --study quickstart --workers 2",
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _help(command: Callable[..., None]) -> str:
    """Return the docstring with each paragraph on one line, except those after ``\\b``."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(
        text if text.startswith("\b") else " ".join(text.split()) for text in paragraphs
    )


COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Search": {
        "launch": launch.launch,
        "stop": launch.stop,
        "scale": fleets.scale,
        "worker": launch.worker,
        "learn": learn.learn,
    },
    "Study files": {
        "init": init.init,
        "studies": studies.studies,
        "check": check.check,
        "schema": check.schema,
    },
    "Results": {
        "confirm": confirm.confirm,
        "ablate": ablate.ablate,
        "status": status.status,
        "logs": fleets.logs,
        "show": show.show_trial,
        "report": report.report,
        "dashboard": dashboard.dashboard,
        "invalidate": invalidate.invalidate,
        "evaluate": evaluate.evaluate,
        "export": export.export,
        "train": train.train,
        "verify": verify.verify,
        "predict": predict.predict,
    },
    "Maintenance": {"doctor": doctor.doctor},
}
for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, cls=Command, help=_help(command), rich_help_panel=panel)(
            takes_paths(command)
        )
app.add_typer(data.app, name="data", rich_help_panel="Data")
app.add_typer(prior.app, name="prior", rich_help_panel="Search")
app.add_typer(storage.app, name="storage", rich_help_panel="Maintenance")


def _version(version: bool) -> None:
    if version:
        typer.echo(f"hpsearch {hpsearch.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: the console script."""
    set_up()
    sys.exit(run_command(sys.argv[1:] if arguments is None else list(arguments)))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code. An error is one message on stderr."""
    try:
        require_current_folder()
        code = _parser()(list(arguments), prog_name="hpsearch", standalone_mode=False)
        require_output()
        return code if isinstance(code, int) else DONE
    except OutputLost as error:
        # If the reader closed the pipe (`| head`), it doesn't want the rest.
        return DONE if error.reader_left else _tell(str(error), FAILED)
    except HpsearchError as error:
        return _tell(str(error), error.exit_code)
    except (KeyboardInterrupt, Terminated) as interrupt:
        return end_of(interrupt)
    except Exception as error:  # noqa: BLE001 - the last place to report it
        try:
            require_current_folder()
        except UserError as folder_error:  # the folder was deleted meanwhile
            return _tell(str(folder_error), FAILED)
        if (limit := limit_reached(error)) is not None:
            return _tell(str(limit), FAILED)
        usage = _usage_error(error)
        if usage is not None:
            return _tell(usage, WRONG)
        fault = plugin_fault(error)
        return _unexpected(error) if fault is None else _tell(str(fault), WRONG)


@cache
def _parser() -> Callable[..., Any]:
    """Return the parser of all commands; to build it takes longer than most commands."""
    return typer.main.get_command(app)


def _usage_error(error: Exception) -> str | None:
    """Return the message of a wrong option or argument.

    Typer has its own copy of click's exceptions, or click's, depending on its version.
    """
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return None
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "hpsearch"
    return f"{format_message()}\nSee `{command} --help`."


def _tell(message: str, code: int) -> int:
    from hpsearch.cli.terminal.output import mask_urls

    print(f"error: {clean(mask_urls(message))}", file=sys.stderr)
    return code


def _unexpected(error: Exception) -> int:
    """Print a fault of hpsearch with its traceback, passwords masked."""
    from hpsearch.cli.terminal.output import mask_urls

    text = mask_urls("".join(traceback.format_exception(error)))
    print(clean(text), end="", file=sys.stderr)
    return _tell(f"this is a fault of hpsearch: {type(error).__name__}; please report it", FAILED)

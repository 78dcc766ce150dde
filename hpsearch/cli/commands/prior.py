"""prior add, prior show, prior remove: a prior of the user's own, a file that study files name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.flags import Command, Group
from hpsearch.cli.options import DEFAULT_STORAGE, DataOption, JsonOption, StorageOption
from hpsearch.cli.terminal.output import print_json, say, table
from hpsearch.errors import UnknownName, UserError
from hpsearch.formatting import count_noun
from hpsearch.results.opening import database_for_reading, record_of, study_of

if TYPE_CHECKING:
    from hpsearch.priors.prior_file import Learned

app = typer.Typer(cls=Group, help="Build a prior of your own from finished studies.")

FileOption = Annotated[
    Path,
    typer.Option("--file", metavar="FILE.npz", help="Your prior; study files name its path."),
]
_OWN = Path("prior.npz")


@app.callback()
def _root() -> None:
    """Build a prior of your own from finished studies."""


@app.command(cls=Command)
def add(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A finished study's name.")],
    file: FileOption = _OWN,
    storage: StorageOption = DEFAULT_STORAGE,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a finished study to your prior: features and ranks of its trials, no pictures, no names.

    A new file begins with the contents of hpsearch's newest prior. If the study is already in the
    file, it is replaced.

    \b
    hpsearch prior add mine
    hpsearch launch --study other --set search.prior=prior.npz
    """
    from hpsearch import component_registries as component_registries
    from hpsearch.priors.built import images_in
    from hpsearch.priors.prior_file import learned_from, write
    from hpsearch.results.prior_examples import examples_of

    _require_name(file)
    with database_for_reading(storage) as database:
        record = record_of(database, study)
        own = study_of(record)
        examples = examples_of(record, own, images_in(data, split_seed=own.seed))
    before = _read(file) if file.exists() else _newest_shipped()
    others = [search for search in before.examples if search.name != examples.name]
    prior = learned_from([*others, examples])
    write(prior, file)
    _tell(file, prior, as_json=as_json)


@app.command(cls=Command)
def show(file: FileOption = _OWN, as_json: JsonOption = False) -> None:
    """List what a prior was built from.

    \b
    hpsearch prior show
    """
    _tell(file, _read(file), as_json=as_json)


@app.command(cls=Command)
def remove(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study that was added.")],
    file: FileOption = _OWN,
    as_json: JsonOption = False,
) -> None:
    """Rebuild your prior without a study.

    \b
    hpsearch prior remove mine
    """
    from hpsearch.priors.prior_file import learned_from, write
    from hpsearch.results.prior_examples import name_in_prior

    before = _read(file)
    left = [search for search in before.examples if search.name != name_in_prior(study)]
    if len(left) == len(before.examples):
        prefix = name_in_prior("")
        names = [
            search.name.removeprefix(prefix)
            for search in before.examples
            if search.name.startswith(prefix)
        ]
        raise UnknownName("study of the prior", study, names)
    if not left:
        raise UserError(f"{study!r} is the only study in {file}; delete the file instead")
    prior = learned_from(left)
    write(prior, file)
    _tell(file, prior, as_json=as_json)


def _require_name(file: Path) -> None:
    from hpsearch.study_file.shipped import SUFFIX

    if file.suffix != SUFFIX:
        raise UserError(f"--file must end in {SUFFIX}, but got {file}")


def _read(file: Path) -> Learned:
    from hpsearch.priors.prior_file import read

    return read(file)


def _newest_shipped() -> Learned:
    from hpsearch.study_file.shipped import SHIPPED, file_of

    return _read(file_of(SHIPPED[-1]) or Path())


def _tell(file: Path, prior: Learned, *, as_json: bool) -> None:
    lines = [
        {
            "name": search.name,
            "configurations": len(search.rows),
            "optimizers": list(search.families),
            "sha256": search.sha256,
        }
        for search in prior.examples
    ]
    if as_json:
        print_json({"file": str(file), "studies": lines})
        return
    say(f"{file}: built from {count_noun(len(lines), 'search', 'searches')}", style="bold")
    table(
        ("search", "configurations", "optimizers"),
        [(search.name, len(search.rows), ", ".join(search.families)) for search in prior.examples],
    )

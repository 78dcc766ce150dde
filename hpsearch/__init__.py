"""hpsearch: hyperparameter search for image classifiers.

The floors, top to bottom (imports point down only):

- ``cli``         what people type
- ``dashboard``   optuna-dashboard behind our guard
- ``notebook``    studies in Python: ``hpsearch.open_study``
- ``workers``     processes that pull trials and train them
- ``results``     records, ranking, frozen configs
- ``component_registries``  every registry in one place, plug-ins included
- ``search``      Optuna, the ledger, samplers, pruning rules (no torch)
- ``training``    data, models, the training loop (no Optuna)
- ``study_file``  what the user wrote
- ``metrics``, ``registry``, ``errors``  the ground
"""

import os
import sys


def _leave_current_folder_out() -> None:
    """Stop ``python -m hpsearch`` from importing files of the current folder.

    It may be a stranger's. If hpsearch itself lies there, this is a checkout that isn't installed.
    """
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib would be searched for there
    except OSError:
        return  # it was deleted, and Python left it out
    if sys.path[0] == here and here != os.path.dirname(os.path.dirname(__file__)):  # noqa: PTH120
        del sys.path[0]


# Python says so while it looks for the module to run. It helps only before the next import.
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    _leave_current_folder_out()

from typing import Any  # noqa: E402

__version__ = "0.1.0"

#: What Python code may ask of the package itself, and where it lies. Found when it is asked for:
#: importing hpsearch imports nothing else.
_OFFERED = {
    "open_study": "hpsearch.notebook.opening",
    "Study": "hpsearch.notebook.study",
    "Best": "hpsearch.notebook.best",
}


def __getattr__(name: str) -> Any:
    """Import what is offered here, on demand."""
    if name not in _OFFERED:
        raise AttributeError(f"module 'hpsearch' has no attribute {name!r}")
    import warnings
    from importlib import import_module

    with warnings.catch_warnings():
        # Of tqdm's, which Optuna imports, in a notebook without widgets; nothing here needs them
        warnings.filterwarnings("ignore", message="IProgress not found")
        return getattr(import_module(_OFFERED[name]), name)


def __dir__() -> list[str]:
    """List what is offered, too."""
    return sorted([*globals(), *_OFFERED])

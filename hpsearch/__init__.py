"""hpsearch: hyperparameter search for image classifiers.

The floors, top to bottom (imports point down only; docs/architecture.md shows how):

- ``cli``         the commands
- ``dashboard``   optuna-dashboard with access control
- ``notebook``    studies in Python: ``hpsearch.open_study``
- ``engines``     what keeps a launch's workers alive: this machine, Slurm, Kubernetes, Ray
- ``starter``     the first study file of the user's own pictures
- ``reporting``   what a person reads about a study: analysis, report, status
- ``workers``     processes that claim trials and train them
- ``results``     records, ranking, confirmation, exports
- ``priors``      judge configurations before any trial of the study was trained
- ``component_registries``  every registry in one place, plug-ins included
- ``search``      Optuna, the ledger, samplers, pruning rules (no torch)
- ``training``    data, models, the training loop (no Optuna)
- ``tracking``    copies of the trials' curves in other tools
- ``study_file``  reading and checking study files

What all floors use:

- ``metric_registry``  metrics that are computed from predictions, a plug-in's among them
- ``metrics``     the metrics of an epoch and of a model, and how they are printed
- ``registry``    registries of components, whose keyword arguments are keys of the study file
- ``errors``      the errors that a user sees
- ``exit_codes``  the exit codes of commands and workers
- ``formatting``  counts and long durations in words
- ``foreign_text``      text from outside, cleaned before it is shown
- ``durable_files``     the one way to replace a file: whole or not at all
- ``json_values``       values as JSON stores them
- ``seeds``             seeds that follow from the hash of a text
- ``failpoints``        points at which tests end or stop a process
- ``machine_limits``    errors that mean that memory, processes, files or disk space ran out
- ``output_streams``    stdout and stderr that don't end a long run
- ``leave_signals``     signals after which a process ends cleanly
- ``library_warnings``  warnings of libraries that are hidden
- ``import_path``       the folders that Python modules are imported from
- ``regular_file``      opens untrusted files only if they are regular files
- ``matplotlib_style``  settings of every picture that matplotlib draws
- ``openmp``            threads that sleep while they wait for work
"""

import os
import sys


def _leave_current_folder_out() -> None:
    """Stop ``python -m hpsearch`` from importing files of the current folder.

    The folder may come from someone else. If hpsearch itself is in it, it is a checkout that isn't
    installed.
    """
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib would be searched for there
    except OSError:
        return  # the folder was deleted, so it isn't in the path
    if sys.path[0] == here and here != os.path.dirname(os.path.dirname(__file__)):  # noqa: PTH120
        del sys.path[0]


# With ``-m``, ``sys.argv`` begins so until the module is found. Must come before other imports.
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    _leave_current_folder_out()

from typing import Any  # noqa: E402

__version__ = "0.1.0"

#: Public names of the package and their modules. They are imported on demand: importing hpsearch
#: imports nothing else.
_PUBLIC = {
    "open_study": "hpsearch.notebook.opening",
    "Study": "hpsearch.notebook.study",
    "Best": "hpsearch.notebook.best",
    "Ablation": "hpsearch.notebook.ablation",
    "load_model": "hpsearch.notebook.models",
    "Model": "hpsearch.notebook.models",
    "Evaluation": "hpsearch.notebook.evaluation",
}


def __getattr__(name: str) -> Any:
    """Import a public name on demand."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'hpsearch' has no attribute {name!r}")
    import warnings
    from importlib import import_module

    with warnings.catch_warnings():
        # tqdm, which Optuna imports, warns in a notebook without widgets; hpsearch uses none
        warnings.filterwarnings("ignore", message="IProgress not found")
        return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names as well."""
    return sorted([*globals(), *_PUBLIC])

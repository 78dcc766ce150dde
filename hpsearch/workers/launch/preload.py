"""What every worker process imports; the fork server imports it once for all of them.

torch imports ``torch._dynamo`` when the first optimizer is built, which takes over a second: so it
is imported here. Nothing here may start threads, open the storage or use CUDA: none of these
survives a fork.

Python's garbage collector would run a thousand times during these imports, for a quarter of their
time, and once at the end takes an eighth and finds next to nothing. So it doesn't run, and all
objects are frozen: no worker scans them, and the workers still share their memory.
"""

import gc
from importlib import import_module

MODULES = (
    "optuna",
    "torch._dynamo",
    "hpsearch.component_registries",
    "hpsearch.results.space_report",
    "hpsearch.search.samplers",
    "hpsearch.training.builtin",
    "hpsearch.workers.launch.estimate",
    "hpsearch.workers.worker",
)


def _import_all() -> None:
    for module in MODULES:
        import_module(module)
    from hpsearch.search.database.schema_version import head_revision, optuna_head

    # Alembic runs every migration script to find the last one: once here instead of per worker
    head_revision()
    optuna_head()


gc.disable()
try:
    _import_all()
    gc.freeze()
finally:
    gc.enable()

"""What every worker process imports; the fork server imports it once for all of them.

torch imports ``torch._dynamo`` when the first optimizer is built: over a second, once per process
where it isn't here. Nothing here may start threads, open the storage or touch CUDA: none of these
survives a fork.

Python's search for unreachable cycles would run a thousand times during these imports, and take a
quarter of their time. It runs once, at the end. What is left then stays for good: it is frozen, so
that no worker searches it and the workers go on sharing its memory.
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
    from hpsearch.search.schema_version import head_revision, optuna_head

    # Alembic runs every migration script to find the last: here, and not again in each worker
    head_revision()
    optuna_head()


gc.disable()
try:
    _import_all()
    gc.collect()
    gc.freeze()
finally:
    gc.enable()

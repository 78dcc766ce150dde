"""Every registry in one place: the built-in components, and a study's plug-ins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hpsearch.registry import Registry, load_plugin


def registries(plugins: Iterable[Path] = ()) -> Mapping[str, Registry[Any]]:
    """Return the registry of each section of a study file, with built-ins and ``plugins`` loaded.

    Keys: ``source``, ``augmentation``, ``model``, ``optimizer``, ``lr_schedule``,
    ``regularizer``, ``sampler``, ``pruner``, ``loop``, ``tracker``. It imports torch and
    Optuna (with the components' modules), so call it late.
    """
    import hpsearch.search.pruning.pruners
    import hpsearch.search.samplers
    import hpsearch.tracking.builtin
    import hpsearch.training.builtin
    from hpsearch.training import registries as training
    from hpsearch.training.loops import LOOPS

    for plugin in plugins:
        load_plugin(plugin)
    return {
        "source": training.SOURCES,
        "augmentation": training.AUGMENTATIONS,
        "model": training.MODELS,
        "optimizer": training.OPTIMIZERS,
        "lr_schedule": training.LR_SCHEDULES,
        "regularizer": training.REGULARIZERS,
        "sampler": hpsearch.search.samplers.SAMPLERS,
        "pruner": hpsearch.search.pruning.pruners.PRUNERS,
        "loop": LOOPS,
        "tracker": hpsearch.tracking.tracker.TRACKERS,
    }

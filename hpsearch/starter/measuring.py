"""The time of an epoch of each network in each input size, measured on this machine.

As many processes as there will be workers train side by side for a moment, as before a launch
(``workers.launch.probe``).
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from hpsearch.errors import InfeasibleConfig
from hpsearch.search.samplers.enumerated import at_unit
from hpsearch.starter.fitting import Cost
from hpsearch.study_file.loading import StudyDict
from hpsearch.workers.launch.allocation import allocate_workers
from hpsearch.workers.launch.isolation import run_isolated
from hpsearch.workers.launch.probe import Probe, timings_of


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Configurations to be timed, and the workers that will train them."""

    #: (input size, network) of each.
    names: tuple[tuple[int | None, str], ...]
    probe: Probe
    #: Whether workers train on this machine's cores.
    on_cpu: bool


def measure(
    study: StudyDict,
    sizes: Sequence[int | None],
    *,
    images: int,
    limit: int | None,
    workers: int,
    data: Path | None = None,
) -> dict[tuple[int | None, str], Cost]:
    """Time every network of a study in some input sizes.

    Args:
        study: The study, with all networks.
        sizes: Edges in pixels; ``None``: the pictures' own.
        images: Training images of the whole data, before the split.
        limit: How many of them are decoded and timed; ``None``: all.
        workers: Workers of the launch.
        data: The data root; ``None``: the default one.

    Returns:
        (input size, network) -> its cost, without networks that can't be trained.

    Raises:
        UserError: The pictures or the study can't be used.
    """
    sample = run_isolated(candidates, study, tuple(sizes), limit, workers, data)
    by_worker = timings_of(sample.probe, workers=workers, on_cpu=sample.on_cpu)
    scale = 1.0 if limit is None else images / limit
    costs = {}
    for place, name in enumerate(sample.names):
        own = [timings[place] for timings in by_worker if place < len(timings)]
        candidate_timings = [timing for timing in own if timing is not None]
        if candidate_timings:
            costs[name] = Cost(
                setup=min(timing.setup for timing in candidate_timings),
                epoch=scale * fmean(timing.average_epoch for timing in candidate_timings),
            )
    return costs


def candidates(
    study: StudyDict,
    sizes: Sequence[int | None],
    limit: int | None,
    workers: int,
    data: Path | None,
) -> Candidates:
    """Build each network in each size; call it through ``run_isolated``, since it needs torch.

    Args:
        study: The study.
        sizes: Edges in pixels.
        limit: How many training images are decoded; ``None``: all.
        workers: Workers of the launch.
        data: The data root.
    """
    from hpsearch.component_registries import registries
    from hpsearch.study_file.loading import load_study_dict
    from hpsearch.workers.trial.build_plan import plan_build

    overrides = [] if limit is None else [f"data.limit={limit}"]
    loaded = load_study_dict(study, registries, overrides=overrides)
    allocation = allocate_workers("auto", workers, None)
    names, plans = [], []
    model = loaded.space.parameters()["model"]
    for size in sizes:
        for name in model.labels:  # type: ignore[union-attr]
            draw = loaded.space.draw(
                lambda path, parameter, name=name: (  # type: ignore[misc]
                    name if path == "model" else at_unit(parameter, 0.5)
                )
            )
            config = loaded.trial_config(draw.params, ticket=1)
            config = replace(config, data=replace(config.data, input_size=size))
            try:
                plan = plan_build(
                    config,
                    device=allocation.devices[0],
                    threads=allocation.threads,
                    exact_threads=False,
                    data=data,
                )
            except InfeasibleConfig:
                continue
            names.append((size, str(name)))
            plans.append(plan)
    return Candidates(
        names=tuple(names),
        probe=Probe(build_plans=pickle.dumps(plans), plugins=(), data=data),
        on_cpu=allocation.on_cpu,
    )

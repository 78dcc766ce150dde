"""What is trained: on which images, with which seed, for how many epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpsearch.errors import DataError, InfeasibleConfig, UserError
from hpsearch.metrics import EpochMetrics
from hpsearch.seeds import hashed_seed
from hpsearch.study_file.goals import Objective
from hpsearch.study_file.portable import missing_paths
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.classifier import TrainedOn
from hpsearch.workers.devices import cores, resolve_devices
from hpsearch.workers.gpu import open_device
from hpsearch.workers.trial.build_plan import BuildPlan, LoopBuildPlan, plan_build
from hpsearch.workers.trial.training_session import TrainingSession


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One training of a frozen config."""

    study: StudyFile
    #: The frozen config; ``build_plan.config`` may train on more images or with another seed.
    config: TrialConfig
    build_plan: BuildPlan
    trained_on: TrainedOn
    #: 1 is the recorded seed.
    nth_seed: int
    #: Training ends after this epoch.
    epochs: int
    data: Path | None

    @property
    def objective(self) -> Objective:
        """The metric that decides which epoch's weights are kept.

        If validation images are trained on as well, no epoch is known to be the best.
        """
        objective = self.study.objective
        return objective if self.trained_on == "train" else replace(objective, at="last")


def plan_single(
    study: StudyFile,
    *,
    device: str | None,
    threads: int | None,
    data: Path | None,
    trained_on: TrainedOn = "train",
    nth_seed: int = 1,
) -> Assignment:
    """Return how a frozen config will be trained: as before, except for what the arguments change.

    Args:
        study: A study file without ranges.
        device: The device, such as ``cpu`` or ``cuda:0``; ``None``: the recorded one, since it
            changes the last digits of a result, or ``auto``.
        threads: The number of threads; ``None``: the recorded one, for the same reason, or all
            cores.
        data: The data root; ``None``: the default one.
        trained_on: The images. ``train+validation`` leaves none for early stopping, so training
            ends at the epoch of the recorded value.
        nth_seed: The number of the training seed; 1 is the recorded one.

    Raises:
        UserError: The config has ranges or can't be built, the number of threads is no number from
            1, or the device or the data isn't here.
    """
    _require_frozen(study)
    require_paths(study)
    provenance = study.provenance or {}
    device = _open_device(device, provenance)
    thread_setting = provenance.get("threads") if threads is None else threads
    count = cores() if thread_setting is None else thread_setting
    if not isinstance(count, int) or count < 1:
        raise UserError(f"the number of threads must be a whole number from 1, but got {count!r}")
    config = study.trial_config({}, ticket=1)
    training_config = replace(config, seed=seed_number(config.seed, nth_seed))
    epochs = config.epochs
    if trained_on == "train+validation":
        # Nothing is left to validate on, so folds and splits are replaced by one final model
        whole = replace(training_config.data, train_on_validation=True, folds=None, splits=None)
        training_config = replace(training_config, data=whole, early_stopping=None)
        epochs = min(epochs, _epochs_of_the_value(study.objective, provenance) or epochs)
    try:
        build_plan = plan_build(
            training_config,
            device=device,
            threads=count,
            exact_threads=thread_setting is not None,
            data=data,
        )
    except InfeasibleConfig as error:
        raise UserError(f"{study.name!r} can't be built: {error}") from error
    return Assignment(
        study=study,
        config=config,
        build_plan=build_plan,
        trained_on=trained_on,
        nth_seed=nth_seed,
        epochs=epochs,
        data=data,
    )


def train_loop(
    study: StudyFile, *, device: str | None, threads: int | None, data: Path | None
) -> Iterator[EpochMetrics]:
    """Train a frozen config with its own training loop, with the recorded seed.

    Args:
        study: A study file without ranges that has a loop.
        device: The device; ``None``: the recorded one, or ``auto``.
        threads: The number of threads; ``None``: the recorded one, or all cores.
        data: The data root; ``None``: the default one.

    Raises:
        UserError: The config has ranges, or the device isn't here.
    """
    _require_frozen(study)
    provenance = study.provenance or {}
    device = _open_device(device, provenance)
    build_plan = LoopBuildPlan(
        config=study.loop_config({}, ticket=1),
        device=device,
        threads=threads or provenance.get("threads") or cores(),
    )
    for end in TrainingSession(build_plan, study.objective, data=data).epochs():
        yield end.metrics


def require_paths(study: StudyFile) -> None:
    """Check that the paths of a frozen config's data source exist.

    Raises:
        DataError: A path is missing; the message shows how to set another one, since the config may
            come from another machine.
    """
    missing = missing_paths(study.document)
    if missing:
        places = ", ".join(f"{key} is {path}" for key, path in missing.items())
        options = " ".join(f"--set {key}=PATH" for key in missing)
        raise DataError(
            f"the images of {study.name!r} must be at the paths in its file, but there is nothing: "
            f"{places}; give their paths on this machine with {options}, or in the file"
        )


def seed_number(seed: int, nth: int) -> int:
    """Return the ``nth`` training seed (0..2**31-1) of a frozen config; the first is recorded."""
    return seed if nth == 1 else hashed_seed(seed, "train", nth)


def _open_device(device: str | None, provenance: Mapping[str, Any]) -> str:
    """Open the device, or the recorded one if it is ``None``; return its name."""
    option = device or str(provenance.get("device", "auto")).partition(" ")[0]
    name = resolve_devices(option)[0]
    open_device(name)
    return name


def _require_frozen(study: StudyFile) -> None:
    if not study.is_frozen:
        parameters = ", ".join(study.space.parameters())
        raise UserError(
            f"only a config without ranges can be trained, but {study.name!r} searches "
            f"{parameters}; run `hpsearch launch` and `hpsearch export` first"
        )


def _epochs_of_the_value(objective: Objective, provenance: Mapping[str, Any]) -> int | None:
    figures = provenance.get("figures")
    metrics = figures.get(objective.at) if isinstance(figures, Mapping) else None
    epoch = metrics.get("epoch") if isinstance(metrics, Mapping) else None
    return epoch if isinstance(epoch, int) and epoch >= 1 else None

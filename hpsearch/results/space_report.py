"""A study's space, examined before anything runs: its size, its models, its infeasible draws.

Models are built on PyTorch's meta device for the smallest and the largest corner of every branch,
for ``try_first``, and for seeded random draws. One size of the images is prepared per data source;
the other sizes follow from it.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from hpsearch.errors import InfeasibleConfig, UserError, WeightsUnavailable
from hpsearch.metrics import STATIC_COSTS
from hpsearch.priors.making import prior_of
from hpsearch.priors.rule import RulePrior
from hpsearch.search.pruning.forecast import expected_complete
from hpsearch.search.pruning.pruners import PRUNERS
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.samplers.enumerated import at_unit, grid_size
from hpsearch.search.starts import StartsAtRandom
from hpsearch.study_file.space import Choice, Draw, Parameter, Range, Scalar
from hpsearch.study_file.study import StudyFile
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training.data.copies import copies_across
from hpsearch.training.data.data_warnings import data_notes, data_warnings, images_per_class
from hpsearch.training.data.prepare import PreparedData, prepare, require_room_for
from hpsearch.training.models.inspection import ModelSummary
from hpsearch.training.plan import plan_on

#: Random draws that are built in addition to corners and ``try_first``.
RANDOM_DRAWS = 100

#: Just below the end of the unit interval: the largest value of every parameter.
_LARGEST = 1.0 - 2.0**-40


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """One model's range over the draws that can be built."""

    name: str
    smallest_parameters: int
    largest_parameters: int
    largest_multiply_adds: int
    #: Estimate of the activations' memory in a training step, at the draw's batch size.
    largest_activation_bytes: int
    #: Height and width in pixels of the last convolution's receptive field, smallest and largest;
    #: ``None`` without convolutions.
    receptive_fields: tuple[tuple[int, int], tuple[int, int]] | None
    #: The layers of the first draw that can be built (``try_first`` before corners).
    example: ModelSummary


@dataclass(frozen=True, kw_only=True)
class ImpossibleModel:
    """A model of which no configuration that was tried can be built."""

    name: str
    tried: int
    #: Why the first one can't be built.
    reason: str
    #: Height and width in pixels of the first one's images.
    input_size: tuple[int, int]
    #: Edge of the smallest square image for which the first one can be built; ``None`` if larger
    #: images don't help.
    needed_size: int | None

    def __str__(self) -> str:
        height, width = self.input_size
        needed = ""
        if self.needed_size is not None:
            needed = (
                f": it needs images of {self.needed_size} x {self.needed_size} pixels or more, but "
                f"gets {height} x {width} (data.input_size: {self.needed_size} scales them up)"
            )
        return (
            f"no configuration of model {self.name} can be built ({self.tried} tried){needed}. "
            f"{self.reason}"
        )


@dataclass(frozen=True, kw_only=True)
class Infeasible:
    """A combination that can't be trained: it can't be built, or breaks a constraint."""

    #: Index of its ``try_first`` entry; ``None`` for a draw.
    try_first: int | None
    #: The parameters that data and model depend on.
    params: Mapping[str, Scalar]
    #: Why it is infeasible.
    reason: str
    #: Whether it could be built, but its pretrained weights can't be downloaded here.
    unavailable: bool = False


@dataclass(frozen=True, kw_only=True)
class SourceReport:
    """The images of one data source, as the study splits them."""

    name: str
    classes: int
    #: Training images of the largest training, and all validation images of a trial.
    train_images: int
    val_images: int
    input_shapes: tuple[tuple[int, int, int], ...]
    #: Number of folds, or of repeated random splits; ``None`` without them.
    folds: int | None = None
    splits: int | None = None
    #: Number of validation images that equal a training image pixel by pixel.
    copies: int = 0
    #: Number of groups of the validation images; ``None`` if the source has no groups.
    val_groups: int | None = None
    #: Class name -> number of training and validation images.
    images_per_class: Mapping[str, int]
    #: What was found in the files and not given, such as the names of columns.
    notes: tuple[str, ...] = ()
    #: Other reasons why the metrics may mislead.
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PriorReport:
    """What the study's prior can judge."""

    name: str
    #: Whether the sampler ever draws at random, since only then the prior chooses.
    is_used: bool
    #: Number of feasible draws that it can judge, and of all feasible draws.
    known: int
    judged: int
    #: Parts that it can't judge, and parts that it judges only by rule: ``optimizer adagrad``.
    unknown: tuple[str, ...] = ()
    by_rule_alone: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SpaceReport:
    """The content of ``hpsearch check``."""

    #: Number of distinct configurations; ``None`` if a parameter is continuous.
    points: int | None
    parameters: Mapping[str, Parameter]
    sources: tuple[SourceReport, ...]
    models: tuple[ModelSizes, ...]
    #: Number of distinct draws that were tried, and those of them that can't be built.
    tried: int
    infeasible: tuple[Infeasible, ...]
    #: Those that can be built, but break a constraint that is known before training.
    violating: tuple[Infeasible, ...] = ()
    #: Estimated number of the budget's trials that reach their last epoch.
    expected_complete: int = 0
    #: Models without any feasible draw.
    impossible: tuple[ImpossibleModel, ...] = ()
    #: ``None`` without a prior.
    prior: PriorReport | None = None

    @property
    def feasible(self) -> int:
        """Number of the tried draws that may be trained."""
        return self.tried - len(self.infeasible) - len(self.violating)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings that forbid nothing: reasons why the study's metrics may mislead."""
        copies = tuple(
            f"{source.copies:,} of the {source.val_images:,} validation images of data source "
            f"{source.name} are also training images, pixel for pixel at "
            f"{'x'.join(map(str, source.input_shapes[0][1:]))}: accuracy on them measures memory. "
            "Remove the copies, or keep them on one side of the split (a source's `group`, "
            "docs/data.md)"
            for source in self.sources
            if source.copies
        )
        of_data = (warning for source in self.sources for warning in source.warnings)
        return (*map(str, self.impossible), *copies, *of_data)


def inspect_space(study: StudyFile, *, data: Path | None = None) -> SpaceReport:
    """Check sampler, data and models of ``study``.

    Raises:
        UserError: If the sampler can't search this space, or the data isn't there.
    """
    sampler = SAMPLERS.build(study.sampler)
    sampler.check(study.space)
    if study.has_loop:
        return _of_loop(study)
    prior = prior_of(study, data=data)
    opinions = _Opinions()
    parameters = study.space.parameters()
    draws = list(_draws(study))
    configs = [study.trial_config(draw.params, ticket=1) for _, draw in draws]
    prepared = _prepare_sources(configs, data)
    _require_room(configs, prepared, data)
    keys: set[str] = set()
    infeasible: list[Infeasible] = []
    violating: list[Infeasible] = []
    sizes: dict[str, list[tuple[int, ModelSummary]]] = {}
    shapes: dict[str, set[tuple[int, int, int]]] = {}
    unbuilt: dict[str, list[tuple[TrialConfig, PreparedData, str]]] = {}
    for (first_trial, draw), config in zip(draws, configs, strict=True):
        key = f"{first_trial}{config}"
        if key in keys:
            continue
        keys.add(key)
        images = _resize(prepared[_source_key(config.data)], config.data)
        shapes.setdefault(_source_key(config.data), set()).add(images.input_shape)
        try:
            plan = plan_on(config, images, torch.device("cpu"))
        except InfeasibleConfig as error:
            combination = _infeasible(first_trial, draw.params, str(error))
            unavailable = isinstance(error, WeightsUnavailable)
            infeasible.append(replace(combination, unavailable=unavailable))
            unbuilt.setdefault(config.model.name, []).append((config, images, str(error)))
            continue
        if prior is not None:
            opinions.ask(prior, config)
        broken = study.goals.violated({name: getattr(plan.model, name) for name in STATIC_COSTS})
        if broken:
            violating.append(_infeasible(first_trial, draw.params, "; ".join(broken)))
        sizes.setdefault(config.model.name, []).append((config.batch_size, plan.model))
    return SpaceReport(
        points=_points(parameters.values(), study),
        parameters=parameters,
        sources=tuple(_source(config, prepared, shapes) for config in _distinct(configs)),
        models=tuple(_sizes(name, entries) for name, entries in sizes.items()),
        tried=len(keys),
        infeasible=tuple(infeasible),
        violating=tuple(violating),
        expected_complete=expected_complete(
            PRUNERS.build(study.pruner), study.budget.trials, study.budget.epochs_per_trial
        ),
        impossible=tuple(
            _impossible(name, attempts) for name, attempts in unbuilt.items() if name not in sizes
        ),
        prior=None
        if prior is None
        else opinions.report(prior.name, is_used=isinstance(sampler, StartsAtRandom)),
    )


def _of_loop(study: StudyFile) -> SpaceReport:
    """Return the report on a study whose own loop loads data and builds models."""
    parameters = study.space.parameters()
    return SpaceReport(
        points=_points(parameters.values(), study),
        parameters=parameters,
        sources=(),
        models=(),
        tried=0,
        infeasible=(),
        expected_complete=expected_complete(
            PRUNERS.build(study.pruner), study.budget.trials, study.budget.epochs_per_trial
        ),
    )


class _Opinions:
    """What a prior can judge of the draws."""

    def __init__(self) -> None:
        self._known = self._judged = 0
        #: In the order in which they are found.
        self._unknown: dict[str, None] = {}
        self._by_rule_alone: dict[str, None] = {}

    def ask(self, prior: RulePrior, config: TrialConfig) -> None:
        try:
            unknown, by_rule_alone = prior.unknown_in(config), prior.judged_by_rule_alone(config)
        except InfeasibleConfig:
            return
        self._judged += 1
        self._known += not unknown
        self._unknown.update(dict.fromkeys(unknown))
        self._by_rule_alone.update(dict.fromkeys(by_rule_alone))

    def report(self, name: str, *, is_used: bool) -> PriorReport:
        return PriorReport(
            name=name,
            is_used=is_used,
            known=self._known,
            judged=self._judged,
            unknown=tuple(self._unknown),
            by_rule_alone=tuple(self._by_rule_alone),
        )


def require_feasible(study: StudyFile, report: SpaceReport) -> None:
    """Check that a study, and everything in its ``try_first``, can be trained.

    Raises:
        UserError: If a ``try_first`` entry can't be built or breaks a constraint, or no draw is
            feasible.
    """
    if study.has_loop:
        return
    for combination in report.infeasible:
        if combination.try_first is not None and not combination.unavailable:
            raise UserError(
                f"study {study.name!r}: try_first[{combination.try_first}] must be a configuration "
                f"that can be built, but {combination.reason}"
            )
    for combination in report.violating:
        if combination.try_first is not None:
            raise UserError(
                f"study {study.name!r}: try_first[{combination.try_first}] must satisfy the "
                f"study's constraints, but {combination.reason}"
            )
    if report.feasible == 0 and report.violating:
        raise UserError(
            f"study {study.name!r}: at least one configuration must satisfy the constraints, but "
            f"none of the {report.tried} tried ones does: {report.violating[0].reason}"
        )
    if report.feasible == 0 and report.impossible:
        reasons = "; ".join(map(str, report.impossible))
        raise UserError(
            f"study {study.name!r}: it must be possible to build at least one configuration, but "
            f"{reasons}"
        )
    if report.feasible == 0:
        example = report.infeasible[0]
        raise UserError(
            f"study {study.name!r}: it must be possible to build at least one configuration, but "
            f"none of the {report.tried} tried ones can be built: {example.reason}"
        )


def _draws(study: StudyFile) -> Iterator[tuple[int | None, Draw]]:
    """Yield (try_first entry or None, draw)."""
    rng = random.Random(study.seed)
    for index, settings in enumerate(study.try_first):
        yield index, _draw(study, settings, lambda: 0.0)
    for model in _models(study):
        for unit in (0.0, _LARGEST):
            yield None, _draw(study, model, lambda unit=unit: unit)
        for _ in range(RANDOM_DRAWS // len(_models(study))):
            yield None, _draw(study, model, rng.random)


def _draw(study: StudyFile, settings: Mapping[str, Scalar], unit: Any) -> Draw:
    return study.space.draw(
        lambda path, parameter: settings[path] if path in settings else at_unit(parameter, unit())
    )


def _models(study: StudyFile) -> list[dict[str, Scalar]]:
    """Return the parameters that fix the model, once for each model in the study."""
    branch = study.space.parameters().get("model")
    return [{"model": name} for name in branch.labels] if isinstance(branch, Choice) else [{}]


def _prepare_sources(configs: Iterable[TrialConfig], data: Path | None) -> dict[str, PreparedData]:
    """Prepare each source once, in the smallest size of the draws."""
    smallest: dict[str, TrialConfig] = {}
    for config in configs:
        key = _source_key(config.data)
        smallest_so_far = smallest.get(key)
        if smallest_so_far is None or (config.data.input_size or 0) < (
            smallest_so_far.data.input_size or 0
        ):
            smallest[key] = config
    return {
        key: prepare(config.data, split_seed=config.split_seed, root=data)
        for key, config in smallest.items()
    }


def _require_room(
    configs: Iterable[TrialConfig], prepared: Mapping[str, PreparedData], data: Path | None
) -> None:
    """Check the space for a source's images in their largest size.

    Raises:
        DataError: If there isn't enough.
    """
    largest: dict[str, TrialConfig] = {}
    for config in configs:
        largest_so_far = largest.setdefault(_source_key(config.data), config)
        if (config.data.input_size or 0) > (largest_so_far.data.input_size or 0):
            largest[_source_key(config.data)] = config
    for key, config in largest.items():
        require_room_for(config.data, prepared[key], split_seed=config.split_seed, root=data)


def _source_key(config: DataConfig) -> str:
    """Return everything that the images depend on, except their size.

    Of the size, it only contains whether one is set.
    """
    size = None if config.input_size is None else 1
    return repr(replace(config, input_size=size, augmentation=()))


def _resize(prepared: PreparedData, config: DataConfig) -> PreparedData:
    if config.input_size is None:
        return prepared
    shape = (prepared.input_shape[0], config.input_size, config.input_size)
    return replace(prepared, input_shape=shape)


def _distinct(configs: Iterable[TrialConfig]) -> list[DataConfig]:
    return list({_source_key(config.data): config.data for config in configs}.values())


def _source(
    config: DataConfig,
    prepared: Mapping[str, PreparedData],
    shapes: Mapping[str, set[tuple[int, int, int]]],
) -> SourceReport:
    key = _source_key(config)
    images = prepared[key]
    trainings = images.rounds or (images,)
    return SourceReport(
        name=config.source.name,
        classes=len(images.class_names),
        train_images=max(len(training.train_indices) for training in trainings),
        val_images=len(images.val_indices),
        input_shapes=tuple(sorted(shapes[key])),
        folds=config.folds,
        splits=config.splits,
        copies=0 if config.train_on_validation else copies_across(images),
        val_groups=images.val_groups,
        images_per_class=dict(zip(images.class_names, images_per_class(images), strict=True)),
        notes=data_notes(config.source.name, images),
        warnings=data_warnings(config.source.name, images),
    )


def _sizes(name: str, entries: Sequence[tuple[int, ModelSummary]]) -> ModelSizes:
    summaries = [summary for _, summary in entries]
    fields = [
        summary.receptive_field for summary in summaries if summary.receptive_field is not None
    ]
    return ModelSizes(
        name=name,
        smallest_parameters=min(summary.parameters for summary in summaries),
        largest_parameters=max(summary.parameters for summary in summaries),
        largest_multiply_adds=max(summary.multiply_adds for summary in summaries),
        largest_activation_bytes=max(summary.activation_bytes(batch) for batch, summary in entries),
        receptive_fields=(min(fields), max(fields)) if fields else None,
        example=summaries[0],
    )


#: The largest edge in pixels that is tried to find a model's smallest image.
_LARGEST_EDGE = 512


def _impossible(
    name: str, attempts: Sequence[tuple[TrialConfig, PreparedData, str]]
) -> ImpossibleModel:
    config, images, reason = attempts[0]
    channels, height, width = images.input_shape

    def builds(edge: int) -> bool:
        larger = replace(images, input_shape=(channels, edge, edge))
        try:
            plan_on(config, larger, torch.device("cpu"))
        except InfeasibleConfig:
            return False
        return True

    edges = range(min(height, width) + 1, _LARGEST_EDGE + 1)
    # If the largest size works and its own doesn't, the smallest one is between them
    needed = bisect_left(edges, True, key=builds) if edges and builds(edges[-1]) else None
    return ImpossibleModel(
        name=name,
        tried=len(attempts),
        reason=reason,
        input_size=(height, width),
        needed_size=None if needed is None else edges[needed],
    )


def _infeasible(first_trial: int | None, params: Mapping[str, Scalar], reason: str) -> Infeasible:
    deciding = {
        path: value for path, value in params.items() if path.split(".")[0] in ("data", "model")
    }
    return Infeasible(try_first=first_trial, params=deciding, reason=reason)


def _points(parameters: Iterable[Parameter], study: StudyFile) -> int | None:
    endless = any(
        isinstance(parameter, Range) and not parameter.integer and parameter.step is None
        for parameter in parameters
    )
    return None if endless else grid_size(study.space)

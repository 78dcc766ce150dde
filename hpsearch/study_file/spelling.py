"""Suggestions for unknown names in a study file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from hpsearch.errors import UnknownName, bare_name
from hpsearch.study_file.diagnostics import Diagnostics, SourceLocation
from hpsearch.study_file.schema import ComponentChoice, Schema, Section
from hpsearch.study_file.space import join
from hpsearch.study_file.syntax import MapNode, ScalarNode, YamlNode

#: The names of training parameters in other tools and papers, as ``bare_name`` writes them -> ours.
PARAMETERS = {
    "learningrate": "lr",
    "batch": "batch_size",
    "batchsize": "batch_size",
    "bs": "batch_size",
    "wd": "weight_decay",
    "mom": "momentum",
}

#: The names of study file keys in other tools -> ours.
SYNONYMS = {
    **PARAMETERS,
    "architecture": "model",
    "arch": "model",
    "network": "model",
    "net": "model",
    "optim": "optimizer",
    "scheduler": "lr_schedule",
    "lrscheduler": "lr_schedule",
    "initlr": "lr",
    "l2": "weight_decay",
    "name": "study",
    "studyname": "study",
    "randomseed": "seed",
    "epochs": "epochs_per_trial",
    "numepochs": "epochs_per_trial",
    "nepochs": "epochs_per_trial",
    "maxepochs": "epochs_per_trial",
    "ntrials": "trials",
    "numtrials": "trials",
    "maxtrials": "trials",
    "timeout": "time",
    "dataset": "source",
    "imagesize": "input_size",
    "imgsize": "input_size",
    "resolution": "input_size",
    "valsplit": "validation",
    "validationsplit": "validation",
    "valfraction": "validation",
    "valsize": "validation",
    "cv": "folds",
    "kfold": "folds",
    "kfolds": "folds",
    "nfolds": "folds",
    "nsplits": "splits",
    "augmentations": "augmentation",
    "transforms": "augmentation",
    "earlystop": "early_stopping",
    "earlystopper": "early_stopping",
    "mixedprecision": "precision",
    "dtype": "precision",
    "ema": "evaluate",
    "averaging": "evaluate",
    "pruning": "pruner",
    "loggers": "trackers",
    "logger": "trackers",
    "kernel": "kernel_size",
    "filters": "channels",
    "outchannels": "channels",
    "units": "hidden",
    "hiddenunits": "hidden",
    "hiddensizes": "hidden",
    "hiddendims": "hidden",
    "hiddenlayers": "hidden",
    "dropoutrate": "dropout",
    "low": "min",
    "lower": "min",
    "high": "max",
    "upper": "max",
    "choices": "values",
    "options": "values",
    "folder": "path",
    "dir": "path",
    "root": "path",
}

#: Families of torchvision's classifiers, which the model ``torchvision`` takes by name.
_TORCHVISION = re.compile(
    "(alexnet|convnext|densenet|efficientnet|googlenet|inception|maxvit|mnasnet|mobilenet|regnet|"
    "resnet|resnext|shufflenet|squeezenet|swin|vgg|vit|wide_resnet)[a-z0-9_]*"
)

#: Most levels of a schema that are searched, and most places that a message names.
_DEEPEST, _NAMED = 8, 3


def unknown_name(
    kind: str, name: str, choices: Iterable[str], diagnostics: Diagnostics
) -> UnknownName:
    """Return the error about a name that is none of ``choices``, with a suggestion.

    Args:
        kind: The kind of thing that the name means: ``key``, ``optimizer``.
        name: The name as it was written.
        choices: The valid names at its place.
        diagnostics: Finds the places of a key elsewhere in the study file.

    Returns:
        The error; it suggests a valid name, or the place where the key belongs.
    """
    names = tuple(choices)
    synonym = SYNONYMS.get(bare_name(name), name)
    if synonym in names:
        return UnknownName(kind, name, names, guess=repr(synonym))
    model = name.lower().replace("-", "_")
    is_known = bare_name(name) in map(bare_name, names)
    if (
        kind == "model"
        and "torchvision" in names
        and not is_known
        and _TORCHVISION.fullmatch(model)
    ):
        return UnknownName(kind, name, names, guess=f"{{torchvision: {{name: {model}}}}}")
    places = diagnostics.places_of(synonym) if kind == "key" else []
    if places:
        paths = (path if "." in path else f"{path} (at the top level)" for path in places[:_NAMED])
        return UnknownName(kind, name, names, guess=" or ".join(paths))
    return UnknownName(kind, name, names)


def report_unknown(
    location: SourceLocation,
    key: str,
    kind: str,
    name: str,
    choices: Iterable[str],
    diagnostics: Diagnostics,
) -> None:
    """Report a name that is none of ``choices``.

    The suggestion takes a while, so it is only made if the message is shown.

    Args:
        location: Where the name was written.
        key: The dotted key that the problem is reported for.
        kind: As for ``unknown_name``.
        name: As for ``unknown_name``.
        choices: As for ``unknown_name``.
        diagnostics: Receives the problem, and finds the places of a key.
    """
    diagnostics.add(location, key, lambda: str(unknown_name(kind, name, choices, diagnostics)))


class KeyFinder:
    """Finds the places of a key in a study file."""

    def __init__(self, schema: Section, root: YamlNode) -> None:
        self._schema = schema
        self._root = root
        self._paths: dict[str, list[str]] | None = None

    def __call__(self, key: str) -> list[str]:
        """Return the paths that end in ``key`` and share the most parts with the file."""
        if self._paths is None:
            self._paths = {}
            for path in _paths(self._schema, "", 0):
                self._paths.setdefault(path.rpartition(".")[2], []).append(path)
        paths = self._paths.get(key, [])
        depth = {path: self._written(path) for path in paths}
        deepest = max(depth.values(), default=0)
        return [path for path in paths if depth[path] == deepest]

    def _written(self, path: str) -> int:
        """Return how many parts of a path the file has."""
        node, parts = self._root, 0
        for part in path.split("."):
            if isinstance(node, ScalarNode):  # mlp is short for {mlp: null}
                return parts + (bare_name(str(node.value)) == bare_name(part))
            # Compared without case and punctuation, as this name may be misspelled too
            entries = node.entries if isinstance(node, MapNode) else {}
            inside = [entries[name] for name in entries if bare_name(name) == bare_name(part)]
            if not inside:
                return parts
            node, parts = inside[0], parts + 1
        return parts


def _paths(schema: Schema, path: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(schema, Section):
        for name in schema.suggested:
            yield join(path, name)
            yield from _paths(schema.keys[name], join(path, name), depth + 1)
    elif isinstance(schema, ComponentChoice):
        for name in schema.registry.names():
            yield from _paths(schema.option(name), join(path, name), depth + 1)

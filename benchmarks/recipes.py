"""What training tricks and recipes add to the accuracy, in equal epochs and in equal CPU seconds.

    python -m benchmarks.recipes --emoji FOLDER --work FOLDER --keep recipes.jsonl

A comparison has a reference and trainings that differ from it. A seed draws the split, the weights
and the order, the same for all of them, so differences are in pairs.

- Of the tricks, each changes one thing of the same baseline: ``airbench`` without whitening, SGD
  with Nesterov momentum, a cosine.
- Recipes are compared with studies that nobody has tuned (``UNTUNED``), also in longer trainings
  and from pretrained weights.

The learning rates of the baseline, of the other optimizers and of the recipes were chosen before,
on seeds that aren't measured (``--rates``).

CPU seconds are those of the process, which has one thread. If the machine does much else, the same
epoch takes about twice as many, so measure on one that does little. A training whose epoch costs
more than the reference's is repeated with as many epochs as fit into the reference's seconds, so
that its schedule ends there.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy import stats

import hpsearch.training.builtin  # noqa: F401 - fills the registries
from hpsearch.registry import Component
from hpsearch.study_file.sections import RECIPES
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training.batches import ImageStore
from hpsearch.training.data.prepare import prepare
from hpsearch.training.engine import train
from hpsearch.training.evaluate import evaluate
from hpsearch.training.registries import MODELS

#: Chosen with ``--rates``.
SGD_LR, ADAMW_LR, MUON_LR, REST_LR = 0.3, 0.03, 0.1, 0.01
FINETUNE_LR = 0.05

#: The seed of ``--rates``; those that are measured begin at 0.
RATES_SEED = 100
_PRETRAINING_SEED = 1000

BASELINE = "baseline"
#: A training gets more epochs than the reference if its epoch costs less than this, in units of the
#: reference's.
_CHEAP = 0.8
#: Not a training of its own: the same models, evaluated on mirrored images, too.
MIRROR = "mirrored"


@dataclass(frozen=True)
class Comparison:
    """Trainings on the same images."""

    data: DataConfig
    epochs: int
    #: What each training changes in the baseline, by its name; the first is the reference.
    changes: Mapping[str, Mapping[str, Any]]

    @property
    def reference(self) -> str:
        """The name of the training that the others are compared with."""
        return next(iter(self.changes))


def fashion(training: int, validation: int) -> DataConfig:
    """Return a part of Fashion-MNIST with these numbers of images."""
    source, limit = Component("fashion_mnist"), training + validation
    return DataConfig(source=source, limit=limit, validation=validation)


def pictures(folder: Path) -> DataConfig:
    """Return a folder of pictures, of which a quarter validates.

    Drawings of one code point (the end of a file's name) stay together.
    """
    settings = {"path": str(folder.resolve()), "group": "_([0-9a-f-]+)[.]"}
    return DataConfig(source=Component("image_folder", settings), validation=0.25, input_size=32)


def comparisons(emoji: Path | None, work: Path | None) -> dict[str, Comparison]:
    """Return what is compared.

    Args:
        emoji: A folder of pictures; ``None``: only Fashion-MNIST is used.
        work: The folder of the pretrained weights; ``None``: nothing is fine-tuned.
    """
    parts = {"fashion": Comparison(fashion(4000, 2000), 6, TRICKS)}
    if emoji is not None:
        parts["emoji"] = Comparison(pictures(emoji), 10, TRICKS)
    parts["fashion, longer"] = Comparison(fashion(1000, 1000), 20, LONGER)
    if emoji is not None:
        parts["emoji, longer"] = Comparison(pictures(emoji), 20, LONGER)
    if work is not None:
        weights, halves = pretrained(work)
        data = DataConfig(source=_arrays(halves), limit=1300, validation=1000, input_size=_EDGE)
        changes = finetuning(weights)
        parts["fashion, fine-tuned"] = Comparison(data, 10, changes)
        if emoji is not None:
            parts["emoji, fine-tuned"] = Comparison(pictures(emoji), 10, changes)
    return parts


def baseline(part: Comparison, seed: int) -> TrialConfig:
    """Return the training that every trick changes."""
    return TrialConfig(
        data=part.data,
        model=Component("airbench", {"width": 8, "whiten": False}),
        optimizer=Component("sgd", {"lr": SGD_LR, "momentum": 0.9, "nesterov": True}),
        lr_schedule=Component("cosine"),
        batch_size=64,
        epochs=part.epochs,
        precision="fp32",
        split_seed=seed,
        seed=seed,
    )


def _schedule(name: str, **settings: Any) -> dict[str, Any]:
    return {"lr_schedule": Component(name, settings)}


def _regularizer(name: str, **settings: Any) -> dict[str, Any]:
    return {"regularization": (Component(name, settings),)}


def _augmentation(*names: str) -> dict[str, Any]:
    return {"augmentation": tuple(Component(name) for name in names)}


WHITENED = {"model": Component("airbench", {"width": 8})}
MUON = {"optimizer": Component("muon", {"lr": MUON_LR, "rest_lr": REST_LR})}

#: Training that nobody has tuned: what a person writes down first.
UNTUNED = {
    "optimizer": Component("adam"),
    "lr_schedule": Component("constant"),
    "batch_size": 32,
}
PLAIN_NAME = "simple_cnn, Adam, constant rate"
PLAIN = {**UNTUNED, "model": Component("simple_cnn")}


def of_recipe(name: str, lr: float) -> dict[str, Any]:
    """Return what a recipe changes in the baseline.

    Args:
        name: The recipe.
        lr: The learning rate, which the recipe's study would search.
    """
    sections = RECIPES[name]
    changes: dict[str, Any] = {"batch_size": sections["batch_size"]}
    changes["evaluate"] = sections["evaluate"]
    changes["regularization"] = _components(sections.get("regularization", {}))
    changes["augmentation"] = _components(sections.get("data", {}).get("augmentation", {}))
    for key in ("model", "optimizer", "lr_schedule"):
        if key in sections:
            (changes[key],) = _components(sections[key])
    optimizer: Component = changes["optimizer"]
    changes["optimizer"] = replace(optimizer, settings={**optimizer.settings, "lr": lr})
    return changes


def _components(settings_by_name: Mapping[str, Mapping[str, Any]]) -> tuple[Component, ...]:
    return tuple(Component(name, settings) for name, settings in settings_by_name.items())


LONGER = {
    PLAIN_NAME: PLAIN,
    "recipe fast": of_recipe("fast", SGD_LR),
    "recipe from_scratch": of_recipe("from_scratch", SGD_LR),
}

#: What each trick changes; ``augmentation`` is a key of the data.
TRICKS: Mapping[str, Mapping[str, Any]] = {
    BASELINE: {},
    "cosine with warm-up": _schedule("one_cycle", warmup_fraction=0.1),
    "one-cycle": _schedule("one_cycle"),
    "AdamW": {"optimizer": Component("adamw", {"lr": ADAMW_LR})},
    "Muon and AdamW": MUON,
    "EMA": {"evaluate": "ema"},
    "clipping to 1": _regularizer("clip_grad_norm"),
    "label smoothing 0.1": _regularizer("label_smoothing"),
    "whitened first layer": WHITENED,
    "random flip": _augmentation("horizontal_flip"),
    "alternating flip": _augmentation("alternating_flip"),
    "TrivialAugment": _augmentation("trivial_augment"),
    "RandAugment": _augmentation("rand_augment"),
    "Muon, whitened, alternating flip": {**MUON, **WHITENED, **_augmentation("alternating_flip")},
    PLAIN_NAME: PLAIN,
    "recipe fast": of_recipe("fast", SGD_LR),
}

#: The network that is pretrained, the edge of its images in pixels, and the classes of its images.
_NETWORK, _EDGE, _FIRST_CLASSES = "test_resnet", 32, (1, 3, 5, 7, 9)


def finetuning(weights: Path) -> dict[str, Mapping[str, Any]]:
    """Return trainings from pretrained weights, and from random ones.

    Args:
        weights: The file of the pretrained weights.
    """
    loaded = {"model": Component("timm", {"name": _NETWORK, "weights": str(weights)})}
    return {
        "pretrained, Adam, constant rate": {**UNTUNED, **loaded},
        "recipe finetune": {**loaded, **of_recipe("finetune", FINETUNE_LR)},
        "random weights, Adam, constant rate": {
            **UNTUNED,
            "model": Component("timm", {"name": _NETWORK}),
        },
        "recipe from_scratch": of_recipe("from_scratch", SGD_LR),
    }


def pretrained(work: Path) -> tuple[Path, Path]:
    """Train the network on five classes of Fashion-MNIST, unless its file is there.

    Returns:
        The file of the weights, and an ``.npz`` file of the images of the other five classes.
    """
    first, others = _halves(work)
    weights = work / "weights.pth"
    if weights.exists():
        return weights, others
    data = DataConfig(source=_arrays(first), validation=2000, input_size=_EDGE)
    config = changed(
        baseline(Comparison(data, 4, {}), _PRETRAINING_SEED),
        {
            "model": Component("timm", {"name": _NETWORK}),
            "optimizer": Component("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
            **_schedule("one_cycle"),
        },
    )
    *_, end = train(config)
    torch.save(end.state()["model"], weights)
    return weights, others


def _halves(work: Path) -> tuple[Path, Path]:
    """Write the images of ``_FIRST_CLASSES``, and those of the others, in colour."""
    files = first, others = work / "first.npz", work / "others.npz"
    if not others.exists():
        work.mkdir(parents=True, exist_ok=True)
        every = prepare(DataConfig(source=Component("fashion_mnist")), split_seed=0)
        pixels = every.images.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()  # (n, 28, 28, 3)
        labels = every.labels.numpy()
        is_first = np.isin(labels, _FIRST_CLASSES)
        for file, rows in ((first, is_first), (others, ~is_first)):
            np.savez(file, x_train=pixels[rows], y_train=labels[rows])
    return files


def _arrays(file: Path) -> Component:
    return Component("arrays", {"path": str(file.resolve())})


def changed(config: TrialConfig, trick: Mapping[str, Any]) -> TrialConfig:
    """Return ``config`` with a trick."""
    others = {key: value for key, value in trick.items() if key != "augmentation"}
    data = replace(config.data, augmentation=trick.get("augmentation", ()))
    return replace(config, data=data, **others)


def run(config: TrialConfig) -> dict[str, float]:
    """Train ``config`` to its end.

    Returns:
        The validation accuracy after the last epoch, the same with mirrored images, and the CPU
        seconds of an epoch.
    """
    # The first epoch's seconds would contain the preparation of the data
    data = prepare(config.data, split_seed=config.split_seed)
    began = time.process_time()
    *_, end = train(config)
    seconds = (time.process_time() - began) / config.epochs
    model = MODELS.build(config.model, data.input_shape, len(data.class_names))
    model.load_state_dict(end.state()["model"])
    evaluation = evaluate(
        model.to(memory_format=torch.channels_last),
        ImageStore(data.images, data.mean, data.std, torch.device("cpu"), channels_last=True),
        data.labels,
        data.val_indices,
        batch_size=256,
        precision="fp32",
        mirrored=True,
    )
    return {
        "accuracy": end.metrics.val_accuracy,
        "mirrored": evaluation.accuracy,
        "seconds": seconds,
    }


class Kept:
    """Results in a file, so that an interrupted benchmark continues."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.rows: list[dict[str, Any]] = []
        if file.exists():
            self.rows = [json.loads(line) for line in file.read_text().splitlines()]

    def add(self, config: TrialConfig, **what: Any) -> None:
        """Train ``config`` unless its result is there, and keep the result."""
        what["epochs"] = config.epochs
        if any(what.items() <= row.items() for row in self.rows):
            return
        row = {**what, **run(config)}
        self.rows.append(row)
        with self._file.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def of(self, data: str, trick: str, epochs: int, value: str) -> dict[int, float]:
        """Return a value by seed."""
        case = {"data": data, "trick": trick, "epochs": epochs}
        return {row["seed"]: row[value] for row in self.rows if case.items() <= row.items()}


def cost(results: Kept, name: str, part: Comparison, trick: str) -> float:
    """Return the CPU seconds of a training's epoch, in units of the reference's.

    Args:
        results: The results so far.
        name: The comparison's name.
        part: The comparison.
        trick: The training's name.
    """
    own, plain = (
        results.of(name, training, part.epochs, "seconds") for training in (trick, part.reference)
    )
    both = own.keys() & plain.keys()
    return sum(own[seed] for seed in both) / sum(plain[seed] for seed in both)


def fitting(results: Kept, name: str, part: Comparison, trick: str) -> int:
    """Return the number of a training's epochs in the CPU seconds of the reference's.

    Args:
        results: The results so far.
        name: The comparison's name.
        part: The comparison.
        trick: The training's name.
    """
    ratio = cost(results, name, part, trick)
    # A cost just below 1 is noise of the measurement
    most = part.epochs if ratio > _CHEAP else round(part.epochs / ratio)
    return max(1, min(most, round(part.epochs / ratio)))


def difference(values: Mapping[int, float], plain: Mapping[int, float]) -> str:
    """Return the mean difference in percentage points, and its paired 95 % interval over seeds."""
    pairs = [100 * (values[seed] - plain[seed]) for seed in sorted(values.keys() & plain.keys())]
    if len(pairs) < 2:
        return "not measured"
    middle = mean(pairs)
    half = stats.t.ppf(0.975, len(pairs) - 1) * stdev(pairs) / math.sqrt(len(pairs))
    return f"{middle:+.1f} [{middle - half:+.1f}, {middle + half:+.1f}] ({len(pairs)})"


def table(results: Kept, name: str, part: Comparison) -> Table:
    """Return the results of one comparison, a training per row."""
    plain = results.of(name, part.reference, part.epochs, "accuracy")
    seconds = mean(results.of(name, part.reference, part.epochs, "seconds").values())
    printed = Table(
        title=f"{name}: {part.reference} {100 * mean(plain.values()):.1f} % after {part.epochs} "
        f"epochs of {seconds:.2f} CPU seconds; differences in points, with the number of seeds"
    )
    for column in ("trick", "equal epochs", "epoch's cost", "equal seconds", "epochs", MIRROR):
        printed.add_column(column)
    for trick in part.changes:
        accuracies = results.of(name, trick, part.epochs, "accuracy")
        if not accuracies:
            continue
        mirrored = difference(results.of(name, trick, part.epochs, "mirrored"), accuracies)
        if trick == part.reference:
            printed.add_row(trick, "", "1.00", "", str(part.epochs), mirrored)
            continue
        epochs = fitting(results, name, part, trick)
        equal = difference(results.of(name, trick, epochs, "accuracy"), plain)
        ratio = f"{cost(results, name, part, trick):.2f}"
        printed.add_row(trick, difference(accuracies, plain), ratio, equal, str(epochs), mirrored)
    return printed


def rates(parts: Mapping[str, Comparison]) -> Iterator[str]:
    """Train with several learning rates on a seed of its own; yield a line for each."""
    grid = {
        "sgd": [{"lr": lr, "momentum": 0.9, "nesterov": True} for lr in (0.03, 0.1, 0.3, 1.0)],
        "adamw": [{"lr": lr} for lr in (0.003, 0.01, 0.03)],
        "muon": [{"lr": lr, "rest_lr": REST_LR} for lr in (0.02, 0.05, 0.1, 0.2)],
    }
    for name, part in parts.items():
        if part.changes is TRICKS:
            for optimizer, settings in grid.items():
                for arguments in settings:
                    config = baseline(part, RATES_SEED)
                    config = replace(config, optimizer=Component(optimizer, arguments))
                    yield f"{name} {optimizer} {arguments}: {run(config)}"
        for recipe in RECIPES:
            trick = f"recipe {recipe}"
            for lr in (0.01, 0.03, 0.1, 0.3, 1.0) if trick in part.changes else ():
                change = {"optimizer": of_recipe(recipe, lr)["optimizer"]}
                config = changed(baseline(part, RATES_SEED), {**part.changes[trick], **change})
                yield f"{name} {trick} {lr}: {run(config)}"


def main() -> None:
    """Train, and print a table for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emoji", type=Path, help="a folder of images, a folder a class")
    parser.add_argument(
        "--work", type=Path, help="a folder for pretrained weights; fine-tunes them"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--keep", type=Path, default=Path("recipes.jsonl"), help="results so far")
    parser.add_argument("--on", nargs="*", metavar="NAME", help="the comparisons, by their names")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="trainings, by their names")
    parser.add_argument("--table", action="store_true", help="only print the results so far")
    parser.add_argument("--rates", action="store_true", help="try learning rates instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = comparisons(options.emoji, options.work)
    parts = {name: part for name, part in parts.items() if name in (options.on or parts)}
    if options.rates:
        for line in rates(parts):
            print(line, flush=True)
        return
    results = Kept(options.keep)
    for equal_seconds in (False, True):
        for seed in range(0 if options.table else options.seeds):
            for name, part in parts.items():
                selection = {part.reference, *(options.only or part.changes)}
                for trick in (name for name in part.changes if name in selection):
                    config = changed(baseline(part, seed), part.changes[trick])
                    if equal_seconds:
                        config = replace(config, epochs=fitting(results, name, part, trick))
                    results.add(config, data=name, trick=trick, seed=seed)
    for name, part in parts.items():
        if results.of(name, part.reference, part.epochs, "accuracy"):
            Console(width=160).print(table(results, name, part))


if __name__ == "__main__":
    main()

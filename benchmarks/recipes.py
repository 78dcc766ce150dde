"""What each training trick adds to the accuracy, in equal epochs and in equal CPU seconds.

    python -m benchmarks.recipes --emoji FOLDER --keep recipes.jsonl

Each trick changes one thing of the same baseline: ``airbench`` without whitening, SGD with Nesterov
momentum, a cosine. A seed draws the split, the weights and the order, the same for all tricks, so
differences are in pairs. The learning rates of the baseline and of the other optimizers were chosen
before, on a seed that isn't measured (``--rates``).

CPU seconds are those of the process, which has one thread. If the machine does much else, the same
epoch takes about twice as many, so measure on one that does little. A trick whose epoch costs more
than the baseline's is trained again with as many epochs as fit into the baseline's seconds, so that
its schedule ends there.
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

import torch
from rich.console import Console
from rich.table import Table
from scipy import stats

import hpsearch.training.builtin  # noqa: F401 - fills the registries
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training.batches import ImageStore
from hpsearch.training.data.prepare import prepare
from hpsearch.training.engine import train
from hpsearch.training.evaluate import evaluate
from hpsearch.training.registries import MODELS

#: Chosen with ``--rates``.
SGD_LR, ADAMW_LR, MUON_LR, REST_LR = 0.3, 0.03, 0.1, 0.01

#: The seed of ``--rates``; those that are measured begin at 0.
RATES_SEED = 100

BASELINE = "baseline"
#: Not a training of its own: the same models, evaluated on mirrored images, too.
MIRROR = "mirrored"


@dataclass(frozen=True)
class Images:
    """A data set, and how long a training on it is."""

    data: DataConfig
    epochs: int


def images(emoji: Path | None) -> dict[str, Images]:
    """Return the data sets: Fashion-MNIST, and a folder of pictures if there is one.

    Of Fashion-MNIST, 4,000 images train and 2,000 validate. Of the folder, a quarter validates;
    drawings of one code point (the end of a file's name) stay together.
    """
    fashion = DataConfig(source=Component("fashion_mnist"), limit=6000, validation=2000)
    found = {"fashion": Images(fashion, 6)}
    if emoji is not None:
        settings = {"path": str(emoji.resolve()), "group": "_([0-9a-f-]+)[.]"}
        folder = DataConfig(
            source=Component("image_folder", settings), validation=0.25, input_size=32
        )
        found["emoji"] = Images(folder, 10)
    return found


def baseline(part: Images, seed: int) -> TrialConfig:
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

#: A study that nobody has tuned: what a person writes down first.
PLAIN = {
    "model": Component("simple_cnn"),
    "optimizer": Component("adam"),
    "lr_schedule": Component("constant"),
    "batch_size": 32,
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
    "simple_cnn, Adam, constant rate": PLAIN,
    "recipe fast": {"model": Component("airbench", {"width": 16}), "evaluate": "ema"},
}


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
    found = evaluate(
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
        "mirrored": found.accuracy,
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
        wanted = {"data": data, "trick": trick, "epochs": epochs}
        return {row["seed"]: row[value] for row in self.rows if wanted.items() <= row.items()}


def cost(kept: Kept, data: str, trick: str, epochs: int) -> float:
    """Return the CPU seconds of a trick's epoch, in units of the baseline's."""
    own, plain = (kept.of(data, name, epochs, "seconds") for name in (trick, BASELINE))
    both = own.keys() & plain.keys()
    return sum(own[seed] for seed in both) / sum(plain[seed] for seed in both)


def fitting(kept: Kept, data: str, trick: str, epochs: int) -> int:
    """Return the number of a trick's epochs in the CPU seconds of the baseline's ``epochs``."""
    return max(1, min(epochs, round(epochs / cost(kept, data, trick, epochs))))


def difference(found: Mapping[int, float], plain: Mapping[int, float]) -> str:
    """Return the mean difference in percentage points, and its paired 95 % interval over seeds."""
    pairs = [100 * (found[seed] - plain[seed]) for seed in sorted(found.keys() & plain.keys())]
    if len(pairs) < 2:
        return "not measured"
    middle = mean(pairs)
    half = stats.t.ppf(0.975, len(pairs) - 1) * stdev(pairs) / math.sqrt(len(pairs))
    return f"{middle:+.1f} [{middle - half:+.1f}, {middle + half:+.1f}] ({len(pairs)})"


def table(kept: Kept, name: str, part: Images, tricks: list[str]) -> Table:
    """Return the results on one data set, a trick per row."""
    plain = kept.of(name, BASELINE, part.epochs, "accuracy")
    seconds = mean(kept.of(name, BASELINE, part.epochs, "seconds").values())
    made = Table(
        title=f"{name}: baseline {100 * mean(plain.values()):.1f} % after {part.epochs} epochs of "
        f"{seconds:.1f} CPU seconds; differences in points, with the number of seeds"
    )
    for column in ("trick", "equal epochs", "epoch's cost", "equal seconds", "epochs", MIRROR):
        made.add_column(column)
    for trick in tricks:
        found = kept.of(name, trick, part.epochs, "accuracy")
        if not found:
            continue
        mirrored = difference(kept.of(name, trick, part.epochs, "mirrored"), found)
        if trick == BASELINE:
            made.add_row(trick, "", "1.00", "", str(part.epochs), mirrored)
            continue
        epochs = fitting(kept, name, trick, part.epochs)
        equal = difference(kept.of(name, trick, epochs, "accuracy"), plain)
        ratio = f"{cost(kept, name, trick, part.epochs):.2f}"
        made.add_row(trick, difference(found, plain), ratio, equal, str(epochs), mirrored)
    return made


def rates(parts: Mapping[str, Images]) -> Iterator[str]:
    """Train with several learning rates on a seed of its own; yield a line for each."""
    grid = {
        "sgd": [{"lr": lr, "momentum": 0.9, "nesterov": True} for lr in (0.03, 0.1, 0.3, 1.0)],
        "adamw": [{"lr": lr} for lr in (0.003, 0.01, 0.03)],
        "muon": [{"lr": lr, "rest_lr": REST_LR} for lr in (0.02, 0.05, 0.1, 0.2)],
    }
    for name, part in parts.items():
        for optimizer, settings in grid.items():
            for each in settings:
                config = replace(baseline(part, RATES_SEED), optimizer=Component(optimizer, each))
                yield f"{name} {optimizer} {each}: {run(config)}"


def main() -> None:
    """Train, and print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emoji", type=Path, help="a folder of images, a folder a class")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--keep", type=Path, default=Path("recipes.jsonl"), help="results so far")
    parser.add_argument("--only", nargs="*", choices=list(TRICKS), help="tricks to measure")
    parser.add_argument("--table", action="store_true", help="only print the results so far")
    parser.add_argument("--rates", action="store_true", help="try learning rates instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = images(options.emoji)
    if options.rates:
        for line in rates(parts):
            print(line, flush=True)
        return
    kept = Kept(options.keep)
    tricks = [name for name in TRICKS if name in (options.only or TRICKS) or name == BASELINE]
    for equal_seconds in (False, True):
        for seed in range(0 if options.table else options.seeds):
            for name, part in parts.items():
                for trick in tricks:
                    config = changed(baseline(part, seed), TRICKS[trick])
                    if equal_seconds:
                        epochs = fitting(kept, name, trick, part.epochs)
                        config = replace(config, epochs=epochs)
                    kept.add(config, data=name, trick=trick, seed=seed)
    for name, part in parts.items():
        Console(width=160).print(table(kept, name, part, tricks))


if __name__ == "__main__":
    main()

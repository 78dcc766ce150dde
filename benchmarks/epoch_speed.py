"""Seconds per epoch: hpsearch's engine against the loop that most scripts have.

That loop decodes and normalises picture by picture with torchvision's transforms, batches with a
DataLoader, computes in fp32 and asks for ``loss.item()`` at every step. Same model, weights, data,
batch size, optimizer and number of threads. The two run in turn, and medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import hpsearch.training.components  # noqa: F401 - registers models and sources
from hpsearch.errors import DataError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training.data.prepare import PreparedData, prepare
from hpsearch.training.engine import train
from hpsearch.training.registries import MODELS, OPTIMIZERS

CONV = {"channels": 32, "kernel_size": 2, "dilation": 2}
DILATED = Component("dilated_cnn", {"conv1": CONV, "conv2": {**CONV, "dilation": 1}})
SGD = Component("sgd", {"lr": 0.02, "momentum": 0.9})


@dataclass(frozen=True)
class Case:
    """One model at one batch size."""

    name: str
    model: Component
    batch_size: int


CASES = (
    Case("mlp 128", Component("mlp", {"hidden": [128]}), 64),
    Case("simple_cnn", Component("simple_cnn"), 32),
    Case("dilated_cnn 2x2", DILATED, 32),
    Case("dilated_cnn 2x2", DILATED, 128),
)


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """The training pictures as a script has them: one by one, through transforms."""

    def __init__(self, data: PreparedData) -> None:
        to_picture = transforms.ToPILImage()
        rows = data.train_indices.tolist()
        self.pictures = [to_picture(data.images[row]) for row in rows]
        self.labels = [int(data.labels[row]) for row in rows]
        self.transform = transforms.Compose(
            [
                transforms.ToTensor(),
                transforms.Normalize(data.mean.tolist(), data.std.tolist()),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.pictures[index]), self.labels[index]


def script_epochs(config: TrialConfig, data: PreparedData) -> Iterator[float]:
    """Train as most scripts do, yielding the seconds of each epoch (validation included)."""
    torch.manual_seed(config.seed)
    model: nn.Module = MODELS.build(config.model, data.input_shape, len(data.class_names))
    optimizer = OPTIMIZERS.build(config.optimizer, model.parameters())
    loader = DataLoader(Pictures(data), batch_size=config.batch_size, shuffle=True)
    val_images = data.images.index_select(0, data.val_indices)
    val_labels = data.labels.index_select(0, data.val_indices)
    shape = (1, -1, 1, 1)
    while True:
        began = time.perf_counter()
        model.train()
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            for images, labels in zip(val_images.split(64), val_labels.split(64), strict=True):
                normal = (images / 255 - data.mean.view(shape)) / data.std.view(shape)
                total += F.cross_entropy(model(normal), labels).item()
        yield time.perf_counter() - began


def our_epochs(config: TrialConfig) -> Iterator[float]:
    """Train as hpsearch does, yielding the seconds of each epoch (validation included)."""
    for result in train(config):
        yield result.seconds


def compare(case: Case, data_config: DataConfig, epochs: int) -> tuple[float, float]:
    """Return the median seconds of an epoch: (the script's, ours)."""
    config = TrialConfig(
        data=data_config,
        model=case.model,
        optimizer=SGD,
        lr_schedule=Component("constant"),
        batch_size=case.batch_size,
        epochs=epochs + 1,
        split_seed=0,
        seed=0,
    )
    data = prepare(data_config, split_seed=0)
    runs = (script_epochs(config, data), our_epochs(config))
    for run in runs:
        next(run)  # Not counted: first allocations, imports.
    pairs = [tuple(next(run) for run in runs) for _ in range(epochs)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(
        pair[1] for pair in pairs
    )


def real_images(limit: int) -> DataConfig:
    """Return Fashion-MNIST, or digits where it can't be had."""
    config = DataConfig(source=Component("fashion_mnist"), limit=limit)
    try:
        prepare(config, split_seed=0)
    except DataError as error:
        print(f"digits instead of Fashion-MNIST: {error}")
        return DataConfig(source=Component("digits"), input_size=28)
    return config


def main() -> None:
    """Print one row per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5, help="counted epochs of each kind")
    parser.add_argument("--limit", type=int, default=4000, help="pictures")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data_config = real_images(options.limit)
    table = Table(title=f"seconds per epoch, {options.threads} threads, median of {options.epochs}")
    for column in ("model", "batch", "script", "hpsearch", "times faster"):
        table.add_column(column, justify="right" if column != "model" else "left")
    for case in CASES:
        script, ours = compare(case, data_config, options.epochs)
        row = (f"{script:.2f}", f"{ours:.2f}", f"{script / ours:.1f}")
        table.add_row(case.name, str(case.batch_size), *row)
    Console().print(table)


if __name__ == "__main__":
    main()

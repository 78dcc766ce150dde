"""What every peer shares with hpsearch: images, model, one configuration, and a line per epoch."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import hpsearch.training.builtin  # noqa: F401 - registers models and sources
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data.prepare import PreparedData, prepare
from hpsearch.training.registries import MODELS

#: A flat configuration: conv1_channels, conv1_kernel_size, conv1_dilation, conv2_channels,
#: conv2_kernel_size, lr, momentum, batch_size.
Config = Mapping[str, Any]

#: 4,000 training and 1,000 validation images.
DATA = DataConfig(source=Component("fashion_mnist"), limit=5000)


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Images as in a tutorial: one PIL image each, through transforms on access."""

    def __init__(self, data: PreparedData, rows: torch.Tensor) -> None:
        to_picture = transforms.ToPILImage()
        self._pictures = [to_picture(data.images[row]) for row in rows.tolist()]
        self._labels = [int(label) for label in data.labels[rows]]
        self._transform = transforms.Compose(
            [
                transforms.ToTensor(),
                transforms.Normalize(data.mean.tolist(), data.std.tolist()),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._transform(self._pictures[index]), self._labels[index]


def pictures(root: str) -> tuple[Pictures, Pictures]:
    """Return the same training and validation images as hpsearch uses."""
    data = prepare(DATA, split_seed=0, root=Path(root))
    return Pictures(data, data.train_indices), Pictures(data, data.val_indices)


def model_of(config: Config) -> nn.Module:
    """Return the kernel and dilation CNN for 28x28 gray images of 10 classes."""
    convolutions = {
        "conv1": {
            "channels": config["conv1_channels"],
            "kernel_size": config["conv1_kernel_size"],
            "dilation": config["conv1_dilation"],
        },
        "conv2": {
            "channels": config["conv2_channels"],
            "kernel_size": config["conv2_kernel_size"],
        },
    }
    return MODELS.build(Component("dilated_cnn", convolutions), (1, 28, 28), 10)


def epochs(
    config: Config, train_set: Dataset[Any], val_set: Dataset[Any], count: int
) -> Iterator[float]:
    """Train as tutorials do, and yield the validation accuracy of each epoch."""
    model = model_of(config)
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=config["momentum"])
    train_loader = DataLoader(train_set, batch_size=config["batch_size"], shuffle=True)
    val_loader = DataLoader(val_set, batch_size=config["batch_size"])
    for _ in range(count):
        model.train()
        running_loss = 0.0
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in val_loader:
                correct += (model(images).argmax(1) == labels).sum().item()
        yield correct / len(val_set)  # type: ignore[arg-type]


def tell(path: Path, trial: int, epoch: int, accuracy: float) -> None:
    """Append one finished epoch to the peer's log, as one short line that is written at once."""
    line = {"at": time.time(), "trial": trial, "epoch": epoch, "val_accuracy": accuracy}
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")

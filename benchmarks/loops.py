"""Four ways to train one configuration, each an iterator over epochs with validation.

- ``reports_epochs``   as the scripts of the experiment reports do
- ``bare_epochs``      only the steps, on batches that are ready in memory
- ``graph_epochs``     the same, with each step as one CUDA graph
- ``our_epochs``       ``hpsearch.training.engine.train``

All have the same model, initial weights, data, batch size and optimizer. Each yields the validation
accuracy of an epoch, so the device has then finished its work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import hpsearch.training.builtin  # noqa: F401 - registers models and sources
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.data.prepare import PreparedData, prepare
from hpsearch.training.engine import train
from hpsearch.training.evaluate import autocast, evaluation_batch
from hpsearch.training.malloc import keep_freed_pages
from hpsearch.training.models.stack import Layers
from hpsearch.training.plan import plan
from hpsearch.training.precision import ComputePrecision
from hpsearch.training.randomness import derived_seed
from hpsearch.training.registries import MODELS, OPTIMIZERS


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's data sets return them: one PIL image each, through transforms."""

    def __init__(self, data: PreparedData, rows: Tensor) -> None:
        pixels = data.images.index_select(0, rows).permute(0, 2, 3, 1)
        self.pixels = pixels.squeeze(3).contiguous().numpy()  # PIL's gray has no channel axis
        self.labels = data.labels.index_select(0, rows).tolist()
        self.transform = transforms.Compose(
            [
                transforms.Resize(data.input_shape[1:]),
                transforms.ToTensor(),
                transforms.Normalize(data.mean.tolist(), data.std.tolist()),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def reports_epochs(config: TrialConfig, device: str = "cpu") -> Iterator[float]:
    """Train in fp32 with PyTorch's default optimizer, and read the metrics at every step."""
    data = prepare(config.data, split_seed=config.split_seed)
    model = _model(config, data).to(device)
    optimizer = _default_optimizer(config.optimizer, model)
    train_loader = DataLoader(
        Pictures(data, data.train_indices), batch_size=config.batch_size, shuffle=True
    )
    val_loader = DataLoader(Pictures(data, data.val_indices), batch_size=config.batch_size)
    while True:
        model.train()
        running_loss, correct, count = 0.0, 0, 0
        for images, labels in ((a.to(device), b.to(device)) for a, b in train_loader):
            optimizer.zero_grad()
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
            count += len(labels)
        model.eval()
        val_loss, val_correct, val_seen = 0.0, 0, 0
        with torch.no_grad():
            for images, labels in ((a.to(device), b.to(device)) for a, b in val_loader):
                logits = model(images)
                val_loss += F.cross_entropy(logits, labels).item() * len(labels)
                val_correct += (logits.argmax(1) == labels).sum().item()
                val_seen += len(labels)
        yield val_correct / val_seen


def bare_epochs(config: TrialConfig, device: str = "cpu") -> Iterator[float]:
    """Train with hpsearch's precision, memory format, optimizer and memory setting only.

    Batches are made and normalised before the first epoch and never shuffled; no training metrics
    are summed up.
    """
    return _bare(config, torch.device(device), plain_step)


def graph_epochs(config: TrialConfig, device: str) -> Iterator[float]:
    """Train as ``bare_epochs``, but start each step's kernels by one CUDA graph (CUDA only)."""
    return _bare(config, torch.device(device), _graph_step)


#: One training step on images and their labels.
Step = Callable[[Tensor, Tensor], None]


def _bare(
    config: TrialConfig,
    device: torch.device,
    make_step: Callable[[nn.Module, torch.optim.Optimizer, ComputePrecision, torch.device], Step],
) -> Iterator[float]:
    data = prepare(config.data, split_seed=config.split_seed)
    planned = plan(config, device=device)
    model = _model(config, data).to(device)
    layout = torch.channels_last if planned.model.convolutional else torch.contiguous_format
    model = model.to(memory_format=layout)
    optimizer = OPTIMIZERS.build(config.optimizer, list(model.parameters()))
    step = make_step(model, optimizer, planned.precision, device)
    cast = autocast(device, planned.precision)
    shape = (1, -1, 1, 1)

    def batches(rows: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
        cut = []
        for part in torch.split(rows, size):
            pixels = data.images.index_select(0, part) / 255
            images = ((pixels - data.mean.view(shape)) / data.std.view(shape)).float()
            images = images.to(device).contiguous(memory_format=layout)
            cut.append((images, data.labels[part].to(device)))
        return cut

    val_size = evaluation_batch(planned.model.largest_output, device)
    train_batches = batches(data.train_indices, config.batch_size)
    val_batches = batches(data.val_indices, val_size)
    with keep_freed_pages():
        while True:
            model.train()
            for images, labels in train_batches:
                step(images, labels)
            model.eval()
            correct = 0
            with torch.inference_mode(), cast:
                for images, labels in val_batches:
                    correct += (model(images).argmax(1) == labels).sum().item()
            yield correct / len(data.val_indices)


def plain_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: ComputePrecision,
    device: torch.device,
) -> Step:
    cast = autocast(device, precision)

    def step(images: Tensor, labels: Tensor) -> None:
        with cast:
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _graph_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: ComputePrecision,
    device: torch.device,
) -> Step:
    """Return a step that captures a graph for each batch size at its first batch.

    As in PyTorch's notes on CUDA graphs, it first runs some steps on another stream, and then
    captures the graph, with autocast's casts inside.
    """
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
    graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    def work(images: Tensor, labels: Tensor) -> None:
        with torch.autocast(
            device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False
        ):
            logits = model(images)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    def step(images: Tensor, labels: Tensor) -> None:
        if len(images) not in graphs:
            graphs[len(images)] = capture(images.clone(), labels.clone())
            return
        graph, its_images, its_labels = graphs[len(images)]
        its_images.copy_(images)
        its_labels.copy_(labels)
        graph.replay()

    def capture(images: Tensor, labels: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(3):
                optimizer.zero_grad(set_to_none=True)
                work(images, labels)
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            work(images, labels)
        return graph, images, labels

    return step


def our_epochs(config: TrialConfig, device: str = "cpu") -> Iterator[float]:
    """Train as hpsearch does."""
    for result in train(config, device=device):
        yield result.metrics.val_accuracy


def _model(config: TrialConfig, data: PreparedData) -> nn.Module:
    torch.manual_seed(derived_seed(config.seed, "weights"))
    model: nn.Module = MODELS.build(config.model, data.input_shape, len(data.class_names))
    return nn.Sequential(*model) if isinstance(model, Layers) else model


def _default_optimizer(component: Component, model: nn.Module) -> torch.optim.Optimizer:
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    return kinds[component.name](model.parameters(), **component.settings)

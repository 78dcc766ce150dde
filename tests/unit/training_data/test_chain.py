"""The chain: order, kinds, scales, and the targets that come out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hpsearch.errors import InfeasibleConfig, UserError
from hpsearch.registry import Component
from hpsearch.training.augmentation.chain import Chain, build, dominant
from hpsearch.training.augmentation.kinds import BatchPosition
from hpsearch.training.registries import AUGMENTATIONS

POSITION = BatchPosition(torch.tensor([4, 5, 6]), epoch=2, seed=9)
MEAN, STD = torch.tensor([0.5, 0.25]), torch.tensor([0.1, 0.2])


class Note:
    """Adds ``amount`` and notes what it was shown."""

    def __init__(self, amount: float) -> None:
        self.amount = amount
        self.seen: list[torch.Tensor] = []

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        self.seen.append(images)
        return images + self.amount


class NoteColours:
    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def recolour(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        self.seen.append(images)
        return images / 2


class Swap:
    """Mixes every image with the next one, by a quarter."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def mix(
        self, images: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen.append(targets)
        return images, 0.75 * targets + 0.25 * targets.roll(-1, 0)


def chain(*augmentations: Any) -> Chain:
    return Chain(augmentations, mean=MEAN, std=STD, classes=3, device=torch.device("cpu"))


def test_in_the_order_of_the_file():
    one, two = Note(1.0), Note(10.0)
    images = torch.zeros(2, 2, 3, 3)
    changed, targets = chain(one, two)(images, torch.tensor([0, 2]), torch.Generator(), POSITION)
    assert torch.equal(two.seen[0], images + 1)
    assert torch.equal(changed, images + 11)
    assert targets.tolist() == [0, 2]


def test_colours_are_changed_between_0_and_1_and_normalised_again():
    note, after = NoteColours(), Note(0.0)
    pixels = torch.rand(4, 2, 3, 3)
    normalised = (pixels - MEAN.view(-1, 1, 1)) / STD.view(-1, 1, 1)
    changed, _ = chain(note, after)(normalised, torch.zeros(4).long(), torch.Generator(), POSITION)
    assert torch.allclose(note.seen[0], pixels, atol=1e-6)
    assert torch.allclose(changed * STD.view(-1, 1, 1) + MEAN.view(-1, 1, 1), pixels / 2, atol=1e-6)
    assert torch.equal(after.seen[0], changed)


def test_targets_are_shares_once_something_mixes():
    first, second = Swap(), Swap()
    images, labels = torch.zeros(3, 2, 3, 3), torch.tensor([0, 1, 2])
    _, targets = chain(Note(1.0), first, second)(images, labels, torch.Generator(), POSITION)
    assert torch.equal(first.seen[0], torch.eye(3))
    once = torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.75, 0.25], [0.25, 0.0, 0.75]])
    assert torch.equal(second.seen[0], once)
    assert torch.allclose(targets[0], torch.tensor([0.5625, 0.375, 0.0625]))
    assert targets.dtype == torch.float32


class NotePositions:
    def __init__(self) -> None:
        self.seen: list[BatchPosition] = []

    def in_epoch(self, images: torch.Tensor, position: BatchPosition) -> torch.Tensor:
        self.seen.append(position)
        return images + position.epoch


def test_a_change_by_the_epoch_knows_the_images():
    note, after = NotePositions(), Note(0.0)
    images = torch.zeros(3, 2, 3, 3)
    chain(note, after)(images, torch.tensor([0, 1, 2]), torch.Generator(), POSITION)
    assert note.seen == [POSITION]
    assert torch.equal(after.seen[0], images + 2)


def test_without_augmentation_nothing_is_copied():
    images, labels = torch.rand(3, 2, 3, 3), torch.tensor([0, 1, 2])
    same, targets = chain()(images, labels, torch.Generator(), POSITION)
    assert same is images
    assert targets is labels


def test_the_dominant_class():
    labels = torch.tensor([2, 0])
    assert dominant(labels) is labels
    shares = torch.tensor([[0.2, 0.5, 0.3], [0.5, 0.5, 0.0]])
    assert dominant(shares).tolist() == [1, 0]


def test_build_refuses_what_is_no_augmentation(monkeypatch):
    monkeypatch.setattr(AUGMENTATIONS, "_entries", dict(AUGMENTATIONS._entries))
    AUGMENTATIONS.register("nothing")(lambda: 3)
    with pytest.raises(UserError) as raised:
        build([Component("horizontal_flip"), Component("nothing")])
    assert str(raised.value) == (
        "an augmentation must be callable with (images, generator), or have a method `recolour`, "
        "`mix` or `in_epoch`, but 'nothing' returned int; see hpsearch.training.augmentation.kinds"
    )


def test_build_passes_on_what_doesnt_go_together():
    with pytest.raises(InfeasibleConfig, match="min_area <= max_area must hold"):
        build([Component("random_erasing", {"min_area": 0.5})])

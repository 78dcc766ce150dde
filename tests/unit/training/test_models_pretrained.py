"""Weights that were trained before: what is loaded, what starts anew, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from hpsearch.errors import DataError, InfeasibleConfig
from hpsearch.registry import Component
from hpsearch.training import checkpoint
from hpsearch.training.models.inspection import describe
from hpsearch.training.models.pretrained import weights_come_later
from hpsearch.training.registries import MODELS

SHAPE = (3, 16, 16)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A ``state_dict`` as torchvision's resnet18 has it, of other weights than a new model's."""
    torch.manual_seed(21)
    model = MODELS.build(Component("resnet18", {"stem": "imagenet"}), SHAPE, 4)
    held = {
        name.removeprefix("backbone."): tensor
        for name, tensor in model.state_dict().items()
        if name.startswith("backbone.")
    }
    held["bn1.running_mean"] = torch.linspace(-1, 1, 64)
    return {**held, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], str]:
    def written(held: Any) -> str:
        path = tmp_path / "weights.pth"
        torch.save(held, path)
        return str(path)

    return written


def build(weights: str, shape: tuple[int, int, int] = SHAPE, **settings: Any) -> nn.Module:
    return MODELS.build(Component("resnet18", {"weights": weights, **settings}), shape, 4)


def backbone(model: nn.Module) -> dict[str, Tensor]:
    held = model.get_submodule("backbone").state_dict()
    return {name: held[name] for name in held}


class TestLoaded:
    def test_everything_but_the_dense_layers(
        self, state: dict[str, Tensor], write: Callable[[Any], str]
    ) -> None:
        model = build(write(state), hidden=[8])

        loaded = backbone(model)
        assert all(torch.equal(loaded[name], state[name]) for name in loaded)
        assert set(state) - set(loaded) == {"fc.weight", "fc.bias"}
        assert [type(layer) for layer in model.get_submodule("head")] == [
            nn.Linear,
            nn.ReLU,
            nn.Linear,
        ]
        assert loaded["conv1.weight"].shape[2:] == (7, 7)  # below 64 pixels, too: as trained

    def test_our_own_checkpoint(
        self, state: dict[str, Tensor], write: Callable[[Any], str], tmp_path: Path
    ) -> None:
        trained = build(write(state))
        path = tmp_path / "epoch-3.pt"
        checkpoint.save(path, {"epoch": 3, "model": trained.state_dict()})

        loaded = backbone(build(str(path)))

        assert all(torch.equal(loaded[name], state[name]) for name in loaded)

    def test_gray_images_see_what_the_same_gray_in_three_channels_gives(
        self, state: dict[str, Tensor], write: Callable[[Any], str]
    ) -> None:
        path = write(state)
        gray = torch.randn(2, 1, 16, 16)

        one = build(path, (1, 16, 16)).eval().get_submodule("backbone")(gray)
        three = build(path).eval().get_submodule("backbone")(gray.expand(-1, 3, -1, -1))

        torch.testing.assert_close(one, three, rtol=1e-3, atol=1e-4)

    def test_a_small_stem_starts_anew(
        self, state: dict[str, Tensor], write: Callable[[Any], str]
    ) -> None:
        loaded = backbone(build(write(state), stem="small"))

        differ = [
            name
            for name in loaded
            if loaded[name].shape != state[name].shape or not torch.equal(loaded[name], state[name])
        ]
        assert differ == ["conv1.weight"]

    def test_old_files_without_counts_of_batches(
        self, state: dict[str, Tensor], write: Callable[[Any], str]
    ) -> None:
        held = {name: state[name] for name in state if "num_batches" not in name}

        loaded = backbone(build(write(held)))

        assert torch.equal(loaded["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])

    def test_no_weights_are_the_default(self) -> None:
        torch.manual_seed(5)
        first = MODELS.build(Component("resnet18"), SHAPE, 4)
        torch.manual_seed(5)
        second = build("none")

        assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))


class TestRefused:
    """On the meta device, as ``check`` asks, in the words that training would use."""

    def refusal(self, weights: str, **settings: Any) -> str:
        model = Component("resnet18", {"weights": weights, **settings})
        with pytest.raises(DataError) as asked:
            describe(model, input_shape=SHAPE, classes=4)
        with pytest.raises(DataError) as built:
            MODELS.build(model, SHAPE, 4)
        assert str(asked.value) == str(built.value)
        return str(built.value)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        path = tmp_path / "imagnet"
        assert self.refusal(str(path)) == (
            f"weights must be none, imagenet (timm: pretrained) or a file of weights, but {path} "
            "can't be read: "
            "No such file or directory"
        )

    def test_a_folder(self, tmp_path: Path) -> None:
        assert self.refusal(str(tmp_path)).endswith(
            "can't be read: not a regular file, but a folder"
        )

    def test_no_weights_at_all(self, tmp_path: Path) -> None:
        path = tmp_path / "cat.png"
        path.write_bytes(b"\x89PNG not weights")
        assert self.refusal(str(path)).startswith(
            f"weights must be a file written by torch.save with tensors only, or a .safetensors "
            f"file, but {path} isn't: "
        )

    def test_a_file_that_would_run_code(self, write: Callable[[Any], str], tmp_path: Path) -> None:
        ran = tmp_path / "ran"

        class Hostile:
            def __reduce__(self) -> Any:
                return Path.touch, (ran,)

        path = write({"conv1.weight": Hostile()})
        assert "with tensors only" in self.refusal(path)
        assert not ran.exists()

    @pytest.mark.parametrize("held", [[1, 2], {}, {"conv1.weight": 3}], ids=str)
    def test_something_else(self, held: Any, write: Callable[[Any], str]) -> None:
        assert self.refusal(path := write(held)) == (
            f"weights must be a state_dict (names and tensors), but {path} contains something "
            "else; save model.state_dict()"
        )

    def test_a_smaller_architecture(
        self, state: dict[str, Tensor], write: Callable[[Any], str]
    ) -> None:
        held = {name: state[name] for name in state if not name.startswith("layer4.1")}
        assert self.refusal(path := write(held)) == (
            f"weights must be a state_dict of resnet18, but {path} lacks layer4.1.conv1.weight, "
            "layer4.1.bn1.weight, layer4.1.bn1.bias and 7 more; use the architecture of their "
            "training"
        )

    def test_a_deeper_architecture(
        self, state: dict[str, Tensor], write: Callable[[Any], str]
    ) -> None:
        """Of resnet34, everything in resnet18 would load."""
        held = {**state, "layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3)}
        assert self.refusal(path := write(held)) == (
            f"weights must be a state_dict of resnet18, but {path} also contains "
            "layer1.2.conv1.weight; use the architecture of their training"
        )

    def test_a_wider_architecture(
        self, state: dict[str, Tensor], write: Callable[[Any], str]
    ) -> None:
        held = {**state, "layer1.0.conv1.weight": torch.zeros(128, 64, 3, 3)}
        assert self.refusal(path := write(held)) == (
            f"weights must match resnet18 as it is built here, but in {path} layer1.0.conv1.weight "
            "is 128 x 64 x 3 x 3 in it and 64 x 64 x 3 x 3 in the model; use weights of resnet18, "
            "and the input_size of their training if sizes depend on it"
        )

    def test_images_of_five_channels(
        self, state: dict[str, Tensor], write: Callable[[Any], str]
    ) -> None:
        with pytest.raises(InfeasibleConfig) as raised:
            build(write(state), (5, 16, 16))
        assert str(raised.value) == (
            "weights of a first convolution with 3 input channels need images with as many "
            "channels (gray images also match 3), but the images have 5; use weights: none"
        )

    def test_a_file_that_changed_is_read_again(
        self, state: dict[str, Tensor], write: Callable[[Any], str]
    ) -> None:
        path = write({"conv1.weight": torch.zeros(1)})
        assert "lacks" in self.refusal(path)
        write(state)
        model = Component("resnet18", {"weights": path})
        assert describe(model, input_shape=SHAPE, classes=4).parameters > 11e6


class TestImageNet:
    @pytest.fixture(autouse=True)
    def hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
        return tmp_path / "hub" / "checkpoints"

    @pytest.fixture
    def download(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What was asked of the network, which fails."""
        asked: list[str] = []

        def fail(url: str, *_: Any, **__: Any) -> None:
            asked.append(url)
            raise URLError("no route to host")

        monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
        return asked

    def test_without_a_network_it_says_what_to_put_where(
        self, hub: Path, download: list[str]
    ) -> None:
        with pytest.raises(DataError) as raised:
            describe(Component("resnet18", {"weights": "imagenet"}), input_shape=SHAPE, classes=4)

        (url,) = download
        assert str(raised.value) == (
            "weights: imagenet needs torchvision's file resnet18-f37072fd.pth, but it can't be "
            "downloaded (<urlopen error no route to host>); download "
            "https://download.pytorch.org/models/resnet18-f37072fd.pth on another machine and put "
            f"it into {hub}, or give its path instead of imagenet; weights: none starts with "
            "random weights"
        )
        assert url == "https://download.pytorch.org/models/resnet18-f37072fd.pth"
        # A search draws it again and again; the network isn't asked each time, and what it draws
        # is no reason to end: other models need no network
        with pytest.raises(InfeasibleConfig):
            describe(Component("resnet18", {"weights": "imagenet"}), input_shape=SHAPE, classes=4)
        assert len(download) == 1
        assert [path for path in hub.glob("*") if path.is_file()] == []

    def test_the_file_is_taken_from_where_it_was_put(
        self, hub: Path, download: list[str], state: dict[str, Tensor]
    ) -> None:
        hub.mkdir(parents=True)
        torch.save(state, hub / "resnet18-f37072fd.pth")

        loaded = backbone(build("imagenet"))

        assert all(torch.equal(loaded[name], state[name]) for name in loaded)
        assert download == []

    def test_a_download_is_checked_and_kept(
        self, hub: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []

        def fetch(url: str, target: str, hash_prefix: str, progress: bool) -> None:
            asked.append(hash_prefix)
            torch.save(state, target)

        monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)

        for _ in range(2):
            build("imagenet")

        assert asked == ["f37072fd"]
        assert (hub / "resnet18-f37072fd.pth").is_file()


def test_a_trained_model_needs_the_file_that_its_training_began_with_no_more(tmp_path):
    gone = str(tmp_path / "gone.pth")
    with weights_come_later():
        again = build(gone)
    trained = {name: tensor + 1 for name, tensor in again.state_dict().items()}
    again.load_state_dict(trained)
    with pytest.raises(DataError, match=r"gone\.pth can't be read"):
        build(gone)

"""timm's classifiers by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpsearch.errors import DataError, InfeasibleConfig, UserError, WeightsUnavailable
from hpsearch.registry import Component
from hpsearch.training.models import pretrained, timm_models
from hpsearch.training.models.inspection import ModelSummary, describe
from hpsearch.training.registries import MODELS

#: Families, and an image that each takes; timm's own small models for tests.
FAMILIES = [
    pytest.param("test_resnet", (1, 16, 16), id="resnet"),
    pytest.param("test_efficientnet", (1, 16, 16), id="efficientnet"),
    pytest.param("mobilenetv3_small_050", (3, 32, 32), id="mobilenet"),
    pytest.param("test_convnext", (1, 32, 32), id="convnext"),
    pytest.param("test_vit", (3, 32, 32), id="vit"),
]


@pytest.fixture(autouse=True)
def timm() -> Any:
    """timm's module; its import takes half a second, so not when the tests are collected."""
    return pytest.importorskip("timm", reason="timm isn't installed")


def of(name: str, **settings: Any) -> Component:
    return Component("timm", {"name": name, **settings})


def described(name: str, shape: tuple[int, int, int], **settings: Any) -> ModelSummary:
    return describe(of(name, **settings), input_shape=shape, classes=7)


def built(name: str, shape: tuple[int, int, int], **settings: Any) -> nn.Module:
    torch.manual_seed(5)
    return MODELS.build(of(name, **settings), shape, 7)


@pytest.mark.parametrize(("name", "shape"), FAMILIES)
def test_every_family_is_built_counted_and_trained(
    timm: Any, name: str, shape: tuple[int, int, int]
) -> None:
    summary = described(name, shape)
    model = built(name, shape)

    sizes = {"img_size": shape[1:]} if name == "test_vit" else {}
    theirs = timm.create_model(name, in_chans=shape[0], num_classes=7, **sizes)
    assert summary.parameters == sum(each.numel() for each in theirs.parameters())
    assert summary.parameters == sum(layer.parameters for layer in summary.layers)
    assert summary.layers[-1].name == "head.logits"
    assert summary.multiply_adds > summary.parameters / 10
    images, labels = torch.randn(4, *shape), torch.tensor([0, 1, 2, 3])
    nn.functional.cross_entropy(model(images), labels).backward()
    assert all(each.grad is not None for each in model.parameters())


@pytest.mark.parametrize(("name", "shape"), FAMILIES)
def test_the_features_are_timms(timm: Any, name: str, shape: tuple[int, int, int]) -> None:
    model = built(name, shape).eval()
    sizes = {"img_size": shape[1:]} if name == "test_vit" else {}
    theirs = timm.create_model(name, in_chans=shape[0], num_classes=0, **sizes).eval()
    theirs.load_state_dict(model.get_submodule("backbone").state_dict())
    images = torch.randn(2, *shape)
    with torch.inference_mode():
        torch.testing.assert_close(
            model.get_submodule("backbone")(images), theirs(images), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize(("name", "shape"), FAMILIES)
def test_every_family_can_be_exported_for_any_batch(name: str, shape: tuple[int, int, int]) -> None:
    model = built(name, shape).eval()
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(
        model, (torch.randn(2, *shape),), dynamic_shapes=(batch,)
    ).module()
    images = torch.randn(5, *shape)
    with torch.inference_mode():
        torch.testing.assert_close(program(images), model(images), rtol=1e-4, atol=1e-4)


def test_more_dense_layers_dropout_and_another_activation() -> None:
    model = built("test_vit", (3, 32, 32), hidden=[20], activation={"tanh": {}}, dropout=0.3)
    kinds = [type(layer) for layer in model.get_submodule("head")]
    assert kinds == [nn.Dropout, nn.Linear, nn.Tanh, nn.Dropout, nn.Linear]
    assert not any(isinstance(layer, nn.GELU) for layer in model.modules())
    # timm's own classes of activations are replaced, too
    for name in ("test_convnext", "convnext_atto", "mobilenetv3_small_050"):
        layers = described(name, (3, 32, 32), activation={"elu": {}}).layers
        found = {layer.kind for layer in layers}
        assert "ELU" in found and not {"GELU", "GELUTanh", "Hardswish", "ReLU"} & found


class TestWeights:
    @pytest.fixture
    def state(self, timm: Any) -> dict[str, Tensor]:
        """The weights of timm's whole model, with its 1000 classes."""
        torch.manual_seed(9)
        state: dict[str, Tensor] = timm.create_model("test_resnet").state_dict()
        return state

    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_a_file_gives_all_but_the_last_layer(
        self, state: dict[str, Tensor], suffix: str, channels: int, tmp_path: Path
    ) -> None:
        path = tmp_path / f"w{suffix}"
        if suffix == ".pth":
            torch.save(state, path)
        else:
            from safetensors.torch import save_file

            save_file(state, path)
        shape = (channels, 16, 16)
        model = built("test_resnet", shape, weights=str(path), freeze="backbone")

        loaded = model.get_submodule("backbone").state_dict()
        assert state.keys() - loaded.keys() == {"fc.weight", "fc.bias"}
        first = state["conv1.0.weight"]
        expected = first if channels == 3 else first.sum(1, keepdim=True)
        assert torch.equal(loaded["conv1.0.weight"], expected)
        assert all(
            torch.equal(loaded[name], state[name]) for name in loaded if name != "conv1.0.weight"
        )
        assert [name for name, each in model.named_parameters() if each.requires_grad] == [
            "head.logits.weight",
            "head.logits.bias",
        ]
        assert described("test_resnet", shape, weights=str(path)).pretrained
        with pytest.raises(InfeasibleConfig, match="channels"):
            built("test_resnet", (4, 16, 16), weights=str(path))

    def test_weights_of_another_model(self, state: dict[str, Tensor], tmp_path: Path) -> None:
        torch.save(state, tmp_path / "w.pth")
        with pytest.raises(DataError, match=r"a state_dict of test_efficientnet, but .* lacks"):
            built("test_efficientnet", (3, 16, 16), weights=str(tmp_path / "w.pth"))

    def test_a_damaged_file(self, tmp_path: Path) -> None:
        path = tmp_path / "w.safetensors"
        path.write_bytes(b"\x20\0\0\0\0\0\0\0{no header")
        with pytest.raises(DataError, match=r"a \.safetensors file, but .*w\.safetensors isn't: "):
            built("test_resnet", (3, 16, 16), weights=str(path))

    def test_pretrained_is_taken_from_the_folder_of_the_hub(
        self, state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from safetensors.torch import save_file

        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        repository = tmp_path / "models--timm--test_resnet.r160_in1k"
        snapshot = repository / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("a" * 40)
        save_file(state, snapshot / "model.safetensors")

        model = built("test_resnet", (3, 16, 16), weights="pretrained")

        loaded = model.get_submodule("backbone").state_dict()
        assert all(torch.equal(loaded[name], state[name]) for name in loaded)

    def test_without_a_network_the_message_says_what_to_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr(pretrained, "_failed", {})
        with pytest.raises(WeightsUnavailable) as raised:
            described("test_vit", (3, 160, 160), weights="pretrained")
        said = str(raised.value)
        assert said.startswith(
            "weights: pretrained needs model.safetensors of timm/test_vit.r160_in1k on the Hugging "
            "Face Hub, but it can't be downloaded ("
        )
        assert "run `hf download timm/test_vit.r160_in1k model.safetensors`" in said
        assert f"copy the folder {tmp_path}, which HF_HOME moves" in said

    def test_a_model_without_published_weights(self) -> None:
        with pytest.raises(DataError, match="mixer_s32_224 on the Hugging Face Hub, but timm"):
            described("mixer_s32_224", (3, 32, 32), weights="pretrained")


class TestRefused:
    def test_an_unknown_name_lists_near_ones(self) -> None:
        with pytest.raises(UserError) as raised:
            described("resnet81", (3, 32, 32))
        said = str(raised.value)
        assert said.startswith("name must be one of timm's ")
        assert " models, but got 'resnet81'; similar names: resnet18" in said
        assert "timm.list_models()" in said

    def test_an_unknown_tag_lists_those_that_there_are(self) -> None:
        with pytest.raises(UserError, match=r"got 'test_vit\.x'; test_vit has r160_in1k"):
            described("test_vit.x", (3, 32, 32))
        assert described("test_vit.r160_in1k", (3, 32, 32)).parameters > 0

    @pytest.mark.parametrize("name", ["test_vit", "vit_tiny_patch16_224"])
    def test_images_that_are_no_whole_number_of_patches(self, name: str) -> None:
        with pytest.raises(InfeasibleConfig) as raised:
            described(name, (3, 40, 48))
        assert str(raised.value) == (
            f"{name} cuts an image into patches of 16 x 16 pixels, so that height and width must "
            "be multiples of these, but they are 40 x 48 (40 = 2 x 16 + 8, 48 = 3 x 16 + 0); use "
            "another input_size"
        )

    @pytest.mark.parametrize(("name", "shape"), FAMILIES)
    def test_an_image_that_is_too_small_is_refused_or_works(
        self, name: str, shape: tuple[int, int, int]
    ) -> None:
        try:
            described(name, (shape[0], 2, 2))
        except InfeasibleConfig as error:
            assert "2 x 2" in str(error)

    def test_random_weights_that_are_frozen(self) -> None:
        with pytest.raises(InfeasibleConfig, match="freeze: backbone keeps loaded weights"):
            described("test_resnet", (3, 32, 32), freeze="backbone")

    def test_timm_that_isnt_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "timm", None)
        timm_models._description.cache_clear()
        with pytest.raises(UserError, match=r"run: pip install 'hpsearch\[timm\]'"):
            described("test_resnet", (3, 32, 32))

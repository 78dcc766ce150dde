"""Small registries without torch: what a study file may name in these tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from hpsearch.registry import Component, Registry, load_plugin
from hpsearch.study_file.loading import load_study, study_from_document
from hpsearch.study_file.study import StudyFile

Probability = Annotated[float, Field(ge=0, lt=1)]

ACTIVATIONS: Registry[Any] = Registry("activation")
MODELS: Registry[Any] = Registry("model")
OPTIMIZERS: Registry[Any] = Registry("optimizer")
LR_SCHEDULES: Registry[Any] = Registry("learning-rate schedule")
REGULARIZERS: Registry[Any] = Registry("regularizer")
AUGMENTATIONS: Registry[Any] = Registry("augmentation")
SOURCES: Registry[Any] = Registry("data source")
SAMPLERS: Registry[Any] = Registry("sampler")
PRUNERS: Registry[Any] = Registry("pruner")
TRACKERS: Registry[Any] = Registry("tracker")
LOOPS: Registry[Any] = Registry("training loop")


@ACTIVATIONS.register("relu")
def relu() -> Any:
    """Rectified linear unit."""


@ACTIVATIONS.register("leaky_relu")
def leaky_relu(*, slope: PositiveFloat = 0.01) -> Any:
    """With a slope below zero."""


Activation = Annotated[Component, ACTIVATIONS]


@dataclass(frozen=True, kw_only=True)
class Conv:
    channels: PositiveInt = 32
    kernel_size: Annotated[int, Field(ge=1, le=7)] = 3
    dilation: PositiveInt = 1


@MODELS.register("mlp")
def mlp(
    shape: Any,
    /,
    *,
    hidden: list[PositiveInt] = [128],  # noqa: B006
    dropout: Probability = 0.0,
    activation: Activation = Component("relu"),  # noqa: B008
) -> Any:
    """A dense network."""


@MODELS.register("conv_net")
def conv_net(
    *,
    conv1: Conv = Conv(),
    conv2: Conv = Conv(channels=64),
    padding: Literal["same", "valid"] = "same",
    groups: Annotated[int, Field(multiple_of=8)] = 8,
    head: Conv | None = None,
    final: Activation | None = None,
) -> Any:
    """Two convolutions."""


@OPTIMIZERS.register("sgd")
def sgd(
    *,
    lr: PositiveFloat,
    momentum: Probability = 0.9,
    nesterov: bool = False,
    weight_decay: NonNegativeFloat = 0.0,
) -> Any:
    """Gradient descent."""


@OPTIMIZERS.register("adam")
def adam(*, lr: PositiveFloat = 1e-3) -> Any:
    """Adam."""


@LR_SCHEDULES.register("constant")
def constant() -> Any:
    """No change."""


@LR_SCHEDULES.register("exponential")
def exponential(*, gamma: Annotated[float, Field(gt=0, le=1)] = 0.95) -> Any:
    """Times gamma each epoch."""


@LR_SCHEDULES.register("step")
def step(*, step_size: PositiveInt, gamma: PositiveFloat = 0.1) -> Any:
    """Times gamma every step_size epochs."""


@REGULARIZERS.register("l2")
def l2(*, strength: NonNegativeFloat) -> Any:
    """Ridge."""


@REGULARIZERS.register("label_smoothing")
def label_smoothing(*, amount: Probability = 0.1) -> Any:
    """Softer targets."""


@AUGMENTATIONS.register("horizontal_flip")
def horizontal_flip(*, probability: Probability = 0.5) -> Any:
    """Mirrors."""


@AUGMENTATIONS.register("random_crop")
def random_crop(*, padding: PositiveInt = 4) -> Any:
    """Pads and crops."""


@AUGMENTATIONS.register("erase")
def erase(*, share: Probability) -> Any:
    """Blanks a part."""


@SOURCES.register("digits")
def digits() -> Any:
    """8x8 digits."""


@SOURCES.register("cifar10")
def cifar10(*, train_batches: list[Annotated[int, Field(ge=1, le=5)]] = [1, 2, 3, 4, 5]) -> Any:  # noqa: B006
    """32x32 pictures."""


@SOURCES.register("image_folder")
def image_folder(*, path: Path, mask: Path | None = None) -> Any:
    """A folder."""


@SAMPLERS.register("random")
def random() -> Any:
    """Uniform."""


@SAMPLERS.register("forest")
def forest(*, startup_trials: PositiveInt = 10) -> Any:
    """Trees."""


@SAMPLERS.register("tpe")
def tpe(*, startup_trials: PositiveInt = 10) -> Any:
    """Parzen."""


@PRUNERS.register("none")
def none() -> Any:
    """Never."""


@PRUNERS.register("median")
def median(*, startup_trials: PositiveInt = 5) -> Any:
    """Below the median."""


@PRUNERS.register("asha")
def asha(*, reduction_factor: Annotated[int, Field(ge=2)] = 3, min_epochs: PositiveInt = 1) -> Any:
    """Halving."""


@TRACKERS.register("board")
def board() -> Any:
    """On a wall."""


@TRACKERS.register("cloud")
def cloud(*, project: str = "p") -> Any:
    """Far away."""


@LOOPS.register("curve")
def curve(context: Any, /, *, lr: PositiveFloat, width: PositiveInt = 16) -> Any:
    """Fits a curve."""


REGISTRIES: Mapping[str, Registry[Any]] = {
    "source": SOURCES,
    "augmentation": AUGMENTATIONS,
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "lr_schedule": LR_SCHEDULES,
    "regularizer": REGULARIZERS,
    "sampler": SAMPLERS,
    "pruner": PRUNERS,
    "tracker": TRACKERS,
    "loop": LOOPS,
}


def registries(plugins: Iterable[Path] = ()) -> Mapping[str, Registry[Any]]:
    for plugin in plugins:
        load_plugin(plugin)
    return REGISTRIES


#: A valid study file; tests put lines behind it (so from line 6 on) or replace some.
BASE = """\
study: s
budget: {trials: 4, epochs_per_trial: 2}
data: {source: digits}
model: mlp
optimizer: {sgd: {lr: 0.1}}
"""

Load = Callable[..., StudyFile]


@pytest.fixture
def base() -> str:
    return BASE


@pytest.fixture
def registries_of() -> Callable[..., Mapping[str, Registry[Any]]]:
    return registries


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Write a text as ``x.yaml`` in the current folder and load it."""
    monkeypatch.chdir(tmp_path)

    def call(text: str, *overrides: str, name: str | None = None) -> StudyFile:
        Path("x.yaml").write_text(text, encoding="utf-8")
        return load_study(Path("x.yaml"), registries, overrides=overrides, name=name)

    return call


@pytest.fixture
def reload() -> Load:
    """Load a document as a stored study."""

    def call(document: Mapping[str, Any], text: str = "") -> StudyFile:
        return study_from_document(document, registries, text=text)

    return call


@pytest.fixture(scope="session")
def module_registries() -> Mapping[str, Registry[Any]]:
    return REGISTRIES


@pytest.fixture(scope="session")
def reload_any(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Load a document, or a text as a file."""
    path = tmp_path_factory.mktemp("any") / "x.yaml"

    def call(source: Mapping[str, Any] | str) -> StudyFile:
        if not isinstance(source, str):
            return study_from_document(source, registries)
        path.write_text(source, encoding="utf-8", newline="")
        return load_study(path, registries)

    return call


@pytest.fixture(scope="session")
def load_any(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Load a text as a file, with overrides."""
    path = tmp_path_factory.mktemp("any") / "x.yaml"

    def call(text: str, *overrides: str) -> StudyFile:
        path.write_text(text, encoding="utf-8")
        return load_study(path, registries, overrides=overrides)

    return call

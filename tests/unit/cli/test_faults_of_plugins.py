"""What a plug-in does wrong is told as its fault, with its line, and never as one of hpsearch."""

from __future__ import annotations

import itertools

import pytest

import hpsearch.training.builtin  # noqa: F401 - what is built in is registered before it
from hpsearch.training.registries import LR_SCHEDULES, MODELS, OPTIMIZERS, SOURCES

_NUMBERS = itertools.count()

PLUGIN = '''\
from torch import nn
from hpsearch.training.registries import LR_SCHEDULES, MODELS, OPTIMIZERS, SOURCES


@MODELS.register("{name}_raises")
def raises(input_shape, classes, /):
    """Looks up what isn't there."""
    return {{}}["missing"]


@MODELS.register("{name}_none")
def none(input_shape, classes, /):
    """Returns nothing."""


@MODELS.register("{name}_takes_nothing")
def takes_nothing():
    """Takes nothing."""
    return nn.Flatten()


class Net(nn.Module):
    def forward(self, images):
        raise ValueError("in forward")


@MODELS.register("{name}_forward")
def forward(input_shape, classes, /):
    """Raises when it is called."""
    return Net()


@OPTIMIZERS.register("{name}_opt")
def opt(parameters, /):
    """Returns something else."""
    return "an optimizer"


@SOURCES.register("{name}_source")
def source(place, /):
    """Returns nothing."""


@LR_SCHEDULES.register("{name}_schedule")
def schedule(optimizer, epochs, steps, /):
    """Divides by nothing."""
    return 1 / 0
'''

STUDY = """\
study: p
plugins: [{name}.py]
budget: {{trials: 1, epochs_per_trial: 1}}
data: {{source: digits}}
model: {{mlp: {{hidden: [8]}}}}
optimizer: {{sgd: {{lr: 0.1}}}}
"""

FAULTS = [
    ("model={name}_raises", "{file} failed at line 8, in raises: KeyError: 'missing'"),
    (
        "model={name}_none",
        "model '{name}_none' of a plug-in ({file}:11) failed: TypeError: it must return Module, "
        "but returned NoneType",
    ),
    ("model={name}_takes_nothing", "of a plug-in ({file}:16) failed: TypeError: takes_nothing()"),
    ("model={name}_forward", "{file} failed at line 24, in forward: ValueError: in forward"),
    ("optimizer={name}_opt", "failed: TypeError: it must return Optimizer, but returned str"),
    ("data.source={name}_source", "data source '{name}_source' of a plug-in ({file}:39) failed: "),
    ("lr_schedule={name}_schedule", "{file} failed at line 47, in schedule: ZeroDivisionError"),
]


@pytest.fixture
def plugin(here, monkeypatch):
    """Write a plug-in, and a study that names it; what it registers is forgotten afterwards."""
    for registry in (LR_SCHEDULES, MODELS, OPTIMIZERS, SOURCES):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    name = f"plug_{next(_NUMBERS)}"
    (here / f"{name}.py").write_text(PLUGIN.format(name=name))
    (here / "p.yaml").write_text(STUDY.format(name=name))
    return {"name": name, "file": here.resolve() / f"{name}.py"}


@pytest.mark.parametrize(("change", "says"), FAULTS)
def test_check_tells_it_as_the_plugins_fault(hpsearch, plugin, change, says):
    ran = hpsearch("check", "p.yaml", "--set", change.format(**plugin))
    assert ran.code == 2, ran.all
    assert says.format(**plugin) in ran.err
    assert len(ran.err.splitlines()) == 1


def test_so_does_a_launch_in_its_other_process(hpsearch, plugin):
    change, says = FAULTS[0]
    ran = hpsearch("launch", "p.yaml", "--set", change.format(**plugin))
    assert (ran.code, says.format(**plugin) in ran.err) == (2, True), ran.all
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import sys\nsys.exit(3)\n", "failed at line 2, in <module>: SystemExit: 3"),
        ("def f():\n    raise OSError('x')\n\nf()\n", "failed at line 2, in f: OSError: x"),
        ("def f(:\n", "failed: SyntaxError"),
    ],
)
def test_a_plugin_that_cannot_be_imported(hpsearch, plugin, here, text, says):
    (here / "other.py").write_text(text)
    ran = hpsearch("check", "p.yaml", "--set", "plugins=[other.py]")
    assert (ran.code, says in ran.err) == (2, True), ran.all
    assert f"plug-in {here.resolve() / 'other.py'} failed" in ran.err


def test_a_fault_of_hpsearch_stays_one(hpsearch, plugin, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr("hpsearch.results.space_report.inspect_space", broken)
    ran = hpsearch("check", "p.yaml")
    assert (ran.code, "this is a fault of hpsearch: KeyError" in ran.err) == (1, True)

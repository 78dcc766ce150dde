"""Text of others steers no terminal and deceives no reader, wherever it is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from support.commands import Ran
from support.watched_shell import WatchedShell

#: ESC, BEL, C1's CSI, NUL, carriage return, and what turns the direction of writing
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff]")
ESCAPES = r"\x1b]0;title\x07 \x9b31m \u202e \u200b \x00 overwritten\r"
PLUGIN = f"""
import logging, sys
from torch import nn
from hpsearch.training.registries import MODELS

class Hostile(nn.Sequential):
    def forward(self, images):
        if self.training and images.device.type == "cpu":
            print("{ESCAPES}", flush=True)
            print("{ESCAPES}", file=sys.stderr, flush=True)
            logging.getLogger("theirs").warning("{ESCAPES}")
            raise RuntimeError("{ESCAPES} the end")
        return super().forward(images)

@MODELS.register("hostile")
def hostile(input_shape, classes, /):
    return Hostile(nn.Flatten(), nn.Linear(input_shape[0] * 64, classes))
"""
STUDY = """
study: secretive
budget: {trials: 2, epochs_per_trial: 1}
sampler: grid
plugins: [hostile.py]
data: {source: {image_folder: {path: pictures}}, input_size: 8}
model: {mlp: {hidden: [8]}, hostile: {}}
optimizer: {sgd: {lr: 0.1}}
"""


def shown(text: str) -> str:
    found = {f"U+{ord(sign):04X}" for sign in STEERING.findall(text)} - {"U+000D"}
    assert not found, f"{sorted(found)} in\n{text}"
    return text


def test_errors_of_plugins_and_names_of_classes(
    shell: WatchedShell, hpsearch: Callable[..., Ran]
) -> None:
    here = shell.folder
    for label in ("a\u202ecat", "dog"):
        folder = here / "pictures" / label
        folder.mkdir(parents=True)
        for number in range(10):
            pixels = np.full((8, 8, 3), 20 * number + 5 * len(label), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (here / "hostile.py").write_text(PLUGIN)
    (here / "secretive.yaml").write_text(STUDY)
    launched = shell.run("launch", "--study", "secretive.yaml")
    told = shown(launched.all)
    assert "the end" in told, told
    assert here == Path.cwd()
    shown(hpsearch("show", "--study", "secretive", "1").all)
    written = hpsearch("report", "--study", "secretive", "--out", "report")
    assert written.code == 0, written.all
    for name in ("report.html", "report.md", "report.json", "trials.csv", "curves.csv"):
        text = Path(here / "report" / name).read_text(encoding="utf-8")
        if name == "report.html":  # plotly.js has its own
            text = re.sub(r"(?s)<script(?! type).*?</script>", "", text)
        assert "cat" in text or name.endswith(".csv")
        shown(text)

"""check --model-summary: report E's own table."""

from __future__ import annotations

import re

STUDY = """\
study: emoji_layers
budget: {trials: 1, epochs_per_trial: 1}
data: {source: {pickled_dict: {path: emoji.pkl}}}
model: {emoji_net: {}}
optimizer: {sgd: {lr: 0.1}}
"""


def test_the_layer_table_is_the_report_s(hpsearch, here):
    import pickle

    import numpy as np

    images = np.random.default_rng(0).integers(0, 255, (50, 32, 32, 3), dtype=np.uint8)
    labels = [index % 5 for index in range(50)]
    names = ["aircraft", "birds", "ships", "people", "cats"]
    content = {"data": images, "labels": labels, "label_names": names}
    (here / "emoji.pkl").write_bytes(pickle.dumps(content))
    (here / "emoji_layers.yaml").write_text(STUDY)

    told = hpsearch("check", "--study", "emoji_layers.yaml", "--model-summary").out
    assert re.search(r"\nconv1 +Conv2d +32 x 16 x 16 +896 +221,184\n", told)
    assert re.search(r"\nconv2 +Conv2d +64 x 8 x 8 +18,496 ", told)
    assert re.search(r"\ndense1 +Linear +256 +1,048,832 ", told)
    assert re.search(r"\nlogits +Linear +5 +1,285 ", told)
    assert "\ntotal 1,069,509 parameters, 1,069,509 trainable, " in told
    sizes = "input 0.01 MB, forward/backward 0.11 MB, parameters 4.08 MB, total 4.20 MB"
    assert f"\n{sizes}\n" in told

    (model,) = hpsearch("check", "--study", "emoji_layers.yaml", "--json").json["models"]
    assert [layer["parameters"] for layer in model["example"]["layers"] if layer["parameters"]] == [
        896,
        18_496,
        1_048_832,
        1_285,
    ]

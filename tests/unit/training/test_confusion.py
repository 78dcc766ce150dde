"""The confusion matrix and its figures, against scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sklearn import metrics

from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training import engine
from hpsearch.training.confusion import balanced_accuracy, confusion, macro_f1
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.engine import train
from hpsearch.training.registries import MODELS

# truth, predictions; of the classes 0..3
CASES = [
    pytest.param([0, 0, 0, 1, 2, 2, 3], [0, 0, 1, 1, 2, 0, 3], id="every class"),
    pytest.param([0] * 90 + [1] * 10, [0] * 100, id="always the commonest"),
    pytest.param([0, 1, 1, 2], [0, 1, 2, 0], id="a class that nobody names"),
    pytest.param([0, 0, 1, 1], [0, 3, 1, 3], id="a class without images is predicted"),
    pytest.param([2], [2], id="one image"),
    pytest.param([0, 1], [1, 0], id="all wrong"),
]


@pytest.mark.parametrize(("truth", "predictions"), CASES)
# scikit-learn warns where a predicted class has no images; that case is meant
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_like_scikit_learn(truth: list[int], predictions: list[int]) -> None:
    matrix = confusion(torch.tensor(truth), torch.tensor(predictions), 4)
    expected = metrics.confusion_matrix(truth, predictions, labels=[0, 1, 2, 3])
    assert matrix.tolist() == expected.tolist()
    assert balanced_accuracy(matrix) == pytest.approx(
        metrics.balanced_accuracy_score(truth, predictions)
    )
    assert macro_f1(matrix) == pytest.approx(
        metrics.f1_score(truth, predictions, average="macro", zero_division=0)
    )


def test_uneven_classes_show_what_accuracy_hides() -> None:
    matrix = confusion(torch.tensor([0] * 90 + [1] * 10), torch.zeros(100).long(), 2)
    assert balanced_accuracy(matrix) == 0.5
    assert macro_f1(matrix) == pytest.approx(0.9 * 2 / 1.9 / 2)


def test_the_engine_reports_them_of_the_validation_images(
    plain_config: TrialConfig, data: PreparedData
) -> None:
    *_, last = train(plain_config)

    model = MODELS.build(Component("mlp", {"hidden": [16]}), (1, 8, 8), 3)
    model.load_state_dict(last.state()["model"])
    pixels = (data.images.float() / 255 - data.mean) / data.std
    predictions = model(pixels[data.val_indices]).argmax(1)
    truth = data.labels[data.val_indices]
    assert last.val_confusion == metrics.confusion_matrix(truth, predictions).tolist()
    assert 0 < last.metrics.val_accuracy < 1, "the test needs mistakes"
    assert last.metrics.val_balanced_accuracy == pytest.approx(
        metrics.balanced_accuracy_score(truth, predictions)
    )
    assert last.metrics.val_macro_f1 == pytest.approx(
        metrics.f1_score(truth, predictions, average="macro")
    )


def test_no_matrix_of_many_classes(
    plain_config: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CONFUSION_CLASSES", 2)
    first = next(train(plain_config))
    assert first.val_confusion is None
    assert first.metrics.val_macro_f1 > 0


def test_times_of_training_and_validation(plain_config: TrialConfig) -> None:
    first = next(train(replace(plain_config, batch_size=8)))
    assert 0 < first.metrics.val_seconds < first.metrics.seconds
    assert first.metrics.train_seconds == pytest.approx(
        first.metrics.seconds - first.metrics.val_seconds
    )

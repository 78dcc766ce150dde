"""What a step minimizes, and what is reported of it, against PyTorch and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from hpsearch.registry import Component
from hpsearch.training.losses import TrainingLoss, balanced_weights
from hpsearch.training.registries import REGULARIZERS

LOGITS = 3 * torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
LABELS = torch.randint(4, (20,), generator=torch.Generator().manual_seed(2))
SHARES = torch.rand(20, 4, generator=torch.Generator().manual_seed(3)).softmax(1)
WEIGHTS = torch.tensor([0.5, 1.0, 4.0, 2.0])


def smoothing(amount: float) -> TrainingLoss:
    return TrainingLoss([REGULARIZERS.build(Component("label_smoothing", {"amount": amount}))])


@pytest.mark.parametrize("targets", [LABELS, SHARES], ids=["labels", "shares"])
class TestLoss:
    def test_plain(self, targets):
        loss, plain = TrainingLoss()(LOGITS, targets)
        assert loss.item() == plain.item() == F.cross_entropy(LOGITS, targets).item()

    @pytest.mark.parametrize("amount", [0.0, 0.1, 0.7])
    def test_label_smoothing_is_pytorchs(self, targets, amount):
        loss, plain = smoothing(amount)(LOGITS, targets)
        expected = F.cross_entropy(LOGITS, targets, label_smoothing=amount)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        assert plain.item() == pytest.approx(F.cross_entropy(LOGITS, targets).item(), rel=1e-5)

    def test_class_weights(self, targets):
        loss, plain = TrainingLoss(class_weights=WEIGHTS)(LOGITS, targets)
        shares = F.one_hot(targets, 4).float() if targets.dim() == 1 else targets
        each = torch.stack(
            [F.cross_entropy(logits, share) for logits, share in zip(LOGITS, shares, strict=True)]
        )
        expected = sum(
            loss * (share * WEIGHTS).sum() for loss, share in zip(each, shares, strict=True)
        )
        assert loss.item() == pytest.approx(expected.item() / 20, rel=1e-5)  # not / the weights
        assert plain.item() == pytest.approx(each.mean().item(), rel=1e-5)

    def test_both_at_once(self, targets):
        both = TrainingLoss(
            [REGULARIZERS.build(Component("label_smoothing", {"amount": 0.2}))], WEIGHTS
        )
        for row in range(20):
            logits, target = LOGITS[row : row + 1], targets[row : row + 1]
            weight = WEIGHTS[target] if targets.dim() == 1 else target @ WEIGHTS
            expected = weight * F.cross_entropy(logits, target, label_smoothing=0.2)
            # a batch of one keeps its weight
            assert both(logits, target)[0].item() == pytest.approx(expected.item(), rel=1e-5)

    def test_gradients_flow_through_the_loss_alone(self, targets):
        for loss_of in (TrainingLoss(), smoothing(0.1), TrainingLoss(class_weights=WEIGHTS)):
            logits = LOGITS.clone().requires_grad_()
            loss, plain = loss_of(logits, targets)
            assert loss.requires_grad
            assert not plain.requires_grad


class TestBalancedWeights:
    def test_like_scikit_learns(self):
        labels = torch.tensor([0] * 50 + [1] * 5 + [2] * 20)
        weights = balanced_weights(torch.bincount(labels))
        expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
        assert weights.tolist() == pytest.approx(expected.tolist())
        assert weights[labels].mean().item() == pytest.approx(1)

    def test_a_class_without_images(self):
        weights = balanced_weights(torch.tensor([30, 0, 10]))
        assert weights.tolist() == pytest.approx([40 / 60, 0, 40 / 20])
        assert weights.dtype == torch.float32

"""mixup and cutmix: pixels and targets are mixed alike, by shares of the right distribution."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from hpsearch.training.augmentation.mixing import cutmix, mixup, symmetric_beta

N = 2000


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(n: int, height: int = 8, width: int = 10) -> torch.Tensor:
    """Return images of one number each: image i is all i."""
    return torch.arange(n).float().view(-1, 1, 1, 1).expand(-1, 3, height, width).contiguous()


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 4.0])
def test_symmetric_beta_is_beta(alpha):
    uniform = torch.rand(2, 20_000, generator=seeded(1), dtype=torch.float64)
    drawn = symmetric_beta(uniform[0], uniform[1], alpha)
    # Not the ends: with a small alpha a share of all numbers is nearer to 1 than a float can be
    at = torch.tensor([1e-6, 1e-3, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999, 1 - 1e-6])
    found = (drawn[:, None] < at.double()).double().mean(0)
    expected = stats.beta(alpha, alpha).cdf(at.double().numpy())
    assert found.tolist() == pytest.approx(expected, abs=0.015)  # 4 deviations


def test_symmetric_beta_of_extreme_draws():
    ends = torch.tensor([0.0, 1e-30, 0.25, 0.5, 1 - 2**-24])
    one, other = torch.meshgrid(ends, ends, indexing="ij")
    for alpha in (1e-3, 0.2, 1.0, 1e3, 1e9):
        drawn = symmetric_beta(one.flatten(), other.flatten(), alpha)
        assert ((drawn >= 0) & (drawn <= 1)).all()


class TestMixup:
    def test_pixels_and_targets_have_the_same_shares(self):
        images, targets = numbered(N), torch.eye(N)
        mixed, shares = mixup(alpha=1.0).mix(images, targets, seeded(1))
        assert torch.allclose(shares.sum(1), torch.ones(N), atol=1e-5)
        assert (shares > 0).sum(1).max() == 2
        expected = shares.double() @ torch.arange(N).double()
        assert torch.allclose(mixed[:, 1, 3, 4].double(), expected, atol=1e-3)
        assert torch.equal(mixed, mixed[:, :1, :1, :1].expand_as(mixed))

    def test_the_partners_are_a_permutation(self):
        _, shares = mixup(alpha=1.0).mix(numbered(N), torch.eye(N), seeded(1))
        given = shares.fill_diagonal_(0)
        assert (given > 0).sum(0).max() == 1  # each image is given to one other at most
        assert (given > 0).any(1).float().mean() > 0.99

    def test_own_shares_are_beta(self):
        _, shares = mixup(alpha=0.4).mix(numbered(N), torch.eye(N), seeded(1))
        own = shares.diagonal().numpy()
        assert stats.kstest(own[own < 1], stats.beta(0.4, 0.4).cdf).pvalue > 0.01

    def test_each_image_has_its_own_probability(self):
        images = numbered(N)
        mixed, shares = mixup(alpha=1.0, probability=0.3).mix(images, torch.eye(N), seeded(1))
        kept = shares.diagonal() == 1
        assert 1 - kept.float().mean().item() == pytest.approx(0.3, abs=0.041)  # 4 deviations
        assert torch.equal(mixed[kept], images[kept])


class TestCutmix:
    def test_targets_are_shared_by_pixels(self):
        images, targets = numbered(N), torch.eye(N)
        pasted, shares = cutmix(probability=1.0).mix(images, targets, seeded(1))
        for number in range(N):
            values, counts = pasted[number, 0].unique(return_counts=True)
            expected = torch.zeros(N)
            expected[values.long()] = counts / 80
            assert torch.allclose(shares[number], expected, atol=1e-6), number
        assert torch.equal(pasted, pasted[:, :1].expand_as(pasted))

    def test_what_is_pasted_keeps_its_place(self):
        """Every pixel is one of the batch's at the same place."""
        images = torch.rand(64, 3, 8, 8, generator=seeded(3))
        pasted, shares = cutmix(probability=1.0).mix(images, torch.eye(64), seeded(1))
        foreign = 0
        for number in range(64):
            partner = shares[number].clone().index_fill_(0, torch.tensor([number]), 0).argmax()
            own = (pasted[number] == images[number]).all(0)
            other = (pasted[number] == images[partner]).all(0)
            assert (own | other).all()
            blank = ~own
            foreign += int(blank.sum())
            # a full rectangle
            assert blank.sum() == blank.any(0).sum() * blank.any(1).sum()
        assert foreign > 500

    def test_areas_follow_beta_before_they_are_cut_off(self):
        """With Beta(1, 1) the area of the rectangle is uniform; inside the image it is smaller."""
        _, shares = cutmix(probability=1.0).mix(numbered(N, 100, 100), torch.eye(N), seeded(1))
        pasted = 1 - shares.diagonal()
        # E[area inside] for a side s centred anywhere: s * (1 - s / 4) in each direction
        side = torch.rand(200_000, generator=seeded(5)).sqrt()
        expected = (side * (1 - side / 4)) ** 2
        assert pasted.mean().item() == pytest.approx(expected.mean().item(), abs=0.025)

    def test_each_image_has_its_own_probability(self):
        images = numbered(N, 40, 40)
        pasted, shares = cutmix(probability=0.4).mix(images, torch.eye(N), seeded(1))
        kept = shares.diagonal() == 1
        # a rectangle may be too small for a pixel: one in 1,600 and fewer
        assert 1 - kept.float().mean().item() == pytest.approx(0.4, abs=0.044)  # 4 deviations
        assert torch.equal(pasted[kept], images[kept])


@pytest.mark.parametrize("augmentation", [mixup(alpha=1.0), cutmix(probability=1.0)], ids=str)
def test_a_batch_of_one_mixes_with_itself(augmentation):
    images = torch.rand(1, 3, 8, 8)
    mixed, targets = augmentation.mix(images, torch.tensor([[0.0, 1.0]]), seeded(1))
    assert torch.allclose(mixed, images)
    assert torch.allclose(targets, torch.tensor([[0.0, 1.0]]))


@pytest.mark.parametrize("augmentation", [mixup(alpha=1.0), cutmix(probability=1.0)], ids=str)
def test_what_is_mixed_already_is_mixed_on(augmentation):
    targets = torch.full((50, 4), 0.25)
    _, mixed = augmentation.mix(torch.rand(50, 3, 8, 8), targets, seeded(1))
    assert torch.allclose(mixed, targets)

"""The rules together, on searches whose truth is known: few, seeded, and with generous bounds.

``benchmarks.honesty`` is the measurement; docs/honest-numbers.md has its figures.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.honesty import World, rows, run


@pytest.mark.parametrize("pool", [None, 900])
def test_a_confirmation_is_honest_where_the_best_seen_is_not(pool: int | None) -> None:
    world = World(name="small", configurations=40, spread=0.2, pool=pool, images=300, seeds=3)
    found = run(world, searches=40)
    assert np.mean(found.covered) > 0.8
    assert np.mean(found.differences) > 0.8
    assert np.mean(found.next_training) > 0.8
    # In points: the best of 40 flatters itself by more than 1, the confirmed figure by nothing much
    assert 100 * np.mean(found.naive_bias) > 1
    assert 100 * abs(np.mean(found.bias)) < 0.7
    assert np.mean(found.gain) > 0
    assert np.mean(found.trainings) < 0.95 * np.mean(found.all_trainings)
    head, row = rows({"small": found})
    assert len(head) == len(row)


@pytest.mark.parametrize("pool", [None, 900])
def test_groups_of_images_are_no_independent_images(pool: int | None) -> None:
    world = World(
        name="small", configurations=20, spread=0.2, pool=pool, images=300, seeds=3, group=8
    )
    found = run(world, searches=30)
    assert np.mean(found.covered) > 0.75
    assert np.mean(found.differences) > 0.8
    assert len(found.ungrouped) == 30
    if pool is None:
        # Over 300 images that count as independent it holds in about half
        assert np.mean(found.ungrouped) < np.mean(found.covered) - 0.1

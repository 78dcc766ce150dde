"""Extremely randomised trees as plain arrays: grown by scikit-learn, evaluated with NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

TREES, LEAF = 50, 3

#: A leaf's value in ``Forest.feature``.
_LEAF = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Forest:
    """Nodes of all trees, one tree after the other; a node's children come after it."""

    #: The first node of each tree.
    roots: NDArray[np.int32]
    #: Of each node, all (nodes,): the feature that it compares (``_LEAF`` for none), the threshold,
    #: the next node if the feature is at most the threshold and if it is more, the mean target.
    feature: NDArray[np.int8]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the mean over all trees for each row; (n, features) to (n,)."""
        at = np.repeat(self.roots[:, None], len(rows), axis=1)
        places = np.arange(len(rows))
        while True:
            features = self.feature[at]
            inner = features != _LEAF
            if not inner.any():
                means: NDArray[np.float64] = self.value[at].mean(axis=0, dtype=np.float64)
                return means
            low = rows[places, features] <= self.threshold[at]
            at = np.where(inner, np.where(low, self.left[at], self.right[at]), at)

    def is_sound(self, features: int) -> bool:
        """Whether every path ends in a leaf, to check a forest from a file."""
        count = len(self.feature)
        lengths = {
            len(getattr(self, field.name)) for field in fields(self) if field.name != "roots"
        }
        inner = self.feature != _LEAF
        after = np.arange(count)[inner]
        return bool(
            lengths == {count}
            and len(self.roots)
            and np.all((self.roots >= 0) & (self.roots < count))
            and np.all((self.feature >= _LEAF) & (self.feature < features))
            and all(
                np.all((child[inner] > after) & (child[inner] < count))
                for child in (self.left, self.right)
            )
        )


def grow(
    rows: NDArray[np.float32], targets: NDArray[np.float32], weights: NDArray[np.float64]
) -> Forest:
    """Grow a forest; the same rows give the same forest with the same scikit-learn.

    Args:
        rows: (n, features): one row per configuration.
        targets: (n,): the values to predict.
        weights: (n,): the weight of each row.
    """
    # Imported late: it takes a second, and only the code that builds a prior needs it
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(n_estimators=TREES, min_samples_leaf=LEAF, random_state=0)
    model.fit(rows, targets, sample_weight=weights)
    trees = [estimator.tree_ for estimator in model.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])

    def joined(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(tree, name) for tree in trees])

    shifts = np.repeat(roots, [tree.node_count for tree in trees])
    is_leaf = joined("children_left") == -1
    return Forest(
        roots=roots.astype(np.int32),
        feature=np.where(is_leaf, _LEAF, joined("feature")).astype(np.int8),
        threshold=_round_down(np.where(is_leaf, 0.0, joined("threshold"))),
        left=np.where(is_leaf, 0, joined("children_left") + shifts).astype(np.int32),
        right=np.where(is_leaf, 0, joined("children_right") + shifts).astype(np.int32),
        value=joined("value").reshape(-1).astype(np.float32),
    )


def _round_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to single precision: features have it, so no comparison changes."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)

"""The rows that networks are trained on with shares: diabetes, its target above the median, and exclusive or.

scikit-learn's scaled features and a column of ones; 354 rows to train on and 88 to test. The split is its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedsec.mpc.ring_fixed_point import Floats

TEST_ROWS = 88


@dataclass(frozen=True)
class Rows:
    """Rows to train on and to test with: features with the bias, targets 0 or 1 as a column."""

    features: Floats
    target: Floats
    test_features: Floats
    test_target: Floats

    def hospitals(self, number: int) -> list[tuple[Floats, Floats]]:
        """The training rows in `number` parts of almost one size."""
        parts = np.array_split(np.arange(len(self.target)), number)
        return [(self.features[part], self.target[part]) for part in parts]


def diabetes(split: int = 0) -> Rows:
    """The rows of one split."""
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    data = load_diabetes()
    target = (data.target > np.median(data.target)).astype(np.float64)[:, None]
    features = np.column_stack([data.data, np.ones(len(target))])
    a, b, c, d = train_test_split(features, target, test_size=TEST_ROWS, random_state=split)
    return Rows(a, c, b, d)


def xor() -> Rows:
    """The four rows of exclusive or, with a column of ones; tested on what was trained on."""
    features = np.array([[a, b, 1.0] for a in (0.0, 1.0) for b in (0.0, 1.0)])
    target = (features[:, :1] != features[:, 1:2]).astype(np.float64)
    return Rows(features, target, features, target)

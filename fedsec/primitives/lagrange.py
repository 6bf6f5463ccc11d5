"""Lagrange's weights over a Field: what takes values of a polynomial at some points to its values at others.

`interpolation_plain` computes the same on Python integers, and is used where that is little (`mersenne.compiled`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from fedsec.errors import ConfigurationError
from fedsec.primitives import mersenne
from fedsec.primitives.field import Field
from fedsec.primitives.mersenne import Values


@lru_cache(maxsize=32)
def interpolation(sources: tuple[int, ...], targets: tuple[int, ...], field: Field) -> Values:
    """Return Lagrange's weights, shape (r, m), read-only: weights times values at m sources gives those at r targets.

    Points are taken mod p; the values are those of polynomials of degree < m.
    Raises ConfigurationError where two sources are equal mod p.
    """
    x, t = (np.array([point % field.p for point in points], dtype=np.uint64) for points in (sources, targets))
    if len(np.unique(x)) != len(x):
        raise ConfigurationError(f"interpolation: a source is there twice: {sorted(sources)}")
    weights: Values = np.empty((t.size, x.size), dtype=field.word)
    if mersenne.compiled(t.size * x.size**2):
        mersenne.interpolate(x, t, np.uint64(field.p), weights)
    else:
        weights[:] = np.array(interpolation_plain(x.tolist(), t.tolist(), field), field.word).reshape(weights.shape)
    weights.flags.writeable = False
    return weights


def interpolation_plain(sources: Sequence[int], targets: Sequence[int], field: Field) -> list[list[int]]:
    """Return what `interpolation` does, by Lagrange's formula on Python integers: the reference."""
    weights = []
    for target in targets:
        row = []
        for i, own in enumerate(sources):
            over, under = 1, 1
            for other in (*sources[:i], *sources[i + 1 :]):
                over = over * (target - other) % field.p
                under = under * (own - other) % field.p
            row.append(over * field.inverse(under) % field.p)
        weights.append(row)
    return weights

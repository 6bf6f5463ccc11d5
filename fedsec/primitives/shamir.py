"""Shamir's secret sharing (CACM 22(11), 1979) of vectors: every value by its own random polynomial over a Field.

`split_plain` and `combine_plain` compute the same on Python integers, from the same randomness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.field import BLOCK, Field, horner_plain
from fedsec.primitives.mersenne import Values, horner31, horner61
from fedsec.primitives.randomness import Random


def split(secret: Values, points: Sequence[int], threshold: int, field: Field, rng: Random) -> dict[int, Values]:
    """Return one share for each of `points`: any `threshold` of them give `secret`, fewer say nothing about it.

    `secret` has shape (d,), uint64, values in [0, p); so has each share, a row of one array.
    `points` are distinct, in [1, p). `rng` is asked for (threshold - 1) d field elements.
    Raises ConfigurationError for a point that is 0, twice there or not below p, for a threshold outside
    2 to len(points), and for a secret that is no such array.
    """
    _check_split(points, threshold, field)
    if secret.dtype != np.uint64 or secret.ndim != 1 or (secret.size and int(secret.max()) >= field.p):
        raise ConfigurationError(f"secret: one dimension of uint64 below 2^{field.bits} - 1 is expected")
    # One allocation gets huge pages where many smaller ones would cost a page fault every 4 KiB.
    shares = dict(zip(points, np.empty((len(points), secret.size), dtype=np.uint64), strict=True))
    evaluate = horner31 if field.bits == 31 else horner61
    block = _block(threshold)
    memory = np.empty(threshold * min(block, secret.size), dtype=np.uint64)
    for start in range(0, secret.size, block):
        part = secret[start : start + block]
        # Shamir's q(x) = a_0 + a_1 x + ... + a_{k-1} x^{k-1}: a_0 is the secret, the others are uniform.
        memory[: part.size] = part
        field.fill(memory[part.size : threshold * part.size], rng)
        rows = memory[: threshold * part.size].reshape(threshold, part.size)
        for point, share in shares.items():
            evaluate(rows, np.uint64(point), share[start : start + block])
    return shares


def combine(shares: Mapping[int, Values], threshold: int, field: Field) -> Values:
    """Return the secret, shape (d,), from `threshold` or more shares, by Lagrange's formula at 0.

    The `threshold` smallest points give the secret; every further share must lie on the same polynomials.
    Raises BadMessage where fewer shares came, lengths differ, a point is not in [1, p), a value is not below p, or a
    further share lies elsewhere; ConfigurationError for a threshold below 2.
    """
    points = _check_combine(shares, threshold, field)
    base, further = points[:threshold], points[threshold:]
    rows = [shares[point] for point in base]
    for point in further:
        if not np.array_equal(field.dot(lagrange(base, point, field), rows), shares[point]):
            raise BadMessage(f"share of point {point}: it does not lie on the polynomial of points {base}")
    return field.dot(lagrange(base, 0, field), rows)


def lagrange(points: Sequence[int], at: int, field: Field) -> list[int]:
    """Return Lagrange's weights: sum_i weights[i] q(points[i]) = q(at) mod p for every q of degree < len(points)."""
    weights = []
    for i, own in enumerate(points):
        over, under = 1, 1
        for other in (*points[:i], *points[i + 1 :]):
            over = over * (at - other) % field.p
            under = under * (own - other) % field.p
        weights.append(over * field.inverse(under) % field.p)
    return weights


def split_plain(
    secret: Sequence[int], points: Sequence[int], threshold: int, field: Field, rng: Random
) -> dict[int, list[int]]:
    """Return what `split` does from the same `rng`, on Python integers: the reference."""
    _check_split(points, threshold, field)
    shares: dict[int, list[int]] = {point: [] for point in points}
    block = _block(threshold)
    for start in range(0, len(secret), block):
        part = [int(value) for value in secret[start : start + block]]
        rows = [part, *field.random((threshold - 1, len(part)), rng).tolist()]
        for point, share in shares.items():
            share.extend(horner_plain(rows, point, field.p))
    return shares


def combine_plain(shares: Mapping[int, Sequence[int]], threshold: int, field: Field) -> list[int]:
    """Return what `combine` does, on Python integers, from the `threshold` smallest points: the reference."""
    points = sorted(shares)[:threshold]
    weights = lagrange(points, 0, field)
    columns = zip(*(shares[point] for point in points), strict=True)
    return [sum(w * int(v) for w, v in zip(weights, column, strict=True)) % field.p for column in columns]


def _block(threshold: int) -> int:
    return max(1 << 10, 2 * BLOCK // threshold)


def _check_split(points: Sequence[int], threshold: int, field: Field) -> None:
    if len(set(points)) != len(points):
        raise ConfigurationError(f"points: one is there twice: {sorted(points)}")
    if any(not 0 < point < field.p for point in points):
        raise ConfigurationError(f"points: {sorted(points)}; each must be at least 1 and below 2^{field.bits} - 1")
    if not 2 <= threshold <= len(points):
        raise ConfigurationError(f"threshold: {threshold}; at least 2 and at most {len(points)} shares are needed")


def _check_combine(shares: Mapping[int, Values], threshold: int, field: Field) -> list[int]:
    if threshold < 2:
        raise ConfigurationError(f"threshold: {threshold}; at least 2 is needed")
    if len(shares) < threshold:
        raise BadMessage(f"shares: {len(shares)} came and {threshold} are needed")
    points = sorted(shares)
    for point in points:
        if not 0 < point < field.p:
            raise BadMessage(f"share of point {point}: points are at least 1 and below 2^{field.bits} - 1")
        field.check(shares[point], f"share of point {point}")
        if shares[point].ndim != 1 or shares[point].size != shares[points[0]].size:
            raise BadMessage(f"share of point {point}: shape {shares[point].shape} differs from the others'")
    return points

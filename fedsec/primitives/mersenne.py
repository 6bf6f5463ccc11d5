"""Compiled kernels for the Mersenne fields of 2^31 - 1 and 2^61 - 1, without the interpreter's lock.

In these fields 2^bits = 1, so a product is reduced by adding its high bits to its low ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.uint64]
Kernel = TypeVar("Kernel", bound=Callable[..., object])


def jit(function: Kernel) -> Kernel:
    """Compile `function` with numba, without the interpreter's lock.

    The machine code is cached on disk where numba finds a writable place, and compiled per process where it finds none
    (a read-only installation without a home directory).
    """
    try:
        return cast(Kernel, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:
        return cast(Kernel, numba.njit(nogil=True)(function))


P31, P61 = np.uint64((1 << 31) - 1), np.uint64((1 << 61) - 1)
_3, _29, _31, _32, _61 = (np.uint64(shift) for shift in (3, 29, 31, 32, 61))
_ONE, _SMALL = np.uint64(1), np.uint64(1 << 30)
_TILE = 1 << 11  # values of one polynomial's running evaluation, kept in a core's first-level cache
_LOW29, _LOW32 = np.uint64((1 << 29) - 1), np.uint64((1 << 32) - 1)


@jit
def fold31(x: np.uint64) -> np.uint64:
    """Return a value below 2^34 that equals `x` modulo p."""
    return (x & P31) + (x >> _31)


@jit
def mul31(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return ab mod p for a, b < p."""
    x = fold31(fold31(a * b))
    return x - P31 if x >= P31 else x


@jit
def mul61(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return ab mod p for a, b < p, from products of 32-bit halves: 2^64 = 8 and 2^61 = 1 modulo p."""
    a1, a0, b1, b0 = a >> _32, a & _LOW32, b >> _32, b & _LOW32
    middle, low = a1 * b0 + a0 * b1, a0 * b0  # middle < 2^62: no carry is lost
    x = ((a1 * b1) << _3) + (middle >> _29) + ((middle & _LOW29) << _32) + (low & P61) + (low >> _61)
    x = (x & P61) + (x >> _61)
    return x - P61 if x >= P61 else x


@jit
def mask(words: NDArray[np.uint32] | Values, p: np.uint64, out: Values) -> bool:
    """Set out to words & p, and return whether a value is p, which is drawn again."""
    top = np.uint64(0)
    for i in range(out.size):
        out[i] = np.uint64(words[i]) & p
        top = max(top, out[i])
    return bool(top == p)


@jit
def multiply31(a: Values, b: Values, out: Values) -> None:
    for i in range(out.size):
        out[i] = mul31(a[i], b[i])


@jit
def multiply61(a: Values, b: Values, out: Values) -> None:
    for i in range(out.size):
        out[i] = mul61(a[i], b[i])


@jit
def weigh31(weight: np.uint64, row: Values, out: Values) -> None:
    for j in range(out.size):
        y = out[j] + mul31(weight, row[j])
        out[j] = y - P31 if y >= P31 else y


@jit
def weigh61(weight: np.uint64, row: Values, out: Values) -> None:
    for j in range(out.size):
        y = out[j] + mul61(weight, row[j])
        out[j] = y - P61 if y >= P61 else y


@jit
def step31(y: Values, x: np.uint64, row: Values, out: Values) -> None:
    """Set out to xy + row, below 2^34 and congruent, for y < 2^34 and x < 2^30."""
    for j in range(out.size):
        out[j] = fold31(y[j] * x) + row[j]


@jit
def step61(y: Values, x: np.uint64, row: Values, out: Values) -> None:
    """Set out to xy + row, below 2^62 and congruent, for y < 2^62 and x < 2^30: two products where `mul61` has four."""
    for j in range(out.size):
        high, low = (y[j] >> _32) * x, (y[j] & _LOW32) * x
        total = (high >> _29) + ((high & _LOW29) << _32) + (low & P61) + (low >> _61) + row[j]
        out[j] = (total & P61) + (total >> _61)


@jit
def horner31(rows: Values, x: np.uint64, out: Values) -> None:
    """Set out[j] to the sum of rows[i, j] x^i mod p, for rows of shape (t, at least out.size) and x < p."""
    for start in range(0, out.size, _TILE):
        tile = out[start : start + _TILE]
        tile[:] = rows[rows.shape[0] - 1, start : start + tile.size]
        for i in range(rows.shape[0] - 2, -1, -1):
            if x < _SMALL:
                step31(tile, x, rows[i, start : start + tile.size], tile)
            else:
                multiply31(tile, np.full(tile.size, x), tile)
                weigh31(_ONE, rows[i, start : start + tile.size], tile)
        for j in range(tile.size):
            y = fold31(fold31(tile[j]))
            tile[j] = y - P31 if y >= P31 else y


@jit
def horner61(rows: Values, x: np.uint64, out: Values) -> None:
    """Set out[j] to the sum of rows[i, j] x^i mod p, for rows of shape (t, at least out.size) and x < p."""
    for start in range(0, out.size, _TILE):
        tile = out[start : start + _TILE]
        tile[:] = rows[rows.shape[0] - 1, start : start + tile.size]
        for i in range(rows.shape[0] - 2, -1, -1):
            if x < _SMALL:
                step61(tile, x, rows[i, start : start + tile.size], tile)
            else:
                multiply61(tile, np.full(tile.size, x), tile)
                weigh61(_ONE, rows[i, start : start + tile.size], tile)
        for j in range(tile.size):
            y = (tile[j] & P61) + (tile[j] >> _61)
            tile[j] = y - P61 if y >= P61 else y

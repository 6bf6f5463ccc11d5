"""Compiled kernels for the Mersenne fields of 2^31 - 1 and 2^61 - 1, without the interpreter's lock.

In these fields 2^bits = 1, so a product is reduced by adding its high bits to its low ones. Elements are uint32 in the
smaller field and uint64 in the larger one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.uint32] | NDArray[np.uint64]
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
_1, _3, _29, _30, _31, _32, _61 = (np.uint64(shift) for shift in (1, 3, 29, 30, 31, 32, 61))
_LOW29, _LOW30, _LOW32 = (np.uint64((1 << bits) - 1) for bits in (29, 30, 32))
_TILE = 1 << 10  # columns of a product worked on at once: four rows and a running sum stay in the first-level cache
_HALF = _TILE // 2


@jit
def fold31(x: np.uint64) -> np.uint64:
    """Return a value below 2^34 that equals `x` modulo 2^31 - 1, and is at most 2^31 for x < 2^62."""
    return (x & P31) + (x >> _31)


@jit
def fold61(x: np.uint64) -> np.uint64:
    """Return a value below 2^61 + 8 that equals `x` modulo 2^61 - 1."""
    return (x & P61) + (x >> _61)


@jit
def mul31(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return ab mod p for a, b < p."""
    x = fold31(fold31(a * b))
    return min(x, x - P31)  # where x < p, the difference wraps to a larger value


@jit
def mul61(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return ab mod p for a, b < p, from products of 32-bit halves: 2^64 = 8 and 2^61 = 1 modulo p."""
    a1, a0, b1, b0 = a >> _32, a & _LOW32, b >> _32, b & _LOW32
    middle, low = a1 * b0 + a0 * b1, a0 * b0  # middle < 2^62: no carry is lost
    x = fold61(((a1 * b1) << _3) + (middle >> _29) + ((middle & _LOW29) << _32) + fold61(low))
    return min(x, x - P61)


@jit
def mul(a: np.uint64, b: np.uint64, p: np.uint64) -> np.uint64:
    return mul31(a, b) if p == P31 else mul61(a, b)


@jit
def mask(words: Values, p: np.uint64, out: Values) -> bool:
    """Set out to words & p, and return whether a value is p, which is drawn again."""
    low = words.dtype.type(p)
    top = words.dtype.type(0)
    for i in range(out.size):
        out[i] = words[i] & low
        top = max(top, out[i])
    return bool(top == low)


@jit
def multiply(a: Values, b: Values, p: np.uint64, out: Values) -> None:
    for i in range(out.size):
        out[i] = mul(np.uint64(a[i]), np.uint64(b[i]), p)


@jit
def accumulate(row: Values, p: np.uint64, total: NDArray[np.uint64]) -> None:
    """Add a row to a total, which stays at most p + 2."""
    bits = _31 if p == P31 else _61
    for i in range(total.size):
        x = total[i] + np.uint64(row[i])
        total[i] = (x & p) + (x >> bits)


@jit
def reduce(total: NDArray[np.uint64], p: np.uint64, out: Values) -> None:
    """Set out to total mod p, for a total at most p + 2."""
    for i in range(out.size):
        out[i] = min(total[i], total[i] - p)


@jit
def interpolate(sources: NDArray[np.uint64], targets: NDArray[np.uint64], p: np.uint64, out: Values) -> None:
    """Set out[j, i] to Lagrange's weight of source i at target j: the product over k != i of (t_j - x_k) / (x_i - x_k).

    Products of all factors before i and of all after it need no inverse of t_j - x_i, which may be 0.
    """
    m = sources.size
    scale = np.empty(m, np.uint64)
    for i in range(m):
        under = _1
        for k in range(m):
            if k != i:
                under = mul(under, (sources[i] + (p - sources[k])) % p, p)
        # Fermat: 1 / x = x^(p - 2).
        inverse, power, exponent = _1, under, p - np.uint64(2)
        while exponent:
            if exponent & _1:
                inverse = mul(inverse, power, p)
            power = mul(power, power, p)
            exponent >>= _1
        scale[i] = inverse
    before, factors = np.empty(m, np.uint64), np.empty(m, np.uint64)
    for j in range(targets.size):
        running = _1
        for i in range(m):
            before[i] = running
            factors[i] = (targets[j] + (p - sources[i])) % p
            running = mul(running, factors[i], p)
        running = _1
        for i in range(m - 1, -1, -1):
            out[j, i] = mul(mul(before[i], running, p), scale[i], p)
            running = mul(running, factors[i], p)


@jit
def product31(weights: NDArray[np.uint32], rows: NDArray[np.uint32], out: NDArray[np.uint32], at: int) -> None:
    """Set columns of `out`, shape (r, d), from `at` on to weights (r, m) times rows (m, n) modulo 2^31 - 1.

    Two neighbouring values are one 64-bit word: vector multiplication reads the low half as it is, and the high half
    after a shift. Four products of values below 2^31 - 1 are below 2^64 together, so every fourth one is folded.
    """
    r, m = weights.shape
    fours = (m + 3) // 4
    padded = np.zeros((r, 4 * fours), np.uint32)
    padded[:, :m] = weights
    tile, result, total = np.zeros(4 * fours * _TILE, np.uint32), np.empty(_TILE, np.uint32), np.empty(_TILE, np.uint64)
    for start in range(0, rows.shape[1], _TILE):
        width = min(_TILE, rows.shape[1] - start)
        for i in range(m):
            tile[i * _TILE : i * _TILE + width] = rows[i, start : start + width]
        for i in range(r):
            total[:] = 0
            for k in range(fours):
                four = slice(4 * k, 4 * k + 4)
                add_four31(padded[i, four], tile.view(np.uint64)[four.start * _HALF : four.stop * _HALF], total)
            finish31(total, result.view(np.uint64))
            out[i, at + start : at + start + width] = result[:width]


@jit
def add_four31(weights: NDArray[np.uint32], words: NDArray[np.uint64], total: NDArray[np.uint64]) -> None:
    w0, w1, w2, w3 = np.uint64(weights[0]), np.uint64(weights[1]), np.uint64(weights[2]), np.uint64(weights[3])
    a, b, c, d = words[:_HALF], words[_HALF : 2 * _HALF], words[2 * _HALF : 3 * _HALF], words[3 * _HALF :]
    low, high = total[:_HALF], total[_HALF:]
    for j in range(_HALF):
        low[j] += fold31(w0 * (a[j] & _LOW32) + w1 * (b[j] & _LOW32) + w2 * (c[j] & _LOW32) + w3 * (d[j] & _LOW32))
        high[j] += fold31(w0 * (a[j] >> _32) + w1 * (b[j] >> _32) + w2 * (c[j] >> _32) + w3 * (d[j] >> _32))


@jit
def finish31(total: NDArray[np.uint64], words: NDArray[np.uint64]) -> None:
    low, high = total[:_HALF], total[_HALF:]
    for j in range(_HALF):
        a, b = fold31(fold31(low[j])), fold31(fold31(high[j]))
        words[j] = min(a, a - P31) | min(b, b - P31) << _32


@jit
def product61(weights: NDArray[np.uint64], rows: NDArray[np.uint64], out: NDArray[np.uint64], at: int) -> None:
    """Set columns of `out`, shape (r, d), from `at` on to weights (r, m) times rows (m, n) modulo 2^61 - 1."""
    r, m = weights.shape
    for start in range(0, rows.shape[1], _TILE):
        width = min(_TILE, rows.shape[1] - start)
        for i in range(r):
            total = np.zeros(width, np.uint64)
            for k in range(m):
                row = rows[k, start : start + width]
                w = weights[i, k]
                for j in range(width):
                    total[j] = fold61(total[j] + mul61(w, row[j]))
            for j in range(width):
                out[i, at + start + j] = min(total[j], total[j] - P61)

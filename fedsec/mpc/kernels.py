"""Compiled loops over Z_2^64: matrix products, truncation of an opened value, and table look-ups of digits.

numpy multiplies uint64 matrices without BLAS, one element at a time through its generic loop; these take the same
operands several times as fast. Kernels that call each other stay in this one file (see primitives.mersenne).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedsec.primitives.mersenne import jit

Words = NDArray[np.uint64]
"""Elements of Z_2^64, of any shape."""
DIGITS = 16
"""Digits of four bits in a word; the highest has three, the sign bit being apart."""

_0, _1, _3, _4, _15, _62, _63 = (np.uint64(value) for value in (0, 1, 3, 4, 15, 62, 63))
_LOW63 = np.uint64((1 << 63) - 1)
_OFFSET = np.uint64(1 << 62)


@jit
def dot_into(out: Words, x: Words, y: Words) -> None:
    """Add x @ y to out modulo 2^64: x is [n, k], y [k, m] and out [n, m], all contiguous."""
    n, k, m = x.shape[0], x.shape[1], y.shape[1]
    if m == 1:
        for i in range(n):
            total = _0
            for inner in range(k):
                total += x[i, inner] * y[inner, 0]
            out[i, 0] += total
        return
    for i in range(n):
        for inner in range(k):
            factor = x[i, inner]
            for j in range(m):
                out[i, j] += factor * y[inner, j]


def dot(x: Words, y: Words) -> Words:
    """x @ y modulo 2^64, as uint64[n, m]."""
    out = np.zeros((x.shape[0], y.shape[1]), np.uint64)
    dot_into(out, np.ascontiguousarray(x), np.ascontiguousarray(y))
    return out


@jit
def opened(c: Words, shift: np.uint64, public: Words, sign: Words) -> None:
    """From the opened c = x + 2^62 + r: the public part of x >> shift, and the sign of the wrap bit's term.

    With r = 2^63 b + low, the carry into bit 63 is c's top bit XOR b, which is linear in b: x >> shift is
    (c mod 2^63 >> shift) + carry 2^(63 - shift) - (low >> shift) - 2^(62 - shift), and one unit less at most.
    """
    weight, start = _1 << (_63 - shift), _1 << (_62 - shift)
    for i in range(c.size):
        top = c[i] >> _63
        public[i] = ((c[i] & _LOW63) >> shift) + top * weight - start
        sign[i] = _1 - (top + top)


@jit
def one_hot(r: Words, out: Words) -> None:
    """The digits of r's low 63 bits, each as 16 bits of which one is set: uint64[size, 4], four digits a word."""
    for i in range(r.size):
        low = r[i] & _LOW63
        for word in range(4):
            packed = _0
            for place in range(4):
                digit = (low >> np.uint64(4 * (4 * word + place))) & _15
                packed |= _1 << (digit + np.uint64(16 * place))
            out[i, word] = packed


@jit
def look_up(c: Words, tables: Words, less: NDArray[np.uint8], equal: NDArray[np.uint8]) -> None:
    """One party's XOR shares of [c's digit < r's digit] and of their equality: uint8[16, size], from `one_hot` shares.

    The table being one-hot, c < r holds where the one set bit lies above place c: the parity of what is there.
    """
    for i in range(c.size):
        low = c[i] & _LOW63
        for number in range(DIGITS):
            digit = (low >> np.uint64(4 * number)) & _15
            table = (tables[i, number >> 2] >> np.uint64(16 * (number & 3))) & np.uint64(0xFFFF)
            equal[number, i] = np.uint8((table >> digit) & _1)
            above = table >> (digit + _1)
            above ^= above >> np.uint64(8)
            above ^= above >> _4
            above ^= above >> np.uint64(2)
            above ^= above >> _1
            less[number, i] = np.uint8(above & _1)

"""Compiled loops over Z_2^64: matrix products, truncation of an opened value, and table look-ups of digits.

numpy multiplies uint64 matrices without BLAS, one element at a time through its generic loop; these take the same
operands several times as fast. Kernels that call each other stay in this one file (see primitives.mersenne).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsec.primitives.mersenne import jit

Words = NDArray[np.uint64]
"""Elements of Z_2^64, of any shape."""
Integers = NDArray[np.int64]
Int = Any
"""An int64 of compiled code: numba's rules hold, not Python's."""
DIGITS = 16
"""Digits of four bits in a word; the highest has three, the sign bit being apart."""
ADD, SUBTRACT, MULTIPLY, XOR, AND, ADD_PRODUCT = range(6)
COPY, GATHER, ZERO, DOT, OPENED, HALVES, ONE_HOT, LOOK_UP, TOP, UNPACK = range(6, 16)
"""The operations of a tape; those up to ADD_PRODUCT are element by element."""

_0, _1, _2, _4, _8, _15, _62, _63 = (np.uint64(value) for value in (0, 1, 2, 4, 8, 15, 62, 63))
_CLEAR1, _CLEAR2, _CLEAR4, _CLEAR8 = (np.uint64(0x0001_0001_0001_0001 * (0xFFFF >> n)) for n in (1, 2, 4, 8))
"""What is left of four words of 16 bits after a shift of all 64: no bit of a neighbour's."""
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


@jit
def opened(c: Words, shift: np.uint64, wrap: Words, above: Words, first: np.uint64, out: Words) -> None:
    """From the opened c = x + r: of x >> shift the public part, the sign of the wrap bit's term, and a party's share.

    With r = 2^63 b + low and c = x + 2^62 + r, the carry into bit 63 is c's top bit XOR b, which is linear in b:
    x >> shift is (c mod 2^63 >> shift) + carry 2^(63 - shift) - (low >> shift) - 2^(62 - shift), and one unit less at
    most. wrap and above: the party's shares of `halves` of r. first: 1 for party 0, which adds the public part. out:
    three times the size of c.
    """
    size, weight, start = c.size, _1 << (_63 - shift), _1 << (_62 - shift)
    public, sign, share = out[:size], out[size : 2 * size], out[2 * size :]
    for i in range(size):
        value = c[i] + _OFFSET
        top = value >> _63
        public[i] = ((value & _LOW63) >> shift) + top * weight - start
        sign[i] = _1 - (top + top)
        share[i] = sign[i] * wrap[i] + above[i] + first * public[i]


@jit
def halves(r: Words, shift: np.uint64, wrap: Words, above: Words) -> None:
    """Of a truncation's mask: the wrap bit at its place, and minus what the low 63 bits leave above the shift."""
    for i in range(r.size):
        wrap[i] = (r[i] >> _63) << (_63 - shift)
        above[i] = _0 - ((r[i] & _LOW63) >> shift)


@jit
def one_hot(r: Words, out: Words) -> None:
    """The digits of r's low 63 bits, each as 16 bits of which one is set: [4, size], four digits a word."""
    size = r.size
    for word in range(4):
        for i in range(size):
            low, packed = (r[i] & _LOW63) >> np.uint64(16 * word), _0
            for place in range(4):
                digit = (low >> np.uint64(4 * place)) & _15
                packed |= _1 << (digit + np.uint64(16 * place))
            out[word * size + i] = packed


@jit
def look_up(c: Words, tables: Words, less: Words, equal: Words) -> None:
    """One party's XOR shares of [c's digit < r's digit] and of their equality, from its shares of `one_hot`.

    Bits, 64 to a word, [16 digits from the lowest, words]. The table being one-hot, c < r holds where the one set bit
    lies above place c: the parity of what is there, which four steps find for all places of four tables.
    """
    size, width = c.size, less.size // DIGITS
    for word in range(width):
        start, count = 64 * word, min(64, size - 64 * word)
        for group in range(4):
            l0, l1, l2, l3, e0, e1, e2, e3 = _0, _0, _0, _0, _0, _0, _0, _0
            for i in range(count):
                table, bit = tables[group * size + start + i], np.uint64(i)
                digits = (c[start + i] & _LOW63) >> np.uint64(16 * group)
                above = (table >> _1) & _CLEAR1
                above ^= (above >> _1) & _CLEAR1
                above ^= (above >> _2) & _CLEAR2
                above ^= (above >> _4) & _CLEAR4
                above ^= (above >> _8) & _CLEAR8
                d0, d1 = digits & _15, ((digits >> _4) & _15) + np.uint64(16)
                d2, d3 = ((digits >> _8) & _15) + np.uint64(32), ((digits >> np.uint64(12)) & _15) + np.uint64(48)
                l0 |= ((above >> d0) & _1) << bit
                l1 |= ((above >> d1) & _1) << bit
                l2 |= ((above >> d2) & _1) << bit
                l3 |= ((above >> d3) & _1) << bit
                e0 |= ((table >> d0) & _1) << bit
                e1 |= ((table >> d1) & _1) << bit
                e2 |= ((table >> d2) & _1) << bit
                e3 |= ((table >> d3) & _1) << bit
            place = 4 * group * width + word
            less[place], equal[place] = l0, e0
            less[place + width], equal[place + width] = l1, e1
            less[place + 2 * width], equal[place + 2 * width] = l2, e2
            less[place + 3 * width], equal[place + 3 * width] = l3, e3


@jit
def top_bits(values: Words, out: Words) -> None:
    """The highest bit of each value, 64 to a word, into words that are zero before."""
    for i in range(values.size):
        out[i >> 6] |= (values[i] >> _63) << np.uint64(i & 63)


@jit
def unpack(words: Words, out: Words) -> None:
    """The first out.size bits of the words, each as 0 or 1."""
    for i in range(out.size):
        out[i] = (words[i >> 6] >> np.uint64(i & 63)) & _1


@jit
def _element_wise(op: Int, out: Words, x: Words, y: Words, scalar: np.uint64, given: Int) -> None:
    """One of the operations below, of x and y, of x and a scalar (`given` is 1), or of a scalar and x (2)."""
    if op == ADD:
        if given == 0:
            for i in range(out.size):
                out[i] = x[i] + y[i]
        else:
            for i in range(out.size):
                out[i] = x[i] + scalar
    elif op == SUBTRACT:
        if given == 0:
            for i in range(out.size):
                out[i] = x[i] - y[i]
        elif given == 1:
            for i in range(out.size):
                out[i] = x[i] - scalar
        else:
            for i in range(out.size):
                out[i] = scalar - x[i]
    elif op == MULTIPLY:
        if given == 0:
            for i in range(out.size):
                out[i] = x[i] * y[i]
        else:
            for i in range(out.size):
                out[i] = x[i] * scalar
    elif op == XOR:
        if given == 0:
            for i in range(out.size):
                out[i] = x[i] ^ y[i]
        else:
            for i in range(out.size):
                out[i] = x[i] ^ scalar
    elif op == ADD_PRODUCT:
        for i in range(out.size):
            out[i] += x[i] * y[i]
    else:
        if given == 0:
            for i in range(out.size):
                out[i] = x[i] & y[i]
        else:
            for i in range(out.size):
                out[i] = x[i] & scalar


@jit
def execute(code: Integers, places: Integers, memory: Words, begin: Int, end: Int) -> None:
    """Carry out instructions `begin` to `end` of a tape (see tape.py) on its memory.

    code: int64[instructions, 9], a row of operation, size, the places of result, x, y and z, and three numbers.
    places: where a GATHER reads from.
    """
    for row in range(begin, end):
        op, size, at, first, second, third, one, two = code[row, :8]
        scalar, out, x = np.uint64(code[row, 8]), memory[at : at + size], memory[first : first + size]
        if op <= ADD_PRODUCT:
            _element_wise(op, out, x, memory[second : second + size], scalar, one)
        elif op == COPY:
            for i in range(size):
                out[i] = x[i]
        elif op == GATHER:
            for i in range(size):
                out[i] = memory[places[first + i]]
        elif op == ZERO:
            for i in range(size):
                out[i] = _0
        elif op == DOT:
            inner = size // (one * two)
            dot_into(
                memory[at : at + one * two].reshape(one, two),
                memory[first : first + one * inner].reshape(one, inner),
                memory[second : second + inner * two].reshape(inner, two),
            )
        elif op == OPENED:
            opened(
                x,
                scalar,
                memory[second : second + size],
                memory[third : third + size],
                np.uint64(one),
                memory[at : at + 3 * size],
            )
        elif op == HALVES:
            halves(x, scalar, out, memory[second : second + size])
        elif op == ONE_HOT:
            one_hot(x, memory[at : at + 4 * size])
        elif op == LOOK_UP:
            width = DIGITS * ((size + 63) >> 6)
            look_up(x, memory[second : second + 4 * size], memory[at : at + width], memory[at + width : at + 2 * width])
        elif op == TOP:
            top_bits(x, memory[at : at + ((size + 63) >> 6)])
        elif op == UNPACK:
            unpack(memory[first : first + ((size + 63) >> 6)], out)

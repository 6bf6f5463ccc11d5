"""Arithmetic in the Mersenne fields of 2^31 - 1 and 2^61 - 1 on arrays, values in uint64.

The kernels are compiled (`mersenne`); `horner_plain` and the tests compute the same on Python integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.mersenne import (
    Values,
    horner31,
    horner61,
    mask,
    multiply31,
    multiply61,
    weigh31,
    weigh61,
)
from fedsec.primitives.randomness import Random, randbytes

BLOCK = 1 << 15  # values whose temporaries stay in a core's second-level cache


@dataclass(frozen=True)
class Field:
    """The integers modulo p = 2^bits - 1, bits 31 or 61; arrays hold values in [0, p) as uint64.

    Methods take any shape where they name none, return new arrays, and trust their arguments to be below p: `check`
    is what received values go through. Raises ConfigurationError for other bits.
    """

    bits: int

    def __post_init__(self) -> None:
        if self.bits not in (31, 61):
            raise ConfigurationError(f"field: {self.bits} bits; the fields have 31 or 61")

    @property
    def p(self) -> int:
        """The modulus."""
        return (1 << self.bits) - 1

    def check(self, values: Values, name: str) -> None:
        """Raise BadMessage, naming `name`, unless `values` is a uint64 array of field elements."""
        if not isinstance(values, np.ndarray) or values.dtype != np.uint64:
            raise BadMessage(f"{name}: field elements are expected as an array of uint64")
        if values.size and int(values.max()) >= self.p:
            raise BadMessage(f"{name}: a value is not below the modulus 2^{self.bits} - 1")

    def random(self, shape: int | tuple[int, ...], rng: Random) -> Values:
        """Return uniform values: 4 bytes of `rng` each (8 for 61 bits), masked to `bits`, drawn again where they are p.

        The chance of a second draw is 2^-bits a value, so exactness costs nothing.
        """
        values = np.empty(shape, dtype=np.uint64)
        self.fill(values.reshape(-1), rng)
        return values

    def fill(self, out: Values, rng: Random) -> None:
        """Set `out`, one contiguous dimension, to what `random` returns."""
        word = np.dtype("<u4" if self.bits == 31 else "<u8")
        drawn = np.frombuffer(randbytes(out.size * word.itemsize, rng), dtype=word)
        if mask(drawn, np.uint64(self.p), out):
            bad = np.flatnonzero(out == self.p)
            out[bad] = self.random(bad.size, rng)

    def add(self, a: Values, b: Values) -> Values:
        """Return a + b mod p."""
        total = a + b
        # Where total < p, the difference wraps to a larger value.
        reduced: Values = np.minimum(total, total - np.uint64(self.p))
        return reduced

    def sub(self, a: Values, b: Values) -> Values:
        """Return a - b mod p."""
        difference = a - b
        reduced: Values = np.minimum(difference, difference + np.uint64(self.p))
        return reduced

    def sum(self, arrays: Iterable[Values]) -> Values:
        """Return the sum mod p of one or more arrays of equal shape, reduced only when 64 bits could run over.

        Raises ConfigurationError for none, and BadMessage where shapes differ.
        """
        rows = list(arrays)
        if not rows:
            raise ConfigurationError("field sum: it needs at least one array")
        if any(row.shape != rows[0].shape for row in rows):
            raise BadMessage(f"field sum: shapes differ: {sorted({row.shape for row in rows})}")
        flat = [np.ascontiguousarray(row).reshape(-1) for row in rows]
        out = np.empty(flat[0].size, dtype=np.uint64)
        room = (1 << (64 - self.bits)) - 1  # so many elements, added to one, stay below 2^64
        for start in range(0, out.size, BLOCK):
            part = out[start : start + BLOCK]
            part[:] = flat[0][start : start + BLOCK]
            for i, row in enumerate(flat[1:], 1):
                np.add(part, row[start : start + BLOCK], out=part)
                if i % room == 0:
                    np.remainder(part, np.uint64(self.p), out=part)
            np.remainder(part, np.uint64(self.p), out=part)
        return out.reshape(rows[0].shape)

    def mul(self, a: Values, b: Values | int) -> Values:
        """Return the elementwise product mod p; shapes broadcast, and an integer is taken mod p."""
        other = np.asarray(b % self.p, dtype=np.uint64) if isinstance(b, int) else b
        x, y = np.broadcast_arrays(a, other)
        out = np.empty(x.size, dtype=np.uint64)
        (multiply31 if self.bits == 31 else multiply61)(np.ravel(x), np.ravel(y), out)
        return out.reshape(x.shape)

    def inverse(self, a: int) -> int:
        """Return 1 / a mod p for a Python integer. Raises ConfigurationError where a is 0 mod p."""
        if a % self.p == 0:
            raise ConfigurationError("field: zero has no inverse")
        return pow(a, -1, self.p)

    def horner(self, rows: Values, x: int) -> Values:
        """Return sum_i rows[i] x^i mod p for rows of shape (t >= 1, d): the polynomials' values at x in [0, p)."""
        out = np.empty(rows.shape[1], dtype=np.uint64)
        (horner31 if self.bits == 31 else horner61)(rows, np.uint64(x % self.p), out)
        return out

    def dot(self, weights: Sequence[int], rows: Sequence[Values]) -> Values:
        """Return sum_i weights[i] rows[i] mod p, for as many one-dimensional rows of equal length as weights."""
        out = np.zeros(rows[0].size, dtype=np.uint64)
        kernel = weigh31 if self.bits == 31 else weigh61
        for start in range(0, out.size, BLOCK):
            for weight, row in zip(weights, rows, strict=True):
                part = slice(start, start + BLOCK)
                kernel(np.uint64(weight % self.p), row[part], out[part])
        return out


M31, M61 = Field(31), Field(61)
FIELDS = {31: M31, 61: M61}


def horner_plain(rows: Sequence[Sequence[int]], x: int, p: int) -> list[int]:
    """Return what `Field.horner` does, on Python integers: the reference."""
    return [sum(value * pow(x, i, p) for i, value in enumerate(column)) % p for column in zip(*rows, strict=True)]

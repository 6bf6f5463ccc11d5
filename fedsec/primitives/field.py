"""Arithmetic in the Mersenne fields of 2^31 - 1 and 2^61 - 1 on arrays: values in uint32 and uint64.

Kernels are compiled (`mersenne`); `sum_plain`, `mul_plain` and `product_plain` are the same on Python integers, which
compute what is so little that to load the compiler would take longer (`mersenne.compiled`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives import mersenne
from fedsec.primitives.integers import plain_array
from fedsec.primitives.mersenne import Values as Values  # exported: what fields hold
from fedsec.primitives.randomness import Random, randbytes

BLOCK = 1 << 15  # values that are drawn, and worked on, at once: a few such rows stay in the second-level cache


@dataclass(frozen=True)
class Field:
    """The integers modulo p = 2^bits - 1, bits 31 or 61; arrays hold values in [0, p) as `word`.

    Methods take any shape where they name none, return new arrays, and trust their arguments to be below p: `check`
    and `load` are what received values go through. Raises ConfigurationError for other bits.
    """

    bits: int

    def __post_init__(self) -> None:
        if self.bits not in (31, 61):
            raise ConfigurationError(f"field: {self.bits} bits; the fields have 31 or 61")

    @property
    def p(self) -> int:
        """The modulus."""
        return (1 << self.bits) - 1

    @property
    def word(self) -> np.dtype[Any]:
        """What holds an element: little-endian uint32 for 31 bits, uint64 for 61."""
        return np.dtype("<u4") if self.bits == 31 else np.dtype("<u8")

    def check(self, values: Values, name: str) -> None:
        """Raise BadMessage, naming `name`, unless `values` is an array of field elements."""
        self.check_type(values, name)
        if values.size and int(values.max()) >= self.p:
            raise BadMessage(f"{name}: a value is not below the modulus 2^{self.bits} - 1")

    def check_type(self, values: Values, name: str) -> None:
        """Raise BadMessage, naming `name`, unless `values` is an array of words, whatever they hold."""
        if not plain_array(values) or values.dtype != self.word:
            raise BadMessage(f"{name}: field elements are expected as an array of {self.word.name}")

    def load(self, data: bytes, count: int, name: str = "field elements") -> Values:
        """Return the `count` values, read-only, in `data`: little-endian, 4 bytes each, or 8 for 61 bits.

        Raises BadMessage, naming `name`, for another length and for a value not below p.
        """
        if len(data) != count * self.word.itemsize:
            raise BadMessage(f"{name}: {len(data)} bytes came and {count * self.word.itemsize} are expected")
        values: Values = np.frombuffer(data, self.word)
        self.check(values, name)
        return values

    def dump(self, values: Values) -> bytes:
        """Return `values` as `load` reads them."""
        return values.astype(self.word, copy=False).tobytes()

    def random(self, shape: int | tuple[int, ...], rng: Random) -> Values:
        """Return uniform values: 4 bytes of `rng` each (8 for 61 bits), masked to `bits`, drawn again where they are p.

        The chance of a second draw is 2^-bits a value, so exactness costs nothing. Values are drawn in blocks of
        BLOCK, each made whole before the next one is drawn: a stream gives the same values to who asks block by block.
        """
        values: Values = np.empty(shape, dtype=self.word)
        self.fill(values.reshape(-1), rng)
        return values

    def fill(self, out: Values, rng: Random) -> None:
        """Set `out`, one contiguous dimension, to what `random` returns."""
        for start in range(0, out.size, BLOCK):
            part = out[start : start + BLOCK]
            drawn: Values = np.frombuffer(randbytes(part.nbytes, rng), dtype=self.word)
            np.bitwise_and(drawn, self.word.type(self.p), out=part)
            if part.max() == self.p:
                bad = np.flatnonzero(part == self.p)
                part[bad] = self.random(bad.size, rng)

    def add(self, a: Values, b: Values) -> Values:
        """Return a + b mod p."""
        total = a + b
        # Where total < p, the difference wraps to a larger value.
        reduced: Values = np.minimum(total, total - self.word.type(self.p))
        return reduced

    def sub(self, a: Values, b: Values) -> Values:
        """Return a - b mod p."""
        difference = a - b
        reduced: Values = np.minimum(difference, difference + self.word.type(self.p))
        return reduced

    def sum(self, arrays: Iterable[Values]) -> Values:
        """Return the sum mod p of one or more arrays of equal shape, each read once.

        Raises ConfigurationError for none, and BadMessage where shapes differ.
        """
        rows = list(arrays)
        if not rows:
            raise ConfigurationError("field sum: it needs at least one array")
        if any(row.shape != rows[0].shape for row in rows):
            raise BadMessage(f"field sum: shapes differ: {sorted({row.shape for row in rows})}")
        flat = [row.reshape(-1) for row in rows]
        if not mersenne.compiled(flat[0].size * len(flat)):
            return self._array(sum_plain([row.tolist() for row in flat], self.p)).reshape(rows[0].shape)
        out: Values = np.empty(flat[0].size, dtype=self.word)
        for start in range(0, out.size, BLOCK):
            part = slice(start, start + BLOCK)
            total = np.zeros(out[part].size, dtype=np.uint64)
            for row in flat:
                mersenne.accumulate(row[part], np.uint64(self.p), total)
            mersenne.reduce(total, np.uint64(self.p), out[part])
        return out.reshape(rows[0].shape)

    def mul(self, a: Values, b: Values | int) -> Values:
        """Return the elementwise product mod p; shapes broadcast, and an integer is taken mod p."""
        x, y = np.broadcast_arrays(a, np.asarray(b % self.p, dtype=self.word) if isinstance(b, int) else b)
        if not mersenne.compiled(x.size):
            return self._array(mul_plain(x.ravel().tolist(), y.ravel().tolist(), self.p)).reshape(x.shape)
        out: Values = np.empty(x.size, dtype=self.word)
        mersenne.multiply(x.flatten(), y.flatten(), np.uint64(self.p), out)
        return out.reshape(x.shape)

    def inverse(self, a: int) -> int:
        """Return 1 / a mod p for a Python integer. Raises ConfigurationError where a is 0 mod p."""
        if a % self.p == 0:
            raise ConfigurationError("field: zero has no inverse")
        return pow(a, -1, self.p)

    def product(self, weights: Values, rows: Values) -> Values:
        """Return the matrix product mod p of weights, shape (r, m), and rows, shape (m, d): shape (r, d)."""
        if rows.shape[1] < weights.shape[0]:  # kernels run along the columns
            return self.product(rows.T.copy(), weights.T.copy()).T
        out: Values = np.empty((weights.shape[0], rows.shape[1]), dtype=self.word)
        self.product_into(weights, rows, out, 0)
        return out

    def product_into(self, weights: Values, rows: Values, out: Values, at: int) -> None:
        """Set the columns of `out` from `at` on, as many as `rows` has, to weights times rows; `out` is contiguous."""
        if not mersenne.compiled(weights.shape[0] * rows.size):
            out[:, at : at + rows.shape[1]] = self._product(weights, rows)
            return
        kernel = mersenne.product31 if self.bits == 31 else mersenne.product61
        kernel(weights.copy(), rows, out, at)  # a copy is writable: one type less to compile for

    def condense(self, rows: Values, factors: Values) -> tuple[Values, int]:
        """Return the sums mod p of each tile of each row, weighed with each row of factors, and the largest value.

        Of rows of shape (m, d), contiguous, and factors of shape (r, s), these are ceil(d / s) tiles of s values, of
        which the last may be shorter, and sums of shape (m, ceil(d / s), r). The values need not be below p: if the
        largest is not, the sums mean nothing.
        """
        (m, d), (r, s) = rows.shape, factors.shape
        tiles = -(-d // s)
        if mersenne.compiled(r * rows.size):
            out: Values = np.empty((m, tiles, r), dtype=self.word)
            kernel = mersenne.condense31 if self.bits == 31 else mersenne.condense61
            return out, int(kernel(rows, factors, out))
        padded: Values = np.zeros((m, tiles * s), dtype=self.word)
        padded[:, :d] = rows
        sums = self._product(factors, padded.reshape(m * tiles, s).T).T.reshape(m, tiles, r)
        return sums.astype(self.word), int(rows.max(initial=0))

    def _product(self, weights: Values, rows: Values) -> Values:
        """What `product` returns, without a kernel."""
        if self.bits == 31:
            return _product31(weights, rows)
        products = product_plain(weights.tolist(), rows.tolist(), self.p)
        return self._array(products).reshape(len(products), rows.shape[1])

    def _array(self, values: Sequence[Any]) -> Values:
        return np.array(values, dtype=self.word)


def _product31(weights: Values, rows: Values) -> Values:
    """The matrix product modulo 2^31 - 1 by NumPy alone: a product of two elements fits 62 bits."""
    p, total = np.uint64((1 << 31) - 1), np.zeros((weights.shape[0], rows.shape[1]), np.uint64)
    for column, row in zip(weights.T.astype(np.uint64), rows.astype(np.uint64), strict=True):
        total = (total + column[:, None] * row) % p
    return total


M31, M61 = Field(31), Field(61)
FIELDS = {31: M31, 61: M61}


def sum_plain(rows: Sequence[Sequence[int]], p: int) -> list[int]:
    """Return what `Field.sum` does, on Python integers: the reference."""
    return [sum(column) % p for column in zip(*rows, strict=True)]


def mul_plain(a: Sequence[int], b: Sequence[int], p: int) -> list[int]:
    """Return what `Field.mul` does, on Python integers: the reference."""
    return [x * y % p for x, y in zip(a, b, strict=True)]


def product_plain(weights: Sequence[Sequence[int]], rows: Sequence[Sequence[int]], p: int) -> list[list[int]]:
    """Return what `Field.product` does, on Python integers: the reference."""
    columns = list(zip(*rows, strict=True))
    return [[sum(w * x for w, x in zip(row, column, strict=True)) % p for column in columns] for row in weights]

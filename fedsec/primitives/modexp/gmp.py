"""The engine `gmpy2`: GMP's own arithmetic, one number after another, wherever gmpy2 runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gmpy2
from gmpy2 import mpz

from fedsec.primitives.modexp.engine import WINDOW, Engine, FixedBase
from fedsec.primitives.modexp.straus import multiply
from fedsec.primitives.parallel import spread

WIDE_AFTER = 4_000
"""Powers of one base from which on a table with wider windows has paid for itself: 0.6 s at 2048 bits."""
WIDE = ((2304, 10), (3328, 9))
"""Windows of the wider table, by the most bits of n: some 50 to 70 MB."""


class Gmp(Engine):
    """See `Engine`. Powers of a common exponent use all cores; fixed bases and products hold the interpreter's lock."""

    name = "gmpy2"

    def _fixed_base(self, base: int, n: int, degree: int, exponent_bits: int) -> FixedBase:
        return (_Pairs if degree == 2 else _Table)(base, n, degree, exponent_bits)

    def _powers(self, bases: Sequence[int], exponent: int, n: int, degree: int) -> list[mpz]:
        modulus, out = mpz(n) ** degree, [mpz(b) for b in bases]

        def work(start: int, stop: int) -> None:
            out[start:stop] = gmpy2.powmod_base_list(out[start:stop], mpz(exponent), modulus)

        spread(work, len(out))
        return out

    def _product(self, columns: Sequence[Sequence[int]], modulus: int) -> list[mpz]:
        m = mpz(modulus)
        result = [mpz(x) % m for x in columns[0]]
        for column in columns[1:]:
            result = [a * b % m for a, b in zip(result, column, strict=True)]
        return result

    def _products_of_powers(
        self, bases: Sequence[Sequence[int]], exponents: Sequence[Sequence[int]], n: int, degree: int
    ) -> list[mpz]:
        modulus = mpz(n) ** degree
        rows = zip(zip(*bases, strict=True), zip(*exponents, strict=True), strict=True)
        terms = ([(mpz(b) % modulus, e) for b, e in zip(*row, strict=True) if e] for row in rows)
        return [multiply(some, modulus) % modulus for some in terms]

    def _shifted(self, columns: Sequence[Sequence[int]], bits: int, n: int, degree: int) -> list[mpz]:
        modulus = mpz(n) ** degree
        out = [mpz(x) % modulus for x in columns[-1]]
        for column in columns[-2::-1]:
            moved = self._powers(out, 1 << bits, n, degree)
            out = [power * x % modulus for power, x in zip(moved, column, strict=True)]
        return out


class _Table(FixedBase):
    """Row i, column j: base^(j 2^(i window)) modulo n^degree."""

    def __init__(self, base: int, n: int, degree: int, exponent_bits: int) -> None:
        super().__init__(n, degree, exponent_bits)
        self._n, self._modulus = mpz(n), mpz(n) ** degree
        self._base, self._done, self._window = mpz(base) % self._modulus, 0, WINDOW
        self._table = self._made()

    def _made(self) -> list[list[Any]]:
        step, rows = self._base, []
        for _ in range(-(-self.exponent_bits // self._window)):
            row = [mpz(1) % self._modulus, step]
            for _ in range((1 << self._window) - 2):
                row.append(row[-1] * step % self._modulus)
            rows.append([self._entry(power) for power in row])
            step = row[-1] * step % self._modulus
        return rows

    def _entry(self, power: mpz) -> Any:
        """A power as the table has it."""
        return power

    def _powers(self, exponents: bytes, factors: Sequence[Sequence[int]]) -> list[mpz]:
        self._done += len(factors)
        if self._done >= WIDE_AFTER and self._window == WINDOW:
            self._window = next((bits for most, bits in WIDE if self._n.bit_length() <= most), WINDOW)
            if self._window > WINDOW:
                self._table = self._made()
        size = self.rows
        return [self._power(self._digits(exponents[i * size : (i + 1) * size]), f) for i, f in enumerate(factors)]

    def _digits(self, exponent: bytes) -> Sequence[int]:
        """The exponent's digits of a window's bits, lowest first."""
        if self._window == WINDOW:
            return exponent
        number, mask = int.from_bytes(exponent, "little"), (1 << self._window) - 1
        return [number >> low & mask for low in range(0, len(self._table) * self._window, self._window)]

    def _power(self, exponent: Sequence[int], digits: Sequence[int]) -> mpz:
        result, modulus = mpz(0), self._modulus
        for digit in reversed(digits):
            result = result * self._n + digit
        result %= modulus
        for row, j in zip(self._table, exponent, strict=True):
            if j:
                result = result * row[j] % modulus
        return result


class _Pairs(_Table):
    """The same modulo n^2, on digits in base n: three products of half the length, and the fourth vanishes."""

    def _entry(self, power: mpz) -> tuple[mpz, mpz]:
        high, low = gmpy2.f_divmod(power, self._n)
        return low, high

    def _power(self, exponent: Sequence[int], digits: Sequence[int]) -> mpz:
        n, divide = self._n, gmpy2.f_divmod
        a, b = (mpz(digit) for digit in digits)
        for row, j in zip(self._table, exponent, strict=True):
            if j:
                c, d = row[j]
                carry, low = divide(a * c, n)
                a, b = low, (a * d + b * c + carry) % n
        return (a + b * n) % self._modulus

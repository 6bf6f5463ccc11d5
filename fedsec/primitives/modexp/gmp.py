"""The engine `gmpy2`: GMP's own arithmetic, one number after another, wherever gmpy2 runs."""

from __future__ import annotations

from collections.abc import Sequence

import gmpy2
from gmpy2 import mpz

from fedsec.primitives.modexp.engine import WINDOW, Engine, FixedBase
from fedsec.primitives.parallel import spread


class Gmp(Engine):
    """See `Engine`. Powers of a common exponent use all cores; fixed bases and products hold the interpreter's lock."""

    name = "gmpy2"

    def _fixed_base(self, base: int, n: int, degree: int, exponent_bits: int) -> FixedBase:
        return _Table(base, n, degree, exponent_bits)

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


class _Table(FixedBase):
    """Row i, column j: base^(j 2^(i WINDOW)) modulo n^degree."""

    def __init__(self, base: int, n: int, degree: int, exponent_bits: int) -> None:
        super().__init__(n, degree, exponent_bits)
        self._n, self._modulus = mpz(n), mpz(n) ** degree
        step, self._table = mpz(base) % self._modulus, []
        for _ in range(self.rows):
            row = [mpz(1) % self._modulus, step]
            for _ in range((1 << WINDOW) - 2):
                row.append(row[-1] * step % self._modulus)
            self._table.append(row)
            step = row[-1] * step % self._modulus

    def _powers(self, exponents: bytes, factors: Sequence[Sequence[int]]) -> list[mpz]:
        return [self._power(exponents[i * self.rows : (i + 1) * self.rows], digits) for i, digits in enumerate(factors)]

    def _power(self, exponent: bytes, digits: Sequence[int]) -> mpz:
        result, modulus = mpz(0), self._modulus
        for digit in reversed(digits):
            result = result * self._n + digit
        result %= modulus
        for row, j in zip(self._table, exponent, strict=True):
            if j:
                result = result * row[j] % modulus
        return result

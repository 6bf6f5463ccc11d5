"""Batched modular exponentiation on gmpy2: the three operations that Paillier spends its time in.

An engine is a module with `FixedBase`, `powers` and `product` as they are here: batches of integers in, lists of
integers in [0, modulus) out. None runs in constant time: an observer on the same machine is outside the threat model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import gmpy2
from gmpy2 import mpz

from fedsec.errors import BadMessage, ConfigurationError


@dataclass(frozen=True)
class FixedBase:
    """Powers of one base mod `modulus`, for exponents in [0, 2^exponent_bits), by a table of the base's powers.

    Brickell, Gordon, McCurley and Wilson, Eurocrypt 1992: exponent digits of `window` bits, one product a digit. The
    table, built at the first use, holds ceil(exponent_bits / window) (2^window - 1) residues: 38 MB for 1536 bits
    modulo 6144 bits. Raises ConfigurationError for a modulus below 2, or a window outside 1 to 12.
    """

    base: int
    modulus: int
    exponent_bits: int
    window: int = 8

    def __post_init__(self) -> None:
        if self.modulus < 2 or self.exponent_bits < 0 or not 1 <= self.window <= 12:
            raise ConfigurationError("fixed base: a modulus of at least 2 and a window of 1 to 12 bits are needed")

    @cached_property
    def _table(self) -> list[list[mpz]]:
        """Row i, column j: base^(j 2^(i window)) mod modulus."""
        modulus, step = mpz(self.modulus), mpz(self.base) % self.modulus
        table = []
        for _ in range(-(-self.exponent_bits // self.window)):
            row = [mpz(1) % modulus, step]
            for _ in range((1 << self.window) - 2):
                row.append(row[-1] * step % modulus)
            table.append(row)
            step = row[-1] * step % modulus
        return table

    def powers(self, exponents: Sequence[int]) -> list[mpz]:
        """Return base^e mod modulus for each e. Raises ConfigurationError for an e outside [0, 2^exponent_bits)."""
        if any(e < 0 or e.bit_length() > self.exponent_bits for e in exponents):
            raise ConfigurationError(f"fixed base: an exponent is negative or above {self.exponent_bits} bits")
        return [self._power(e) for e in exponents]

    def _power(self, exponent: int) -> mpz:
        modulus, digit = mpz(self.modulus), (1 << self.window) - 1
        digits = exponent.to_bytes(len(self._table), "little") if self.window == 8 else None
        result = mpz(1) % modulus
        for i, row in enumerate(self._table):
            j = digits[i] if digits is not None else (exponent >> (i * self.window)) & digit
            if j:
                result = result * row[j] % modulus
        return result


def powers(bases: Sequence[int], exponent: int, modulus: int) -> list[mpz]:
    """Return b^exponent mod modulus for each b, without the interpreter's lock.

    Raises ConfigurationError for a negative exponent or a modulus below 1.
    """
    if exponent < 0 or modulus < 1:
        raise ConfigurationError("powers: an exponent of at least 0 and a modulus of at least 1 are needed")
    if not bases:
        return []
    return [mpz(x) for x in gmpy2.powmod_base_list([mpz(b) for b in bases], mpz(exponent), mpz(modulus))]


def product(columns: Sequence[Sequence[int]], modulus: int) -> list[mpz]:
    """Return, for each position, the product mod `modulus` over all columns: one modular product per factor.

    Raises ConfigurationError for no columns or a modulus below 1, and BadMessage where their lengths differ.
    """
    if not columns or modulus < 1:
        raise ConfigurationError("product: at least one column and a modulus of at least 1 are needed")
    if len({len(column) for column in columns}) > 1:
        raise BadMessage(f"product: the columns' lengths differ: {sorted({len(column) for column in columns})}")
    m = mpz(modulus)
    result = [mpz(x) % m for x in columns[0]]
    for column in columns[1:]:
        result = [a * b % m for a, b in zip(result, column, strict=True)]
    return result

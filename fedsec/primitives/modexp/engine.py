"""What an engine of modular exponentiation does, in batches: the three operations that Paillier spends its time in.

No engine runs in constant time: an observer on the same machine is outside the threat model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from gmpy2 import mpz

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.integers import integer, integers

WINDOW = 8  # bits of an exponent that one product with a fixed base's table takes


class FixedBase(ABC):
    """Powers of one base modulo n^degree, for exponents in [0, 2^exponent_bits), from a table of the base's powers.

    Brickell, Gordon, McCurley and Wilson, Eurocrypt 1992: one product for each 8 bits of the exponent. The table holds
    256 residues for each: 38 MB and more for 1536 bits modulo n^2 of 6144 bits.
    """

    def __init__(self, n: int, degree: int, exponent_bits: int) -> None:
        self.modulus, self.degree, self.exponent_bits = n**degree, degree, exponent_bits
        self.rows = -(-exponent_bits // WINDOW)

    def powers(self, exponents: Sequence[int], factors: Sequence[Sequence[int]] | None = None) -> list[mpz]:
        """Return base^e, or f base^e, modulo n^degree, for each exponent e, and each factor f as digits in base n.

        A factor is `degree` digits in [0, n), lowest first; without factors, f = 1. Raises ConfigurationError for an
        exponent outside [0, 2^exponent_bits), and where the numbers of factors and exponents differ.
        """
        exponents = integers("fixed base: exponents", exponents)
        if any(e < 0 or e.bit_length() > self.exponent_bits for e in exponents):
            raise ConfigurationError(f"fixed base: an exponent is negative or above {self.exponent_bits} bits")
        if factors is None:
            factors = [[1] + [0] * (self.degree - 1)] * len(exponents)
        else:
            factors = [integers("fixed base: digits of a factor", factor) for factor in factors]
        if len(factors) != len(exponents):
            raise ConfigurationError(f"fixed base: {len(factors)} factors came for {len(exponents)} exponents")
        if not exponents:
            return []
        return self._powers(b"".join([int(e).to_bytes(self.rows, "little") for e in exponents]), factors)

    @abstractmethod
    def _powers(self, exponents: bytes, factors: Sequence[Sequence[int]]) -> list[mpz]:
        """`powers` for one number and more; exponents are `rows` bytes each, lowest first."""


class Engine(ABC):
    """Batches of integers in, lists of integers in [0, modulus) out.

    Integers are int, mpz or numpy's; every operation raises ConfigurationError for a float, a fraction or a bool.
    """

    name: str

    def fixed_base(self, base: int, n: int, degree: int, exponent_bits: int) -> FixedBase:
        """Return the powers of `base` modulo n^degree. Raises ConfigurationError for n < 2 or degree < 1."""
        base, n, degree, exponent_bits = integers("fixed base", (base, n, degree, exponent_bits))
        if n < 2 or degree < 1 or exponent_bits < 0:
            raise ConfigurationError("fixed base: n >= 2, degree >= 1 and exponents of at least 0 bits are needed")
        return self._fixed_base(base, n, degree, exponent_bits)

    def powers(self, bases: Sequence[int], exponent: int, n: int, degree: int = 1) -> list[mpz]:
        """Return b^exponent modulo n^degree for each b, without the interpreter's lock.

        Raises ConfigurationError for a negative exponent, n < 1 or degree < 1.
        """
        bases = integers("powers: bases", bases)
        exponent, n, degree = integers("powers: exponent, n and degree", (exponent, n, degree))
        if exponent < 0 or n < 1 or degree < 1:
            raise ConfigurationError("powers: an exponent of at least 0, n >= 1 and degree >= 1 are needed")
        return self._powers(bases, exponent, n, degree) if bases else []

    def product(self, columns: Sequence[Sequence[int]], modulus: int) -> list[mpz]:
        """Return, for each position, the product mod `modulus` over all columns: one modular product per factor.

        Raises ConfigurationError for no columns or a modulus below 1, and BadMessage where their lengths differ.
        """
        columns, modulus = _columns("product", columns), integer("product: modulus", modulus)
        if not columns or modulus < 1:
            raise ConfigurationError("product: at least one column and a modulus of at least 1 are needed")
        if len({len(column) for column in columns}) > 1:
            raise BadMessage(f"product: the columns' lengths differ: {sorted({len(column) for column in columns})}")
        return self._product(columns, modulus) if len(columns[0]) else []

    def products_of_powers(
        self, bases: Sequence[Sequence[int]], exponents: Sequence[Sequence[int]], n: int, degree: int = 1
    ) -> list[mpz]:
        """Return, for each position i, the product of bases[j][i]^exponents[j][i] over all j, modulo n^degree.

        Straus, American Mathematical Monthly 71, 1964: all bases of a product share its squarings. Raises
        ConfigurationError for no columns, a negative exponent, n < 1 or degree < 1, and BadMessage where the columns'
        lengths or numbers differ.
        """
        bases, exponents = _columns("products: bases", bases), _columns("products: exponents", exponents)
        n, degree = integers("products: n and degree", (n, degree))
        if not bases or n < 1 or degree < 1 or any(e < 0 for column in exponents for e in column):
            raise ConfigurationError("products: columns, exponents of at least 0, n >= 1 and degree >= 1 are needed")
        lengths = {len(column) for column in (*bases, *exponents)}
        if len(lengths) > 1 or len(bases) != len(exponents):
            raise BadMessage(f"products: the columns' lengths differ: {sorted(lengths)}, or their numbers")
        return self._products_of_powers(bases, exponents, n, degree) if len(bases[0]) else []

    def shifted(self, columns: Sequence[Sequence[int]], bits: int, n: int, degree: int = 1) -> list[mpz]:
        """Return, for each position i, the product of columns[j][i]^(2^(bits j)) over all j, modulo n^degree.

        Raises ConfigurationError for no columns, bits < 1, n < 1 or degree < 1, and BadMessage where lengths differ.
        """
        columns = _columns("shifted", columns)
        bits, n, degree = integers("shifted: bits, n and degree", (bits, n, degree))
        if not columns or bits < 1 or n < 1 or degree < 1:
            raise ConfigurationError("shifted: columns, bits >= 1, n >= 1 and degree >= 1 are needed")
        if len({len(column) for column in columns}) > 1:
            raise BadMessage(f"shifted: the columns' lengths differ: {sorted({len(column) for column in columns})}")
        return self._shifted(columns, bits, n, degree) if len(columns[0]) else []

    @abstractmethod
    def _shifted(self, columns: Sequence[Sequence[int]], bits: int, n: int, degree: int) -> list[mpz]: ...

    @abstractmethod
    def _fixed_base(self, base: int, n: int, degree: int, exponent_bits: int) -> FixedBase: ...

    @abstractmethod
    def _powers(self, bases: Sequence[int], exponent: int, n: int, degree: int) -> list[mpz]: ...

    @abstractmethod
    def _product(self, columns: Sequence[Sequence[int]], modulus: int) -> list[mpz]: ...

    @abstractmethod
    def _products_of_powers(
        self, bases: Sequence[Sequence[int]], exponents: Sequence[Sequence[int]], n: int, degree: int
    ) -> list[mpz]: ...


def _columns(name: str, columns: Sequence[Sequence[int]]) -> list[list[int]]:
    return [integers(f"{name}, column {number}", column) for number, column in enumerate(columns)]

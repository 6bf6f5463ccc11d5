"""Batched modular exponentiation, by the fastest engine that this processor has.

ifma   AVX512-IFMA: eight numbers side by side in limbs of 52 bits
fma    fused multiply-adds of doubles: four or eight numbers side by side in limbs of 51 bits
gmpy2  GMP, one number after another: everywhere

FEDSEC_ENGINE names another than the fastest. The first use of a compiled engine takes some seconds, once a machine,
and it is compared with gmpy2 in every process before it is used.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import lru_cache

from gmpy2 import mpz

from fedsec.errors import ConfigurationError
from fedsec.primitives.modexp.engine import Engine, FixedBase
from fedsec.primitives.modexp.gmp import Gmp

__all__ = [
    "ENGINES",
    "Engine",
    "FixedBase",
    "available",
    "engine",
    "powers",
    "product",
    "products_of_powers",
    "shifted",
]

ENGINES = ("ifma", "fma", "gmpy2")  # fastest first


def available() -> tuple[str, ...]:
    """Return the engines whose instructions this processor has, fastest first."""
    from fedsec.primitives.modexp import vector

    return (*[name for name in ENGINES if name in vector.KINDS and vector.lanes(name)], "gmpy2")


def engine(name: str | None = None) -> Engine:
    """Return the engine of this name, or that of FEDSEC_ENGINE, or the fastest one that computes correctly.

    Raises ConfigurationError for a name that is none, that this processor cannot run, or that fails its comparison.
    """
    return _engine(name or os.environ.get("FEDSEC_ENGINE", ""))


@lru_cache
def _engine(name: str) -> Engine:
    if name:
        return _named(name)
    for candidate in available():
        try:
            return _named(candidate)
        except ConfigurationError as error:
            warnings.warn(f"{error}; a slower one is used", RuntimeWarning, stacklevel=3)
    raise AssertionError("gmpy2 is always there")


def _named(name: str) -> Engine:
    from fedsec.primitives.modexp import vector

    if name not in ENGINES:
        raise ConfigurationError(f"engine {name!r}: choose from {', '.join(ENGINES)}")
    if name not in available():
        there = ", ".join(available())
        raise ConfigurationError(f"engine {name}: this processor lacks its instructions (choose from {there})")
    if name == "gmpy2":
        return Gmp()
    found = vector.Vector(name, vector.lanes(name))
    found.check()
    return found


def powers(bases: Sequence[int], exponent: int, n: int, degree: int = 1) -> list[mpz]:
    """`Engine.powers`, by the engine in use."""
    return engine().powers(bases, exponent, n, degree)


def product(columns: Sequence[Sequence[int]], modulus: int) -> list[mpz]:
    """`Engine.product`, by the engine in use."""
    return engine().product(columns, modulus)


def products_of_powers(
    bases: Sequence[Sequence[int]], exponents: Sequence[Sequence[int]], n: int, degree: int = 1
) -> list[mpz]:
    """`Engine.products_of_powers`, by the engine in use."""
    return engine().products_of_powers(bases, exponents, n, degree)


def shifted(columns: Sequence[Sequence[int]], bits: int, n: int, degree: int = 1) -> list[mpz]:
    """`Engine.shifted`, by the engine in use."""
    return engine().shifted(columns, bits, n, degree)

"""Sigmoids that shares can compute: odd polynomials about 1/2 by Horner's rule in z^2, a clip, and SecureML's pieces.

With u = (z / 2^HALVINGS)^2, sigmoid(z) is about 1/2 + z P(u). One round yields z, one u and the leading step, and one
each further step: (degree + 3) / 2 with the round of z, and (degree + 1) / 2 products of secrets (one for degree 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fedsec.errors import ConfigurationError
from fedsec.mpc.ring_fixed_point import RANGE_BITS, Fixed, Floats, Multiplier, multiplier
from fedsec.mpc.roles import Program, Role, Share, Truncation, Wire

HALVINGS = 3
"""Powers of z are taken of z / 8: within ±8 none exceeds 1, and coefficients of high degrees keep their digits."""
LEADING_BITS = 12
POINTS = 4001
"""At which a bounded polynomial is looked at; between them it may go on as far as between any two."""


@dataclass(frozen=True)
class Activation:
    """1/2 + coefficients[0] z + coefficients[1] z^3 + ..., of z clipped to ±bound where there is a bound.

    piecewise: SecureML's function instead, 0 below -1/2, z + 1/2 up to 1/2, then 1: no coefficient, no bound.
    Raises ConfigurationError where that is not one function.
    """

    name: str
    coefficients: tuple[float, ...] = ()
    bound: float | None = None
    piecewise: bool = False

    def __post_init__(self) -> None:
        if self.piecewise != (not self.coefficients):
            raise ConfigurationError(f"activation {self.name}: a polynomial needs coefficients, and pieces take none")
        if not all(_real(value) and math.isfinite(value) for value in self.coefficients):
            raise ConfigurationError(f"activation {self.name}: every coefficient must be finite")
        if self.bound is not None and (self.piecewise or not _real(self.bound) or not 0 < self.bound <= 1024):
            raise ConfigurationError(f"activation {self.name}: bound is {self.bound!r}; it must lie in (0, 1024]")

    def check(self, fixed: Fixed, factors: int) -> None:
        """Raise ConfigurationError unless shares can compute it, of sums that are products of `factors` numbers.

        A coefficient, and the bound at the sum's scale, must each fit a word; the leading one is a multiplier.
        """
        if self.bound is not None and self.bound >= (limit := 2.0 ** (RANGE_BITS - factors * fixed.bits)):
            raise ConfigurationError(
                f"activation {self.name}: bound is {self.bound}; with {fixed.bits} fractional bits it must be below "
                f"{limit:g}: take fewer bits, or a smaller bound"
            )
        scaled = in_u(self.coefficients)
        limits = [2.0 ** (RANGE_BITS - fixed.bits) for _ in scaled]
        if len(scaled) > 1:
            limits[-1] = (2.0**LEADING_BITS - 0.5) * 4.0**HALVINGS
        for number, (coefficient, value, most) in enumerate(zip(self.coefficients, scaled, limits, strict=True)):
            if not abs(value) < most:
                raise ConfigurationError(
                    f"activation {self.name}: the coefficient of z^{2 * number + 1} is {coefficient:g}; it must be "
                    f"below {most / 4.0 ** (HALVINGS * number):g} in magnitude"
                )

    @property
    def degree(self) -> int:
        """The polynomial's; 1 of the pieces."""
        return max(2 * len(self.coefficients) - 1, 1)

    @property
    def products(self) -> int:
        """Products of two secrets, comparisons apart: the square, Horner's steps, and the last one by z."""
        powers = 1 if self.piecewise else (0 if self.degree == 1 else (self.degree + 1) // 2)
        return powers + (self.bound is not None)

    @property
    def rounds(self) -> int:
        """Rounds from the sum before the activation to the opening of its value; a comparison takes five."""
        if self.piecewise:
            return 7
        return (self.degree + 3) // 2 + (6 if self.bound is not None else 0)

    @property
    def bounded(self) -> bool:
        """Whether its values are, whatever the argument."""
        return self.piecewise or self.bound is not None

    def largest(self, fixed: Fixed) -> float:
        """What its values stay below in magnitude, computed as `activate` does; infinite without a bound.

        The coefficients are those that are multiplied by, and each truncation errs by one unit, which later factors
        enlarge: e becomes e p + |inner| unit + unit with a factor that stays below p and errs by a unit itself.
        """
        return _largest(self, fixed)

    def value(self, z: Floats) -> Floats:
        """What it computes, in doubles."""
        if self.piecewise:
            return np.clip(z + 0.5, 0.0, 1.0)
        z = z if self.bound is None else np.clip(z, -self.bound, self.bound)
        inner = np.zeros_like(z)
        with np.errstate(over="ignore", invalid="ignore"):
            for coefficient in reversed(self.coefficients):
                inner = inner * z * z + coefficient
            return 0.5 + z * inner


def _real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@lru_cache(maxsize=64)
def _largest(activation: Activation, fixed: Fixed) -> float:
    if activation.piecewise:
        return 1.0 + 2 * fixed.unit
    if activation.bound is None:
        return math.inf
    z = np.linspace(-activation.bound - fixed.unit, activation.bound + fixed.unit, POINTS)
    scaled, u = in_u(activation.coefficients), np.square(z / 2.0**HALVINGS)
    places = [float(fixed.decode(fixed.encode(value))) for value in scaled[:-1]]
    if not places:
        return float(np.abs(0.5 + z * fixed.decode(fixed.encode(scaled[0]))).max()) + fixed.unit
    inner = lead_of(scaled).value * np.square(z) + places[-1]
    error = fixed.unit
    for value in reversed(places[:-1]):
        error = error * float(u.max() + fixed.unit) + float(np.abs(inner).max()) * fixed.unit + fixed.unit
        inner = inner * u + value
    found = np.abs(0.5 + z * inner)
    return float(found.max() + np.abs(np.diff(found)).max() + (activation.bound + fixed.unit) * error) + fixed.unit


def activate(
    role: Role, total: Share, activation: Activation, fixed: Fixed, place: str, factors: int = 2
) -> Program[Share]:
    """The activation of `total`, of factors * fixed.bits fractional bits; what returns has 2 * fixed.bits."""
    compared = activation.piecewise or activation.bound is not None
    scale = factors * fixed.bits
    (z,) = yield from role.open(truncated=[Truncation(total, scale - fixed.bits, place, scale, compared)])
    if activation.piecewise:
        return (yield from _pieces(role, z, fixed, factors))
    if activation.bound is not None:
        z = yield from _clipped(role, z, activation.bound, fixed, factors)
    share = yield from _polynomial(role, z, activation.coefficients, fixed, place)
    return role.known(share, activation.largest(fixed) * 4.0**fixed.bits)


def in_u(coefficients: Sequence[float]) -> list[float]:
    """Those of powers of (z / 2^HALVINGS)^2."""
    return [value * 4.0 ** (HALVINGS * number) for number, value in enumerate(coefficients)]


def lead_of(scaled: Sequence[float]) -> Multiplier:
    """The last one, of z^2 itself."""
    return multiplier(scaled[-1] * 4.0**-HALVINGS, LEADING_BITS)


def _pieces(role: Role, z: Wire, fixed: Fixed, factors: int) -> Program[Share]:
    """(z + 1/2) [-1/2 <= z < 1/2] + [z >= 1/2]."""
    half = 1 << (factors * fixed.bits - 1)
    under, over = yield from role.below(z, (-half, half))
    inside = role.combine([(1, over), (-1, under)])
    line = role.multiply(role.combine([(1, z)], 1 << (fixed.bits - 1)), inside)
    one = 1 << fixed.bits
    share = role.known(role.plus(line, role.plus_public(role.times(over.share, -one), one)), one + 1)
    return role.times(share, 1 << fixed.bits)


def _clipped(role: Role, z: Wire, bound: float, fixed: Fixed, factors: int) -> Program[Wire]:
    """z where it is within ±bound, else that bound; opened under one mask."""
    raw, level = int(fixed.encode(bound, factors)), int(fixed.encode(bound))
    under, over = yield from role.below(z, (-raw, raw))
    inside = role.combine([(1, over), (-1, under)])
    sides = role.plus(role.times(over.share, -level), role.times(under.share, -level))
    share = role.known(role.plus(role.multiply(z, inside), role.plus_public(sides, level)), level + 1)
    (wire,) = yield from role.open(masked=[share])
    return wire


def _polynomial(role: Role, z: Wire, coefficients: Sequence[float], fixed: Fixed, place: str) -> Program[Share]:
    """1/2 + z P(u)."""
    bits, half = fixed.bits, 1 << (2 * fixed.bits - 1)
    if len(coefficients) == 1:
        return role.plus_public(role.times(z.share, int(fixed.encode(coefficients[0]))), half)
    scaled = in_u(coefficients)
    square, lead = role.multiply(z, z), lead_of(scaled)
    leading = Truncation(role.times(square, lead.factor), bits + lead.shift, place, 2 * bits + lead.shift)
    power = Truncation(square, bits + 2 * HALVINGS, place, 2 * bits)
    opened = yield from role.open(truncated=[leading] if len(scaled) == 2 else [leading, power])
    inner = role.combine([(1, opened[0])], int(fixed.encode(scaled[-2])))
    for coefficient in reversed(scaled[:-2]):
        step = Truncation(role.multiply(inner, opened[1]), bits, place, 2 * bits)
        (stepped,) = yield from role.open(truncated=[step])
        inner = role.combine([(1, stepped)], int(fixed.encode(coefficient)))
    return role.plus_public(role.multiply(z, inner), half)


def secret_products(degree: int, naive: bool = False) -> int:
    """Products of secrets for an odd polynomial of z: Horner's in z^2, or each power from the one before.

    Naive counts z^2, z^3, ..., z^degree; products by public coefficients cost none.
    """
    return degree - 1 if naive else (degree + 1) // 2 if degree > 1 else 0

"""The sigmoid as a polynomial, three ways, and what it costs to evaluate one on a secret.

taylor-D           the series at 0, for odd D
interpolated-D:R   least squares on 2,001 equidistant points of [-R, R]
minimax-D:R        the smallest largest error there, among odd polynomials plus one half
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.polynomial import Polynomial, polynomial
from numpy.typing import NDArray

from fedsec.errors import ConfigurationError, unknown

Floats = NDArray[np.float64]
LARGEST_DEGREE = 15
RADIUS = 8.0
POINTS = 2001


@dataclass(frozen=True)
class Sigmoid:
    """A polynomial, coefficients lowest first."""

    name: str
    coefficients: tuple[float, ...]

    @property
    def degree(self) -> int:
        """The degree."""
        return len(self.coefficients) - 1

    @property
    def slope(self) -> tuple[float, ...]:
        """The derivative's coefficients."""
        return tuple(float(c) for c in polynomial.polyder(self.coefficients))

    def __call__(self, x: Floats) -> Floats:
        return np.asarray(polynomial.polyval(x, self.coefficients))

    def derivative(self, x: Floats) -> Floats:
        """The polynomial's own slope, not the sigmoid's."""
        return np.asarray(polynomial.polyval(x, self.slope))

    def error(self, radius: float) -> float:
        """The largest error on [-radius, radius]."""
        x = np.linspace(-radius, radius, POINTS)
        return float(np.max(np.abs(self(x) - exact(x))))


def exact(x: Floats) -> Floats:
    """The sigmoid."""
    return np.asarray(0.5 + 0.5 * np.tanh(x / 2))


def named(text: str) -> Sigmoid:
    """The polynomial of a name such as taylor-7, interpolated-7 or minimax-7:10.

    Raises ConfigurationError for another form, and for a degree or radius for which there are no coefficients.
    """
    name, _, radius = text.partition(":")
    kind, _, degree = name.rpartition("-")
    makers: dict[str, Callable[[int, float], Any]] = {
        "taylor": lambda d, _: taylor(d),
        "interpolated": interpolated,
        "minimax": minimax,
    }
    if kind not in makers or not degree.isdecimal():
        raise unknown("sigmoid", text, [f"{known}-7" for known in makers])
    if not 1 <= int(degree) <= LARGEST_DEGREE or int(degree) % 2 == 0:
        raise ConfigurationError(
            f"sigmoid {text!r}: there are no coefficients of degree {degree}; the sigmoid less one half is odd, so the "
            f"degree must be odd, from 1 to {LARGEST_DEGREE}"
        )
    try:
        reach = float(radius) if radius else RADIUS
    except ValueError:
        raise ConfigurationError(f"sigmoid {text!r}: the radius {radius!r} is not a number") from None
    if not (math.isfinite(reach) and reach > 0) or (radius and kind == "taylor"):
        raise ConfigurationError(f"sigmoid {text!r}: a radius above 0 belongs to a fit, and none to a series")
    return Sigmoid(text, tuple(float(c) for c in makers[kind](int(degree), reach)))


def taylor(degree: int) -> list[Fraction]:
    """The series at 0, from s' = s (1 - s)."""
    series = [Fraction(1, 2)]
    for k in range(degree):
        square = sum((series[i] * series[k - i] for i in range(k + 1)), Fraction(0))
        series.append((series[k] - square) / (k + 1))
    return series


def interpolated(degree: int, radius: float) -> Floats:
    """Least squares; the even coefficients, zero but for rounding, are left out."""
    x = np.linspace(-radius, radius, POINTS)
    found = np.asarray(Polynomial.fit(x, exact(x), degree).convert().coef, dtype=np.float64)
    found[0], found[2::2] = 0.5, 0.0
    return found


def minimax(degree: int, radius: float) -> Floats:
    """By linear programming on the positive half of the points."""
    from scipy.optimize import linprog  # type: ignore[import-untyped]

    x = np.linspace(0, radius, POINTS)
    powers = np.arange(1, degree + 1, 2)
    basis, slack = (x[:, None] / radius) ** powers, np.ones((POINTS, 1))
    above = np.vstack([np.hstack([basis, -slack]), np.hstack([-basis, -slack])])
    limit = np.concatenate([exact(x) - 0.5, 0.5 - exact(x)])
    found = linprog([0.0] * len(powers) + [1.0], A_ub=above, b_ub=limit, bounds=(None, None), method="highs")
    out = np.zeros(degree + 1)
    out[0], out[powers] = 0.5, found.x[:-1] / radius ** powers.astype(np.float64)
    return out


@dataclass
class Secret:
    """A number that counts the products of two secrets that are made with it; public factors and sums are free."""

    value: float
    products: list[int]

    def __mul__(self, other: Secret | float) -> Secret:
        if isinstance(other, Secret):
            self.products[0] += 1
            return Secret(self.value * other.value, self.products)
        return Secret(self.value * other, self.products)

    def __add__(self, other: Secret | float) -> Secret:
        return Secret(self.value + (other.value if isinstance(other, Secret) else other), self.products)


def by_each_power(coefficients: tuple[float, ...], x: Secret) -> Secret:
    """Every power from scratch, x^k by k - 1 products."""
    total = x * coefficients[1] + coefficients[0]
    for k in range(2, len(coefficients)):
        if coefficients[k]:
            power = x
            for _ in range(k - 1):
                power = power * x
            total = total + power * coefficients[k]
    return total


def by_running_powers(coefficients: tuple[float, ...], x: Secret) -> Secret:
    """Each power from the one before, one product each."""
    total, power = x * coefficients[1] + coefficients[0], x
    for k in range(2, len(coefficients)):
        power = power * x
        total = total + power * coefficients[k]
    return total


def by_horner(coefficients: tuple[float, ...], x: Secret) -> Secret:
    """Horner's rule in x^2 on the odd coefficients, times x, plus one half: (degree + 1) / 2 products."""
    if len(coefficients) < 4:
        return x * coefficients[1] + coefficients[0]
    square = x * x
    total = square * coefficients[-1] + coefficients[-3]
    for k in range(len(coefficients) - 5, 0, -2):
        total = total * square + coefficients[k]
    return total * x + coefficients[0]


WAYS = {"each power": by_each_power, "running powers": by_running_powers, "Horner in x²": by_horner}


def products(sigmoid: Sigmoid) -> dict[str, int]:
    """Products of two secrets in each way of evaluating it once."""
    out = {}
    for name, way in WAYS.items():
        count = [0]
        way(sigmoid.coefficients, Secret(1.25, count))
        out[name] = count[0]
    return out

"""Polynomials in place of a sigmoid: Maclaurin's, fits on an interval, and minimax; each odd about 1/2."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache

import numpy as np

from fedsec.errors import ConfigurationError, unknown
from fedsec.mpc.activation import Activation
from fedsec.mpc.ring_fixed_point import Floats

POINTS = 2001
"""Equally spaced points of a least-squares fit, both ends included."""
GRID = 801
"""Points of half an interval on which the minimax error is taken."""


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z)), without overflow."""
    return np.exp(-np.logaddexp(0.0, -z))


@cache
def maclaurin(degree: int) -> Activation:
    """The sigmoid's series at 0 up to an odd degree: s' = s (1 - s), solved term by term in exact fractions."""
    _odd(degree)
    terms = [Fraction(1, 2)]
    for index in range(degree):
        square = sum((terms[j] * terms[index - j] for j in range(index + 1)), Fraction(0))
        terms.append((terms[index] - square) / (index + 1))
    return Activation(f"Maclaurin {degree}", tuple(float(terms[index]) for index in range(1, degree + 1, 2)))


@cache
def least_squares(degree: int, bound: float) -> Activation:
    """The least-squares fit on [-bound, bound] at POINTS equal steps. An even degree's is that of the degree below.

    The sigmoid minus 1/2 is odd, so even coefficients vanish.
    """
    if not 1 <= degree <= 21 or not 0 < bound <= 64:
        raise ConfigurationError(
            f"fit of degree {degree} on ±{bound:g}: the degree lies in 1..21, the bound in (0, 64]"
        )
    t = np.linspace(-1.0, 1.0, POINTS)
    powers = np.arange(1, degree + 1, 2)
    # Chebyshev's basis: powers of degree 19 alone would lose eight digits.
    basis = np.polynomial.chebyshev.chebvander(t, int(powers[-1]))[:, powers]
    found, *_ = np.linalg.lstsq(basis, sigmoid(bound * t) - 0.5, rcond=None)
    series = np.zeros(int(powers[-1]) + 1)
    series[powers] = found
    plain = np.polynomial.chebyshev.cheb2poly(series)[powers] / bound ** powers.astype(np.float64)
    return Activation(f"fit {degree} on ±{bound:g}", tuple(float(value) for value in plain))


@cache
def minimax(degree: int, bound: float) -> Activation:
    """The odd polynomial with the least largest error on [-bound, bound], by linear programming on GRID points."""
    from scipy.optimize import linprog  # type: ignore[import-untyped]

    _odd(degree)
    t = np.linspace(0.0, 1.0, GRID)
    powers = np.arange(1, degree + 1, 2)
    basis = t[:, None] ** powers
    target, ones = sigmoid(bound * t) - 0.5, np.ones((GRID, 1))
    solved = linprog(
        np.r_[np.zeros(powers.size), 1.0],
        A_ub=np.block([[basis, -ones], [-basis, -ones]]),
        b_ub=np.r_[target, -target],
        bounds=[(None, None)] * (powers.size + 1),
        method="highs",
    )
    if not solved.success:
        raise ConfigurationError(f"minimax of degree {degree} on ±{bound:g}: {solved.message}")
    plain = solved.x[:-1] / bound ** powers.astype(np.float64)
    return Activation(f"minimax {degree} on ±{bound:g}", tuple(float(value) for value in plain))


def bounded(activation: Activation, bound: float) -> Activation:
    """The same polynomial of its argument clipped to ±bound."""
    return Activation(f"{activation.name}, clipped", activation.coefficients, bound)


PIECES = Activation("SecureML pieces", piecewise=True)

DESIGNS: Mapping[str, Callable[[], Activation]] = {
    "maclaurin-1": lambda: maclaurin(1),
    "maclaurin-3": lambda: maclaurin(3),
    "maclaurin-5": lambda: maclaurin(5),
    "maclaurin-7": lambda: maclaurin(7),
    "maclaurin-9": lambda: maclaurin(9),
    "fit-10": lambda: least_squares(10, 10.0),
    "fit-3": lambda: least_squares(3, 5.0),
    "fit-5-on-5": lambda: least_squares(5, 5.0),
    "fit-7-on-5": lambda: least_squares(7, 5.0),
    "fit-9-on-5": lambda: least_squares(9, 5.0),
    "fit-3-on-10": lambda: least_squares(3, 10.0),
    "fit-5-on-10": lambda: least_squares(5, 10.0),
    "fit-7-on-10": lambda: least_squares(7, 10.0),
    "fit-11-on-10": lambda: least_squares(11, 10.0),
    "clipped-3": lambda: bounded(minimax(3, 8.0), 8.0),
    "clipped-5": lambda: bounded(minimax(5, 8.0), 8.0),
    "pieces": lambda: PIECES,
}
"""The activations by name: fit-10 is that of degree 10 on ±10, and fit-3 that on ±5; clipped-3 and clipped-5 are
minimax on ±8 and clipped there."""

BOUNDED = "clipped-3"
"""The design that does not collapse."""
NAMES = {
    "maclaurin-1": "Maclaurin 1",
    "maclaurin-3": "Maclaurin 3",
    "maclaurin-5": "Maclaurin 5",
    "maclaurin-7": "Maclaurin 7",
    "maclaurin-9": "Maclaurin 9",
    "fit-10": "fit of degree 10 on ±10",
    "fit-3": "fit of degree 3 on ±5",
    "clipped-3": "minimax 3, clipped at ±8",
    "clipped-5": "minimax 5, clipped at ±8",
    "pieces": "SecureML's pieces",
    "exact": "exact sigmoid (doubles)",
    "fit-3-on-10": "degree 3",
    "fit-5-on-10": "degree 5",
    "fit-7-on-10": "degree 7",
    "fit-11-on-10": "degree 11",
}
"""How the activations are called in tables and figures."""


def design(name: str) -> Activation:
    """A named activation; raises ConfigurationError for another name."""
    if name not in DESIGNS:
        raise unknown("activation", name, DESIGNS)
    return DESIGNS[name]()


def radius(activation: Activation, error: float = 0.05, limit: float = 20.0) -> float:
    """Up to which |z| the activation stays within `error` of the sigmoid, at most `limit`; to 0.001."""
    z = np.arange(0.0, limit, 0.001)
    bad = np.flatnonzero(np.abs(activation.value(z) - sigmoid(z)) > error)
    return float(z[bad[0] - 1]) if len(bad) and bad[0] else (0.0 if len(bad) else limit)


def worst(activation: Activation, bound: float) -> float:
    """The largest error on [-bound, bound], at 0.001 steps."""
    z = np.arange(0.0, bound + 0.0005, 0.001)
    return float(np.abs(activation.value(z) - sigmoid(z)).max())


def _odd(degree: int) -> None:
    if not (1 <= degree <= 21 and degree % 2):
        raise ConfigurationError(f"degree is {degree}; it must be odd, from 1 to 21")


def finite(value: float) -> float | None:
    """A number as JSON holds it: None where it is not finite."""
    return value if math.isfinite(value) else None

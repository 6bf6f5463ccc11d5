"""The bounds' reading of a program: how large each value can be, so that parties know which weights are safe.

Parties cannot see an overflow: what they open is uniform. They can compare weights with a public limit below which no
value of the iterations until the next comparison can leave the fixed point; interval arithmetic finds that limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from fedsec.mpc.gradient_descent import LARGEST_FEATURE, Network, finish, iterate
from fedsec.mpc.ring_fixed_point import RANGE_BITS, FixedPointOverflow, overflow
from fedsec.mpc.roles import Program, Role, Truncation, Wire

LIMIT = 2.0**RANGE_BITS
GUARDED = 25
"""Iterations between two looks at the weights."""


@dataclass(frozen=True)
class Bound:
    """The bounds' share of a value: its shape, and what none of its elements passes in magnitude."""

    shape: tuple[int, ...]
    largest: float

    @property
    def T(self) -> Bound:
        """The transposed matrix."""
        return Bound(self.shape[::-1], self.largest)


class Bounds(Role):
    """Values as the magnitudes that they stay below; raises FixedPointOverflow where one may leave ±2^62."""

    def open(self, masked: Sequence[Bound] = (), truncated: Sequence[Truncation] = ()) -> Program[list[Wire]]:
        """A truncation's value must fit; it rounds by less than one unit."""
        out = [Wire(share, None, (), share.shape) for share in masked]
        for one in truncated:
            if not one.share.largest < LIMIT:
                raise overflow(one.place, math.ldexp(one.share.largest, -one.scale), one.scale)
            share = Bound(one.share.shape, math.ldexp(one.share.largest, -one.shift) + 1)
            out.append(Wire(share, None, (), share.shape))
        return out
        yield b""

    def multiply(self, x: Wire, y: Wire) -> Bound:
        return Bound(x.shape, x.share.largest * y.share.largest)

    def matmul(self, x: Wire, y: Wire, place: str = "a product") -> Bound:
        """As many products as the matrices share are summed."""
        return Bound((x.shape[0], y.shape[1]), x.shape[1] * x.share.largest * y.share.largest)

    def plus(self, x: Bound, y: Bound) -> Bound:
        return Bound(x.shape, x.largest + y.largest)

    def plus_public(self, x: Bound, value: ArrayLike) -> Bound:
        return Bound(x.shape, x.largest + float(np.abs(np.asarray(value, np.float64)).max()))

    def times(self, x: Bound, factor: int) -> Bound:
        return Bound(x.shape, x.largest * abs(factor))

    def known(self, x: Bound, largest: float) -> Bound:
        return Bound(x.shape, min(x.largest, largest))

    def flat(self, shares: Sequence[Bound]) -> Bound:
        return Bound((sum(math.prod(one.shape) for one in shares),), max(one.largest for one in shares))

    def announce(self, x: Bound) -> Program[int]:
        """Not known before the values are."""
        return 0
        yield b""

    def below(self, x: Wire, thresholds: Sequence[int]) -> Program[list[Wire]]:
        """Bits."""
        return [Wire(Bound(x.shape, 1.0), None, (), x.shape) for _ in thresholds]
        yield b""


@lru_cache(maxsize=64)
def safe_weight(network: Network, rows: int, iterations: int) -> float:
    """Below which weights nothing can overflow in so many iterations on so many rows, to a hundredth of it.

    It counts on features within ±LARGEST_FEATURE and targets within ±1. 0 where no weight is safe: without a bound on
    the activation's argument a few iterations may take any weight anywhere.
    """
    low, high = 2.0**-4, 2.0 ** (RANGE_BITS - 2 * network.fixed.bits)
    if not fits(network, rows, iterations, low):
        return 0.0
    while high > 1.01 * low:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fits(network, rows, iterations, middle) else (low, middle)
    return low


def beyond(iteration: int, weights: int, safe: float) -> FixedPointOverflow:
    """The error for so many weights beyond what is safe after that iteration."""
    return FixedPointOverflow(
        f"iteration {iteration:,}: {weights} weights lie beyond ±{safe:.4g}, from where a value may leave the fixed "
        f"point within {GUARDED} iterations: the training diverges, or needs a smaller rate or fewer fractional bits"
    )


def fits(network: Network, rows: int, iterations: int, weight: float) -> bool:
    """Whether no value can overflow in so many iterations from weights of that magnitude."""
    one = 2.0**network.fixed.bits
    role = Bounds()
    features, target = Bound((rows, network.widths[0]), LARGEST_FEATURE * one + 1), Bound((rows, 1), one + 1)
    inputs = [Wire(share, None, (), share.shape) for share in (features, target)]
    weights = [Bound(shape, weight * one) for shape in network.shapes]
    try:
        for _ in range(iterations):
            weights = finish(iterate(role, network, inputs[0], inputs[1], weights))
    except FixedPointOverflow:
        return False
    return True

"""The twin's reading of a program: the same integers in the clear, without parties, where overflow is seen.

It is what a computation on shares is held against: given the dealer's roundings it computes the same integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from fedsec.mpc.gradient_descent import Network, finish, iterate, load
from fedsec.mpc.operations import dot
from fedsec.mpc.ring_fixed_point import RANGE_BITS, Floats, overflow
from fedsec.mpc.ring_kernels import Integers, Words
from fedsec.mpc.roles import Program, Role, Share, Truncation, Wire

Rounding = Callable[[tuple[int, ...], int], Integers]
"""For a shape and a shift, what is added before the shift: integers in [0, 2^shift)."""
LIMIT = 1 << RANGE_BITS


def nearest(shape: tuple[int, ...], shift: int) -> Integers:
    """Half a unit: rounds to nearest, without chance."""
    return np.full(shape, 1 << (shift - 1), np.int64)


class Twin(Role):
    """Values as int64; raises FixedPointOverflow where one leaves ±2^62."""

    def __init__(self, rounding: Rounding = nearest, bits: int = 16) -> None:
        self._rounding, self._bits = rounding, bits

    def open(self, masked: Sequence[Share] = (), truncated: Sequence[Truncation] = ()) -> Program[list[Wire]]:
        """Nothing is masked; truncations round as `rounding` says."""
        out = [Wire(share, None, (), share.shape) for share in masked]
        for one in truncated:
            largest = magnitude(one.share)
            if largest >= LIMIT:
                raise overflow(one.place, math.ldexp(largest, -one.scale), one.scale)
            low = self._rounding(one.share.shape, one.shift)
            out.append(Wire((one.share + low) >> one.shift, None, (), one.share.shape, opened=one.share))
        return out
        yield b""

    def multiply(self, x: Wire, y: Wire) -> Share:
        """The product, after a look at its size: numpy would wrap it without a word."""
        if magnitude(x.share) * magnitude(y.share) >= LIMIT:
            largest = float(np.abs(x.share.astype(np.float64) * y.share).max())
            if not largest < LIMIT:
                raise overflow("a product", largest * 4.0**-self._bits, 2 * self._bits)
        return x.share * y.share

    def matmul(self, x: Wire, y: Wire, place: str = "a product") -> Share:
        """The matrix product; partial sums may wrap, the sums themselves must not."""
        if magnitude(x.share) * magnitude(y.share) * x.shape[1] >= LIMIT:
            largest = float(np.abs(x.share.astype(np.float64) @ y.share.astype(np.float64)).max())
            if not largest < LIMIT:
                raise overflow(place, largest * 4.0**-self._bits, 2 * self._bits)
        return dot(x.share.view(np.uint64), y.share.view(np.uint64)).view(np.int64)

    def plus(self, x: Share, y: Share) -> Share:
        return x + y

    def plus_public(self, x: Share, value: ArrayLike) -> Share:
        return x + np.asarray(value, np.int64)

    def times(self, x: Share, factor: int) -> Share:
        """The multiple; see multiply."""
        if factor == 1:
            return x
        if magnitude(x) * abs(factor) >= LIMIT:
            raise overflow("a multiple", magnitude(x) * abs(factor) * 4.0**-self._bits, 2 * self._bits)
        return x * np.int64(factor)

    def flat(self, shares: Sequence[Share]) -> Share:
        return np.concatenate([one.reshape(-1) for one in shares])

    def announce(self, x: Share) -> Program[int]:
        """The sum."""
        return int(x.sum())
        yield b""

    def below(self, x: Wire, thresholds: Sequence[int]) -> Program[list[Wire]]:
        """Plain comparisons."""
        return [Wire((x.opened < t).astype(np.int64), None, (), x.shape) for t in thresholds]
        yield b""


class Shadow:
    """A training's twin that rounds as the dealer's masks do: its weights are those on shares, bit for bit.

    features, target: as the hospitals have them. weights: int64 by layer, of network.fixed.bits.
    """

    def __init__(self, network: Network, features: Floats, target: Floats, weights: Sequence[Integers]) -> None:
        self.network, self.weights = network, list(weights)
        self._rows, self._target = finish(load(Twin(), network.fixed.encode(features), network.fixed.encode(target)))

    def step(self, roundings: Sequence[Words]) -> None:
        """One iteration; raises FixedPointOverflow where a value leaves the range, as it then did on shares."""
        lows = iter(roundings)
        twin = Twin(lambda shape, shift: next(lows).astype(np.int64), self.network.fixed.bits)
        self.weights = finish(iterate(twin, self.network, self._rows, self._target, self.weights))


def magnitude(x: Integers) -> int:
    """The largest absolute value, exactly, -2^63 included, which has none in int64; 0 of nothing."""
    return max(int(x.max()), -int(x.min())) if x.size else 0

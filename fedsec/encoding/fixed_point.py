"""Reals to bounded non-negative integers and back, and the proof that their sum is exact.

q = round(scale * clip(v) / C * (2**(b-1) - 1)) + 2**(b-1), with scale = w/w_max in (0, 1]; so 0 < q < 2**b, and the
sum of n such integers needs b + ceil(log2 n) bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import ConfigurationError, HeadroomError
from fedsec.protocol import Vector

MAX_BITS = 50
CHUNK = 1 << 16
"""Values encoded at a time, so that temporaries stay in cache."""


@dataclass(frozen=True)
class FixedPoint:
    """Offset-binary fixed point: values in [-clip, clip] as integers of `bits` bits (2..50).

    Products are rounded in float64: with more bits, `clip` itself could round to an integer above `steps`.
    """

    bits: int
    clip: float

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= MAX_BITS:
            raise ConfigurationError(f"bits is {self.bits}; it must lie between 2 and {MAX_BITS}")
        if not (math.isfinite(self.clip) and self.clip > 0 and math.isfinite(self.steps / self.clip)):
            raise ConfigurationError(f"clip is {self.clip}; it must be positive and finite")

    @property
    def steps(self) -> int:
        """The integer that stands for `clip`."""
        return (1 << (self.bits - 1)) - 1

    @property
    def offset(self) -> int:
        """The integer that stands for zero."""
        return 1 << (self.bits - 1)

    def encode(self, values: NDArray[np.floating[Any]], scale: float, out: Vector) -> int:
        """Write the integers of finite `values[d]`, times `scale` in (0, 1], to `out[d]`.

        Returns how many were clipped.
        """
        clipped = 0
        factor = scale * self.steps / self.clip
        for start in range(0, values.size, CHUNK):
            part = values[start : start + CHUNK].astype(np.float64)
            bounded = np.clip(part, -self.clip, self.clip)
            clipped += int(np.count_nonzero(bounded != part))
            self.quantise(bounded, factor, out[start : start + CHUNK])
        return clipped

    def quantise(self, values: NDArray[np.float64], factor: float, out: Vector) -> None:
        """Write round(values * factor) + offset to `out`; |values * factor| is at most `steps`. `values` is spent."""
        values *= factor
        np.rint(values, out=values)
        out[:] = (values.astype(np.int64) + self.offset).view(np.uint64)

    def encode_plain(self, values: Sequence[float], scale: float) -> tuple[list[int], int]:
        """`encode` one value at a time: the oracle of the fast one."""
        factor = scale * self.steps / self.clip
        integers = [round(min(max(value, -self.clip), self.clip) * factor) + self.offset for value in values]
        return integers, sum(abs(value) > self.clip for value in values)

    def decode(self, total: Vector, addends: int) -> NDArray[np.float64]:
        """The sum of scaled values that an integer sum of `addends` vectors stands for: float64[d]."""
        signed = (
            total.view(np.int64) - addends * self.offset
            if total.flags.c_contiguous
            else (total.astype(np.int64) - addends * self.offset)
        )
        values: NDArray[np.float64] = signed * np.float64(self.clip / self.steps)
        return values

    def error_bound(self, addends: int, largest_weight: float, total_weight: float) -> float:
        """How far a decoded mean may lie from the exact weighted mean of the clipped values, at most."""
        return addends * self.clip * largest_weight / (2 * self.steps * total_weight)


def to_limbs(number: int, limb_bits: int, limbs: int) -> list[int]:
    """A non-negative integer as `limbs` digits of `limb_bits` bits, lowest first."""
    if not 0 <= number < 1 << (limb_bits * limbs):
        raise HeadroomError(f"a value does not fit in {limbs} limbs of {limb_bits} bits")
    mask = (1 << limb_bits) - 1
    return [(number >> (limb_bits * digit)) & mask for digit in range(limbs)]


def from_limbs(limbs: Sequence[int], limb_bits: int) -> int:
    """The integer whose digits sum to `limbs`: digits of a sum may exceed one limb, and carry here."""
    return sum(int(limb) << (limb_bits * digit) for digit, limb in enumerate(limbs))


def prove_headroom(value_bits: int, addends: int, capacity: int) -> None:
    """Raise HeadroomError, with the numbers, unless `addends` values below 2**value_bits sum exactly."""
    largest = addends * ((1 << value_bits) - 1)
    if largest > capacity:
        raise HeadroomError(
            f"{addends} values of {value_bits} bits sum to {largest.bit_length()} bits and the strategy's sums are "
            f"exact up to {capacity.bit_length()} bits only (largest sum {largest}, capacity {capacity}); use at most "
            f"{max(1, (capacity // addends + 1).bit_length() - 1)} value bits, or fewer hospitals a round"
        )

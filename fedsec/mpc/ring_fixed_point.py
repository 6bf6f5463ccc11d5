"""Fixed point in Z_2^64: values, the range that holds, and the error where a value leaves it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedsec.errors import ConfigurationError, DataError, RunFailed
from fedsec.mpc.ring_kernels import Words

Floats = NDArray[np.float64]
RANGE_BITS = 62
"""Every value under a truncation lies within ±2^62, so that a mask's carry shows in the wrap bit."""


MOST_SHIFT = 40


class FixedPointOverflow(RunFailed):
    """A value left the range that the fixed point holds; nothing was wrapped."""


def overflow(place: str, largest: float, bits: int) -> FixedPointOverflow:
    """The error for a value of `largest` in magnitude at `place`, where `bits` fractional bits stand below the point.

    largest: as a real number; may be infinite.
    """
    return FixedPointOverflow(
        f"{place}: a value of magnitude {largest:.3g} does not fit: {bits} fractional bits leave {RANGE_BITS - bits} "
        f"above the point, so it must stay below {2.0 ** (RANGE_BITS - bits):.3g}; the training diverges, or needs a "
        "smaller rate, a bounded activation or fewer fractional bits"
    )


@dataclass(frozen=True)
class Fixed:
    """Reals as multiples of 2^-bits, 12 <= bits <= 18: three factors of that scale stand in one word.

    Raises ConfigurationError for other bits.
    """

    bits: int = 16

    def __post_init__(self) -> None:
        if type(self.bits) is not int or not 12 <= self.bits <= 18:
            raise ConfigurationError(f"fraction bits is {self.bits!r}; it must be a whole number between 12 and 18")

    @property
    def unit(self) -> float:
        """The value of the last bit: 2^-bits."""
        return 2.0**-self.bits

    def encode(self, values: ArrayLike, scale: int = 1) -> NDArray[np.int64]:
        """The nearest multiples of 2^-(bits * scale), as int64. Raises DataError unless finite and within range."""
        exact = np.asarray(values, dtype=np.float64)
        limit = 2.0 ** (RANGE_BITS - self.bits * scale)
        if not np.isfinite(exact).all() or (exact.size and float(np.abs(exact).max()) >= limit):
            raise DataError(f"fixed point: every value must be finite and below {limit:.3g} in magnitude")
        return np.rint(np.ldexp(exact, self.bits * scale)).astype(np.int64)

    def decode(self, words: Words | NDArray[np.int64]) -> Floats:
        """The reals of ring elements or signed multiples of 2^-bits."""
        return np.ldexp(words.astype(np.int64).astype(np.float64), -self.bits)


@dataclass(frozen=True)
class Multiplier:
    """A public real as `factor` * 2^-`shift`: an integer product, then a truncation."""

    factor: int
    shift: int

    @property
    def value(self) -> float:
        """The real that it stands for."""
        return math.ldexp(self.factor, -self.shift)


def multiplier(value: float, digits: int, most: int = MOST_SHIFT) -> Multiplier:
    """The nearest to `value` with a factor of at most `digits` bits and a shift from 0 to `most`.

    Raises ConfigurationError where `value` is not finite or too large for so many bits.
    """
    if not math.isfinite(value) or abs(value) >= 2.0**digits - 0.5:
        raise ConfigurationError(f"multiplier {value:g}: it must be finite and below 2^{digits}")
    shift = most if value == 0 else min(most, max(0, digits - 1 - math.floor(math.log2(abs(value)))))
    factor = round(math.ldexp(value, shift))
    while shift > 0 and factor % 2 == 0:
        factor, shift = factor // 2, shift - 1
    return Multiplier(factor, shift)

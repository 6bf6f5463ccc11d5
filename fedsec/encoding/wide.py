"""Values that need more bits than one value of the sum has: weights, metrics and buffers, in limbs.

A signed integer q with |q| < 2^103 travels as q + 2^103, as digits of `bits` bits, lowest first. Digits of a sum may
exceed their bits, and carry where the sum is read. q = round(w·v·2^k): the weight is multiplied in before rounding, so
that no common divisor of what is summed names the weight. Metrics whose largest integer is agreed to be small, such as
counts of rows, travel in as many bits as it takes, `width` in place of 104.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedsec.encoding.fixed_point import from_limbs, to_limbs
from fedsec.protocol import Vector

WIDE_BITS = 104
_HALF = 52
MOST_NARROW = _HALF
"""The largest width but 104: float64 holds such integers and their offset exactly."""


def limbs(bits: int, width: int = WIDE_BITS) -> int:
    """How many values of `bits` bits a wide one takes."""
    return -(-width // bits)


def offset(width: int = WIDE_BITS) -> int:
    """The integer that stands for zero."""
    return 1 << (width - 1)


def encode(values: NDArray[np.float64], factor: float, out: Vector, bits: int, width: int = WIDE_BITS) -> None:
    """Write round(values * factor) as digits: values[d] to out[limbs * d], all lowest digits first.

    Products must lie strictly between -2^(width-1) and 2^(width-1), where width is 104, or 52 at most; ties go to even,
    as of float64.
    """
    integers = np.rint(values * factor)
    mask = np.uint64((1 << bits) - 1)
    digits = out.reshape(limbs(bits, width), values.size)
    if width <= MOST_NARROW:
        whole = (integers + offset(width)).astype(np.uint64)
        for place, digit in enumerate(digits):
            digit[:] = (whole >> np.uint64(place * bits)) & mask
        return
    high = np.floor(integers * 2.0**-_HALF)
    low = (integers - high * 2.0**_HALF).astype(np.uint64)  # exact: at most 53 bits are set
    top = (high.astype(np.int64) + (1 << (_HALF - 1))).astype(np.uint64)
    for place, digit in enumerate(digits):
        shift = place * bits
        if shift >= _HALF:
            digit[:] = (top >> np.uint64(shift - _HALF)) & mask
        elif shift + bits <= _HALF:
            digit[:] = (low >> np.uint64(shift)) & mask
        else:
            digit[:] = ((low >> np.uint64(shift)) | (top << np.uint64(_HALF - shift))) & mask


def encode_plain(values: Sequence[float], factor: float, bits: int, width: int = WIDE_BITS) -> list[int]:
    """`encode` on Python's integers: the oracle of the fast one."""
    count = limbs(bits, width)
    rows = [to_limbs(round(value * factor) + offset(width), bits, count) for value in values]
    return [row[place] for place in range(count) for row in rows]


def decode(total: Vector, addends: int, bits: int, width: int = WIDE_BITS) -> list[int]:
    """The sums of the integers that `addends` encodings stand for, exactly: total[limbs * d] gives d integers."""
    columns = total.reshape(limbs(bits, width), -1).T.tolist()
    return [from_limbs(column, bits) - addends * offset(width) for column in columns]

"""Values that need more bits than one value of the sum has: weights, metrics and buffers, in limbs.

A signed integer q with |q| < 2^103 travels as q + 2^103, as digits of `bits` bits, lowest first. Digits of a sum may
exceed their bits, and carry where the sum is read. q = round(w·v·2^k): the weight is multiplied in before rounding, so
that no common divisor of what is summed names the weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedsec.encoding.fixed_point import from_limbs, to_limbs
from fedsec.protocol import Vector

WIDE_BITS = 104
_HALF = 52
OFFSET = 1 << (WIDE_BITS - 1)
"""The integer that stands for zero."""


def limbs(bits: int) -> int:
    """How many values of `bits` bits a wide one takes."""
    return -(-WIDE_BITS // bits)


def encode(values: NDArray[np.float64], factor: float, out: Vector, bits: int) -> None:
    """Write round(values * factor) as digits: values[d] to out[limbs * d], all lowest digits first.

    Products must lie strictly between -2^103 and 2^103; ties go to even, as of float64.
    """
    integers = np.rint(values * factor)
    high = np.floor(integers * 2.0**-_HALF)
    low = (integers - high * 2.0**_HALF).astype(np.uint64)  # exact: at most 53 bits are set
    top = (high.astype(np.int64) + (1 << (_HALF - 1))).astype(np.uint64)
    mask = np.uint64((1 << bits) - 1)
    digits = out.reshape(limbs(bits), values.size)
    for place, digit in enumerate(digits):
        shift = place * bits
        if shift >= _HALF:
            digit[:] = (top >> np.uint64(shift - _HALF)) & mask
        elif shift + bits <= _HALF:
            digit[:] = (low >> np.uint64(shift)) & mask
        else:
            digit[:] = ((low >> np.uint64(shift)) | (top << np.uint64(_HALF - shift))) & mask


def encode_plain(values: Sequence[float], factor: float, bits: int) -> list[int]:
    """`encode` on Python's integers: the oracle of the fast one."""
    rows = [to_limbs(round(value * factor) + OFFSET, bits, limbs(bits)) for value in values]
    return [row[place] for place in range(limbs(bits)) for row in rows]


def decode(total: Vector, addends: int, bits: int) -> list[int]:
    """The sums of the integers that `addends` encodings stand for, exactly: total[limbs * d] gives d integers."""
    columns = total.reshape(limbs(bits), -1).T.tolist()
    return [from_limbs(column, bits) - addends * OFFSET for column in columns]

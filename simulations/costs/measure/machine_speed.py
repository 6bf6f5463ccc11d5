"""How fast the machine is at this moment.

A processor that others share changes its speed, by half and more, from one second to the next or for minutes. Seconds
that were measured at different moments can be held against each other by what the same work took beside each.

Not all work is slowed down alike, so it is three kinds that rounds are made of: big integers, Python, and a cipher.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

import gmpy2
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

_MODULUS = (1 << 2048) - 1942289
_EXPONENT = (1 << 128) - 159
_ZEROS = bytes(600_000)
_STEPS = 4_000


def pace() -> float:
    """CPU seconds that a fixed piece of work takes now, about a quarter of a millisecond.

    The geometric mean of three kinds of work, each the median of 3.
    """
    return math.prod(map(_median, (_powers, _interprets, _encrypts))) ** (1 / 3)


def _median(work: Callable[[], None]) -> float:
    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return statistics.median(once() for _ in range(3))


def _powers() -> None:
    gmpy2.powmod(3, _EXPONENT, _MODULUS)


def _interprets() -> None:
    number = 0
    for step in range(_STEPS):
        number += step * step


def _encrypts() -> None:
    _CIPHER.update_into(_ZEROS, _OUT)


_CIPHER = Cipher(algorithms.ChaCha20(bytes(32), bytes(16)), None).encryptor()
_OUT = bytearray(len(_ZEROS))

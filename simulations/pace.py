"""How fast the machine is at this moment.

A processor that others share changes its speed, by half and more, from one second to the next or for minutes. Seconds
that were measured at different moments can be held against each other by what the same work took beside each.
"""

from __future__ import annotations

import statistics
import time

import gmpy2

_MODULUS = (1 << 2048) - 1942289
_EXPONENT = (1 << 512) - 569


def pace() -> float:
    """CPU seconds that a fixed modular exponentiation takes now, about half a millisecond: the median of 3."""

    def once() -> float:
        began = time.process_time()
        gmpy2.powmod(3, _EXPONENT, _MODULUS)
        return time.process_time() - began

    return statistics.median(once() for _ in range(3))

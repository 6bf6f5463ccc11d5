"""How fast the machine is at this moment.

A processor that others share changes its speed, by half and more, from one second to the next or for minutes. Seconds
that were measured at different moments can be compared by what the same work took beside each.

Not all work is slowed down alike, so it is three kinds that rounds are made of: big integers, Python, and a cipher.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence

import gmpy2
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from fedsec.simulations.costs.federation import MeasuredRound

_MODULUS = (1 << 2048) - 1942289
_EXPONENT = (1 << 128) - 159
_ZEROS = bytes(600_000)
_STEPS = 4_000


def reference_seconds() -> float:
    """CPU seconds that a fixed piece of work takes now, about a quarter of a millisecond.

    The geometric mean of three kinds of work, each the median of 3.
    """
    return math.prod(map(_median, (_powers, _interprets, _encrypts))) ** (1 / 3)


class SpeedSampler:
    """Runs rounds one after the other, and measures the machine's speed before, between and after them."""

    def __init__(self, step: Callable[[], MeasuredRound]) -> None:
        self.step, self.samples = step, [reference_seconds(), reference_seconds()]

    def __call__(self) -> MeasuredRound:
        """One round."""
        measured = self.step()
        self.samples.append(reference_seconds())
        return measured

    def annotate(self, rounds: Sequence[MeasuredRound]) -> list[MeasuredRound]:
        """Those rounds with the speed of them all, the median: something else may disturb one of its samples."""
        self.samples.append(reference_seconds())
        middle = statistics.median(self.samples)
        return [measured._replace(reference_seconds=middle) for measured in rounds]


def _median(work: Callable[[], None]) -> float:
    def seconds() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return statistics.median(seconds() for _ in range(3))


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

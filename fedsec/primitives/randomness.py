"""Randomness as an argument: what every primitive that needs it is given, and exact draws from it."""

from __future__ import annotations

from collections.abc import Callable

from fedsec.errors import ConfigurationError
from fedsec.primitives.integers import integer

Random = Callable[[int], bytes]
"""Like `os.urandom`: asked for a count, it returns that many bytes, independent, uniform and unknown to others."""


def randbytes(count: int, rng: Random) -> bytes:
    """Return `count` bytes of `rng`.

    Raises ConfigurationError where `rng` returns another number of bytes: a short key must never pass unseen.
    """
    drawn = rng(count)
    if len(drawn) != count:
        raise ConfigurationError(f"the random source returned {len(drawn)} bytes where {count} were asked for")
    return drawn


def randbits(bits: int, rng: Random) -> int:
    """Return an integer uniform in [0, 2^bits), from the last `bits` bits of big-endian bytes of `rng`."""
    bits = integer("randbits", bits)
    if bits < 0:
        raise ConfigurationError(f"randbits: {bits} bits were asked for; at least 0 are needed")
    return int.from_bytes(randbytes((bits + 7) // 8, rng), "big") & ((1 << bits) - 1)


def randbelow(bound: int, rng: Random) -> int:
    """Return an integer uniform in [0, bound), without bias: draws of `bound.bit_length()` bits until one is below it.

    Each draw succeeds with probability above one half. Raises ConfigurationError for a bound below 1.
    """
    bound = integer("randbelow", bound)
    if bound < 1:
        raise ConfigurationError("randbelow: the bound must be at least 1")
    bits = bound.bit_length()
    while True:
        drawn = randbits(bits, rng)
        if drawn < bound:
            return drawn

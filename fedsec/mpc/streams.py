"""Where shares of correlated randomness come from: two seeds, and corrections for party 1.

The dealer knows both seeds. A uniform value is the sum of what they give; of a value that depends on others, party 0's
share comes from its seed and party 1's is the difference, sent ahead: uniform, for the first is.
"""

from __future__ import annotations

import hashlib
import math
from typing import Protocol

import numpy as np

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.mpc.ring_kernels import Words
from fedsec.primitives.prg import SEED_BYTES, expand
from fedsec.primitives.randomness import Random

PIECE = 14_336
"""Words drawn from the generator at a time."""


class Source(Protocol):
    """Where a role reads the words that it shares with the dealer."""

    def words(self, shape: int | tuple[int, ...]) -> Words:
        """The next words, as uint64 of `shape`."""


def size(shape: int | tuple[int, ...]) -> int:
    """Elements of an array of that shape."""
    return shape if isinstance(shape, int) else math.prod(shape)


def derived(seed: bytes, purpose: str, number: int = 0) -> bytes:
    """The seed of one purpose and iteration, 32 bytes: BLAKE2b keyed with `seed`. A seed serves one stream."""
    if len(seed) != SEED_BYTES:
        raise ConfigurationError(f"seed: {len(seed)} bytes were given and {SEED_BYTES} are expected")
    return hashlib.blake2b(number.to_bytes(8, "big") + purpose.encode(), digest_size=SEED_BYTES, key=seed).digest()


class Stream:
    """Uniform words of a seed, in order."""

    def __init__(self, seed: bytes) -> None:
        self._draw: Random = expand(seed)
        self._words, self._place = np.empty(0, "<u8"), 0

    def words(self, shape: int | tuple[int, ...]) -> Words:
        """The next words, as uint64 of `shape`: read-only."""
        count = size(shape)
        if self._place + count > self._words.size:
            rest = self._words[self._place :]
            fresh = np.frombuffer(self._draw(8 * max(PIECE, count - rest.size)), "<u8")
            self._words, self._place = np.concatenate([rest, fresh]), 0
        out = self._words[self._place : self._place + count]
        self._place += count
        return out.reshape(shape)


class Corrections:
    """What the dealer sent to party 1 for one iteration, read in order; raises BadMessage where it is too short."""

    def __init__(self, data: bytes | memoryview) -> None:
        if len(data) % 8:
            raise BadMessage(f"corrections: {len(data)} bytes came; whole words of 8 bytes were expected")
        self._words, self._place = np.frombuffer(data, "<u8"), 0

    def words(self, shape: int | tuple[int, ...]) -> Words:
        """The next words, as uint64 of `shape`: read-only."""
        count = size(shape)
        if self._place + count > self._words.size:
            raise BadMessage(f"corrections: {self._words.size} words came and more were expected")
        out = self._words[self._place : self._place + count]
        self._place += count
        return out.reshape(shape)

    def finish(self) -> None:
        """Raise BadMessage unless all was read."""
        if self._place != self._words.size:
            raise BadMessage(f"corrections: {self._words.size} words came and {self._place} were expected")

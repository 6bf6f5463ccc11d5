"""Vectors modulo 2^32 or 2^64, in which masks are uniform and sums wrap: the words that masking protocols send."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import BadMessage, ConfigurationError

Words = NDArray[np.uint32] | NDArray[np.uint64]
"""uint32[d] in the ring of 32 bits, uint64[d] in the ring of 64"""
BLOCK = 1 << 15  # values whose running sum stays in a core's second-level cache


@dataclass(frozen=True)
class Ring:
    """The integers modulo 2^bits, bits 32 or 64. Raises ConfigurationError for other bits."""

    bits: int

    def __post_init__(self) -> None:
        if self.bits not in (32, 64):
            raise ConfigurationError(f"ring: {self.bits} bits; the rings have 32 or 64")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of one word, little-endian."""
        return np.dtype("<u4") if self.bits == 32 else np.dtype("<u8")

    def words(self, vector: NDArray[np.uint64]) -> Words:
        """A copy of `vector`, uint64[d], modulo 2^bits."""
        copy: Words = vector.astype(self.dtype)
        return copy

    def check(self, words: Words, values: int, name: str) -> None:
        """Raise BadMessage, naming `name`, unless `words` is `values` words of this ring in one dimension."""
        if words.dtype != self.dtype or words.shape != (values,):
            raise BadMessage(
                f"{name}: shape {words.shape} of {words.dtype}; {values} words of {self.bits} bits were expected"
            )

    def sum(self, vectors: Iterable[Words]) -> Words:
        """The sum modulo 2^bits of one or more vectors of one length.

        Raises BadMessage where lengths or words differ, and ConfigurationError for no vector.
        """
        rows = list(vectors)
        if not rows:
            raise ConfigurationError("ring sum: it needs at least one vector")
        out = np.zeros(rows[0].size, self.dtype)
        for number, row in enumerate(rows):
            self.check(row, out.size, f"vector {number + 1} of {len(rows)}")
        for start in range(0, out.size, BLOCK):
            part = out[start : start + BLOCK]
            for row in rows:
                np.add(part, row[start : start + BLOCK], out=part)
        return out

    def lift(self, words: Words) -> NDArray[np.uint64]:
        """The representatives in [0, 2^bits) as uint64[d]."""
        return words.astype(np.uint64)


R32, R64 = Ring(32), Ring(64)

"""Comparison with public thresholds: bits in XOR shares, 64 to a word, by a tree over the digits of a mask.

A truncation opens c = v + 2^62 + r. With t public, [v < t] is the top bit of (c - 2^62 - t) - r: the top bits of both,
and the borrow [c' mod 2^63 < r mod 2^63]. The dealer shares each digit of r as a table of 16 bits of which one is set,
so that the sixteen comparisons of digits are local, and four levels of products of bits join them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from fedsec.mpc.ring_kernels import DIGITS
from fedsec.mpc.roles import Program, Role, Wire


class BitRole(Role):
    """A role that computes on bits; bits are uint64[..., words], 64 to a word along the last axis."""

    @abstractmethod
    def and_bits(self, x: Any, y: Any) -> Program[Any]:
        """x AND y, by Beaver's triples over bits. One round."""

    @abstractmethod
    def digits(self, x: Wire, thresholds: Sequence[int]) -> tuple[Any, Any, Any]:
        """For each threshold, and each digit from the lowest, [c < r] and [c = r]; and the XOR of the top bits."""

    @abstractmethod
    def arithmetic(self, bits: Any, shape: tuple[int, ...]) -> Program[list[Wire]]:
        """Each row of bits as a wire of numbers 0 and 1, of `shape`. One round."""

    @abstractmethod
    def xor(self, x: Any, y: Any) -> Any:
        """x XOR y. No round."""

    @abstractmethod
    def select(self, x: Any, place: Any) -> Any:
        """x[place]."""

    @abstractmethod
    def stack(self, x: Any, y: Any) -> Any:
        """Both along a new first axis."""

    def below(self, x: Wire, thresholds: Sequence[int]) -> Program[list[Wire]]:
        """[v < t] for each threshold: four levels, then the bits become numbers."""
        less, equal, top = self.digits(x, thresholds)
        low, high = (slice(None), slice(0, None, 2)), (slice(None), slice(1, None, 2))
        count = DIGITS
        while count > 1:
            above = self.select(equal, high)
            if count > 2:
                both = self.stack(self.select(less, low), self.select(equal, low))
                joint = yield from self.and_bits(self.stack(above, above), both)
                less, equal = self.xor(self.select(less, high), self.select(joint, 0)), self.select(joint, 1)
            else:
                joint = yield from self.and_bits(above, self.select(less, low))
                less = self.xor(self.select(less, high), joint)
            count //= 2
        wires = yield from self.arithmetic(self.xor(top, self.select(less, (slice(None), 0))), x.shape)
        return wires

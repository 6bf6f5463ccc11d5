"""The dealer's reading of a program: masks and products of masks, never a value.

It draws in the order in which parties consume, as it runs the same program; what it makes depends on shapes alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fedsec.mpc import operations
from fedsec.mpc.ring_kernels import DIGITS, Words
from fedsec.mpc.roles import Program, Share, Term, Truncation, Wire
from fedsec.mpc.streams import Source
from fedsec.mpc.threshold_comparison import BitRole


@dataclass(frozen=True)
class Blank:
    """The dealer's share of a value: its shape."""

    shape: tuple[int, ...]

    @property
    def T(self) -> Blank:
        """The transposed matrix."""
        return Blank(self.shape[::-1])


class Dealer(BitRole):
    """Holds both streams; `corrections` is what party 1 is sent.

    draws: where given, receives the low bits of each truncation's mask, in order, for a twin that is to round alike.
    """

    party = None

    def __init__(self, streams: tuple[Source, Source], draws: list[Words] | None = None) -> None:
        self._streams = streams
        self._corrections: list[Words] = []
        self._draws = draws

    def corrections(self) -> Any:
        """The words for party 1, uint64 in one dimension."""
        return operations.joined(self._corrections)

    def fresh(self, shape: tuple[int, ...]) -> Words:
        """A uniform value: no correction."""
        return self._streams[0].words(shape) + self._streams[1].words(shape)

    def fresh_bits(self, shape: tuple[int, ...]) -> Words:
        """Uniform bits, XOR-shared, by the word."""
        return self._streams[0].words(shape) ^ self._streams[1].words(shape)

    def give(self, value: Words) -> None:
        """Share a value that depends on others."""
        self._corrections.append(value - self._streams[0].words(value.shape))

    def give_bits(self, value: Words) -> None:
        """XOR-share bits that depend on others, by the word."""
        self._corrections.append(value ^ self._streams[0].words(value.shape))

    def open(self, masked: Sequence[Share] = (), truncated: Sequence[Truncation] = ()) -> Program[list[Wire]]:
        """Masks for each; of a truncation also its wrap bit and what it leaves above the shift."""
        out = [Wire(share, None, (Term(self.fresh(share.shape)),), share.shape) for share in masked]
        for one in truncated:
            shape = one.share.shape
            r = self.fresh(shape)
            if self._draws is not None:
                self._draws.append(r & np.uint64((1 << one.shift) - 1))
            wrap, above = operations.halves(r, one.shift)
            self.give(wrap)
            self.give(above)
            terms = Term(wrap, None, 63 - one.shift), Term(above)
            tables = None
            if one.compared:
                hot, sign = operations.one_hot(r), operations.top_bits(r)
                self.give_bits(hot)
                self.give_bits(sign)
                tables = hot, sign
            out.append(Wire(Blank(shape), None, terms, shape, tables=tables))
        return out
        yield b""

    def multiply(self, x: Wire, y: Wire) -> Share:
        """Products of all pairs of masks that do not vanish."""
        for a in x.terms:
            for b in y.terms:
                if a.weight + b.weight < 64:
                    self.give(a.mask * b.mask)
        return Blank(x.shape)

    def matmul(self, x: Wire, y: Wire, place: str = "a product") -> Share:
        """Beaver's third matrix."""
        self.give(operations.dot(x.terms[0].mask, y.terms[0].mask))
        return Blank((x.shape[0], y.shape[1]))

    def plus(self, x: Share, y: Share) -> Share:
        return Blank(x.shape)

    def plus_public(self, x: Share, value: ArrayLike) -> Share:
        return x

    def times(self, x: Share, factor: int) -> Share:
        return x

    def and_bits(self, x: Any, y: Any) -> Program[Any]:
        """A triple of bits."""
        a, b = self.fresh_bits(x.shape), self.fresh_bits(y.shape)
        self.give_bits(a & b)
        return Blank(x.shape)
        yield b""

    def digits(self, x: Wire, thresholds: Sequence[int]) -> tuple[Any, Any, Any]:
        """Shapes alone: look-ups are local."""
        width = operations.words_of(math.prod(x.shape))
        bits = Blank((len(thresholds), DIGITS, width))
        return bits, bits, Blank((len(thresholds), width))

    def arithmetic(self, bits: Any, shape: tuple[int, ...]) -> Program[list[Wire]]:
        """Random bits, shared both ways."""
        mask = self.fresh_bits(bits.shape)
        plain = operations.unpack(mask, math.prod(shape))
        self.give(plain)
        return [Wire(Blank(shape), None, (Term(row.reshape(shape)),), shape) for row in plain]
        yield b""

    def flat(self, shares: Sequence[Share]) -> Share:
        return Blank((sum(math.prod(one.shape) for one in shares),))

    def announce(self, x: Share) -> Program[int]:
        """Nothing: it never learns a value."""
        return 0
        yield b""

    def xor(self, x: Any, y: Any) -> Any:
        return x

    def select(self, x: Any, place: Any) -> Any:
        return Blank(np.empty(x.shape, np.bool_)[place].shape)

    def stack(self, x: Any, y: Any) -> Any:
        return Blank((2, *x.shape))

"""One program, read by four roles: what a program may do with shared values, and what each role holds of them.

Reference: Beaver, CRYPTO 1991 (products); Escudero et al., CRYPTO 2020, and Mohassel & Zhang, S&P 2017 (training).
Server learns: sealed bytes, their sizes and their order; it is no party.
Trusts: the two compute parties not to collude, and the dealer with neither; all three follow the protocol.
Tolerates: nobody's absence.
Costs: one round for each set of values opened together; everything else is local.

A program is a generator over a `Role`; where parties exchange, it yields the bytes to send and receives the peer's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedsec.errors import ConfigurationError

Share = Any
"""What one role holds of a shared array: a party its uint64 share, the twin the int64 values, the dealer its shape."""
Returned = TypeVar("Returned")
Program = Generator[bytes, bytes, Returned]
"""Yields the bytes of an opening, is sent the peer's, and returns its result. Dealer and twin never yield."""


@dataclass(frozen=True, eq=False, repr=False)
class Term:
    """A mask of the dealer's, in whose shares an opened value is affine: `sign` (public, ±1) times the mask.

    weight: the mask is a multiple of 2^weight, so that products of two masks with 64 together vanish.
    """

    mask: Any
    sign: Any = None
    weight: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Wire:
    """A value after its opening under a mask: public + the sum of its terms. `share` is the role's share of it."""

    share: Share
    public: Any
    terms: tuple[Term, ...]
    shape: tuple[int, ...]
    opened: Any = None
    """What was opened, for a truncation that comparisons follow."""
    tables: Any = None
    """Shares of the digits of that opening's mask."""


MOST_CUT = 62
"""The most bits that a truncation takes off a word of 64."""


@dataclass(frozen=True, eq=False, repr=False)
class Truncation:
    """`share` * 2^-shift, to be opened: rounded down or up by chance, by less than one unit, without bias.

    place: what to call it where it overflows. scale: fractional bits of `share`. compared: comparisons will follow.
    """

    share: Share
    shift: int
    place: str
    scale: int
    compared: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.shift <= MOST_CUT:
            raise ConfigurationError(
                f"truncation of {self.place}: a shift of {self.shift}; it must lie in 1..{MOST_CUT}"
            )


class Role(ABC):
    """What a program is written against. Shapes are numpy's; integers are modulo 2^64."""

    @abstractmethod
    def open(self, masked: Sequence[Share] = (), truncated: Sequence[Truncation] = ()) -> Program[list[Wire]]:
        """One round: each share opened under a fresh uniform mask, as it is or truncated; wires in that order."""

    @abstractmethod
    def multiply(self, x: Wire, y: Wire) -> Share:
        """The element-wise product of two wires of one shape, at the sum of their scales. No round."""

    @abstractmethod
    def matmul(self, x: Wire, y: Wire, place: str = "a product") -> Share:
        """The matrix product of wires opened under one mask each; no round. See `transpose`."""

    @abstractmethod
    def plus(self, x: Share, y: Share) -> Share:
        """x + y. No round."""

    @abstractmethod
    def plus_public(self, x: Share, value: ArrayLike) -> Share:
        """x + value, for public integers. No round."""

    @abstractmethod
    def times(self, x: Share, factor: int) -> Share:
        """x * factor, for a public integer. No round."""

    @abstractmethod
    def flat(self, shares: Sequence[Share]) -> Share:
        """All elements in one dimension. No round."""

    @abstractmethod
    def announce(self, x: Share) -> Program[int]:
        """The sum of all elements, a signed number, in the clear to both parties and nobody else. One round."""

    def known(self, x: Share, largest: float) -> Share:
        """x, of which the program's author knows that no element passes `largest`: `bounds` uses it. No round."""
        return x

    @abstractmethod
    def below(self, x: Wire, thresholds: Sequence[int]) -> Program[list[Wire]]:
        """For each public threshold t the bit [v < t], of scale 0, where v is what `x` was truncated from.

        x: opened with `compared`; |v - t| < 2^63. Five rounds, whatever the number of thresholds.
        """

    def combine(self, parts: Sequence[tuple[int, Wire]], constant: int = 0) -> Wire:
        """The sum of factor * wire, and a public constant. No round."""
        share, public = self.times(parts[0][1].share, parts[0][0]), scaled(parts[0][1].public, parts[0][0])
        for factor, wire in parts[1:]:
            share = self.plus(share, self.times(wire.share, factor))
            public = None if public is None else public + scaled(wire.public, factor)
        if constant:
            share = self.plus_public(share, constant)
            public = None if public is None else public + wrapped(constant)
        terms = [Term(scaled(term.mask, factor), term.sign, term.weight) for factor, one in parts for term in one.terms]
        return Wire(share, public, tuple(terms), parts[0][1].shape)

    def transpose(self, x: Wire) -> Wire:
        """The wire of the transposed matrix, under the same mask."""
        terms = tuple(Term(turned(term.mask), turned(term.sign), term.weight) for term in x.terms)
        return Wire(x.share.T, turned(x.public), terms, x.shape[::-1])


def turned(x: Any) -> Any:
    """The transposed copy of a matrix that there is."""
    return None if x is None else x.T.copy()


def scaled(x: Any, factor: int) -> Any:
    """x * factor modulo 2^64, of an array that there is."""
    if x is None or factor == 1:
        return x
    return np.negative(x) if factor == -1 else x * wrapped(factor)


def wrapped(value: ArrayLike) -> NDArray[np.uint64] | Any:
    """Signed integers of up to 64 bits modulo 2^64."""
    return np.asarray(value, dtype=np.int64).astype(np.uint64)

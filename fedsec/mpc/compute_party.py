"""A compute party's reading of a program: its share, the openings, and its shares of the dealer's masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fedsec.errors import BadMessage
from fedsec.mpc import operations
from fedsec.mpc.ring_kernels import Words
from fedsec.mpc.roles import Program, Share, Term, Truncation, Wire, wrapped
from fedsec.mpc.streams import Source
from fedsec.mpc.threshold_comparison import BitRole


class ComputeParty(BitRole):
    """Party 0 or 1. Party 1 also reads the dealer's corrections; party 0 has none and adds public constants.

    A share of the other's never comes here but under a mask: what is received is uniform, whatever the values.
    """

    def __init__(self, party: int, stream: Source, corrections: Source | None = None) -> None:
        self.party = party
        self._stream, self._corrections = stream, corrections

    def _taken(self, shape: tuple[int, ...]) -> Words:
        """My share of a value that the dealer gives."""
        return (self._stream if self._corrections is None else self._corrections).words(shape)

    def _exchange(self, mine: Any) -> Program[Any]:
        """One round: my words go out, as many of the peer's come back."""
        received = yield mine.tobytes()
        return arrived(received, mine.size)

    def open(self, masked: Sequence[Share] = (), truncated: Sequence[Truncation] = ()) -> Program[list[Wire]]:
        """See Role. The mask of a truncation is added, that of a plain opening taken off."""
        masks = [self._stream.words(share.shape) for share in masked]
        drawn = [self._masks_of(one) for one in truncated]
        shares = [*masked, *[one.share for one in truncated]]
        mine, parts = operations.room([share.shape for share in shares], shares[0])
        for part, share, mask in zip(parts, masked, masks, strict=False):
            np.subtract(share, mask, out=part)
        for part, one, masks_of in zip(parts[len(masks) :], truncated, drawn, strict=True):
            np.add(one.share, masks_of[0], out=part)
        received = yield from self._exchange(mine)
        whole = operations.separated(mine + received, [share.shape for share in shares])
        out = [
            Wire(share, public, (Term(mask),), share.shape)
            for share, public, mask in zip(masked, whole, masks, strict=False)
        ]
        for one, masks_of, c in zip(truncated, drawn, whole[len(masks) :], strict=True):
            out.append(self._truncated(one, masks_of, c))
        return out

    def _masks_of(self, one: Truncation) -> tuple[Any, ...]:
        shape = one.share.shape
        r, wrap, above = self._stream.words(shape), self._taken(shape), self._taken(shape)
        if not one.compared:
            return r, wrap, above, None
        hot = self._taken((4, r.size))
        return r, wrap, above, (hot, self._taken((operations.words_of(r.size),)))

    def _truncated(self, one: Truncation, parts: tuple[Any, ...], c: Words) -> Wire:
        _, wrap, above, tables = parts
        public, sign, share = operations.opened(c, one.shift, wrap, above, self.party == 0)
        terms = Term(wrap, sign, 63 - one.shift), Term(above)
        return Wire(share, public, terms, c.shape, c if one.compared else None, tables)

    def multiply(self, x: Wire, y: Wire) -> Share:
        """public_x [y] + public_y [x] - public_x public_y, and the products of masks."""
        out = x.public * y.share
        operations.add_product(out, y.public, x.share - x.public if self.party == 0 else x.share)
        for a in x.terms:
            for b in y.terms:
                if a.weight + b.weight >= 64:
                    continue
                product, signs = self._taken(x.shape), [sign for sign in (a.sign, b.sign) if sign is not None]
                for sign in signs[1:]:
                    product = product * sign
                if signs:
                    operations.add_product(out, product, signs[0])
                else:
                    out += product
        return out

    def matmul(self, x: Wire, y: Wire, place: str = "a product") -> Share:
        """Beaver's product of matrices: D [y] + [A] F + [C]."""
        out = self._taken((x.shape[0], y.shape[1])).copy()
        operations.add_dot(out, x.public, y.share)
        operations.add_dot(out, x.terms[0].mask, y.public)
        return out

    def plus(self, x: Share, y: Share) -> Share:
        return x + y

    def plus_public(self, x: Share, value: ArrayLike) -> Share:
        return x + wrapped(value) if self.party == 0 else x

    def times(self, x: Share, factor: int) -> Share:
        return x if factor == 1 else x * wrapped(factor)

    def and_bits(self, x: Any, y: Any) -> Program[Any]:
        """Beaver's product over bits."""
        a, b = self._stream.words(x.shape), self._stream.words(y.shape)
        product = self._taken(x.shape)
        mine, parts = operations.room([x.shape, y.shape], x)
        np.bitwise_xor(x, a, out=parts[0])
        np.bitwise_xor(y, b, out=parts[1])
        received = yield from self._exchange(mine)
        left, right = operations.separated(mine ^ received, [x.shape, y.shape])
        out = product ^ (left & b) ^ (right & a)
        return out ^ (left & right) if self.party == 0 else out

    def digits(self, x: Wire, thresholds: Sequence[int]) -> tuple[Any, Any, Any]:
        """Look up each digit of c - 2^62 - t in my share of the tables."""
        tables, sign = x.tables
        less, equal, top = [], [], []
        for threshold in thresholds:
            c = x.opened.reshape(-1) - wrapped(threshold)
            bits = operations.look_up(c, tables)
            less.append(bits[0])
            equal.append(bits[1])
            top.append(sign ^ operations.top_bits(c) if self.party == 0 else sign)
        return operations.stack(less), operations.stack(equal), operations.stack(top)

    def arithmetic(self, bits: Any, shape: tuple[int, ...]) -> Program[list[Wire]]:
        """Open bits XOR random bits; the number is then affine in the random one."""
        mask = self._stream.words(bits.shape)
        size = math.prod(shape)
        numbers = self._taken((bits.shape[0], size))
        mine = (bits ^ mask).reshape(-1)
        received = yield from self._exchange(mine)
        out = []
        for number, row in zip(numbers, operations.unpack((mine ^ received).reshape(bits.shape), size), strict=True):
            public, number = row.reshape(shape), number.reshape(shape)
            sign = np.uint64(1) - (public + public)
            share = sign * number + public if self.party == 0 else sign * number
            out.append(Wire(share, public, (Term(number, sign),), shape))
        return out

    def flat(self, shares: Sequence[Share]) -> Share:
        return operations.joined(shares)

    def announce(self, x: Share) -> Program[int]:
        """My sum goes out, the peer's comes back."""
        mine = np.array([x.sum(dtype=np.uint64)])
        received = yield from self._exchange(mine)
        return int((mine + received).astype(np.int64)[0])

    def xor(self, x: Any, y: Any) -> Any:
        return x ^ y

    def select(self, x: Any, place: Any) -> Any:
        return x[place]

    def stack(self, x: Any, y: Any) -> Any:
        return operations.stack([x, y])


def arrived(data: bytes, size: int) -> Words:
    """The words of the peer's opening; raises BadMessage where they are not so many."""
    if len(data) != 8 * size:
        raise BadMessage(f"an opening: {len(data)} bytes came from the peer; {8 * size} were expected")
    return np.frombuffer(data, "<u8")

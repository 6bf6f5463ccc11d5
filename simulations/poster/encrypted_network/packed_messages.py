"""The exchange's messages: ciphertexts of several slots each, and what they look like on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.paillier import PublicKey

ROWS = 8
"""Ciphertexts over which the engines compute side by side."""


def slots(public: PublicKey, width: int, count: int) -> int:
    """How many slots of this width each plaintext has, for so many numbers: as many as fit, or eight plaintexts.

    Moving numbers to their slots is faster for several ciphertexts side by side. Raises ConfigurationError where not
    even one slot fits.
    """
    if not 0 < width <= public.plaintext_bits:
        raise ConfigurationError(
            f"a blinded number of {width} bits overflows the plaintext, which has {public.plaintext_bits}: use "
            "less precision, a lower degree, an earlier refresh or a larger key"
        )
    return min(public.plaintext_bits // width, -(-count // ROWS))


def join(public: PublicKey, ciphertexts: Sequence[int]) -> bytes:
    """Ciphertexts, big-endian, of one width."""
    return b"".join(int(c).to_bytes(public.ciphertext_bytes, "big") for c in ciphertexts)


def split(public: PublicKey, body: bytes) -> list[int]:
    """The numbers in bytes of `join`. Raises BadMessage for another length."""
    width = public.ciphertext_bytes
    if len(body) % width:
        raise BadMessage(f"{len(body)} bytes of ciphertexts; whole ones of {width} bytes were expected")
    return [int.from_bytes(body[start : start + width], "big") for start in range(0, len(body), width)]


def apart(plain: Sequence[int], width: int, count: int, held: int) -> list[int]:
    """The slots' numbers. Raises BadMessage where they are not as many, or one ran over."""
    if len(plain) != -(-count // held):
        raise BadMessage(f"{len(plain)} ciphertexts of {held} slots do not hold {count} numbers")
    out = [(value >> (index * width)) & ((1 << width) - 1) for value in plain for index in range(held)]
    if any(value >> (held * width) for value in plain) or any(out[count:]):
        raise BadMessage("a blinded number ran over its slot: it overflowed the fixed point")
    return out[:count]


def parsed(request: bytes) -> tuple[Any, Any]:
    """Groups and items of a request. Raises BadMessage for what is none."""
    try:
        groups, items = msgpack.unpackb(request)
        for width, shift, count, body in groups:
            whole = all(type(x) is int and 0 <= x < 1 << 16 for x in (width, shift, count))
            if not whole or not width or not count or type(body) is not bytes:
                raise BadMessage("request: a group is not width, shift, count and ciphertexts")
        if not all(type(index) is int for item in items for indices in item for index in indices):
            raise BadMessage("request: an item is not a list of lists of indices")
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadMessage(f"request: {type(error).__name__}: it is not groups and items") from error
    return groups, items

"""A packed vector's ciphertexts as bytes: a fixed header, then big-endian integers of one width.

Header, big-endian, 90 bytes: magic "FSPC", version 2, slot bits (1 byte each after the magic), values (8 bytes),
addends (8), ciphertexts (4), fingerprint of the key (32), context (32).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.integers import integers
from fedsec.primitives.packing import MAXIMUM_SLOT_BITS, capacity, plaintext_count
from fedsec.primitives.paillier import PublicKey, validate

MAGIC, VERSION = b"FSPC", 2
HEADER = struct.Struct(">4sBBQQI32s32s")
CONTEXT_BYTES = 32


@dataclass(frozen=True)
class Ciphertexts:
    """The encrypted sum of `addends` vectors of `values` values in slots of `slot_bits` bits.

    `context` is 32 bytes that name the round and the configuration that they were made in.
    """

    ciphertexts: tuple[int, ...]
    slot_bits: int
    values: int
    addends: int
    context: bytes = bytes(CONTEXT_BYTES)


def to_bytes(public: PublicKey, batch: Ciphertexts) -> bytes:
    """Return header and body. Raises ConfigurationError where the counts contradict one another or a slot's width."""
    expected = plaintext_count(batch.values, batch.slot_bits, public.plaintext_bits)
    if len(batch.ciphertexts) != expected:
        raise ConfigurationError(f"ciphertexts: {len(batch.ciphertexts)} for {batch.values} values, not {expected}")
    if not 1 <= batch.addends < 1 << batch.slot_bits:
        raise ConfigurationError(f"addends: {batch.addends}; the canary of {batch.slot_bits} bits must hold them")
    if len(batch.context) != CONTEXT_BYTES:
        raise ConfigurationError(f"context: {len(batch.context)} bytes, not {CONTEXT_BYTES}")
    ciphertexts = integers("ciphertexts", batch.ciphertexts)
    if any(not 0 < c < public.modulus for c in ciphertexts):
        raise ConfigurationError(f"ciphertexts: one is not between 0 and n^{public.s + 1}")
    counts = (batch.slot_bits, batch.values, batch.addends, expected)
    header = HEADER.pack(MAGIC, VERSION, *counts, public.fingerprint, batch.context)
    return header + b"".join(c.to_bytes(public.ciphertext_bytes, "big") for c in ciphertexts)


def from_bytes(
    public: PublicKey,
    blob: bytes,
    slot_bits: int | None = None,
    values: int | None = None,
    addends: int | None = None,
    context: bytes | None = None,
) -> Ciphertexts:
    """Return the ciphertexts of `blob`, each in (0, n^(s+1)) and prime to n; `public` is a checked key.

    Where `slot_bits`, `values`, `addends` or `context` are given, the header must say the same. Sizes are compared
    before the body is read. Raises BadMessage for every other blob.
    """
    if len(blob) < HEADER.size:
        raise BadMessage(f"ciphertext blob: {len(blob)} bytes came and the header alone has {HEADER.size}")
    magic, version, slots, count, parts, length, fingerprint, made_in = HEADER.unpack_from(blob)
    if magic != MAGIC or version != VERSION:
        raise BadMessage(f"ciphertext blob: it starts with {magic!r}, version {version}, not {MAGIC!r}, {VERSION}")
    if fingerprint != public.fingerprint:
        raise BadMessage(f"ciphertext blob: made for key {fingerprint.hex()}, not {public.fingerprint.hex()}")
    if context is not None and made_in != context:
        raise BadMessage("ciphertext blob: made in another round, or under another configuration")
    for name, stated, wanted in (
        ("slot_bits", slots, slot_bits),
        ("values", count, values),
        ("addends", parts, addends),
    ):
        if wanted is not None and stated != wanted:
            raise BadMessage(f"ciphertext blob: {name} is {stated} and {wanted} is expected")
    _check_counts(public, slots, count, parts, length)
    width = public.ciphertext_bytes
    if len(blob) != HEADER.size + length * width:
        raise BadMessage(f"ciphertext blob: {len(blob)} bytes came and {HEADER.size + length * width} are expected")
    body = memoryview(blob)[HEADER.size :]
    ciphertexts = tuple(int.from_bytes(body[i * width : (i + 1) * width], "big") for i in range(length))
    validate(public, ciphertexts)
    return Ciphertexts(ciphertexts, slots, count, parts, made_in)


def _check_counts(public: PublicKey, slot_bits: int, values: int, addends: int, length: int) -> None:
    most = min(MAXIMUM_SLOT_BITS, public.plaintext_bits // 2)
    if not 1 <= slot_bits <= most:
        raise BadMessage(f"ciphertext blob: slot_bits is {slot_bits} and 1 to {most} are expected")
    if not 1 <= addends < 1 << slot_bits:
        raise BadMessage(f"ciphertext blob: addends is {addends}; the canary of {slot_bits} bits holds 1 or more")
    if length != plaintext_count(values, slot_bits, public.plaintext_bits):
        held = capacity(slot_bits, public.plaintext_bits)
        raise BadMessage(f"ciphertext blob: {length} ciphertexts of {held} values do not fit {values} values")

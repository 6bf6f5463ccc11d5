"""Hospitals encrypt under one lattice key (BFV), a witness adds, and the key holder opens what the witness signed.

Reference: Z. Brakerski, Crypto 2012; J. Fan, F. Vercauteren, ePrint 2012/144; by Microsoft SEAL, through TenSEAL.
Server learns: the sum, and who took part; the key holder learns the sum too.
Trusts: the witness, which sees every ciphertext and has no key, is semi-honest and colludes with nobody.
Tolerates: dropouts down to the cohort floor when inputs are sent; the witness and the key holder must answer.
Costs: three phases; each hospital uploads 22 or 54 bytes a value; encryption is faster than Paillier's.

Needs TenSEAL: pip install 'fedsec[bfv]'. Roles and opening rules are those of `paillier`. What the library does not
allow: its randomness is SEAL's own, not ours; its ciphertexts are checked by SEAL's rules when they are read, in C++;
and the noise in a sum is not flooded, so that the key holder, who learns the sum anyhow, sees how large the addends'
noises were together.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gmpy2
import numpy as np
import tenseal

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.randomness import Random
from fedsec.protocol import PartyId, Vector, parameter
from fedsec.strategies._key_holder import KeyHolderSum

HEADER = struct.Struct(">QQ32s32s")  # values, addends, SHA-256 of the key, context
LENGTH = struct.Struct(">I")  # of what is padded
CIPHERTEXT_BYTES = {4096: 22, 8192: 54}
KEY_BYTES = {4096: 34, 8192: 67}
"""For each slot. TenSEAL compresses, so that lengths depend on chance: they are padded to these."""
LARGEST = {4096: 44, 8192: 58}
"""Bits of the plaintext modulus at which sums of thousands of ciphertexts still decrypt."""


@dataclass(frozen=True)
class Bfv(KeyHolderSum[list[Any]]):
    """Many values in a ciphertext, one in each slot; 128-bit security by homomorphicencryption.org, 2018."""

    capacity_bits: int = parameter(
        0,
        "Sums are exact below 2^capacity_bits: to 44 with 4,096 slots, to 58 with 8,192; 0: ten more than value_bits",
        low=0,
        high=max(LARGEST.values()),
        unit="bits",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.capacity_bits and self.capacity_bits <= self.value_bits:
            raise ConfigurationError(
                f"capacity_bits is {self.capacity_bits}; it must lie above value_bits, {self.value_bits}, or be 0"
            )
        if self._bits > max(LARGEST.values()):
            most = max(LARGEST.values())
            raise ConfigurationError(f"value_bits is {self.value_bits}; use at most {most - 10}, or set capacity_bits")

    @property
    def _bits(self) -> int:
        return self.capacity_bits or max(self.value_bits + 10, 20)

    @property
    def _slots(self) -> int:
        return next(slots for slots, bits in LARGEST.items() if self._bits <= bits)

    @property
    def _padded(self) -> int:
        return CIPHERTEXT_BYTES[self._slots] * self._slots

    def capacity(self, clients: Collection[PartyId]) -> int:
        return (1 << self._bits) - 1

    def columns(self, clients: Collection[PartyId], values: int) -> int:
        return -(-values // self._slots)

    def message_bytes(self, clients: Collection[PartyId], values: int) -> int:
        return len(clients) * (4096 + self._padded * self.columns(clients, values) + 8 * values)

    def generate(self, context: bytes, rng: Random) -> tuple[bytes, bytes, bytes]:
        made = _fresh(self._slots, self._bits)
        public, private = (
            made.serialize(save_public_key=True, save_secret_key=secret, save_galois_keys=False, save_relin_keys=False)
            for secret in (False, True)
        )
        return _padded(public, KEY_BYTES[self._slots] * self._slots), b"", private

    def adopt(self, sent: bytes, proof: bytes, context: bytes) -> bytes:
        if proof:
            raise BadMessage(f"public key: a proof of {len(proof)} bytes came, and bfv has none")
        try:
            key = _context(_unpadded(sent))
            slots = tenseal.bfv_vector(key, [0] * self._slots).size()
        except Exception as error:
            raise BadMessage(f"public key: TenSEAL cannot read it, or it is not for {self._slots} slots") from error
        if list(key.seal_context().data.key_parms_id()) != list(_parameters(self._slots, self._bits)):
            raise BadMessage(f"public key: its moduli are not those of {self._slots} slots and {self._bits} bits")
        if key.is_private() or slots != self._slots or len(sent) != KEY_BYTES[slots] * slots:
            raise BadMessage(f"public key: one for {self._slots} slots, and without the secret key, was expected")
        return sent

    def fingerprint(self, public: bytes) -> bytes:
        return hashlib.sha256(public).digest()

    def encrypt(self, public: bytes, x: Vector, clients: Collection[PartyId], context: bytes, rng: Random) -> bytes:
        key, slots = _context(_unpadded(public)), self._slots
        parts = [tenseal.bfv_vector(key, x[at : at + slots].tolist()) for at in range(0, x.size, slots)]
        return self._write(public, parts, x.size, 1, context)

    def _write(self, public: bytes, parts: Sequence[Any], values: int, addends: int, context: bytes) -> bytes:
        header = HEADER.pack(values, addends, hashlib.sha256(public).digest(), context)
        return header + b"".join([_padded(part.serialize(), self._padded) for part in parts])

    def read(
        self, public: bytes, blob: bytes, clients: Collection[PartyId], addends: int, context: bytes
    ) -> tuple[list[Any], int]:
        if len(blob) < HEADER.size:
            raise BadMessage(f"ciphertext blob: {len(blob)} bytes came and the header alone has {HEADER.size}")
        values, parts, key, made_in = HEADER.unpack_from(blob)
        if (parts, key, made_in) != (addends, hashlib.sha256(public).digest(), context):
            raise BadMessage("ciphertext blob: of another key, another number of addends or another round")
        count, padded = self.columns(clients, values), self._padded
        if len(blob) != HEADER.size + count * padded:
            raise BadMessage(f"ciphertext blob: {len(blob)} bytes; {count} ciphertexts of {padded} were expected")
        ciphertexts = [
            self._part(public, blob[at : at + padded], min(self._slots, values - i * self._slots))
            for i, at in enumerate(range(HEADER.size, len(blob), padded))
        ]
        return ciphertexts, values

    def _part(self, public: bytes, data: bytes, values: int) -> Any:
        body = _unpadded(data)
        try:
            part = tenseal.bfv_vector_from(_context(_unpadded(public)), body)
            size = part.size()
        except Exception as error:
            raise BadMessage("ciphertext blob: SEAL cannot read a ciphertext, or it is not valid") from error
        if size != values:
            raise BadMessage(f"ciphertext blob: a ciphertext holds {size} values, not {values}")
        return part

    def add(
        self, public: bytes, batches: Sequence[list[Any]], values: int, clients: Collection[PartyId], context: bytes
    ) -> bytes:
        totals = batches[0]
        for batch in batches[1:]:
            totals = [total + part for total, part in zip(totals, batch, strict=True)]
        return self._write(public, totals, values, len(batches), context)

    def decrypt(self, private: bytes, batch: list[Any]) -> bytes:
        key, modulus = _context(private).secret_key(), plaintext_modulus(self._slots, self._bits)
        numbers = [np.array(part.decrypt(key), dtype=np.int64) for part in batch]
        return b"".join((part % modulus).astype(">u8").tobytes() for part in numbers)

    def decode(self, plaintexts: bytes, values: int, clients: Collection[PartyId], addends: int) -> Vector:
        if values < 0 or len(plaintexts) != 8 * values:
            raise BadMessage(f"{len(plaintexts)} bytes of plaintexts; {values} values of 8 were expected")
        vector = np.frombuffer(plaintexts, ">u8").astype(np.uint64)
        if values and int(vector.max()) > min(self.capacity(clients), addends * ((1 << self.value_bits) - 1)):
            raise BadMessage(f"a sum is above what {addends} values can add up to")
        return vector


def _padded(data: bytes, size: int) -> bytes:
    if len(data) > size - LENGTH.size:
        raise ConfigurationError(f"bfv: {len(data)} bytes of TenSEAL's do not fit in {size}")
    return (LENGTH.pack(len(data)) + data).ljust(size, b"\0")


def _unpadded(data: bytes) -> bytes:
    length = LENGTH.unpack_from(data)[0] if len(data) >= LENGTH.size else 0
    body, padding = data[LENGTH.size : LENGTH.size + length], data[LENGTH.size + length :]
    if not length or len(body) != length or any(padding):
        raise BadMessage("bfv: the length of a padded message, or its padding, is not what it should be")
    return body


@lru_cache
def plaintext_modulus(slots: int, bits: int) -> int:
    """The first prime above 2^bits that is 1 modulo 2 slots: such a modulus gives a plaintext that many slots."""
    candidate = (1 << bits) + 1
    while not gmpy2.is_prime(candidate):
        candidate += 2 * slots
    return candidate


def _fresh(slots: int, bits: int) -> Any:
    """New keys, with SEAL's default moduli for 128-bit security."""
    modulus = plaintext_modulus(slots, bits)
    return tenseal.context(tenseal.SCHEME_TYPE.BFV, poly_modulus_degree=slots, plain_modulus=modulus)


@lru_cache
def _parameters(slots: int, bits: int) -> tuple[int, ...]:
    """SEAL's hash of all parameters."""
    return tuple(_fresh(slots, bits).seal_context().data.key_parms_id())


@lru_cache(maxsize=4)
def _context(data: bytes) -> Any:
    return tenseal.context_from(data)

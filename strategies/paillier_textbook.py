"""Paillier as phe is usually used, one value in a ciphertext: the baseline that others are measured by.

Reference: P. Paillier, Eurocrypt 1999, in the implementation of the library phe (python-paillier, GPLv3).
Server learns: the sum, and who took part; the key holder learns the sum too.
Trusts: the witness, which sees every ciphertext and has no key, is semi-honest and colludes with nobody.
Tolerates: dropouts down to the cohort floor when inputs are sent; the witness and the key holder must answer.
Costs: three phases; each hospital uploads 768 bytes a value and computes about 40 ms for it, at 3072 bits.

Keys, roles and the opening are those of `paillier`, so that a comparison shows the cryptosystem's use alone. phe is
given its noise r: its own generator takes no other source of randomness.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fedsec.errors import BadMessage
from fedsec.primitives import blum_modulus, paillier
from fedsec.primitives.integers import integers
from fedsec.primitives.interop_phe import to_phe_private, to_phe_public
from fedsec.primitives.randomness import Random, randbelow
from fedsec.protocol import PartyId, Vector, parameter
from fedsec.strategies._key_holder import KeyHolderSum
from fedsec.strategies.paillier import agreed_modulus

if TYPE_CHECKING:
    from phe.paillier import EncryptedNumber

HEADER = struct.Struct(">QQ32s32s")  # values, addends, fingerprint of the key, context


@dataclass(frozen=True)
class PaillierTextbook(KeyHolderSum[list["EncryptedNumber"]]):
    """phe's EncryptedNumber for each value."""

    costly = True
    minimum_key_bits: ClassVar[int] = 2048

    key_bits: int = parameter(
        3072,
        "Size of the modulus; 3072 is 128-bit security, 2048 is 112-bit",
        low="minimum_key_bits",
        high=8192,
        multiple=16,
        unit="bits",
    )

    @property
    def _width(self) -> int:
        """Bytes of n, and of a plaintext."""
        return self.key_bits // 8

    def capacity(self, clients: Collection[PartyId]) -> int:
        return (1 << 63) - 1

    def columns(self, clients: Collection[PartyId], values: int) -> int:
        return values

    def message_bytes(self, clients: Collection[PartyId], values: int) -> int:
        return len(clients) * (4096 + (2 * self._width + 8) * values)

    def generate(self, context: bytes, rng: Random) -> tuple[bytes, bytes, bytes]:
        private = paillier.generate(self.key_bits, rng)
        proof = blum_modulus.prove(private.p, private.q, context, rng)
        primes = (prime.to_bytes(self._width // 2, "big") for prime in (private.p, private.q))
        return private.public.n.to_bytes(self._width, "big"), proof, b"".join(primes)

    def adopt(self, sent: bytes, proof: bytes, context: bytes) -> bytes:
        blum_modulus.verify(agreed_modulus(sent, self.key_bits), proof, context)
        return sent

    def _public(self, data: bytes) -> paillier.PublicKey:
        return paillier.PublicKey(int.from_bytes(data, "big"), 4)  # phe has no h_s: any square passes for one

    def fingerprint(self, public: bytes) -> bytes:
        return self._public(public).fingerprint

    def encrypt(self, public: bytes, x: Vector, clients: Collection[PartyId], context: bytes, rng: Random) -> bytes:
        key = to_phe_public(self._public(public))
        numbers = [key.encrypt(int(value), r_value=1 + randbelow(key.n - 1, rng)) for value in integers("values", x)]
        return self._write(public, numbers, 1, context)

    def read(
        self, public: bytes, blob: bytes, clients: Collection[PartyId], addends: int, context: bytes
    ) -> tuple[list[EncryptedNumber], int]:
        from phe.paillier import EncryptedNumber

        key, width = self._public(public), 2 * self._width
        if len(blob) < HEADER.size:
            raise BadMessage(f"ciphertext blob: {len(blob)} bytes came and the header alone has {HEADER.size}")
        values, parts, fingerprint, made_in = HEADER.unpack_from(blob)
        if (parts, fingerprint, made_in) != (addends, key.fingerprint, context):
            raise BadMessage("ciphertext blob: of another key, another number of addends or another round")
        if len(blob) != HEADER.size + values * width:
            raise BadMessage(f"ciphertext blob: {len(blob)} bytes, which {values} ciphertexts of {width} do not fill")
        places = range(HEADER.size, len(blob), width)
        ciphertexts = [int.from_bytes(blob[at : at + width], "big") for at in places]
        paillier.validate(key, ciphertexts)
        there = to_phe_public(key)
        return [EncryptedNumber(there, ciphertext) for ciphertext in ciphertexts], values

    def _write(self, public: bytes, numbers: Sequence[EncryptedNumber], addends: int, context: bytes) -> bytes:
        header = HEADER.pack(len(numbers), addends, self._public(public).fingerprint, context)
        # Where sums are sent on, `be_secure` would refresh what needs no refreshing: every addend has its noise.
        body = [number.ciphertext(be_secure=False).to_bytes(2 * self._width, "big") for number in numbers]
        return header + b"".join(body)

    def add(
        self,
        public: bytes,
        batches: Sequence[list[EncryptedNumber]],
        values: int,
        clients: Collection[PartyId],
        context: bytes,
    ) -> bytes:
        totals = batches[0]
        for batch in batches[1:]:
            totals = [total + number for total, number in zip(totals, batch, strict=True)]
        return self._write(public, totals, len(batches), context)

    def decrypt(self, private: bytes, batch: list[EncryptedNumber]) -> bytes:
        p, q = (int.from_bytes(part, "big") for part in (private[: self._width // 2], private[self._width // 2 :]))
        key = to_phe_private(paillier.PrivateKey(p, q, 4))
        out = []
        for number in batch:
            try:
                out.append(int(key.decrypt(number)).to_bytes(8, "big"))
            except (OverflowError, ValueError) as error:  # below 0 or from 2^64 on; phe's own refusal of n/3 and more
                raise BadMessage("a sum is no number of 64 bits: an addend was not one") from error
        return b"".join(out)

    def decode(self, plaintexts: bytes, values: int, clients: Collection[PartyId], addends: int) -> Vector:
        if values < 0 or len(plaintexts) != 8 * values:
            raise BadMessage(f"{len(plaintexts)} bytes of plaintexts; {values} values of 8 were expected")
        vector = np.frombuffer(plaintexts, ">u8").astype(np.uint64)
        if values and int(vector.max()) > addends * ((1 << self.value_bits) - 1):
            raise BadMessage(f"a sum is above what {addends} values can add up to")
        return vector

"""Hospitals encrypt under one Paillier key, a witness multiplies, and the key holder opens what the witness signed.

Reference: P. Paillier, Eurocrypt 1999; noise by I. Damgård, M. Jurik, J. B. Nielsen, IJIS 9 (2010), section 4.2.
Server learns: the sum, and who took part; the key holder learns the sum too.
Trusts: the witness, which sees every ciphertext and has no key, is semi-honest and colludes with nobody.
Tolerates: dropouts down to the cohort floor when inputs are sent; the witness and the key holder must answer.
Costs: three phases; each hospital uploads about 7 bytes a value; the witness downloads all uploads and sends one more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives import blum_modulus, paillier
from fedsec.primitives.ciphertexts import Ciphertexts, from_bytes, to_bytes
from fedsec.primitives.packing import MAXIMUM_SLOT_BITS, check_canary, pack, plaintext_count, unpack
from fedsec.primitives.paillier import LARGEST_S, POLICIES, PrivateKey, PublicKey
from fedsec.primitives.randomness import Random
from fedsec.protocol import PartyId, Vector, parameter
from fedsec.strategies._key_holder import KeyHolderSum


@dataclass(frozen=True)
class Paillier(KeyHolderSum[Ciphertexts]):
    """Many values in a plaintext, encrypted by Paillier's cryptosystem or by Damgård and Jurik's next one."""

    minimum_key_bits: ClassVar[int] = 2048

    key_bits: int = parameter(
        3072,
        "Size of the modulus; 3072 is 128-bit security, 2048 is 112-bit",
        low="minimum_key_bits",
        high=8192,
        multiple=2,
        unit="bits",
    )
    policy: str = parameter("conservative", "How the noise is made: see fedsec.primitives.paillier", choices=POLICIES)
    s: int = parameter(
        1,
        "Paillier's cryptosystem (1) or Damgård and Jurik's next one (2): a quarter fewer bytes",
        low=1,
        high=LARGEST_S,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.policy == "fast" and self.key_bits > paillier.MOST_FAST_BITS:
            raise ConfigurationError(
                f"key_bits is {self.key_bits}; policy fast is for at most {paillier.MOST_FAST_BITS}: take conservative"
            )

    @property
    def _width(self) -> int:
        """Bytes of one plaintext."""
        return -(-self.s * self.key_bits // 8)

    @property
    def _plaintext_bits(self) -> int:
        return self.s * (self.key_bits - 1)

    def slot_bits(self, clients: Collection[PartyId]) -> int:
        """Bits for the sum of as many values as there are contributors; at most what packing takes."""
        return min((len(clients) * ((1 << self.value_bits) - 1)).bit_length(), MAXIMUM_SLOT_BITS)

    def capacity(self, clients: Collection[PartyId]) -> int:
        return (1 << self.slot_bits(clients)) - 1

    def columns(self, clients: Collection[PartyId], values: int) -> int:
        return plaintext_count(values, self.slot_bits(clients), self._plaintext_bits)

    @property
    def _modulus_bytes(self) -> int:
        return -(-self.key_bits // 8)

    def generate(self, context: bytes, rng: Random) -> tuple[bytes, bytes, bytes]:
        private = paillier.generate(self.key_bits, rng, self.s, context)
        proof = blum_modulus.prove(private.p, private.q, context, rng)
        primes = b"".join(prime.to_bytes(self._modulus_bytes, "big") for prime in (private.p, private.q))
        return private.public.n.to_bytes(self._modulus_bytes, "big"), proof, self._kept(private.public) + primes

    def adopt(self, sent: bytes, proof: bytes, context: bytes) -> bytes:
        n = agreed_modulus(sent, self.key_bits)
        blum_modulus.verify(n, proof, context)
        key = PublicKey(n, paillier.noise_base(n, self.s, context), self.s)  # h_s is never taken from a message
        key.check()
        return self._kept(key)

    def _kept(self, key: PublicKey) -> bytes:
        return key.n.to_bytes(self._modulus_bytes, "big") + key.hs.to_bytes(key.ciphertext_bytes, "big")

    def _public(self, data: bytes) -> PublicKey:
        width = self._modulus_bytes
        return PublicKey(int.from_bytes(data[:width], "big"), int.from_bytes(data[width:], "big"), self.s)

    def _private(self, data: bytes) -> PrivateKey:
        width = self._modulus_bytes
        p, q = (int.from_bytes(part, "big") for part in (data[-2 * width : -width], data[-width:]))
        return PrivateKey(p, q, self._public(data[: -2 * width]).hs, self.s)

    def fingerprint(self, public: bytes) -> bytes:
        return self._public(public).fingerprint

    def encrypt(self, public: bytes, x: Vector, clients: Collection[PartyId], context: bytes, rng: Random) -> bytes:
        key, slots = self._public(public), self.slot_bits(clients)
        policy = next(policy for policy in POLICIES if policy == self.policy)
        ciphertexts = paillier.encrypt(key, pack(x, slots, key.plaintext_bits), rng, policy)
        return to_bytes(key, Ciphertexts(tuple(ciphertexts), slots, x.size, 1, context))

    def read(
        self, public: bytes, blob: bytes, clients: Collection[PartyId], addends: int, context: bytes
    ) -> tuple[Ciphertexts, int]:
        slots = self.slot_bits(clients)
        batch = from_bytes(self._public(public), blob, slot_bits=slots, addends=addends, context=context)
        return batch, batch.values

    def add(
        self, public: bytes, batches: Sequence[Ciphertexts], values: int, clients: Collection[PartyId], context: bytes
    ) -> bytes:
        key = self._public(public)
        product = paillier.add(key, [batch.ciphertexts for batch in batches])
        return to_bytes(key, Ciphertexts(tuple(product), self.slot_bits(clients), values, len(batches), context))

    def decrypt(self, private: bytes, batch: Ciphertexts) -> bytes:
        plaintexts = paillier.decrypt(self._private(private), batch.ciphertexts)
        return b"".join(m.to_bytes(self._width, "big") for m in plaintexts)

    def decode(self, plaintexts: bytes, values: int, clients: Collection[PartyId], addends: int) -> Vector:
        numbers, slots = _integers(plaintexts, self._width), self.slot_bits(clients)
        if values < 0 or len(numbers) != self.columns(clients, values):
            raise BadMessage(f"{len(numbers)} plaintexts were opened, which {values} values do not fill")
        vector, canaries = unpack(numbers, values, slots, self._plaintext_bits)
        check_canary(canaries, addends)
        return vector


def agreed_modulus(sent: bytes, key_bits: int) -> int:
    """The modulus that is sent as a public key; raises BadMessage unless it alone is there, and has so many bits."""
    expected, n = -(-key_bits // 8), int.from_bytes(sent, "big")
    if len(sent) != expected:
        raise BadMessage(f"public key: {len(sent)} bytes came and {expected} were expected, those of n alone")
    if n.bit_length() != key_bits:
        raise BadMessage(f"the public key has {n.bit_length()} bits; {key_bits} were agreed")
    return n


def _integers(data: bytes, width: int) -> list[int]:
    if len(data) % width:
        raise BadMessage(f"{len(data)} bytes of plaintexts; whole integers of {width} bytes were expected")
    return [int.from_bytes(data[start : start + width], "big") for start in range(0, len(data), width)]

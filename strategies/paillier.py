"""Hospitals encrypt under one Paillier key, a witness multiplies, and the key holder opens what the witness signed.

Reference: P. Paillier, Eurocrypt 1999; noise by I. Damgård, M. Jurik, J. B. Nielsen, IJIS 9 (2010), section 4.2.
Server learns: the sum, and who took part; the key holder learns the sum too.
Trusts: the witness, who sees every ciphertext and has no key, to follow the protocol and to collude with nobody.
Tolerates: silent hospitals down to the cohort floor when inputs are sent; the witness and the key holder must answer.
Costs: three phases; each hospital uploads about 7 bytes a value; the witness downloads all that and uploads one more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from fedsec.errors import AuthenticationError, BadMessage, ConfigurationError, OutOfPhase, PolicyError
from fedsec.primitives import paillier
from fedsec.primitives.ciphertexts import HEADER, Ciphertexts, from_bytes, to_bytes
from fedsec.primitives.packing import MAXIMUM_SLOT_BITS, check_canary, pack, plaintext_count, unpack
from fedsec.primitives.paillier import LARGEST_S, POLICIES, PrivateKey, PublicKey
from fedsec.primitives.randomness import Random
from fedsec.protocol import (
    Exposure,
    Flow,
    Me,
    Message,
    PartyId,
    SecureSum,
    State,
    Sum,
    Vector,
    ask,
    reject_unknown,
)


@dataclass(frozen=True)
class GenerateKey(Message):
    """Set-up 1, to the key holder: make a key pair, and keep the private key."""


@dataclass(frozen=True)
class Key(Message):
    """A public key, big-endian: the modulus n and the base h_s of the noise."""

    n: Annotated[bytes, Exposure.FRESH]
    hs: Annotated[bytes, Exposure.FRESH]

    def public(self, s: int) -> PublicKey:
        """The key, as yet unchecked, of the cryptosystem with this s."""
        return PublicKey(int.from_bytes(self.n, "big"), int.from_bytes(self.hs, "big"), s)


@dataclass(frozen=True)
class GeneratedKey(Message):
    """The key holder's public key under its signature."""

    key: Key
    signature: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class AdoptKey(Message):
    """Set-up 2, to all: check and keep the key holder's public key."""

    key: Key
    signature: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class KeyAdopted(Message):
    """A hospital keeps the key: its fingerprint."""

    fingerprint: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class Encrypt(Message):
    """Phase 1, to the cohort: encrypt your input."""


@dataclass(frozen=True)
class Blob(Message):
    """What a hospital signs: the SHA-256 of its ciphertexts."""

    digest: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class Encrypted(Message):
    """A hospital's ciphertexts, sealed to the witness, and its signature on them.

    Ciphertexts are malleable: whoever saw another's could make its own from it and have the key holder open a sum
    that gives the other away. So nobody but the witness sees a single one.
    """

    sealed: Annotated[bytes, Exposure.SEALED]
    signature: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class Witness(Message):
    """Phase 2, to the witness: check these contributions, multiply them, and sign the product."""

    contributions: Mapping[int, Encrypted]


@dataclass(frozen=True)
class Product(Message):
    """What the witness signs: the SHA-256 of the product of the contributions of `included`."""

    digest: Annotated[bytes, Exposure.FRESH]
    included: Annotated[frozenset[int], Exposure.PUBLIC]


@dataclass(frozen=True)
class Witnessed(Message):
    """The product, and the witness's word that it may be opened."""

    blob: Annotated[bytes, Exposure.CIPHERTEXT]
    product: Product
    signature: Annotated[bytes, Exposure.FRESH]

    def uniform(self) -> Mapping[str, tuple[Vector, int]]:
        """The bytes of the ciphertexts; of each, the two leading ones follow n**2 and are left out."""
        count = HEADER.unpack_from(self.blob)[5]
        body = np.frombuffer(self.blob, np.uint8, offset=HEADER.size).reshape(count, -1)
        return {"blob": (body[:, 2:].ravel().astype(np.uint64), 256)}


@dataclass(frozen=True)
class Open(Message):
    """Phase 3, to the key holder: open the product that the witness signed."""

    blob: Annotated[bytes, Exposure.CIPHERTEXT]
    product: Product
    signature: Annotated[bytes, Exposure.FRESH]

    def uniform(self) -> Mapping[str, tuple[Vector, int]]:
        """As of what the witness sent."""
        return Witnessed(self.blob, self.product, self.signature).uniform()


@dataclass(frozen=True)
class Opened(Message):
    """The product's plaintexts, big-endian, as wide as the modulus."""

    plaintexts: Annotated[bytes, Exposure.OPENED]


@dataclass(frozen=True, repr=False)
class Keys(State):
    """The public key, and at the key holder the primes; integers are big-endian."""

    key: Key
    p: bytes = b""
    q: bytes = b""

    def private(self, s: int) -> PrivateKey:
        """The private key of the cryptosystem with this s; raises OutOfPhase at a party that has none."""
        if not self.p:
            raise OutOfPhase("this party does not hold the private key")
        return PrivateKey(int.from_bytes(self.p, "big"), int.from_bytes(self.q, "big"), self.key.public(s).hs, s)


@dataclass(frozen=True)
class Paillier(SecureSum[Keys, Key]):
    """Additively homomorphic aggregation with one named key holder and one named witness, who must differ.

    key_bits             size of the modulus; 3072 is 128-bit security, 2048 is 112-bit, less is refused
    policy               the noise: conservative, fast or standard (see fedsec.primitives.paillier)
    s                    1: Paillier's cryptosystem; 2: Damgård and Jurik's next one, a quarter fewer bytes
    key_holder, witness  their party ids
    key_holder_identity  the key holder's Ed25519 public key in hexadecimal; empty trusts the roster (simulation)
    """

    minimum_key_bits: ClassVar[int] = 2048

    setup_phases = (GenerateKey, AdoptKey)
    phases = (Encrypt, Witness, Open)
    input_phase = Encrypt

    key_bits: int = 3072
    policy: str = "conservative"
    s: int = 1
    key_holder: int = 1
    witness: int = 2
    key_holder_identity: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.key_bits < self.minimum_key_bits or self.key_bits % 2 or self.key_bits > 8192:
            raise ConfigurationError(
                f"key_bits is {self.key_bits}: key too small, too large or odd; it must be even, from "
                f"{self.minimum_key_bits} to 8192"
            )
        if self.policy not in POLICIES:
            raise ConfigurationError(f"policy is {self.policy!r} (choose from {', '.join(POLICIES)})")
        if not 1 <= self.s <= LARGEST_S:
            raise ConfigurationError(f"s is {self.s}; it must lie between 1 and {LARGEST_S}")
        if self.key_holder == self.witness:
            raise ConfigurationError(f"key_holder and witness are both party {self.witness}; they must differ")

    @property
    def _width(self) -> int:
        """Bytes of one plaintext."""
        return -(-self.s * self.key_bits // 8)

    def slot_bits(self, clients: Collection[PartyId]) -> int:
        """Bits for the sum of as many values as there are contributors; at most what packing takes."""
        return min((len(clients) * ((1 << self.value_bits) - 1)).bit_length(), MAXIMUM_SLOT_BITS)

    def capacity(self, clients: Collection[PartyId]) -> int:
        return (1 << self.slot_bits(clients)) - 1

    def withstands(self, clients: Collection[PartyId], malicious: bool = False) -> int:
        return 0  # the server alone; with the witness, it opens any input

    def columns(self, clients: Collection[PartyId], values: int) -> int:
        return plaintext_count(values, self.slot_bits(clients), self.s * (self.key_bits - 1))

    def tolerance(self, clients: Collection[PartyId]) -> Mapping[type[Message], int]:
        return {Encrypt: len(clients) - self.floor, Witness: 0, Open: 0}

    def setup(self, clients: Collection[PartyId]) -> Flow[Key]:
        for role, party in (("key_holder", self.key_holder), ("witness", self.witness)):
            if party not in clients:
                raise ConfigurationError(f"{role} is party {party}, which has not enrolled ({sorted(clients)} have)")
        made = yield from ask({self.key_holder: GenerateKey()}, GeneratedKey, 1)
        key, signature = made[self.key_holder].key, made[self.key_holder].signature
        yield from ask(dict.fromkeys(clients, AdoptKey(key, signature)), KeyAdopted, self.floor)
        return key

    def aggregate(self, clients: Collection[PartyId], public: Key) -> Flow[Sum]:
        key, slots = public.public(self.s), self.slot_bits(clients)
        encrypted = yield from ask(dict.fromkeys(clients, Encrypt()), Encrypted, self.floor)
        witnessed = (yield from ask({self.witness: Witness(encrypted)}, Witnessed, 1))[self.witness]
        included = witnessed.product.included
        if not included <= set(encrypted):
            raise BadMessage(f"the witness included parties {sorted(included - set(encrypted))}, which sent nothing")
        values = from_bytes(key, witnessed.blob, slot_bits=slots, addends=len(included)).values
        request = Open(witnessed.blob, witnessed.product, witnessed.signature)
        opened = yield from ask({self.key_holder: request}, Opened, 1)
        plaintexts = _integers(opened[self.key_holder].plaintexts, self._width)
        vector, canaries = unpack(plaintexts, values, slots, key.plaintext_bits)
        check_canary(canaries, len(included))
        return Sum(vector, included)

    def respond(
        self, me: Me, state: Keys | None, request: Message, x: Vector | None, rng: Random
    ) -> tuple[Keys | None, Message]:
        match request:
            case GenerateKey():
                return self._generate(me, rng)
            case AdoptKey(key, signature):
                return self._adopt(me, state, key, signature)
        if state is None:
            raise OutOfPhase(f"{type(request).__name__} before a key was adopted")
        match request:
            case Encrypt() if x is not None:
                return state, self._encrypt(me, state.key.public(self.s), x, rng)
            case Witness(contributions):
                return state, self._witness(me, state.key.public(self.s), contributions)
            case Open(blob, product, signature):
                return state, self._open(me, state.private(self.s), blob, product, signature)
            case _:
                raise reject_unknown(request)

    def _generate(self, me: Me, rng: Random) -> tuple[Keys, GeneratedKey]:
        self._check_holder(me)
        if me.id != self.key_holder:
            raise PolicyError(f"party {self.key_holder} is the key holder, not party {me.id}")
        private = paillier.generate(self.key_bits, rng, self.s)
        key = Key(_big(private.public.n), private.hs.to_bytes(private.public.ciphertext_bytes, "big"))
        return Keys(key, _big(private.p), _big(private.q)), GeneratedKey(key, me.sign(key))

    def _check_holder(self, me: Me) -> None:
        pinned = self.key_holder_identity
        if pinned and me.identity(self.key_holder).hex() != pinned.lower():
            raise PolicyError(f"party {self.key_holder} is not the key holder whose identity the terms name")

    def _adopt(self, me: Me, state: Keys | None, key: Key, signature: bytes) -> tuple[Keys, KeyAdopted]:
        self._check_holder(me)
        me.verify(self.key_holder, key, signature)
        public = key.public(self.s)
        public.check()
        if public.bits != self.key_bits:
            raise BadMessage(f"the public key has {public.bits} bits; {self.key_bits} were agreed")
        if state is not None and state.key != key:
            raise BadMessage("the public key relayed is not the one that this key holder made")
        return state or Keys(key), KeyAdopted(public.fingerprint)

    def _encrypt(self, me: Me, key: PublicKey, x: Vector, rng: Random) -> Encrypted:
        slots = self.slot_bits(me.cohort)
        plaintexts = pack(x, slots, key.plaintext_bits)
        policy = next(policy for policy in POLICIES if policy == self.policy)
        ciphertexts = tuple(paillier.encrypt(key, plaintexts, rng, policy))
        blob = to_bytes(key, Ciphertexts(ciphertexts, slots, x.size, 1, me.context))
        return Encrypted(me.seal(self.witness, blob, rng), me.sign(Blob(_digest(blob))))

    def _witness(self, me: Me, key: PublicKey, contributions: Mapping[PartyId, Encrypted]) -> Witnessed:
        if me.id != self.witness:
            raise PolicyError(f"party {self.witness} is the witness, not party {me.id}")
        if strangers := sorted(set(contributions) - me.cohort):
            raise PolicyError(f"parties {strangers} are not in this round's cohort")
        batches: dict[PartyId, Ciphertexts] = {}
        for sender, contribution in contributions.items():
            try:
                blob = me.unseal(sender, contribution.sealed)
                me.verify(sender, Blob(_digest(blob)), contribution.signature)
                slots = self.slot_bits(me.cohort)
                batches[sender] = from_bytes(key, blob, slot_bits=slots, addends=1, context=me.context)
            except (AuthenticationError, BadMessage):
                continue  # shown another model, or malformed: for the witness the sender dropped out
        included = frozenset(batches)
        _check_included(me, included)
        blob = multiply(key, list(batches.values()))
        product = Product(_digest(blob), included)
        return Witnessed(blob, product, me.sign(product))

    def _open(self, me: Me, private: PrivateKey, blob: bytes, product: Product, signature: bytes) -> Opened:
        _check_included(me, product.included)
        me.verify(self.witness, product, signature)
        if product.digest != _digest(blob):
            raise AuthenticationError("the product to open is not the one that the witness signed")
        key = private.public
        slots, addends = self.slot_bits(me.cohort), len(product.included)
        batch = from_bytes(key, blob, slot_bits=slots, addends=addends, context=me.context)
        plaintexts = paillier.decrypt(private, batch.ciphertexts)
        return Opened(b"".join(m.to_bytes(self._width, "big") for m in plaintexts))


def _check_included(me: Me, included: frozenset[PartyId]) -> None:
    if not included <= me.cohort:
        raise PolicyError(f"parties {sorted(included - me.cohort)} are not in this round's cohort")
    if len(included) < me.floor:
        raise PolicyError(f"a sum of {len(included)} inputs is below the floor of {me.floor}")


def multiply(key: PublicKey, batches: Sequence[Ciphertexts]) -> bytes:
    """The blob of the sum of at least one contribution; raises BadMessage where their numbers of values differ."""
    if len({batch.values for batch in batches}) > 1:
        raise BadMessage(f"contributions of {sorted({batch.values for batch in batches})} values cannot be summed")
    product = paillier.add(key, [batch.ciphertexts for batch in batches])
    first = batches[0]
    return to_bytes(key, Ciphertexts(tuple(product), first.slot_bits, first.values, len(batches), first.context))


def _digest(blob: bytes) -> bytes:
    return hashlib.sha256(blob).digest()


def _big(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _integers(data: bytes, width: int) -> list[int]:
    if len(data) % width:
        raise BadMessage(f"{len(data)} bytes of plaintexts; whole integers of {width} bytes were expected")
    return [int.from_bytes(data[start : start + width], "big") for start in range(0, len(data), width)]

"""What `paillier`, `paillier_textbook` and `bfv` share: one hospital's key, a witness who adds, and the opening.

Ciphertexts are malleable: whoever saw another's could make its own from it and have the key holder open a sum that
gives the other away. So nobody but the witness sees a single one, and the key holder opens what the witness signed.
A strategy on top says how keys are made, and how vectors are encrypted, added and decrypted.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fedsec.errors import AuthenticationError, BadMessage, ConfigurationError, OutOfPhase, PolicyError
from fedsec.primitives.randomness import Random
from fedsec.protocol import (
    Coalition,
    Exposure,
    Flow,
    Message,
    PartyContext,
    PartyId,
    Role,
    SecureSum,
    State,
    Sum,
    Vector,
    ask,
    parameter,
    reject_unknown,
)

Batch = TypeVar("Batch")

INPUT, SUM = "encrypted input", "encrypted sum"
"""What is sealed to the witness, and to the key holder."""


@dataclass(frozen=True)
class GenerateKey(Message, tag="fedsec.key_holder.generate_key/1"):
    """Set-up 1, to the key holder: make a key pair, and keep the private key."""


@dataclass(frozen=True)
class Key(Message, tag="fedsec.key_holder.key/1"):
    """A public key, as the cryptosystem writes it."""

    public: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class GeneratedKey(Message, tag="fedsec.key_holder.generated_key/2"):
    """The key holder's public key, the proof that it is well made, and a signature on the key."""

    key: Key
    proof: Annotated[bytes, Exposure.FRESH]
    signature: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class AdoptKey(Message, tag="fedsec.key_holder.adopt_key/2"):
    """Set-up 2, to all: check the key holder's public key and its proof, and keep the key."""

    key: Key
    proof: Annotated[bytes, Exposure.FRESH]
    signature: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class KeyAdopted(Message, tag="fedsec.key_holder.key_adopted/1"):
    """A party keeps the key: its fingerprint."""

    fingerprint: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class Encrypt(Message, tag="fedsec.key_holder.encrypt/1"):
    """Phase 1, to the cohort: encrypt your input."""


@dataclass(frozen=True)
class Blob(Message, tag="fedsec.key_holder.blob/1"):
    """What a party signs: the SHA-256 of its ciphertexts."""

    digest: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class Encrypted(Message, tag="fedsec.key_holder.encrypted/1"):
    """A party's ciphertexts, sealed to the witness, and its signature on them."""

    sealed: Annotated[bytes, Exposure.SEALED]
    signature: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class Witness(Message, tag="fedsec.key_holder.witness/1"):
    """Phase 2, to the witness: check these contributions, add them, and sign the sum."""

    contributions: Mapping[int, Encrypted]


@dataclass(frozen=True)
class Product(Message, tag="fedsec.key_holder.product/1"):
    """What the witness signs: the SHA-256 of the encrypted sum of the contributions of `included`."""

    digest: Annotated[bytes, Exposure.FRESH]
    included: Annotated[frozenset[int], Exposure.PUBLIC]


@dataclass(frozen=True)
class Witnessed(Message, tag="fedsec.key_holder.witnessed/1"):
    """The encrypted sum, sealed to the key holder, and the witness's word that it may be opened."""

    sealed: Annotated[bytes, Exposure.SEALED]
    product: Product
    signature: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class Open(Message, tag="fedsec.key_holder.open/1"):
    """Phase 3, to the key holder: open the sum that the witness signed."""

    sealed: Annotated[bytes, Exposure.SEALED]
    product: Product
    signature: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class Opened(Message, tag="fedsec.key_holder.opened/1"):
    """The sum's plaintexts, as the cryptosystem writes them, and of how many values they are."""

    plaintexts: Annotated[bytes, Exposure.OPENED]
    values: Annotated[int, Exposure.PUBLIC]


@dataclass(frozen=True, repr=False)
class Keys(State, tag="fedsec.key_holder.keys/2"):
    """The public key with what this party derived from it itself, and at the key holder the private one."""

    public: bytes
    private: bytes = b""


@dataclass(frozen=True)
class KeyHolderSum(SecureSum[Keys, Key], Generic[Batch]):
    """Additively homomorphic aggregation with one named key holder and one named witness, who must differ."""

    homomorphic = True
    setup_phases = (GenerateKey, AdoptKey)
    phases = (Encrypt, Witness, Open)
    input_phase = Encrypt

    key_holder: int = parameter(1, "Party that holds the private key", low=1)
    witness: int = parameter(2, "Party that adds the ciphertexts; another than the key holder", low=1)
    key_holder_identity: str = parameter(
        "", "The key holder's Ed25519 public key in hexadecimal; empty trusts the roster, in simulation"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.key_holder == self.witness:
            raise ConfigurationError(f"key_holder and witness are both party {self.witness}; they must differ")

    # What a cryptosystem says. `public` is a key as `adopt` returned it, `clients` the round's cohort, and `context`
    # 32 bytes that name the session: in the set-up, the key holder too.

    @abstractmethod
    def generate(self, context: bytes, rng: Random) -> tuple[bytes, bytes, bytes]:
        """The public key as it is sent, the proof that it is well made, and the private key."""

    @abstractmethod
    def adopt(self, sent: bytes, proof: bytes, context: bytes) -> bytes:
        """The public key as a party keeps it: as sent, with what each party derives itself.

        Raises BadMessage where the key is none of those that were agreed, or the proof does not hold in this context.
        """

    @abstractmethod
    def fingerprint(self, public: bytes) -> bytes:
        """32 bytes that name the key."""

    @abstractmethod
    def encrypt(self, public: bytes, x: Vector, clients: Collection[PartyId], context: bytes, rng: Random) -> bytes:
        """The ciphertexts of one input, with what names them."""

    @abstractmethod
    def read(
        self, public: bytes, blob: bytes, clients: Collection[PartyId], addends: int, context: bytes
    ) -> tuple[Batch, int]:
        """The ciphertexts of `blob`, and their number of values; raises BadMessage unless it is of this session."""

    @abstractmethod
    def add(
        self, public: bytes, batches: Sequence[Batch], values: int, clients: Collection[PartyId], context: bytes
    ) -> bytes:
        """The ciphertexts of the sum of at least one batch of as many values."""

    @abstractmethod
    def decrypt(self, private: bytes, batch: Batch) -> bytes:
        """The plaintexts, as they are sent."""

    @abstractmethod
    def decode(self, plaintexts: bytes, values: int, clients: Collection[PartyId], addends: int) -> Vector:
        """The sum that the plaintexts hold, uint64[values]; raises BadMessage where they cannot be one."""

    # The protocol

    def withstands(self, clients: Collection[PartyId], malicious: bool = False) -> int:
        return 0  # the server alone; with the witness, it opens any input

    def coalitions(self, clients: Collection[PartyId], malicious: bool = False) -> tuple[Coalition, ...]:
        both = frozenset({self.witness, self.key_holder})
        return (
            Coalition(frozenset({self.witness}), 1, f"the witness (party {self.witness})"),
            Coalition(both, 2, f"the witness and the key holder (parties {self.witness} and {self.key_holder})", False),
        )

    def roles(self, clients: Collection[PartyId]) -> tuple[Role, ...]:
        return (
            Role("key holder", (self.key_holder,), "It opens each sum, and so learns it too; it sees no single input."),
            Role(
                "witness",
                (self.witness,),
                "It sees every hospital's ciphertext, and has no key. Nobody checks that what it has opened is the sum "
                "of all: it is trusted to.",
            ),
        )

    def tolerance(self, clients: Collection[PartyId]) -> Mapping[type[Message], int]:
        return {Encrypt: len(clients) - self.floor, Witness: 0, Open: 0}

    def setup(self, clients: Collection[PartyId]) -> Flow[Key]:
        for role, party in (("key_holder", self.key_holder), ("witness", self.witness)):
            if party not in clients:
                raise ConfigurationError(f"{role} is party {party}, which has not enrolled ({sorted(clients)} have)")
        made = yield from ask({self.key_holder: GenerateKey()}, GeneratedKey, 1)
        one = made[self.key_holder]
        yield from ask(dict.fromkeys(clients, AdoptKey(one.key, one.proof, one.signature)), KeyAdopted, self.floor)
        return one.key

    def aggregate(self, clients: Collection[PartyId], public: Key) -> Flow[Sum]:
        encrypted = yield from ask(dict.fromkeys(clients, Encrypt()), Encrypted, self.floor)
        witnessed = (yield from ask({self.witness: Witness(encrypted)}, Witnessed, 1))[self.witness]
        included = witnessed.product.included
        if not included <= set(encrypted):
            raise BadMessage(f"the witness included parties {sorted(included - set(encrypted))}, which sent nothing")
        request = Open(witnessed.sealed, witnessed.product, witnessed.signature)
        opened = (yield from ask({self.key_holder: request}, Opened, 1))[self.key_holder]
        vector = self.decode(opened.plaintexts, opened.values, clients, len(included))
        return Sum(vector, included)

    def respond(
        self, me: PartyContext, state: Keys | None, request: Message, x: Vector | None, rng: Random
    ) -> tuple[Keys | None, Message]:
        match request:
            case GenerateKey():
                return self._generate(me, rng)
            case AdoptKey():
                return self._adopt(me, state, request)
        if state is None:
            raise OutOfPhase(f"{type(request).__name__} before a key was adopted")
        match request:
            case Encrypt() if x is not None:
                blob = self.encrypt(state.public, x, me.cohort, me.context, rng)
                return state, Encrypted(me.seal(self.witness, blob, INPUT, rng), me.sign(Blob(_digest(blob))))
            case Witness(contributions):
                return state, self._witness(me, state.public, contributions, rng)
            case Open(sealed, product, signature):
                return state, self._open(me, state, sealed, product, signature)
            case _:
                raise reject_unknown(request)

    def _generate(self, me: PartyContext, rng: Random) -> tuple[Keys, GeneratedKey]:
        self._check_holder(me)
        if me.id != self.key_holder:
            raise PolicyError(f"party {self.key_holder} is the key holder, not party {me.id}")
        sent, proof, private = self.generate(self._setup_context(me), rng)
        kept = self.adopt(sent, proof, self._setup_context(me))
        return Keys(kept, private), GeneratedKey(Key(sent), proof, me.sign(Key(sent)))

    def _setup_context(self, me: PartyContext) -> bytes:
        return hashlib.sha256(b"fedsec key holder" + me.context + me.identity(self.key_holder)).digest()

    def _check_holder(self, me: PartyContext) -> None:
        pinned = self.key_holder_identity
        if pinned and me.identity(self.key_holder).hex() != pinned.lower():
            raise PolicyError(f"party {self.key_holder} is not the key holder whose identity the terms name")

    def _adopt(self, me: PartyContext, state: Keys | None, request: AdoptKey) -> tuple[Keys, KeyAdopted]:
        self._check_holder(me)
        me.verify(self.key_holder, request.key, request.signature)
        public = self.adopt(request.key.public, request.proof, self._setup_context(me))
        if state is not None and state.public != public:
            raise BadMessage("the public key relayed is not the one that this key holder made")
        return state or Keys(public), KeyAdopted(self.fingerprint(public))

    def _witness(
        self, me: PartyContext, public: bytes, contributions: Mapping[PartyId, Encrypted], rng: Random
    ) -> Witnessed:
        if me.id != self.witness:
            raise PolicyError(f"party {self.witness} is the witness, not party {me.id}")
        if strangers := sorted(set(contributions) - me.cohort):
            raise PolicyError(f"parties {strangers} are not in this round's cohort")
        batches: dict[PartyId, tuple[Batch, int]] = {}
        for sender, contribution in contributions.items():
            try:
                blob = me.unseal(sender, contribution.sealed, Encrypt, INPUT)
                me.verify(sender, Blob(_digest(blob)), contribution.signature)
                batches[sender] = self.read(public, blob, me.cohort, 1, me.context)
            except (AuthenticationError, BadMessage):
                continue  # equivocation, or malformed: for the witness the sender dropped out
        included = frozenset(batches)
        _check_included(me, included)
        sizes = {values for _, values in batches.values()}
        if len(sizes) > 1:
            raise BadMessage(f"contributions of {sorted(sizes)} values cannot be summed")
        blob = self.add(public, [batch for batch, _ in batches.values()], sizes.pop(), me.cohort, me.context)
        product = Product(_digest(blob), included)
        return Witnessed(me.seal(self.key_holder, blob, SUM, rng), product, me.sign(product))

    def _open(self, me: PartyContext, state: Keys, sealed: bytes, product: Product, signature: bytes) -> Opened:
        if not state.private:
            raise OutOfPhase("this party does not hold the private key")
        _check_included(me, product.included)
        me.verify(self.witness, product, signature)
        blob = me.unseal(self.witness, sealed, Witness, SUM)
        if product.digest != _digest(blob):
            raise AuthenticationError("the sum to open is not the one that the witness signed")
        batch, values = self.read(state.public, blob, me.cohort, len(product.included), me.context)
        return Opened(self.decrypt(state.private, batch), values)


def _check_included(me: PartyContext, included: frozenset[PartyId]) -> None:
    if not included <= me.cohort:
        raise PolicyError(f"parties {sorted(included - me.cohort)} are not in this round's cohort")
    if len(included) < me.floor:
        raise PolicyError(f"a sum of {len(included)} inputs is below the floor of {me.floor}")


def _digest(blob: bytes) -> bytes:
    return hashlib.sha256(blob).digest()

"""Who is in an epoch and on which terms: enrolment, and the roster that sessions are bound to."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import BadMessage
from fedsec.primitives import key_agreement, signing
from fedsec.primitives.signing import verify
from fedsec.protocol import Exposure, Message, PartyId
from fedsec.wire import codec
from fedsec.wire.envelope import Session


@dataclass(frozen=True)
class Terms(Message, tag="fedsec.terms/5"):
    """What a server offers: the strategy, its parameters (JSON) and how updates become integers.

    agreement: the hash of the agreement that names them; b"" in a simulation, which derives one from its options.
    """

    strategy: Annotated[str, Exposure.PUBLIC]
    parameters: Annotated[str, Exposure.PUBLIC]
    mean: MeanSpec
    agreement: Annotated[bytes, Exposure.PUBLIC] = b""

    @functools.cached_property
    def digest(self) -> bytes:
        """SHA-256 of the terms: the configuration hash."""
        return hashlib.sha256(b"fedsec terms" + codec.encode(self)).digest()


@functools.lru_cache(maxsize=16)
def read_terms(data: bytes) -> Terms:
    """The terms in these bytes; raises BadMessage. Public, and the same for all parties, so decoded once."""
    return codec.decode(data, Terms)


@dataclass(frozen=True)
class Epoch:
    """What a member joins: so many-th set-up of a run, led by the server of this identity, on terms of this hash."""

    run: bytes
    server: bytes
    number: int
    terms: bytes

    @classmethod
    def of(cls, session: Session, server: bytes) -> Epoch:
        """The epoch that a session belongs to."""
        return cls(session.run, server, session.epoch, session.terms)


@dataclass(frozen=True)
class Member(Message, tag="fedsec.member/2"):
    """One party on the roster: its Ed25519 identity, and the X25519 key of this epoch under its signature."""

    identity: Annotated[bytes, Exposure.FRESH]
    agreement: Annotated[bytes, Exposure.FRESH]
    signature: Annotated[bytes, Exposure.FRESH]

    @staticmethod
    def statement(party: PartyId, epoch: Epoch, agreement: bytes) -> bytes:
        """What a member signs when it joins: it holds in no other run, and at no other server."""
        return b"fedsec member" + codec.pack([party, epoch.run, epoch.server, epoch.number, epoch.terms, agreement])

    def check(self, party: PartyId, epoch: Epoch) -> None:
        """Raise AuthenticationError unless this member itself joined this epoch as `party`."""
        verify(self.identity, self.signature, self.statement(party, epoch, self.agreement))


@dataclass(frozen=True)
class Enrol(Message, tag="fedsec.enrol/5"):
    """Set-up, first exchange: the server offers terms, and a party answers with its keys."""

    server: Annotated[bytes, Exposure.FRESH]
    terms: Terms


@dataclass(frozen=True)
class Enrolled(Message, tag="fedsec.enrolled/2"):
    """A party joins."""

    member: Member


@dataclass(frozen=True)
class Adopt(Message, tag="fedsec.adopt/2"):
    """Set-up, second exchange: the roster, which each party checks and keeps for the epoch."""

    roster: Mapping[int, Member]


@dataclass(frozen=True)
class Adopted(Message, tag="fedsec.adopted/1"):
    """A party keeps the roster."""


def roster_hash(roster: Mapping[PartyId, Member]) -> bytes:
    """SHA-256 over party ids and keys, in order."""
    rows = [[party, member.identity, member.agreement] for party, member in sorted(roster.items())]
    return hashlib.sha256(b"fedsec roster" + codec.pack(rows)).digest()


@dataclass(frozen=True)
class Roster:
    """The members of an epoch, and the hash that sessions are bound to."""

    members: Mapping[PartyId, Member]
    hash: bytes


@functools.lru_cache(maxsize=16)
def read_roster(data: bytes) -> Roster:
    """The roster in the bytes of an `Adopt`.

    Raises BadMessage on a party below 1 or on keys and signatures of another size; no signature is checked here. A
    roster is public, and the same bytes at all parties, which read it in every step: one process decodes it once.
    """
    members = codec.decode(data, Adopt).roster
    for party, member in members.items():
        if party < 1:
            raise BadMessage(f"party {party} on the roster; parties are numbered from 1")
        sizes = len(member.identity), len(member.agreement), len(member.signature)
        if sizes != (signing.KEY_BYTES, key_agreement.KEY_BYTES, signing.SIGNATURE_BYTES):
            raise BadMessage(f"party {party} on the roster: keys and signature of {sizes} bytes")
    return Roster(MappingProxyType(dict(members)), roster_hash(members))

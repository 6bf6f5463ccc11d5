"""What surrounds a message on the wire: a header that binds it to its session, and a signature over both.

Every message is signed over (session, epoch, phase, sender, receiver, roster hash, model hash, configuration hash,
H(body)); the session's binding is also the associated data of whatever parties seal to each other.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from blake3 import blake3

from fedsec.wire import codec
from fedsec.errors import BadMessage
from fedsec.encoding.mean import MeanSpec
from fedsec.primitives import key_agreement, signing
from fedsec.primitives.signing import SIGNATURE_BYTES, SigningKey, verify
from fedsec.protocol import Exposure, Message, PartyId

VERSION = 2
NO_HASH = bytes(32)
SETUP = "setup"
"""The stage of sessions that found an epoch; the others are named by what they sum (train, evaluate)."""


@dataclass(frozen=True)
class Session(Message, tag="fedsec.session/1"):
    """One run of a protocol. `cohort` are the round's contributors; the hashes are SHA-256."""

    run: Annotated[bytes, Exposure.FRESH]
    counter: Annotated[int, Exposure.FRESH]
    nonce: Annotated[bytes, Exposure.FRESH]
    epoch: Annotated[int, Exposure.FRESH]
    stage: Annotated[str, Exposure.PUBLIC]
    cohort: Annotated[tuple[int, ...], Exposure.PUBLIC]
    roster: Annotated[bytes, Exposure.FRESH]
    model: Annotated[bytes, Exposure.PUBLIC]
    terms: Annotated[bytes, Exposure.PUBLIC]

    @functools.cached_property
    def packed(self) -> bytes:
        """The session as it stands inside a header: the same in all headers of a phase, and written once."""
        return codec.value_bytes(self)

    @functools.cached_property
    def binding(self) -> bytes:
        """SHA-256 over every field: what signatures, seals and derived keys of this session are bound to."""
        return hashlib.sha256(b"fedsec session" + codec.encode(self)).digest()


@dataclass(frozen=True)
class Header(Message, tag="fedsec.header/1"):
    """Where a message belongs. `phase` is the request's tag, in the reply too; `cpu` seconds are the party's."""

    session: Session
    phase: Annotated[str, Exposure.PUBLIC]
    sender: Annotated[int, Exposure.PUBLIC]
    receiver: Annotated[int, Exposure.PUBLIC]
    layout: Annotated[bytes, Exposure.PUBLIC] = b""
    cpu: Annotated[float, Exposure.METERING] = 0.0


@dataclass(frozen=True)
class Envelope:
    """A header and a message as received, not yet believed: call `check` with the sender's key."""

    header: Header
    head: memoryview
    body: memoryview
    signature: bytes

    def check(self, identity: bytes) -> None:
        """Raise AuthenticationError unless the owner of `identity` signed header and body."""
        verify(identity, self.signature, digest(self.head, self.body))


_FRAME = struct.Struct(">BI")  # version, length of the header; then header, signature and body
_FLOAT = struct.Struct(">Bd")  # a float as msgpack writes it
_MAX_HEAD = 1 << 20
OVERHEAD = _FRAME.size + SIGNATURE_BYTES
"""Bytes of a message beside its header and its body."""


def write(header: Header, body: bytes, key: SigningKey) -> bytes:
    """The bytes of a signed message; `body` is an encoded message."""
    head = pack_header(header)
    return b"".join((_FRAME.pack(VERSION, len(head)), head, key.sign(digest(head, body)), body))


_HEAD = codec.pack([codec.VERSION, Header.tag, [0] * len(codec.schema(Header))])[: -len(codec.schema(Header))]
"""How every encoded header begins, up to its first field, which is the session."""


def pack_header(header: Header) -> bytes:
    """`codec.encode(header)`, with the session's bytes taken from the session: they grow with the cohort."""
    rest = codec.pack([header.phase, header.sender, header.receiver, header.layout, header.cpu])
    return b"".join((_HEAD, header.session.packed, rest[1:]))  # without the byte that says: a list of five


def read(data: bytes) -> Envelope:
    """Take a received envelope apart, without copying its body; raises BadMessage on a wrong form or version."""
    if len(data) < _FRAME.size + SIGNATURE_BYTES:
        raise BadMessage(f"{len(data)} bytes are too few for a message")
    version, length = _FRAME.unpack_from(data)
    if version != VERSION:
        raise codec.other_version("envelope", version, VERSION)
    if length > _MAX_HEAD:
        raise BadMessage(f"a header of {length} bytes; the cap is {_MAX_HEAD}")
    rest = memoryview(data)[_FRAME.size :]
    head, signature, body = rest[:length], rest[length : length + SIGNATURE_BYTES], rest[length + SIGNATURE_BYTES :]
    if len(signature) != SIGNATURE_BYTES:
        raise BadMessage(f"{len(data)} bytes are too few for a header of {length} bytes and a signature")
    return Envelope(codec.decode(head, Header), head, body, bytes(signature))


def cpu_of(data: bytes) -> float:
    """The CPU seconds that a message tells, its header's last field, read without the rest; 0 where it has none."""
    try:
        version, length = _FRAME.unpack_from(data)
        mark, seconds = _FLOAT.unpack_from(data, _FRAME.size + length - _FLOAT.size)
    except struct.error:
        return 0.0
    return float(seconds) if (version, mark) == (VERSION, 0xCB) and length <= _MAX_HEAD else 0.0


def digest(head: bytes | memoryview, body: bytes | memoryview) -> bytes:
    """What a signature is on: the SHA-256 of the header, and the BLAKE3 of the body, which may be large."""
    return b"fedsec envelope" + hashlib.sha256(head).digest() + blake3(body).digest()


@dataclass(frozen=True)
class Terms(Message, tag="fedsec.terms/1"):
    """What the federation agreed on: the strategy, its parameters (JSON) and how updates become integers."""

    strategy: Annotated[str, Exposure.PUBLIC]
    parameters: Annotated[str, Exposure.PUBLIC]
    mean: MeanSpec

    @functools.cached_property
    def digest(self) -> bytes:
        """SHA-256 of the terms: the configuration hash."""
        return hashlib.sha256(b"fedsec terms" + codec.encode(self)).digest()


@functools.lru_cache(maxsize=16)
def read_terms(data: bytes) -> Terms:
    """The terms in these bytes; raises BadMessage. Public, and the same for all parties, so decoded once."""
    return codec.decode(data, Terms)


@dataclass(frozen=True)
class Member(Message, tag="fedsec.member/1"):
    """One party on the roster: its Ed25519 identity, and the X25519 key of this epoch under its signature."""

    identity: Annotated[bytes, Exposure.FRESH]
    agreement: Annotated[bytes, Exposure.FRESH]
    signature: Annotated[bytes, Exposure.FRESH]

    @staticmethod
    def statement(party: PartyId, epoch: int, terms: bytes, agreement: bytes) -> bytes:
        """What a member signs when it joins."""
        return b"fedsec member" + codec.pack([party, epoch, terms, agreement])

    def check(self, party: PartyId, epoch: int, terms: bytes) -> None:
        """Raise AuthenticationError unless this member itself joined as `party`."""
        verify(self.identity, self.signature, self.statement(party, epoch, terms, self.agreement))


@dataclass(frozen=True)
class Enrol(Message, tag="fedsec.enrol/1"):
    """Set-up, first exchange: the server offers terms, and a party answers with its keys."""

    server: Annotated[bytes, Exposure.FRESH]
    terms: Terms


@dataclass(frozen=True)
class Enrolled(Message, tag="fedsec.enrolled/1"):
    """A party joins."""

    member: Member


@dataclass(frozen=True)
class Adopt(Message, tag="fedsec.adopt/1"):
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

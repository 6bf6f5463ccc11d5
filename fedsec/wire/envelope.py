"""What surrounds a message on the wire: a header that binds it to its session, and a signature over both.

Every message is signed over (session, epoch, phase, sender, receiver, roster hash, model hash, configuration hash,
H(body)); the session's binding is also the associated data of whatever parties seal to each other.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from dataclasses import dataclass
from typing import Annotated

from blake3 import blake3

from fedsec.errors import BadMessage
from fedsec.primitives.signing import SIGNATURE_BYTES, SigningKey, verify
from fedsec.protocol import Exposure, Message, PartyId
from fedsec.wire import codec

VERSION = 3
"""3 since an input's request carries the session's plan; 2 since tags are stated by the classes."""


NO_HASH = bytes(32)


SETUP = "setup"
"""The stage of sessions that found an epoch; the others are named by what they sum (train, evaluate)."""


@dataclass(frozen=True)
class Session(Message, tag="fedsec.session/1"):
    """One run of a protocol. `cohort` are the round's contributors; the hashes are SHA-256.

    model: of the session's plan, which names the model; of the model, or none, where the inputs are plain vectors.
    """

    run: Annotated[bytes, Exposure.FRESH]
    counter: Annotated[int, Exposure.FRESH]
    nonce: Annotated[bytes, Exposure.FRESH]
    epoch: Annotated[int, Exposure.FRESH]
    stage: Annotated[str, Exposure.PUBLIC]
    cohort: Annotated[tuple[int, ...], Exposure.PUBLIC]
    roster: Annotated[bytes, Exposure.FRESH]
    model: Annotated[bytes, Exposure.OPENED]
    terms: Annotated[bytes, Exposure.PUBLIC]

    @functools.cached_property
    def packed(self) -> bytes:
        """The session as it stands inside a header: the same in all headers of a phase, and written once."""
        return codec.value_bytes(self)

    @functools.cached_property
    def binding(self) -> bytes:
        """SHA-256 over every field: what signatures, seals and derived keys of this session are bound to."""
        return hashlib.sha256(b"fedsec session" + codec.encode(self)).digest()


def statement(session: Session, sender: PartyId, said: Message) -> bytes:
    """The bytes that a party signs who states this in a session, for others to check."""
    body = hashlib.sha256(codec.encode(said)).digest()
    return b"fedsec statement" + codec.pack([session.binding, sender, said.tag, body])


@dataclass(frozen=True)
class Header(Message, tag="fedsec.header/2"):
    """Where a message belongs. `phase` is the request's tag, in the reply too; `cpu` seconds are the party's.

    layout: how the input in a reply is laid out. plan: that of the session, in the request for an input.
    """

    session: Session
    phase: Annotated[str, Exposure.PUBLIC]
    sender: Annotated[int, Exposure.PUBLIC]
    receiver: Annotated[int, Exposure.PUBLIC]
    layout: Annotated[bytes, Exposure.PUBLIC] = b""
    plan: Annotated[bytes, Exposure.OPENED] = b""
    cpu: Annotated[float, Exposure.METERING] = 0.0


@dataclass(frozen=True)
class Envelope:
    """A header and a message as received: bytes, of which nothing is decoded before it is asked for.

    Call `check` with the sender's key first, wherever that key is known.
    """

    head: memoryview
    body: memoryview
    signature: bytes

    @functools.cached_property
    def header(self) -> Header:
        """The header, decoded when it is first asked for; raises BadMessage."""
        return codec.decode(self.head, Header)

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
    rest = codec.pack([header.phase, header.sender, header.receiver, header.layout, header.plan, header.cpu])
    return b"".join((_HEAD, header.session.packed, rest[1:]))  # without the byte that says: a list of six


def read(data: bytes) -> Envelope:
    """Take a received envelope apart, and decode nothing; raises BadMessage on a wrong form, version or size."""
    if len(data) > codec.MAX_BYTES + _MAX_HEAD:
        raise BadMessage(f"{len(data)} bytes received; the cap is {codec.MAX_BYTES + _MAX_HEAD}")
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
    return Envelope(head, body, bytes(signature))


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

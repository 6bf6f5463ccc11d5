"""What a malicious party may answer: what it computed, with one field changed, and signed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fedsec.local import LocalFederation
from fedsec.party.party import PartyState
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import Exposure, Message, PartyId
from fedsec.wire import codec, envelope
from fedsec.wire.exchange import Refusal

Ask = Callable[[PartyId, bytes], bytes | Refusal]


def changeable(message: Message, exposures: Collection[Exposure]) -> list[str]:
    """The fields of these exposures whose value can be another one."""
    fields = [field.name for field in codec.schema(type(message)) if field.exposure in exposures]
    return [name for name in fields if _others(getattr(message, name))]


def changed(message: Message, name: str) -> Message:
    """The message with another value in one field."""
    given: Any = message
    other: Message = replace(given, **{name: _others(getattr(message, name))[0]})
    return other


def lying(federation: LocalFederation, liar: PartyId, phase: type[Message], name: str) -> Ask:
    """What asks the federation's parties, one of whom signs its answers of a phase with one field changed."""
    asked = federation.ask

    def ask(party: PartyId, request: bytes) -> bytes | Refusal:
        answer = asked(party, request)
        if party != liar or isinstance(answer, Refusal) or envelope.read(request).header.phase != phase.tag:
            return answer
        received = envelope.read(answer)
        body = codec.encode(changed(codec.decode(received.body, Message), name))
        key = SigningKey(codec.decode(federation.states[party], PartyState).identity)
        return envelope.write(received.header, body, key)

    return ask


def _others(value: object) -> list[object]:
    """Another value of the same type; none where there is nothing to change."""
    return list(_other(value))


def _other(value: object) -> Iterator[object]:
    match value:
        case np.ndarray() if value.size:
            other = value.copy()
            other.flat[0] ^= 1
            yield other
        case bytes() if value:
            yield value[:-1] + bytes([value[-1] ^ 1])
        case bool():
            yield not value
        case int():
            yield value + 1
        case frozenset() if value:
            yield value - {min(value)}
        case Mapping() if value:
            key = min(value)
            for entry in _other(value[key]):
                yield {**value, key: entry}

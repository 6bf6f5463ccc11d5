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
    return [name for name in fields if changes(message, name)]


def changes(message: Message, name: str) -> list[Message]:
    """The message with other values in one field: of a mapping another entry, and fewer entries."""
    given: Any = message
    return [replace(given, **{name: value}) for value in _other(getattr(message, name))]


def lying(federation: LocalFederation, liar: PartyId, phase: type[Message], name: str, which: int = 0) -> Ask:
    """What asks the federation's parties, one of whom signs its answers of a phase with this change of one field.

    which: the change's place among the `changes` of the field; an answer that has fewer is as it was.
    """
    asked = federation.ask

    def ask(party: PartyId, request: bytes) -> bytes | Refusal:
        answer = asked(party, request)
        if party != liar or isinstance(answer, Refusal) or envelope.read(request).header.phase != phase.tag:
            return answer
        received = envelope.read(answer)
        lies = changes(codec.decode(received.body, Message), name)
        if which >= len(lies):
            return answer
        body = codec.encode(lies[which])
        key = SigningKey(codec.decode(federation.states[party], PartyState).identity)
        return envelope.write(received.header, body, key)

    return ask


def _other(value: object) -> Iterator[object]:
    """Other values of the same type; none where there is nothing to change."""
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
            keys = sorted(value)
            for entry in _other(value[keys[0]]):
                yield {**value, keys[0]: entry}
            for fewer in sorted({1, (len(keys) + 1) // 2}):  # the first entry is missing, or half of all
                yield {key: value[key] for key in keys[fewer:]}

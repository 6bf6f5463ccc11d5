"""How many bytes a message may have, phase by phase: a longer one is refused before anything in it is read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fedsec.primitives import key_agreement, signing
from fedsec.protocol import Message, PartyId, SecureSum
from fedsec.wire import codec
from fedsec.wire.membership import Adopt, Adopted, Enrolled, Member

OFFER = 1 << 20
"""Bytes of an `Enrol`: the terms name groups of arrays and metrics, and hold no values."""
SETUP = 1 << 20
"""Bytes of a message of a strategy's own set-up, at least: it holds keys and what proves them."""
_MEMBER = Member(bytes(signing.KEY_BYTES), bytes(key_agreement.KEY_BYTES), bytes(signing.SIGNATURE_BYTES))
ENROLLED = len(codec.encode(Enrolled(_MEMBER)))
"""Bytes of an `Enrolled`: its keys and its signature have one size."""
ADOPTED = len(codec.encode(Adopted()))
_NUMBER = 9
"""Bytes of a party's number, or of a length, at most."""


def roster(parties: int) -> int:
    """Bytes of an `Adopt` with so many parties."""
    return len(codec.encode(Adopt({}))) + _NUMBER + parties * (_NUMBER + len(codec.value_bytes(_MEMBER)))


def message(
    protocol: SecureSum[Any, Any],
    phase: type[Message],
    clients: Collection[PartyId],
    values: int | None,
    *,
    reply: bool,
) -> int:
    """Bytes of a phase's request, or of a reply to it, in a session over these clients.

    values: of how many values an input is, where that is known; elsewhere only codec.MAX_BYTES bounds what may hold
    inputs. What is sent before any input is, and every message of the set-up, holds none.
    """
    order = protocol.requests()
    if phase not in order:
        return max(protocol.message_bytes(clients, 0), SETUP)
    place, first = order.index(phase), order.index(protocol.input_phase)
    if place < first or (place == first and not reply):
        values = 0
    return codec.MAX_BYTES if values is None else min(protocol.message_bytes(clients, values), codec.MAX_BYTES)

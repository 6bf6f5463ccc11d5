"""A federation some of whose parties are corrupt: they hold their own keys and state, and act as they like.

Federations that are enrolled, and parties before a dishonest server, are made once and serve many tests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedsec.errors import FedsecError
from fedsec.local import LocalFederation
from fedsec.party.party import Party, PartyState
from fedsec.protocol import Message, PartyId
from fedsec.wire import codec
from fedsec.wire.exchange import Refusal
from tests.conftest import DishonestServer

Act = Callable[[Any, Any, Any, Message, Any, Any], tuple[Any, Message]]
"""What a corrupt party does in place of `respond`: its protocol comes first, then what `respond` is given."""
Change = Callable[[Any, Any, Any, Any], Message]
"""Another answer than the protocol's, which comes first; then protocol, what the party knows, and its randomness."""


def label(protocol: Any) -> str:
    """A protocol's name and server model, for the name of a test."""
    return f"{protocol.name}-{getattr(protocol, 'server', '')}".rstrip("-")


def changing(change: Change) -> Act:
    """A party that follows the protocol, but for its answers, which are changed before they are signed."""

    def act(honest: Any, me: Any, state: Any, request: Message, x: Any, rng: Any) -> tuple[Any, Message]:
        after, reply = honest.respond(me, state, request, x, rng)
        return after, change(reply, honest, me, rng)

    return act


@dataclass(frozen=True)
class Corrupt:
    """A party's protocol, in whose place it acts."""

    honest: Any
    act: Act

    def __getattr__(self, name: str) -> Any:
        return getattr(self.honest, name)

    def respond(self, me: Any, state: Any, request: Message, x: Any, rng: Any) -> tuple[Any, Message]:
        return self.act(self.honest, me, state, request, x, rng)


@dataclass
class Federation(LocalFederation):
    """A federation with these corrupt parties."""

    corrupt: Mapping[PartyId, Act] = field(default_factory=dict)

    def ask(self, party: PartyId, request: bytes) -> bytes | Refusal:
        if party not in self.corrupt:
            return super().ask(party, request)

        def build(strategy: str, parameters: Mapping[str, Any]) -> Any:
            return Corrupt(self.build(strategy, parameters), self.corrupt[party])

        actor = Party(codec.decode(self.states[party], PartyState), self.policy, build, self.rng)
        try:
            return actor.respond(request, lambda session, plan, spec, bits: self._inputs[party](plan))
        except FedsecError as error:
            return Refusal.of(error, whole=True)
        finally:
            self.states[party] = codec.encode(actor.state)


@functools.cache
def _enrolled(protocol: Any, hospitals: int) -> Federation:
    federation = Federation(protocol, hospitals)
    federation.enrol()
    return federation


def enrolled(protocol: Any, hospitals: int, corrupt: Mapping[PartyId, Act]) -> Federation:
    """A federation with these corrupt parties, enrolled once for all tests: nobody is known to be false in it."""
    federation = _enrolled(protocol, hospitals)
    federation.corrupt, federation.faults, federation.tap = corrupt, (), None
    federation.coordinator.false = frozenset()
    return federation


@functools.cache
def founded(protocol: Any, hospitals: int) -> DishonestServer:
    """A dishonest server before parties that have enrolled, once for all tests: they begin sessions of their own."""
    return DishonestServer(protocol, hospitals).found()

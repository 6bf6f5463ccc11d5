"""One party: identity, state, session, the order of phases, and what it refuses to answer.

Everything that decides whether a party answers is in this file. It has no transport: bytes in, bytes out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fedsec import codec, envelope
from fedsec.encoding import prove_headroom
from fedsec.envelope import Adopt, Adopted, Enrol, Enrolled, Envelope, Header, Member, Session, Terms
from fedsec.errors import AuthenticationError, BadMessage, ConfigurationError, OutOfPhase, PolicyError, Stale
from fedsec.mean import MeanSpec
from fedsec.primitives.key_agreement import AgreementKey
from fedsec.primitives.randomness import Random
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import SERVER, Message, PartyId, SecureSum, State, Vector
from fedsec.seat import Seat

Contribute = Callable[[Session, MeanSpec, int], tuple[Vector, bytes]]
"""Computes a party's input of so many value bits when it is asked for: the integers and their encoded layout."""


Build = Callable[[str, Mapping[str, Any]], SecureSum[Any, Any]]
"""Builds the strategy that terms name: the party's own catalogue decides which names it knows."""


@dataclass(frozen=True)
class Policy:
    """What a party allows, whatever the server asks for. It is fixed where the party lives.

    floor           the fewest contributors in any sum it takes part in (at least 3)
    simulation      allow strategies that hide nothing, and trust identities on first use
    server          the server's pinned Ed25519 public key
    hospitals       the pinned public keys of all who may be on the roster
    """

    floor: int = 3
    simulation: bool = False
    server: bytes | None = None
    hospitals: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        if self.floor < 3:
            raise ConfigurationError(f"floor is {self.floor}; a party never helps to open fewer than 3 inputs")

    def admit_server(self, identity: bytes) -> None:
        """Raise PolicyError unless `identity` may lead a run."""
        if self.server is None and not self.simulation:
            raise PolicyError("no server key is pinned here; trust on first use is for simulation alone")
        if self.server is not None and identity != self.server:
            raise PolicyError("the server's identity is not the pinned one")

    def admit_roster(self, roster: Mapping[PartyId, Member]) -> None:
        """Raise PolicyError unless these parties may form a federation."""
        if len(roster) < self.floor:
            raise PolicyError(f"a roster of {len(roster)} is below this party's floor of {self.floor}")
        if len({member.identity for member in roster.values()}) < len(roster):
            raise PolicyError("two parties of the roster have the same identity")
        if not self.hospitals and not self.simulation:
            raise PolicyError("no hospitals are pinned here; trust on first use is for simulation alone")
        strangers = [party for party, member in sorted(roster.items()) if member.identity not in self.hospitals]
        if self.hospitals and strangers:
            raise PolicyError(f"parties {strangers} of the roster are not pinned here")


@dataclass(frozen=True, repr=False)
class PartyState(State):
    """All that a party keeps between messages. Secret; a State of the codec, so it can be kept as bytes."""

    identity: bytes
    agreement: bytes = b""
    party: int = 0
    epoch: int = 0
    run: bytes = b""
    server: bytes = b""
    terms: bytes = b""
    roster: Mapping[int, Member] | None = None
    counter: int = 0
    session: bytes = b""
    phase: int = -1
    after_setup: bytes | None = None
    within: bytes | None = None


class Party:
    """One hospital's side of every protocol.

    `state` is replaced at each step, and safe to keep as `codec.encode(party.state)`: nothing else is remembered.
    """

    def __init__(self, state: PartyState, policy: Policy, build: Build, rng: Random) -> None:
        self.state, self.policy, self._build, self._rng = state, policy, build, rng

    @classmethod
    def fresh(cls, policy: Policy, build: Build, rng: Random, identity: SigningKey | None = None) -> Party:
        """A party that has joined nothing yet, under a new identity or a given one."""
        return cls(PartyState((identity or SigningKey.generate(rng)).raw), policy, build, rng)

    def respond(self, data: bytes, contribute: Contribute) -> bytes:
        """Answer one request, or raise a FedsecError that says why not.

        `contribute` is called only on the request for an input, after everything about that request was checked.
        """
        started = time.thread_time()
        received = envelope.read(data)
        header = received.header
        if header.sender != SERVER:
            raise BadMessage(f"a request from party {header.sender}; requests come from the server")
        paused, layout = 0.0, b""
        if header.phase == Enrol.tag:
            answer: Message = self._enrol(received)
        else:
            self._check(received)
            if header.phase == Adopt.tag:
                answer = self._adopt(received)
            else:
                answer, layout, paused = self._step(received, contribute)
        body = codec.encode(answer)
        key = SigningKey(self.state.identity)
        # In a deployment the time that a step took would tell about the data.
        cpu = time.thread_time() - started - paused if self.policy.simulation else 0.0
        reply = Header(header.session, header.phase, self.state.party, SERVER, layout, cpu)
        return envelope.write(reply, body, key)

    def _enrol(self, received: Envelope) -> Enrolled:
        offer, session = codec.decode(received.body, Enrol), received.header.session
        self.policy.admit_server(offer.server)
        received.check(offer.server)
        if self.state.server and offer.server != self.state.server:
            raise PolicyError("the server's identity changed within a run")
        if session.epoch <= self.state.epoch or session.counter <= self.state.counter:
            raise Stale(f"enrolment into epoch {session.epoch}; this party has been in epoch {self.state.epoch}")
        if session.terms != offer.terms.digest:
            raise AuthenticationError("the terms offered are not those that the session is bound to")
        if received.header.receiver not in session.cohort:
            raise BadMessage(f"party {received.header.receiver} is not among those enrolled")
        self._allow(offer.terms, len(session.cohort))
        agreement = AgreementKey.generate(self._rng)
        key = SigningKey(self.state.identity)
        self.state = PartyState(
            identity=self.state.identity, agreement=agreement.raw, party=received.header.receiver,
            epoch=session.epoch, run=session.run, server=offer.server, terms=codec.encode(offer.terms),
            counter=session.counter,
        )  # fmt: skip
        statement = Member.statement(self.state.party, session.epoch, offer.terms.digest, agreement.public)
        return Enrolled(Member(key.public, agreement.public, key.sign(statement)))

    def _allow(self, terms: Terms, parties: int) -> SecureSum[Any, Any]:
        """The strategy that the terms name, if this party's policy lets it run."""
        protocol = _built(terms, self._build)
        if not protocol.private and not self.policy.simulation:
            raise PolicyError(f"strategy {terms.strategy!r} shows the server every input; it runs in simulation only")
        if protocol.floor < self.policy.floor:
            raise PolicyError(f"floor is {protocol.floor}; this party's floor is {self.policy.floor}")
        if parties < self.policy.floor:
            raise PolicyError(f"{parties} parties are below this party's floor of {self.policy.floor}")
        return protocol

    def _check(self, received: Envelope) -> None:
        """What holds for every request of an epoch that this party joined."""
        header, session = received.header, received.header.session
        if not self.state.party:
            raise OutOfPhase("this party has not enrolled")
        received.check(self.state.server)
        if header.receiver != self.state.party:
            raise BadMessage(f"a request for party {header.receiver}; this is party {self.state.party}")
        if (session.run, session.epoch) != (self.state.run, self.state.epoch):
            raise Stale(f"a request of epoch {session.epoch} or of another run; this is epoch {self.state.epoch}")
        if session.terms != codec.decode(self.state.terms, Terms).digest:
            raise AuthenticationError("the configuration hash is not that of the terms this party agreed to")

    def _adopt(self, received: Envelope) -> Adopted:
        session, roster = received.header.session, codec.decode(received.body, Adopt).roster
        if self.state.roster is not None:
            raise OutOfPhase(f"epoch {session.epoch} has its roster already")
        if session.roster != envelope.roster_hash(roster):
            raise AuthenticationError("the roster is not the one that the session is bound to")
        for party, member in roster.items():
            if party < 1:
                raise BadMessage(f"party {party} on the roster; parties are numbered from 1")
            member.check(party, session.epoch, session.terms)
        mine = roster.get(self.state.party)
        if mine is None or mine.identity != SigningKey(self.state.identity).public:
            raise PolicyError(f"the roster does not list this party as party {self.state.party}")
        if mine.agreement != AgreementKey(self.state.agreement).public:
            raise PolicyError("the roster lists another key for this party")
        self.policy.admit_roster(roster)
        self.state = replace(self.state, roster=dict(roster))
        return Adopted()

    def _step(self, received: Envelope, contribute: Contribute) -> tuple[Message, bytes, float]:
        header, session = received.header, received.header.session
        terms = codec.decode(self.state.terms, Terms)
        protocol = _built(terms, self._build)
        request = codec.decode(received.body, Message)
        table = protocol.setup_phases if session.stage == envelope.SETUP else protocol.phases
        if type(request) not in table or request.tag != header.phase:
            raise OutOfPhase(f"{header.phase!r} is no phase of {terms.strategy} in stage {session.stage}")
        me = Seat(
            self.state.party, SigningKey(self.state.identity), AgreementKey(self.state.agreement),
            self.state.roster or {}, session, max(self.policy.floor, protocol.floor),
        )  # fmt: skip
        self._enter(session, table.index(type(request)))
        x, layout, paused = None, b"", 0.0
        if session.stage != envelope.SETUP and type(request) is protocol.input_phase:
            if self.state.party not in session.cohort:
                raise OutOfPhase(f"party {self.state.party} is not in this round's cohort")
            self._check_cohort(protocol, session)
            started = time.thread_time()
            x, layout = contribute(session, terms.mean, protocol.value_bits)
            paused = time.thread_time() - started
        kept = self.state.within if self.state.within is not None else self.state.after_setup
        before = None if kept is None else codec.decode(kept, State)
        after, answer = protocol.respond(me, before, request, x, self._rng)
        saved = None if after is None else codec.encode(after)
        if session.stage == envelope.SETUP:
            self.state = replace(self.state, after_setup=saved)
        else:
            self.state = replace(self.state, within=saved)
        return answer, layout, paused

    def _enter(self, session: Session, phase: int) -> None:
        """Move to a later phase of this session or of a newer one; from then on this phase is answered."""
        if self.state.roster is None:
            raise OutOfPhase("this party has no roster yet")
        if session.roster != envelope.roster_hash(self.state.roster):
            raise AuthenticationError("the roster hash is not that of the roster this party adopted")
        if session.counter < self.state.counter:
            raise Stale(f"a request of session {session.counter}; this party is at session {self.state.counter}")
        if session.counter == self.state.counter and session.binding != self.state.session and self.state.session:
            raise Stale(f"a second session with the counter {session.counter}")
        if session.binding != self.state.session:
            self.state = replace(self.state, counter=session.counter, session=session.binding, phase=-1, within=None)
        if phase <= self.state.phase:
            raise OutOfPhase(
                f"phase {phase + 1} of session {session.counter}; this party answered {self.state.phase + 1}"
            )
        self.state = replace(self.state, phase=phase)

    def _check_cohort(self, protocol: SecureSum[Any, Any], session: Session) -> None:
        cohort = frozenset(session.cohort)
        if len(cohort) != len(session.cohort) or not cohort <= set(self.state.roster or ()):
            raise PolicyError("the cohort lists a party twice or one that is not on the roster")
        if len(cohort) < self.policy.floor:
            raise PolicyError(f"a cohort of {len(cohort)} is below this party's floor of {self.policy.floor}")
        protocol.check(cohort)
        prove_headroom(protocol.value_bits, len(cohort), protocol.capacity(cohort))


def _built(terms: Terms, build: Build) -> SecureSum[Any, Any]:
    try:
        return build(terms.strategy, json.loads(terms.parameters))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadMessage(f"the parameters of strategy {terms.strategy!r} are not what it takes") from error

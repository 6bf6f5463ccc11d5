"""One party: identity, state, session, and what it refuses to answer.

What a party refuses is decided here, by its policy (policy.py), by the order of sessions and phases (journal.py), and
by the strategy's own step. It has no transport: bytes in, bytes out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fedsec.agreement import admission
from fedsec.agreement.admission import Allowance
from fedsec.encoding.fixed_point import prove_headroom
from fedsec.encoding.ladder import Plan, plan_hash
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import AuthenticationError, BadMessage, OutOfPhase, PolicyError, Stale
from fedsec.party.context import SessionContext
from fedsec.party.journal import Journal, Progress
from fedsec.party.policy import Policy
from fedsec.primitives.key_agreement import AgreementKey
from fedsec.primitives.parallel import cpu_seconds
from fedsec.primitives.randomness import Random
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import SERVER, Message, SecureSum, State, Vector
from fedsec.wire import caps, codec, envelope
from fedsec.wire.envelope import Envelope, Header, Session
from fedsec.wire.exchange import NOT_ENROLLED
from fedsec.wire.membership import (
    Adopt,
    Adopted,
    Enrol,
    Enrolled,
    Epoch,
    Member,
    Roster,
    Terms,
    read_roster,
    read_terms,
)

Contribute = Callable[[Session, Plan | None, MeanSpec, int], tuple[Vector, bytes]]
"""Computes a party's input of so many value bits when it is asked for: the integers and their encoded layout.

The plan was checked; it is None where the session sums vectors as they are.
"""


Build = Callable[[str, Mapping[str, Any]], SecureSum[Any, Any]]
"""Builds the strategy that terms name: the party's own catalogue decides which names it knows."""


ADOPT_PHASE = 0
"""Adopting the roster is the first phase of the session whose later phases are the strategy's own set-up."""


@dataclass(frozen=True, repr=False)
class PartyState(State, tag="fedsec.party_state/3"):
    """All that a party keeps between messages. Secret; a State of the codec, so it can be kept as bytes."""

    identity: bytes
    agreement: bytes = b""
    party: int = 0
    run: bytes = b""
    server: bytes = b""
    terms: bytes = b""
    roster: bytes | None = None
    progress: Progress = field(default_factory=Progress)
    after_setup: bytes | None = None
    within: bytes | None = None
    plans: Mapping[str, bytes] = field(default_factory=dict)
    """The last plan of each stage, encoded."""
    values: int = 0
    """Of how many values this party's input was in the session that `progress` names; 0 where it gave none."""


class Party:
    """One party's side of every protocol.

    `state` is replaced at each step, and safe to keep as `codec.encode(party.state)`: nothing else is remembered. Where
    a kept state may be rolled back, `journal` sees to it that no phase is answered twice.
    """

    def __init__(
        self, state: PartyState, policy: Policy, build: Build, rng: Random, journal: Journal | None = None
    ) -> None:
        self.state, self.policy, self._build, self._rng, self._journal = state, policy, build, rng, journal

    @classmethod
    def fresh(
        cls,
        policy: Policy,
        build: Build,
        rng: Random,
        identity: SigningKey | None = None,
        journal: Journal | None = None,
    ) -> Party:
        """A party that has joined nothing yet, under a new identity or a given one."""
        return cls(PartyState((identity or SigningKey.generate(rng)).raw), policy, build, rng, journal)

    def respond(self, data: bytes, contribute: Contribute) -> bytes:
        """Answer one request, or raise a FedsecError that says why not.

        `contribute` is called only on the request for an input, after everything about that request was checked.
        """
        started = cpu_seconds()
        received = envelope.read(data)
        self._believe(received)
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
        cpu = cpu_seconds() - started - paused if self.policy.simulation else 0.0
        reply = Header(header.session, header.phase, self.state.party, SERVER, layout, cpu=cpu)
        return envelope.write(reply, body, key)

    def _believe(self, received: Envelope) -> None:
        """Check the server's signature before anything is decoded, unless no key is known yet: in a simulation."""
        known = self.state.server or self.policy.server
        if known is None:
            self.policy.admit_server(b"")  # which only a simulation lets pass
            return
        try:
            received.check(known)
        except AuthenticationError as error:
            whose = "with which this party enrolled" if self.state.server else "that is pinned here"
            raise AuthenticationError(f"{error}, that of the server {whose}") from error

    def _enrol(self, received: Envelope) -> Enrolled:
        session = received.header.session
        if session.stage != envelope.SETUP:
            raise OutOfPhase(f"an offer to enrol in a session of stage {session.stage!r}; only a set-up enrols")
        offer = codec.decode(received.body, Enrol, caps.OFFER)
        self.policy.admit_server(offer.server)
        if not (self.state.server or self.policy.server):
            received.check(offer.server)  # first use, in a simulation: the key that is believed is in the offer itself
        if self.state.server and offer.server != self.state.server:
            raise PolicyError("the server's identity changed within a run")
        if session.terms != offer.terms.digest:
            raise AuthenticationError("the terms offered are not those that the session is bound to")
        if received.header.receiver not in session.cohort:
            raise BadMessage(f"party {received.header.receiver} is not among those enrolled")
        self._allow(offer.terms, len(session.cohort))
        progress = self._claim(session, lambda known: known.enrol(session))
        agreement, epoch = AgreementKey.generate(self._rng), Epoch.of(session, offer.server)
        key = SigningKey(self.state.identity)
        self.state = PartyState(
            identity=self.state.identity,
            agreement=agreement.raw,
            party=received.header.receiver,
            run=session.run,
            server=offer.server,
            terms=codec.encode(offer.terms),
            progress=progress,
        )
        statement = Member.statement(self.state.party, epoch, agreement.public)
        return Enrolled(Member(key.public, agreement.public, key.sign(statement)))

    def _allow(self, terms: Terms, parties: int) -> SecureSum[Any, Any]:
        """The strategy that the terms name, if this party's policy lets it run."""
        protocol = _built(terms, self._build)
        agreement = self.policy.agreement
        if agreement is not None:
            agreed = self._build(agreement.strategy.name, agreement.strategy.parameters)
            admission.admit_terms(agreement, terms.agreement, protocol, terms.mean, agreed)
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
            raise OutOfPhase(NOT_ENROLLED)
        if header.receiver != self.state.party:
            raise BadMessage(f"a request for party {header.receiver}; this is party {self.state.party}")
        epoch = self.state.progress.epoch
        if (session.run, session.epoch) != (self.state.run, epoch):
            raise Stale(f"a request of epoch {session.epoch} or of another run; this is epoch {epoch}")
        terms = read_terms(self.state.terms)
        if session.terms != terms.digest:
            raise AuthenticationError("the configuration hash is not that of the terms this party agreed to")
        if self.policy.agreement is not None:
            admission.admit_named(self.policy.agreement, terms.agreement)

    def _adopt(self, received: Envelope) -> Adopted:
        session = received.header.session
        if session.stage != envelope.SETUP:
            raise OutOfPhase(f"a roster in a session of stage {session.stage!r}; only a set-up has one adopted")
        size, most = len(received.body), caps.roster(len(session.cohort))
        if size > most:
            raise BadMessage(
                f"a roster of {size} bytes; the {len(session.cohort)} parties of this session take at most {most}"
            )
        body = bytes(received.body)
        if self.state.roster is not None:
            raise OutOfPhase(f"epoch {session.epoch} has its roster already")
        roster = read_roster(body)
        if session.roster != roster.hash:
            raise AuthenticationError("the roster is not the one that the session is bound to")
        mine = roster.members.get(self.state.party)
        if mine is None or mine.identity != SigningKey(self.state.identity).public:
            raise PolicyError(f"the roster does not list this party as party {self.state.party}")
        if mine.agreement != AgreementKey(self.state.agreement).public:
            raise PolicyError("the roster lists another key for this party")
        self.policy.admit_roster(roster.members)
        progress = self._claim(session, lambda known: known.enter(session, ADOPT_PHASE))
        self.state = replace(self.state, roster=body, progress=progress)
        return Adopted()

    def _step(self, received: Envelope, contribute: Contribute) -> tuple[Message, bytes, float]:
        header, session = received.header, received.header.session
        terms = read_terms(self.state.terms)
        protocol = _built(terms, self._build)
        setup = session.stage == envelope.SETUP
        table = protocol.setup_phases if setup else protocol.requests()
        request = self._read(received, protocol, table)
        index = table.index(type(request))
        if not setup and index <= table.index(protocol.input_phase) and self.state.party not in session.cohort:
            raise OutOfPhase(f"party {self.state.party} is not in this round's cohort")
        asks_input = not setup and type(request) is protocol.input_phase
        phase = ADOPT_PHASE + 1 + index if setup else index
        roster = self._admit(protocol, session, phase)
        plan = self._plan(header, terms.mean) if asks_input else None
        agreement, allowance = self.policy.agreement, None
        if asks_input and agreement is not None:
            allowance = admission.admit_session(agreement, session.stage, plan)
        self._enter(session, phase, allowance)
        me = SessionContext(
            self.state.party,
            SigningKey(self.state.identity),
            AgreementKey(self.state.agreement),
            roster.members,
            session,
            self.state.server,
            header.phase,
            max(self.policy.floor, protocol.floor),
        )
        x, layout, paused = None, b"", 0.0
        if asks_input:
            if plan is not None:
                self.state = replace(self.state, plans={**self.state.plans, session.stage: header.plan})
            started = cpu_seconds()
            x, layout = contribute(session, plan, terms.mean, protocol.value_bits)
            paused = cpu_seconds() - started
            if agreement is not None:
                admission.check_answer(agreement, session.stage, layout)
            self.state = replace(self.state, values=x.size)
        kept = self.state.within if self.state.within is not None else self.state.after_setup
        before = None if kept is None else codec.decode(kept, State)
        after, answer = protocol.respond(me, before, request, x, self._rng)
        saved = None if after is None else codec.encode(after)
        self.state = replace(self.state, after_setup=saved) if setup else replace(self.state, within=saved)
        return answer, layout, paused

    def _read(self, received: Envelope, protocol: SecureSum[Any, Any], table: tuple[type[Message], ...]) -> Message:
        """The request, once its phase is one of these and it has no more bytes than that phase's may have."""
        header, session = received.header, received.header.session
        kind = next((phase for phase in table if phase.tag == header.phase), None)
        if kind is not None:
            values = self.state.values if session.binding == self.state.progress.session else 0
            most = caps.message(protocol, kind, session.cohort, values or None, reply=False)
            request = codec.decode(received.body, Message, most)
            if type(request) is kind:
                return request
        raise OutOfPhase(
            f"{header.phase!r} is no phase of {protocol.name} with these parameters, in stage {session.stage}"
        )

    def _plan(self, header: Header, spec: MeanSpec) -> Plan | None:
        """The session's plan, if it is the one that the session is bound to and continues its stage's last one."""
        session = header.session
        if not header.plan:
            return None
        if session.model != plan_hash(header.plan):
            raise AuthenticationError("the plan is not the one that the session is bound to")
        plan, kept = codec.decode(header.plan, Plan), self.state.plans.get(session.stage)
        plan.check(spec.rungs, None if kept is None else codec.decode(kept, Plan))
        return plan

    def _admit(self, protocol: SecureSum[Any, Any], session: Session, phase: int) -> Roster:
        """This epoch's roster, if this party may go to a later phase of this session or of a newer one."""
        if self.state.roster is None:
            raise OutOfPhase("this party has no roster yet")
        roster, before = read_roster(self.state.roster), self.state.progress
        if session.roster != roster.hash:
            raise AuthenticationError("the roster hash is not that of the roster this party adopted")
        before.enter(session, phase)  # first, so that a request that is stale is refused as what it is
        if session.binding != before.session:
            self._check_cohort(protocol, session, roster)
        return roster

    def _enter(self, session: Session, phase: int, allowance: Allowance | None) -> None:
        """Move to a phase that was admitted: from then on it is answered, whatever becomes of the answer."""
        same = session.binding == self.state.progress.session
        within, values = (self.state.within, self.state.values) if same else (None, 0)
        progress = self._claim(session, lambda known: known.enter(session, phase), allowance)
        self.state = replace(self.state, progress=progress, within=within, values=values)

    def _claim(
        self, session: Session, step: Callable[[Progress], Progress], allowance: Allowance | None = None
    ) -> Progress:
        """Where `step` leads from this party's state, once the journal allows the same from what it remembers."""
        progress = step(self.state.progress)
        if self._journal is not None:
            self._journal.claim(SigningKey(self.state.identity).public, session.run, step, allowance)
        return progress

    def _check_cohort(self, protocol: SecureSum[Any, Any], session: Session, roster: Roster) -> None:
        """Whether this party takes part with these contributors, in whichever phase it is first asked."""
        cohort = frozenset(session.cohort)
        if len(cohort) != len(session.cohort) or not cohort <= roster.members.keys():
            raise PolicyError("the cohort lists a party twice or one that is not on the roster")
        if self.policy.agreement is not None:
            admission.admit_cohort(self.policy.agreement, cohort, roster.members)
        if len(cohort) < self.policy.floor:
            raise PolicyError(f"a cohort of {len(cohort)} is below this party's floor of {self.policy.floor}")
        protocol.check(cohort)
        prove_headroom(protocol.value_bits, len(cohort), protocol.capacity(cohort))
        floor = max(self.policy.floor, protocol.floor)
        self.policy.admit_collusion(protocol, cohort, floor)


def _built(terms: Terms, build: Build) -> SecureSum[Any, Any]:
    try:
        return build(terms.strategy, json.loads(terms.parameters))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadMessage(f"the parameters of strategy {terms.strategy!r} are not what it takes") from error

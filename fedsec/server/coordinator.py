"""The server's side of a federation: epochs, sessions, and what it accepts as an answer.

A transport moves bytes and nothing else: it is an `Exchange`. Whatever comes back is checked here, and an answer
that does not hold counts as a dropout, with its reason.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from fedsec.encoding.fixed_point import prove_headroom
from fedsec.encoding.ladder import Plan, plan_hash
from fedsec.encoding.layout import Layout, majority
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import AuthenticationError, BadMessage, ConfigurationError, FedsecError, TooFewParties
from fedsec.primitives.key_agreement import check_public
from fedsec.primitives.randomness import Random
from fedsec.primitives.signing import SigningKey, verify
from fedsec.protocol import SERVER, Deliver, Flow, Message, PartyId, Replies, Requests, Result, SecureSum, Sum, run
from fedsec.protocol.flow import answered
from fedsec.wire import caps, codec, envelope
from fedsec.wire.envelope import NO_HASH, SETUP, Header, Session
from fedsec.wire.exchange import NO_ANSWER, Exchange, Incident, Phase, Refusal
from fedsec.wire.membership import Adopt, Adopted, Enrol, Enrolled, Epoch, Member, Terms, roster_hash

FALSE_ANSWER = "FalseAnswer: nobody who follows the protocol sends what it signed; it is left out of later rounds"


@dataclass(frozen=True)
class Total:
    """One secure sum, the layout of its coordinates, and what went wrong with whom on the way."""

    sum: Sum
    layout: Layout | None
    incidents: tuple[Incident, ...]


@dataclass
class Sessions:
    """Who the server is, and how far its epochs and sessions have come: they only rise, also where several
    coordinators lead the same parties one after the other."""

    identity: SigningKey
    epoch: int = 0
    counter: int = 0


class Coordinator:
    """Leads the parties behind an exchange through epochs and rounds.

    `pins` are the identities that may join; without them the first identity that answers is believed (simulation).
    `agreement` is the hash of the agreement whose terms these are.
    """

    def __init__(
        self,
        protocol: SecureSum[Any, Any],
        exchange: Exchange,
        *,
        mean: MeanSpec | None = None,
        run_id: int = 0,
        sessions: Sessions | None = None,
        pins: Collection[bytes] = (),
        agreement: bytes = b"",
        rng: Random = os.urandom,
    ) -> None:
        self.protocol, self.exchange, self._rng = protocol, exchange, rng
        parameters = json.dumps(protocol.parameters(), sort_keys=True)
        self.terms = Terms(protocol.name, parameters, mean or MeanSpec(), agreement)
        self._run = run_id.to_bytes(8, "big", signed=run_id < 0)
        self.sessions = sessions or Sessions(SigningKey.generate(rng))
        self.pins = frozenset(pins)
        self.roster: dict[PartyId, Member] = {}
        self.public: Any = None
        self.false: frozenset[PartyId] = frozenset()
        """Of this epoch, the parties that were proven false."""
        self._channels: list[Channel] = []
        self._epoch = 0

    @property
    def leads(self) -> bool:
        """Whether the parties are in an epoch of this coordinator, and of no other that shares its sessions."""
        return bool(self.roster) and self._epoch == self.sessions.epoch

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """Phase, party and reason of each answer that the latest set-up or round did not accept, failed or not."""
        return tuple(incident for channel in self._channels for incident in channel.incidents)

    def enrol(self, parties: Collection[PartyId]) -> None:
        """Found a new epoch with those of `parties` who join, and run the protocol's set-up.

        Raises ConfigurationError or HeadroomError where the protocol cannot serve them, and TooFewParties where too
        few join.
        """
        self.protocol.check(parties)
        prove_headroom(self.protocol.value_bits, len(parties), self.protocol.capacity(parties))
        self.roster, self.public, self.false, self._channels = {}, None, frozenset(), []
        try:
            self._found(sorted(parties))
        except FedsecError:
            self.roster, self.public = {}, None  # an epoch whose set-up failed serves no round
            raise
        self._epoch = self.sessions.epoch

    def _found(self, asked: list[PartyId]) -> None:
        self.sessions.epoch += 1
        channel = self.channel(asked, stage=SETUP)
        replies = channel.deliver(dict.fromkeys(asked, Enrol(self.sessions.identity.public, self.terms)))
        members = {party: reply.member for party, reply in replies.items() if isinstance(reply, Enrolled)}
        if len(members) < self.protocol.floor:
            raise TooFewParties("Enrol", self.protocol.floor, members, asked).because(channel.reasons())
        self.protocol.check(members)
        self.roster = members
        channel = self.channel(sorted(members), stage=SETUP)
        adopted = channel.deliver(dict.fromkeys(members, Adopt(members)))
        stayed = {party for party, reply in adopted.items() if isinstance(reply, Adopted)}
        if len(stayed) < self.protocol.floor:
            raise TooFewParties("Adopt", self.protocol.floor, stayed, members).because(channel.reasons())
        if len(stayed) < len(members):
            self.protocol.check(stayed)
            prove_headroom(self.protocol.value_bits, len(stayed), self.protocol.capacity(stayed))
            self.roster = {}
            self._found(sorted(stayed))
            return
        self.public = channel.run(self.protocol.setup(sorted(members)))

    def aggregate(
        self,
        cohort: Collection[PartyId],
        *,
        stage: str = "train",
        round_number: int = 0,
        model: bytes = NO_HASH,
        plan: Plan | None = None,
        values: int | None = None,
    ) -> Total:
        """One secure sum over `cohort`; a round that fails is aborted, and the next one has fresh keys and masks.

        Who was proven false in this epoch is not asked: it counts as dropped out of every phase. Raises
        ConfigurationError where the protocol does not tolerate that.
        plan: how contributions are encoded; it names the model, and without one the inputs are vectors as they are.
        values: how many values an input has, at most, where that is known: longer answers are refused unread.
        """
        cohort = sorted(cohort)
        if not set(cohort) <= set(self.roster):
            raise ConfigurationError(f"parties {sorted(set(cohort) - set(self.roster))} are not enrolled")
        self.protocol.check(cohort)
        prove_headroom(self.protocol.value_bits, len(cohort), self.protocol.capacity(cohort))
        self._channels = []
        channel = self.channel(cohort, stage=stage, round_number=round_number, model=model, plan=plan, values=values)
        self._leave_out_false(channel, cohort)
        try:
            result = channel.run(self.protocol.aggregate(cohort, self.public))
        except FedsecError as error:
            self._note_false(channel, error.false)
            raise
        self._note_false(channel, result.false)
        if not result.included <= set(cohort) or len(result.included) < self.protocol.floor:
            raise TooFewParties("release", self.protocol.floor, result.included, cohort).because(channel.reasons())
        layout = channel.layout_of(result.included)
        return Total(result, layout, tuple(channel.incidents))

    def _leave_out_false(self, channel: Channel, cohort: Collection[PartyId]) -> None:
        false = sorted(self.false & set(cohort))
        channel.incidents += [("release", party, FALSE_ANSWER) for party in false]
        tolerated = self.protocol.tolerance(cohort).get(self.protocol.input_phase, 0)
        if len(false) > tolerated:
            dropouts = "no dropout" if not tolerated else f"at most {tolerated} dropout{'s' * (tolerated > 1)}"
            raise ConfigurationError(
                f"proven false, and left out of this cohort of {len(cohort)}: party {', '.join(map(str, false))}. "
                f"{self.protocol.name} with these parameters tolerates {dropouts}, so there is no sum: agree anew, "
                "without who is false"
            )

    def _note_false(self, channel: Channel, false: Collection[PartyId]) -> None:
        self.false |= frozenset(false)
        channel.incidents += [("release", party, FALSE_ANSWER) for party in sorted(false)]

    def channel(
        self,
        cohort: Collection[PartyId],
        *,
        stage: str,
        round_number: int = 0,
        model: bytes = NO_HASH,
        plan: Plan | None = None,
        values: int | None = None,
    ) -> Channel:
        """A new session over `cohort`, bound to its plan where it has one; `values` as in `aggregate`."""
        written = b"" if plan is None else codec.encode(plan)
        self.sessions.counter += 1
        session = Session(
            run=self._run,
            counter=self.sessions.counter,
            nonce=self._rng(16),
            epoch=self.sessions.epoch,
            stage=stage,
            cohort=tuple(cohort),
            roster=roster_hash(self.roster) if self.roster else NO_HASH,
            model=plan_hash(written) if written else model,
            terms=self.terms.digest,
        )
        self._channels.append(Channel(self, session, round_number, written, values))
        return self._channels[-1]

    def join(self, party: PartyId, member: Member, session: Session) -> None:
        """Raise FedsecError unless `member` joined as `party`, under a pinned identity where there are pins.

        With a key that agrees on nothing, all who have to seal something to this party would refuse every round.
        """
        member.check(party, Epoch.of(session, self.sessions.identity.public))
        check_public(member.agreement)
        if self.pins and member.identity not in self.pins:
            raise ConfigurationError("its identity is not pinned at the server")


def _layout(data: bytes) -> Layout | None:
    """The layout in these bytes; None where there is none, or what is no layout."""
    try:
        return codec.decode(data, Layout) if data else None
    except BadMessage:
        return None


class Channel:
    """One session as the server sees it: typed requests in, checked replies out."""

    def __init__(
        self,
        coordinator: Coordinator,
        session: Session,
        round_number: int,
        plan: bytes = b"",
        values: int | None = None,
    ) -> None:
        self._lead, self._session, self._round, self._plan = coordinator, session, round_number, plan
        self._values = values
        self._unasked = coordinator.false
        self.incidents: list[Incident] = []
        self._layouts: dict[PartyId, bytes] = {}

    def run(self, flow: Flow[Result]) -> Result:
        deliver: Deliver = self.deliver
        try:
            return run(flow, deliver, os.urandom, self.signed)
        except TooFewParties as error:
            raise error.because(self.reasons()) from None

    def answer(self, requests: Requests) -> Replies:
        """What comes of what a flow asks for, for callers that follow it step by step."""
        return answered(requests, self.deliver, os.urandom, self.signed)

    def signed(self, party: PartyId, statement: Message, signature: bytes) -> bool:
        """Whether a party of the roster signed this statement in this session."""
        member = self._lead.roster.get(party)
        try:
            if member is not None:
                verify(member.identity, signature, envelope.statement(self._session, party, statement))
        except AuthenticationError:
            return False
        return member is not None

    def reasons(self) -> dict[PartyId, str]:
        """What is known of each party that gave no usable answer."""
        return {party: f"{phase}: {reason}" for phase, party, reason in self.incidents}

    def layout_of(self, parties: Iterable[PartyId]) -> Layout | None:
        """The layout that `parties` sent, who agree on it; None where they sent none."""
        layout = next((sent for party in parties if (sent := self._layouts.get(party))), b"")
        return codec.decode(layout, Layout) if layout else None

    def _agreeing(self, replies: Replies) -> Replies:
        """The contributions whose layout is that of the majority; each other one is an incident that says why.

        In a session that measures, a party without a usable update has no layout, and is as welcome as the others.
        """
        read: dict[bytes, Layout | None] = {layout: _layout(layout) for layout in self._layouts.values()}
        found = {party: layout for party in replies if (layout := read[self._layouts[party]]) is not None}
        others = majority(found)[1] if found else {}
        if found and self._plan and not codec.decode(self._plan, Plan).measuring:
            others |= {party: "it states no layout" for party in replies if party not in found}
        self._layouts = {party: layout for party, layout in self._layouts.items() if party in found}
        for party, reason in others.items():
            self.incidents.append((type(replies[party]).__name__, party, f"LayoutError: {reason}"))
        return {party: reply for party, reply in replies.items() if party not in others}

    def deliver(self, requests: Requests) -> Replies:
        """Sign and send one phase's requests; verify, decode and return the answers that hold.

        Who was proven false before this session began gets none.
        """
        requests = {party: request for party, request in requests.items() if party not in self._unasked}
        if not requests:
            return {}
        first = next(iter(requests.values()))
        tag = first.tag
        asks_input = self._session.stage != SETUP and tag == self._lead.protocol.input_phase.tag
        written: dict[int, bytes] = {}
        outgoing = {}
        for party, request in requests.items():
            if request.tag != tag:
                raise BadMessage(f"one phase carries {tag} and {request.tag}")
            if id(request) not in written:
                written[id(request)] = codec.encode(request)
            header = Header(self._session, tag, SERVER, party, plan=self._plan if asks_input else b"")
            outgoing[party] = envelope.write(header, written[id(request)], self._lead.sessions.identity)
        phase = Phase(self._session.stage, self._round, type(first).__name__, asks_input)
        replies = self._sift(phase, tag, requests, self._lead.exchange(phase, outgoing))
        return self._agreeing(replies) if asks_input else replies

    def _sift(
        self, phase: Phase, tag: str, requests: Requests, answers: Iterable[tuple[PartyId, bytes | Refusal]]
    ) -> Replies:
        accepted: dict[PartyId, bytes] = {}
        replies: dict[PartyId, Message] = {}
        equivocating: set[PartyId] = set()
        for party, answer in answers:
            if isinstance(answer, Refusal):
                self.incidents.append((phase.name, party, answer.reason))
            elif accepted.get(party) != answer:
                try:
                    reply, layout = self._accept(party, tag, requests, answer)
                except FedsecError as error:
                    self.incidents.append((phase.name, party, f"{type(error).__name__}: {error}"))
                    continue
                if party in accepted:
                    equivocating.add(party)
                    self.incidents.append((phase.name, party, "equivocation: two different signed answers"))
                accepted[party], replies[party] = answer, reply
                if phase.asks_input:
                    self._layouts[party] = layout
        for party in set(requests) - set(replies) - {party for name, party, _ in self.incidents if name == phase.name}:
            self.incidents.append((phase.name, party, NO_ANSWER))
        return {party: reply for party, reply in replies.items() if party not in equivocating}

    def _accept(self, party: PartyId, tag: str, requests: Requests, answer: bytes) -> tuple[Message, bytes]:
        """A reply's message and layout, if it is what `party` signed in answer to this very request."""
        if party not in requests:
            raise BadMessage(f"party {party} was not asked")
        received = envelope.read(answer)
        # Whoever enrols signs with the key that it sends: these bytes of one size are all that is read before.
        joined = codec.decode(received.body, Enrolled, caps.ENROLLED) if tag == Enrol.tag else None
        received.check(joined.member.identity if joined else self._lead.roster[party].identity)
        header = received.header
        expected = replace(header, session=self._session, phase=tag, sender=party, receiver=SERVER)
        if header != expected:
            raise BadMessage(
                f"a stale or misdirected answer: phase {header.phase} of session {header.session.counter} "
                f"from party {header.sender}; phase {tag} of session {self._session.counter} was expected"
            )
        if joined is not None:
            self._lead.join(party, joined.member, self._session)
        return joined or codec.decode(received.body, Message, self._most(requests[party])), header.layout

    def _most(self, request: Message) -> int:
        """How many bytes an answer to this request may have."""
        if isinstance(request, Adopt):
            return caps.ADOPTED
        return caps.message(self._lead.protocol, type(request), self._session.cohort, self._values, reply=True)

"""Complaints: what becomes of a seal that does not open, or that holds no share, without a word about who is at fault.

The receiver keeps its answer, and signs what came to it. The server asks the accused, once, to open what it sealed to
the receivers that complained, and these then answer with what was opened. An accused opens nothing but its own seals,
to at most as many receivers as may collude: honest receivers never complain of an honest party's own seals, so all that
is opened belongs to those who collude, or was dealt by one of them. A complaint names nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Annotated

from fedsec.errors import AuthenticationError, BadMessage, FedsecError, PolicyError, TooFewParties
from fedsec.protocol import Exposure, Flow, Item, Message, PartyContext, PartyId, Reply, Sum, ask, verify
from fedsec.protocol.consistency import holds

Sealed = Mapping[PartyId, Mapping[PartyId, bytes]]
"""What was relayed: for each receiver, what each sender sealed to it."""
Check = Callable[[PartyId, PartyId, bytes, int], None]
"""Raises BadMessage unless a body is a share that the first party deals to the second, of so many values."""


@dataclass(frozen=True)
class Complaint(Message, tag="fedsec.complaint/1"):
    """In place of an answer: what these parties sealed holds no share of so many values, or does not open.

    digests: SHA-256 of what came from each; signatures: on `Unopened`, for each.
    """

    digests: Annotated[Mapping[int, bytes], Exposure.FRESH]
    signatures: Annotated[Mapping[int, bytes], Exposure.FRESH]
    values: Annotated[int, Exposure.PUBLIC]


@dataclass(frozen=True)
class Reopen(Message, tag="fedsec.reopen/1"):
    """Only after complaints: open what you sealed to these parties, who signed that it holds no share for them."""

    sealed: Annotated[Mapping[int, bytes], Exposure.SEALED]
    signatures: Annotated[Mapping[int, bytes], Exposure.FRESH]
    values: Annotated[Mapping[int, int], Exposure.PUBLIC]


@dataclass(frozen=True)
class Reopened(Message, tag="fedsec.reopened/1"):
    """What was sealed to each that complained, now in clear, and a signature on its `Opening`."""

    bodies: Annotated[Mapping[int, bytes], Exposure.SHARED]
    signatures: Annotated[Mapping[int, bytes], Exposure.FRESH]


@dataclass(frozen=True)
class SumReopened(Message, tag="fedsec.sum_reopened/1"):
    """Only to who complained: the request that it complained of once more, with what was opened since."""

    inbox: Annotated[Mapping[int, bytes], Exposure.SEALED]
    signatures: Annotated[Mapping[int, bytes], Exposure.FRESH] = field(default_factory=dict)
    bodies: Annotated[Mapping[int, bytes], Exposure.SHARED] = field(default_factory=dict)
    openings: Annotated[Mapping[int, bytes], Exposure.FRESH] = field(default_factory=dict)


@dataclass(frozen=True)
class Unopened(Message, tag="fedsec.unopened/1"):
    """What a receiver signs: bytes of this digest came as a seal of `accused`, and hold no share of so many values."""

    accused: Annotated[int, Exposure.PUBLIC]
    digest: Annotated[bytes, Exposure.FRESH]
    values: Annotated[int, Exposure.PUBLIC]


@dataclass(frozen=True)
class Opening(Message, tag="fedsec.opening/1"):
    """What a sender signs: it sealed a body of this digest to `receiver`."""

    receiver: Annotated[int, Exposure.PUBLIC]
    digest: Annotated[bytes, Exposure.FRESH]


PHASES: tuple[type[Message], ...] = (Reopen, SumReopened)
"""The requests of a dispute, after those of the round."""


# A party


def complain(
    me: PartyContext, inbox: Mapping[PartyId, bytes], accused: Collection[PartyId], values: int
) -> Complaint | None:
    """A receiver's answer where what these parties sealed holds no share of `values` values; None without any.

    Of a party that this one does not believe in nobody complains: no seal of it opens here, so a complaint would show
    nothing about the seal. A server that forges a member could have honest receivers complain of an honest party.
    """
    digests = {party: _digest(inbox[party]) for party in accused if party != me.id and _believed(me, party)}
    signatures = {party: me.sign(Unopened(party, digest, values)) for party, digest in digests.items()}
    return Complaint(digests, signatures, values) if digests else None


def _believed(me: PartyContext, party: PartyId) -> bool:
    try:
        me.identity(party)
    except AuthenticationError:
        return False
    return True


def reopen(me: PartyContext, request: Reopen, most: int, step: type[Message], kind: str, check: Check) -> Reopened:
    """An accused party's answer: what it sealed in answer to `step`, as this kind, to those who complained.

    Raises PolicyError, and opens nothing, unless every complaint holds and they are `most` at the most.
    """
    sealed = request.sealed
    if not sealed or not sealed.keys() == request.signatures.keys() == request.values.keys():
        raise PolicyError("a complaint has what came, its signature and the number of values; one of these is missing")
    if len(sealed) > most:
        raise PolicyError(f"{len(sealed)} parties complain; this party opens its seals to {most} at most")
    if strangers := sealed.keys() - (me.cohort - {me.id}):
        raise PolicyError(f"parties {sorted(strangers)} complain, who are no others of this cohort")
    bodies = {}
    for receiver, given in sealed.items():
        statement = Unopened(me.id, _digest(given), request.values[receiver])
        try:
            me.verify(receiver, statement, request.signatures[receiver])
            bodies[receiver] = me.unseal_own(receiver, given, step, kind)
            check(me.id, receiver, bodies[receiver], request.values[receiver])
        except (AuthenticationError, BadMessage) as error:
            raise PolicyError(f"the complaint of party {receiver} does not hold: {error}") from None
    return Reopened(bodies, {to: me.sign(Opening(to, _digest(body))) for to, body in bodies.items()})


def accept(
    me: PartyContext, bodies: Mapping[PartyId, bytes], openings: Mapping[PartyId, bytes]
) -> dict[PartyId, bytes]:
    """What was opened to this party, by sender, where the sender signed that it is what it sealed."""
    return {
        sender: body
        for sender, body in bodies.items()
        if sender in openings and holds(me, sender, Opening(me.id, _digest(body)), openings[sender])
    }


def held(
    senders: Collection[PartyId],
    unseal: Callable[[PartyId], bytes],
    load: Callable[[PartyId, bytes], Item],
    reopened: Mapping[PartyId, bytes],
) -> dict[PartyId, Item]:
    """What each sender's seal holds, or else what it reopened; without those whose neither opens and loads.

    unseal: raises AuthenticationError; load: raises BadMessage.
    """
    found = {}
    for sender in sorted(senders):
        try:
            found[sender] = load(sender, unseal(sender))
        except (AuthenticationError, BadMessage):
            if sender in reopened:
                with suppress(BadMessage):
                    found[sender] = load(sender, reopened[sender])
    return found


# The server


def ask_possible(
    requests: Mapping[PartyId, Message], reply: type[Reply], possible: Callable[[PartyId, Reply], bool], at_least: int
) -> Flow[tuple[dict[PartyId, Reply], frozenset[PartyId]]]:
    """As `ask`, where it shows in a reply whether an honest party can have sent it: those replies, and who is false.

    possible: whether it can, as who seals to all those that it must seal to and no others. Who sent anything else is
    proven false by its own signed answer and counts as dropped out, before anything is relayed.
    Raises TooFewParties, with the false ones, if fewer than `at_least` are left.
    """
    answered = yield from ask(requests, reply, 0)
    kept = {party: answer for party, answer in answered.items() if possible(party, answer)}
    false = frozenset(answered.keys() - kept.keys())
    if len(kept) < at_least:
        phase = type(next(iter(requests.values()))).__name__
        raise TooFewParties(phase, at_least, kept, requests).proving(false)
    return kept, false


def beside(false: frozenset[PartyId], flow: Flow[Sum]) -> Flow[Sum]:
    """The rest of a round after these parties were proven false, which its sum or its error then says too."""
    try:
        found = yield from flow
    except FedsecError as error:
        error.proving(error.false | false)
        raise
    return replace(found, false=found.false | false)


@dataclass(frozen=True)
class Hearing:
    """What came of complaints: who made them, what was opened to whom, who opened nothing, and who is false."""

    complaints: Mapping[PartyId, Complaint]
    """By receiver, those that an honest party can have made."""
    bodies: Mapping[PartyId, Mapping[PartyId, bytes]]
    """To each receiver that complained, what it accused others of and these opened."""
    openings: Mapping[PartyId, Mapping[PartyId, bytes]]
    """The signatures on these bodies' `Opening`s."""
    closed: frozenset[PartyId]
    """The accused that opened nothing, or not what an honest party opens."""
    false: frozenset[PartyId]


def hear(answers: Mapping[PartyId, Message], relayed: Sealed, check: Check, values: int | None = None) -> Flow[Hearing]:
    """Ask the accused to open what it takes, if anybody complains.

    values: what every complaint says of them, where that is known. False is who complains of what was not relayed to it
    or under a signature that does not hold, and who opens what is no share, less than it was asked for, or under such a
    signature. Who does not answer drops out.
    """
    complaints, false = dict[PartyId, Complaint](), set[PartyId]()
    for party, answer in answers.items():
        if isinstance(answer, Complaint):
            if (yield from _possible(party, answer, relayed.get(party, {}), values)):
                complaints[party] = answer
            else:
                false.add(party)
    accused = frozenset(party for one in complaints.values() for party in one.digests)
    reopened = (yield from ask(_requests(complaints, relayed), Reopened, 0)) if complaints else {}
    bodies: dict[PartyId, dict[PartyId, bytes]] = {party: {} for party in complaints}
    openings: dict[PartyId, dict[PartyId, bytes]] = {party: {} for party in complaints}
    for sender, answer in reopened.items():
        receivers = {party: one.values for party, one in complaints.items() if sender in one.digests}
        if not (yield from _sound(answer, sender, receivers, check)):
            false.add(sender)
            continue
        for party in receivers:
            bodies[party][sender], openings[party][sender] = answer.bodies[party], answer.signatures[party]
    closed = accused - (reopened.keys() - false)
    return Hearing(complaints, bodies, openings, closed, frozenset(false))


def settle(
    answers: Mapping[PartyId, Message],
    reply: type[Reply],
    relayed: Sealed,
    signatures: Mapping[PartyId, bytes],
    check: Check,
) -> Flow[tuple[dict[PartyId, Reply], frozenset[PartyId]]]:
    """Of each party's answer, a complaint or a `reply`: the replies, those after the dispute too, and who is false.

    signatures: those of the consistency check, where there was one. False as in `hear`.
    """
    given = {party: answer for party, answer in answers.items() if isinstance(answer, reply)}
    heard = yield from hear(answers, relayed, check)
    if not heard.complaints:
        return given, heard.false
    again = {
        party: SumReopened(relayed[party], signatures, heard.bodies[party], heard.openings[party])
        for party in heard.complaints
    }
    later = yield from ask(again, reply, 0)
    return given | later, heard.false


def _requests(complaints: Mapping[PartyId, Complaint], relayed: Sealed) -> dict[PartyId, Reopen]:
    requests = {}
    for accused in sorted({party for one in complaints.values() for party in one.digests}):
        by = {party: one for party, one in complaints.items() if accused in one.digests}
        requests[accused] = Reopen(
            {party: relayed[party][accused] for party in by},
            {party: one.signatures[accused] for party, one in by.items()},
            {party: one.values for party, one in by.items()},
        )
    return requests


def _possible(party: PartyId, complaint: Complaint, relayed: Mapping[PartyId, bytes], values: int | None) -> Flow[bool]:
    """Whether an honest party can complain so: of others, of what was relayed to it from them, and signed."""
    if not (
        bool(complaint.digests)
        and complaint.digests.keys() == complaint.signatures.keys()
        and complaint.digests.keys() <= relayed.keys() - {party}
        and all(digest == _digest(relayed[accused]) for accused, digest in complaint.digests.items())
        and values in (None, complaint.values)
    ):
        return False
    for accused, digest in complaint.digests.items():
        statement = Unopened(accused, digest, complaint.values)
        if not (yield from verify(party, statement, complaint.signatures[accused])):
            return False
    return True


def _sound(answer: Reopened, sender: PartyId, receivers: Mapping[PartyId, int], check: Check) -> Flow[bool]:
    """Whether an honest party can open this to receivers who say so many values: all that it is asked for, signed."""
    if not answer.bodies.keys() == answer.signatures.keys() == receivers.keys():
        return False
    for receiver, values in receivers.items():
        try:
            check(sender, receiver, answer.bodies[receiver], values)
        except BadMessage:
            return False
        opening = Opening(receiver, _digest(answer.bodies[receiver]))
        if not (yield from verify(sender, opening, answer.signatures[receiver])):
            return False
    return True


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()

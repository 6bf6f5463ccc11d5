"""What the server's log says of the clients that gave no usable answer: which, in which phase, why, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise, takewhile

from flwr.app import Message
from flwr.common.constant import ErrorCode

from fedsec.protocol import PartyId
from fedsec.wire.exchange import NO_ANSWER, Incident, Refusal

LONGEST, SHOWN = 400, 20
"""Characters of one reason, and nodes named in one line."""

_OURS = re.compile(r"\w+(:|$)")
"""What our own mod reports begins with the class of an error; other mods' reports are sentences."""
_ORDER = (
    "is secure_aggregation among this client's mods, and a function registered for this message? If another mod stands "
    "before it, put secure_aggregation first, ClientApp(mods=[secure_aggregation, ...]): before it messages hold no "
    "arrays"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_RAISED = re.compile(r"<class '([\w.]+)(?:\(\w+\))?'>:<'(.*)'>", re.DOTALL)
"""How Flower reports an exception: its class, in Ray with that of the cause, and its text, in Ray a traceback."""
_EXCEPTION = re.compile(r"([A-Za-z_][\w.]*)(?:: ?(.*))?")
"""The line below the last place of a traceback: the class, and the first line of its text."""
_WRAPPER = "ClientAppException"
"""Flower's own, around what an app raises under Ray."""
_CURES = {
    NO_ANSWER: "see whether the node is up; phase_timeout and start(timeout=...) say how long a phase may take",
    "AuthenticationError": "compare the public keys: fedsec-server and fedsec-hospitals there, identity and pins here",
    "BadMessage": "see that all parties run the same release of fedsec and send the same arrays and metrics",
    "ClientAppError": "the app failed there: the node's own log has the traceback",
    "ConfigurationError": "change that node's configuration, or the strategy's parameters here",
    "DataError": "its update, weight or metrics cannot be used: the node's own log says why",
    "LayoutError": "send the arrays and metrics that the model and the other hospitals have",
    "no usable update": "it counts as no change",
    "JournalError": "see to the journal of that node (fedsec-journal)",
    "OutOfPhase": "where it lost its state, a later round enrols it again",
    "PolicyError": "change that hospital's policy, or what this run asks for",
    "Stale": "it was late, or its state is an older one: phase_timeout says how long a phase may take",
}


def lines(incidents: Iterable[Incident], nodes: Mapping[PartyId, int]) -> list[str]:
    """A line for each phase and reason, with every node that it concerns, and what to do about it."""
    grouped: dict[tuple[str, str], list[PartyId]] = {}
    for phase, party, reason in incidents:
        parties = grouped.setdefault((phase, printable(reason)), [])
        if party not in parties:
            parties.append(party)
    return [f"{_names(parties, nodes)}: {phase}: {cured(reason)}" for (phase, reason), parties in grouped.items()]


def cured(reason: str) -> str:
    """A reason, and what to do about it where that is known."""
    cure = _CURES.get(reason) or _CURES.get(reason.partition(":")[0])
    return f"{reason} ({cure})" if cure else reason


def printable(reason: str) -> str:
    """A reason as it may stand in a log: another machine wrote it."""
    plain = _COLOUR.sub("", reason)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in plain).split())
    return shortened(text)


def shortened(text: str) -> str:
    """At most the first LONGEST characters of a text."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def refusal(reply: Message) -> Refusal:
    """An error reply as a refusal; one that our mod did not write says what may be wrong with the mods."""
    raised = reply.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    kind, text = _exception(reply.error.reason or "") if raised else ("", reply.error.reason or "")
    said = ": ".join(filter(None, (kind.rpartition(".")[2], text)))
    reason = printable(said or f"error {reply.error.code}")
    theirs = reply.error.code == ErrorCode.MOD_FAILED_PRECONDITION and not _OURS.match(reason)
    if theirs or (raised and not kind.startswith("fedsec.")):
        return Refusal(f"{reason} ({_ORDER})")
    return Refusal(reason)


def _exception(reason: str) -> tuple[str, str]:
    """Class and text of the exception that Flower reports, without what Ray wraps around it."""
    plain = _COLOUR.sub("", reason)
    raised = _RAISED.fullmatch(plain)
    kind, text = raised.groups() if raised else ("", plain)
    lines, last = text.split("\n"), None
    for number, (place, line) in enumerate(pairwise(lines), start=1):
        found = _EXCEPTION.fullmatch(line) if place.startswith(" ") and place.strip() else None
        if found and not found[1].endswith(_WRAPPER):
            last = number, found
    if last is None:
        return kind, text
    number, found = last
    return found[1], "\n".join([found[2] or "", *takewhile(str.strip, lines[number + 1 :])])


def _names(parties: list[PartyId], nodes: Mapping[PartyId, int]) -> str:
    names = [f"node {nodes.get(party, '?')} (party {party})" for party in sorted(parties)]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

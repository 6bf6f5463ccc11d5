"""The consistency check: parties sign of whom the sum will be, and open nothing for a list that too few signed.

Reference: K. Bonawitz et al., CCS 2017, figure 4, round 3. A party signs one list in a session. Of two lists with t
signatures each, 2t - n parties signed both; where fewer help a malicious server, one list is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fedsec.errors import AuthenticationError, PolicyError
from fedsec.protocol import Exposure, Flow, Message, PartyContext, PartyId, ServerModel, ask


@dataclass(frozen=True)
class ConsistencyCheck(Message, tag="fedsec.consistency_check/1"):
    """Against a malicious server: sign who sent an input."""

    survivors: Annotated[frozenset[int], Exposure.PUBLIC]


@dataclass(frozen=True)
class Consistent(Message, tag="fedsec.consistent/1"):
    """A party's signature on the survivors in its request."""

    signature: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class Survivors(Message, tag="fedsec.survivors/1"):
    """What is signed."""

    parties: Annotated[frozenset[int], Exposure.PUBLIC]


def phases(server: str) -> tuple[type[Message], ...]:
    """The phases that a strategy has between input and opening, by its server model: the check, or none."""
    return (ConsistencyCheck,) if server == ServerModel.MALICIOUS else ()


def quorum(parties: int) -> int:
    """How many signatures are needed, at least: more than two thirds, so that a third of the parties may help."""
    return 2 * parties // 3 + 1


def collect(survivors_of: Mapping[PartyId, frozenset[PartyId]], at_least: int) -> Flow[dict[PartyId, bytes]]:
    """The server's side: send each party its survivors, and return the signatures; raises as `ask` does."""
    requests = {party: ConsistencyCheck(survivors) for party, survivors in survivors_of.items()}
    replies = yield from ask(requests, Consistent, at_least)
    return {party: reply.signature for party, reply in replies.items()}


def admit(me: PartyContext, survivors: frozenset[PartyId], least: int) -> None:
    """Raise PolicyError unless this party is among the survivors, and `least` of its cohort are."""
    if me.id not in survivors or len(survivors & me.cohort) < least:
        raise PolicyError(f"{len(survivors)} survivors; {least} of this cohort, with this party, are the fewest")


def sign(me: PartyContext, survivors: frozenset[PartyId]) -> Consistent:
    """A party's answer, once it has admitted the survivors; it keeps them, and signs no others in this session."""
    return Consistent(me.sign(Survivors(survivors)))


def check(
    me: PartyContext,
    signed: frozenset[PartyId] | None,
    survivors: frozenset[PartyId],
    signatures: Mapping[PartyId, bytes],
    needed: int,
) -> None:
    """Raise PolicyError unless the survivors are those that this party signed, and `needed` of them signed the same."""
    if signed is None:
        raise PolicyError("this party has signed no survivors in this session")
    if signed != survivors:
        raise PolicyError(
            f"the survivors are not those that this party signed: nothing came, or nothing that can be opened, from "
            f"{sorted(signed - survivors)}, and too much from {sorted(survivors - signed)}"
        )
    statement = Survivors(survivors)
    agreed = [party for party in survivors & signatures.keys() if holds(me, party, statement, signatures[party])]
    if len(agreed) < needed:
        raise PolicyError(f"{len(agreed)} survivors signed who survived; {needed} signatures are needed")


def holds(me: PartyContext, signer: PartyId, statement: Message, signature: bytes) -> bool:
    """Whether a party signed this in this session; after equivocation it did not, and counts as dropped out."""
    try:
        me.verify(signer, statement, signature)
    except AuthenticationError:
        return False
    return True

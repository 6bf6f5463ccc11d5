"""What Shamir's strategies and LightSecAgg share: opening a sum from the hospitals' sums of shares, some of them false.

An answer that cannot be an honest one's, whatever others did, proves its sender false. One that is off the polynomials
of the others proves nothing: a hospital that dealt a false share to an honest one makes that one's answer so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from fedsec.errors import BadMessage, TooFewParties
from fedsec.primitives import robust
from fedsec.primitives.field import Field
from fedsec.primitives.mersenne import Values
from fedsec.primitives.shamir import check_share, columns_of
from fedsec.protocol import PartyId
from fedsec.protocol.complaints import Check


class Answer(NamedTuple):
    """A share of the sum of the `values` that each of `included` shared, as one party sent it."""

    share: Values
    prime_bits: int
    values: int
    included: frozenset[PartyId]


class Opened(NamedTuple):
    """The sum, whose, which parties are proven false, and whose answers were corrected."""

    sum: Values
    included: frozenset[PartyId]
    false: frozenset[PartyId]
    corrected: frozenset[PartyId]


def dealt(field: Field, pack: int, seeded: Callable[[PartyId], Collection[PartyId]]) -> Check:
    """The check of what a dealer seals: `seeded` says, for a dealer, who receives a seed in place of a share."""

    def check(dealer: PartyId, receiver: PartyId, body: bytes, values: int) -> None:
        check_share(body, values, pack, field, receiver in seeded(dealer))

    return check


def open_sum(
    phase: str,
    answers: Mapping[PartyId, Answer],
    senders: Collection[PartyId],
    needed: int,
    floor: int,
    field: Field,
    pack: int,
    false: Collection[PartyId] = (),
    seed: bytes = b"",
) -> Opened:
    """Open the sum that most answers are shares of; `senders` are those who shared an input.

    false: who is proven false already. seed: what the server drew after the answers, by which these are compared.

    Raises TooFewParties where fewer than `needed` answer for one sum, and BadMessage where too many of these are
    false. Either error has the parties that are proven false all the same.
    """
    impossible = {party for party in answers if not _possible(party, answers[party], senders, floor, field, pack)}
    held = {party: answer for party, answer in answers.items() if party not in impossible}
    false = impossible | set(false)
    # After equivocation a party cannot unseal the others' shares and sums alone: only one group can be large.
    sums = Counter((answer.included, answer.values) for answer in held.values())
    included, values = max(sums, key=lambda one: sums[one], default=(frozenset[PartyId](), 0))
    agreeing = {
        party: answer.share for party, answer in held.items() if (answer.included, answer.values) == (included, values)
    }
    if len(agreeing) < needed:
        split = len(agreeing) if len(sums) > 1 else None  # nobody of either side is proven false
        raise TooFewParties(phase, needed, held, senders, alike=split).proving(false)
    try:
        opened = robust.combine(agreeing, needed, field, values, pack, seed)
    except BadMessage as error:
        raise error.proving(false) from None
    return Opened(opened.secret, included, frozenset(false), opened.off)


def _possible(
    party: PartyId, answer: Answer, senders: Collection[PartyId], floor: int, field: Field, pack: int
) -> bool:
    """Whether an honest party can have sent this: it has the form that it states, and its sum is one it may open."""
    try:
        field.check(answer.share, "share of the sum")
    except BadMessage:
        return False
    return (
        answer.prime_bits == field.bits
        and answer.share.shape == (columns_of(answer.values, pack),)
        and party in answer.included
        and answer.included <= set(senders)
        and len(answer.included) >= floor
    )

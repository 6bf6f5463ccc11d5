"""What a flow asks its server of signatures: whether a party signed a statement, in this session and no other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import pytest

from fedsec.protocol import Exposure, Flow, Message, Requests, run, verify
from fedsec.strategies.shamir import Shamir


@dataclass(frozen=True)
class Said(Message, tag="tests.said/1"):
    """A statement."""

    number: Annotated[int, Exposure.PUBLIC]


def holds(party: int, statement: Message, signature: bytes) -> Flow[bool]:
    return (yield from verify(party, statement, signature))


def never(requests: Requests) -> Any:
    raise AssertionError("nothing is sent")


def test_a_flow_asks_and_nothing_is_sent() -> None:
    for found in (True, False):
        asked: list[object] = []

        def check(*given: object, found: bool = found, asked: list[object] = asked) -> bool:
            asked.append(given)
            return found

        assert run(holds(3, Said(7), b"signature"), never, verify=check) is found
        assert asked == [(3, Said(7), b"signature")]


def test_over_a_transport_that_cannot_tell_nobody_is_proven_false() -> None:
    assert run(holds(3, Said(7), b""), never)


def test_a_signature_is_its_signers_on_this_statement_in_this_session(dishonest: Any) -> None:
    server = dishonest(Shamir()).found()
    channel = server.coordinator.channel([1, 2, 3, 4], stage="train")
    session = channel._session
    good = server.context_of(2, session).sign(Said(7))

    def asked(party: int, statement: Message, signature: bytes) -> bool:
        return bool(channel.run(holds(party, statement, signature)))

    assert asked(2, Said(7), good)
    for party, statement, signature in (
        (1, Said(7), good),
        (2, Said(8), good),
        (99, Said(7), good),
        (2, Said(7), b""),
        (2, Said(7), bytes(64)),
        (2, Said(7), server.context_of(1, session).sign(Said(7))),
        (2, Said(7), server.context_of(2, replace(session, counter=session.counter + 1)).sign(Said(7))),
    ):
        assert not asked(party, statement, signature)


@pytest.mark.parametrize("signer", [1, 5])
def test_a_party_and_the_server_agree_on_what_holds(dishonest: Any, signer: int) -> None:
    server = dishonest(Shamir()).found()
    channel = server.coordinator.channel(range(1, 6), stage="train")
    signature = server.context_of(signer, channel._session).sign(Said(1))
    server.context_of(3, channel._session).verify(signer, Said(1), signature)
    assert channel.signed(signer, Said(1), signature)

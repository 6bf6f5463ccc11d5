"""What is not a hospital's own word of this run: a membership from another run, and the bytes of a stranger."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from fedsec.flower import SecureAggregation
from fedsec.flower.records import RECORD
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import SERVER
from fedsec.strategies.shamir import ShareInput
from fedsec.wire import envelope
from fedsec.wire.envelope import SETUP, Header
from fedsec.wire.membership import Adopt, Enrol, Member
from tests.disclosure.attacked import FIRST, Server
from tests.disclosure.test_hostile_messages import EVERYONE, HOSPITALS, five, session_on

pytestmark = pytest.mark.slow  # whole federations are attacked


def with_a_ghost(server: Server, ghost: Member) -> SecureAggregation:
    """An epoch of four hospitals, whose roster lists a fifth by what it signed in another run."""
    secure = server.founds()
    over, coordinator = server.over(secure), server.coordinator(secure)
    over._asked = {party: FIRST + party - 1 for party in EVERYONE}
    coordinator.sessions.epoch += 1
    offer = Enrol(coordinator.sessions.identity.public, coordinator.terms)
    replies: Any = coordinator.channel(EVERYONE, stage=SETUP).deliver(dict.fromkeys(range(1, HOSPITALS), offer))
    members = {party: reply.member for party, reply in replies.items()} | {HOSPITALS: ghost}
    coordinator.roster = members
    coordinator.channel(EVERYONE, stage=SETUP).deliver(dict.fromkeys(range(1, HOSPITALS), Adopt(members)))
    coordinator.public = None
    return secure


def test_what_a_hospital_signed_in_another_run_does_not_make_it_a_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cohort of all hospitals would be had without one of them."""
    server = five(tmp_path)
    secure = server.founds()
    server.asks(secure, np.zeros(4))
    ghost = server.coordinator(secure).roster[HOSPITALS]

    def summed(value: float) -> tuple[int, list[str]]:
        server.new_run()
        secure = with_a_ghost(server, ghost)
        channel = session_on(server, secure, EVERYONE, value)
        shares = channel.deliver({party: ShareInput() for party in range(1, HOSPITALS)})
        return len(shares), [why for _, _, why in channel.incidents]

    got, why = summed(1.0)
    assert got == 0 and sum("party 5 of the roster did not join this epoch itself" in each for each in why) == 4
    monkeypatch.setattr(Member, "check", lambda *_: None)  # the rule taken out
    assert summed(2.0)[0] == 4


def test_a_body_of_a_stranger_takes_little_more_memory_than_itself(tmp_path: Path) -> None:
    """A list of empty lists takes sixty times its bytes when it is read: no key is needed to send one."""
    server, size = five(tmp_path), 1 << 20
    secure = server.founds()
    stranger = SigningKey(bytes(range(32)))
    body = b"\x93\x02" + msgpack.packb(Enrol.tag) + b"\xdd" + size.to_bytes(4, "big") + b"\x90" * size
    channel = server.coordinator(secure).channel(EVERYONE, stage=SETUP)
    requests = [
        envelope.write(Header(channel._session, tag, SERVER, 1), body, stranger) for tag in (Enrol.tag, Adopt.tag)
    ]
    messages = [
        Message(RecordDict({RECORD: ConfigRecord({"request": each})}), dst_node_id=FIRST, message_type="train")
        for each in requests
    ]
    tracemalloc.start()
    try:
        replies = list(server.grid.send_and_receive(messages))
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        msgpack.unpackb(body)
        careless = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert all(reply.has_error() for reply in replies)
    assert taken < 8 * size and careless > 40 * size
    assert server.app.read == []

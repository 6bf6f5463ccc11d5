"""A thousand parties: what a party does grows with what it uses, not with the roster. No clocks: calls are counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsec import catalog
from fedsec.local import LocalFederation
from fedsec.party import context
from fedsec.primitives import key_agreement
from fedsec.protocol import Message
from fedsec.strategies.plain import Plain
from fedsec.strategies.shamir import ShareInput
from fedsec.wire import codec, envelope
from fedsec.wire.codec import MAX_BYTES
from fedsec.wire.envelope import Header, Session
from fedsec.wire.membership import Adopt, Member, Terms, read_roster, read_terms

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "pairwise_masks.py"
HOSPITALS = 300


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """How many members' signatures were verified, by member."""
    counted: Counter[bytes] = Counter()
    whole = Member.check

    def check(self: Member, *arguments: Any) -> None:
        counted[self.identity] += 1
        whole(self, *arguments)

    monkeypatch.setattr(Member, "check", check)
    context._believe.cache_clear()
    return counted


def summed(federation: LocalFederation) -> None:
    parties = sorted(federation.states)
    draw = np.random.default_rng(1)
    data = {party: draw.integers(0, 1 << 24, 5, dtype=np.uint64) for party in parties}
    total = federation.sum(data)
    assert total.sum.included == set(parties)
    assert total.sum.vector.tolist() == [sum(int(data[party][place]) for party in parties) for place in range(5)]


@pytest.mark.slow
def test_parties_check_nobody_whom_they_do_not_use(checks: Counter[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: Counter[type[Message]] = Counter()
    whole = codec.decode

    def decode(data: Any, expected: Any, limit: int = MAX_BYTES) -> Any:
        record = whole(data, expected, limit)
        decoded[type(record)] += 1
        return record

    monkeypatch.setattr(codec, "decode", decode)
    read_roster.cache_clear()
    read_terms.cache_clear()
    federation = LocalFederation(Plain(), HOSPITALS)
    federation.enrol()
    assert set(checks.values()) == {1} and len(checks) == HOSPITALS  # the server checks each who joins, once
    for _ in range(2):
        summed(federation)
    assert sum(checks.values()) == HOSPITALS
    assert decoded[Adopt] == decoded[Terms] == 1


def test_a_party_checks_each_member_that_it_uses_once(checks: Counter[bytes]) -> None:
    federation = LocalFederation(catalog.strategy(str(EXAMPLE))(), 12)
    federation.enrol()
    for _ in range(3):
        summed(federation)
    assert set(checks.values()) == {1 + 11}  # by the server, and by each of the others, for itself


def test_one_agreement_serves_all_keys_of_a_session(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[bytes] = Counter()

    def shared_secret(mine: Any, theirs: bytes) -> bytes:
        calls[theirs] += 1
        return key_agreement.shared_secret(mine, theirs)

    monkeypatch.setattr(context, "shared_secret", shared_secret)
    session = server.session()
    one, two = server.context_of(1, session), server.context_of(2, session)
    for label in ("mask", "other"):
        assert one.pairwise_key(2, label) == two.pairwise_key(1, label)
        assert two.unseal(1, one.seal(2, label.encode(), label, bytes), ShareInput, label) == label.encode()
    assert set(calls.values()) == {1} and len(calls) == 2


def test_a_session_is_written_once_and_as_the_codec_writes_it() -> None:
    for cohort in ((), (1, 2, 3), tuple(range(1, 1001)), tuple(range(1, 100_000, 3))):
        session = Session(b"run", 1, b"nonce", 1, "train", cohort, b"r" * 32, b"m" * 32, b"t" * 32)
        for header in (
            Header(session, "fedsec.plain.send_input/1", 0, 1),
            Header(session, "", 1 << 40, 0, b"layout" * 100, cpu=0.25),
            Header(session, "phase", 1, 0, b"", cpu=-1.5e300),
        ):
            assert envelope.pack_header(header) == codec.encode(header)
    assert next(iter(codec.schema(Header))).name == "session"  # which is where `pack_header` puts it

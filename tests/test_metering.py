"""Costs are measured: bytes as tapped, CPU without training, network time by arithmetic, and CSV files whole."""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec.errors import ConfigurationError
from fedsec.local import Fault, LocalFederation
from fedsec.metering import NETWORKS, Ledger, Meter, Network, Row, network
from fedsec.party import party
from fedsec.party.policy import Policy
from fedsec.primitives.signing import SigningKey
from fedsec.strategies.plain import Plain
from fedsec.strategies.shamir import Shamir
from fedsec.wire import envelope
from fedsec.wire.exchange import Phase, Refusal

ROW = Row(1, "train", "ShareInput", "hospital", 3, 3, 6, 300, 600, 100, 200, 0.5, 0.25, 1.0)


class Taps:
    """The bytes that passed each party, phase by phase."""

    def __init__(self) -> None:
        self.down: dict[str, dict[int, int]] = defaultdict(dict)
        self.up: dict[str, dict[int, int]] = defaultdict(dict)

    def __call__(self, phase: Phase, party: int, request: bytes, answer: bytes | Refusal | None) -> None:
        self.down[phase.name][party] = len(request)
        if isinstance(answer, bytes):
            self.up[phase.name][party] = len(answer)


def data(hospitals: int = 4, values: int = 50) -> dict[int, Any]:
    return {party: np.arange(values, dtype=np.uint64) for party in range(1, hospitals + 1)}


@pytest.mark.parametrize("strategy", [Plain(), Shamir(), Shamir(server="malicious")])
def test_bytes_are_the_encoded_lengths_that_were_tapped(strategy: Any) -> None:
    taps = Taps()
    federation = LocalFederation(strategy, 4, tap=taps)
    federation.sum(data())
    rows = federation.ledger.rows
    names = ["Enrol", "Adopt", *(phase.__name__ for phase in strategy.tolerance(data()))]
    assert [(row.phase, row.role) for row in rows] == [
        (name, role) for name in names for role in ("hospital", "server")
    ]
    for row in rows:
        down, up = taps.down[row.phase], taps.up[row.phase]
        assert (row.bytes_down, row.bytes_up) == (sum(down.values()), sum(up.values()))
        assert (row.bytes_down_max, row.bytes_up_max) == (max(down.values()), max(up.values()))
        assert row.messages == len(down) + len(up) == 8
        assert row.wall_seconds > 0
    assert [(row.round, row.stage) for row in rows if row.role == "hospital"][:3] == [(0, "setup")] * 2 + [(1, "train")]
    assert {(row.parties, row.replies) for row in rows if row.role == "hospital"} == {(4, 4)}


def test_silent_parties_were_sent_bytes_and_sent_none() -> None:
    taps = Taps()
    federation = LocalFederation(Plain(), 5)
    federation.enrol()
    federation.faults = [Fault("drop", "SendInput", 1), Fault("lose", "SendInput", 2)]
    federation.tap = taps
    federation.sum(data(5))
    row = next(row for row in federation.ledger.rows if row.phase == "SendInput")
    assert (row.parties, row.replies, row.messages) == (5, 3, 8)
    assert row.bytes_up == sum(taps.up["SendInput"][party] for party in (3, 4, 5))
    assert row.bytes_down == sum(taps.down["SendInput"].values())  # the dropped request was sent


def test_refusals_and_garbage_are_not_counted_as_replies() -> None:
    ledger, phase = Ledger(), Phase("train", 1, "SendInput")
    answers: list[tuple[int, Any]] = [(1, Refusal("no")), (2, b"\x81\x90\x01"), (9, b"unasked")]
    assert Meter(lambda *_: answers, ledger)(phase, {1: b"abc", 2: b"de"}) == answers
    row = ledger.rows[0]
    assert (row.parties, row.replies, row.bytes_down, row.bytes_up, row.cpu_seconds) == (2, 1, 5, 3, 0.0)


@given(cpu=st.floats(0, 1e6), layout=st.binary(max_size=300), body=st.binary(max_size=50), cut=st.integers(0, 400))
def test_the_cpu_of_a_message_is_its_header_s(cpu: float, layout: bytes, body: bytes, cut: int) -> None:
    session = LocalFederation(Plain(), 3).coordinator.channel([1, 2, 3], stage="train")._session
    data = envelope.write(
        envelope.Header(session, "fedsec.plain.send_input/1", 1, 0, layout, cpu=cpu), body, SigningKey(bytes(32))
    )
    assert envelope.cpu_of(data) == envelope.read(data).header.cpu == cpu
    assert envelope.cpu_of(data[:cut]) in (0.0, cpu)


def test_cpu_is_the_protocol_s_and_never_training_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of its own: each look at it is a millisecond, and training takes a hundred seconds."""
    now = [0.0]

    def clock() -> float:
        now[0] += 0.001
        return now[0]

    def train() -> Any:
        now[0] += 100.0
        started = time.thread_time()
        while time.thread_time() - started < 0.15:
            pass
        return np.arange(20_000, dtype=np.uint64), b""

    monkeypatch.setattr(party, "cpu_seconds", clock)
    federation = LocalFederation(Shamir(), 3)
    federation.enrol()
    federation.begin(dict.fromkeys(federation.states, train))
    federation.coordinator.aggregate([1, 2, 3], round_number=1)
    rows = {row.phase: row for row in federation.ledger.rows if row.role == "hospital"}
    share = rows["ShareInput"]
    assert share.wall_seconds > 0.45
    assert 0 < share.cpu_seconds_max <= share.cpu_seconds < 1.0
    each = dict(share.cpu_each)
    assert set(each) == {1, 2, 3} and max(each.values()) == share.cpu_seconds_max
    assert sum(each.values()) == pytest.approx(share.cpu_seconds)
    assert 0 < rows["SumShares"].cpu_seconds < 1.0


def test_cpu_is_not_told_in_a_deployment() -> None:
    """What a step took would tell about the data."""
    federation = LocalFederation(Shamir(server="malicious"), 3)
    federation.enrol()
    server = federation.coordinator.sessions.identity.public
    members = federation.coordinator.roster.values()
    federation.policy = Policy(server=server, hospitals=frozenset(member.identity for member in members))
    federation.sum(data(3))
    rows = [row for row in federation.ledger.rows if row.role == "hospital" and row.stage == "train"]
    assert len(rows) == 3 and all(row.cpu_seconds == row.cpu_seconds_max == 0 for row in rows)


@given(
    latency=st.floats(0, 1),
    down=st.floats(1, 1e9),
    up=st.floats(1, 1e9),
    sizes=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=6),
)
def test_network_time_is_arithmetic_on_the_rows(
    latency: float, down: float, up: float, sizes: list[tuple[int, int]]
) -> None:
    net = Network(latency, down, up)
    rows = [replace(ROW, bytes_down_max=received, bytes_up_max=sent) for received, sent in sizes]
    expected = sum(2 * latency + received / down + sent / up for received, sent in sizes)
    assert net.seconds(rows) == pytest.approx(expected)
    assert net.seconds(rows) == net.seconds(iter(rows))
    servers = [replace(row, role="server") for row in rows]
    assert net.seconds([*rows, *servers]) == net.seconds(rows)
    timed = [replace(row, wall_seconds=99.0, cpu_seconds=99.0) for row in rows]
    assert net.seconds(timed) == net.seconds(rows)


def test_named_networks() -> None:
    lan = 2 * 0.0005 + 100 / 125e6 + 200 / 125e6
    assert network("lan").seconds([ROW]) == pytest.approx(lan)
    times = [network(name).seconds([ROW]) for name in ("lan", "hospital-wan", "mobile")]
    assert times == sorted(times) and set(NETWORKS) == {"lan", "hospital-wan", "mobile"}
    with pytest.raises(ConfigurationError, match="unknown network 'mobil'; did you mean 'mobile'"):
        network("mobil")
    for wrong in ((-1.0, 1.0, 1.0), (0.0, 0.0, 1.0), (0.0, 1.0, -1.0), (float("nan"), 1.0, 1.0)):
        with pytest.raises(ConfigurationError, match="latency of at least 0 and bandwidths above 0"):
            Network(*wrong)


def test_rows_are_written_as_csv_and_announced(tmp_path: Path) -> None:
    seen: list[Row] = []
    ledger = Ledger(watch=seen.append)
    for number in range(3):
        ledger.add(replace(ROW, round=number, cpu_each=((1, 0.1), (2, 0.2))))
    path = tmp_path / "costs.csv"
    ledger.write(path)
    assert seen == ledger.rows
    with path.open(newline="", encoding="utf-8") as file:
        read = list(csv.reader(file))
    assert read[0] == [field.name for field in fields(Row) if field.name != "cpu_each"]
    assert read[1:] == [[str(value) for value in astuple(row)[:-1]] for row in ledger.rows]
    assert [file.name for file in tmp_path.iterdir()] == ["costs.csv"]


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    Ledger([ROW]).write(path)
    before = path.read_bytes()
    broken: Any = [ROW, ROW, "not a row"]
    with pytest.raises(AttributeError):
        Ledger(broken).write(path)
    assert path.read_bytes() == before
    Ledger([ROW, ROW]).write(path)
    assert len(path.read_text().splitlines()) == 3

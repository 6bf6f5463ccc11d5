"""What a protocol costs, measured: bytes as encoded, CPU seconds at the parties and at the server, wall seconds.

`Meter(exchange, ledger)` is wrapped around a transport; protocols know nothing of it. Network time is a pure
function of the rows and of a named profile.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fedsec import atomic
from fedsec.errors import ConfigurationError, expect, expect_path, unknown
from fedsec.primitives.parallel import cpu_seconds
from fedsec.protocol import PartyId
from fedsec.wire import envelope
from fedsec.wire.exchange import Exchange, Phase, Refusal


@dataclass(frozen=True)
class Row:
    """One phase as one role saw it. Bytes down go to the hospitals, bytes up come from them.

    For the role `hospital` the figures are sums over the parties, and `cpu_seconds_max` is the slowest party's;
    for `server`, `cpu_seconds` is what the server's thread computed after the phase: see Meter.
    cpu_each: CPU seconds of each hospital that replied; not in the CSV.
    """

    round: int
    stage: str
    phase: str
    role: str
    parties: int
    replies: int
    messages: int
    bytes_down: int
    bytes_up: int
    bytes_down_max: int
    bytes_up_max: int
    cpu_seconds: float
    cpu_seconds_max: float
    wall_seconds: float
    cpu_each: tuple[tuple[PartyId, float], ...] = field(default=(), repr=False)

    def figures(self) -> dict[str, Any]:
        """What is written of it: all but `cpu_each`."""
        return {name: getattr(self, name) for name in WRITTEN}


WRITTEN = tuple(item.name for item in fields(Row) if item.name != "cpu_each")


@dataclass
class Ledger:
    """The rows of a run, in order; `watch` is called with each new one."""

    rows: list[Row] = field(default_factory=list)
    watch: Callable[[Row], None] | None = None

    def add(self, row: Row) -> None:
        """Append one row."""
        self.rows.append(row)
        if self.watch is not None:
            self.watch(row)

    def write(self, path: Path) -> None:
        """Write all rows as CSV, whole or not at all; raises ConfigurationError for what is no path."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, WRITTEN)
        writer.writeheader()
        writer.writerows(row.figures() for row in self.rows)
        atomic.write(expect_path("the ledger's path", path), text.getvalue().encode())


class Meter:
    """An exchange that adds two rows to `ledger` for each phase: one for the hospitals, and one for the server.

    The server's CPU of a phase is what its thread computed from the phase's end to the next one's begin or to the end
    of the session: it opens what the phase brought, and prepares the next. The first phase's has its own preparation.
    """

    def __init__(self, exchange: Exchange, ledger: Ledger) -> None:
        self._exchange, self.ledger = exchange, ledger
        self._since, self._spent = cpu_seconds(), 0.0
        self._open: Callable[[float], Row] | None = None

    def __call__(self, phase: Phase, requests: Mapping[PartyId, bytes]) -> list[tuple[PartyId, bytes | Refusal]]:
        self._settle()
        started = time.monotonic()
        answers = list(self._exchange(phase, requests))
        wall = time.monotonic() - started
        replies = {party: answer for party, answer in answers if isinstance(answer, bytes) and party in requests}
        cpu = {party: envelope.cpu_of(answer) for party, answer in replies.items()}
        down, up = [len(data) for data in requests.values()], [len(data) for data in replies.values()]
        where = (phase.round, phase.stage, phase.name)
        traffic = (len(requests) + len(answers), sum(down), sum(up), max(down, default=0), max(up, default=0))
        each = tuple(cpu.items())
        most = max(cpu.values(), default=0.0)
        self.ledger.add(
            Row(*where, "hospital", len(requests), len(replies), *traffic, sum(cpu.values()), most, wall, each)
        )
        self._open = lambda spent: Row(*where, "server", 1, 1, *traffic, spent, spent, wall)
        self._since = cpu_seconds()
        return answers

    @contextmanager
    def session(self) -> Iterator[None]:
        """Around all that the server does for one sum or one set-up."""
        self._open, self._spent, self._since = None, 0.0, cpu_seconds()
        try:
            yield
        finally:
            self._settle()

    def _settle(self) -> None:
        """The server is done with the phase before."""
        self._spent += cpu_seconds() - self._since
        if self._open is not None:
            self.ledger.add(self._open(self._spent))
            self._open, self._spent = None, 0.0


@dataclass(frozen=True)
class Network:
    """A network between each hospital and the server: one-way latency in seconds, bandwidths in bytes a second."""

    latency: float
    down: float
    up: float

    def __post_init__(self) -> None:
        for name, value in (("latency", self.latency), ("down", self.down), ("up", self.up)):
            expect(name, value, (int, float), "a number")
        if not (self.latency >= 0 and self.down > 0 and self.up > 0):
            raise ConfigurationError("a network needs a latency of at least 0 and bandwidths above 0")

    def seconds(self, rows: Iterable[Row]) -> float:
        """Time on the wire: each phase waits for its largest messages, hospitals transfer side by side."""
        return sum(
            2 * self.latency + row.bytes_down_max / self.down + row.bytes_up_max / self.up
            for row in rows
            if row.role == "hospital"
        )


NETWORKS = {
    "lan": Network(latency=0.0005, down=125e6, up=125e6),
    "hospital-wan": Network(latency=0.02, down=12.5e6, up=12.5e6),
    "mobile": Network(latency=0.05, down=2.5e6, up=1.25e6),
}
"""lan: 1 Gbit/s, 0.5 ms; hospital-wan: 100 Mbit/s, 20 ms; mobile: 20/10 Mbit/s, 50 ms."""


def network(name: str) -> Network:
    """A named network profile."""
    if not isinstance(name, str) or name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    return NETWORKS[name]

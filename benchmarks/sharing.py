"""Masks and shares beside AES-CTR's own time and beside galois and mpyc; then whole rounds of every strategy.

python benchmarks/sharing.py [--quick] [--json] [--output DIR] [--memory GIB] [--seconds S] [--strategies NAME,...]

Kernels are single calls in one thread. A sum is opened with just enough answers, with all of them compared, and with as
many of them false as can be corrected. Rounds run in process, after a first one that compiles and fills caches: CPU of
the hospitals as they report it, CPU of the server around the exchanges, bytes as they stand on the wire.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import math
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from common import Report, Row, amount, best, interleaved, parser, publish
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from rich.console import Console
from rich.progress import Progress

from fedsec import catalog
from fedsec.errors import ConfigurationError
from fedsec.local import LocalFederation
from fedsec.metering import Row as Metered
from fedsec.primitives import robust, shamir
from fedsec.primitives.field import M31
from fedsec.primitives.prg import CHUNK_BYTES, SEED_BYTES, masks_into
from fedsec.primitives.ring import R32, Words
from fedsec.protocol import PartyId, SecureSum, Vector
from fedsec.strategies.lightsecagg import LightSecAgg
from fedsec.strategies.packed_shamir import PackedShamir
from fedsec.strategies.shamir import Shamir
from fedsec.wire import envelope
from fedsec.wire.exchange import Phase, Refusal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VALUES = 1_000_000  # of the kernels, 4 bytes each
COHORTS, SIZES = (3, 10, 100), (10_000, 100_000, 1_000_000)
QUICK_COHORTS, QUICK_SIZES = COHORTS[:2], SIZES[:2]
PROBE = 2_000  # values of the small round whose memory tells that of the large ones
GIB = 1 << 30
INPUT = np.uint64  # what strategies are given
Step = Callable[[], object]
Cells = dict[tuple[str, int, int], "Cost"]


# Kernels


@dataclass(frozen=True)
class Kernel:
    """One call; `limit` is the most it may take in times of AES-CTR, `values` how many it treats (None: a secret)."""

    subject: str
    operation: str
    step: Step
    values: int | None
    limit: float | None = None


def keystream(count: int) -> Step:
    """So many bytes of AES-128-CTR, in pieces that stay in cache: the least that one mask costs."""
    key, zeros, buffer = os.urandom(16), bytes(CHUNK_BYTES), bytearray(CHUNK_BYTES + 15)

    def step() -> None:
        stream = Cipher(AES(key), CTR(bytes(16))).encryptor()
        for start in range(0, count, CHUNK_BYTES):
            stream.update_into(memoryview(zeros)[: count - start], buffer)

    return step


def masking(values: int) -> list[Kernel]:
    """Adding masks in place, and to an input that is copied into the ring first, as strategies do; taking them off."""
    x = np.random.default_rng(0).integers(0, 1 << 24, values, dtype=INPUT)
    seeds = [os.urandom(SEED_BYTES) for _ in range(101)]
    words, rows = R32.words(x), [R32.words(x) for _ in range(10)]

    def masked(added: Sequence[bytes], subtracted: Sequence[bytes] = ()) -> Words:
        copy = R32.words(x)
        masks_into(copy, added, subtracted)
        return copy

    def unmask() -> None:
        masks_into(R32.sum(rows), [], seeds[:10])

    return [
        Kernel("one mask", "in place", partial(masks_into, words, seeds[:1], []), values, 1.4),
        Kernel("one mask", "input copied", partial(masked, seeds[:1]), values),
        Kernel("additive, 3 aggregators", "in place", partial(masks_into, words, seeds[:3], []), values, 4.2),
        Kernel("additive, 3 aggregators", "input copied", partial(masked, seeds[:3]), values),
        Kernel("SecAgg n=10, 10 masks", "mask", partial(masked, seeds[:6], seeds[6:10]), values, 14),
        Kernel("SecAgg+ 100 neighbours, 101 masks", "mask", partial(masked, seeds[:51], seeds[51:]), values, 135),
        Kernel("SecAgg n=10", "sum and unmask", unmask, values),
    ]


def sharing(subject: str, protocol: Shamir, hospitals: int, values: int, limit: float | None = None) -> list[Kernel]:
    """Splitting as the strategy does with its default threshold, and combining what all hospitals sent."""
    clients = range(1, hospitals + 1)
    protocol.check(clients)
    needed, pack, field = protocol.points_needed(clients), protocol.packed(clients), protocol.field(clients)
    x = np.random.default_rng(0).integers(0, 1 << protocol.value_bits, values, dtype=INPUT)
    seeds = {point: os.urandom(SEED_BYTES) for point in clients[: needed - pack]}
    split = partial(shamir.split, x, clients, needed, field, seeds, pack)
    shares = split() | {point: shamir.expand_share(seed, -(-values // pack), field) for point, seed in seeds.items()}
    combine = partial(robust.combine, shares, needed, field, values, pack)
    assert np.array_equal(combine().secret, x)
    subject = f"{subject} {needed}-of-{hospitals}" + (f", pack {pack}" if pack > 1 else "")
    return [Kernel(subject, "split", split, values, limit), Kernel(subject, "combine", combine, values)]


def encoding(hospitals: int, values: int) -> Kernel:
    """LightSecAgg's mask, its coded pieces, and the input under it."""
    clients, protocol = range(1, hospitals + 1), LightSecAgg()
    needed, field = protocol.points_needed(clients), protocol.field(clients)
    pack = needed - protocol.withstands(clients)
    x = np.random.default_rng(0).integers(0, 1 << protocol.value_bits, values, dtype=INPUT)
    seeds = {point: os.urandom(SEED_BYTES) for point in clients[:needed]}

    def step() -> None:
        mask, _ = shamir.mask(clients, needed, values, field, seeds, pack)
        field.add(x.astype(field.word), mask)

    return Kernel(f"LightSecAgg n={hospitals}, U={needed}, T={needed - pack}", "mask and encode", step, values)


def secrets(threshold: int, parties: int) -> list[Kernel]:
    """A seed of 32 bytes, shared and recovered."""
    secret, points = os.urandom(SEED_BYTES), range(1, parties + 1)
    shares = shamir.split_secret(secret, points, threshold, os.urandom)
    few = {point: shares[point] for point in points[:threshold]}
    assert shamir.combine_secret(few, threshold) == secret
    subject = f"seed {threshold}-of-{parties}"
    split = partial(shamir.split_secret, secret, points, threshold, os.urandom)
    return [
        Kernel(subject, "share", split, None),
        Kernel(subject, "recover", partial(shamir.combine_secret, few, threshold), None),
    ]


def kernels(report: Report, values: int, seconds: float, turns: int) -> tuple[list[tuple[Kernel, float]], float]:
    """A row for each kernel; returns them with their times of AES-CTR, and AES-CTR's seconds a value."""
    measured = [
        *masking(values),
        *sharing("Shamir", Shamir(), 3, values, 13),
        *sharing("Shamir", Shamir(), 5, values),
        *sharing("Shamir", Shamir(), 10, values, 57),
        *sharing("Shamir, 61 bits,", Shamir(value_bits=59), 3, values),
        *sharing("packed Shamir", PackedShamir(pack=4), 10, values),
        *sharing("packed Shamir", PackedShamir(pack=32), 100, values, 92),
        encoding(10, values),
        Kernel("seeded share", "expand", partial(shamir.expand_share, os.urandom(SEED_BYTES), values, M31), values),
        *secrets(51, 100),
    ]
    target, source = np.zeros(values, np.uint32), np.ones(values, np.uint32)
    steps: dict[str, Step] = {"aes": keystream(4 * values), "copy": lambda: np.copyto(target, source)}
    steps |= {str(place): kernel.step for place, kernel in enumerate(measured)}
    for step in steps.values():
        step()
    found = interleaved(steps, seconds, turns)
    aes, setting = found["aes"], {"values": values}
    report.add(Row("AES-128-CTR", "keystream", setting, values / aes, note=_ms(aes)))
    report.add(Row("memcpy", "copy", setting, values / found["copy"], "AES-128-CTR", aes / found["copy"]))
    for place, kernel in enumerate(measured):
        took = found[str(place)]
        if kernel.values is None:
            report.add(Row(kernel.subject, kernel.operation, {"bytes": SEED_BYTES}, 1 / took, note=_ms(took)))
            continue
        note = f"{_ms(took)}, {took / aes:.2f} times AES-CTR's time"
        if kernel.limit is not None:
            note += f" (limit {kernel.limit:g}: {'met' if took / aes <= kernel.limit else 'missed'})"
        row = Row(kernel.subject, kernel.operation, setting, values / took, "AES-128-CTR", aes / took, note)
        report.add(row)
    return [(kernel, found[str(place)] / aes) for place, kernel in enumerate(measured)], aes / values


# False shares

OPENINGS = (
    ("Shamir", Shamir(), 3),
    ("Shamir", Shamir(), 5),
    ("Shamir", Shamir(), 10),
    ("Shamir", Shamir(), 100),
    ("Shamir, 61 bits,", Shamir(value_bits=59), 10),
    ("packed Shamir", PackedShamir(), 10),
    ("packed Shamir", PackedShamir(), 100),
)


def false_shares(report: Report, values: int, seconds: float, turns: int) -> None:
    """Opening with all m answers compared, and with as many of them false as can be corrected, over opening with t.

    By CPU seconds, for all of it runs in one thread.
    """
    x = np.random.default_rng(0).integers(0, 1 << 24, values, dtype=INPUT)
    for subject, protocol, hospitals in OPENINGS:
        clients = range(1, hospitals + 1)
        needed, pack, field = protocol.points_needed(clients), protocol.packed(clients), protocol.field(clients)
        seeds, columns = {point: os.urandom(SEED_BYTES) for point in clients[: needed - pack]}, -(-values // pack)
        shares = shamir.split(x, clients, needed, field, seeds, pack)
        shares |= {point: shamir.expand_share(seed, columns, field) for point, seed in seeds.items()}
        lies = {point: shares[point].copy() for point in clients[: robust.radius(hospitals, needed)]}
        for place, point in enumerate(lies):  # each in a column of its own: they are found one after the other
            lies[point][columns * (place + 1) // (len(lies) + 1)] ^= 1
        few = {point: shares[point] for point in clients[:needed]}
        steps: dict[str, Step] = {
            "few": partial(shamir.combine, few, needed, field, values, pack),
            "all": partial(robust.combine, shares, needed, field, values, pack, os.urandom(SEED_BYTES)),
            "lies": partial(robust.combine, shares | lies, needed, field, values, pack, os.urandom(SEED_BYTES)),
        }
        opened = robust.combine(shares | lies, needed, field, values, pack)
        assert np.array_equal(opened.secret, x) and opened.off == set(lies)
        found = interleaved(steps, seconds, turns, time.process_time)
        subject = f"{subject} {needed}-of-{hospitals}" + (f", pack {pack}" if pack > 1 else "")
        setting, just = {"values": values, "answers": hospitals}, f"open {needed} answers"
        report.add(Row(subject, just, setting, values / found["few"], note=_ms(found["few"])))
        for name, operation in (("all", "open and compare all"), ("lies", f"with {len(lies)} false")):
            if name == "lies" and not lies:
                continue
            note = f"{_ms(found[name])}, {found[name] / found['few']:.2f} times; m / t is {hospitals / needed:.2f}"
            ratio = found["few"] / found[name]
            report.add(Row(subject, operation, setting, values / found[name], f"{subject}, {just}", ratio, note))


# Peers


@dataclass(frozen=True)
class Peer:
    """Shamir 2-of-3 as somebody else does it, of so many values."""

    values: int
    split: Step
    combine: Step
    note: str


def galois_peer(x: Vector) -> Peer:
    """galois' arrays over GF(2^31 - 1), a line per share."""
    field = importlib.import_module("galois").GF(M31.p)
    secret, weights = field(x), (field(2), field(M31.p - 1))

    def split() -> list[Any]:
        slope = field.Random(x.size)
        return [secret + slope * field(point) for point in (1, 2, 3)]

    one, two, _ = split()

    def combine() -> Any:
        return one * weights[0] + two * weights[1]

    assert np.array_equal(combine().view(np.ndarray), x)
    return Peer(x.size, split, combine, "its randomness is numpy's, not cryptographic")


def mpyc_peer(x: Vector) -> Peer:
    """mpyc's own functions for arrays: thresha.np_random_split and np_recombine."""
    with mock.patch.object(sys, "argv", sys.argv[:1]):  # mpyc takes the command line for its own when it is imported
        thresha, fields = importlib.import_module("mpyc.thresha"), importlib.import_module("mpyc.finfields")
    field = fields.GF(M31.p)
    few = x[: max(x.size // 20, 1)]
    secret = field.array(few.tolist())
    split = partial(thresha.np_random_split, field, secret, 1, 3)
    shares = split()
    combine = partial(thresha.np_recombine, field, [(1, shares[0]), (2, shares[1])])
    assert [int(value) for value in combine().value] == few.tolist()
    return Peer(few.size, split, combine, f"{few.size} of {x.size} values, scaled")


PEERS: dict[str, Callable[[Vector], Peer]] = {"galois": galois_peer, "mpyc": mpyc_peer}


def peers(report: Report, values: int, seconds: float, turns: int) -> None:
    """Shamir 2-of-3 beside each peer that is installed, from arrays of its own to arrays of its own."""
    x = np.random.default_rng(0).integers(0, 1 << 24, values, dtype=INPUT)
    split = partial(shamir.split, x, (1, 2, 3), 2, M31, {1: os.urandom(SEED_BYTES)})
    two = split()  # the shares of points 2 and 3: as many as peers combine, so none is left to check
    combine = partial(shamir.combine, two, 2, M31, values)
    assert np.array_equal(combine(), x)
    for name, make in PEERS.items():
        try:
            peer = make(x)
        except ImportError as error:
            report.notes.append(f"{name} is not measured: {error}; `pip install fedsec[bench]` brings it")
            continue
        title, size = f"{name} {importlib.metadata.version(name)}", {"values": values, "field bits": M31.bits}
        for operation, ours, theirs in (("split", split, peer.split), ("combine", combine, peer.combine)):
            found = interleaved({"ours": ours, "theirs": theirs}, seconds, turns)
            mine, its = values / found["ours"], peer.values / found["theirs"]
            note = f"{_ms(found['theirs'])}, {peer.note}"
            report.add(Row(title, f"{operation} 2-of-3", size | {"values": peer.values}, its, note=note))
            report.add(Row("fedsec Shamir 2-of-3", operation, size, mine, title, mine / its, _ms(found["ours"])))


# Protocols


@dataclass(frozen=True)
class Cost:
    """What a round costs: CPU seconds, bytes of a hospital. `server` is None where one client alone was measured."""

    cpu: float
    cpu_most: float
    server: float | None
    up: float
    up_most: float
    down: float
    phases: int
    wall: float
    note: str = ""


class Rounds(LocalFederation):
    """A federation whose hospitals share one input, which is not copied for each; costs are kept by hospital."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ledger.watch = self._left
        self._start()
        self.enrol()

    def _start(self) -> None:
        self.ledger.rows.clear()
        self.cpu, self.up, self.down = ({party: 0.0 for party in self.states} for _ in range(3))
        self.server, self._since, self._began = 0.0, time.thread_time(), time.perf_counter()

    def _left(self, row: Metered) -> None:
        """An exchange is over and metered: from now on the server computes."""
        self._since = time.thread_time()

    def exchange(self, phase: Phase, requests: Mapping[PartyId, bytes]) -> Iterable[tuple[PartyId, bytes | Refusal]]:
        """The exchange, with what it costs each hospital noted; a refusal ends the benchmark."""
        self.server += time.thread_time() - self._since
        answers = list(super().exchange(phase, requests))
        for party, answer in answers:
            if isinstance(answer, Refusal):
                raise RuntimeError(f"{self.protocol.name}: party {party} refused {phase.name}: {answer.reason}")
            self.cpu[party] += envelope.read(answer).header.cpu
            self.up[party] += len(answer)
            self.down[party] += len(requests[party])
        return answers

    def _checked(self, party: PartyId, vector: Any) -> Vector:
        checked: Vector = vector  # one array for all, made here: nothing to check, and a copy each would be most memory
        return checked

    def whole(self, x: Vector) -> Cost:
        """One whole round over `x` from every hospital."""
        self._start()
        total = self.sum(dict.fromkeys(self.states, x))
        self.server += time.thread_time() - self._since
        wall = time.perf_counter() - self._began
        assert np.array_equal(total.sum.vector, x * INPUT(self.hospitals))
        return self._cost(sorted(self.states), self.server, wall)

    def upload(self, x: Vector) -> Cost:
        """The phases of a round as far as the input, and that of the last hospital alone."""
        self._start()
        self.begin(dict.fromkeys(self.states, lambda: (x, b"")))
        clients = sorted(self.states)
        channel, flow = self.coordinator.channel(clients, stage="train"), self.protocol.aggregate(clients, None)
        requests = next(flow)
        while not any(isinstance(request, self.protocol.input_phase) for request in requests.values()):
            requests = flow.send(channel.answer(requests))
        one = max(requests)
        channel.deliver({one: requests[one]})
        flow.close()
        return self._cost([one], None, time.perf_counter() - self._began)

    def _cost(self, parties: list[PartyId], server: float | None, wall: float) -> Cost:
        cpu, up, down = ([kept[party] for party in parties] for kept in (self.cpu, self.up, self.down))
        middle = statistics.median
        return Cost(
            cpu=middle(cpu),
            cpu_most=max(cpu),
            server=server,
            up=middle(up),
            up_most=max(up),
            down=middle(down),
            phases=sum(row.role == "hospital" for row in self.ledger.rows),
            wall=wall,
        )


def repeated(step: Callable[[], Cost], seconds: float) -> Cost:
    """The least of each figure over as many repetitions as fit, and two at least: the first pays for new memory."""
    found: list[Cost] = []
    best(lambda: found.append(step()), seconds, least=2)
    servers = [cost.server for cost in found if cost.server is not None]
    return Cost(
        cpu=min(cost.cpu for cost in found),
        cpu_most=min(cost.cpu_most for cost in found),
        server=min(servers) if servers else None,
        up=found[0].up,
        up_most=found[0].up_most,
        down=found[0].down,
        phases=found[0].phases,
        wall=min(cost.wall for cost in found),
    )


def footprint(federation: Rounds) -> tuple[float, float]:
    """The most bytes that a round holds, and how many more for each value: Python's and numpy's own count."""
    peaks = []
    for count in (0, PROBE):
        gc.collect()
        tracemalloc.start(1)
        federation.whole(np.ones(count, INPUT))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return float(peaks[0]), (peaks[1] - peaks[0]) / PROBE


def federated(
    protocol: SecureSum[Any, Any], hospitals: int, sizes: Sequence[int], budget: float, cap: float, seconds: float
) -> Iterable[tuple[int, Cost]]:
    """The cost of a round for each size; of one client's upload where a round would exceed memory or time."""
    federation = Rounds(protocol, hospitals)
    empty = np.zeros(0, INPUT)
    federation.whole(empty)
    fixed, each = footprint(federation)
    idle = federation.whole(empty).wall
    slope = 0.0
    for count in sorted(sizes):
        x = np.random.default_rng(count).integers(0, 1 << protocol.value_bits, count, dtype=INPUT)
        memory, wall = fixed + each * count, idle + slope * count
        why = ""
        if memory > budget:
            why = f"{memory / GIB:.1f} GiB, over the budget of {budget / GIB:g} GiB"
        elif wall > cap:
            why = f"{wall:.0f} s, over the cap of {cap:g} s"
        gc.collect()
        if why:
            cost = repeated(partial(federation.upload, x), seconds)
            note = f"one client, upload phase only: the whole round would take {why}"
            yield count, Cost(**{**vars(cost), "note": note})
            continue
        cost = repeated(partial(federation.whole, x), seconds)
        slope = max(cost.wall - idle, 0.0) / max(count, 1)
        yield count, cost


def protocols(
    report: Report,
    names: Sequence[str],
    cohorts: Sequence[int],
    sizes: Sequence[int],
    options: argparse.Namespace,
    seconds: float,
    aes: float,
) -> Cells:
    """Two rows for each strategy, cohort and size: a hospital's CPU and the server's, over plain's in the same cell."""
    cells: Cells = {}
    strategies = {name: catalog.strategy(name)() for name in names}
    for name in [name for name, protocol in strategies.items() if protocol.setup_phases]:
        report.notes.append(f"{name} is not measured: it has a set-up, which makes keys of its own kind")
        del strategies[name]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(cohorts) * len(strategies) * len(sizes))
        for hospitals in cohorts:
            for name in sorted(strategies, key=lambda name: (name != "plain", name)):
                progress.update(task, description=f"{name}, {hospitals} hospitals")
                try:
                    found = federated(
                        strategies[name], hospitals, sizes, options.memory * GIB, options.seconds, seconds
                    )
                    for values, cost in found:
                        cells[name, hospitals, values] = cost
                        _describe(report, name, {"hospitals": hospitals, "values": values}, cells, aes)
                        progress.advance(task)
                except ConfigurationError as error:
                    report.notes.append(f"{name} with {hospitals} hospitals is not measured: {error}")
    return cells


def _describe(report: Report, name: str, setting: dict[str, int], cells: Cells, aes: float) -> None:
    hospitals, values = setting["hospitals"], setting["values"]
    cost, plain = cells[name, hospitals, values], cells.get(("plain", hospitals, values))
    up = f"{_bytes(cost.up)} up" + (f" (at most {_bytes(cost.up_most)})" if cost.up_most > 1.01 * cost.up else "")
    traffic = f"{up}, {_bytes(cost.down)} down, {cost.phases} phase{'s' * (cost.phases > 1)}"
    note = f"{_ms(cost.cpu)} (at most {_ms(cost.cpu_most)}), {cost.cpu / (aes * values):.2f} times AES-CTR's time"
    note = "; ".join(filter(None, (f"{note}, {traffic}", cost.note)))
    compared = plain is not None and name != "plain"
    over, ratio = ("plain", plain.cpu / cost.cpu) if compared and plain else ("", None)
    report.add(Row(name, "hospital CPU", setting, values / cost.cpu, over, ratio, note))
    if cost.server is None:
        return
    ratio = plain.server / cost.server if compared and plain and plain.server is not None else None
    over = "plain" if ratio is not None else ""
    report.add(Row(name, "server CPU", setting, values / cost.server, over, ratio, _ms(cost.server)))


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _bytes(count: float) -> str:
    return f"{count / 1e6:.3g} MB" if count >= 1e6 else f"{count / 1e3:.3g} kB"


# The figure

COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's
MARKS = "osD^vPX*"


def draw(measured: list[tuple[Kernel, float]], cells: Cells) -> Figure:
    """Hospitals' CPU and bytes against hospitals, and the kernels against their limits."""
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(11, 11), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.25], hspace=0.04)
    values = max((size for _, _, size in cells), default=0)
    above.suptitle(f"One round of {values:,} values, cost of a hospital (median)", x=0.01, ha="left")
    cpu, up = above.subplots(1, 2)
    _lines(cpu, cells, values, "cpu", "CPU time", _ms)
    _lines(up, cells, values, "up", "bytes up", _bytes)
    handles, labels = cpu.get_legend_handles_labels()
    above.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    below.suptitle(f"Kernels on one core, {VALUES:,} values; a black line is the limit", x=0.01, ha="left")
    _limits(below.subplots(), measured)
    return figure


def _lines(axes: Axes, cells: Cells, values: int, name: str, title: str, written: Callable[[float], str]) -> None:
    """A line for each strategy; lines that coincide stay visible, because later ones are thinner."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for place, strategy in enumerate(dict.fromkeys(strategy for strategy, _, _ in cells)):
        points = {n: cost for (one, n, size), cost in sorted(cells.items()) if (one, size) == (strategy, values)}
        colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]
        heights = [getattr(cost, name) for cost in points.values()]
        style = {"color": colour, "markersize": 10 - 0.6 * place}
        axes.plot(list(points), heights, f"{mark}-", linewidth=4.5 - 0.5 * place, label=strategy, **style)
        alone = [(n, height) for (n, cost), height in zip(points.items(), heights, strict=True) if cost.note]
        axes.plot(*zip(*alone, strict=True), mark, markerfacecolor="white", **style) if alone else None
    ticks = sorted({n for _, n, _ in cells})
    axes.set(xscale="log", yscale="log", xlabel="hospitals", title=title)
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if np.divide(*axes.get_ylim()[::-1]) < 1e3 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda height, _: written(height)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if any(cost.note for (_, _, size), cost in cells.items() if size == values):
        axes.text(0.01, 0.99, "hollow: one client, upload phase only", transform=axes.transAxes, va="top", fontsize=8)


def _limits(axes: Axes, measured: list[tuple[Kernel, float]]) -> None:
    shown = [(kernel, times) for kernel, times in measured if kernel.values is not None][::-1]
    labels = [f"{kernel.subject}: {kernel.operation}" for kernel, _ in shown]
    missed = [kernel.limit is not None and times > kernel.limit for kernel, times in shown]
    bars = axes.barh(labels, [times for _, times in shown], color=["#d55e00" if one else "#56b4e9" for one in missed])
    for place, (kernel, times) in enumerate(shown):
        text = f"{times:.3g}"
        if kernel.limit is not None:
            axes.plot([kernel.limit] * 2, [place - 0.45, place + 0.45], color="black", linewidth=2)
            text += f" (limit {kernel.limit:g}{', missed' if missed[place] else ''})"
            bars[place].set_hatch("//" if missed[place] else "")
        axes.text(max(times, kernel.limit or 0.0) * 1.08, place, text, va="center", fontsize=8)
    axes.set(xscale="log", xlabel="times AES-128-CTR's own time for as many 32-bit values, in the same run (log scale)")
    axes.set_xlim(min(0.5, *(times for _, times in shown)), 4 * max(times for _, times in shown))
    axes.margins(y=0.01)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def main(values: Sequence[str] | None = None) -> None:
    """Measure and publish."""
    made = parser(__doc__ or "")
    made.add_argument("--memory", type=amount, metavar="GIB", default=6.0, help="what a round may take (default 6)")
    made.add_argument("--seconds", type=amount, metavar="S", default=120.0, help="what a round may take (default 120)")
    made.add_argument("--strategies", default=",".join(catalog.names()), help="names, joined by commas")
    options = made.parse_args(values)
    if not (math.isfinite(options.memory) and options.memory > 0):
        made.error("--memory must be above 0")
    report, quick = Report("fedsec: secret sharing and masking"), options.quick
    slot, turns = (0.02, 4) if quick else (0.15, 8)
    measured, aes = kernels(report, VALUES, slot, turns)
    false_shares(report, VALUES, slot, turns)
    peers(report, VALUES, slot, turns)
    cohorts, sizes = (QUICK_COHORTS, QUICK_SIZES) if quick else (COHORTS, SIZES)
    names = options.strategies.split(",")
    cells = protocols(report, names, cohorts, sizes, options, 0.2 if quick else 2.0, aes)
    publish(report, "sharing", options, partial(draw, measured, cells))


if __name__ == "__main__":
    main()

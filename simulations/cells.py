"""One cell of a comparison: one strategy in one setting, measured in process.

What does not depend on time (bytes, exactness, memory) is found by `examine`, and CPU by `clock`, which wants the
machine for itself. Both run whole rounds of real parties.
"""

from __future__ import annotations

import functools
import gc
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedsec import catalog, codec, mean
from fedsec.coordinator import Phase as Exchanged
from fedsec.coordinator import Refusal
from fedsec.encoding import FixedPoint, prove_headroom
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.local import Fault, LocalFederation
from fedsec.metering import Row
from fedsec.protocol import PartyId, SecureSum, Sum, Vector
from fedsec.report.document import Family, Phase, Spread, Total
from fedsec.simulations import allocator
from fedsec.simulations.config import parameter_of
from fedsec.simulations.pace import pace

KINDS = 4
"""So many different updates are made; hospital i sends update i modulo this: a hundred hospitals fit in memory."""
WEIGHT = 100
NAME = "weights"
SPEC = mean.MeanSpec()


@dataclass(frozen=True, order=True)
class Setting:
    """What is measured: `strategy` is what `named` reads; key_bits is None where it has no keys.

    dropout is the part of the hospitals that fall silent when inputs are asked for.
    """

    strategy: str
    hospitals: int
    parameters: int
    bits: int = 24
    key_bits: int | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.parameters < 1:
            raise ConfigurationError(f"parameters is {self.parameters}; a model has 1 at least")
        if not 0 <= self.dropout < 1:
            raise ConfigurationError(f"dropout is {self.dropout}; it must be at least 0 and below 1")

    @property
    def silent(self) -> int:
        """How many hospitals fall silent."""
        return int(self.dropout * self.hospitals + 1e-9)

    @property
    def clients(self) -> range:
        """The cohort."""
        return range(1, self.hospitals + 1)

    def protocol(self) -> SecureSum[Any, Any]:
        """The strategy, with these parameters; raises ConfigurationError where it has no such parameter or value."""
        return _protocol(self.strategy, self.bits, self.key_bits)

    def check(self) -> None:
        """Raise ConfigurationError or HeadroomError, with the reason, where this setting cannot be run."""
        protocol = self.protocol()
        protocol.check(self.clients)
        prove_headroom(self.bits, self.hospitals, protocol.capacity(self.clients))
        FixedPoint(self.bits, SPEC.clip)
        tolerated = protocol.tolerance(self.clients)[protocol.input_phase]
        if self.silent > tolerated:
            raise ConfigurationError(
                f"{self.silent} of {self.hospitals} hospitals silent; {protocol.name} tolerates {tolerated} in phase "
                f"{protocol.input_phase.__name__}"
            )

    @property
    def possible(self) -> bool:
        """Whether this setting can be run: `check` raises nothing."""
        try:
            self.check()
        except FedsecError:
            return False
        return True

    def under(self, strategy: str, key_bits: int) -> Setting:
        """The same for another strategy, with such keys if it has any."""
        return replace(self, strategy=strategy, key_bits=key_bits if takes_keys(strategy) else None)


@functools.lru_cache(maxsize=256)
def _protocol(strategy: str, bits: int, key_bits: int | None) -> SecureSum[Any, Any]:
    keys = {} if key_bits is None else {"key_bits": key_bits}
    name, parameters = named(strategy)
    if "value_bits" in parameters:
        raise ConfigurationError(f"{strategy}: value_bits is a dimension of its own, and no parameter here: give bits")
    kind = catalog.strategy(name)
    files = [name] if name.endswith(".py") else []
    return catalog.build(kind.__module__.rpartition(".")[2], {**parameters, "value_bits": bits, **keys}, files)


def named(text: str) -> tuple[str, dict[str, Any]]:
    """A strategy and its parameters as a sweep names them: shamir, shamir:server=malicious:threshold=4, mine.py."""
    name, *rest = text.split(":")
    return name, dict(parameter_of(item) for item in rest)


@functools.lru_cache(maxsize=256)
def label(text: str) -> str:
    """That name to show: of a file the strategy's own."""
    name, colon, rest = text.partition(":")
    return catalog.strategy(name)().name + colon + rest


@functools.lru_cache(maxsize=256)
def takes_keys(text: str) -> bool:
    """Whether a strategy has keys of a chosen length, and none is named."""
    name, parameters = named(text)
    return "key_bits" not in parameters and any(item.name == "key_bits" for item in fields(catalog.strategy(name)))


@functools.lru_cache(maxsize=256)
def modules(text: str) -> tuple[ModuleType, ...]:
    """The modules that define a strategy: its own first, then those of the strategies that it builds on."""
    kinds = [kind for kind in catalog.strategy(named(text)[0]).__mro__ if issubclass(kind, SecureSum)]
    return tuple(sys.modules[kind.__module__] for kind in kinds if kind is not SecureSum)


def update(parameters: int, kind: int) -> NDArray[np.float64]:
    """The change that a hospital of this kind made to each parameter: float64[parameters], within the clip."""
    drawn: NDArray[np.float64] = np.random.default_rng(kind).normal(0.0, 0.1, parameters)
    return drawn.clip(-SPEC.clip, SPEC.clip)


@functools.lru_cache(maxsize=KINDS)
def contribution(parameters: int, bits: int, kind: int) -> tuple[Vector, bytes]:
    """That update as integers, and their encoded layout."""
    reference = {NAME: np.zeros(parameters)}
    vector, layout = mean.encode({NAME: update(parameters, kind)}, reference, {}, WEIGHT, SPEC, bits)
    return vector, codec.encode(layout)


class Federation(LocalFederation):
    """A federation whose hospitals contribute `parameters` values each; some may fall silent when they are asked to."""

    def __init__(self, setting: Setting, parameters: int | None = None) -> None:
        self.setting, self.parameters = setting, parameters or setting.parameters
        protocol = setting.protocol()
        late = range(setting.hospitals - setting.silent + 1, setting.hospitals + 1)
        faults = [Fault("drop", protocol.input_phase.__name__, party) for party in late]
        super().__init__(protocol, setting.hospitals, SPEC, faults)

    def inputs(self) -> dict[PartyId, Callable[[], tuple[Vector, bytes]]]:
        """What each hospital gives when it is asked."""
        bits = self.setting.bits
        return {
            party: functools.partial(contribution, self.parameters, bits, party % KINDS)
            for party in self.setting.clients
        }

    def resize(self, parameters: int) -> None:
        """Let the hospitals have models of another size, made now: no round is charged for it."""
        self.parameters = parameters
        contribution.cache_clear()
        self.prepare()

    def prepare(self) -> None:
        """Make what the hospitals will contribute."""
        for kind in range(min(KINDS, self.setting.hospitals)):
            contribution(self.parameters, self.setting.bits, (kind + 1) % KINDS)

    def once(self) -> Measured:
        """One round: its rows, seconds and sum."""
        first, began = len(self.ledger.rows), time.perf_counter()
        total = self.aggregate(self.inputs())
        return Measured(self.ledger.rows[first:], time.perf_counter() - began, total.sum)

    def alone(self) -> Measured:
        """The phases of a round as far as the input, and that of the last hospital that answers alone: no sum."""
        first, began = len(self.ledger.rows), time.perf_counter()
        clients, self._inputs = list(self.setting.clients), self.inputs()
        self.round += 1
        with self.meter.session():
            channel = self.coordinator.channel(clients, stage="train", round_number=self.round)
            flow = self.protocol.aggregate(clients, self.coordinator.public)
            requests = next(flow)
            while not isinstance(next(iter(requests.values())), self.protocol.input_phase):
                requests = flow.send(channel.deliver(requests))
            one = self.setting.hospitals - self.setting.silent
            channel.deliver({one: requests[one]})
            flow.close()
        return Measured(self.ledger.rows[first:], time.perf_counter() - began, None)


class Measured(NamedTuple):
    """One round, or one set-up; the machine's pace meanwhile, where it was noted."""

    rows: Sequence[Row]
    wall: float
    sum: Sum | None
    pace: float | None = None


def found(setting: Setting, parameters: int | None = None) -> tuple[Federation, Measured]:
    """A federation that is set up, and what that cost."""
    federation = Federation(setting, parameters)
    began = time.perf_counter()
    federation.enrol()
    return federation, Measured(list(federation.ledger.rows), time.perf_counter() - began, None)


# What does not depend on time


class Examined(NamedTuple):
    """Exactness and memory."""

    exact: bool | None
    error: float | None
    bound: float | None
    memory_hospital: int
    memory_server: int


class _Watched(Federation):
    """Counts what is allocated: by one hospital's step, and by the server beside the hospitals' own state."""

    def __init__(self, setting: Setting, parameters: int | None = None) -> None:
        super().__init__(setting, parameters)
        self.hospital = self.server = self.before = 0
        self.watching = False

    def watch(self, step: Callable[[], Measured]) -> Measured:
        """One round with all allocations traced but those of the inputs."""
        self.prepare()
        gc.collect()
        self.hospital = self.server = 0
        tracemalloc.start(1)
        self.watching, self.before = True, tracemalloc.get_traced_memory()[0] - self._kept()
        try:
            measured = step()
            self._note_server()
        finally:
            self.watching = False
            tracemalloc.stop()
        return measured

    def footprint(self) -> tuple[int, int]:
        """The most bytes that a round takes in this process, with all hospitals and with one."""
        self.watch(self.once)
        inputs = 2 * KINDS * 8 * self.parameters  # integers, and the numbers that they are made of
        return self.server + self._kept() + self.hospital + inputs, self.hospital + inputs

    def _kept(self) -> int:
        return sum(len(state) for state in self.states.values())

    def _note_server(self) -> None:
        self.server = max(self.server, tracemalloc.get_traced_memory()[1] - self._kept() - self.before)

    def ask(self, party: PartyId, request: bytes) -> bytes | Refusal:
        """One request, with what the step allocates noted; the state that it keeps is part of it."""
        if not self.watching:
            return super().ask(party, request)
        tracemalloc.reset_peak()
        held = tracemalloc.get_traced_memory()[0]
        answer = super().ask(party, request)
        self.hospital = max(self.hospital, tracemalloc.get_traced_memory()[1] - held + len(request))
        return answer

    def exchange(self, phase: Exchanged, requests: Mapping[PartyId, bytes]) -> Any:
        """The exchange; before and after it the server computes."""
        if self.watching:
            self._note_server()
        answers = super().exchange(phase, requests)
        if self.watching:
            tracemalloc.reset_peak()
        return answers


def family(text: str) -> Family:
    """To which family a strategy belongs."""
    kind = catalog.strategy(named(text)[0])
    return "clear" if not kind.private else "he" if kind.homomorphic else "smpc"


def examine(setting: Setting, parameters: int | None = None, whole: bool = True) -> Examined:
    """Run one round with `parameters` values and look at everything but time; one hospital's part where not `whole`."""
    federation = _Watched(setting, parameters)
    federation.enrol()
    measured = federation.watch(federation.once if whole else federation.alone)
    exact, error, bound = None, None, None
    if measured.sum is not None:
        exact, error, bound = accuracy(setting, federation.parameters, measured.sum)
    return Examined(exact, error, bound, federation.hospital, federation.server)


def accuracy(setting: Setting, parameters: int, total: Sum) -> tuple[bool, float, float]:
    """Whether the sum is exact; the largest error of a coordinate of the mean against plain arithmetic; its bound."""
    addends = [party % KINDS for party in total.included]
    times = {kind: addends.count(kind) for kind in set(addends)}
    plain = np.zeros_like(total.vector)
    for kind, count in times.items():
        plain += contribution(parameters, setting.bits, kind)[0] * np.uint64(count)
    point = FixedPoint(setting.bits, SPEC.clip)
    decoded = point.decode(np.ascontiguousarray(total.vector[:parameters]), len(addends))
    decoded *= SPEC.largest_weight / (WEIGHT * len(addends))
    exact = sum(update(parameters, kind) * count for kind, count in times.items()) / len(addends)
    bound = point.error_bound(len(addends), SPEC.largest_weight, WEIGHT * len(addends))
    return bool(np.array_equal(plain, total.vector)), float(np.abs(decoded - exact).max()), bound


# What does


LARGE = 200_000
"""Values of all hospitals together above which the first rounds pay for memory."""
WARMING, PAGE, SETTLED = 8, 1e-5, 0.05
"""Rounds at most that do not count; seconds that a page of new memory takes at most, for the system to find and clear
it; and the part of a round that its new pages may take if it is to count."""


class Clocked(NamedTuple):
    """CPU and wall seconds of the set-up and of a round, by phase and altogether; repeated so many times, at a pace."""

    setup: Total
    round: Total
    phases: tuple[Phase, ...]
    repetitions: int
    pace: float | None = None


class Paced:
    """Measures steps one after the other, with the machine's pace between them."""

    def __init__(self, step: Callable[[], Measured]) -> None:
        self.step, self.before = step, pace()

    def __call__(self) -> Measured:
        """One step: its pace is the mean of those before and after."""
        found, before = self.step(), self.before
        self.before = pace()
        return found._replace(pace=(before + self.before) / 2)


def clock(
    setting: Setting,
    repetitions: int,
    patience: float,
    parameters: int | None = None,
    whole: bool = True,
    warm: bool = True,
) -> Clocked:
    """Measure a set-up and rounds: as many as asked for, or as fit in `patience` seconds, and one at least.

    Where `warm`, a round of one parameter comes before them. With fewer `parameters` than the setting has, these and
    the fewest are measured, and scaled. Where not `whole`, one hospital sends its input and nothing is summed.
    """
    federation, setup = found(setting, 1)
    if warm:
        federation.once()  # fills caches
    if whole and parameters and parameters < setting.parameters:
        start = filled(setting, 1)
        few = summed(setting, setup, rounds(federation, start, repetitions if warm else 1, patience))
        many = summed(setting, setup, rounds(federation, parameters, repetitions, patience))
        return scaled(few, many, parameters, setting.parameters, start)
    measured = rounds(federation, parameters or setting.parameters, repetitions, patience, whole)
    return summed(setting, setup, measured, whole)


def rounds(
    federation: Federation, parameters: int, repetitions: int, patience: float, whole: bool = True
) -> list[Measured]:
    """Rounds with so many parameters, one at least, after some that warm up unless they take long.

    Long is a fifth of the patience, and with more than LARGE values, to which the system has yet to give the memory,
    twice the patience.
    """
    federation.resize(parameters)
    long = 2 * patience if federation.setting.hospitals * parameters > LARGE else patience / 5
    began = time.perf_counter()
    gc.collect()
    allocator.give_back()  # so that a cell does not depend on those before it
    step = Paced(federation.once if whole else federation.alone)
    found = warm_up(step, long)
    while len(found) < repetitions and (not found or time.perf_counter() - began + found[-1].wall < patience):
        found.append(step())
    return found


def warm_up(step: Callable[[], Measured], seconds: float) -> list[Measured]:
    """Rounds that do not count: one, and more while the system has to hand out memory for them.

    Returns the one that ends after so many `seconds`, which counts, for others would take too long; or none.
    """
    began = time.perf_counter()
    for _ in range(WARMING):
        before = allocator.pages()
        one = step()
        if time.perf_counter() - began > seconds:
            return [one]
        if (allocator.pages() - before) * PAGE <= SETTLED * one.wall:
            break
    return []


def summed(setting: Setting, setup: Measured, rounds: Sequence[Measured], whole: bool = True) -> Clocked:
    """What the rows of a set-up and of rounds come to; where not `whole`, each phase is divided by those it asked."""
    phases = (*_phases([setup]), *_phases(rounds))
    of_round = _total(rounds, setting.hospitals if whole else 0)
    paces = [one.pace for one in rounds if one.pace is not None]
    moment = statistics.median(paces) if paces else None
    return Clocked(_total([setup], setting.hospitals), of_round, phases, len(rounds), moment)


def _pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """The hospitals' and the server's row of each phase."""
    hospitals = [row for row in rows if row.role == "hospital"]
    servers = [row for row in rows if row.role == "server"]
    return list(zip(hospitals, servers, strict=True))


def _phases(measured: Sequence[Measured]) -> list[Phase]:
    """Each phase's medians over the rounds."""
    out = []
    for turn in zip(*(_pairs(one.rows) for one in measured), strict=True):
        row = turn[0][0]
        out.append(
            Phase(
                stage="setup" if row.stage == "setup" else "train", name=row.phase, asked=row.parties,
                replies=row.replies, messages=row.messages,
                hospital_cpu=statistics.median(one.cpu_seconds / max(one.replies, 1) for one, _ in turn),
                hospital_cpu_most=statistics.median(one.cpu_seconds_max for one, _ in turn),
                server_cpu=statistics.median(other.cpu_seconds for _, other in turn),
                up=row.bytes_up / max(row.replies, 1), up_most=row.bytes_up_max,
                down=row.bytes_down / max(row.parties, 1), down_most=row.bytes_down_max,
            )
        )  # fmt: skip
    return out


def _total(measured: Sequence[Measured], hospitals: int) -> Total:
    """The sum over phases, as spread over the rounds, for each of so many hospitals (0: of those that were asked)."""
    pairs = [_pairs(one.rows) for one in measured]

    def each(row: Row, figure: float) -> float:
        return figure / (hospitals or row.parties)

    def spread(figure: Callable[[Row, Row], float]) -> Spread:
        return spread_of([sum(figure(*pair) for pair in one) for one in pairs])

    rows = [row for row, _ in pairs[0]]
    return Total(
        hospital_cpu=spread(lambda row, _: each(row, row.cpu_seconds)),
        hospital_cpu_most=spread(lambda row, _: row.cpu_seconds_max),
        server_cpu=spread(lambda _, server: server.cpu_seconds),
        wall=spread_of([one.wall for one in measured]),
        up=sum(each(row, row.bytes_up) for row in rows),
        up_most=sum(row.bytes_up_max for row in rows),
        down=sum(each(row, row.bytes_down) for row in rows),
        down_most=sum(row.bytes_down_max for row in rows),
        phases=len(rows), messages=sum(row.messages for row in rows),
    )  # fmt: skip


def spread_of(values: Sequence[float]) -> Spread:
    """Median, least and most."""
    return Spread(median=statistics.median(values), low=min(values), high=max(values))


# Before: whether a cell fits


class Need(NamedTuple):
    """What a round is expected to take: bytes of memory with all hospitals, seconds, and bytes with one hospital.

    slow says whether one value of one hospital takes more than SLOW seconds.
    """

    memory: float
    seconds: float
    alone: float
    slow: bool = False


PROBE, LARGEST_PROBE, LONG = 200, 20_000, 0.1
"""Parameters of the round from which others are foreseen: up to ten times as many, until it takes LONG s and half of
what one parameter took more, or there are so many (ten times so many where one parameter takes LONG s)."""
LARGEST_FOOTPRINT = 1 << 30
"""Bytes that no round may take from which others are foreseen."""
SLOW = 0.01
"""Seconds for one value of one hospital, above which PROBE values of all hospitals together are what is measured."""


def few(setting: Setting) -> int:
    """Parameters with which all hospitals together send PROBE values, or one each and what comes along."""
    along = contribution(1, setting.bits, 0)[0].size - 1
    return max(2, -(-PROBE // setting.hospitals) - along)


def filled(setting: Setting, parameters: int) -> int:
    """So many parameters, and as many more as are packed into the same columns.

    What is packed grows in steps; in proportion it grows between sizes that fill their columns.
    """
    protocol, more = setting.protocol(), contribution(1, setting.bits, 0)[0].size
    here = protocol.columns(setting.clients, parameters - 1 + more)
    for size in range(parameters, parameters + LARGEST_PROBE):
        if protocol.columns(setting.clients, size + more) > here:
            return size
    return parameters


class Probe(NamedTuple):
    """What rounds of `start` parameters and of `size` took: seconds, bytes with all hospitals, and bytes with one."""

    size: int
    small: tuple[float, float, float]
    large: tuple[float, float, float]
    start: int

    def need(self, parameters: int, hospitals: int) -> Need:
        """What so many would take: all three grow in proportion."""
        scale = max(parameters - self.start, 0) / (self.size - self.start)
        seconds, memory, alone = (
            low + max(high - low, 0.0) * scale for low, high in zip(self.small, self.large, strict=True)
        )
        each = (self.large[0] - self.small[0]) / (self.size - self.start) / hospitals
        return Need(memory, seconds, alone, each > SLOW)


def probe(setting: Setting) -> Probe:
    """Rounds from which this setting, with any number of parameters, is foreseen."""
    start = filled(setting, 1)
    federation = _Watched(setting, start)
    federation.enrol()
    values = contribution(start, setting.bits, 0)[0].size
    began, whole = time.process_time(), federation.once()  # it also compiles, and fills caches
    if _of_input(setting, whole) > SLOW * values:
        spent, memory = min(whole.wall, time.process_time() - began), federation.footprint()
        return Probe(start + 1, (spent, *memory), (spent * (values + 1) / values, *memory), start)
    first = (_seconds(federation), *federation.footprint())
    size = filled(setting, max(PROBE, start + 1))
    federation.resize(size)
    last = (_seconds(federation), *federation.footprint())
    slopes = [max(high - low, 0.0) / (size - start) for low, high in zip(first[1:], last[1:], strict=True)]
    most = min(LARGEST_PROBE * (10 if first[0] > LONG else 1), int(LARGEST_FOOTPRINT / max(slopes[0], 1.0)))
    step = 10 if first[0] < 10 * LONG else 30
    enough = max(LONG, first[0] / 2)
    while (grew := last[0] - first[0]) < enough and size < most:
        size = filled(setting, min(int(size * min(step, max(2.0, 2 * enough / max(grew, 1e-6)))), most))
        federation.resize(size)
        if first[0] < LONG:
            federation.once()
            last = (_seconds(federation), *federation.footprint())
        else:
            grown = [low + round(slope * (size - start)) for low, slope in zip(first[1:], slopes, strict=True)]
            last = (_seconds(federation), grown[0], grown[1])
    return Probe(size, first, last, start)


def _of_input(setting: Setting, measured: Measured) -> float:
    """CPU seconds of one hospital's input, without the one that took most: it may have compiled."""
    name = setting.protocol().input_phase.__name__
    row = next(row for row in measured.rows if row.role == "hospital" and row.phase == name)
    return (row.cpu_seconds - row.cpu_seconds_max) / max(row.replies - 1, 1)


def _seconds(federation: _Watched) -> float:
    """What a round takes: its wall seconds, or its CPU where others were busy beside it."""
    began = time.process_time()
    return min(federation.once().wall, time.process_time() - began)


def scaled(small: Clocked, large: Clocked, measured: int, parameters: int, start: int = 1) -> Clocked:
    """What `parameters` would cost, from measurements of `start` and of `measured`: in proportion to the difference."""
    scale = (parameters - start) / (measured - start)

    def line(low: float, high: float) -> float:
        return low + max(high - low, 0.0) * scale

    def between(low: Any, high: Any) -> Any:
        """Each figure of a Total or a Phase; what counts or names something stays."""
        figures: dict[str, Any] = {}
        for name, value in high:
            before = getattr(low, name)
            if isinstance(value, Spread):
                figures[name] = Spread(**{key: line(getattr(before, key), getattr(value, key)) for key in FIGURES})
            elif isinstance(value, float):
                figures[name] = line(before, value)
        return high.model_copy(update=figures)

    phases = tuple(between(low, high) for low, high in zip(small.phases, large.phases, strict=True))
    setup, whole = between(small.setup, large.setup), between(small.round, large.round)
    return Clocked(setup, whole, phases, large.repetitions, large.pace)


FIGURES = ("median", "low", "high")

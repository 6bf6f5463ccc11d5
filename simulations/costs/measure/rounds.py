"""What a cell costs: CPU and wall seconds of rounds, which want the machine for themselves."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from fedsec.metering import Row
from fedsec.protocol import PartyId
from fedsec.report.document import Phase, Spread, Total
from fedsec.simulations.costs.federation import Federation, Measured, found
from fedsec.simulations.costs.measure import allocator
from fedsec.simulations.costs.measure.machine_speed import pace
from fedsec.simulations.costs.measure.probe import filled
from fedsec.simulations.costs.setting import Setting

Middle = Callable[[Sequence[float]], float]
"""What stands for the seconds of several rounds."""
LARGE = 200_000
"""Values of all hospitals together above which the first rounds pay for memory."""
BRIEF, OFTEN = 0.25, 10
"""Seconds that rounds go on for, and by how many times their number they may exceed what is asked for: what disturbs a
shared processor for a tenth of a second is not the median of them."""
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
    """Measures steps one after the other, and the machine's pace before, between and after them."""

    def __init__(self, step: Callable[[], Measured]) -> None:
        self.step, self.paces = step, [pace(), pace()]

    def __call__(self) -> Measured:
        """One step."""
        found = self.step()
        self.paces.append(pace())
        return found

    def at(self, steps: Sequence[Measured]) -> list[Measured]:
        """Those steps with the pace of them all, the median: something else may come between at one of its samples."""
        self.paces.append(pace())
        moment = statistics.median(self.paces)
        return [one._replace(pace=moment) for one in steps]


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
    twice the patience. Where a median is wanted, of three rounds or more, they go on for BRIEF seconds.
    """
    federation.resize(parameters)
    long = 2 * patience if federation.setting.hospitals * parameters > LARGE else patience / 5
    began = time.perf_counter()
    gc.collect()
    allocator.give_back()  # so that a cell does not depend on those before it
    step = Paced(federation.once if whole else federation.alone)
    found = warm_up(step, long)
    brief = min(BRIEF, patience) if repetitions >= 3 else 0.0
    while not found or (
        (took := time.perf_counter() - began + found[-1].wall) < patience
        and (len(found) < repetitions or (took < brief and len(found) < OFTEN * repetitions))
    ):
        found.append(step())
    return step.at(found)


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
        if not pays(before, one):
            break
    return []


def pays(before: int, one: Measured) -> bool:
    """Whether a round pays for memory that is new to this process, which had so many pages `before` it."""
    return (allocator.pages() - before) * PAGE > SETTLED * one.wall


def summed(setting: Setting, setup: Measured, rounds: Sequence[Measured], whole: bool = True) -> Clocked:
    """What the rows of a set-up and of rounds come to; where not `whole`, each phase is divided by those it asked."""
    phases = (*_phases([setup]), *_phases(rounds))
    of_round = _total(rounds, setting.hospitals if whole else 0)
    paces = [one.pace for one in rounds if one.pace is not None]
    moment = statistics.median(paces) if paces else None
    return Clocked(_total([setup], setting.hospitals), of_round, phases, len(rounds), moment)


def by_phase(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """The hospitals' and the server's row of each phase."""
    hospitals = [row for row in rows if row.role == "hospital"]
    servers = [row for row in rows if row.role == "server"]
    return list(zip(hospitals, servers, strict=True))


class Cpu(NamedTuple):
    """CPU seconds in one phase: of all hospitals, of the one that has most to do, and of the server."""

    hospitals: float
    most: float
    server: float


def cpu(turn: Sequence[tuple[Row, Row]], middle: Middle, paces: Sequence[float] = ()) -> Cpu:
    """Of a phase, as it was in some rounds: the middle of each hospital's seconds, and of the server's.

    Which hospital has most to do shows in what each of them takes round after round. The slowest of one round is, with
    many hospitals, the one that something else on the machine disturbed.

    paces: by which each round's are multiplied.
    """
    each: dict[PartyId, list[float]] = {}
    server = []
    for (row, other), times in zip(turn, paces or [1.0] * len(turn), strict=True):
        server.append(other.cpu_seconds * times)
        for party, seconds in row.cpu_each:
            each.setdefault(party, []).append(seconds * times)
    hospitals = [middle(one) for one in each.values()]
    return Cpu(sum(hospitals), max(hospitals, default=0.0), middle(server))


def phase_by_phase(measured: Sequence[Measured]) -> Iterator[Sequence[tuple[Row, Row]]]:
    """The rows of each phase: the hospitals' and the server's of each round."""
    return zip(*(by_phase(one.rows) for one in measured), strict=True)


def _phases(measured: Sequence[Measured]) -> list[Phase]:
    """Each phase's medians over the rounds."""
    out = []
    for turn in phase_by_phase(measured):
        row, spent = turn[0][0], cpu(turn, statistics.median_low)
        out.append(
            Phase(
                stage="setup" if row.stage == "setup" else "train",
                name=row.phase,
                asked=row.parties,
                replies=row.replies,
                messages=row.messages,
                hospital_cpu=spent.hospitals / max(row.replies, 1),
                hospital_cpu_most=spent.most,
                server_cpu=spent.server,
                up=row.bytes_up / max(row.replies, 1),
                up_most=row.bytes_up_max,
                down=row.bytes_down / max(row.parties, 1),
                down_most=row.bytes_down_max,
            )
        )
    return out


def _total(measured: Sequence[Measured], hospitals: int) -> Total:
    """The sum over phases, for each of so many hospitals (0: of those that were asked)."""
    turns = list(phase_by_phase(measured))
    rows = [turn[0][0] for turn in turns]

    def each(row: Row, figure: float) -> float:
        return figure / (hospitals or row.parties)

    middles: dict[str, Middle] = {"median": statistics.median_low, "low": min, "high": max}
    spent = {name: [cpu(turn, middle) for turn in turns] for name, middle in middles.items()}

    def spread(figure: Callable[[Row, Cpu], float]) -> Spread:
        return Spread(**{name: sum(map(figure, rows, phases)) for name, phases in spent.items()})

    return Total(
        hospital_cpu=spread(lambda row, one: each(row, one.hospitals)),
        hospital_cpu_most=spread(lambda _, one: one.most),
        server_cpu=spread(lambda _, one: one.server),
        wall=spread_of([one.wall for one in measured]),
        up=sum(each(row, row.bytes_up) for row in rows),
        up_most=sum(row.bytes_up_max for row in rows),
        down=sum(each(row, row.bytes_down) for row in rows),
        down_most=sum(row.bytes_down_max for row in rows),
        phases=len(rows),
        messages=sum(row.messages for row in rows),
    )


def spread_of(values: Sequence[float]) -> Spread:
    """Median, least and most."""
    return Spread(median=statistics.median(values), low=min(values), high=max(values))


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

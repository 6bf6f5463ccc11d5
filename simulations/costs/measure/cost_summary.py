"""What measured rounds cost: medians over the rounds, by phase and altogether."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fedsec.metering import Row
from fedsec.protocol import PartyId
from fedsec.report.document import Phase, Spread, Total
from fedsec.simulations.costs.federation import MeasuredRound
from fedsec.simulations.costs.setting import Setting

Statistic = Callable[[Sequence[float]], float]
"""What stands for the seconds of several rounds."""
FIGURES = ("median", "low", "high")


class MeasuredCosts(NamedTuple):
    """CPU and wall seconds and bytes of the set-up and of a round, by phase and altogether, over so many repetitions.

    reference_seconds: the machine's speed meanwhile (see `machine_speed`), where it was measured.
    """

    setup: Total
    round: Total
    phases: tuple[Phase, ...]
    repetitions: int
    reference_seconds: float | None = None

    def dump(self) -> dict[str, Any]:
        """As it is kept in the folder of a sweep."""
        return {
            "setup": self.setup.model_dump(),
            "round": self.round.model_dump(),
            "phases": [phase.model_dump() for phase in self.phases],
            "repetitions": self.repetitions,
            "reference_seconds": self.reference_seconds,
        }


def load_costs(kept: Mapping[str, Any]) -> MeasuredCosts:
    """What `MeasuredCosts.dump` gave."""
    return MeasuredCosts(
        Total.model_validate(kept["setup"]),
        Total.model_validate(kept["round"]),
        tuple(Phase.model_validate(phase) for phase in kept["phases"]),
        kept["repetitions"],
        kept.get("reference_seconds", kept.get("pace")),
    )


def summarize(
    setting: Setting, setup: MeasuredRound, rounds: Sequence[MeasuredRound], all_hospitals: bool = True
) -> MeasuredCosts:
    """The costs of a set-up and of rounds; where one hospital alone sent its input, per hospital that was asked."""
    phases = (*_phases([setup]), *_phases(rounds))
    of_round = _total(rounds, setting.hospitals if all_hospitals else 0)
    speeds = [measured.reference_seconds for measured in rounds if measured.reference_seconds is not None]
    speed = statistics.median(speeds) if speeds else None
    return MeasuredCosts(_total([setup], setting.hospitals), of_round, phases, len(rounds), speed)


def extrapolate(
    small: MeasuredCosts, large: MeasuredCosts, measured: int, parameters: int, start: int = 1
) -> MeasuredCosts:
    """What `parameters` would cost, from `start` and `measured` parameters: in proportion to the difference."""
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
    setup, of_round = between(small.setup, large.setup), between(small.round, large.round)
    return MeasuredCosts(setup, of_round, phases, large.repetitions, large.reference_seconds)


def rows_by_phase(rounds: Sequence[MeasuredRound]) -> Iterator[Sequence[tuple[Row, Row]]]:
    """The rows of each phase: the hospitals' and the server's of each round."""
    return zip(*(_paired(measured.rows) for measured in rounds), strict=True)


def _paired(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """The hospitals' and the server's row of each phase."""
    hospitals = [row for row in rows if row.role == "hospital"]
    servers = [row for row in rows if row.role == "server"]
    return list(zip(hospitals, servers, strict=True))


class PhaseCpu(NamedTuple):
    """CPU seconds in one phase: of all hospitals, of the one that has most to do, and of the server."""

    hospitals: float
    most: float
    server: float


def phase_cpu(rows: Sequence[tuple[Row, Row]], statistic: Statistic, scales: Sequence[float] = ()) -> PhaseCpu:
    """Of a phase, as it was in some rounds: the statistic of each hospital's seconds, and of the server's.

    Which hospital has most to do shows in what each of them takes round after round. The slowest of one round is, with
    many hospitals, the one that something else on the machine disturbed.

    scales: by which each round's seconds are multiplied.
    """
    each: dict[PartyId, list[float]] = {}
    server = []
    for (row, other), scale in zip(rows, scales or [1.0] * len(rows), strict=True):
        server.append(other.cpu_seconds * scale)
        for party, seconds in row.cpu_each:
            each.setdefault(party, []).append(seconds * scale)
    hospitals = [statistic(seconds) for seconds in each.values()]
    return PhaseCpu(sum(hospitals), max(hospitals, default=0.0), statistic(server))


def _phases(rounds: Sequence[MeasuredRound]) -> list[Phase]:
    """Each phase's medians over the rounds."""
    phases = []
    for rows in rows_by_phase(rounds):
        row, cpu = rows[0][0], phase_cpu(rows, statistics.median_low)
        phases.append(
            Phase(
                stage="setup" if row.stage == "setup" else "train",
                name=row.phase,
                asked=row.parties,
                replies=row.replies,
                messages=row.messages,
                hospital_cpu=cpu.hospitals / max(row.replies, 1),
                hospital_cpu_most=cpu.most,
                server_cpu=cpu.server,
                up=row.bytes_up / max(row.replies, 1),
                up_most=row.bytes_up_max,
                down=row.bytes_down / max(row.parties, 1),
                down_most=row.bytes_down_max,
            )
        )
    return phases


def _total(rounds: Sequence[MeasuredRound], hospitals: int) -> Total:
    """The sum over phases, for each of so many hospitals (0: of those that were asked)."""
    phases = list(rows_by_phase(rounds))
    rows = [of_phase[0][0] for of_phase in phases]

    def each(row: Row, figure: float) -> float:
        return figure / (hospitals or row.parties)

    statistic: dict[str, Statistic] = {"median": statistics.median_low, "low": min, "high": max}
    cpu = {name: [phase_cpu(of_phase, statistic[name]) for of_phase in phases] for name in FIGURES}

    def spread(figure: Callable[[Row, PhaseCpu], float]) -> Spread:
        return Spread(**{name: sum(map(figure, rows, of_phases)) for name, of_phases in cpu.items()})

    walls = [measured.wall for measured in rounds]
    return Total(
        hospital_cpu=spread(lambda row, cpu: each(row, cpu.hospitals)),
        hospital_cpu_most=spread(lambda _, cpu: cpu.most),
        server_cpu=spread(lambda _, cpu: cpu.server),
        wall=Spread(median=statistics.median(walls), low=min(walls), high=max(walls)),
        up=sum(each(row, row.bytes_up) for row in rows),
        up_most=sum(row.bytes_up_max for row in rows),
        down=sum(each(row, row.bytes_down) for row in rows),
        down_most=sum(row.bytes_down_max for row in rows),
        phases=len(rows),
        messages=sum(row.messages for row in rows),
    )

"""Measuring this machine in under a minute, for the cost model."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fedsec.errors import ConfigurationError
from fedsec.simulations import allocator, cells, clocks, probes, tasks
from fedsec.simulations.cells import Setting
from fedsec.simulations.costs import Fit, Model, Sample, Step, fit, key, scalars

CHECKS = ((5, 3_000), (5, 300_000), (9, 30_000))
"""Cells that are measured, and not fitted: the model is held against them."""
ORDER = (
    (3, 1_000), (3, 10_000), (14, 10_000), CHECKS[0], (4, 80_000), (14, 50_000), (3, 1_000_000), (7, 1_000),
    (7, 1_000_000), *CHECKS[1:], (24, 1_000),
)  # fmt: skip
"""The corners first: whatever time is left out leaves the model between cells that were measured. The first check is
measured wherever it takes no longer than ONE_CHECK: each strategy is held against one at least."""
SLOW_CHECKS = ((6, 3),)
SLOW_ORDER = ((3, 10), (6, 1), SLOW_CHECKS[0])
"""In place of ORDER, after a first cell of SLOW_FIRST, where a single value takes long (see `probes.SLOW`)."""
SLOW_FIRST = (3, 1)
SECONDS, FIRST, LARGEST = 45.0, 0.75, 0.4
"""CPU seconds of a calibration; the part of them, shared out among the strategies, in which each cell is measured for
the first time; and the part of its share that a strategy's cell may take."""
HE_TAKES = 3.0
"""So many times the share of the others has homomorphic encryption."""
PATIENCE, WARM, AGAIN, ONE_CHECK = 0.06, 0.25, 0.4, 1.5
"""Each time, rounds of a cell go on for half so many seconds, and one is measured at least; with more than
`clocks.LARGE` values, and more than the strategy had before, some that are not counted come first, for WARM seconds. A
cell that took longer than AGAIN is measured once."""


def calibrate(
    strategies: Sequence[str], bits: int, key_bits: int, follow: Callable[[str, float, float], None],
    seconds: float = SECONDS, hospitals: int = ORDER[0][0], at: float | None = None,
) -> Model:  # fmt: skip
    """Measure each strategy in a few small cells, within `seconds` of CPU altogether, and fit the model.

    All cells of all strategies are measured in turn, and again while time is left: a processor that others share
    changes its speed from one second to the next, and a cell's median comes from moments that lie far apart. What was
    measured is brought to one pace of the machine: `at`, or the median of those moments.

    hospitals: of the cells of a strategy whose parameters allow none of ours.
    """
    tasks.settle()
    allocator.keep_freed()
    others, began = _Others(), time.process_time()  # what others do on the machine must not take from this time

    def left() -> float:
        return seconds - (time.process_time() - began)

    ordered = sorted(strategies, key=lambda name: (cells.family(name) == "he", cells.takes_keys(name)))
    measured: list[_Clocks] = []
    for place, name in enumerate(ordered):
        follow(cells.label(name), seconds - left(), seconds)
        weights = [HE_TAKES if cells.family(one) == "he" else 1.0 for one in ordered[place:]]
        share = (left() - (1 - FIRST) * seconds) * weights[0] / sum(weights)
        measured.append(_Clocks(Setting(name, 3, 1, bits).under(name, key_bits), hospitals))
        measured[-1].begin(share)
    measuring = True
    while measuring:
        measuring = False
        for one in reversed(measured):  # those with the fewest rounds so far first
            follow(cells.label(one.setting.strategy), seconds - left(), seconds)
            measuring |= one.again(left)
    follow("done", seconds, seconds)
    at = at or statistics.median(moment for one in measured for moment in one.paces())
    return Model({key(one.setting): one.fit(at) for one in measured}, at, others.processors())


class _Others:
    """How many processors other programs, and other machines on the same hardware, keep busy meanwhile."""

    def __init__(self) -> None:
        self.began, self.before, self.own = time.monotonic(), self._busy(), time.process_time()

    def processors(self) -> float:
        """On average since this was made; 0 where the system does not tell."""
        busy = self._busy() - self.before - (time.process_time() - self.own)
        return max(busy, 0.0) / max(time.monotonic() - self.began, 1e-6)

    @staticmethod
    def _busy() -> float:
        """Seconds that all processors have not been idle, or were not given, since the system started."""
        try:
            spent = [int(text) for text in Path("/proc/stat").read_text(encoding="ascii").split()[1:9]]
            return (sum(spent) - spent[3] - spent[4]) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return 0.0


class _Clocks:
    """Measures cells of one strategy; those with as many hospitals share the set-up, and the keys."""

    def __init__(self, setting: Setting, own: int) -> None:
        """own: hospitals of all cells where none of ORDER's can be run."""
        self.setting, self.slow = setting, False
        possible = {hospitals for hospitals in {own, *dict(ORDER)} if replace(setting, hospitals=hospitals).possible}
        self.order = [cell for cell in ORDER if cell[0] in possible]
        if not self.order and own in possible:
            self.order = [(own, parameters) for parameters in dict.fromkeys(many for _, many in ORDER[:6])]
        self.found: dict[int, cells.Federation] = {}
        self.measured: dict[tuple[int, int], list[cells.Measured]] = {}
        self.took: dict[tuple[int, int], float] = {}
        self.most = clocks.LARGE
        self.latest: int | None = None

    def begin(self, seconds: float) -> None:
        """Each cell for the first time, ORDER's first: a round is expected to take in proportion to its numbers."""
        began = time.process_time()
        if cells.takes_keys(self.setting.strategy) and self.order:
            wall = self._measure(*SLOW_FIRST)
            self.slow = wall > probes.SLOW * SLOW_FIRST[0] * (SLOW_FIRST[1] + scalars(self.setting.bits))
            if self.slow:
                for cell in SLOW_ORDER:
                    self._measure(*cell)
                return
            self.measured.clear()
        walls: dict[int, float] = {}
        for hospitals, parameters in self.order:
            values, limit = hospitals * parameters, min(seconds - (time.process_time() - began), seconds * LARGEST)
            if (hospitals, parameters) == CHECKS[0]:
                limit = max(limit, ONE_CHECK)
            if PATIENCE + 2 * _expected(walls, values) < limit or not walls:
                walls[values] = self._measure(hospitals, parameters)
        if not self.measured:
            raise ConfigurationError(f"{self.setting.strategy}: none of the cells of the calibration can be run")

    def again(self, left: Callable[[], float]) -> bool:
        """Those that were measured once more, while seconds are left; whether any was."""
        due = [] if self.slow else sorted(self.measured)
        return any([self._measure(*cell) > 0 for cell in due if self.took[cell] < min(left(), AGAIN)])

    def _measure(self, hospitals: int, parameters: int) -> float:
        """Measure rounds, and return the seconds of one.

        One that is not counted comes before them where the cohort changes: caches keep the keys of few.
        """
        began = time.process_time()
        new = hospitals not in self.found
        if new:
            self.found[hospitals], _ = cells.found(replace(self.setting, hospitals=hospitals), 1)
        federation = self.found[hospitals]
        if hospitals != self.latest and not self.slow:
            self.latest = hospitals
            federation.resize(1)
            federation.once()
        if new:
            tasks.settle()
        federation.resize(parameters)
        gc.collect()
        if hospitals * parameters > self.most:
            self.most = hospitals * parameters
            clocks.warm_up(federation.once, WARM)
        step = clocks.Paced(federation.once)
        rounds, started = [step()], time.perf_counter()
        while not self.slow and time.perf_counter() - started + rounds[0].wall < PATIENCE / 2:
            rounds.append(step())
        self.measured.setdefault((hospitals, parameters), []).extend(one._replace(sum=None) for one in rounds)
        self.took[hospitals, parameters] = time.process_time() - began
        return min(one.wall for one in rounds)

    def paces(self) -> list[float]:
        """The machine's, beside each round."""
        return [one.pace for rounds in self.measured.values() for one in rounds if one.pace is not None]

    def fit(self, at: float) -> Fit:
        """The model of this strategy at that pace: all cells are fitted, but those that it is held against."""
        samples: list[Sample] = []
        checks: list[Sample] = []
        for cell, rounds in self.measured.items():
            (checks if cell in (*CHECKS, *SLOW_CHECKS) else samples).append(Sample(*cell, _steps(rounds, at)))
        return fit(samples, checks, self.setting)


def _steps(rounds: Sequence[cells.Measured], at: float) -> tuple[Step, ...]:
    """The medians of each phase, at that pace."""
    paces = [at / (one.pace or at) for one in rounds]
    return tuple(
        Step(
            turn[0][0].phase,
            statistics.median(row.cpu_seconds_max * pace for (row, _), pace in zip(turn, paces, strict=True)),
            statistics.median(server.cpu_seconds * pace for (_, server), pace in zip(turn, paces, strict=True)),
        )
        for turn in zip(*(clocks.by_phase(one.rows) for one in rounds), strict=True)
    )


def _expected(walls: Mapping[int, float], values: int) -> float:
    """Seconds of a round with so many values of all hospitals, from those with other numbers of them.

    They begin where the smallest ended and grow by the lowest slope seen, which is at least a quarter of the lowest
    cost of a value: what a round costs without values is not foreseen in proportion to them.
    """
    if not walls:
        return 0.0
    fewest = min(walls)
    lowest = min(wall / many for many, wall in walls.items())
    slopes = [(wall - walls[fewest]) / (many - fewest) for many, wall in walls.items() if many != fewest]
    return walls[fewest] + max(min(slopes, default=lowest), lowest / 4) * max(values - fewest, 0)

"""Measuring this machine in under a minute, for the cost model."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fedsec.errors import ConfigurationError
from fedsec.simulations.costs.federation import Federation, Measured
from fedsec.simulations.costs.federation import found as set_up
from fedsec.simulations.costs.measure import allocator, probe
from fedsec.simulations.costs.measure import rounds as clocks
from fedsec.simulations.costs.predict.cost_model import Fit, Model, Sample, Step, fit, key, scalars, shape
from fedsec.simulations.costs.setting import Setting, family, label, takes_keys
from fedsec.simulations.costs.sweep import ray_jobs

CHECKS = ((5, 3_000), (5, 300_000), (9, 30_000))
"""Cells that are measured, and not fitted: the model is held against them."""
LARGEST = (7, 1_000_000)
ORDER = (
    (3, 1_000),
    (3, 10_000),
    CHECKS[0],
    (14, 1_000),
    (3, 1_000_000),
    (14, 30_000),
    LARGEST,
    (4, 80_000),
    (7, 1_000),
    *CHECKS[1:],
    (24, 1_000),
)
"""The corners first: whatever time is left out leaves the model between cells that were measured. The first check is
measured wherever it takes no longer than ONE_CHECK: each strategy is held against one at least."""
NEEDED = ORDER[:5]
"""Cells without which a model says little: they are measured wherever a round takes no longer than LONG."""
CROWDED = (4, 5)
"""Cohorts for which as many parameters are measured, too, if a hospital has more columns to deal with in one of them:
that is so where packing pays only from some cohort on."""
KEYED_ORDER = (*ORDER[:4], (14, 10_000))
"""In place of ORDER where there are keys, which each cohort makes anew."""
SLOW_CHECKS = ((4, 3),)
SLOW_ORDER = ((3, 5), (4, 1), SLOW_CHECKS[0])
"""In place of both, after a first cell of SLOW_FIRST, where a single value takes long (see `probes.SLOW`)."""
SLOW_FIRST = (3, 1)
SECONDS, LEAST, FIRST, MOST = 47.0, 0.5, 0.88, 0.5
"""CPU seconds of a calibration; the part of them that its cells have at least, where kernels have to be compiled first;
the part of these, shared out among the strategies, in which each cell is measured for the first time; and the part of
its share that a strategy's cell may take."""
HE_TAKES = 2.0
"""So many times the share of the others has homomorphic encryption."""
PATIENCE, LONG, WARM, ONE_CHECK = 0.04, 0.6, 1.0, 1.5
"""Each time, rounds of a cell go on for so many seconds; two are measured at least, or one that takes LONG. Those that
pay for new memory do not count, unless they take longer than WARM seconds. The first check may take ONE_CHECK seconds
of any share."""
AGAIN, ENOUGH = 0.6, 9
"""A cell that took longer than AGAIN seconds, or has ENOUGH rounds, is not measured again."""


def calibrate(
    strategies: Sequence[str],
    bits: int,
    key_bits: int,
    follow: Callable[[str, float, float], None],
    seconds: float = SECONDS,
    hospitals: int = ORDER[0][0],
    at: float | None = None,
) -> Model:
    """Measure each strategy in a few small cells, within `seconds` of CPU altogether, and fit the model.

    All cells of all strategies are measured in turn, and again while time is left: a processor that others share
    changes its speed from one second to the next, and a cell's median comes from moments that lie far apart. What was
    measured is brought to one pace of the machine: `at`, or the median of those moments.

    hospitals: of the cells of a strategy whose parameters allow none of ours.
    """
    ray_jobs.settle()
    allocator.keep_freed()
    others, began = _Others(), time.process_time()  # what others do on the machine must not take from this time

    def left() -> float:
        return seconds - (time.process_time() - began)

    ordered = sorted(strategies, key=lambda name: (family(name) == "he", takes_keys(name)))
    measured = [_Clocks(Setting(name, 3, 1, bits).under(name, key_bits), hospitals) for name in ordered]
    for one in measured:
        follow(f"getting ready: {label(one.setting.strategy)}", seconds - left(), seconds)
        one.prepare()
    seconds = max(seconds, seconds - left() + LEAST * seconds)
    rest = (1 - FIRST) * left()
    for place, one in enumerate(measured):
        follow(label(one.setting.strategy), seconds - left(), seconds)
        weights = [HE_TAKES if family(other) == "he" else 1.0 for other in ordered[place:]]
        one.begin((left() - rest) * weights[0] / sum(weights))

    def again(checks: bool) -> bool:
        measuring = False
        for one in reversed(measured):  # those with the fewest rounds so far first
            follow(label(one.setting.strategy), seconds - left(), seconds)
            measuring |= one.again(left, checks)
        return measuring

    again(True)  # nothing else tells that one of them was disturbed
    while again(False):
        pass
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
        self.keyed = takes_keys(setting.strategy) and replace(setting, hospitals=SLOW_FIRST[0]).possible
        order = KEYED_ORDER if self.keyed else self._crowded()
        possible = {hospitals for hospitals in {own, *dict(order)} if replace(setting, hospitals=hospitals).possible}
        self.order = [cell for cell in order if cell[0] in possible]
        if not self.order and own in possible:
            self.order = [(own, parameters) for parameters in dict.fromkeys(many for _, many in ORDER[:6])]
        self.found: dict[int, Federation] = {}
        self.measured: dict[tuple[int, int], list[Measured]] = {}
        self.walls: dict[tuple[int, int], float] = {}
        self.latest: int | None = None

    def _crowded(self) -> tuple[tuple[int, int], ...]:
        """ORDER, with another cell after the LARGEST where most columns meet most hospitals in a cohort of CROWDED."""

        def columns(cohort: int) -> int:
            here = replace(self.setting, hospitals=cohort, parameters=LARGEST[1])
            if not here.possible:
                return 0
            _, peers, _, many = shape(here)
            return peers * many

        most, after = max((LARGEST[0], *CROWDED), key=columns), ORDER.index(LARGEST) + 1
        more = [] if most == LARGEST[0] else [(most, LARGEST[1])]
        return (*ORDER[:after], *more, *ORDER[after:])

    def prepare(self) -> None:
        """Set up the first cohort and run a round of it: that compiles what has to be compiled."""
        if not self.order:
            raise ConfigurationError(f"{self.setting.strategy}: none of the cells of the calibration can be run")
        self._federation(self.order[0][0]).once()

    def begin(self, seconds: float) -> None:
        """Each cell for the first time, ORDER's first, as far as they are expected to fit into so many seconds."""
        began = time.process_time()
        if self.keyed:
            self._measure(*SLOW_FIRST)
            value = self.walls[SLOW_FIRST] / SLOW_FIRST[0] / (SLOW_FIRST[1] + scalars(self.setting.bits))
            self.slow = value > probe.SLOW
            if self.slow:
                for cell in SLOW_ORDER:
                    self._measure(*cell)
                return
        for cell in self.order:
            limit = min(seconds - (time.process_time() - began), seconds * MOST)
            if cell == CHECKS[0]:
                limit = max(limit, ONE_CHECK)
            if cell in NEEDED:
                limit = max(limit, 2 * LONG)
            if cell in self.order[:2] or PATIENCE + 2 * self._expected(*cell) < limit:
                self._measure(*cell)

    def again(self, left: Callable[[], float], checks: bool) -> bool:
        """Those that were measured once more, or the checks among them, while seconds are left; whether any was."""
        due = [] if self.slow else [cell for cell in sorted(self.measured) if cell in CHECKS or not checks]
        measuring = False
        for cell in due:
            if len(self.measured[cell]) < ENOUGH and 2 * self.walls[cell] < min(left(), AGAIN):
                self._measure(*cell)
                measuring = True
        return measuring

    def _expected(self, hospitals: int, parameters: int) -> float:
        """Seconds of a round: with few values they grow by the square of the cohort, and with many as values do.

        A value costs what it costs where that is least, and a quarter of it among ten times as many as there were: most
        of what few take is not theirs.
        """
        closest = max(cell for cell in self.walls if cell[0] <= max(hospitals, min(self.walls)[0]))
        few = self.walls[min(cell for cell in self.walls if cell[0] == closest[0])] * (hospitals / closest[0]) ** 2
        value = min(wall / (cohort * each) for (cohort, each), wall in self.walls.items())
        many = hospitals * parameters > 10 * max(cohort * each for cohort, each in self.walls)
        return max(few, value * hospitals * parameters / (4 if many else 1))

    def _measure(self, hospitals: int, parameters: int) -> None:
        """Measure rounds of a cell."""
        federation = self._federation(hospitals)
        federation.resize(parameters)
        gc.collect()
        step = clocks.Paced(federation.once)
        began, new = time.perf_counter(), True
        while new:
            before = allocator.pages()
            rounds = [step()]
            new = clocks.pays(before, rounds[0]) and time.perf_counter() - began < WARM
        wall = rounds[0].wall
        began = time.perf_counter() - wall
        while wall < LONG and (len(rounds) < 2 or time.perf_counter() - began + wall < PATIENCE):
            rounds.append(step())
        found = self.measured.setdefault((hospitals, parameters), [])
        found += [one._replace(sum=None) for one in step.at(rounds)]
        self.walls[hospitals, parameters] = min(one.wall for one in found)

    def _federation(self, hospitals: int) -> Federation:
        """The cohort of that size, set up; of another than before, caches that keep the keys of few are filled."""
        if new := hospitals not in self.found:
            self.found[hospitals], _ = set_up(replace(self.setting, hospitals=hospitals), 1)
            ray_jobs.settle()
        federation = self.found[hospitals]
        if self.keyed and hospitals != self.latest and not (new or self.slow):
            federation.resize(1)
            federation.once()
        self.latest = hospitals
        return federation

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


def _steps(rounds: Sequence[Measured], at: float) -> tuple[Step, ...]:
    """The medians of each phase, at that pace."""
    paces = [at / (one.pace or at) for one in rounds]
    steps = []
    for turn in clocks.phase_by_phase(rounds):
        spent = clocks.cpu(turn, statistics.median_low, paces)
        steps.append(Step(turn[0][0].phase, spent.most, spent.server))
    return tuple(steps)

"""One strategy measured in a few small settings, for the cost model."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from fedsec.errors import ConfigurationError
from fedsec.simulations.costs.federation import Federation, MeasuredRound, set_up
from fedsec.simulations.costs.measure import allocator, probe
from fedsec.simulations.costs.measure.cost_summary import phase_cpu, rows_by_phase
from fedsec.simulations.costs.measure.machine_speed import SpeedSampler
from fedsec.simulations.costs.measure.rounds import pays_for_memory
from fedsec.simulations.costs.predict.cost_model import Fit, Sample, Step, fit, scalars, shape
from fedsec.simulations.costs.setting import Setting, label, takes_keys
from fedsec.simulations.costs.sweep import ray_jobs

CHECKS = ((5, 3_000), (5, 300_000), (9, 30_000))
"""Hospitals and parameters that are measured, and not fitted: the model is compared with them."""
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
"""Hospitals and parameters that are measured, the corners first: whatever time is left out leaves the model between
what was measured. The first check is measured wherever it takes no longer than ONE_CHECK: each strategy is compared
with one at least."""
NEEDED = ORDER[:5]
"""Without these a model says little: they are measured wherever a round takes no longer than LONG."""
CROWDED = (4, 5)
"""Cohorts for which as many parameters are measured, too, if a hospital has more columns to deal with in one of them:
that is so where packing pays only from some cohort on."""
KEYED_ORDER = (*ORDER[:4], (14, 10_000))
"""In place of ORDER where there are keys, which each cohort makes anew."""
SLOW_CHECKS = ((4, 3),)
SLOW_ORDER = ((3, 5), (4, 1), SLOW_CHECKS[0])
"""In place of both, after a first measurement of SLOW_FIRST, where a single value takes long (see `probe.SLOW`)."""
SLOW_FIRST = (3, 1)
MOST = 0.5
"""The fraction of a strategy's time that one of its settings may take."""
PATIENCE, LONG, WARM_UP_SECONDS, ONE_CHECK = 0.04, 0.6, 1.0, 1.5
"""Each time, rounds of a setting go on for so many seconds; two are measured at least, or one that takes LONG. Those
that pay for new memory do not count, unless they take longer than WARM_UP_SECONDS. The first check may take ONE_CHECK
seconds of any share."""
AGAIN, ENOUGH = 0.6, 9
"""A setting that took longer than AGAIN seconds, or has ENOUGH rounds, is not measured again."""

Size = tuple[int, int]
"""Hospitals and parameters."""


class StrategyCalibration:
    """Measures one strategy in several sizes; those with as many hospitals share the set-up, and the keys."""

    def __init__(self, setting: Setting, hospitals: int) -> None:
        """hospitals: of all sizes where none of ORDER's can be run."""
        self.setting, self.name, self.slow = setting, label(setting.strategy), False
        self.keyed = takes_keys(setting.strategy) and replace(setting, hospitals=SLOW_FIRST[0]).possible
        order = KEYED_ORDER if self.keyed else self._crowded()
        possible = {cohort for cohort in {hospitals, *dict(order)} if replace(setting, hospitals=cohort).possible}
        self.order = [size for size in order if size[0] in possible]
        if not self.order and hospitals in possible:
            self.order = [(hospitals, parameters) for parameters in dict.fromkeys(many for _, many in ORDER[:6])]
        self.federations: dict[int, Federation] = {}
        self.measured: dict[Size, list[MeasuredRound]] = {}
        self.walls: dict[Size, float] = {}
        self.latest: int | None = None

    def _crowded(self) -> tuple[Size, ...]:
        """ORDER, with another size after the LARGEST where most columns meet most hospitals in a cohort of CROWDED."""

        def columns(cohort: int) -> int:
            setting = replace(self.setting, hospitals=cohort, parameters=LARGEST[1])
            if not setting.possible:
                return 0
            _, peers, _, many = shape(setting)
            return peers * many

        most, after = max((LARGEST[0], *CROWDED), key=columns), ORDER.index(LARGEST) + 1
        more = [] if most == LARGEST[0] else [(most, LARGEST[1])]
        return (*ORDER[:after], *more, *ORDER[after:])

    def prepare(self) -> None:
        """Set up the first cohort and run a round of it: that compiles what has to be compiled."""
        if not self.order:
            raise ConfigurationError(
                f"{self.setting.strategy}: none of the settings that are measured can be run with these parameters"
            )
        self._federation(self.order[0][0]).run_round()

    def measure(self, seconds: float) -> None:
        """Each size for the first time, ORDER's first, as far as they are expected to fit into so many seconds."""
        began = time.process_time()
        if self.keyed:
            self._measure(*SLOW_FIRST)
            value = self.walls[SLOW_FIRST] / SLOW_FIRST[0] / (SLOW_FIRST[1] + scalars(self.setting.bits))
            self.slow = value > probe.SLOW
            if self.slow:
                for size in SLOW_ORDER:
                    self._measure(*size)
                return
        for size in self.order:
            limit = min(seconds - (time.process_time() - began), seconds * MOST)
            if size == CHECKS[0]:
                limit = max(limit, ONE_CHECK)
            if size in NEEDED:
                limit = max(limit, 2 * LONG)
            if size in self.order[:2] or PATIENCE + 2 * self._expected(*size) < limit:
                self._measure(*size)

    def repeat(self, left: Callable[[], float], checks_only: bool) -> bool:
        """Each size that was measured once more, while seconds are left; whether any was."""
        due = [] if self.slow else [size for size in sorted(self.measured) if size in CHECKS or not checks_only]
        repeated = False
        for size in due:
            if len(self.measured[size]) < ENOUGH and 2 * self.walls[size] < min(left(), AGAIN):
                self._measure(*size)
                repeated = True
        return repeated

    def _expected(self, hospitals: int, parameters: int) -> float:
        """Seconds of a round: with few values they grow by the square of the cohort, and with many as values do.

        A value costs what it costs where that is least, and a quarter of it among ten times as many as there were: most
        of what few take is not theirs.
        """
        closest, _ = max(size for size in self.walls if size[0] <= max(hospitals, min(self.walls)[0]))
        few = self.walls[min(size for size in self.walls if size[0] == closest)] * (hospitals / closest) ** 2
        value = min(wall / (cohort * each) for (cohort, each), wall in self.walls.items())
        many = hospitals * parameters > 10 * max(cohort * each for cohort, each in self.walls)
        return max(few, value * hospitals * parameters / (4 if many else 1))

    def _measure(self, hospitals: int, parameters: int) -> None:
        """Measure rounds of a size."""
        federation = self._federation(hospitals)
        federation.resize(parameters)
        gc.collect()
        step = SpeedSampler(federation.run_round)
        began, new = time.perf_counter(), True
        while new:
            pages = allocator.pages()
            rounds = [step()]
            new = pays_for_memory(pages, rounds[0]) and time.perf_counter() - began < WARM_UP_SECONDS
        wall = rounds[0].wall
        began = time.perf_counter() - wall
        while wall < LONG and (len(rounds) < 2 or time.perf_counter() - began + wall < PATIENCE):
            rounds.append(step())
        measured = self.measured.setdefault((hospitals, parameters), [])
        measured += [done._replace(sum=None) for done in step.annotate(rounds)]
        self.walls[hospitals, parameters] = min(done.wall for done in measured)

    def _federation(self, hospitals: int) -> Federation:
        """The cohort of that size, set up; of another than before, caches that keep the keys of few are filled."""
        if new := hospitals not in self.federations:
            self.federations[hospitals], _ = set_up(replace(self.setting, hospitals=hospitals), 1)
            ray_jobs.settle()
        federation = self.federations[hospitals]
        if self.keyed and hospitals != self.latest and not (new or self.slow):
            federation.resize(1)
            federation.run_round()
        self.latest = hospitals
        return federation

    def speeds(self) -> list[float]:
        """The machine's, beside each round."""
        rounds = (done for measured in self.measured.values() for done in measured)
        return [done.reference_seconds for done in rounds if done.reference_seconds is not None]

    def fit(self, speed: float) -> Fit:
        """The model of this strategy at that speed of the machine; the CHECKS are not fitted."""
        samples: list[Sample] = []
        checks: list[Sample] = []
        for size, rounds in self.measured.items():
            (checks if size in (*CHECKS, *SLOW_CHECKS) else samples).append(Sample(*size, _steps(rounds, speed)))
        return fit(samples, checks, self.setting)


def _steps(rounds: Sequence[MeasuredRound], speed: float) -> tuple[Step, ...]:
    """The medians of each phase, at that speed of the machine."""
    scales = [speed / (measured.reference_seconds or speed) for measured in rounds]
    steps = []
    for rows in rows_by_phase(rounds):
        cpu = phase_cpu(rows, statistics.median_low, scales)
        steps.append(Step(rows[0][0].phase, cpu.most, cpu.server))
    return tuple(steps)

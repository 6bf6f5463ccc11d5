"""Measure this machine in under a minute, for the cost model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from fedsec.simulations.costs import machine
from fedsec.simulations.costs.measure import allocator, machine_speed
from fedsec.simulations.costs.predict.cost_model import Model, key
from fedsec.simulations.costs.predict.strategy_calibration import ORDER, StrategyCalibration
from fedsec.simulations.costs.setting import Setting, family, takes_keys
from fedsec.simulations.costs.sweep import ray_jobs
from fedsec.simulations.costs.sweep.parallel_jobs import ProgressCallback

SECONDS, LEAST, FIRST = 47.0, 0.5, 0.88
"""CPU seconds of a calibration; the fraction of them that its settings have at least, where kernels have to be compiled
first; and the fraction of these, shared out among the strategies, in which each is measured for the first time."""
HE_SHARE = 2.0
"""So many times the share of the others has homomorphic encryption."""


def calibrate(
    strategies: Sequence[str],
    bits: int,
    key_bits: int,
    progress: ProgressCallback,
    seconds: float = SECONDS,
    hospitals: int = ORDER[0][0],
    reference_seconds: float | None = None,
) -> Model:
    """Measure each strategy in a few small settings, within `seconds` of CPU altogether, and fit the model.

    All settings of all strategies are measured in turn, and again while time is left: a processor that others share
    changes its speed from one second to the next, and the median of a setting comes from moments that lie far apart.
    What was measured is brought to one speed of the machine: `reference_seconds`, or the median of those moments. How
    busy the machine was meanwhile is in the model's `load`.

    hospitals: with which a strategy is measured whose parameters allow none of ours.
    """
    ray_jobs.settle()
    allocator.keep_freed()
    watch, before = machine.Watch(), machine_speed.reference_seconds()
    began = time.process_time()  # what others do on the machine must not take from this time

    def left() -> float:
        return seconds - (time.process_time() - began)

    ordered = sorted(strategies, key=lambda name: (family(name) == "he", takes_keys(name)))
    measured = [StrategyCalibration(Setting(name, 3, 1, bits).under(name, key_bits), hospitals) for name in ordered]
    for strategy in measured:
        progress(f"preparing {strategy.name}", seconds - left(), seconds)
        strategy.prepare()
    seconds = max(seconds, seconds - left() + LEAST * seconds)
    rest = (1 - FIRST) * left()
    for index, strategy in enumerate(measured):
        progress(strategy.name, seconds - left(), seconds)
        shares = [HE_SHARE if family(other) == "he" else 1.0 for other in ordered[index:]]
        strategy.measure((left() - rest) * shares[0] / sum(shares))

    def repeat(checks_only: bool) -> bool:
        repeated = False
        for strategy in reversed(measured):  # those with the fewest rounds so far first
            progress(strategy.name, seconds - left(), seconds)
            repeated |= strategy.repeat(left, checks_only)
        return repeated

    repeat(True)  # nothing else shows that one of them was disturbed
    while repeat(False):
        pass
    progress("done", seconds, seconds)
    speeds = [speed for strategy in measured for speed in strategy.speeds()]
    load = watch.load([before, *speeds, machine_speed.reference_seconds()])
    speed = reference_seconds or statistics.median(speeds)
    return Model({key(strategy.setting): strategy.fit(speed) for strategy in measured}, speed, load)

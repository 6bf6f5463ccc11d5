"""Measure the rounds of a setting in process; they want the machine for themselves."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from fedsec.simulations.costs.federation import Federation, MeasuredRound, set_up
from fedsec.simulations.costs.measure import allocator
from fedsec.simulations.costs.measure.cost_summary import MeasuredCosts, extrapolate, summarize
from fedsec.simulations.costs.measure.machine_speed import SpeedSampler
from fedsec.simulations.costs.measure.probe import fill_columns
from fedsec.simulations.costs.setting import Setting

LARGE = 200_000
"""Values of all hospitals together above which the first rounds pay for memory."""
SHORT, SHORT_REPEATS = 0.25, 10
"""Seconds that rounds go on for, and by how many times their number they may exceed what is asked for: what disturbs a
shared processor for a tenth of a second is not the median of them."""
WARM_UP_ROUNDS = 8
"""Rounds at most that do not count."""
PAGE_SECONDS, PAGE_SHARE = 1e-5, 0.05
"""Seconds that a page of new memory takes at most, for the system to find and clear it; and the part of a round that
its new pages may take if it is to count."""


def measure(
    setting: Setting,
    repetitions: int,
    patience: float,
    parameters: int | None = None,
    all_hospitals: bool = True,
    warm: bool = True,
) -> MeasuredCosts:
    """Measure a set-up and rounds: as many as asked for, or as fit in `patience` seconds, and one at least.

    Where `warm`, a round of one parameter comes before them. With fewer `parameters` than the setting has, these and
    the fewest are measured, and extrapolated. Where not `all_hospitals`, one hospital sends its input and nothing is
    summed.
    """
    federation, setup = set_up(setting, 1)
    if warm:
        federation.run_round()  # fills caches
    if all_hospitals and parameters and parameters < setting.parameters:
        start = fill_columns(setting, 1)
        few = summarize(setting, setup, repeat(federation, start, repetitions if warm else 1, patience))
        many = summarize(setting, setup, repeat(federation, parameters, repetitions, patience))
        return extrapolate(few, many, parameters, setting.parameters, start)
    measured = repeat(federation, parameters or setting.parameters, repetitions, patience, all_hospitals)
    return summarize(setting, setup, measured, all_hospitals)


def repeat(
    federation: Federation, parameters: int, repetitions: int, patience: float, all_hospitals: bool = True
) -> list[MeasuredRound]:
    """Rounds with so many parameters, one at least, after some that warm up unless they take long.

    Long is a fifth of the patience, and with more than LARGE values, to which the system has yet to give the memory,
    twice the patience. Where a median is wanted, of three rounds or more, they go on for SHORT seconds.
    """
    federation.resize(parameters)
    long = 2 * patience if federation.setting.hospitals * parameters > LARGE else patience / 5
    began = time.perf_counter()
    gc.collect()
    allocator.give_back()  # so that a setting does not depend on those before it
    step = SpeedSampler(federation.run_round if all_hospitals else federation.run_one_input)
    measured = warm_up(step, long)
    short = min(SHORT, patience) if repetitions >= 3 else 0.0
    while not measured or (
        (took := time.perf_counter() - began + measured[-1].wall) < patience
        and (len(measured) < repetitions or (took < short and len(measured) < SHORT_REPEATS * repetitions))
    ):
        measured.append(step())
    return step.annotate(measured)


def warm_up(step: Callable[[], MeasuredRound], seconds: float) -> list[MeasuredRound]:
    """Rounds that do not count: one, and more while the system has to hand out memory for them.

    Returns the one that ends after so many `seconds`, which counts, for others would take too long; or none.
    """
    began = time.perf_counter()
    for _ in range(WARM_UP_ROUNDS):
        pages = allocator.pages()
        measured = step()
        if time.perf_counter() - began > seconds:
            return [measured]
        if not pays_for_memory(pages, measured):
            break
    return []


def pays_for_memory(pages: int, measured: MeasuredRound) -> bool:
    """Whether a round pays for memory that is new to this process, which had so many `pages` before it."""
    return (allocator.pages() - pages) * PAGE_SECONDS > PAGE_SHARE * measured.wall

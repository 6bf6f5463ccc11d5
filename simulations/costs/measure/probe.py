"""Before a cell is measured: what it will take, from rounds with few parameters."""

from __future__ import annotations

import time
from typing import NamedTuple

from fedsec.simulations.costs.federation import Measured
from fedsec.simulations.costs.measure.memory import Watched
from fedsec.simulations.costs.setting import Setting, contribution


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
    federation = Watched(setting, start)
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


def _seconds(federation: Watched) -> float:
    """What a round takes: its wall seconds, or its CPU where others were busy beside it."""
    began = time.process_time()
    return min(federation.once().wall, time.process_time() - began)

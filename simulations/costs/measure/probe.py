"""Before a setting is measured: what its rounds will take, estimated from rounds with few parameters."""

from __future__ import annotations

import time
from typing import NamedTuple

from fedsec.simulations.costs.federation import MeasuredRound
from fedsec.simulations.costs.measure.memory import TracedFederation
from fedsec.simulations.costs.setting import Setting, contribution

PROBE, LARGEST_PROBE, LONG = 200, 20_000, 0.1
"""Parameters of the round from which others are estimated: up to ten times as many, until it takes LONG s and half of
what one parameter took more, or there are so many (ten times so many where one parameter takes LONG s)."""
LARGEST_FOOTPRINT = 1 << 30
"""Bytes that no round may take from which others are estimated."""
SLOW = 0.01
"""Seconds for one value of one hospital above which PROBE values of all hospitals together are what is measured."""


class Need(NamedTuple):
    """What a round is expected to take: bytes of memory with all hospitals, seconds, and bytes with one hospital.

    slow says whether one value of one hospital takes more than SLOW seconds.
    """

    memory: float
    seconds: float
    memory_one_hospital: float
    slow: bool = False


def fewest_parameters(setting: Setting) -> int:
    """Parameters with which all hospitals together send PROBE values, or one each and the scalars beside it."""
    scalars = contribution(1, setting.bits, 0)[0].size - 1
    return max(2, -(-PROBE // setting.hospitals) - scalars)


def fill_columns(setting: Setting, parameters: int) -> int:
    """So many parameters, and as many more as are packed into the same columns.

    What is packed grows in steps; in proportion it grows between sizes that fill their columns.
    """
    protocol, more = setting.protocol(), contribution(1, setting.bits, 0)[0].size
    columns = protocol.columns(setting.clients, parameters - 1 + more)
    for size in range(parameters, parameters + LARGEST_PROBE):
        if protocol.columns(setting.clients, size + more) > columns:
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
        seconds, memory, one_hospital = (
            low + max(high - low, 0.0) * scale for low, high in zip(self.small, self.large, strict=True)
        )
        each = (self.large[0] - self.small[0]) / (self.size - self.start) / hospitals
        return Need(memory, seconds, one_hospital, each > SLOW)


def probe(setting: Setting) -> Probe:
    """Rounds from which this setting, with any number of parameters, is estimated."""
    start = fill_columns(setting, 1)
    federation = TracedFederation(setting, start)
    federation.enrol()
    values = contribution(start, setting.bits, 0)[0].size
    began, measured = time.process_time(), federation.run_round()  # it also compiles, and fills caches
    if _input_seconds(setting, measured) > SLOW * values:
        spent, memory = min(measured.wall, time.process_time() - began), federation.footprint()
        return Probe(start + 1, (spent, *memory), (spent * (values + 1) / values, *memory), start)
    first = (_round_seconds(federation), *federation.footprint())
    size = fill_columns(setting, max(PROBE, start + 1))
    federation.resize(size)
    last = (_round_seconds(federation), *federation.footprint())
    return _enlarge(federation, Probe(size, first, last, start))


def _enlarge(federation: TracedFederation, first_probe: Probe) -> Probe:
    """That probe, with a larger round in place of its `large` until the difference takes long enough to be measured."""
    setting, start, first, size, last = (
        federation.setting,
        first_probe.start,
        first_probe.small,
        first_probe.size,
        first_probe.large,
    )
    slopes = [max(high - low, 0.0) / (size - start) for low, high in zip(first[1:], last[1:], strict=True)]
    most = min(LARGEST_PROBE * (10 if first[0] > LONG else 1), int(LARGEST_FOOTPRINT / max(slopes[0], 1.0)))
    step = 10 if first[0] < 10 * LONG else 30
    enough = max(LONG, first[0] / 2)
    while (grew := last[0] - first[0]) < enough and size < most:
        size = fill_columns(setting, min(int(size * min(step, max(2.0, 2 * enough / max(grew, 1e-6)))), most))
        federation.resize(size)
        if first[0] < LONG:
            federation.run_round()
            last = (_round_seconds(federation), *federation.footprint())
        else:
            grown = [low + round(slope * (size - start)) for low, slope in zip(first[1:], slopes, strict=True)]
            last = (_round_seconds(federation), grown[0], grown[1])
    return Probe(size, first, last, start)


def _input_seconds(setting: Setting, measured: MeasuredRound) -> float:
    """CPU seconds of one hospital's input, without the one that took most: it may have compiled."""
    name = setting.protocol().input_phase.__name__
    row = next(row for row in measured.rows if row.role == "hospital" and row.phase == name)
    return (row.cpu_seconds - row.cpu_seconds_max) / max(row.replies - 1, 1)


def _round_seconds(federation: TracedFederation) -> float:
    """What a round takes: its wall seconds, or its CPU where others were busy beside it."""
    began = time.process_time()
    return min(federation.run_round().wall, time.process_time() - began)

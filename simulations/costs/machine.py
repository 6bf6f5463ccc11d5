"""The machine that is measured: what it is, and how busy other programs keep it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from fedsec.primitives import modexp

_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
"""The processors' times in which they were not idle, or were not given to this machine."""


def describe_machine() -> dict[str, Any]:
    """Where this runs."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()  # psutil does not know the model
    except OSError:
        lines = []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "system": platform.platform(),
        "cpu": cpu or platform.processor(),
        "cpus": os.cpu_count() or 1,
        "modular exponentiation": os.environ.get("FEDSEC_ENGINE") or modexp.available()[0],
    }


BUSY, LEAST_SHARE, UNSTEADY = 0.3, 0.75, 2.0
"""Beyond these a machine is too busy to be measured: the part of the processors that others keep busy, the part of the
time in which this process has to compute, and how many times as long the same work may take at slow moments."""


class Load(NamedTuple):
    """How busy the machine was while something was measured.

    others: processors that other programs, and other machines on the same hardware, kept busy, on average.
    share: the part of the time in which this process, which never rests, was given a processor.
    spread: how many times as long a fixed piece of work took at slow moments as at fast ones.
    """

    others: float = 0.0
    share: float = 1.0
    spread: float = 1.0

    def reasons(self, processors: int | None = None) -> list[str]:
        """Why this was too busy to measure costs, in words; nothing where it was quiet enough."""
        processors = processors or os.cpu_count() or 1
        found = []
        if self.others > BUSY * processors:
            found.append(f"other programs kept {self.others:.1f} of {processors} processors busy")
        if self.share < LEAST_SHARE:
            found.append(f"fedsec was given a processor only {self.share:.0%} of the time")
        if self.spread > UNSTEADY:
            found.append(f"the same piece of work took up to {self.spread:.1f} times as long")
        return found

    def worst(self, other: Load) -> Load:
        """The busier of both in each respect."""
        return Load(max(self.others, other.others), min(self.share, other.share), max(self.spread, other.spread))


QUIET = Load()


class Watch:
    """How busy the machine is from when this was made."""

    def __init__(
        self,
        wall: Callable[[], float] = time.monotonic,
        own: Callable[[], float] = time.process_time,
        busy: Callable[[], float] | None = None,
    ) -> None:
        """Seconds that have passed, that this process has computed, and that all processors were busy."""
        self._clocks = (wall, own, busy or _busy_seconds)
        self._began = [clock() for clock in self._clocks]

    def load(self, speeds: Sequence[float]) -> Load:
        """Until now; speeds: seconds that a fixed piece of work took at moments meanwhile (see `machine_speed`)."""
        passed, own, busy = (clock() - began for clock, began in zip(self._clocks, self._began, strict=True))
        passed = max(passed, 1e-6)
        ordered = sorted(speeds)
        tail = len(ordered) // 10  # a tenth at either end may be anything
        spread = ordered[-1 - tail] / ordered[tail] if ordered and ordered[tail] > 0 else 1.0
        return Load(max(busy - own, 0.0) / passed, own / passed, spread)


def others_now(seconds: float = 1.0) -> Load:
    """How many processors others keep busy, for so many seconds in which this process rests."""
    watch = Watch()
    time.sleep(seconds)
    return Load(watch.load(()).others)


def _busy_seconds() -> float:
    """Seconds that all processors were not idle, or were not given to this machine, since it started."""
    times = psutil.cpu_times()
    return float(sum(getattr(times, name, 0.0) for name in _BUSY))

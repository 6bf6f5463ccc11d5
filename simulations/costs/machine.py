"""The machine that is measured: what it is, and how busy other programs keep it."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

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


class OtherLoad:
    """How many processors other programs, and other machines on the same hardware, keep busy meanwhile."""

    def __init__(self) -> None:
        self.began, self.before, self.own = time.monotonic(), _busy_seconds(), time.process_time()

    def processors(self) -> float:
        """On average since this was made."""
        busy = _busy_seconds() - self.before - (time.process_time() - self.own)
        return max(busy, 0.0) / max(time.monotonic() - self.began, 1e-6)


def _busy_seconds() -> float:
    """Seconds that all processors were not idle, or were not given to this machine, since it started."""
    times = psutil.cpu_times()
    return float(sum(getattr(times, name, 0.0) for name in _BUSY))

"""What metering adds to a round: a metered round beside the same round without a meter.

python benchmarks/metering_overhead.py [--quick] [--json] [--output DIR]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from common import Report, Row, arguments, best, publish

from fedsec.server.coordinator import Coordinator
from fedsec.simulations.costs.federation import Federation
from fedsec.simulations.costs.setting import SPEC, Setting

SETTINGS = [Setting(name, hospitals, 10_000) for name in ("plain", "shamir", "secagg") for hospitals in (3, 10)]


def bare(setting: Setting) -> Federation:
    """The federation, with its parties behind the exchange itself."""
    federation = Federation(setting)
    federation.coordinator = Coordinator(federation.protocol, federation.exchange, mean=SPEC, rng=federation.rng)
    federation.enrol()
    return federation


def metered(setting: Setting) -> Federation:
    """The federation as a comparison measures it."""
    federation = Federation(setting)
    federation.enrol()
    return federation


def pairs(one: Callable[[], object], other: Callable[[], object], seconds: float) -> list[tuple[float, float]]:
    """Seconds of both, one right after the other, each first in turn: what disturbs the machine affects both alike."""
    pairs, ends = list[tuple[float, float]](), time.perf_counter() + seconds
    while time.perf_counter() < ends:
        steps = (one, other) if len(pairs) % 2 else (other, one)
        took = {step: best(step, 0.0, least=1) for step in steps}
        pairs.append((took[one], took[other]))
    return pairs


def main() -> None:
    """Rounds of each kind in turns."""
    options = arguments(__doc__ or "")
    report = Report("What metering adds to a round")
    for setting in SETTINGS:
        steps = (metered(setting).run_round, bare(setting).run_round)
        for step in steps:
            step()
        timed = pairs(*steps, 3.0 if options.quick else 20.0)
        seconds = median(metered for metered, _ in timed)
        ratio = median(bare / metered for metered, bare in timed)
        where = {"hospitals": setting.hospitals, "parameters": setting.parameters}
        note = f"{seconds * 1e3:.2f} ms, {1 / ratio - 1:+.2%}; median of {len(timed)} pairs"
        report.add(Row(setting.strategy, "metered round", where, 1 / seconds, "bare round", ratio, note))
    publish(report, "metering-overhead", options)


if __name__ == "__main__":
    main()

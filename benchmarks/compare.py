"""What measuring adds to what is measured: a metered round beside the same round without a meter.

python benchmarks/compare.py [--quick] [--json] [--output DIR]
"""

from __future__ import annotations

from functools import partial

from common import Report, Row, arguments, interleaved, publish

from fedsec.coordinator import Coordinator
from fedsec.simulations.cells import SPEC, Federation, Setting

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


def main() -> None:
    """Rounds of each kind in turns."""
    options = arguments(__doc__ or "")
    report = Report("What measuring adds to a round")
    turns, seconds = (6, 0.3) if options.quick else (12, 1.0)
    for setting in SETTINGS:
        steps = {"metered": metered(setting).once, "bare": bare(setting).once}
        for step in steps.values():
            step()
        found = interleaved({name: partial(step) for name, step in steps.items()}, seconds, turns)
        where = {"hospitals": setting.hospitals, "parameters": setting.parameters}
        ratio = found["bare"] / found["metered"]
        note = f"{found['metered'] * 1e3:.2f} ms, {1 / ratio - 1:+.2%}"
        report.add(Row(setting.strategy, "metered round", where, 1 / found["metered"], "bare round", ratio, note))
    publish(report, "compare", options)


if __name__ == "__main__":
    main()

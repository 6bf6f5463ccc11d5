"""What `fedsec plan` prints: estimates, what is extrapolated or doubtful, and the model beside measurements."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from fedsec.report.units import plain_seconds as seconds
from fedsec.report.units import plain_size as size
from fedsec.simulations.costs.predict import estimate
from fedsec.simulations.costs.predict.cost_model import Model
from fedsec.simulations.costs.predict.estimate import EXACT_UP_TO, Estimate, Requirement
from fedsec.simulations.costs.predict.validation import Check
from fedsec.simulations.costs.setting import Setting, label
from fedsec.strategy_spec import StrategySpec

WITHIN = 0.25


def print_estimates(
    console: Console, setting: Setting, clip: float, network: str, required: Requirement, estimates: Sequence[Estimate]
) -> None:
    """The error of the mean, a table of the strategies that can serve, and why the others cannot."""
    bound = estimate.error_bound(setting, clip)
    console.print(
        f"{setting.hospitals} hospitals, {setting.parameters:,} parameters of {setting.bits} bits within ±{clip:g}: "
        f"with equal weights, the mean of a parameter is off by at most {bound:.2g}.",
        highlight=False,
    )
    able = [estimate for estimate in estimates if not estimate.why_not]
    if able:
        console.print(_table(required, network, able))
    for unable in estimates:
        if unable.why_not:
            text = f"{unable.strategy}: {unable.why_not}"
            console.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)
    if not able:
        console.print("No strategy can serve this setting.", style="yellow")


def _table(required: Requirement, network: str, estimates: Sequence[Estimate]) -> Table:
    server = "malicious" if required.malicious_server else "semi-honest"
    table = Table(
        title=f"Predicted cost of a round ({server} server, colluding hospitals: {required.colluding})",
        caption="collude: colluding hospitals withstood. dropouts: hospitals that may drop out. spare: bits left "
        "before the sum overflows. up: mean bytes per hospital. hospital: CPU of the slowest one in each phase",
        box=box.SIMPLE,
        padding=0,
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("strategy", overflow="fold", min_width=16)
    for heading in ("collude", "dropouts", "spare", "up", "hospital", "server", network):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in estimates:
        table.add_row(
            StrategySpec.parse(one.strategy).title,
            str(one.withstands),
            str(one.dropouts),
            f"{one.headroom:.1f}",
            ("" if one.exact else "~") + size(round(one.up)),
            seconds(one.hospital),
            seconds(one.server),
            seconds(one.seconds),
        )
    return table


def print_extrapolated(console: Console, setting: Setting, names: Sequence[str], key_bits: int, model: Model) -> None:
    """Whose CPU is extrapolated here, and beyond what it was measured with."""
    beyond: dict[str, list[str]] = {}
    for name in names:
        keyed = setting.under(name, key_bits)
        if keyed.possible:
            hospitals, parameters = model.reach(keyed)
            limits = [f"{hospitals} hospitals"] if hospitals < setting.hospitals else []
            limits += [f"{parameters:,} parameters"] if parameters < setting.parameters else []
            if limits:
                beyond.setdefault(" and ".join(limits), []).append(StrategySpec.parse(label(name)).title)
    for limit, strategies in beyond.items():
        text = f"CPU is extrapolated, from measurements up to {limit}: {', '.join(strategies)}."
        console.print(text, style="yellow", highlight=False)
    if setting.hospitals > EXACT_UP_TO:
        text = f"Bytes marked ~ are extrapolated: they are exact up to {EXACT_UP_TO} hospitals."
        console.print(text, style="yellow", highlight=False)


def print_doubts(console: Console, model: Model) -> None:
    """A warning where other programs were busy during the calibration."""
    if not model.doubtful:
        return
    console.print(
        f"Warning: predicted CPU may be up to twice too high. Other programs kept {model.others:.1f} of "
        f"{os.cpu_count()} processors busy during the calibration. When it is quiet, run: fedsec plan --calibrate",
        style="yellow",
        highlight=False,
        soft_wrap=True,
    )


def print_checks(console: Console, what: str, checks: Sequence[Check]) -> None:
    """Measured and predicted CPU side by side, of the slowest hospitals and of the server, and of both together."""
    table = Table(
        title=f"CPU measured and predicted: the model against {what}",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("strategy", overflow="fold", min_width=11)
    for heading in ("n", "parameters", "hospital", "predicted", "server", "predicted", "off by"):
        table.add_column(heading, justify="right", no_wrap=True)
    deviations = [check.deviation() for check in checks]
    for check, (both, *_) in zip(checks, deviations, strict=True):
        table.add_row(
            StrategySpec.parse(check.strategy).title,
            str(check.measured.hospitals),
            f"{check.measured.parameters:,}",
            seconds(check.measured.hospital),
            seconds(check.hospital),
            seconds(check.measured.server),
            seconds(check.server),
            f"{both:+.0%}",
        )
    console.print(table)
    both, hospital, server = (sum(abs(part) <= WITHIN for part in parts) for parts in zip(*deviations, strict=True))
    console.print(
        f"{both} of {len(checks)} within {WITHIN:.0%} (hospital and server together); hospital alone: {hospital}, "
        f"server alone: {server}.",
        highlight=False,
    )

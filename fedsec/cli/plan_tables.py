"""What `fedsec plan` prints: estimates, what is extrapolated or doubtful, and the model beside measurements."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from fedsec.report import units
from fedsec.report.units import plain_seconds as seconds
from fedsec.report.units import plain_size as size
from fedsec.simulations.costs.predict import estimate
from fedsec.simulations.costs.predict.cost_model import Model
from fedsec.simulations.costs.predict.estimate import EXACT_UP_TO, Estimate, Requirement
from fedsec.simulations.costs.predict.validation import Check
from fedsec.simulations.costs.setting import Setting
from fedsec.strategy_spec import StrategySpec

WITHIN = 0.25
WIDTH = 7
"""Letters of a figure with its unit: three digits, a point, a space and two."""
FEWEST = 3
"""Hospitals below which a sum tells one of them what another contributed."""
STAR = "*"
"""What is extrapolated is marked with this."""


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
    alike: dict[str, list[str]] = {}
    for unable in estimates:
        if unable.why_not:
            alike.setdefault(unable.why_not, []).append(unable.strategy)
    for why_not, names in alike.items():
        who = ", ".join(names) if able or len(alike) > 1 else f"All {len(names)} strategies" if names[1:] else names[0]
        console.print(f"{who}: {why_not}", style="dim", highlight=False, markup=False)


def print_what_would_fit(console: Console, setting: Setting, least: int, names: Sequence[str]) -> None:
    """Where no strategy can serve: with how many hospitals, 0 for none, which could."""
    text = "No strategy can serve this setting."
    if least:
        text += (
            f" With {least} hospitals (--hospitals {least}), {units.plural(len(names), 'strategy', 'strategies')} "
            f"could: {', '.join(names)}."
        )
    else:
        text += " More hospitals would not help: change what stands above."
    if setting.hospitals < FEWEST:
        text += (
            f" {FEWEST} are the fewest: of two, each would find the other's update by subtracting its own from the sum."
        )
    console.print(text, style="yellow", highlight=False, markup=False)


def _table(required: Requirement, network: str, estimates: Sequence[Estimate]) -> Table:
    server = "malicious" if required.malicious_server else "semi-honest"
    table = Table(
        title=f"Predicted cost of a round ({server} server, colluding hospitals: {required.colluding})",
        title_justify="left",
        caption="dropouts tolerated: before hospitals have sent their input / in any phase. bits spare: by which the "
        "sum could grow. up: mean bytes per hospital. hospital: CPU of the slowest one in each phase. round: from end "
        f"to end, over {network}.",
        caption_justify="left",
        box=box.SIMPLE,
        padding=0,
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("strategy", overflow="fold", min_width=16)
    for heading in ("colluders\nwithstood", "dropouts\ntolerated", "bits\nspare", "up", "hospital", "server", "round"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in estimates:
        table.add_row(
            StrategySpec.parse(one.strategy).title,
            str(one.withstands),
            str(one.dropouts) if one.dropouts == one.dropouts_any else f"{one.dropouts}/{one.dropouts_any}",
            f"{one.headroom:.1f}",
            ("" if one.exact else "~") + _narrow(size(round(one.up)), one.up, "B"),
            *(
                _narrow(seconds(value), value, "s") + STAR * bool(one.beyond)
                for value in (one.hospital, one.server, one.seconds)
            ),
        )
    return table


def _narrow(text: str, value: float, unit: str) -> str:
    """A figure as it fits into a column, whatever its size."""
    return text if len(text) <= WIDTH else f"{value:.0e} {unit}"


def print_extrapolated(console: Console, setting: Setting, estimates: Sequence[Estimate]) -> None:
    """The legend of what is marked: whose CPU is extrapolated, and beyond what it was measured with."""
    beyond: dict[str, list[str]] = {}
    for one in estimates:
        if one.beyond:
            beyond.setdefault(one.beyond, []).append(StrategySpec.parse(one.strategy).title)
    for limit, strategies in beyond.items():
        text = f"{STAR} CPU is extrapolated, from measurements up to {limit}: {', '.join(strategies)}."
        console.print(text, style="yellow", highlight=False)
    if setting.hospitals > EXACT_UP_TO:
        text = f"Bytes marked ~ are extrapolated: they are exact up to {EXACT_UP_TO} hospitals."
        console.print(text, style="yellow", highlight=False)


def print_doubts(console: Console, model: Model) -> None:
    """A warning where other programs were busy during the calibration."""
    if reasons := model.load.reasons():
        console.print(
            f"Warning: predicted CPU is too high: during the calibration, {units.words(reasons)}. When the machine is "
            "quiet, run: fedsec plan --calibrate",
            style="yellow",
            highlight=False,
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

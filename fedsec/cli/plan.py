"""`fedsec plan`: before any run, what fits, what gives the trust that is wanted, and what it would cost."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from fedsec.cli import report
from fedsec.cli.compare import allowed, items, network_of, tell_left_out
from fedsec.cli.options import Json, print_json
from fedsec.encoding.fixed_point import FixedPoint
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.metering import NETWORKS, Network, network
from fedsec.report import figures
from fedsec.report import output as files
from fedsec.report.quantities import seconds, size
from fedsec.simulations.costs.predict import calibrate as calibration
from fedsec.simulations.costs.predict import cost_model, estimate
from fedsec.simulations.costs.predict.cost_model import Model
from fedsec.simulations.costs.predict.curve_figure import outlook
from fedsec.simulations.costs.predict.estimate import CURVE, EXACT_UP_TO, Check, Prospect, Wanted
from fedsec.simulations.costs.setting import Setting, family, label
from fedsec.simulations.costs.sweep.comparison import COMPARISON
from fedsec.simulations.costs.sweep.parallel_jobs import Follow
from fedsec.strategy_spec import StrategySpec

WITHIN = 0.25


def plan(
    hospitals: Annotated[int, typer.Option(help="Hospitals that take part in a round.")] = 5,
    parameters: Annotated[int, typer.Option(help="Parameters of the model.")] = 100_000,
    clip: Annotated[float, typer.Option(help="Largest change of a parameter in a round.")] = 4.0,
    bits: Annotated[int, typer.Option(help="Bits of a value.")] = 24,
    key_bits: Annotated[int, typer.Option(help="Key size, for strategies that have keys.")] = 3072,
    net: Annotated[
        str, typer.Option("--network", metavar="NAME", help=f"{', '.join(NETWORKS)}, or NAME=MS,DOWN,UP (Mbit/s).")
    ] = "hospital-wan",
    colluding: Annotated[int, typer.Option(help="Hospitals that may collude with the server.")] = 0,
    server_breaks: Annotated[bool, typer.Option("--server-breaks", help="The server may break the protocol.")] = False,
    dropout: Annotated[float, typer.Option(help="Part of the hospitals that may fall silent in a round.")] = 0.0,
    strategies: Annotated[
        str, typer.Option(help="Names or files, with commas, as NAME:PARAMETER=VALUE too; `all`: the catalogue.")
    ] = "all",
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure this machine (under a minute) and keep the cost model.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the curve to a million hospitals: plan.svg and plan.png.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A finished comparison to hold the cost model against.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell, before any run, whether a setting fits, which strategies give the trust wanted, and what they would cost.

    Bytes are exact; CPU comes from a cost model of this machine, which is measured once. Where a processor is shared,
    its speed changes: the model says the CPU at the median pace of the calibration.

    Examples:

    `fedsec plan --calibrate`

    `fedsec plan --hospitals 20 --parameters 1000000 --network mobile`

    `fedsec plan --hospitals 10 --server-breaks --colluding 2 --dropout 0.2 --json`

    `fedsec plan --hospitals 30 --output results/plan`

    `fedsec plan --against results/compare`
    """
    names = estimate.variants() if strategies == "all" else [allowed(name) for name in items("strategies", strategies)]
    if strategies == "all":
        tell_left_out(as_json)
    FixedPoint(bits, clip)
    if hospitals < 1:
        raise ConfigurationError(f"hospitals is {hospitals}; it must be at least 1")
    if not 0 <= colluding < hospitals:
        raise ConfigurationError(f"colluding is {colluding}; it must lie between 0 and {hospitals - 1}")
    setting = Setting(names[0], hospitals, parameters, bits, None, dropout)
    over = dict([network_of(net)]) if "=" in net else {net: network(net)}
    wanted, ((place, line),) = Wanted(colluding, server_breaks, dropout), over.items()
    compared = report.load(against.expanduser() / COMPARISON) if against is not None else None
    able = names if calibrate else [name for name in names if setting.under(name, key_bits).possible]
    model = _model(able, bits, key_bits, calibrate, as_json, hospitals)
    found = estimate.prospects(names, setting, wanted, line, model, key_bits)
    checks = estimate.validation(model)
    held = estimate.against(model, compared) if compared is not None else []
    if compared is not None and not held:
        raise ConfigurationError(
            f"{against}: no cell was measured whole with strategies, bits and keys that the cost model knows"
        )
    drawn = []
    if output is not None:
        with _progress(Console(stderr=True, quiet=as_json)) as follow:
            drawn = _draw(found, setting, names, key_bits, model, output, follow)
    if as_json:
        return print_json(_document(setting, wanted, clip, place, line, found, checks, held, drawn, model))
    console = Console()
    _tell(console, setting, clip, place, wanted, found)
    _tell_reach(console, setting, able, key_bits, model)
    _tell_doubts(console, model)
    if calibrate:
        _tell_checks(console, "cells that were not fitted", checks)
    if held:
        _tell_checks(console, f"what {against} measured, at the machine's pace of those moments", held)
    for path in drawn:
        console.print(f"Curve: {path}", highlight=False, soft_wrap=True)


def _model(names: Sequence[str], bits: int, key_bits: int, fresh: bool, quiet: bool, hospitals: int) -> Model:
    """The kept model, with what is missing from it measured now."""
    kept = None if fresh else cost_model.read(cost_model.home())
    fits = dict(kept.fits) if kept else {}
    missing = [name for name in names if cost_model.key(Setting(name, 3, 1, bits).under(name, key_bits)) not in fits]
    if missing:
        console = Console(stderr=True, quiet=quiet)
        console.print("Measuring this machine, once; it takes under a minute.", highlight=False)
        with _progress(console) as follow:
            added = calibration.calibrate(
                missing, bits, key_bits, follow, hospitals=hospitals, at=kept.pace if kept else None
            )
        kept = Model(fits | dict(added.fits), added.pace, max(added.others, kept.others if kept else 0.0))
        kept.write(cost_model.home())
    return kept or Model({}, 1.0)


@contextmanager
def _progress(console: Console) -> Iterator[Follow]:
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("")
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _tell(
    console: Console, setting: Setting, clip: float, place: str, wanted: Wanted, found: Sequence[Prospect]
) -> None:
    bound = estimate.error_bound(setting, clip)
    console.print(
        f"{setting.hospitals} hospitals, {setting.parameters:,} parameters of {setting.bits} bits within ±{clip:g}: a "
        f"parameter's mean is off by {bound:.2g} at most, where all weigh the same.",
        highlight=False,
    )
    breaks = "breaks" if wanted.server_breaks else "follows"
    table = Table(
        title=f"A round, foreseen; the server {breaks} the protocol with {wanted.colluding} hospitals' help",
        caption="colluding hospitals withstood, silent ones tolerated, spare bits of the largest sum (headroom), bytes "
        "up per hospital on average, CPU of each phase's slowest hospital",
        box=box.SIMPLE,
        padding=0,
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("strategy", overflow="fold", min_width=16)
    for heading in ("collude", "silent", "spare", "up", "hospital", "server", place):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        if not one.why_not:
            table.add_row(
                StrategySpec.parse(one.strategy).title,
                str(one.withstands),
                str(one.silent),
                f"{one.headroom:.1f}",
                ("" if one.exact else "~") + size(round(one.up)),
                seconds(one.hospital),
                seconds(one.server),
                seconds(one.seconds),
            )
    if not all(one.why_not for one in found):
        console.print(table)
    for one in found:
        if one.why_not:
            console.print(f"{one.strategy}: {one.why_not}", style="dim", highlight=False, markup=False, soft_wrap=True)
    if all(one.why_not for one in found):
        console.print("No strategy can serve this setting.", style="yellow")


def _tell_reach(console: Console, setting: Setting, names: Sequence[str], key_bits: int, model: Model) -> None:
    """Say whose CPU is extrapolated here, and beyond what."""
    beyond: dict[str, list[str]] = {}
    for name in names:
        if (one := setting.under(name, key_bits)).possible:
            hospitals, parameters = model.reach(one)
            limits = [f"{hospitals} hospitals"] if hospitals < setting.hospitals else []
            limits += [f"{parameters:,} parameters"] if parameters < setting.parameters else []
            if limits:
                beyond.setdefault(" and ".join(limits), []).append(StrategySpec.parse(label(name)).title)
    for limit, found in beyond.items():
        console.print(f"CPU is extrapolated beyond {limit}: {', '.join(found)}.", style="yellow", highlight=False)
    if setting.hospitals > EXACT_UP_TO:
        console.print(f"Bytes (~) are extrapolated beyond {EXACT_UP_TO} hospitals.", style="yellow", highlight=False)


def _tell_doubts(console: Console, model: Model) -> None:
    if not model.doubtful:
        return
    console.print(
        f"Other programs kept {model.others:.1f} of {os.cpu_count()} processors busy when this machine was measured: "
        "CPU may be foreseen too high, up to twice. When it is quiet: fedsec plan --calibrate",
        style="yellow",
        highlight=False,
        soft_wrap=True,
    )


def _tell_checks(console: Console, what: str, checks: Sequence[Check]) -> None:
    """Measured and foreseen CPU side by side, of the slowest hospitals and of the server, and of both together."""
    table = Table(
        title=f"CPU measured and foreseen: the model against {what}",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("strategy", overflow="fold", min_width=11)
    for heading in ("n", "values", "hospital", "foreseen", "server", "foreseen", "off by"):
        table.add_column(heading, justify="right", no_wrap=True)
    off = [_off(one) for one in checks]
    for one, (both, *_) in zip(checks, off, strict=True):
        table.add_row(
            StrategySpec.parse(one.strategy).title,
            str(one.cell.hospitals),
            f"{one.cell.parameters:,}",
            seconds(one.cell.hospital),
            seconds(one.hospital),
            seconds(one.cell.server),
            seconds(one.server),
            f"{both:+.0%}",
        )
    console.print(table)
    both, hospital, server = (sum(abs(part) <= WITHIN for part in parts) for parts in zip(*off, strict=True))
    console.print(
        f"{both} of {len(off)} within {WITHIN:.0%} altogether; {hospital} of a hospital's alone, {server} of the "
        "server's.",
        highlight=False,
    )


def _off(one: Check) -> tuple[float, float, float]:
    """By which part of what was measured the model is off: altogether, of the hospitals, and of the server."""
    cell = one.cell
    return (
        (one.hospital + one.server) / (cell.hospital + cell.server) - 1,
        one.hospital / cell.hospital - 1,
        one.server / cell.server - 1,
    )


def _document(
    setting: Setting,
    wanted: Wanted,
    clip: float,
    place: str,
    line: Network,
    found: Sequence[Prospect],
    checks: Sequence[Check],
    held: Sequence[Check],
    drawn: Sequence[Path],
    model: Model,
) -> dict[str, Any]:
    return {
        "setting": {
            "hospitals": setting.hospitals,
            "parameters": setting.parameters,
            "bits": setting.bits,
            "clip": clip,
            "dropout": setting.dropout,
        },
        "wanted": {"colluding": wanted.colluding, "server_breaks": wanted.server_breaks},
        "network": {"name": place, "latency": line.latency, "down": line.down, "up": line.up},
        "error_bound": estimate.error_bound(setting, clip),
        "strategies": [one._asdict() for one in found],
        "validation": [_checked(one) for one in checks],
        "against": [_checked(one) for one in held],
        "processors_busy_with_others": model.others,
        "files": [str(path) for path in drawn],
    }


def _checked(one: Check) -> dict[str, Any]:
    return {
        "strategy": one.strategy,
        "hospitals": one.cell.hospitals,
        "parameters": one.cell.parameters,
        "hospital_cpu": one.cell.hospital,
        "hospital_cpu_foreseen": one.hospital,
        "server_cpu": one.cell.server,
        "server_cpu_foreseen": one.server,
    }


def _draw(
    found: Sequence[Prospect],
    setting: Setting,
    names: Sequence[str],
    key_bits: int,
    model: Model,
    folder: Path,
    follow: Follow,
) -> list[Path]:
    """CPU and bytes against hospitals, as far as a million; dashed where nothing was measured."""
    served = {one.strategy for one in found if not one.why_not}
    lines: dict[str, list[tuple[int, float, float, float]]] = {}
    families: dict[str, str] = {}
    reaches: dict[str, int] = {}
    for place, name in enumerate(names):
        follow(f"curve: {label(name)}", place, len(names))
        if label(name) not in served:
            continue
        points = []
        for hospitals in CURVE:
            one = replace(setting, hospitals=hospitals, dropout=0.0).under(name, key_bits)
            try:
                one.check()
                points.append((hospitals, *model.cpu(one), estimate.bytes_of(one, estimate.CURVE_EXACT).up))
            except FedsecError:
                continue
        lines[label(name)] = points
        reaches[label(name)], _ = model.reach(setting.under(name, key_bits))
        families[label(name)] = family(name)
    if not lines:
        raise ConfigurationError("no strategy can serve this setting: there is no curve to draw")
    drawn = outlook(lines, families, setting.parameters, reaches)
    contents = {f"plan.{kind}": figures.save(drawn, kind) for kind in ("svg", "png")}
    return files.write(folder.expanduser().absolute(), contents)

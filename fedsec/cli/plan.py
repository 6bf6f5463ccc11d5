"""`fedsec plan`: before any run, what fits, which strategies give the protection required, and what they would cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from fedsec.cli import report
from fedsec.cli.arguments import allowed, items, parse_network, print_left_out
from fedsec.cli.options import Json, print_json
from fedsec.cli.plan_tables import print_checks, print_doubts, print_estimates, print_extrapolated, print_what_would_fit
from fedsec.encoding.fixed_point import FixedPoint
from fedsec.errors import ConfigurationError, FedsecError, RunFailed
from fedsec.metering import NETWORKS, Network, network
from fedsec.report import figures, units
from fedsec.report import output as files
from fedsec.simulations.costs import machine
from fedsec.simulations.costs.machine import Load
from fedsec.simulations.costs.predict import calibrate as calibration
from fedsec.simulations.costs.predict import cost_model, curve_figure, estimate
from fedsec.simulations.costs.predict.cost_model import Model
from fedsec.simulations.costs.predict.estimate import CURVE, Estimate, Requirement
from fedsec.simulations.costs.predict.validation import Check, validate, validate_against
from fedsec.simulations.costs.setting import Setting, family, label
from fedsec.simulations.costs.sweep.comparison import COMPARISON
from fedsec.simulations.costs.sweep.parallel_jobs import ProgressCallback


def plan(
    colluding: Annotated[int, typer.Option(help="Hospitals that may collude with the server.")] = 0,
    malicious_server: Annotated[
        bool,
        typer.Option("--malicious-server", "--server-breaks", help="Require protection against a malicious server."),
    ] = False,
    dropout: Annotated[float, typer.Option(help="Fraction of the hospitals that may drop out in a round.")] = 0.0,
    hospitals: Annotated[int, typer.Option(help="Hospitals that take part in a round.")] = 5,
    parameters: Annotated[int, typer.Option(help="Parameters of the model: 100000, 1e5 or 11.2M.")] = 100_000,
    clip: Annotated[float, typer.Option(help="Largest change of a parameter in a round.")] = 4.0,
    bits: Annotated[int, typer.Option(help="Bits per value.")] = 24,
    key_bits: Annotated[int, typer.Option(help="Key size, for strategies that have keys.")] = 3072,
    net: Annotated[
        str, typer.Option("--network", metavar="NAME", help=f"{', '.join(NETWORKS)}, or NAME=MS,DOWN,UP (Mbit/s).")
    ] = "hospital-wan",
    strategies: Annotated[
        str,
        typer.Option(
            help="Names or files, separated by commas; parameters as NAME:PARAMETER=VALUE. `all`: the catalogue."
        ),
    ] = "all",
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure this machine again, in under a minute, for the cost model.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Keep what was measured even if the machine was busy meanwhile, and warn.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the curve up to a million hospitals: plan.svg and plan.png.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A finished comparison to check the cost model against.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Estimate what each strategy would cost in a setting, and whether it fits and protects as required.

    Nothing is trained. Bytes are exact up to 64 hospitals. CPU comes from a cost model of this machine, which is
    measured once, on a quiet machine: a calibration that others disturbed is not kept. What lies beyond what was
    measured is marked as extrapolated.

    Examples:

    `fedsec plan --calibrate`

    `fedsec plan --hospitals 20 --parameters 11.2M --network mobile`

    `fedsec plan --hospitals 10 --malicious-server --colluding 2 --dropout 0.2 --json`

    `fedsec plan --hospitals 30 --output results/plan`

    `fedsec plan --against results/compare`
    """
    names = estimate.variants() if strategies == "all" else [allowed(name) for name in items("strategies", strategies)]
    if strategies == "all":
        print_left_out(as_json)
    FixedPoint(bits, clip)
    if hospitals < 1:
        raise ConfigurationError(f"hospitals is {hospitals}; it must be at least 1")
    if not 0 <= colluding < hospitals:
        raise ConfigurationError(f"colluding is {colluding}; it must lie between 0 and {hospitals - 1}")
    setting = Setting(names[0], hospitals, parameters, bits, None, dropout)
    profile, link = parse_network(net) if "=" in net else (net, network(net))
    required = Requirement(colluding, malicious_server)
    compared = report.load(against.expanduser() / COMPARISON) if against is not None else None
    able = names if calibrate else [name for name in names if setting.under(name, key_bits).possible]
    model = _model(able, bits, key_bits, calibrate, anyway, as_json, hospitals)
    estimates = estimate.estimates(names, setting, required, link, model, key_bits)
    checks = validate(model)
    checks_against = validate_against(model, compared) if compared is not None else []
    if compared is not None and not checks_against:
        raise ConfigurationError(
            f"{against} holds no setting that was measured whole with strategies, bits and keys of the cost model"
        )
    drawn = []
    if output is not None:
        with _progress(Console(stderr=True, quiet=as_json)) as progress:
            drawn = _draw(estimates, setting, names, key_bits, model, output, progress)
    if as_json:
        document = _document(setting, required, clip, profile, link, model)
        document["strategies"] = [one._asdict() for one in estimates]
        document |= {"validation": list(map(_checked, checks)), "against": list(map(_checked, checks_against))}
        return print_json({**document, "files": [str(path) for path in drawn]})
    console = Console()
    print_estimates(console, setting, clip, profile, required, estimates)
    if all(one.why_not for one in estimates):
        least = estimate.least_hospitals(names, setting, required, key_bits)
        fits = estimate.able(names, replace(setting, hospitals=least), required, key_bits) if least else []
        print_what_would_fit(console, setting, least, fits)
    print_extrapolated(console, setting, estimates)
    print_doubts(console, model)
    if calibrate:
        print_checks(console, "settings that it was not fitted to", checks)
    if checks_against:
        print_checks(console, f"what {against} measured, at the machine's speed then", checks_against)
    for path in drawn:
        console.print(f"Curve: {path}", highlight=False, soft_wrap=True)


def _model(
    names: Sequence[str], bits: int, key_bits: int, fresh: bool, anyway: bool, quiet: bool, hospitals: int
) -> Model:
    """The kept model, with what is missing from it measured now.

    Raises RunFailed where the machine is too busy to be measured, unless it is to be kept anyway.
    """
    kept = None if fresh else cost_model.read(cost_model.home())
    fits = dict(kept.fits) if kept else {}
    missing = [name for name in names if cost_model.key(Setting(name, 3, 1, bits).under(name, key_bits)) not in fits]
    if missing:
        console = Console(stderr=True, quiet=quiet)
        earlier = cost_model.home().exists()
        if not anyway:
            _refuse_busy(machine.others_now(), "this machine is not measured now, because it is busy", earlier)
        console.print("Measuring this machine, once; it takes under a minute.", highlight=False)
        speed = kept.reference_seconds if kept else None
        with _progress(console) as progress:
            added = calibration.calibrate(
                missing, bits, key_bits, progress, hospitals=hospitals, reference_seconds=speed
            )
        if not anyway:
            _refuse_busy(added.load, "this calibration is not kept, because the machine was busy", earlier)
        load = added.load.worst(kept.load) if kept else added.load
        kept = Model(fits | dict(added.fits), added.reference_seconds, load)
        kept.write(cost_model.home())
    return kept or Model({}, 1.0)


def _refuse_busy(load: Load, what: str, earlier: bool) -> None:
    """Raise RunFailed, with what to do, where the machine was too busy."""
    if reasons := load.reasons():
        kept = " The calibration from before stays as it is." if earlier else ""
        raise RunFailed(
            f"{what}: {units.words(reasons)}. CPU would be predicted too high. Wait until other programs have finished "
            f"and give the same command again, or keep such a calibration with --anyway.{kept}"
        )


@contextmanager
def _progress(console: Console) -> Iterator[ProgressCallback]:
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("")
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _document(
    setting: Setting, required: Requirement, clip: float, profile: str, link: Network, model: Model
) -> dict[str, Any]:
    return {
        "setting": {
            "hospitals": setting.hospitals,
            "parameters": setting.parameters,
            "bits": setting.bits,
            "clip": clip,
            "dropout": setting.dropout,
        },
        "wanted": {"colluding": required.colluding, "malicious_server": required.malicious_server},
        "network": {"name": profile, "latency": link.latency, "down": link.down, "up": link.up},
        "error_bound": estimate.error_bound(setting, clip),
        "processors_busy_with_others": model.load.others,
        "calibration": {**model.load._asdict(), "busy": bool(model.load.reasons())},
    }


def _checked(check: Check) -> dict[str, Any]:
    return {
        "strategy": check.strategy,
        "hospitals": check.measured.hospitals,
        "parameters": check.measured.parameters,
        "hospital_cpu": check.measured.hospital,
        "hospital_cpu_predicted": check.hospital,
        "server_cpu": check.measured.server,
        "server_cpu_predicted": check.server,
    }


def _draw(
    estimates: Sequence[Estimate],
    setting: Setting,
    names: Sequence[str],
    key_bits: int,
    model: Model,
    folder: Path,
    progress: ProgressCallback,
) -> list[Path]:
    """CPU and bytes against hospitals, up to a million; dashed where nothing was measured."""
    able = {one.strategy for one in estimates if not one.why_not}
    lines: dict[str, list[tuple[int, float, float, float]]] = {}
    families: dict[str, str] = {}
    reaches: dict[str, int] = {}
    for index, name in enumerate(names):
        progress(f"curve: {label(name)}", index, len(names))
        if label(name) not in able:
            continue
        keyed = setting.under(name, key_bits)
        lines[label(name)] = _points(keyed, model)
        reaches[label(name)], _ = model.reach(keyed)
        families[label(name)] = family(name)
    if not lines:
        raise ConfigurationError("no strategy can serve this setting: there is no curve to draw")
    drawn = curve_figure.curve(lines, families, setting.parameters, reaches)
    contents = {f"plan.{kind}": figures.save(drawn, kind) for kind in ("svg", "png")}
    return files.write(folder.expanduser().absolute(), contents)


def _points(setting: Setting, model: Model) -> list[tuple[int, float, float, float]]:
    """Hospitals, CPU seconds of a hospital and of the server, and bytes up, as far as the strategy can be run."""
    points = []
    for hospitals in CURVE:
        larger = replace(setting, hospitals=hospitals, dropout=0.0)
        try:
            larger.check()
            points.append((hospitals, *model.cpu(larger), estimate.traffic_of(larger, estimate.CURVE_EXACT).up))
        except FedsecError:
            continue
    return points

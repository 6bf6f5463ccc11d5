"""`fedsec poster tables`: hospitals that train by summed gradients, counted as the poster did and as they should be."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from fedsec.cli.arguments import allowed, numbers
from fedsec.cli.options import Json, print_json
from fedsec.errors import ConfigurationError, RunFailed
from fedsec.simulations.poster import experiment_output
from fedsec.simulations.poster.tables.linear_regression import CORRECTED, LADDER, PUBLISHED, Follow, Lane, Task, task
from fedsec.simulations.poster.tables.secure_summation import Summation, finest
from fedsec.simulations.poster.tables.table_1_and_2 import (
    AGREEMENT,
    BUDGETS,
    RATES,
    SETTINGS,
    TOLERANCE,
    Outcome,
    Spread,
    Value,
    ladder,
    measure,
    spread,
    stable_below,
)
from fedsec.simulations.poster.tables.tables_figures import beside, scattered, trends
from fedsec.strategy_spec import StrategySpec

Option = typer.Option
WORDS = {"double": "alone: twice the steps compared with once"} | {one.name: one.words for one in LADDER}


def tables(
    strategy: Annotated[str, Option(help="Strategy, or its file; parameters as NAME:PARAMETER=VALUE.")] = "paillier",
    hospitals: Annotated[int, Option(help="Number of hospitals; the poster has 3.")] = 3,
    eta: Annotated[str, Option(help="Learning rates, separated by commas; by default the poster's.")] = "",
    iterations: Annotated[
        str, Option(help="Numbers of iterations, separated by commas; by default the poster's.")
    ] = "",
    seed: Annotated[int, Option(help="Seed of the row order; the poster's is 42.")] = 42,
    seeds: Annotated[int, Option(help="Seeds for the spread, computed in the clear; 0 skips it.")] = 200,
    output: Annotated[Path | None, Option(help="Folder for tables.json, tables.csv and the figures.")] = None,
    as_json: Json = False,
) -> None:
    """Tables 1.0 and 2.0: how far training together lowers each hospital's error.

    Gradients are summed under encryption. Each value is computed by the poster's definition, beside the value that the
    poster prints, and by a corrected definition that shows what training together gains.

    Examples:

    `fedsec poster tables`

    `fedsec poster tables --hospitals 5 --strategy shamir --output results/tables`

    `fedsec poster tables --eta 0.002 --iterations 50,500 --seeds 0 --json`
    """
    if seeds < 0:
        raise ConfigurationError(f"seeds is {seeds}; it must be at least 0")
    settings = _settings(eta, iterations)
    data = task(hospitals, seed)
    spec = StrategySpec.parse(allowed(strategy))
    experiment_output.make_folder(output)
    with experiment_output.progress() as follow:
        started = time.perf_counter()
        follow("keys", 0, 1)
        add = Summation(finest(spec.name, spec.parameters, hospitals), hospitals)
        found = measure(data, (PUBLISHED, CORRECTED), settings, add, follow)
        taken = time.perf_counter() - started
        spreads = _spreads(hospitals, seeds, follow)
    rungs = {setting: ladder(data, *setting) for setting in settings}
    facts = _facts(data, seed, add, found, taken, rungs, spreads)
    if output is not None:
        drawn = {"tables": beside(found.values)} if any(value.poster for value in found.values) else {}
        drawn |= {"tables-trends": trends(hospitals, seed)}
        drawn |= {"tables-spread": scattered(spreads)} if spreads else {}
        facts["files"] = experiment_output.write(
            output, "tables", facts, [_row(value) for value in found.values], drawn
        )
    if as_json:
        print_json(facts)
    else:
        _print_tables(facts, found, rungs)
    _judge(found, add)


def _settings(eta: str, iterations: str) -> list[tuple[float, int]]:
    if not eta and not iterations:
        return list(SETTINGS)
    rates = numbers("eta", eta, float) if eta else tuple(dict.fromkeys(rate for rate, _ in SETTINGS))
    counts = numbers("iterations", iterations, int) if iterations else tuple(sorted({count for _, count in SETTINGS}))
    chosen = list(product(rates, counts))
    for one in chosen:
        Lane(PUBLISHED, *one)
    return chosen


def _spreads(hospitals: int, seeds: int, follow: Follow) -> list[Spread]:
    """Both definitions at every rate at which the training of all seeds is stable."""
    out: list[Spread] = []
    wanted = list(product((PUBLISHED, CORRECTED), RATES)) if seeds else []
    for done, (definition, rate) in enumerate(wanted):
        follow(f"spread of {seeds} seeds", done, len(wanted))
        try:
            out.append(spread(hospitals, range(seeds), definition, rate))
        except ConfigurationError:
            continue  # it diverges: there is no gain to draw
    return out


def _facts(
    data: Task,
    seed: int,
    add: Summation,
    found: Outcome,
    taken: float,
    rungs: dict[tuple[float, int], dict[str, list[float]]],
    spreads: Sequence[Spread],
) -> dict[str, Any]:
    return {
        "strategy": add.protocol.name,
        "parameters": add.protocol.parameters(),
        "hospitals": len(data.parts),
        "rows": len(data.parts[0].target),
        "seed": seed,
        "rounds": add.rounds,
        "seconds": taken,
        "bytes_sent_by_hospitals": add.sent(),
        "largest_weight_difference": found.weights,
        "largest_deviation": found.worst,
        "tolerance": TOLERANCE,
        "resolution": add.resolution,
        "stable_below": {one.name: stable_below(data, one) for one in (PUBLISHED, CORRECTED)},
        "values": [_row(value) for value in found.values],
        "ladder": [
            {"definition": name, "words": WORDS[name], "eta": eta, "iterations": count, "gains": gains}
            for (eta, count), rung in rungs.items()
            for name, gains in rung.items()
        ],
        "trends": _trends(len(data.parts), seed),
        "spread": [_spread_row(one, index) for one in spreads for index in BUDGETS],
    }


def _trends(hospitals: int, seed: int) -> list[dict[str, Any]]:
    """The published cells over iterations and over eta, in the clear, as far as the training is stable."""
    out = []
    for eta, budgets in [(0.001, BUDGETS)] + [(rate, (100,)) for rate in RATES]:
        try:
            cells = spread(hospitals, [seed], PUBLISHED, eta, budgets).gains[0]
        except ConfigurationError:
            continue
        out += [{"eta": eta, "iterations": n, "gains": list(row)} for n, row in zip(budgets, cells, strict=True)]
    return out


def _row(value: Value) -> dict[str, Any]:
    return asdict(value) | {"deviation": value.deviation}


def _spread_row(one: Spread, iterations: int) -> dict[str, Any]:
    cells = one.at(iterations)
    low, middle, high = (float(x) for x in np.percentile(cells, (5, 50, 95)))
    return {
        "definition": one.definition.name,
        "eta": one.eta,
        "iterations": iterations,
        "seeds": len(cells),
        "mean": float(cells.mean()),
        "median": middle,
        "low": low,
        "high": high,
        "positive": float((cells > 0).mean()),
    }


def _print_tables(
    facts: dict[str, Any], found: Outcome, rungs: dict[tuple[float, int], dict[str, list[float]]]
) -> None:
    console = Console()
    table = Table(
        title=f"Error alone minus error together, {facts['hospitals']} hospitals, gradients summed by "
        f"{facts['strategy']}",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for heading in ("definition", "eta", "iterations", "hospital", "ours", "in the clear", "poster", "difference"):
        table.add_column(heading, justify="left" if heading == "definition" else "right")
    for value in found.values:
        table.add_row(
            value.definition,
            f"{value.eta:g}",
            str(value.iterations),
            str(value.hospital),
            f"{value.ours:.2f}",
            f"{value.plain:.2f}",
            "" if value.poster is None else f"{value.poster:.2f}" + ("*" if value.note else ""),
            "" if value.deviation is None else f"{value.deviation:+.2f}",
        )
    console.print(table)
    for value in found.values:
        if value.note:
            where = f"* hospital {value.hospital}, eta {value.eta:g}, {value.iterations} iterations"
            console.print(f"{where}: {value.note}", highlight=False)
    (eta, count), rung = list(rungs.items())[-1]
    steps = Table(title=f"What makes up the difference, eta {eta:g}, {count} iterations", box=box.SIMPLE)
    for heading in ("", "what is compared", "each hospital"):
        steps.add_column(heading)
    for name, gains in rung.items():
        steps.add_row(name, WORDS[name], "  ".join(f"{gain:.2f}" for gain in gains))
    console.print(steps)
    console.print(
        f"{facts['rounds']} secure sums took {facts['seconds']:.1f} s; the weights differ from plain training by at "
        f"most {facts['largest_weight_difference']:.1e}.",
        highlight=False,
    )


def _judge(found: Outcome, add: Summation) -> None:
    if found.worst is not None and found.worst > TOLERANCE:
        raise RunFailed(f"a value differs from the poster's by {found.worst:.2f}; the tolerance is {TOLERANCE}")
    if found.weights > AGREEMENT and add.resolution <= 2.0**-37:
        raise RunFailed(f"weights differ from plain training by {found.weights:.1e}; the tolerance is {AGREEMENT:.0e}")

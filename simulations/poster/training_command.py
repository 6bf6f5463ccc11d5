"""`fedsec poster shared-training`: what collapses, what does not, and what training on shares costs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from fedsec.cli import Json, print_json
from fedsec.errors import ConfigurationError
from fedsec.mpc.compiled import CompiledTwin, started
from fedsec.mpc.polynomial import secret_products
from fedsec.report import figures, files, units
from fedsec.simulations.poster import one_table, polynomials, training, training_figures, training_flower
from fedsec.simulations.poster.training import Cell, Follow

POSTER = {
    "maclaurin-5": "all, 10,247-14,499", "maclaurin-9": "all, 9,607-13,780", "maclaurin-3": "none; 0.59-0.67",
    "maclaurin-7": "none; 0.73-0.74", "fit-10": "none; 0.72-0.74", "fit-3": "none; 0.72-0.74",
    "exact": "none; 0.72-0.74", "clipped-3": "",
}  # fmt: skip
"""What an earlier experiment of ours found with another split and start, for 8 seeds and 30,000 iterations."""
NAMES = {
    "maclaurin-1": "Maclaurin 1", "maclaurin-3": "Maclaurin 3", "maclaurin-5": "Maclaurin 5",
    "maclaurin-7": "Maclaurin 7", "maclaurin-9": "Maclaurin 9", "fit-10": "fit of degree 10 on ±10",
    "fit-3": "fit of degree 3 on ±5", "clipped-3": "minimax 3, clipped at ±8", "clipped-5": "minimax 5, clipped at ±8",
    "pieces": "SecureML's pieces", "exact": "exact sigmoid (doubles)", "fit-3-on-10": "degree 3",
    "fit-5-on-10": "degree 5", "fit-7-on-10": "degree 7", "fit-11-on-10": "degree 11",
}  # fmt: skip
DRAWN = ("maclaurin-1", "maclaurin-3", "maclaurin-5", "maclaurin-7", "maclaurin-9", "fit-10")
TRAINED = ("maclaurin-3", "maclaurin-5", "maclaurin-7", "maclaurin-9", "fit-10", "clipped-3", "exact")
FITS = (3, 5, 7, 9, 11, 13, 15, 17, 20)
BOUNDED = "clipped-3"
COSTED = ((1, "clipped-5", 4), (2, "clipped-5", 4), (3, "maclaurin-5", 4), (3, "clipped-3", 4), (3, "pieces", 4),
          (2, "maclaurin-5", 10), (2, "clipped-3", 10))  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """How much is run."""

    seeds: int = 8
    iterations: int = 30_000
    bounded: int = 60_000
    shares: int = 10_000
    splits: int = 20
    deeper: int = 2
    steps: int = one_table.STEPS
    key_bits: int = 3072
    flower: int = 3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < (0 if name in ("splits", "shares", "deeper", "flower") else 1):
                raise ConfigurationError(f"{name} is {value}; it must be at least 1")


QUICK = Sizes(seeds=1, iterations=600, bounded=600, shares=60, splits=2, deeper=1, steps=200, key_bits=2048, flower=0)


def shared_training(
    seeds: Annotated[int, typer.Option(help="Starts of each activation in the table of collapses.")] = 8,
    iterations: Annotated[int, typer.Option(help="Iterations of each training in that table.")] = 30_000,
    bounded: Annotated[int, typer.Option(help="Iterations of the bounded design.")] = 60_000,
    shares: Annotated[int, typer.Option(help="Iterations of it on shares: a prefix.")] = 10_000,
    splits: Annotated[int, typer.Option(help="Splits to compare accuracy with plain training on.")] = 20,
    flower: Annotated[int, typer.Option(help="Iterations under Flower on Ray: a shorter prefix; 0 for none.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="Every part, too short to collapse: two minutes.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the results, and for what a later run goes on with.")] = Path(
        "results/shared-training"
    ),
    as_json: Json = False,
) -> None:
    """Train networks on secret-shared diabetes data: what collapses and when, what does not, and what it costs.

    Writes shared-training.json, four figures (SVG and PNG) and a file for each training. A run that was interrupted
    goes on where it stopped: give the same command again.

    Examples:

    `fedsec poster shared-training --quick --output results/quick`

    `fedsec poster shared-training --seeds 2 --iterations 15000`

    `fedsec poster shared-training --json > shared-training.json`
    """
    sizes = QUICK if quick else Sizes(seeds, iterations, bounded, shares, splits, flower=flower)
    folder = output.expanduser().absolute()
    with _progress(as_json) as follow:
        found = experiment(sizes, folder / "cells", follow)
    written = files.write(folder, _files(found))
    if as_json:
        return print_json({**found, "output": str(folder), "files": [str(path) for path in written]})
    _tell(Console(), found)
    Console().print(f"Written to {folder}", highlight=False)


@contextmanager
def _progress(quiet: bool) -> Iterator[Follow]:
    """Yields what shows each training; on stderr."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=16), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True, quiet=quiet), transient=True) as bar:
        task = bar.add_task("shared training", total=None)

        def follow(name: str, done: int, rate: float, loss: float, largest: float) -> None:
            said = f"{name}: {done:,} iterations, {rate:,.0f}/s, loss {loss:.4f}, largest weight {largest:.3g}"
            bar.update(task, description=said)

        yield follow


def experiment(sizes: Sizes, folder: Path, follow: Follow) -> dict[str, Any]:
    """Everything, from `folder` as far as it was made before."""
    cells = list(training.collapse_cells(sizes.iterations, sizes.seeds))
    cells += [Cell(3, f"fit-{degree}-on-10", 0, sizes.iterations) for degree in (3, 5, 7, 11)]
    deeper = [Cell(2, "maclaurin-5", seed, sizes.bounded) for seed in range(sizes.deeper)]
    long = Cell(3, BOUNDED, 0, sizes.bounded)
    split = [
        Cell(one_table.LAYERS, name, number, sizes.steps, split=number, rate=one_table.RATE)
        for number in range(sizes.splits)
        for name in (one_table.ACTIVATION, "exact")
    ]
    made = _all([*cells, *deeper, long, *split], folder, follow)
    found: dict[str, Any] = {
        "format": training.FORMAT, "sizes": vars(sizes), "rate": training.RATE, "polynomials": _polynomials(),
        "collapses": _collapses(cells, made), "deeper": [_short(made[cell.name]) for cell in deeper],
        "bounded": made[long.name], "accuracy": _accuracy(split, made),
        "curves": {cell.activation: made[cell.name]["curve"] for cell in cells if cell.seed == 0},
        "costs": [training.kept(folder, f"costs-{layers}-{name}-{hidden}",
                                lambda layers=layers, name=name, hidden=hidden: training.costs(layers, name, hidden))  # type: ignore[misc]
                  for layers, name, hidden in COSTED],
    }  # fmt: skip
    if sizes.shares:
        found["shares"] = _shares(sizes.shares, folder, follow)
    if sizes.flower:
        found["flower"] = training.kept(folder, f"flower-{sizes.flower}", lambda: training_flower.prefix(sizes.flower))
    found["table"] = one_table.table(sizes.steps, 0, folder, follow, sizes.key_bits)
    return found


def _all(cells: Sequence[Cell], folder: Path, follow: Follow) -> dict[str, dict[str, Any]]:
    """Each cell, two at a time: compiled code leaves the interpreter's lock."""
    made: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(2) as pool:
        waiting = {
            pool.submit(training.kept, folder, cell.name, lambda cell=cell: training.train(cell, follow)): cell  # type: ignore[misc]
            for cell in cells
        }
        try:
            for one in as_completed(waiting):
                made[waiting[one].name] = one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return made


def _polynomials() -> list[dict[str, Any]]:
    """Each approximation: how far it holds, how wrong it is on ±8 and ±16, and what it costs."""
    lines = {name: polynomials.design(name) for name in polynomials.DESIGNS}
    lines |= {
        f"fit-{degree}": polynomials.least_squares(degree, 10.0) for degree in FITS if f"fit-{degree}" not in lines
    }
    return [
        {
            "name": name, "said": NAMES.get(name, line.name), "degree": line.degree, "radius": polynomials.radius(line),
            "worst_8": polynomials.worst(line, 8.0), "worst_16": polynomials.worst(line, 16.0), "rounds": line.rounds,
            "products": line.products, "products_naive": secret_products(line.degree, naive=True),
        }
        for name, line in lines.items()
    ]  # fmt: skip


def _short(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {name: cell[name] for name in ("seed", "iterations", "collapsed", "accuracy", "why")}


def _collapses(cells: Sequence[Cell], made: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for activation in dict.fromkeys(cell.activation for cell in cells if cell.activation in POSTER):
        own = [_short(made[cell.name]) for cell in cells if cell.activation == activation]
        rows.append({"activation": activation, "name": NAMES[activation], "before": POSTER[activation], "cells": own})
    return rows


def _accuracy(cells: Sequence[Cell], made: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and deviation over the splits of the twin's accuracy and of plain training's, and of their difference."""
    by = {
        name: np.array([made[cell.name]["accuracy"] or np.nan for cell in cells if cell.activation == name])
        for name in (one_table.ACTIVATION, "exact")
    }
    if not cells:
        return {}
    off = by[one_table.ACTIVATION] - by["exact"]
    spread = {name: [float(values.mean()), float(values.std())] for name, values in (*by.items(), ("difference", off))}
    return {"splits": len(off), "layers": cells[0].layers, "iterations": cells[0].iterations} | spread


def _shares(iterations: int, folder: Path, follow: Follow) -> dict[str, Any]:
    """The bounded design on shares, and how far its weights lie from the twin's that rounds to nearest."""
    name = f"shares-{BOUNDED}-3-layers-4-hidden-seed-0-{iterations}"
    found = training.kept(folder, name, lambda: training.on_shares(3, BOUNDED, iterations, folder, follow=follow))
    rows, made = training.diabetes(), training.network(3, BOUNDED)
    twin = CompiledTwin(made, rows.features, rows.target, started(made, training.initial(made.shapes, 0)))
    twin.run(iterations)
    off = [
        float(np.abs(np.array(one) - other).max()) for one, other in zip(found["weights"], twin.reveal(), strict=True)
    ]
    return {name: value for name, value in found.items() if name != "weights"} | {"off_twin": max(off)}


def _files(found: Mapping[str, Any]) -> dict[str, bytes]:
    lines = {name: polynomials.design(name) for name in DRAWN}
    fits = {f"fit-{degree}-on-10": polynomials.least_squares(degree, 10.0) for degree in FITS}
    names = NAMES | {f"fit-{degree}-on-10": f"degree {degree}" for degree in FITS}
    curves, table = found["curves"], found["table"]
    trained = {name: curves[name] for name in TRAINED}
    degrees = {name: curves["fit-10" if name == "fit-9-on-10" else name] for name in
               ("fit-3-on-10", "fit-5-on-10", "fit-7-on-10", "fit-9-on-10", "fit-11-on-10")}  # fmt: skip
    drawn = {
        "approximation": training_figures.approximation(lines, trained, names),
        "degrees": training_figures.degrees(fits, degrees, names),
        "collapses": training_figures.collapses(found["collapses"]), "one-table": training_figures.one_table(table),
    }  # fmt: skip
    out = {
        f"shared-training-{name}.{kind}": figures.save(figure, kind)
        for name, figure in drawn.items()
        for kind in ("svg", "png")
    }
    return out | {"shared-training.json": json.dumps(found, indent=1).encode()}


def _tell(console: Console, found: Mapping[str, Any]) -> None:
    _tell_collapses(console, found)
    bounded, shares, accuracy = found["bounded"], found.get("shares"), found["accuracy"]
    end = (
        f"collapsed at {bounded['iterations']:,}"
        if bounded["collapsed"]
        else f"no collapse in {bounded['iterations']:,}"
    )
    console.print(
        f"{NAMES[BOUNDED]}, three layers: {end} iterations, accuracy {bounded['accuracy'] or 0:.3f}.", highlight=False
    )
    if shares:
        console.print(
            f"On shares: {shares['iterations']:,} iterations at {shares['iterations_per_second']:.1f}/s, accuracy "
            f"{shares['accuracy']:.3f}; weights within {shares['off_twin']:.2g} of the twin.", highlight=False
        )  # fmt: skip
    if flower := found.get("flower"):
        console.print(
            f"Under Flower on Ray: {flower['iterations']} iterations in {flower['seconds']:.1f} s, "
            f"{flower['exchanges']} exchanges, {units.size(flower['bytes'])}; the server holds no key.",
            highlight=False,
        )  # fmt: skip
    if accuracy:
        ours, plain, off = (accuracy[name] for name in (one_table.ACTIVATION, "exact", "difference"))
        console.print(
            f"Accuracy over {accuracy['splits']} splits, two layers: {ours[0]:.3f} ± {ours[1]:.3f}; plain "
            f"{plain[0]:.3f} ± {plain[1]:.3f}; difference {off[0]:+.3f} ± {off[1]:.3f}.", highlight=False
        )  # fmt: skip
    _tell_costs(console, found["costs"])
    table = _table("The same network, rows and seed, trained in every way")
    for heading in ("way", "accuracy", "CPU", "bytes", "rounds", "hospital-wan"):
        table.add_column(heading, justify="left" if heading == "way" else "right", no_wrap=True)
    for row in found["table"]:
        table.add_row(
            row["name"], f"{row['accuracy']:.3f}", units.seconds(row["cpu_seconds"]), units.size(row["bytes"]),
            f"{row['rounds']:,}", units.seconds(row["networks"]["hospital-wan"]),
        )  # fmt: skip
    console.print(table)
    console.print("Who learns what:", highlight=False)
    for row in found["table"]:
        console.print(f"  {row['name']}: {row['learns']}", style="dim", highlight=False)


def _tell_collapses(console: Console, found: Mapping[str, Any]) -> None:
    table = _table(f"Three layers, {found['sizes']['iterations']:,} iterations: where each seed collapsed")
    for heading in ("activation", "collapsed", "at iterations", "accuracy of the others", "an earlier experiment"):
        table.add_column(heading, overflow="fold")
    for row in found["collapses"]:
        at = [cell["iterations"] for cell in row["cells"] if cell["collapsed"]]
        left = [cell["accuracy"] for cell in row["cells"] if not cell["collapsed"]]
        span = f"{min(at):,}-{max(at):,}" if at else ""
        kept = f"{min(left):.2f}-{max(left):.2f} (median {statistics.median(left):.2f})" if left else ""
        table.add_row(row["name"], f"{len(at)} of {len(row['cells'])}", span, kept, row["before"])
    console.print(table)


def _tell_costs(console: Console, costs: Sequence[Mapping[str, Any]]) -> None:
    table = _table("One iteration on shares of 354 rows: layers x width, activation; CPU of a party and the dealer")
    for heading in ("network", "rounds", "open", "offline", "party", "dealer", "hosp.-wan"):
        table.add_column(heading, justify="left" if heading == "network" else "right", no_wrap=True)
    for row in costs:
        table.add_row(
            f"{row['layers']}x{row['hidden']} {row['activation']}", str(row["rounds"]),
            units.size(row["online_bytes"]), units.size(row["offline_bytes"]), units.seconds(row["party_cpu"]),
            units.seconds(row["dealer_cpu"]),
            units.seconds(row["networks"]["hospital-wan"]),
        )  # fmt: skip
    console.print(table)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))

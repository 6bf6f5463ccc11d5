"""`fedsec poster shared-training`: what collapses, what does not, and what training on shares costs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fedsec.cli.options import Json, print_json
from fedsec.cli.poster_shared_training_print import print_results
from fedsec.errors import ConfigurationError
from fedsec.mpc.compiled_twin import CompiledTwin, started
from fedsec.report import figures
from fedsec.report.output import write
from fedsec.simulations.poster import experiment_output
from fedsec.simulations.poster.shared_training import (
    sigmoid_approximations,
    trained_cells,
    training_comparison,
    training_data,
    training_figures,
    training_flower,
    training_network,
    training_on_shares,
    training_summary,
    twin_training,
)
from fedsec.simulations.poster.shared_training.sigmoid_approximations import BOUNDED, NAMES
from fedsec.simulations.poster.shared_training.trained_cells import Cell, Follow

DRAWN = ("maclaurin-1", "maclaurin-3", "maclaurin-5", "maclaurin-7", "maclaurin-9", "fit-10")
TRAINED = ("maclaurin-3", "maclaurin-5", "maclaurin-7", "maclaurin-9", "fit-10", "clipped-3", "exact")
COSTED = (
    (1, "clipped-5", 4),
    (2, "clipped-5", 4),
    (3, "maclaurin-5", 4),
    (3, "clipped-3", 4),
    (3, "pieces", 4),
    (2, "maclaurin-5", 10),
    (2, "clipped-3", 10),
)


@dataclass(frozen=True)
class Sizes:
    """How much is run."""

    seeds: int = 8
    iterations: int = 30_000
    bounded: int = 60_000
    shares: int = 10_000
    splits: int = 20
    deeper: int = 2
    steps: int = training_comparison.STEPS
    key_bits: int = 3072
    flower: int = 3
    xor_seeds: int = 12
    xor_iterations: int = 10_000

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 0 if name in ("splits", "shares", "deeper", "flower") else 1
            if value < least:
                raise ConfigurationError(f"{name} is {value}; it must be at least {least}")


QUICK = Sizes(
    seeds=1,
    iterations=600,
    bounded=600,
    shares=60,
    splits=2,
    deeper=1,
    steps=200,
    key_bits=2048,
    xor_seeds=2,
    xor_iterations=1000,
    flower=0,
)


def shared_training(
    seeds: Annotated[int, typer.Option(help="Random starts of each activation in the table of collapses.")] = 8,
    iterations: Annotated[int, typer.Option(help="Iterations of each training in the table of collapses.")] = 30_000,
    bounded: Annotated[int, typer.Option(help="Iterations with the clipped activation.")] = 60_000,
    shares: Annotated[int, typer.Option(help="Iterations with the clipped activation on real secret shares.")] = 10_000,
    splits: Annotated[int, typer.Option(help="Train and test splits, to compare accuracy with plain training.")] = 20,
    flower: Annotated[int, typer.Option(help="Iterations under Flower on Ray; 0 for none.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="Two minutes: every part, too short to collapse.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the results; a later run resumes from it.")] = Path(
        "results/shared-training"
    ),
    as_json: Json = False,
) -> None:
    """Train networks on secret-shared diabetes data: which collapse and when, which do not, and what it costs.

    Writes shared-training.json, four figures (SVG and PNG) and a file for each training. To resume an interrupted run,
    repeat the command.

    Examples:

    `fedsec poster shared-training --quick --output results/quick`

    `fedsec poster shared-training --seeds 2 --iterations 15000`

    `fedsec poster shared-training --json > shared-training.json`
    """
    sizes = QUICK if quick else Sizes(seeds, iterations, bounded, shares, splits, flower=flower)
    folder = output.expanduser().absolute()
    with _progress(as_json) as follow:
        found = experiment(sizes, folder / "cells", follow)
    written = write(folder, _files(found))
    experiment_output.keep_short(folder, "shared-training", quick)
    if as_json:
        return print_json({**found, "output": str(folder), "files": [str(path) for path in written]})
    print_results(Console(), found)
    Console().print(f"Written to {folder}", highlight=False)


@contextmanager
def _progress(quiet: bool) -> Iterator[Follow]:
    """Yields what shows each training; on stderr."""
    columns = SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True, quiet=quiet), transient=True) as bar:
        task = bar.add_task("shared training", total=None)

        def follow(name: str, done: int, rate: float, loss: float, largest: float) -> None:
            text = f"{done:,} at {rate:,.0f}/s, loss {loss:.4f}, |w| to {largest:.3g}: {name}"
            bar.update(task, description=text)

        yield follow


def experiment(sizes: Sizes, folder: Path, follow: Follow) -> dict[str, Any]:
    """Everything, from `folder` as far as it was made before."""
    cells = list(trained_cells.collapse_cells(sizes.iterations, sizes.seeds))
    cells += [Cell(3, f"fit-{degree}-on-10", 0, sizes.iterations) for degree in (3, 5, 7, 11)]
    deeper = [Cell(2, "maclaurin-5", seed, sizes.bounded) for seed in range(sizes.deeper)]
    long = Cell(3, BOUNDED, 0, sizes.bounded)
    split = [
        Cell(layers, name, number, sizes.steps, split=number, rate=training_comparison.RATE)
        for layers in (1, 2, 3)
        for number in range(sizes.splits)
        for name in (training_comparison.ACTIVATION, "exact")
    ]
    xor = list(trained_cells.xor_cells(sizes.xor_iterations, sizes.xor_seeds))
    made = _all([*cells, *deeper, long, *split, *xor], folder, follow)
    found: dict[str, Any] = {
        "format": trained_cells.FORMAT,
        "sizes": vars(sizes),
        "rate": training_network.RATE,
        "polynomials": training_summary.approximations(),
        "collapses": training_summary.collapses(cells, made),
        "deeper": [training_summary.short(made[cell.name]) for cell in deeper],
        "bounded": made[long.name],
        "accuracy": training_summary.accuracies(split, made),
        "xor": training_summary.xor(xor, made),
        "curves": {cell.activation: made[cell.name]["curve"] for cell in cells if cell.seed == 0},
        "costs": [_cost(folder, *one) for one in COSTED],
    }
    if sizes.shares:
        found["shares"] = _shares(sizes.shares, folder, follow)
    if sizes.flower:
        found["flower"] = trained_cells.kept(
            folder, f"flower-{sizes.flower}", lambda: training_flower.prefix(sizes.flower)
        )
    found["table"] = training_comparison.table(sizes.steps, 0, folder, follow, sizes.key_bits)
    return found


def _cost(folder: Path, layers: int, name: str, hidden: int) -> dict[str, Any]:
    return trained_cells.kept(
        folder, f"costs-{layers}-{name}-{hidden}", lambda: training_on_shares.costs(layers, name, hidden)
    )


def _all(cells: Sequence[Cell], folder: Path, follow: Follow) -> dict[str, dict[str, Any]]:
    """Each cell, two at a time: compiled code leaves the interpreter's lock."""
    made: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(2) as pool:
        waiting = {
            pool.submit(trained_cells.kept, folder, cell.name, partial(twin_training.train, cell, follow)): cell
            for cell in cells
        }
        try:
            for one in as_completed(waiting):
                made[waiting[one].name] = one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return made


def _shares(iterations: int, folder: Path, follow: Follow) -> dict[str, Any]:
    """The bounded design on shares, and how far its weights lie from the twin's that rounds to nearest."""
    name = f"shares-{BOUNDED}-3-layers-4-hidden-seed-0-{iterations}"
    found = trained_cells.kept(
        folder, name, lambda: training_on_shares.on_shares(3, BOUNDED, iterations, folder, follow=follow)
    )
    rows, made = training_data.diabetes(), training_network.network(3, BOUNDED)
    twin = CompiledTwin(made, rows.features, rows.target, started(made, training_network.initial(made.shapes, 0)))
    twin.run(iterations)
    off = [
        float(np.abs(np.array(one) - other).max()) for one, other in zip(found["weights"], twin.reveal(), strict=True)
    ]
    return {name: value for name, value in found.items() if name != "weights"} | {"off_twin": max(off)}


def _files(found: Mapping[str, Any]) -> dict[str, bytes]:
    lines = {name: sigmoid_approximations.design(name) for name in DRAWN}
    fits = {
        f"fit-{degree}-on-10": sigmoid_approximations.least_squares(degree, 10.0) for degree in training_summary.FITS
    }
    names = NAMES | {f"fit-{degree}-on-10": f"degree {degree}" for degree in training_summary.FITS}
    curves, table = found["curves"], found["table"]
    trained = {name: curves[name] for name in TRAINED}
    degrees = {
        name: curves["fit-10" if name == "fit-9-on-10" else name]
        for name in ("fit-3-on-10", "fit-5-on-10", "fit-7-on-10", "fit-9-on-10", "fit-11-on-10")
    }
    drawn = {
        "approximation": training_figures.approximation(lines, trained, names),
        "degrees": training_figures.degrees(fits, degrees, names),
        "collapses": training_figures.collapses(found["collapses"]),
        "one-table": training_figures.one_table(table),
    }
    out = {
        f"shared-training-{name}.{kind}": figures.save(figure, kind)
        for name, figure in drawn.items()
        for kind in ("svg", "png")
    }
    return out | {"shared-training.json": json.dumps(found, indent=1).encode()}

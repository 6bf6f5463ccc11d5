"""`fedsec compare`: what each strategy costs, measured here, and the report."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from fedsec import catalog, extras
from fedsec.cli.options import Json, print_json
from fedsec.cli.run import allow
from fedsec.errors import ConfigurationError, RunFailed
from fedsec.metering import NETWORKS, Network
from fedsec.report import page, sections
from fedsec.report.document import Cell, Comparison
from fedsec.report.quantities import seconds, size
from fedsec.simulations.costs.sweep import comparison
from fedsec.simulations.costs.sweep.comparison import COMPARISON
from fedsec.simulations.costs.sweep.parallel_jobs import Follow
from fedsec.simulations.costs.sweep.store import SWEEP, kept_sweep
from fedsec.simulations.costs.sweep.sweep import GIB, Sweep, impossible
from fedsec.simulations.run import processes
from fedsec.strategy_spec import StrategySpec

Value = TypeVar("Value", int, float)


class Engine(StrEnum):
    """Where rounds are run."""

    LOCAL = "local"
    FLOWER = "flower"


def compare(
    strategies: Annotated[
        str, typer.Option("--strategies", help="Names or files, with commas, as NAME:PARAMETER=VALUE too.")
    ] = "all",
    hospitals: Annotated[str, typer.Option(help="Numbers of hospitals.")] = "3,10",
    parameters: Annotated[str, typer.Option(help="Numbers of model parameters.")] = "10000",
    bits: Annotated[str, typer.Option(help="Bits of a value.")] = "24",
    key_bits: Annotated[str, typer.Option(help="Key sizes, for strategies that have keys.")] = "3072",
    dropout: Annotated[str, typer.Option(help="Parts of the hospitals that fall silent in a round.")] = "0",
    network: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MS,DOWN,UP", help="A network of your own: one-way latency in ms, Mbit/s."),
    ] = None,
    engine: Annotated[Engine, typer.Option(help="local: in process. flower: Flower on Ray.")] = Engine.LOCAL,
    repetitions: Annotated[
        int, typer.Option(help="Rounds to measure in each cell, at least; of brief ones more, from 3 on.")
    ] = 5,
    memory: Annotated[float, typer.Option(help="GiB that a cell may take.")] = 4.0,
    patience: Annotated[float, typer.Option(help="Seconds that a cell may take, about.")] = 10.0,
    task: Annotated[bool, typer.Option(help="Train a model on real data under each strategy as well.")] = True,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the results [default: results/compare, or a new one beside it].")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the sweep in the output folder.")] = False,
    as_json: Json = False,
) -> None:
    """Measure what each strategy costs: CPU, bytes, memory, exactness, and seconds on a network.

    Writes report.html, a page that needs nothing else, with its figures, comparison.json and cells.csv. A sweep that
    was interrupted goes on where it stopped: give the same command again.

    Examples:

    `fedsec compare`

    `fedsec compare --strategies shamir,paillier --hospitals 5 --parameters 1000,100000 --network clinic=30,50,10`

    `fedsec compare --strategies shamir,shamir:server=malicious,./mine.py --dropout 0,0.2 --output results/mine`

    `fedsec compare --engine flower --strategies plain,secagg --hospitals 5`
    """
    extras.require("ray", "`fedsec compare`")
    names = catalog.names() if strategies == "all" else [allowed(name) for name in items("strategies", strategies)]
    if strategies == "all":
        tell_left_out(as_json)
    sweep = Sweep(
        tuple(dict.fromkeys(names)),
        numbers("hospitals", hospitals, int),
        numbers("parameters", parameters, int),
        numbers("bits", bits, int),
        numbers("key-bits", key_bits, int),
        numbers("dropout", dropout, float),
        engine.value,
        repetitions,
        memory * GIB,
        patience,
        NETWORKS | dict(map(network_of, network or [])),
        task,
    )
    impossible(sweep)  # before --force takes what is there away
    folder = _folder(output, sweep, force)
    try:
        with processes.terminable(), _progress(as_json) as follow:
            found = comparison.compare(sweep, folder, follow)
            written = page.write(found, folder)
    except KeyboardInterrupt:
        said = f"interrupted; what is finished is kept in {folder}, and the same command goes on from there"
        Console(stderr=True, quiet=as_json).print(said, highlight=False, markup=False, soft_wrap=True)
        raise
    if as_json:
        document: dict[str, Any] = json.loads((folder / COMPARISON).read_text(encoding="utf-8"))
        print_json({**document, "output": str(folder), "files": [str(path) for path in written]})
    else:
        _tell(Console(), found, folder)
    if not any(cell.round for cell in found.cells):
        raise RunFailed(f"no cell was measured; the first says why: {found.cells[0].note}")


def allowed(text: str) -> str:
    """A strategy as a StrategySpec writes it; a file is allowed on this machine, and goes by its path."""
    spec = StrategySpec.parse(text)
    allow(spec.name)
    path = str(Path(spec.name).expanduser().resolve()) if spec.name.endswith(".py") else spec.name
    return str(StrategySpec(path, spec.parameters))


def tell_left_out(quiet: bool) -> None:
    """Say on standard error which strategies "all" does not hold here, and why."""
    for reason in catalog.left_out():
        Console(stderr=True, quiet=quiet).print(f"Left out: {reason}", highlight=False, markup=False, soft_wrap=True)


def items(name: str, text: str) -> list[str]:
    """What a list with commas holds."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not items:
        raise ConfigurationError(f"{name} is {text!r}; at least one value is needed")
    return items


def numbers(name: str, text: str, kind: Callable[[str], Value]) -> tuple[Value, ...]:
    """The numbers in a list with commas, each once; 1e5 and 10_000 are numbers too."""
    found = []
    for item in items(name, text):
        try:
            value = kind(item)
        except ValueError:
            try:
                exact = float(item)
            except ValueError:
                raise ConfigurationError(f"{name}: {item!r} is not a number") from None
            if not exact.is_integer():
                raise ConfigurationError(f"{name}: {item!r} is not a whole number") from None
            value = kind(str(int(exact)))
        found.append(value)
    return tuple(dict.fromkeys(found))


def network_of(text: str) -> tuple[str, Network]:
    """A network as the command line gives it: NAME=MS,DOWN,UP, in Mbit/s."""
    name, equals, rest = text.partition("=")
    try:
        latency, down, up = (float(item) for item in rest.split(","))
        name = name.strip() if all(map(math.isfinite, (latency, down, up))) else ""
    except ValueError:
        name = ""
    if not (name and equals):
        raise ConfigurationError(f"network {text!r}: NAME=LATENCY,DOWN,UP was expected, in ms and Mbit/s")
    return name, Network(latency / 1e3, down * 1e6 / 8, up * 1e6 / 8)


def _folder(output: Path | None, sweep: Sweep, force: bool) -> Path:
    """Where the sweep is kept: a new folder, or one with a sweep that goes on."""
    if output is None:
        stem = Path("results") / "compare"
        places = (stem if number == 1 else stem.with_name(f"compare-{number}") for number in range(1, sys.maxsize))
        return next(place for place in places if _goes_on(place, sweep) and not (place / page.PAGE).exists()).absolute()
    folder = output.expanduser().absolute()
    if folder.exists() and not (folder.is_dir() and ((folder / SWEEP).is_file() or not any(folder.iterdir()))):
        raise ConfigurationError(f"output {folder} exists and holds no sweep; choose another folder")
    if folder.exists() and force:
        shutil.rmtree(folder)
    return folder


def _goes_on(place: Path, sweep: Sweep) -> bool:
    if not place.exists():
        return True
    return bool(kept_sweep(place / SWEEP) == json.loads(json.dumps(sweep.how())))


@contextmanager
def _progress(quiet: bool) -> Iterator[Follow]:
    """Yields what shows how far the sweep is; on stderr, so that stdout stays clean."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True, quiet=quiet), transient=True) as bar:
        stages: dict[float, Any] = {}

        def follow(what: str, done: float, total: float) -> None:
            if total not in stages:
                for task in stages.values():
                    bar.update(task, visible=False)
                stages[total] = bar.add_task(what, total=total)
            bar.update(stages[total], description=what, completed=done)

        yield follow


def _tell(console: Console, found: Comparison, folder: Path) -> None:
    """A table for each setting, the cheapest strategy first; of many settings the first few."""
    settings = list(dict.fromkeys(map(_setting, found.cells)))
    place = sections.network(found)[0]
    for setting in settings[:TABLES]:
        table = Table(title=setting, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
        table.add_column("strategy", overflow="fold", min_width=18)
        for heading in ("hospital", "server", "up", "down", "phases", place):
            table.add_column(heading, justify="right")
        done = [cell for cell in found.cells if _setting(cell) == setting and cell.round]
        if not done:
            continue
        here = {(cell.strategy, cell.key_bits): cell for cell in reversed(done)}  # two dropouts may silence as many
        for cell in sorted(here.values(), key=lambda cell: cell.seconds.get(place, float("inf"))):
            table.add_row(_name(cell, found) + MARKS.get(cell.status, ""), *_row(cell, place))
        console.print(table)
    if len(settings) > TABLES:
        console.print(f"{len(settings) - TABLES} more settings are in the report.", highlight=False)
    for cell in found.cells:
        if cell.note:
            text = f"{MARKS.get(cell.status, '-')} {cell.strategy}, {_setting(cell)}: {cell.note}"
            console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if any(cell.round for cell in found.cells):
        console.print(
            "Medians: CPU of each phase's slowest hospital and of the server; a hospital's bytes, on average; seconds "
            "from end to end.",
            highlight=False,
        )
    console.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


TABLES, MARKS = 6, {"extrapolated": "*", "one-client": "†"}


def _setting(cell: Cell) -> str:
    silent = f", {cell.silent} silent" if cell.silent else ""
    return f"{cell.hospitals} hospitals, {cell.parameters:,} parameters of {cell.bits} bits{silent}"


def _name(cell: Cell, found: Comparison) -> str:
    """The strategy, with its key size where there are several."""
    sizes = {other.key_bits for other in found.cells if other.key_bits}
    return StrategySpec.parse(cell.strategy).title + (f" {cell.key_bits}" if cell.key_bits and len(sizes) > 1 else "")


def _row(cell: Cell, place: str) -> list[str]:
    one = cell.round
    if one is None:
        return []
    return [
        seconds(one.hospital_cpu_most.median),
        "-" if cell.status == "one-client" else seconds(one.server_cpu.median),
        size(round(one.up)),
        size(round(one.down)),
        str(one.phases),
        seconds(cell.seconds[place]) if place in cell.seconds else "-",
    ]

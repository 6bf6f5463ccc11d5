"""`fedsec compare`: what each strategy costs, measured here, and the report."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fedsec import catalog, extras
from fedsec.cli.arguments import allowed, items, numbers, parse_network, print_left_out
from fedsec.cli.compare_tables import print_comparison, recommended
from fedsec.cli.options import Json, print_json
from fedsec.errors import ConfigurationError, RunFailed
from fedsec.metering import NETWORKS
from fedsec.protocol import ServerModel
from fedsec.report import page
from fedsec.report.ranking import Trust
from fedsec.simulations.costs.sweep import comparison
from fedsec.simulations.costs.sweep.comparison import COMPARISON
from fedsec.simulations.costs.sweep.parallel_jobs import ProgressCallback
from fedsec.simulations.costs.sweep.store import SWEEP, kept_sweep
from fedsec.simulations.costs.sweep.sweep import GIB, Sweep, impossible
from fedsec.simulations.run import processes
from fedsec.simulations.run.engines import Engine


def compare(
    server: Annotated[
        ServerModel | None, typer.Option(help="Trust: what the server may do. Nothing is recommended without it.")
    ] = None,
    colluding: Annotated[
        int | None, typer.Option(metavar="N", help="Trust: how many hospitals may collude with the server.")
    ] = None,
    may_drop_out: Annotated[
        int | None, typer.Option(metavar="N", help="Trust: how many hospitals may drop out, in any phase of a round.")
    ] = None,
    strategies: Annotated[
        str,
        typer.Option("--strategies", help="Names or files, separated by commas; parameters as NAME:PARAMETER=VALUE."),
    ] = "all",
    hospitals: Annotated[str, typer.Option(help="Numbers of hospitals.")] = "3,10",
    parameters: Annotated[str, typer.Option(help="Numbers of model parameters: 10000, 1e4 or 11.2M.")] = "10000",
    bits: Annotated[str, typer.Option(help="Bits per value.")] = "24",
    key_bits: Annotated[str, typer.Option(help="Key sizes, for strategies that have keys.")] = "3072",
    dropout: Annotated[str, typer.Option(help="Fractions of the hospitals that drop out in a round.")] = "0",
    network: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MS,DOWN,UP", help="A network of your own: one-way latency in ms, then Mbit/s."),
    ] = None,
    engine: Annotated[Engine, typer.Option(help="local: in process. flower: Flower on Ray.")] = Engine.LOCAL,
    repetitions: Annotated[
        int, typer.Option(help="Rounds to measure in each setting; from 3 on, short rounds are repeated more often.")
    ] = 5,
    memory: Annotated[float, typer.Option(help="Memory that a round may take, in GiB.")] = 4.0,
    patience: Annotated[float, typer.Option(help="Approximate seconds to spend on each setting.")] = 10.0,
    task: Annotated[bool, typer.Option(help="Also train a model on real data with each strategy.")] = True,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the results [default: results/compare, or a new one beside it].")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the sweep in the output folder.")] = False,
    as_json: Json = False,
) -> None:
    """Measure what each strategy costs: CPU, bytes, memory, exactness, and round time on a network.

    Trust comes before cost: a strategy is recommended once you say what the server may do, how many hospitals may
    collude with it and how many may drop out, here or on the page.

    Writes report.html, a self-contained page, with its figures, comparison.json and cells.csv. An interrupted sweep
    continues where it stopped when the same command is given again.

    Examples:

    `fedsec compare`

    `fedsec compare --server malicious --colluding 1 --may-drop-out 1 --hospitals 10`

    `fedsec compare --strategies shamir,paillier --hospitals 5 --parameters 1000,100000 --network clinic=30,50,10`

    `fedsec compare --strategies shamir,shamir:server=malicious,./mine.py --dropout 0,0.2 --output results/mine`

    `fedsec compare --engine flower --strategies plain,secagg --hospitals 5`
    """
    trust = _trust(server, colluding, may_drop_out)
    for module in ("ray", "jinja2", "matplotlib"):  # the last two draw the report, once all is measured
        extras.require(module, "`fedsec compare`")
    names = catalog.names() if strategies == "all" else [allowed(name) for name in items("strategies", strategies)]
    if strategies == "all":
        print_left_out(as_json)
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
        NETWORKS | dict(map(parse_network, network or [])),
        task,
    )
    impossible(sweep)  # before --force takes what is there away
    folder = _folder(output, sweep, force)
    try:
        with processes.terminable(), _progress(as_json) as progress:
            compared = comparison.compare(sweep, folder, progress)
            written = page.write(compared, folder, trust)
    except KeyboardInterrupt:
        message = f"Interrupted. Finished measurements are kept in {folder}; give the same command again to continue."
        Console(stderr=True, quiet=as_json).print(message, highlight=False, markup=False, soft_wrap=True)
        raise
    if as_json:
        document: dict[str, Any] = json.loads((folder / COMPARISON).read_text(encoding="utf-8"))
        print_json(
            {
                **document,
                "trust": trust._asdict(),
                "recommended": recommended(compared, trust),
                "output": str(folder),
                "files": [str(path) for path in written],
            }
        )
    else:
        print_comparison(Console(), compared, folder, trust)
    if not any(cell.round for cell in compared.cells):
        raise RunFailed(f"no setting was measured; the first reason: {compared.cells[0].note}")


def _trust(server: ServerModel | None, colluding: int | None, dropouts: int | None) -> Trust:
    """The answers about trust; raises ConfigurationError where a number of hospitals is below 0."""
    for name, count in (("colluding", colluding), ("may-drop-out", dropouts)):
        if count is not None and count < 0:
            raise ConfigurationError(f"{name} is {count}; it must be at least 0")
    return Trust(server.value if server else "", colluding, dropouts)


def _folder(output: Path | None, sweep: Sweep, force: bool) -> Path:
    """Where the sweep is kept: a new folder, or one with a sweep that continues."""
    if output is None:
        stem = Path("results") / "compare"
        folders = (stem if number == 1 else stem.with_name(f"compare-{number}") for number in range(1, sys.maxsize))
        free = (path for path in folders if _continues(path, sweep) and not (path / page.PAGE).exists())
        return next(free).absolute()
    folder = output.expanduser().absolute()
    if folder.exists() and not (folder.is_dir() and ((folder / SWEEP).is_file() or not any(folder.iterdir()))):
        raise ConfigurationError(f"output {folder} exists and holds no sweep; choose another folder")
    if folder.exists() and force:
        shutil.rmtree(folder)
    return folder


def _continues(folder: Path, sweep: Sweep) -> bool:
    """Whether there is nothing yet, or the same sweep."""
    if not folder.exists():
        return True
    return bool(kept_sweep(folder / SWEEP) == json.loads(json.dumps(sweep.how())))


@contextmanager
def _progress(quiet: bool) -> Iterator[ProgressCallback]:
    """Yields a function that shows how far the sweep is; on stderr, so that stdout stays clean."""
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

        def progress(what: str, done: float, total: float) -> None:
            if total not in stages:
                for task in stages.values():
                    bar.update(task, visible=False)
                stages[total] = bar.add_task(what, total=total)
            bar.update(stages[total], description=what, completed=done)

        yield progress

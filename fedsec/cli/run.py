"""`fedsec run`: one federated run on real data, live, and its result in a folder."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fedsec import catalog, extras
from fedsec.app.config import AGGREGATORS, FEWEST, OWN_ROWS, RunConfig
from fedsec.app.progress import PROGRESS
from fedsec.cli.options import (
    Clients,
    Data,
    Drop,
    Json,
    Label,
    MinimumRows,
    OneClass,
    Partition,
    Person,
    Positive,
    SchemaFile,
    Site,
    print_json,
)
from fedsec.data import registry
from fedsec.errors import ConfigurationError, DataError, RunFailed
from fedsec.learning.models import EXTRAS, MODELS
from fedsec.report import run_document, run_page
from fedsec.simulations.run import hospitals, live_view
from fedsec.simulations.run import tensorboard as trackers
from fedsec.simulations.run.launcher import flower_run, make_app
from fedsec.strategy_spec import StrategySpec

DEFAULTS = RunConfig.model_validate({})
COMPONENTS = ("fedsec.app.server_app:server", "fedsec.app.client_app:client")


def run(
    strategy: Annotated[
        str, typer.Option(help="A strategy's name (see `fedsec strategies`) or a file, as NAME:PARAMETER=VALUE too.")
    ] = DEFAULTS.strategy,
    dataset: Annotated[str, typer.Option(help=f"One of {', '.join(registry.LOADERS)}.")] = DEFAULTS.dataset,
    data: Data = "",
    site: Site = "",
    label: Label = "",
    positive: Positive = "",
    person: Person = "",
    drop: Drop = "",
    schema: SchemaFile = "",
    minimum_rows: MinimumRows = 0,
    one_class: OneClass = False,
    model: Annotated[str, typer.Option(help=f"auto, {', '.join([*MODELS, *EXTRAS])}.")] = DEFAULTS.model,
    partition: Partition = DEFAULTS.partition,
    clients: Clients = 0,
    rounds: Annotated[int, typer.Option(help="Rounds of training.")] = DEFAULTS.rounds,
    fraction: Annotated[
        float, typer.Option(help="Share of the hospitals that a round of training samples.")
    ] = DEFAULTS.fraction,
    cohort: Annotated[
        str, typer.Option(help="sampled: others each round; fixed: the same, and a round without one of them is void.")
    ] = DEFAULTS.cohort,
    equal_weights: Annotated[
        bool, typer.Option("--equal-weights", help="Hospitals count alike, so that no row count enters a sum.")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Partition, initial weights and local training; never keys.")
    ] = DEFAULTS.seed,
    aggregator: Annotated[str, typer.Option(help=f"{', '.join(AGGREGATORS)}.")] = DEFAULTS.aggregator,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter of the strategy.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Local passes a round.")] = DEFAULTS.epochs,
    batch_size: Annotated[int, typer.Option(help="Rows of a mini-batch.")] = DEFAULTS.batch_size,
    learning_rate: Annotated[
        float, typer.Option(help="Local step size; 0 is the task's default.")
    ] = DEFAULTS.learning_rate,
    proximal: Annotated[float, typer.Option(help="mu of FedProx.")] = DEFAULTS.proximal,
    clip: Annotated[float, typer.Option(help="Largest change of a coordinate in a round.")] = DEFAULTS.clip,
    largest_weight: Annotated[
        int, typer.Option(help="Largest number of rows at a hospital; 0 is the power of ten above the largest.")
    ] = DEFAULTS.largest_weight,
    phase_timeout: Annotated[float, typer.Option(help="Seconds that a phase may take.")] = DEFAULTS.phase_timeout,
    timeout: Annotated[float, typer.Option(help="Seconds that the whole run may take.")] = 3600.0,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the results [default: a new one in results/].")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output folder if it exists.")] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write TensorBoard event files there, while the run goes on.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a model across hospitals under Flower and Ray; the server learns sums only.

    The result folder holds report.html with its figures, result.json, ledger.csv (what each phase cost), the model as
    safetensors and the log.

    Examples:

    `fedsec run`

    `fedsec run --strategy paillier --dataset diabetes --rounds 3`

    `fedsec run --dataset randhie --strategy secagg`

    `fedsec run --data rows.csv --site hospital --label died --person patient`

    `fedsec run --clients 10 --partition label-skew --model mlp -p threshold=7`

    `fedsec run --dataset lung --cohort fixed --tensorboard runs`

    `fedsec run --strategy ./my_strategy.py --output results/mine --json`
    """
    extras.require("ray", "`fedsec run`")
    spec = StrategySpec.parse(strategy).with_options(parameter or [])
    config = RunConfig.read(
        {
            **rows_of(dataset, data, site, label, positive, person, drop, schema, minimum_rows, one_class),
            "fraction": fraction,
            "cohort": cohort,
            "equal-weights": equal_weights,
            "strategy": allow(spec.name),
            "parameters": spec.json,
            "model": model,
            "partition": partition,
            "rounds": rounds,
            "seed": seed,
            "aggregator": aggregator,
            "epochs": epochs,
            "batch-size": batch_size,
            "learning-rate": learning_rate,
            "proximal": proximal,
            "clip": clip,
            "largest-weight": largest_weight,
            "phase-timeout": phase_timeout,
            "clients": clients,
        }
    )
    if not timeout > 0:
        raise ConfigurationError(f"timeout is {timeout}; it must be above 0 seconds")
    config = check(config)
    target = _target(output, config.strategy, config.named, force)
    board = None if tensorboard is None else tensorboard.expanduser() / target.name
    with trackers.tensorboard(board) as listen, _staged(target) as folder:
        with live_view.live(folder / PROGRESS, config, as_json, listen) as follow:
            _drive(config.model_copy(update={"output": str(folder)}), folder, timeout, follow)
        document, _ = run_document.load(folder)
    run_page.write(target)  # the results are in their place before they are drawn
    if as_json:
        return print_json({**document.model_dump(mode="json"), "output": str(target)})
    live_view.summary(Console(), document, target)


def rows_of(
    dataset: str,
    data: str,
    site: str,
    label: str,
    positive: str,
    person: str,
    drop: str,
    schema: str,
    minimum_rows: int,
    one_class: bool,
) -> dict[str, Any]:
    """The options that say which rows there are, as a run's configuration has them; files by their absolute paths.

    Raises ConfigurationError for the data set of a deployment: these commands simulate.
    """
    if dataset == OWN_ROWS:
        raise ConfigurationError(
            f"dataset is {OWN_ROWS}, which is for a deployment, where each hospital's node names its own file: to "
            "simulate hospitals on your own rows, use --data PATH in place of --dataset"
        )
    return {
        "dataset": dataset,
        "data": _absolute(data),
        "site": site,
        "label": label,
        "positive": positive,
        "person": person,
        "drop": drop,
        "schema-file": _absolute(schema),
        "minimum-rows": minimum_rows,
        "one-class": one_class,
    }


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute()) if path else ""


def check(config: RunConfig) -> RunConfig:
    """The run with what its data decide; what cannot work is found before anything starts."""
    if 0 < config.clients < FEWEST:
        config.prove(config.clients)
    try:
        here = hospitals.of_config(config, config.clients)
        config.training(here.train.task)
    except DataError as error:  # what the user gave: a usage that cannot work
        raise ConfigurationError(str(error)) from error
    config = config.resolved([len(part) for part in here.parts])
    config.prove(config.clients)
    return config


def allow(strategy: str) -> str:
    """The name of a strategy; a file is allowed on this machine, here and in the processes that we start."""
    catalog.strategy(strategy)
    if not strategy.endswith(".py"):
        return strategy
    path = Path(strategy).expanduser().resolve()
    allowed = [str(path), os.environ.get(catalog.FILES_VARIABLE, "")]
    os.environ[catalog.FILES_VARIABLE] = os.pathsep.join(filter(None, allowed))
    return path.stem


def _target(output: Path | None, strategy: str, dataset: str, force: bool) -> Path:
    """Where the results go: a path that does not exist yet, unless it may be replaced."""
    if output is None:
        stem = Path("results") / f"{strategy}-{dataset}"
        taken = (stem if number == 1 else stem.with_name(f"{stem.name}-{number}") for number in range(1, sys.maxsize))
        return next(path for path in taken if not path.exists()).absolute()
    target = output.expanduser().absolute()
    if target.exists() and not force:
        raise ConfigurationError(f"output {target} exists already; choose another, or replace it with --force")
    if target.exists() and not (
        target.is_dir() and (not any(target.iterdir()) or (target / run_document.RESULT).is_file())
    ):
        raise ConfigurationError(f"output {target} is not the folder of an earlier run; --force does not replace it")
    return target


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its place when all went well; what was there before is kept until then."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise ConfigurationError(f"output {target} cannot be written: {error.strerror}") from error
    try:
        yield folder
        (folder / PROGRESS).unlink(missing_ok=True)
        folder.chmod(0o755)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent)) / target.name
            os.replace(target, old)
            os.replace(folder, target)
            shutil.rmtree(old.parent)
        else:
            os.replace(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _drive(config: RunConfig, folder: Path, timeout: float, follow: live_view.Follow) -> None:
    """Run the Flower app to its end, showing its progress."""
    values, log = config.model_dump(by_alias=True), folder / "run.log"
    with tempfile.TemporaryDirectory(prefix="fedsec-app-") as place:
        app = make_app(Path(place), *COMPONENTS, DEFAULTS.model_dump(by_alias=True))
        with flower_run(app, values, config.clients, timeout=timeout, log=log) as live:
            for status in live.poll(0.2):
                follow(status)
            follow("finished")
    if not (folder / run_document.RESULT).is_file():
        raise RunFailed("Flower reports success, and the run left no result")

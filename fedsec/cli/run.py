"""`fedsec run`: one federated run on real data, live, and its result in a folder."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedsec import extras
from fedsec.app.config import FEWEST, RunConfig
from fedsec.app.progress import PROGRESS
from fedsec.cli.options import Engine, Json, print_json
from fedsec.cli.reading import print_reading
from fedsec.cli.run_options import RUN, with_config
from fedsec.errors import ConfigurationError, DataError, RunFailed
from fedsec.report import run_document, run_page
from fedsec.simulations.run import hospitals, live_view
from fedsec.simulations.run.engine_failure import EngineFailed
from fedsec.simulations.run.launcher import flower_run, make_app
from fedsec.simulations.run.local_engine import local_run
from fedsec.simulations.run.tensorboard import tensorboard_writer

VOID = 3
"""The exit status where more rounds were void than allowed."""
COMPONENTS = ("fedsec.app.server_app:server", "fedsec.app.client_app:client")
LOG = "run.log"
STARTING = {Engine.FLOWER: "starting Flower and Ray", Engine.LOCAL: "starting"}


@with_config(*RUN)
def run(
    config: RunConfig,
    *,
    engine: Annotated[
        Engine, typer.Option(help="flower: Flower's simulation, on Ray. local: the same app in this process, sooner.")
    ] = Engine.FLOWER,
    timeout: Annotated[float, typer.Option(help="Seconds that the whole run may take. Above 0.")] = 3600.0,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the results [default: a new one in results/].")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output folder if it exists.")] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write TensorBoard event files there while the run goes on.")
    ] = None,
    allow_void: Annotated[
        int, typer.Option("--allow-void", metavar="N", help="Void rounds with which the exit status is still 0.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Train a model across hospitals under Flower; the server learns sums only.

    The result folder holds report.html with its figures, result.json, ledger.csv (what each phase cost), the model as
    safetensors and the log. They are written first; then the exit status is 1 if the run failed, and 3 if more than N
    of its rounds were void (--allow-void N).

    Examples:

    `fedsec run`

    `fedsec run --engine local`

    `fedsec run --strategy paillier --dataset diabetes --rounds 3`

    `fedsec run --dataset randhie --strategy secagg`

    `fedsec run --data rows.csv --site hospital --label died --person patient`

    `fedsec run --clients 10 --partition label-skew --model mlp -p threshold=7`

    `fedsec run --dataset lung --cohort fixed --tensorboard runs`

    `fedsec run --strategy ./my_strategy.py --output results/mine --json`
    """
    _require(engine)
    if not timeout > 0:
        raise ConfigurationError(f"timeout is {timeout}; it must be above 0 seconds")
    if allow_void < 0:
        raise ConfigurationError(f"allow-void is {allow_void}; a number of rounds was expected, 0 or more")
    config = check(config, None if as_json else Console())
    target = _target(output, config.strategy, config.data_name, force)
    board = None if tensorboard is None else tensorboard.expanduser() / target.name
    with tensorboard_writer(board) as listen, _staged(target) as folder:
        with live_view.live(folder / PROGRESS, config, as_json, listen, STARTING[engine]) as follow:
            failed = _drive(config.model_copy(update={"output": str(folder)}), folder, engine, timeout, follow)
        document, _ = run_document.load(folder)
    run_page.write(target, RunConfig.labels())  # the results are in their place before they are drawn
    if as_json:
        print_json({**document.model_dump(mode="json"), "output": str(target)})
    else:
        live_view.summary(Console(), document, target)
    if failed is not None:
        raise RunFailed(f"{failed}. Its log is {target / LOG}") from failed
    if document.void_rounds > allow_void:
        raise typer.Exit(VOID)


def _require(engine: Engine) -> None:
    """Raise ConfigurationError where a package is missing; jinja2 and matplotlib draw the page, once all is done."""
    for module in ("jinja2", "matplotlib"):
        extras.require(module, "`fedsec run`")
    if engine is Engine.FLOWER:
        try:
            extras.require("ray", "`fedsec run`")
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}; or do without it: --engine local") from None


def check(config: RunConfig, console: Console | None = None) -> RunConfig:
    """The run with what its data decide; what cannot work is found, and what looks wrong said, before it starts."""
    if 0 < config.clients < FEWEST:
        config.prove(config.clients)
    try:
        here = hospitals.of_config(config, config.clients)
        config.training(here.train.task)
    except DataError as error:  # what the user gave: a usage that cannot work
        raise ConfigurationError(str(error)) from error
    config = config.resolved([len(part) for part in here.parts])
    config.prove(config.clients)
    if console is not None:
        print_reading(console, here.train)
    return config


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
    except RunFailed as error:
        raise RunFailed(f"{error}{_kept(folder / LOG, target)}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _kept(log: Path, target: Path) -> str:
    """Keep the log of a failed run beside where its results would be; says where, as the end of an error."""
    if not log.is_file():
        return ""
    kept = target.with_name(f"{target.name}-failed.log")
    os.replace(log, kept)
    return f". Its log is {kept}"


def _drive(
    config: RunConfig, folder: Path, engine: Engine, timeout: float, follow: live_view.Follow
) -> RunFailed | None:
    """Run the app to its end, showing its progress; returns why it failed where it left a result as well."""
    left = folder / run_document.RESULT
    try:
        if engine is Engine.LOCAL:
            local_run(config, timeout=timeout, log_file=folder / LOG, follow=follow)
        else:
            _drive_flower(config, folder / LOG, timeout, follow)
    except EngineFailed as error:
        raise RunFailed(f"{error}, or do without Flower's processes and Ray: --engine local") from error
    except RunFailed as error:
        if not left.is_file():
            raise
        return error
    if not left.is_file():
        raise RunFailed("the run ended without an error, but left no result")
    return None


def _drive_flower(config: RunConfig, log: Path, timeout: float, follow: live_view.Follow) -> None:
    values = config.model_dump(by_alias=True)
    with tempfile.TemporaryDirectory(prefix="fedsec-app-") as place:
        app = make_app(Path(place), *COMPONENTS, RunConfig.read({}).model_dump(by_alias=True))
        with flower_run(app, values, config.clients, timeout=timeout, log=log) as live:
            for status in live.poll(0.2):
                follow(status)
            follow("finished")

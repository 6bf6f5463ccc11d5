"""One simulated run, from its options to its folder: what `fedsec run` and `run` in Python have in common."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedsec import extras
from fedsec.app.config import FEWEST, RunConfig
from fedsec.app.progress import PROGRESS
from fedsec.data.table import Table
from fedsec.errors import ConfigurationError, DataError, RunFailed, expect_new
from fedsec.report import run_document, run_page
from fedsec.report.run_document import RunDocument
from fedsec.simulations.run import claim, hospitals, study_file
from fedsec.simulations.run.engine_failure import EngineFailed
from fedsec.simulations.run.engines import Engine
from fedsec.simulations.run.launcher import flower_run, make_app
from fedsec.simulations.run.local_engine import local_run
from fedsec.simulations.run.study_file import Asked

Follow = Callable[[str], None]
"""Called with the run's state a few times a second."""
COMPONENTS = ("fedsec.app.server_app:server", "fedsec.app.client_app:client")
LOG = "run.log"


@dataclass(frozen=True)
class Finished:
    """What a run left. failed: why it failed, where it left a result as well; None where it did not fail."""

    folder: Path
    document: RunDocument
    failed: RunFailed | None


def drive(
    asked: Asked, config: RunConfig, target: Path, show: Callable[[Path], AbstractContextManager[Follow]]
) -> Finished:
    """Run what is asked for; the folder is put at `target` when all but the page is written.

    config: the configuration that was asked for, checked and completed (see `check`). show: given the file of the run's
    events, yields what follows it.

    Raises RunFailed where the run leaves no result; its log stays beside `target` then.
    """
    with claim.claimed(target), _staged(target) as folder:
        with show(folder / PROGRESS) as follow:
            running = config.model_copy(update={"output": str(folder)})
            failed = _drive(running, folder, asked.engine, asked.timeout, follow)
        document, _ = run_document.load(folder)
        study_file.write(folder, asked, document)
    run_page.write(target, RunConfig.labels(), png=False)  # the results are in their place before they are drawn
    return Finished(target, document, failed)


def require(engine: Engine, who: str) -> None:
    """Raise ConfigurationError where a package is missing; jinja2 and matplotlib draw the page, once all is done."""
    for module in ("jinja2", "matplotlib"):
        extras.require(module, who)
    if engine is Engine.FLOWER:
        try:
            extras.require("ray", who)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}; or do without it: --engine local") from None


def check(config: RunConfig) -> tuple[RunConfig, Table]:
    """The run with what its data decide, and its training rows; what cannot work is found before it starts."""
    if 0 < config.clients < FEWEST:
        config.prove(config.clients)
    try:
        here = hospitals.of_config(config, config.clients)
        config.training(here.train.task, here.train.outputs)
    except DataError as error:  # what the user gave: a usage that cannot work
        raise ConfigurationError(str(error)) from error
    config = config.resolved([len(part) for part in here.parts])
    config.prove(config.clients)
    return config, here.train


def target_folder(output: Path | None, strategy: str, dataset: str, force: bool) -> Path:
    """Where the results go: a path that does not exist yet, unless it may be replaced, and that no other run has.

    Where it is not given, it is claimed at once: of two runs that start together, each gets a folder of its own.
    """
    if output is None:
        stem = Path("results") / f"{strategy}-{dataset}"
        taken = (stem if number == 1 else stem.with_name(f"{stem.name}-{number}") for number in range(1, sys.maxsize))
        free = (path.absolute() for path in taken if not path.exists())
        return next(path for path in free if claim.take(path))
    target = output.expanduser().absolute()
    expect_new("output", target, force)
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
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"the run was interrupted{_kept(folder / LOG, target)}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _kept(log: Path, target: Path) -> str:
    """Keep the log of a run without a result beside where that would be; says where, as the end of an error."""
    if not log.is_file():
        return ""
    kept = target.with_name(f"{target.name}-failed.log")
    os.replace(log, kept)
    return f". Its log is {kept}"


def _drive(config: RunConfig, folder: Path, engine: Engine, timeout: float, follow: Follow) -> RunFailed | None:
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


def _drive_flower(config: RunConfig, log: Path, timeout: float, follow: Follow) -> None:
    values = config.model_dump(by_alias=True)
    with tempfile.TemporaryDirectory(prefix="fedsec-app-") as place:
        app = make_app(Path(place), *COMPONENTS, RunConfig.read({}).model_dump(by_alias=True))
        with flower_run(app, values, config.clients, timeout=timeout, log=log) as live:
            for status in live.poll(0.2):
                follow(status)
            follow("finished")

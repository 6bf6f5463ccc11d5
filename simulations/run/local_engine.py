"""A run in this process: the study's ServerApp and ClientApp, without Ray and without Flower's processes.

It runs the code that Flower would run, message by message, and gives the same bits.
"""

from __future__ import annotations

import _thread
import json
import logging
import secrets
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import IO, Any

from flwr.app import Context, RecordDict
from flwr.supercore import log

from fedsec.app import client_app, server_app
from fedsec.app.config import RunConfig
from fedsec.app.progress import PROGRESS
from fedsec.errors import FedsecError, RunFailed
from fedsec.flower.simulation import simulating
from fedsec.primitives.mersenne import when_loaded
from fedsec.simulations.run import processes
from fedsec.simulations.run.local_grid import SERVER, LocalGrid

EVERY = 0.2
"""Seconds between two looks at the run's events."""
AGAIN = 1.0
"""Seconds after which a run that was interrupted and goes on is interrupted again."""


def local_run(config: RunConfig, *, timeout: float, log_file: Path, follow: Callable[[str], None]) -> None:
    """One run from start to end; results and events go to the folder `config.output`.

    timeout: seconds. log_file: receives what Flower's processes would log. follow: called with the run's state a few
    times a second, in a thread of its own, and once more at the end.

    Raises RunFailed where the run ends without a result, with the cause, and KeyboardInterrupt for SIGINT and SIGTERM.
    """
    watch = _Watch(follow, timeout)
    values = config.model_dump(by_alias=True)
    run_id = secrets.randbits(63)
    try:
        with ExitStack() as stack:
            stack.enter_context(processes.terminable())
            stack.enter_context(logged(log_file))
            stack.enter_context(_noticing_compilation(Path(config.output) / PROGRESS))
            stack.enter_context(simulating())
            grid = LocalGrid(client_app.client, values, config.clients, run_id)
            stack.enter_context(watch)
            server_app.server(grid, Context(run_id, SERVER, {}, RecordDict(), values))
    except KeyboardInterrupt:
        if watch.failure is None:
            raise
        raise watch.failure from None
    except RunFailed:
        follow("failed")  # what led to it
        raise
    follow("finished")


class _Watch:
    """Follows the run's events in a thread, and interrupts the run when its time is over."""

    def __init__(self, follow: Callable[[str], None], timeout: float) -> None:
        self.failure: Exception | None = None
        self._follow, self._timeout = follow, timeout
        self._over, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._look, name="fedsec-watch", daemon=True)
        self._deadline = time.monotonic() + timeout

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *raised: object) -> None:
        with self._lock:  # from here on, nothing is interrupted
            self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(EVERY):
            try:
                self._follow("running")
                if time.monotonic() > self._deadline:
                    raise RunFailed(f"the run did not finish within {self._timeout:g} s")
            except Exception as error:
                self.failure = error
                return self._interrupt()

    def _interrupt(self) -> None:
        """Interrupt the run, and again where the interrupt came in a callback, whose exceptions Python ignores."""
        while True:
            with self._lock:
                if self._over.is_set():
                    return
                _thread.interrupt_main(signal.SIGTERM)  # SIGINT may be ignored, as in a shell's background
            self._over.wait(AGAIN)


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Flower's log, warnings and what is printed go to a file; an exception is written there, and becomes RunFailed."""
    logger = logging.getLogger("flwr")
    with path.open("w", encoding="utf-8", buffering=1) as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(levelname)-8s: %(message)s"))
        before, logger.handlers = logger.handlers, [handler]
        try:
            with redirect_stdout(file), warnings.catch_warnings():
                warnings.showwarning = _warning_writer(file)
                yield
        except Exception as error:
            log(logging.ERROR, traceback.format_exc())
            text = str(error) if isinstance(error, FedsecError) else f"{type(error).__name__}: {error}"
            raise RunFailed(f"the run failed: {text}") from error
        finally:
            logger.handlers = before


def _warning_writer(file: IO[str]) -> Callable[..., None]:
    def write(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
        file.write(warnings.formatwarning(message, category, filename, lineno))

    return write


@contextmanager
def _noticing_compilation(progress: Path) -> Iterator[None]:
    """The first time that numba compiles a kernel, and does not find it in its cache, the run's events say so."""
    with ExitStack() as stack:

        def listen() -> None:
            from numba.core import event

            stack.enter_context(event.install_listener("numba:compile", _compilation_listener(progress)))

        stack.enter_context(when_loaded(listen))
        yield


def _compilation_listener(progress: Path) -> Any:
    """What writes one event when numba begins to compile; numba is loaded only where something needs it."""
    from numba.core import event

    class Listener(event.Listener):
        noticed = False

        def on_start(self, event: Any) -> None:
            if not self.noticed:
                self.noticed = True
                with progress.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"event": "compiling"}) + "\n")

        def on_end(self, event: Any) -> None:
            pass

    return Listener()

"""Jobs as Ray tasks, side by side on this machine: what `fedsec compare` does before it times anything."""

from __future__ import annotations

import functools
import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fedsec.errors import FedsecError
from fedsec.simulations.run import processes
from fedsec.simulations.run.engine_failure import ray_failed
from fedsec.simulations.run.flower_cli import LONGEST_RAY_ROOT, new_home

Job = tuple[str, Any, Callable[..., Any], tuple[Any, ...]]
"""Under what the result is kept, its kind first, and what to call for it."""
FAILED = "failed"


def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, or why it failed: one strategy that breaks does not end a sweep of others."""
    settle()
    try:
        return function(*arguments)
    except Exception as error:
        return {FAILED: reason(error)}


def settle() -> None:
    """Take what is here already from the garbage collector: it would look through all modules again at each turn."""
    gc.collect()
    gc.freeze()


def reason(error: Exception) -> str:
    """What a table shows of it."""
    return str(error) if isinstance(error, FedsecError) else f"{type(error).__name__}: {error}"


def cpus() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(needed: bool) -> Iterator[Callable[[Sequence[tuple[Any, ...]]], Iterator[tuple[str, Any, Any]]]]:
    """A function that runs jobs as Ray tasks, in turn, and yields their results as they come.

    Workers have this process's environment: the strategy files that are allowed.
    """
    if not needed:
        yield lambda jobs: iter(())
        return
    import ray

    for name, value in {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}.items():
        os.environ.setdefault(name, value)
    with _folder() as folder, processes.held() as signals:
        try:
            with _errors_named():
                try:
                    ray.init(
                        "local",
                        num_cpus=cpus(),
                        include_dashboard=False,
                        log_to_driver=False,
                        configure_logging=False,
                        namespace="fedsec",
                        _temp_dir=folder,
                    )
                except SystemExit:  # Ray's own handler of SIGTERM
                    signals.note(signal.SIGTERM, None)
            signals.take_back()
            signals.release()
            yield functools.partial(_submit, ray, functools.cache(ray.remote), signals)
        finally:
            ray.shutdown()


def _submit(
    ray: Any, remote: Callable[..., Any], signals: processes.Held, jobs: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[str, Any, Any]]:
    """Run jobs, and yield their results as they come.

    remote: makes a function Ray's, once: a second remote function of the same code would wait for a worker of its own.
    """
    with _errors_named():
        pending: dict[Any, tuple[str, Any]] = {
            remote(function).options(max_retries=0).remote(*arguments): (kind, key)
            for kind, key, function, arguments in jobs
        }
    while pending:
        signals.release()
        with _errors_named():
            ready, _ = ray.wait(list(pending), num_returns=1, timeout=0.2)
        for job in ready:
            try:
                value = ray.get(job)
            except ray.exceptions.RayError as error:  # the worker is gone
                value = {FAILED: reason(error)}
            yield (*pending.pop(job), value)


@contextmanager
def _errors_named() -> Iterator[None]:
    """Whatever Ray raises, and it raises bare exceptions of many classes, says what to do."""
    try:
        yield
    except Exception as error:
        raise ray_failed(reason(error)) from error


@contextmanager
def _folder() -> Iterator[str | None]:
    """A folder for what Ray writes, gone afterwards; None where its path is too long for Ray's sockets."""
    home = new_home()
    try:
        yield str(home) if len(str(home)) <= LONGEST_RAY_ROOT else None
    finally:
        shutil.rmtree(home, ignore_errors=True)

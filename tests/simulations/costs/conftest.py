"""A sweep whose jobs run in this process, and a clock that only rounds advance."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedsec.simulations.costs.federation import Federation, MeasuredRound
from fedsec.simulations.costs.measure import allocator, probe, rounds
from fedsec.simulations.costs.measure.cost_summary import MeasuredCosts
from fedsec.simulations.costs.predict import calibrate, strategy_calibration
from fedsec.simulations.costs.setting import Setting
from fedsec.simulations.costs.sweep import ray_jobs

SECONDS_PER_VALUE = 1e-6


class Jobs(list[tuple[str, str]]):
    """What was run, in order: kind and strategy of a job, or of a setting that is timed; batches of jobs by size."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.open = False

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """As `run_jobs_here`."""
    return run_jobs_here(monkeypatch)


def run_jobs_here(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """From now on jobs run in this process; they and timed settings are noted. Probes are small."""
    noted, real = Jobs(), rounds.measure

    @contextmanager
    def workers(needed: bool) -> Iterator[Any]:
        def submit(work: Any) -> Iterator[tuple[str, Any, Any]]:
            noted.batches += [len(work)] * bool(work)
            for kind, key, function, arguments in work:
                noted.append((kind, Path(key["strategy"]).stem))
                yield kind, key, json.loads(json.dumps(function(*arguments)))

        noted.open = True
        yield submit
        noted.open = False

    def measure(setting: Setting, *arguments: Any) -> MeasuredCosts:
        assert not noted.open, "workers are at work beside what is timed"
        noted.append(("clocked", Path(setting.strategy).stem))
        return real(setting, *arguments)

    monkeypatch.setattr(ray_jobs, "workers", workers)
    monkeypatch.setattr(rounds, "measure", measure)
    monkeypatch.setattr(probe, "LARGEST_PROBE", probe.PROBE)
    return noted


@pytest.fixture
def counted_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """A calibration finds that a round takes SECONDS_PER_VALUE for each value, whatever the machine does meanwhile."""
    now, real = [0.0], Federation.run_round

    def run_round(self: Federation) -> MeasuredRound:
        seconds = SECONDS_PER_VALUE * self.setting.hospitals * self.parameters
        now[0] += seconds
        return real(self)._replace(wall=seconds)

    monkeypatch.setattr(Federation, "run_round", run_round)
    clock = SimpleNamespace(process_time=lambda: now[0], perf_counter=lambda: now[0])
    for module in (calibrate, strategy_calibration):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(allocator, "pages", lambda: 0)
    return clock.process_time

"""The jobs of a sweep that do not depend on time, as Ray tasks side by side: probes, memory, and a trained model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from fedsec.simulations.costs.measure.memory import measure_memory
from fedsec.simulations.costs.measure.probe import Need, Probe, probe
from fedsec.simulations.costs.setting import Setting, takes_keys
from fedsec.simulations.costs.sweep import ray_jobs, training_task
from fedsec.simulations.costs.sweep.scope import memory_scope, too_large
from fedsec.simulations.costs.sweep.store import Part, Store
from fedsec.simulations.costs.sweep.sweep import Sweep, store_key
from fedsec.simulations.costs.sweep.training_task import ROUNDS, TASK_PARAMETERS

ProgressCallback = Callable[[str, float, float], None]
"""Called with what is being done, and how many of how many seconds' worth of work are done."""
JOBS = "bytes, exactness, quality"
"""What the progress says meanwhile."""


class Outcome(NamedTuple):
    """Of each setting what it needs; of those that failed, and of those that the task is not trained with, why."""

    needs: dict[Setting, Need]
    failed: dict[Setting, str]
    untrained: dict[Setting, str]


class _Remaining(NamedTuple):
    """What is still to be done when all settings are probed: side by side, longest first; and one by one."""

    outcome: Outcome
    together: list[ray_jobs.Job]
    one_by_one: list[ray_jobs.Job]


def run_jobs(store: Store, sweep: Sweep, settings: Sequence[Setting], progress: ProgressCallback) -> Outcome:
    """Probe each setting, then train and measure memory, but for what is kept already."""
    work = _Work(store, sweep, {setting: _store_keys(setting) for setting in settings})
    probes = work.probes()
    total, done, failed = work.most(), 0, dict[Setting, str]()
    ready = None if probes else work.remaining(failed)
    with ray_jobs.workers(ready is None or bool(ready.together or ready.one_by_one)) as submit:

        def run(jobs: Sequence[ray_jobs.Job]) -> None:
            nonlocal done
            for kind, key, value in submit(jobs):
                done += 1
                if isinstance(value, dict) and ray_jobs.FAILED in value:
                    failed.update(work.with_key(kind, key, value[ray_jobs.FAILED]))
                else:
                    store.put(Part(kind), key, value)
                progress(JOBS, done, total)

        run(probes)
        remaining = work.remaining(failed)
        for batch in (remaining.together, *([job] for job in remaining.one_by_one)):
            run(batch)
    return remaining.outcome


class _Work:
    """The jobs of a sweep that do not depend on time."""

    def __init__(self, store: Store, sweep: Sweep, keys: Mapping[Setting, Mapping[Part, Any]]) -> None:
        self.store, self.sweep, self.keys = store, sweep, keys

    def most(self) -> int:
        """How many there are, at most."""
        kinds = (Part.PROBE, Part.MEMORY, *([Part.QUALITY] * self.sweep.task))
        return sum(len(self._missing(kind, self.keys)) for kind in kinds)

    def with_key(self, kind: str, key: Any, reason: str) -> dict[Setting, str]:
        """The reason, for every setting that has this key."""
        return {setting: reason for setting, keys in self.keys.items() if keys[Part(kind)] == key}

    def probes(self) -> list[ray_jobs.Job]:
        """What is run before the others; what is likely to take longest comes first.

        Settings of one strategy do not follow one another: the first of them may compile what the others then find.
        """
        missing = self._missing(Part.PROBE, self.keys)
        longest = sorted(missing, key=lambda setting: (setting.hospitals, takes_keys(setting.strategy)), reverse=True)
        return [self._job(Part.PROBE, setting, _probe, setting) for setting in longest]

    def remaining(self, failed: dict[Setting, str]) -> _Remaining:
        """What is to be done when all but those that failed are probed; no core waits for one long job at the end."""
        probes = {
            setting: Probe(*self.store.get(Part.PROBE, keys[Part.PROBE]))
            for setting, keys in self.keys.items()
            if setting not in failed
        }
        needs = {setting: probe.need(setting.parameters, setting.hospitals) for setting, probe in probes.items()}
        untrained, jobs = self._training(probes)
        one_by_one, share = [], self.sweep.memory / max(ray_jobs.cpus(), 1)
        for setting in self._missing(Part.MEMORY, probes):
            need = needs[setting]
            if not too_large(need, self.sweep):
                job = self._job(Part.MEMORY, setting, _memory, setting, *memory_scope(setting, need, self.sweep))
                one_by_one += [job] * (need.memory > share)
                jobs += [(need.seconds, job)] * (need.memory <= share)
        jobs.sort(key=lambda pair: pair[0], reverse=True)
        return _Remaining(Outcome(needs, failed, untrained), [job for _, job in jobs], one_by_one)

    def _training(self, probes: Mapping[Setting, Probe]) -> tuple[dict[Setting, str], list[tuple[float, ray_jobs.Job]]]:
        """What is not trained with the task, and why; and the jobs that train the others, with their seconds."""
        if not self.sweep.task:
            return {}, []
        seconds = {setting: probe.need(TASK_PARAMETERS, setting.hospitals).seconds for setting, probe in probes.items()}
        untrained = _untrained(seconds)
        missing = self._missing(Part.QUALITY, [setting for setting in probes if setting not in untrained])
        return untrained, [
            (ROUNDS * seconds[one], self._job(Part.QUALITY, one, training_task.train, self.keys[one][Part.QUALITY]))
            for one in missing
        ]

    def _missing(self, kind: Part, settings: Iterable[Setting]) -> list[Setting]:
        """Those of which it is not kept; of those that share it, one."""
        by_key = {json.dumps(self.keys[setting][kind]): setting for setting in settings}
        return [setting for setting in by_key.values() if self.store.get(kind, self.keys[setting][kind]) is None]

    def _job(self, kind: Part, setting: Setting, function: Callable[..., Any], *arguments: Any) -> ray_jobs.Job:
        return kind, self.keys[setting][kind], ray_jobs.attempt, (function, *arguments)


def _store_keys(setting: Setting) -> dict[Part, Any]:
    """Under what its probe, its training and its memory are kept."""
    key = store_key(setting)
    training = {name: value for name, value in key.items() if name not in ("parameters", "dropout")}
    return {Part.PROBE: {**key, "parameters": 1}, Part.QUALITY: training, Part.MEMORY: key}


def _untrained(seconds: Mapping[Setting, float]) -> dict[Setting, str]:
    """With what the task is not trained, and why: where a round takes long, with more hospitals than the fewest."""

    def kind(setting: Setting) -> tuple[Any, ...]:
        return setting.strategy, setting.bits, setting.key_bits

    fewest: dict[tuple[Any, ...], int] = {}
    for setting in seconds:
        fewest[kind(setting)] = min(setting.hospitals, fewest.get(kind(setting), setting.hospitals))
    return {
        setting: f"a round of training would take about {spent:.0f} s"
        for setting, spent in seconds.items()
        if spent > training_task.LONG_TRAINING and setting.hospitals > fewest[kind(setting)]
    }


def quality(store: Store, setting: Setting) -> dict[str, Any]:
    """What `training_task.train` returned; empty where nothing was trained."""
    kept: dict[str, Any] = store.get(Part.QUALITY, _store_keys(setting)[Part.QUALITY]) or {}
    return kept


def _probe(setting: Setting) -> list[Any]:
    return list(probe(setting))


def _memory(setting: Setting, parameters: int, all_hospitals: bool) -> dict[str, Any]:
    return measure_memory(setting, parameters, all_hospitals)._asdict()

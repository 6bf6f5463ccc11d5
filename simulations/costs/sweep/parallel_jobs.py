"""What of a sweep does not depend on time: a model for each strategy, bytes, exactness, memory; as Ray tasks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fedsec.app.config import RunConfig
from fedsec.data import bundled
from fedsec.errors import DataError
from fedsec.learning.local_training import client_evaluate, client_update
from fedsec.local import LocalFederation, Update
from fedsec.simulations.costs.measure import memory as examination
from fedsec.simulations.costs.measure import probe as probes
from fedsec.simulations.costs.measure.probe import Need, Probe
from fedsec.simulations.costs.setting import Setting, takes_keys
from fedsec.simulations.costs.sweep import ray_jobs
from fedsec.simulations.costs.sweep.store import Store
from fedsec.simulations.costs.sweep.sweep import Sweep, examined, key_of, too_large
from fedsec.simulations.run import baselines
from fedsec.simulations.run.partitions import partition

Follow = Callable[[str, float, float], None]
"""Is told what is being done, and how many of how many seconds' worth of work are done."""
TASK, TASK_PARAMETERS, ROUNDS = "breast-cancer", 31, 5
UNTRAINED = "untrained"
LONG_TRAINING = 5.0
"""Seconds of the task's training after which a strategy is not given another round. One whose single round takes longer
trains with the fewest hospitals of a sweep, and not with more."""


class Found(NamedTuple):
    """Of each cell what it needs; of those that failed, and of those that the task is not trained with, why."""

    needs: dict[Setting, Need]
    failed: dict[Setting, str]
    untrained: dict[Setting, str]


class _Left(NamedTuple):
    """What is still to be done when all cells are foreseen: side by side, longest first; and cells one by one."""

    found: Found
    together: list[ray_jobs.Job]
    alone: list[ray_jobs.Job]


def find(store: Store, sweep: Sweep, settings: Sequence[Setting], follow: Follow) -> Found:
    """Foresee each cell, then train and examine, but for what is kept already."""
    work = _Work(store, sweep, {one: _keys(one) for one in settings})
    probes = work.probes()
    total, done, failed = work.most(), 0, dict[Setting, str]()
    ready = None if probes else work.left(failed)
    with ray_jobs.workers(ready is None or bool(ready.together or ready.alone)) as submit:

        def run(jobs: Sequence[ray_jobs.Job]) -> None:
            nonlocal done
            for kind, key, value in submit(jobs):
                done += 1
                if isinstance(value, dict) and ray_jobs.FAILED in value:
                    failed.update({one: value[ray_jobs.FAILED] for one, keys in work.keys.items() if keys[kind] == key})
                else:
                    store.put(kind, key, value)
                follow("bytes, exactness, quality", done, total)

        run(probes)
        left = work.left(failed)
        for batch in (left.together, *([job] for job in left.alone)):
            run(batch)
    return left.found


class _Work:
    """The jobs of a sweep that do not depend on time."""

    def __init__(self, store: Store, sweep: Sweep, keys: Mapping[Setting, Mapping[str, Any]]) -> None:
        self.store, self.sweep, self.keys = store, sweep, keys

    def most(self) -> int:
        """How many there are, at most."""
        kinds = ("probe", "examined", *(["quality"] * self.sweep.task))
        return sum(len(self._missing(kind, self.keys)) for kind in kinds)

    def probes(self) -> list[ray_jobs.Job]:
        """What is run before the others; what is likely to take longest comes first.

        Cells of one strategy do not follow one another: the first of them may compile what the others then find.
        """
        missing = self._missing("probe", self.keys)
        longest = sorted(missing, key=lambda one: (one.hospitals, takes_keys(one.strategy)), reverse=True)
        return [self._job("probe", one, _probe, one) for one in longest]

    def left(self, failed: dict[Setting, str]) -> _Left:
        """What is to be done when all but those that failed are foreseen; no core waits for one long job at the end."""
        kept = {one: self.store.get("probe", keys["probe"]) for one, keys in self.keys.items() if one not in failed}
        probes = {one: Probe(*found) for one, found in kept.items()}
        needs = {one: probe.need(one.parameters, one.hospitals) for one, probe in probes.items()}
        round_of_task = {one: probe.need(TASK_PARAMETERS, one.hospitals).seconds for one, probe in probes.items()}
        untrained = _untrained(round_of_task) if self.sweep.task else {}
        jobs: list[tuple[float, ray_jobs.Job]] = []
        if self.sweep.task:
            for one in self._missing("quality", [one for one in probes if one not in untrained]):
                jobs.append((ROUNDS * round_of_task[one], self._job("quality", one, train, self.keys[one]["quality"])))
        alone, share = [], self.sweep.memory / max(ray_jobs.cpus(), 1)
        for one in self._missing("examined", probes):
            need = needs[one]
            if not too_large(need, self.sweep):
                job = self._job("examined", one, _examine, one, *examined(one, need, self.sweep))
                alone += [job] * (need.memory > share)
                jobs += [(need.seconds, job)] * (need.memory <= share)
        jobs.sort(key=lambda pair: pair[0], reverse=True)
        return _Left(Found(needs, failed, untrained), [job for _, job in jobs], alone)

    def _missing(self, kind: str, settings: Iterable[Setting]) -> list[Setting]:
        """Those of which it is not kept; of those that share it, one."""
        found = {json.dumps(self.keys[one][kind]): one for one in settings}
        return [one for one in found.values() if self.store.get(kind, self.keys[one][kind]) is None]

    def _job(self, kind: str, one: Setting, function: Callable[..., Any], *arguments: Any) -> ray_jobs.Job:
        return kind, self.keys[one][kind], ray_jobs.attempt, (function, *arguments)


def _keys(setting: Setting) -> dict[str, Any]:
    """Under what its probe, its training and the cell are kept."""
    key = key_of(setting)
    training = {name: value for name, value in key.items() if name not in ("parameters", "dropout")}
    return {"probe": {**key, "parameters": 1}, "quality": training, "examined": key}


def _untrained(seconds: Mapping[Setting, float]) -> dict[Setting, str]:
    """With what the task is not trained, and why: where a round takes long, with more hospitals than the fewest."""

    def kind(one: Setting) -> tuple[Any, ...]:
        return one.strategy, one.bits, one.key_bits

    fewest: dict[tuple[Any, ...], int] = {}
    for one in seconds:
        fewest[kind(one)] = min(one.hospitals, fewest.get(kind(one), one.hospitals))
    return {
        one: f"a round of the task would take some {spent:.0f} s"
        for one, spent in seconds.items()
        if spent > LONG_TRAINING and one.hospitals > fewest[kind(one)]
    }


def quality(store: Store, setting: Setting) -> dict[str, Any]:
    """What `train` returned; empty where nothing was trained."""
    found: dict[str, Any] = store.get("quality", _keys(setting)["quality"]) or {}
    return found


def _probe(setting: Setting) -> list[Any]:
    return list(probes.probe(setting))


def _examine(setting: Setting, parameters: int, whole: bool) -> dict[str, Any]:
    return examination.examine(setting, parameters, whole)._asdict()


def train(key: Mapping[str, Any]) -> dict[str, Any]:
    """Train the default model of the task in process, its updates summed by a strategy.

    Returns the quality on the common test rows, plain FedAvg's, and the largest difference of a weight to FedAvg's;
    a strategy whose rounds take long is done after fewer, as is FedAvg. Where data do not suffice, returns why.
    """
    config = RunConfig.read({"dataset": TASK, "rounds": ROUNDS})
    rows, test = bundled.split(bundled.load(TASK), config.seed)
    try:
        parts = partition(rows, key["hospitals"], "even", config.seed)
    except DataError as error:
        return {UNTRAINED: str(error)}
    training, shares = config.training(rows.task), [rows.take(part) for part in parts]
    setting = Setting(key["strategy"], key["hospitals"], 1, key["bits"], key["key_bits"])
    federation = LocalFederation(setting.protocol(), key["hospitals"], config.spec())
    model = training.model.initial(rows.features.shape[1], config.seed)
    began = time.process_time()
    for number in range(1, config.rounds + 1):
        updates = {}
        for place, share in enumerate(shares):
            arrays, metrics = client_update(training, number, place, model, share.features, share.target)
            updates[place + 1] = Update(arrays, metrics, len(share.target))
        model = federation.mean(updates, model).arrays
        if (time.process_time() - began) * (number + 1) / number > LONG_TRAINING:
            break
    plain, history = baselines.fedavg(replace(training, rounds=number), rows, parts, test)
    reached = client_evaluate(training, model, test.features, test.target)
    return {
        "dataset": TASK,
        "rounds": number,
        "metric": "log-loss",
        "value": reached["loss"],
        "plain": history[-1]["loss"],
        "largest_difference": max(float(np.abs(model[name] - plain[name]).max()) for name in plain),
    }

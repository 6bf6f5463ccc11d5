"""`fedsec compare`: a sweep of cells, kept one by one as they finish, and the document that the report is made of.

What does not depend on time runs as Ray tasks, side by side; what is timed runs alone afterwards.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fedsec import catalog
from fedsec.errors import ConfigurationError, DataError, FedsecError, RunFailed
from fedsec.local import LocalFederation, Update
from fedsec.metering import NETWORKS, Network
from fedsec.primitives import modexp
from fedsec.protocol import headings
from fedsec.report import document
from fedsec.simulations import baselines, cells, datasets, results, tasks
from fedsec.simulations.cells import PROBE, Clocked, Examined, Need, Probe, Setting
from fedsec.simulations.config import RunConfig
from fedsec.simulations.partitions import partition
from fedsec.simulations.screen import size

GIB = 1 << 30
SWEEP, COMPARISON, CELLS = "sweep.json", "comparison.json", "cells"
TASK = "breast-cancer"
SLOW_REPETITIONS = 2
"""Rounds at most of a baseline whose single values take long (see `cells.SLOW`)."""
FORMAT = 2
"""Of what is kept of each cell: results in another one are not mixed in."""
LONG_TRAINING = 5.0
"""Seconds of the task's training after which a strategy is not given another round."""
Follow = Callable[[str, float, float], None]
"""Is told what is being done, and how many of how many seconds' worth of work are done."""


@dataclass(frozen=True)
class Sweep:
    """What to compare, and how.

    memory      the most bytes that a cell may take; above, one hospital's part is measured, or nothing
    patience    seconds that a timed cell may take, about; above, a smaller model is measured and scaled
    networks    by name, the profiles under which end-to-end seconds are computed
    task        whether each strategy trains a model on real data as well
    """

    strategies: tuple[str, ...]
    hospitals: tuple[int, ...] = (3, 10)
    parameters: tuple[int, ...] = (10_000,)
    bits: tuple[int, ...] = (24,)
    key_bits: tuple[int, ...] = (3072,)
    dropouts: tuple[float, ...] = (0.0,)
    engine: Literal["local", "flower"] = "local"
    repetitions: int = 5
    memory: float = 4.0 * GIB
    patience: float = 10.0
    networks: Mapping[str, Network] = field(default_factory=lambda: dict(NETWORKS))
    task: bool = True

    def __post_init__(self) -> None:
        for name in ("strategies", "hospitals", "parameters", "bits", "key_bits", "dropouts"):
            if not getattr(self, name):
                raise ConfigurationError(f"{name}: at least one value is needed")
        for name, least in (("hospitals", 1), ("parameters", 1), ("bits", 2), ("key_bits", 1)):
            low = min(getattr(self, name))
            if low < least:
                raise ConfigurationError(f"{name} is {low}; it must be at least {least}")
        if self.repetitions < 1:
            raise ConfigurationError(f"repetitions is {self.repetitions}; it must be at least 1")
        if not (self.memory > 0 and self.patience > 0):
            raise ConfigurationError("memory and patience must be above 0")
        name, times = Counter(map(cells.label, self.strategies)).most_common(1)[0]
        if times > 1:
            raise ConfigurationError(f"{times} of the strategies are called {name!r}; name each once, or rename a file")

    def settings(self) -> list[Setting]:
        """Every cell, once: key sizes make cells for strategies that have keys only."""
        keys = {name: self.key_bits if cells.takes_keys(name) else (None,) for name in self.strategies}
        return [
            Setting(name, hospitals, parameters, bits, key, dropout)
            for hospitals, parameters, bits, dropout in itertools.product(
                self.hospitals, self.parameters, self.bits, self.dropouts
            )
            for name in self.strategies
            for key in keys[name]
        ]

    def how(self) -> dict[str, Any]:
        """What decides how a cell is measured: results of other sweeps are kept only where it is the same."""
        return {
            "format": FORMAT, "engine": self.engine, "repetitions": self.repetitions,
            "memory": self.memory, "patience": self.patience,
            "versions": results.versions(), "machine": machine(),
        }  # fmt: skip


def machine() -> dict[str, Any]:
    """Where this runs."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {"system": platform.platform(), "cpu": cpu or platform.processor(), "cpus": os.cpu_count() or 1,
            "modular exponentiation": os.environ.get("FEDSEC_ENGINE") or modexp.available()[0]}  # fmt: skip


def kept_sweep(path: Path) -> dict[str, Any] | None:
    """How a kept sweep was measured; None where the file is damaged or is not there."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


class Store:
    """The finished parts of a sweep, a file each, written whole or not at all: an interrupted sweep goes on there."""

    def __init__(self, folder: Path, how: Mapping[str, Any]) -> None:
        self.folder = folder
        kept = folder / SWEEP
        with writing(folder):
            (folder / CELLS).mkdir(parents=True, exist_ok=True)
            if kept.is_file():
                before = kept_sweep(kept)
                if before is None:
                    raise ConfigurationError(f"output {folder}: {SWEEP} is damaged; replace the sweep with --force")
                if before != json.loads(json.dumps(how)):
                    other = sorted(key for key in how if before.get(key) != json.loads(json.dumps(how[key])))
                    raise ConfigurationError(
                        f"output {folder} holds a sweep with another {', '.join(other)}; choose another folder, or "
                        "replace it with --force"
                    )
            else:
                results.write(kept, json.dumps(how, indent=1).encode() + b"\n")

    def _path(self, kind: str, key: Any) -> Path:
        digest = hashlib.sha256(json.dumps([kind, key], sort_keys=True).encode()).hexdigest()[:24]
        return self.folder / CELLS / f"{kind}-{digest}.json"

    def get(self, kind: str, key: Any) -> Any:
        """What was kept; None where it is missing or damaged, so that it is found again."""
        try:
            return json.loads(self._path(kind, key).read_text(encoding="utf-8"))["value"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, kind: str, key: Any, value: Any) -> None:
        """Keep a part."""
        with writing(self.folder):
            results.write(self._path(kind, key), json.dumps({"key": key, "value": value}).encode() + b"\n")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A disk that is full or may not be written to is said in words."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"output {folder} cannot be written: {error.strerror}; what is finished is kept, and the same command goes "
            "on from there"
        ) from error


def compare(sweep: Sweep, folder: Path, follow: Follow = lambda *_: None) -> document.Comparison:
    """Measure what is not measured yet, and write comparison.json; every finished cell is kept at once."""
    began = time.monotonic()
    settings, reasons = sweep.settings(), impossible(sweep)
    store = Store(folder, sweep.how())
    needs, failed = _untimed(store, sweep, [setting for setting in settings if setting not in reasons], follow)
    if failed and reasons.keys() | failed.keys() == set(settings):
        raise RunFailed("no cell could be measured: " + "; ".join(sorted({*reasons.values(), *failed.values()})))
    reasons |= failed
    done = [
        _cell(store, sweep, setting, needs.get(setting), reasons.get(setting, ""))
        for setting in _timed(settings, needs, sweep, follow)
    ]
    found = document.Comparison(
        title="What secure aggregation costs",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        engine=sweep.engine, seconds_taken=_taken_before(folder) + time.monotonic() - began,
        machine={**machine(), "load": [round(load, 2) for load in os.getloadavg()]}, versions=results.versions(),
        networks={
            name: document.Network(latency=one.latency, down=one.down, up=one.up)
            for name, one in sweep.networks.items()
        },
        strategies=_strategies(sweep), cells=tuple(done), quality=_quality(store, sweep),
    )  # fmt: skip
    with writing(folder):
        results.write(folder / COMPARISON, found.model_dump_json(indent=1).encode() + b"\n")
    return found


def _taken_before(folder: Path) -> float:
    """Seconds that the runs of this sweep took that ended before this one."""
    try:
        return float(json.loads((folder / COMPARISON).read_text(encoding="utf-8"))["seconds_taken"])
    except (OSError, ValueError, TypeError, KeyError):
        return 0.0


def impossible(sweep: Sweep) -> dict[Setting, str]:
    """The cells that cannot be run, and why; raises ConfigurationError where all are."""
    settings = sweep.settings()
    reasons = {setting: why for setting in settings if (why := _impossible(setting, sweep))}
    if len(reasons) == len(settings):
        raise ConfigurationError("no cell of this sweep can be measured: " + "; ".join(sorted(set(reasons.values()))))
    return reasons


def _impossible(setting: Setting, sweep: Sweep) -> str:
    try:
        setting.check()
    except FedsecError as error:
        return str(error)
    if sweep.engine == "flower" and setting.dropout:
        return "dropouts are scripted in process only: --engine local"
    return ""


# What does not depend on time


def _untimed(
    store: Store, sweep: Sweep, settings: Sequence[Setting], follow: Follow
) -> tuple[dict[Setting, Need], dict[Setting, str]]:
    """What each cell needs, and why some failed; on the way each is examined, and each strategy trains a model."""
    jobs: dict[str, tasks.Job] = {}
    for kind, key, function, argument in _first(sweep, settings):
        if store.get(kind, key) is None:
            jobs[json.dumps([kind, key])] = (kind, key, tasks.attempt, (function, argument))
    total, done, failed = len(jobs) + len(settings), 0, dict[Setting, str]()
    with tasks.workers(bool(jobs) or any(store.get("examined", key_of(one)) is None for one in settings)) as submit:

        def run(work: Sequence[tasks.Job]) -> None:
            nonlocal done
            for kind, key, value in submit(work):
                done += 1
                if isinstance(value, dict) and tasks.FAILED in value:
                    failed.update({one: value[tasks.FAILED] for one in settings if key in _keys(one)})
                else:
                    store.put(kind, key, value)
                follow("bytes, exactness, quality", done, total)

        run(list(jobs.values()))
        probes = {setting: store.get("probe", _keys(setting)[1]) for setting in settings}
        needs = {
            one: Probe(*found).need(one.parameters, one.hospitals) for one, found in probes.items() if found is not None
        }
        left = [
            one
            for one in settings
            if one not in failed and store.get("examined", key_of(one)) is None and not _too_large(needs[one], sweep)
        ]
        share = sweep.memory / max(tasks.cpus(), 1)
        beside = [setting for setting in left if needs[setting].memory <= share]
        alone = [setting for setting in left if needs[setting].memory > share]
        for batch in (beside, *([one] for one in alone)):
            scopes = {one: examined(one, needs[one], sweep) for one in batch}
            run([("examined", key_of(one), tasks.attempt, (_examine, one, *scopes[one])) for one in batch])
    return needs, failed


def key_of(setting: Setting) -> dict[str, Any]:
    """Under what a cell is kept; of a strategy that is not of this release, its source is part of it."""
    key, found = asdict(setting), cells.modules(setting.strategy)
    if all(module.__name__.startswith(f"{catalog.GROUP}.") for module in found):
        return key
    sources = [Path(str(module.__file__)).read_bytes() for module in found]
    return {**key, "source": hashlib.sha256(b"".join(sources)).hexdigest()}


def _keys(setting: Setting) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Under what a cell, its probe and its training are kept."""
    key = key_of(setting)
    training = {name: value for name, value in key.items() if name not in ("parameters", "dropout")}
    return key, {**key, "parameters": 1}, training


def _first(sweep: Sweep, settings: Iterable[Setting]) -> Iterator[tuple[str, Any, Callable[..., Any], Any]]:
    """What is found before cells are examined: from what each is foreseen, and the models."""
    for setting in settings:
        _, probed, trained = _keys(setting)
        yield "probe", probed, _probe, setting
        if sweep.task:
            yield "quality", trained, train, trained


def _probe(setting: Setting) -> list[Any]:
    return list(cells.probe(setting))


def scope(setting: Setting, need: Need, sweep: Sweep) -> tuple[int, bool]:
    """How many parameters are measured, and whether with all hospitals.

    A round over the memory budget is one hospital's part; one that takes too long is measured on a smaller model.
    """
    whole = need.memory <= sweep.memory
    if need.seconds <= sweep.patience or not whole:
        return setting.parameters, whole
    fitting = int(setting.parameters * sweep.patience / 3 / need.seconds)
    least, probe = cells.filled(setting, 1) + 1, cells.few(setting) if need.slow else PROBE
    return min(setting.parameters, cells.filled(setting, max(fitting, probe, least))), whole


def examined(setting: Setting, need: Need, sweep: Sweep) -> tuple[int, bool]:
    """As `scope`, but the smallest model where one of many values takes too long: what is scaled tells no memory."""
    parameters, whole = scope(setting, need, sweep)
    return (cells.filled(setting, 1) if need.slow and parameters < setting.parameters else parameters), whole


def _too_large(need: Need, sweep: Sweep) -> str:
    """Why not even one hospital's part can be measured; empty where it can. Under Flower there are always all."""
    takes, what = need.alone, "one hospital's part alone"
    if sweep.engine == "flower":
        takes, what = need.memory, "a round"
    if takes <= sweep.memory:
        return ""
    return (
        f"{what} would take {size(round(takes))}, over the budget of {size(round(sweep.memory))}; more may be allowed "
        "with --memory"
    )


def _examine(setting: Setting, parameters: int, whole: bool) -> dict[str, Any]:
    return cells.examine(setting, parameters, whole)._asdict()


def train(key: Mapping[str, Any]) -> dict[str, Any]:
    """Train the default model of the task in process, its updates summed by a strategy; {} where data do not suffice.

    Returns the quality on the common test rows, plain FedAvg's, and the largest difference of a weight to FedAvg's;
    a strategy whose rounds take long is done after fewer, as is FedAvg.
    """
    config = RunConfig.read({"dataset": TASK})
    rows, test = datasets.split(datasets.load(TASK), config.seed)
    try:
        parts = partition(rows, key["hospitals"], "even", config.seed)
    except DataError:
        return {}
    training, shares = config.training(rows.task), [rows.take(part) for part in parts]
    setting = Setting(key["strategy"], key["hospitals"], 1, key["bits"], key["key_bits"])
    federation = LocalFederation(setting.protocol(), key["hospitals"], config.spec())
    model = training.model.initial(rows.features.shape[1], config.seed)
    began = time.process_time()
    for number in range(1, config.rounds + 1):
        updates = {}
        for place, share in enumerate(shares):
            arrays, metrics = baselines.client_update(training, number, place, model, share.features, share.target)
            updates[place + 1] = Update(arrays, metrics, len(share.target))
        model = federation.mean(updates, model).arrays
        if (time.process_time() - began) * (number + 1) / number > LONG_TRAINING:
            break
    plain, history = baselines.fedavg(replace(training, rounds=number), rows, parts, test)
    reached = baselines.client_evaluate(training, model, test.features, test.target)
    return {
        "dataset": TASK, "rounds": number, "metric": "log-loss", "value": reached["loss"],
        "plain": history[-1]["loss"],
        "largest_difference": max(float(np.abs(model[name] - plain[name]).max()) for name in plain),
    }  # fmt: skip


# What does


def _timed(
    settings: Sequence[Setting], needs: Mapping[Setting, Need], sweep: Sweep, follow: Follow
) -> Iterator[Setting]:
    """Each cell in turn; the progress counts foreseen seconds."""
    work = {
        setting: 0.5 + min(needs[setting].seconds * (sweep.repetitions + 1), sweep.patience)
        if setting in needs
        else 0.0
        for setting in settings
    }
    total, done = sum(work.values()), 0.0
    for setting in settings:
        what = f"{cells.label(setting.strategy)}, {setting.hospitals} hospitals, {setting.parameters:,} parameters"
        follow(what, done, total)
        yield setting
        done += work[setting]
    follow("done", total, total)


def _cell(store: Store, sweep: Sweep, setting: Setting, need: Need | None, why: str) -> document.Cell:
    """One cell of the document: from what is kept, or measured now."""
    base: dict[str, Any] = {
        "strategy": cells.label(setting.strategy), "hospitals": setting.hospitals, "parameters": setting.parameters,
        "bits": setting.bits, "key_bits": setting.key_bits, "dropout": setting.dropout, "silent": setting.silent,
    }  # fmt: skip
    if why or need is None:
        return document.Cell(**base, status="refused", note=why)
    protocol = setting.protocol()
    base |= {
        "withstands": document.Withstands(
            server_follows=protocol.withstands(setting.clients),
            server_breaks=protocol.withstands(setting.clients, malicious=True),
        ),
        "tolerance": {phase.__name__: count for phase, count in protocol.tolerance(setting.clients).items()},
    }
    if why := _too_large(need, sweep):
        return document.Cell(**base, status="refused", note=why)
    parameters, whole = scope(setting, need, sweep)
    key = [key_of(setting), parameters, whole]
    if (kept := store.get("clocked", key)) is None:
        try:
            kept = _dump(_clock(setting, sweep, parameters, whole, need.slow))
        except Exception as error:  # not kept: it may have been the machine, and is tried again
            return document.Cell(**base, status="refused", note=tasks.reason(error))
        store.put("clocked", key, kept)
    clocked = Clocked(
        document.Total.model_validate(kept["setup"]), document.Total.model_validate(kept["round"]),
        tuple(document.Phase.model_validate(phase) for phase in kept["phases"]), kept["repetitions"],
    )  # fmt: skip
    seen = Examined(**store.get("examined", key_of(setting)))
    status, note = "measured", ""
    if not whole:
        status = "one-client"
        note = (
            f"one hospital's part, as far as its input: a whole round would take {size(round(need.memory))}, over the "
            f"budget of {size(round(sweep.memory))}"
        )
    elif parameters < setting.parameters:
        status = "extrapolated"
        note = f"measured on {parameters:,} parameters and scaled: a round would take some {need.seconds:.0f} s"
    cell = document.Cell(
        **base, status=status, note=note, measured_parameters=parameters, repetitions=clocked.repetitions,
        phases=clocked.phases, setup=clocked.setup, round=clocked.round,
        memory_hospital=seen.memory_hospital if parameters == setting.parameters else None,
        memory_server=seen.memory_server if whole and parameters == setting.parameters else None,
        exact=seen.exact, error=seen.error, error_bound=seen.bound,
    )  # fmt: skip
    if not whole:
        return cell
    networks = {name: document.Network(latency=n.latency, down=n.down, up=n.up) for name, n in sweep.networks.items()}
    return cell.model_copy(update={"seconds": {name: document.seconds(cell, one) for name, one in networks.items()}})


def _dump(clocked: Clocked) -> dict[str, Any]:
    return {
        "setup": clocked.setup.model_dump(), "round": clocked.round.model_dump(),
        "phases": [phase.model_dump() for phase in clocked.phases], "repetitions": clocked.repetitions,
    }  # fmt: skip


def _clock(setting: Setting, sweep: Sweep, parameters: int, whole: bool, slow: bool) -> Clocked:
    def clock(count: int, repetitions: int) -> Clocked:
        if sweep.engine == "flower":
            from fedsec.simulations import compare_flower

            return compare_flower.clock(replace(setting, parameters=count), repetitions)
        return cells.clock(setting, repetitions, sweep.patience, count, whole, not slow)

    found = clock(parameters, min(sweep.repetitions, SLOW_REPETITIONS) if slow else sweep.repetitions)
    if parameters == setting.parameters:
        return found
    start = cells.filled(setting, 1)
    return cells.scaled(clock(start, 1 if slow else sweep.repetitions), found, parameters, setting.parameters, start)


# What is told of all


def _strategies(sweep: Sweep) -> dict[str, document.Strategy]:
    out = {}
    for name in sweep.strategies:
        kind, label = catalog.strategy(cells.named(name)[0]), cells.label(name)
        lines = headings(kind)
        out[label] = document.Strategy(
            name=label, family=cells.family(name), reference=lines["Reference"],
            learns=lines["Server learns"], trusts=lines["Trusts"], tolerates=lines["Tolerates"], costs=lines["Costs"],
            defaults={**kind().parameters(), **cells.named(name)[1]},
        )  # fmt: skip
    return out


def _quality(store: Store, sweep: Sweep) -> tuple[document.Quality, ...]:
    out = []
    for setting in sweep.settings() if sweep.task else ():
        key = _keys(setting)[2]
        value = store.get("quality", key)
        if value:
            shown = {"strategy": cells.label(key["strategy"]), "hospitals": key["hospitals"], "bits": key["bits"]}
            out.append(document.Quality(**shown, **value))
    return tuple(dict.fromkeys(out))

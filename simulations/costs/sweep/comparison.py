"""`fedsec compare`: a sweep of cells, kept one by one as they finish, and the document that the report is made of.

What does not depend on time runs as Ray tasks, side by side; what is timed runs alone afterwards.
"""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedsec import atomic, catalog
from fedsec.errors import RunFailed
from fedsec.protocol import headings
from fedsec.report import document
from fedsec.report.quantities import size
from fedsec.simulations.costs.measure import allocator, probe, rounds
from fedsec.simulations.costs.measure.memory import Examined
from fedsec.simulations.costs.measure.probe import Need
from fedsec.simulations.costs.measure.rounds import Clocked
from fedsec.simulations.costs.setting import Setting
from fedsec.simulations.costs.setting import family as family_of
from fedsec.simulations.costs.setting import label as label_of
from fedsec.simulations.costs.sweep import parallel_jobs, ray_jobs
from fedsec.simulations.costs.sweep.parallel_jobs import Follow
from fedsec.simulations.costs.sweep.store import Store, writing
from fedsec.simulations.costs.sweep.sweep import Sweep, impossible, key_of, machine, scope, too_large
from fedsec.simulations.run import results
from fedsec.strategy_spec import StrategySpec

COMPARISON = "comparison.json"
SLOW_REPETITIONS = 2
"""Rounds at most of a baseline whose single values take long (see `probes.SLOW`)."""


def compare(sweep: Sweep, folder: Path, follow: Follow = lambda *_: None) -> document.Comparison:
    """Measure what is not measured yet, and write comparison.json; every finished cell is kept at once."""
    began = time.monotonic()
    settings, reasons = sweep.settings(), impossible(sweep)
    store = Store(folder, sweep.how())
    needs, failed, untrained = parallel_jobs.find(store, sweep, [one for one in settings if one not in reasons], follow)
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
        engine=sweep.engine,
        seconds_taken=_taken_before(folder) + time.monotonic() - began,
        machine={**machine(), "load": [round(load, 2) for load in os.getloadavg()]},
        versions=results.versions(),
        networks={
            name: document.Network(latency=one.latency, down=one.down, up=one.up)
            for name, one in sweep.networks.items()
        },
        strategies=_strategies(sweep),
        cells=tuple(done),
        **_quality(store, sweep, untrained),
    )
    with writing(folder):
        atomic.write(folder / COMPARISON, found.model_dump_json(indent=1).encode() + b"\n")
    return found


def _taken_before(folder: Path) -> float:
    """Seconds that the runs of this sweep took that ended before this one."""
    try:
        return float(json.loads((folder / COMPARISON).read_text(encoding="utf-8"))["seconds_taken"])
    except (OSError, ValueError, TypeError, KeyError):
        return 0.0


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
    ray_jobs.settle()
    allocator.keep_freed()
    for setting in settings:
        what = f"{label_of(setting.strategy)}, {setting.hospitals} hospitals, {setting.parameters:,} parameters"
        follow(what, done, total)
        yield setting
        done += work[setting]
    follow("done", total, total)


def _cell(store: Store, sweep: Sweep, setting: Setting, need: Need | None, why: str) -> document.Cell:
    """One cell of the document: from what is kept, or measured now."""
    base: dict[str, Any] = {
        "strategy": label_of(setting.strategy),
        "hospitals": setting.hospitals,
        "parameters": setting.parameters,
        "bits": setting.bits,
        "key_bits": setting.key_bits,
        "dropout": setting.dropout,
        "silent": setting.silent,
    }
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
    if why := too_large(need, sweep):
        return document.Cell(**base, status="refused", note=why)
    parameters, atomic = scope(setting, need, sweep)
    key = [key_of(setting), parameters, atomic]
    if (kept := store.get("clocked", key)) is None:
        try:
            kept = _dump(_clock(setting, sweep, parameters, atomic, need.slow))
        except Exception as error:  # not kept: it may have been the machine, and is tried again
            return document.Cell(**base, status="refused", note=ray_jobs.reason(error))
        store.put("clocked", key, kept)
    clocked = Clocked(
        document.Total.model_validate(kept["setup"]),
        document.Total.model_validate(kept["round"]),
        tuple(document.Phase.model_validate(phase) for phase in kept["phases"]),
        kept["repetitions"],
        kept["pace"],
    )
    seen = Examined(**store.get("examined", key_of(setting)))
    status, note = "measured", ""
    if not atomic:
        status = "one-client"
        note = (
            f"one hospital's part, as far as its input: a whole round would take {size(round(need.memory))}, over the "
            f"budget of {size(round(sweep.memory))}"
        )
    elif parameters < setting.parameters:
        status = "extrapolated"
        note = f"measured on {parameters:,} parameters and scaled: a round would take some {need.seconds:.0f} s"
    cell = document.Cell(
        **base,
        status=status,
        note=note,
        measured_parameters=parameters,
        repetitions=clocked.repetitions,
        pace=clocked.pace,
        phases=clocked.phases,
        setup=clocked.setup,
        round=clocked.round,
        memory_hospital=seen.memory_hospital if parameters == setting.parameters else None,
        memory_server=seen.memory_server if atomic and parameters == setting.parameters else None,
        exact=seen.exact,
        error=seen.error,
        error_bound=seen.bound,
    )
    if not atomic:
        return cell
    networks = {name: document.Network(latency=n.latency, down=n.down, up=n.up) for name, n in sweep.networks.items()}
    return cell.model_copy(update={"seconds": {name: document.seconds(cell, one) for name, one in networks.items()}})


def _dump(clocked: Clocked) -> dict[str, Any]:
    return {
        "setup": clocked.setup.model_dump(),
        "round": clocked.round.model_dump(),
        "phases": [phase.model_dump() for phase in clocked.phases],
        "repetitions": clocked.repetitions,
        "pace": clocked.pace,
    }


def _clock(setting: Setting, sweep: Sweep, parameters: int, atomic: bool, slow: bool) -> Clocked:
    repetitions = min(sweep.repetitions, SLOW_REPETITIONS) if slow else sweep.repetitions
    if sweep.engine == "flower":
        from fedsec.simulations.costs.measure import flower_rounds

        found = flower_rounds.clock(replace(setting, parameters=parameters), repetitions)
        if parameters == setting.parameters:
            return found
        start = probe.filled(setting, 1)
        few = flower_rounds.clock(replace(setting, parameters=start), 1 if slow else sweep.repetitions)
        return rounds.scaled(few, found, parameters, setting.parameters, start)
    return rounds.clock(setting, repetitions, sweep.patience, parameters, atomic, not slow)


# What is told of all


def _strategies(sweep: Sweep) -> dict[str, document.Strategy]:
    out = {}
    for name in sweep.strategies:
        spec, label = StrategySpec.parse(name), label_of(name)
        kind = catalog.strategy(spec.name)
        lines = headings(kind)
        out[label] = document.Strategy(
            name=label,
            family=family_of(name),
            reference=lines["Reference"],
            learns=lines["Server learns"],
            trusts=lines["Trusts"],
            tolerates=lines["Tolerates"],
            costs=lines["Costs"],
            defaults={**kind().parameters(), **spec.parameters},
        )
    return out


def _quality(store: Store, sweep: Sweep, untrained: Mapping[Setting, str]) -> dict[str, Any]:
    """The models, and why some were not trained; cells that differ in parameters and dropouts share theirs."""
    trained, without = [], []
    settings = sweep.settings() if sweep.task else []
    for setting in {replace(one, parameters=1, dropout=0.0): one for one in settings}.values():
        label, value = label_of(setting.strategy), parallel_jobs.quality(store, setting)
        why = untrained.get(setting) or value.get(parallel_jobs.UNTRAINED)
        if why:
            without.append(f"{label} with {setting.hospitals} hospitals: {why}")
        elif value:
            shown = {"strategy": label, "hospitals": setting.hospitals, "bits": setting.bits}
            trained.append(document.Quality(**shown, **value))
    return {"quality": tuple(dict.fromkeys(trained)), "untrained": tuple(dict.fromkeys(without))}

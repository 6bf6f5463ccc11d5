"""`fedsec compare`: measure a sweep, and write the document that the report is made of.

What does not depend on time runs as Ray tasks, side by side; what is timed runs alone afterwards. Every part is kept
as it finishes.
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
from fedsec.simulations.costs.machine import describe_machine
from fedsec.simulations.costs.measure import allocator
from fedsec.simulations.costs.measure.probe import Need
from fedsec.simulations.costs.setting import Setting, family, label
from fedsec.simulations.costs.sweep import cell, parallel_jobs, ray_jobs
from fedsec.simulations.costs.sweep.parallel_jobs import ProgressCallback
from fedsec.simulations.costs.sweep.store import Store, writing
from fedsec.simulations.costs.sweep.sweep import Sweep, impossible
from fedsec.simulations.costs.sweep.training_task import UNTRAINED
from fedsec.simulations.run import results
from fedsec.strategy_spec import StrategySpec

COMPARISON = "comparison.json"


def compare(sweep: Sweep, folder: Path, progress: ProgressCallback = lambda *_: None) -> document.Comparison:
    """Measure what is not measured yet, and write comparison.json; every finished part is kept at once."""
    began = time.monotonic()
    settings, refusals = sweep.settings(), impossible(sweep)
    store = Store(folder, sweep.how())
    possible = [setting for setting in settings if setting not in refusals]
    needs, failed, untrained = parallel_jobs.run_jobs(store, sweep, possible, progress)
    if failed and refusals.keys() | failed.keys() == set(settings):
        reasons = "; ".join(sorted({*refusals.values(), *failed.values()}))
        raise RunFailed(f"no setting could be measured: {reasons}")
    refusals |= failed
    cells = [
        cell.measure_cell(store, sweep, setting, needs.get(setting), refusals.get(setting, ""))
        for setting in _in_turn(settings, needs, sweep, progress)
    ]
    comparison = document.Comparison(
        title="What secure aggregation costs",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        engine=sweep.engine,
        seconds_taken=_seconds_before(folder) + time.monotonic() - began,
        machine={**describe_machine(), "load": [round(load, 2) for load in os.getloadavg()]},
        versions=results.versions(),
        networks=cell.networks(sweep),
        strategies=_strategies(sweep),
        cells=tuple(cells),
        **_quality(store, sweep, untrained),
    )
    with writing(folder):
        atomic.write(folder / COMPARISON, comparison.model_dump_json(indent=1).encode() + b"\n")
    return comparison


def _seconds_before(folder: Path) -> float:
    """Seconds that the earlier runs of this sweep took."""
    try:
        return float(json.loads((folder / COMPARISON).read_text(encoding="utf-8"))["seconds_taken"])
    except (OSError, ValueError, TypeError, KeyError):
        return 0.0


def _in_turn(
    settings: Sequence[Setting], needs: Mapping[Setting, Need], sweep: Sweep, progress: ProgressCallback
) -> Iterator[Setting]:
    """Each setting in turn; the progress counts expected seconds."""
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
        what = f"{label(setting.strategy)}, {setting.hospitals} hospitals, {setting.parameters:,} parameters"
        progress(what, done, total)
        yield setting
        done += work[setting]
    progress("done", total, total)


def _strategies(sweep: Sweep) -> dict[str, document.Strategy]:
    """What each strategy says of itself, by the name that is shown."""
    strategies = {}
    for text in sweep.strategies:
        spec, name = StrategySpec.parse(text), label(text)
        kind = catalog.strategy(spec.name)
        lines = headings(kind)
        strategies[name] = document.Strategy(
            name=name,
            family=family(text),
            reference=lines["Reference"],
            learns=lines["Server learns"],
            trusts=lines["Trusts"],
            tolerates=lines["Tolerates"],
            costs=lines["Costs"],
            defaults={**kind().parameters(), **spec.parameters},
        )
    return strategies


def _quality(store: Store, sweep: Sweep, untrained: Mapping[Setting, str]) -> dict[str, Any]:
    """The models, and why some were not trained; settings that differ in parameters and dropouts share theirs."""
    trained, without = [], []
    settings = sweep.settings() if sweep.task else []
    for setting in {replace(setting, parameters=1, dropout=0.0): setting for setting in settings}.values():
        name, value = label(setting.strategy), parallel_jobs.quality(store, setting)
        reason = untrained.get(setting) or value.get(UNTRAINED)
        if reason:
            without.append(f"{name} with {setting.hospitals} hospitals: {reason}")
        elif value:
            shown = {"strategy": name, "hospitals": setting.hospitals, "bits": setting.bits}
            trained.append(document.Quality(**shown, **value))
    return {"quality": tuple(dict.fromkeys(trained)), "untrained": tuple(dict.fromkeys(without))}

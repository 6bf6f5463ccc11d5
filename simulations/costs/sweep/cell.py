"""One cell of a comparison: what a strategy costs in one setting, read from what is kept or measured now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fedsec.report import document
from fedsec.report.units import plain_size as size
from fedsec.simulations.costs.measure import rounds
from fedsec.simulations.costs.measure.cost_summary import MeasuredCosts, extrapolate, load_costs
from fedsec.simulations.costs.measure.memory import MemoryAndAccuracy
from fedsec.simulations.costs.measure.probe import Need, fill_columns
from fedsec.simulations.costs.setting import Setting, label
from fedsec.simulations.costs.sweep import ray_jobs
from fedsec.simulations.costs.sweep.scope import scope, too_large
from fedsec.simulations.costs.sweep.store import Part, Store
from fedsec.simulations.costs.sweep.sweep import Sweep, store_key

SLOW_REPETITIONS = 2
"""Rounds at most of a baseline whose single values take long (see `probe.SLOW`)."""


def measure_cell(store: Store, sweep: Sweep, setting: Setting, need: Need | None, refusal: str) -> document.Cell:
    """The cell of a setting; `refusal`: why it cannot be measured, if so."""
    cell = document.Cell(
        strategy=label(setting.strategy),
        hospitals=setting.hospitals,
        parameters=setting.parameters,
        bits=setting.bits,
        key_bits=setting.key_bits,
        dropout=setting.dropout,
        dropouts=setting.dropouts,
        status="refused",
        note=refusal,
    )
    if refusal or need is None:
        return cell
    cell = cell.model_copy(update=_promises(setting))
    if refusal := too_large(need, sweep):
        return cell.model_copy(update={"note": refusal})
    parameters, all_hospitals = scope(setting, need, sweep)
    key = [store_key(setting), parameters, all_hospitals]
    if (kept := store.get(Part.ROUNDS, key)) is None:
        try:
            kept = _measure_rounds(setting, sweep, parameters, all_hospitals, need.slow).dump()
        except Exception as error:  # not kept: it may have been the machine, and is tried again
            return cell.model_copy(update={"note": ray_jobs.reason(error)})
        store.put(Part.ROUNDS, key, kept)
    memory = MemoryAndAccuracy(**store.get(Part.MEMORY, store_key(setting)))
    return _filled(cell, sweep, need, (parameters, all_hospitals), load_costs(kept), memory)


def _promises(setting: Setting) -> dict[str, Any]:
    """How many colluding hospitals the strategy withstands, and how many dropouts it tolerates in each phase."""
    protocol = setting.protocol()
    return {
        "withstands": document.Withstands(
            semi_honest_server=protocol.withstands(setting.clients),
            malicious_server=protocol.withstands(setting.clients, malicious=True),
        ),
        "tolerance": {phase.__name__: count for phase, count in protocol.tolerance(setting.clients).items()},
    }


def _filled(
    cell: document.Cell,
    sweep: Sweep,
    need: Need,
    measured: tuple[int, bool],
    costs: MeasuredCosts,
    memory: MemoryAndAccuracy,
) -> document.Cell:
    """The cell with its figures."""
    parameters, all_hospitals = measured
    complete = parameters == cell.parameters
    status, note = "measured", ""
    if not all_hospitals:
        status = "one-client"
        note = (
            "one hospital alone was measured, up to its input: a whole round would take "
            f"{size(round(need.memory))}, over the budget of {size(round(sweep.memory))}"
        )
    elif not complete:
        status = "extrapolated"
        note = f"measured on {parameters:,} parameters and extrapolated: a round would take about {need.seconds:.0f} s"
    filled = document.Cell.model_validate(
        {
            **dict(cell),
            "status": status,
            "note": note,
            "measured_parameters": parameters,
            "repetitions": costs.repetitions,
            "reference_seconds": costs.reference_seconds,
            "phases": costs.phases,
            "setup": costs.setup,
            "round": costs.round,
            "memory_hospital": memory.memory_hospital if complete else None,
            "memory_server": memory.memory_server if all_hospitals and complete else None,
            "exact": memory.exact,
            "error": memory.error,
            "error_bound": memory.bound,
        }
    )
    if not all_hospitals:
        return filled
    seconds = {name: document.seconds(filled, network) for name, network in networks(sweep).items()}
    return filled.model_copy(update={"seconds": seconds})


def networks(sweep: Sweep) -> dict[str, document.Network]:
    """The sweep's networks, as the document holds them."""
    return {
        name: document.Network(latency=network.latency, down=network.down, up=network.up)
        for name, network in sweep.networks.items()
    }


def _measure_rounds(setting: Setting, sweep: Sweep, parameters: int, all_hospitals: bool, slow: bool) -> MeasuredCosts:
    repetitions = min(sweep.repetitions, SLOW_REPETITIONS) if slow else sweep.repetitions
    if sweep.engine == "flower":
        from fedsec.simulations.costs.measure import flower_rounds

        many = flower_rounds.measure(replace(setting, parameters=parameters), repetitions)
        if parameters == setting.parameters:
            return many
        start = fill_columns(setting, 1)
        few = flower_rounds.measure(replace(setting, parameters=start), 1 if slow else sweep.repetitions)
        return extrapolate(few, many, parameters, setting.parameters, start)
    return rounds.measure(setting, repetitions, sweep.patience, parameters, all_hospitals, not slow)

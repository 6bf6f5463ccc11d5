"""The tables of all cells and of how they were measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedsec.report import analysis, units
from fedsec.report.document import Cell, Comparison, Network, seconds

STATUSES = {
    "measured": "measured in full",
    "extrapolated": "measured on fewer parameters and scaled",
    "one-client": "one hospital's part, as far as its input; nothing of the server's",
    "refused": "not measured, for the reason given",
}


def statuses(comparison: Comparison) -> str:
    """How many cells there are of each status."""
    counts = {status: sum(cell.status == status for cell in comparison.cells) for status in STATUSES}
    parts = [f"{count:,} {status} ({STATUSES[status]})" for status, count in counts.items() if count]
    return f"{units.plural(len(comparison.cells), 'cell')}: {'; '.join(parts)}." if parts else "No cell was measured."


COLUMNS = (
    ("Strategy", 0),
    ("Status", 0),
    ("Hospitals", 1),
    ("Parameters", 1),
    ("Bits", 1),
    ("Key bits", 1),
    ("Dropped out", 1),
    ("End to end", 1),
    ("CPU, hospital", 1),
    ("CPU, busiest", 1),
    ("CPU, server", 1),
    ("Up", 1),
    ("Down", 1),
    ("Phases", 1),
    ("Memory, hospital", 1),
    ("Memory, server", 1),
    ("Error", 1),
)


def row(cell: Cell, one: Network) -> dict[str, Any]:
    """A cell as a row of the table of all: what is sorted by, and what is read."""
    whole, total = cell.status in analysis.WHOLE and cell.round is not None, cell.round
    found: list[tuple[float | None, str]] = [
        (value, units.count(value))
        for value in (cell.hospitals, cell.parameters, cell.bits, cell.key_bits, cell.dropouts)
    ]
    times = [
        seconds(cell, one) if whole else None,
        total.hospital_cpu.median if total else None,
        total.hospital_cpu_most.median if total else None,
        total.server_cpu.median if total and whole else None,
    ]
    found += [(value, units.seconds(value)) for value in times]
    found += [(value, units.size(value)) for value in ((total.up, total.down) if total else (None, None))]
    phases = sum(phase.stage == "train" for phase in cell.phases) if whole else None
    found.append((phases, units.count(phases)))
    found += [(value, units.size(value)) for value in (cell.memory_hospital, cell.memory_server)]
    found.append((cell.error, units.small(cell.error)))
    return {"name": cell.strategy, "status": cell.status, "note": cell.note, "figures": _sortable(found)}


def _sortable(found: Sequence[tuple[float | None, str]]) -> list[tuple[Any, str]]:
    return [("" if value is None else float(f"{value:.9g}"), text) for value, text in found]


TERMS = (
    ("CPU, hospital", "CPU seconds of all hospitals in a round, divided by their number."),
    ("CPU, busiest", "Each phase's slowest hospital, added up: what a round has to wait for."),
    ("CPU, server", "What the server's thread computed in a round."),
    ("Up, down", "Bytes as they are encoded, sent by and to a hospital: the mean, unless the most is named."),
    (
        "End to end",
        "Computed, not clocked: for each phase two latencies, the largest message down and up over the "
        "bandwidths, and the slowest hospital; then the server. Hospitals work and transfer side by side.",
    ),
    ("Set-up", "What is done once before the first round: enrolment and, for some strategies, keys."),
    ("Memory", "The most that one step allocated, with what is kept from earlier ones."),
    ("Error", "The largest deviation of a coordinate of the mean from plain arithmetic."),
    ("Dropped out", "Hospitals that were made to stop answering when inputs were requested."),
)
METHOD_COLUMNS = (
    ("Strategy", 0),
    ("Repetitions", 1),
    ("CPU busiest, low", 1),
    ("high", 1),
    ("CPU server, low", 1),
    ("high", 1),
    ("Set-up CPU, hospital", 1),
    ("Set-up CPU, server", 1),
    ("Set-up up", 1),
    ("Set-up phases", 1),
    ("Memory, hospital", 1),
    ("Memory, server", 1),
)


def method(comparison: Comparison, cells: Sequence[Cell]) -> dict[str, Any]:
    """Where, with what and how it was measured."""
    repeated = sorted({cell.repetitions for cell in comparison.cells if cell.repetitions})
    times = f"{repeated[0]:,}" if len(repeated) == 1 else f"{repeated[0]:,} to {repeated[-1]:,}" if repeated else "no"
    engine = (
        "All hospitals and the server ran in one process, one after another, with real messages and no network."
        if comparison.engine == "local"
        else "Hospitals and the server ran under Flower, as separate processes."
    )
    text = [
        f"Measured {comparison.created.replace('T', ' at ')} in {units.seconds(comparison.seconds_taken)}. {engine} "
        f"Every figure is the median of {times} repetition{'' if times == '1' else 's'}."
    ]
    versions = [(str(key), str(value)) for key, value in comparison.versions.items()]
    rows = [_method_row(cell) for cell in cells if cell.round is not None]
    return {
        "text": text,
        "machine": [(key, _value(value)) for key, value in comparison.machine.items()],
        "versions": versions,
        "terms": TERMS,
        "columns": METHOD_COLUMNS,
        "rows": rows,
    }


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{part:.3g}" for part in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _method_row(cell: Cell) -> dict[str, Any]:
    total, setup = cell.round, cell.setup
    found: list[tuple[float | None, str]] = [(cell.repetitions, units.count(cell.repetitions))]
    for spread in (
        total.hospital_cpu_most if total else None,
        total.server_cpu if total and cell.status in analysis.WHOLE else None,
    ):
        both = (spread.low, spread.high) if spread else (None, None)
        found += [(value, units.seconds(value)) for value in both]
    times = (setup.hospital_cpu.median, setup.server_cpu.median) if setup else (None, None)
    found += [(value, units.seconds(value)) for value in times]
    up, phases = (setup.up, setup.phases) if setup else (None, None)
    found += [(up, units.size(up)), (phases, units.count(phases))]
    found += [(value, units.size(value)) for value in (cell.memory_hospital, cell.memory_server)]
    return {"name": cell.strategy, "figures": _sortable(found)}

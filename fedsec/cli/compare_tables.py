"""What `fedsec compare` prints: a table for each setting, and the notes."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from fedsec.report import page, sections
from fedsec.report.document import Cell, Comparison
from fedsec.report.units import plain_seconds as seconds
from fedsec.report.units import plain_size as size
from fedsec.strategy_spec import StrategySpec

TABLES, MARKS = 6, {"extrapolated": "*", "one-client": "†"}


def print_comparison(console: Console, comparison: Comparison, folder: Path) -> None:
    """A table for each setting, the fastest strategy first; of many settings the first few."""
    settings = list(dict.fromkeys(map(_setting, comparison.cells)))
    network = sections.network(comparison)[0]
    for setting in settings[:TABLES]:
        measured = [cell for cell in comparison.cells if _setting(cell) == setting and cell.round]
        if measured:
            console.print(_table(setting, measured, network, comparison))
    if len(settings) > TABLES:
        console.print(f"{len(settings) - TABLES} more settings are in the report.", highlight=False)
    for cell in comparison.cells:
        if cell.note:
            text = f"{MARKS.get(cell.status, '-')} {cell.strategy}, {_setting(cell)}: {cell.note}"
            console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if any(cell.round for cell in comparison.cells):
        console.print(
            "hospital, server: median CPU per round (hospital: the slowest one in each phase). up, down: mean bytes "
            f"per hospital. {network}: round time from end to end.",
            highlight=False,
        )
    console.print(f"Report: {folder / page.PAGE}", highlight=False, soft_wrap=True)


def _table(setting: str, measured: list[Cell], network: str, comparison: Comparison) -> Table:
    table = Table(title=setting, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("strategy", overflow="fold", min_width=18)
    for heading in ("hospital", "server", "up", "down", "phases", network):
        table.add_column(heading, justify="right")
    once = {(cell.strategy, cell.key_bits): cell for cell in reversed(measured)}  # two dropouts may drop as many
    for cell in sorted(once.values(), key=lambda cell: cell.seconds.get(network, float("inf"))):
        table.add_row(_name(cell, comparison) + MARKS.get(cell.status, ""), *_row(cell, network))
    return table


def _setting(cell: Cell) -> str:
    dropouts = f", {cell.dropouts} dropped out" if cell.dropouts else ""
    return f"{cell.hospitals} hospitals, {cell.parameters:,} parameters of {cell.bits} bits{dropouts}"


def _name(cell: Cell, comparison: Comparison) -> str:
    """The strategy, with its key size where there are several."""
    sizes = {other.key_bits for other in comparison.cells if other.key_bits}
    return StrategySpec.parse(cell.strategy).title + (f" {cell.key_bits}" if cell.key_bits and len(sizes) > 1 else "")


def _row(cell: Cell, network: str) -> list[str]:
    costs = cell.round
    if costs is None:
        return []
    return [
        seconds(costs.hospital_cpu_most.median),
        "-" if cell.status == "one-client" else seconds(costs.server_cpu.median),
        size(round(costs.up)),
        size(round(costs.down)),
        str(costs.phases),
        seconds(cell.seconds[network]) if network in cell.seconds else "-",
    ]

"""What `fedsec compare` prints: a table for each setting, what it recommends under which trust, and the notes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fedsec.report import analysis, page, ranking, sections, tables, units
from fedsec.report.document import Cell, Comparison
from fedsec.report.ranking import Trust
from fedsec.report.units import plain_seconds as seconds
from fedsec.report.units import plain_size as size
from fedsec.strategy_spec import StrategySpec

TABLES, MARKS = 6, {"extrapolated": "*", "one-client": "†"}
OPTIONS = {"server": "--server semi-honest or malicious", "colluding": "--colluding N", "dropouts": "--may-drop-out N"}
"""How each question about trust is answered on the command line."""


def print_comparison(console: Console, comparison: Comparison, folder: Path, trust: Trust) -> None:
    """A table for each setting, the fastest strategy first, and what is recommended; of many settings the first few."""
    settings = list(dict.fromkeys(map(_setting, comparison.cells)))
    network = sections.network(comparison)[0]
    for setting in settings[:TABLES]:
        measured = [cell for cell in comparison.cells if _setting(cell) == setting and cell.round]
        if measured:
            console.print(_table(setting, measured, network, comparison))
            if not trust.unanswered:
                console.print(_recommendation(comparison, measured, trust), style="bold", highlight=False, markup=False)
            console.print()
    if len(settings) > TABLES:
        console.print(f"{len(settings) - TABLES} more settings are in the report.", highlight=False)
    for cell in comparison.cells:
        if cell.note:
            text = f"{MARKS.get(cell.status, '-')} {cell.strategy}, {_setting(cell)}: {cell.note}"
            console.print(text, style="yellow", highlight=False, markup=False)
    if any(cell.round for cell in comparison.cells):
        console.print(
            "colluders: how many colluding hospitals are withstood with a semi-honest / a malicious server. dropouts: "
            "how many are tolerated in any phase. hospital, server: median CPU per round (hospital: the slowest one in "
            f"each phase). up, down: mean bytes per hospital. round: from end to end, over {network}.",
            highlight=False,
        )
    for status, mark in MARKS.items():
        if any(cell.status == status for cell in comparison.cells):
            _say(console, f"{mark} {tables.STATUSES[status]}.")
    if trust.unanswered:
        _say(console, _how_to_answer(trust))
    console.print(f"Report: {folder / page.PAGE}", highlight=False, soft_wrap=True)


def recommended(comparison: Comparison, trust: Trust) -> list[dict[str, Any]]:
    """For each setting the cheapest strategy that promises what is asked, or nothing, and why; none without trust."""
    if trust.unanswered:
        return []
    found = []
    for setting in analysis.settings(comparison):
        cells = analysis.cells_of(comparison, setting)
        best, why = _answer(comparison, cells, trust)
        found.append({**setting._asdict(), "network": sections.network(comparison)[0], "strategy": best, "why": why})
    return found


def _answer(comparison: Comparison, cells: Sequence[Cell], trust: Trust) -> tuple[str, str]:
    places = ranking.ranking(comparison, cells, sections.network(comparison)[1], trust)
    best, why = ranking.answer(places, trust)
    return best, why.replace(units.SPACE, " ")


def _recommendation(comparison: Comparison, cells: Sequence[Cell], trust: Trust) -> str:
    best, why = _answer(comparison, cells, trust)
    if not best:
        return f"No recommendation {trust.words()}. {why}"
    return f"Recommended {trust.words()}: {StrategySpec.parse(best).title}, the cheapest that withstands this. {why}"


def _how_to_answer(trust: Trust) -> str:
    missing = [OPTIONS[name] for name in trust.unanswered]
    asked = [ranking.QUESTIONS[name] for name in trust.unanswered]
    return (
        f"Nothing is recommended before you say whom you trust: {units.words(asked)}. "
        f"Answer on the page, or give the command again with {units.words(missing)}; with --output and the same "
        "folder, nothing is measured twice."
    )


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False)


def _table(setting: str, measured: list[Cell], network: str, comparison: Comparison) -> Table:
    table = Table(
        title=setting,
        title_justify="left",
        box=box.SIMPLE,
        padding=0,
        pad_edge=False,
        show_edge=False,
        title_style="bold",
    )
    table.add_column("strategy", overflow="fold", min_width=16)
    for heading in ("colluders", "dropouts", "hospital", "server", "up", "down", "round"):
        table.add_column(heading, justify="right", no_wrap=True)
    once = {(cell.strategy, cell.key_bits): cell for cell in reversed(measured)}  # two dropouts may drop as many
    for cell in sorted(once.values(), key=lambda cell: cell.seconds.get(network, float("inf"))):
        table.add_row(_name(cell, comparison), *_row(cell, network))
    return table


def _setting(cell: Cell) -> str:
    dropouts = f", {cell.dropouts} dropped out" if cell.dropouts else ""
    return f"{cell.hospitals} hospitals, {cell.parameters:,} parameters of {cell.bits} bits{dropouts}"


def _name(cell: Cell, comparison: Comparison) -> str:
    """The strategy, with its key size where there are several, and whether it protects nothing."""
    sizes = {other.key_bits for other in comparison.cells if other.key_bits}
    name = StrategySpec.parse(cell.strategy).title + (f" {cell.key_bits}" if cell.key_bits and len(sizes) > 1 else "")
    return f"{name} (baseline)" if analysis.family(comparison, cell.strategy) == "clear" else name


def _row(cell: Cell, network: str) -> list[str]:
    costs = cell.round
    if costs is None:
        return []
    follows, breaks = (text.replace(units.NONE, "-") for text in sections.withstood(cell))
    return [
        f"{follows} / {breaks}",
        sections.tolerated(cell).replace(units.NONE, "-"),
        *(
            figure + MARKS.get(cell.status, "") if figure else "-"
            for figure in (
                seconds(costs.hospital_cpu_most.median),
                "" if cell.status == "one-client" else seconds(costs.server_cpu.median),
                size(round(costs.up)),
                size(round(costs.down)),
                seconds(cell.seconds[network]) if network in cell.seconds else "",
            )
        ),
    ]

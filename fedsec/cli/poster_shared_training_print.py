"""What `fedsec poster shared-training` prints."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fedsec.report import units
from fedsec.simulations.poster.shared_training import training_comparison
from fedsec.simulations.poster.shared_training.sigmoid_approximations import BOUNDED, NAMES


def print_results(console: Console, found: Mapping[str, Any]) -> None:
    """Print what was found: collapses, the bounded design, costs, and the one table."""
    _print_collapses(console, found)
    _print_xor(console, found)
    bounded, shares, accuracy = found["bounded"], found.get("shares"), found["accuracy"]
    end = (
        f"collapsed at {bounded['iterations']:,}"
        if bounded["collapsed"]
        else f"no collapse in {bounded['iterations']:,}"
    )
    console.print(
        f"{NAMES[BOUNDED]}, three layers: {end} iterations, accuracy {bounded['accuracy'] or 0:.3f}.", highlight=False
    )
    if shares:
        console.print(
            f"On shares: {shares['iterations']:,} iterations at {shares['iterations_per_second']:.1f}/s, accuracy "
            f"{shares['accuracy']:.3f}; weights within {shares['off_twin']:.2g} of the same training in the clear.",
            highlight=False,
        )
    if flower := found.get("flower"):
        console.print(
            f"Under Flower on Ray: {flower['iterations']} iterations in {flower['seconds']:.1f} s, "
            f"{flower['exchanges']} exchanges, {units.size(flower['bytes'])}; the server holds no key.",
            highlight=False,
        )
    for one in accuracy:
        ours, plain, off = (one[name] for name in (training_comparison.ACTIVATION, "exact", "difference"))
        console.print(
            f"Accuracy over {one['splits']} splits with {one['layers']} layers of weights: {ours[0]:.3f} ± "
            f"{ours[1]:.3f}; "
            f"plain {plain[0]:.3f} ± {plain[1]:.3f}; difference {off[0]:+.3f} ± {off[1]:.3f}.",
            highlight=False,
        )
    _print_costs(console, found["costs"])
    table = _table("The same network, rows and seed, trained in every way")
    for heading in ("way", "accuracy", "CPU", "bytes", "rounds", "hospital-wan"):
        table.add_column(heading, justify="left" if heading == "way" else "right", no_wrap=True)
    for row in found["table"]:
        table.add_row(
            row["name"],
            f"{row['accuracy']:.3f}",
            units.seconds(row["cpu_seconds"]),
            units.size(row["bytes"]),
            f"{row['rounds']:,}",
            units.seconds(row["networks"]["hospital-wan"]),
        )
    console.print(table)
    console.print("Who learns what:", highlight=False)
    for row in found["table"]:
        console.print(f"  {row['name']}: {row['learns']}", style="dim", highlight=False)


def _print_collapses(console: Console, found: Mapping[str, Any]) -> None:
    table = _table(f"Three layers, {found['sizes']['iterations']:,} iterations: where each seed collapsed")
    for heading in ("activation", "collapsed", "at iterations", "accuracy of the others", "an earlier experiment"):
        table.add_column(heading, overflow="fold")
    for row in found["collapses"]:
        at = [cell["iterations"] for cell in row["cells"] if cell["collapsed"]]
        left = [cell["accuracy"] for cell in row["cells"] if not cell["collapsed"]]
        span = f"{min(at):,}-{max(at):,}" if at else ""
        kept = f"{min(left):.2f}-{max(left):.2f} (median {statistics.median(left):.2f})" if left else ""
        table.add_row(row["name"], f"{len(at)} of {len(row['cells'])}", span, kept, row["before"])
    console.print(table)


def _print_xor(console: Console, found: Mapping[str, Any]) -> None:
    table = _table(f"Exclusive or, three layers at rate 1, {found['sizes']['xor_iterations']:,} iterations")
    for heading in ("activation", "collapsed", "at iterations (median)", "of the others, solved it"):
        table.add_column(heading, overflow="fold")
    for row in found["xor"]:
        at = [cell["iterations"] for cell in row["cells"] if cell["collapsed"]]
        left = [cell["accuracy"] == 1.0 for cell in row["cells"] if not cell["collapsed"]]
        span = f"{min(at):,}-{max(at):,} ({statistics.median(at):,.0f})" if at else ""
        solved = f"{sum(left)} of {len(left)}" if left else ""
        table.add_row(row["name"], f"{len(at)} of {len(row['cells'])}", span, solved)
    console.print(table)


def _print_costs(console: Console, costs: Sequence[Mapping[str, Any]]) -> None:
    table = _table("One iteration on shares of 354 rows: layers x width, activation; CPU of a party and the dealer")
    for heading in ("network", "rounds", "open", "offline", "party", "dealer", "hosp.-wan"):
        table.add_column(heading, justify="left" if heading == "network" else "right", no_wrap=True)
    for row in costs:
        table.add_row(
            f"{row['layers']}x{row['hidden']} {row['activation']}",
            str(row["rounds"]),
            units.size(row["online_bytes"]),
            units.size(row["offline_bytes"]),
            units.seconds(row["party_cpu"]),
            units.seconds(row["dealer_cpu"]),
            units.seconds(row["networks"]["hospital-wan"]),
        )
    console.print(table)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))

"""What a command says of rows of one's own before anything is computed: how they were read, and what looks wrong."""

from __future__ import annotations

from rich.console import Console

from fedsec.data.table import Table


def print_reading(console: Console, table: Table) -> None:
    """A line for each note, and a warning for each suspicion."""
    for note in table.notes:
        console.print(f"Read: {note}", highlight=False, markup=False, soft_wrap=True)
    for suspicion in table.suspicions:
        console.print(f"Warning: {suspicion}", style="yellow", highlight=False, markup=False, soft_wrap=True)

"""The options that several commands share: those that say which rows the hospitals hold, and `--json`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

ROWS = "One's own rows"

Data = Annotated[
    str,
    typer.Option(
        metavar="PATH", help="A CSV or parquet file, or a folder with one for each hospital.", rich_help_panel=ROWS
    ),
]
Site = Annotated[str, typer.Option(metavar="COLUMN", help="The column of hospitals.", rich_help_panel=ROWS)]
Label = Annotated[str, typer.Option(metavar="COLUMN", help="The column to predict.", rich_help_panel=ROWS)]
Positive = Annotated[
    str, typer.Option(metavar="CLASS", help="The class of the label that counts as 1.", rich_help_panel=ROWS)
]
Person = Annotated[
    str, typer.Option(metavar="COLUMN", help="Rows with the same value are split together.", rich_help_panel=ROWS)
]
Drop = Annotated[str, typer.Option(metavar="COLUMN,...", help="Columns that are no features.", rich_help_panel=ROWS)]
SchemaFile = Annotated[
    str,
    typer.Option(
        "--schema",
        metavar="FILE",
        help="The agreed columns, as `fedsec stats --write-schema` drafts them.",
        rich_help_panel=ROWS,
    ),
]
MinimumRows = Annotated[int, typer.Option(help="Join sites with fewer rows to one.")]
OneClass = Annotated[bool, typer.Option("--one-class", help="Allow a hospital that holds a single class.")]
Partition = Annotated[
    str,
    typer.Option(
        help="How rows lie across hospitals: auto (natural where there are sites), natural, even, label-skew."
    ),
]
Clients = Annotated[
    int, typer.Option(help="Number of hospitals, at least 3; by default that of the sites, or 5.", show_default=False)
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]


def print_json(document: Any) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps(document) + "\n")

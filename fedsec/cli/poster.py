"""`fedsec poster`: the poster's experiments, one command each."""

from __future__ import annotations

import typer

from fedsec.cli.poster_all import every
from fedsec.cli.poster_network import network
from fedsec.cli.poster_page import basics, page
from fedsec.cli.poster_shared_training import shared_training
from fedsec.cli.poster_tables import tables

app = typer.Typer(
    name="poster",
    help="The poster's experiments, each beside the number that the poster prints.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("tables")(tables)
app.command("network")(network)
app.command("shared-training")(shared_training)
app.command("basics")(basics)
app.command("page")(page)
app.command("all")(every)

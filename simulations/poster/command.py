"""`fedsec poster`: the poster's experiments, one command each."""

from __future__ import annotations

import typer

from fedsec.simulations.poster.all_command import every
from fedsec.simulations.poster.network_command import network
from fedsec.simulations.poster.page_command import basics, page
from fedsec.simulations.poster.tables_command import tables
from fedsec.simulations.poster.training_command import shared_training

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

"""The command line. `fedsec strategies` lives here; whatever runs simulations comes by entry point.

Exit status: 0 for a result, 1 for a failed run, 2 for a usage that cannot work, 130 after Ctrl-C.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from fedsec import __version__
from fedsec.cli.strategies import strategies
from fedsec.errors import ConfigurationError, FedsecError

GROUP = "fedsec.commands"

app = typer.Typer(
    name="fedsec",
    help="Sound, fast, pluggable secure aggregation for Flower.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"fedsec {__version__}")
        raise typer.Exit


app.command()(strategies)


def _load_commands(asked: Sequence[str]) -> None:
    """All commands, or the one that is asked for: it need not wait until the others are imported."""
    found = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name)
    for point in [point for point in found if point.name in asked[:1]] or found:
        loaded = point.load()
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=point.name)
        else:
            app.command(point.name)(loaded)


def main() -> None:
    """Run the command line; errors that a user can cause end in one line, never in a traceback."""
    try:
        _load_commands(sys.argv[1:])
        app()
    except ConfigurationError as error:
        sys.exit(_say(error, 2))
    except FedsecError as error:
        sys.exit(_say(error, 1))
    except KeyboardInterrupt:
        sys.exit(130)


def _say(error: FedsecError, status: int) -> int:
    Console(stderr=True).print(f"[bold red]error:[/bold red] {_plain(str(error))}", highlight=False, soft_wrap=True)
    return status


def _plain(text: str) -> str:
    return text.replace("[", r"\[")

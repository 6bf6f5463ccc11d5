"""The command line. `fedsec strategies` lives here; whatever runs simulations comes by entry point.

Exit status: 0 for a result, 1 for a failed run, 2 for a usage that cannot work, 130 after Ctrl-C.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fedsec import __version__, catalog
from fedsec.cli.options import Json, print_json
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.protocol import SecureSum, headings

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


@app.command()
def strategies(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE.py]...", help="Strategy files to list as well.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the aggregation strategies: phases, what the server learns, whom each trusts, what it tolerates.

    Examples:

    `fedsec strategies` · `fedsec strategies my_strategy.py` · `fedsec strategies --json`
    """
    listed, broken = [], []
    for name in [*catalog.names(), *(files or [])]:
        try:
            listed.append(_describe(catalog.strategy(name)))
        except ConfigurationError as error:
            if name in (files or []):
                raise
            broken.append({"name": name, "error": str(error)})
    if as_json:
        return print_json({"strategies": listed, "broken": broken})
    console = Console()
    for one in listed:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for key, value in one.items():
            if key not in ("name", "parameters"):
                table.add_row(key, _plain(" > ".join(value) if isinstance(value, list) else str(value)))
        table.add_row("parameters", _plain(", ".join(f"{key}={value}" for key, value in one["parameters"].items())))
        console.print(f"[bold]{one['name']}[/bold]")
        console.print(table)
        console.print()
    for one in broken:
        console.print(f"[bold]{one['name']}[/bold] cannot be used: {_plain(one['error'])}", highlight=False)


def _describe(kind: type[SecureSum[Any, Any]]) -> dict[str, Any]:
    protocol = kind()
    lines = {heading.lower(): value for heading, value in headings(kind).items()}
    set_up = [phase.__name__ for phase in kind.setup_phases]
    extra = {"set-up": set_up} if set_up else {}
    phases = [phase.__name__ for phase in protocol.rounds()]
    return {"name": protocol.name, **extra, "phases": phases, **lines, "parameters": protocol.parameters()}


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

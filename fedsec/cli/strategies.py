"""`fedsec strategies`: what each strategy is and which parameters it takes, in text or as one JSON object."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedsec import catalog
from fedsec.cli.options import Json, print_json
from fedsec.errors import ConfigurationError
from fedsec.protocol import Parameter, SecureSum, headings, parameters_of


def strategies(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE.py]...", help="Strategy files to list as well.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the aggregation strategies: phases, what the server learns, whom each trusts, what it tolerates.

    Each parameter is shown with its default and its range. `fedsec run -p NAME=VALUE` sets one, and so does
    `NAME:PARAMETER=VALUE` wherever a strategy is named.

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
            if key not in ("name", "parameters", "parameter_details"):
                table.add_row(key, escape(" > ".join(value) if isinstance(value, list) else str(value)))
        console.print(f"[bold]{one['name']}[/bold]")
        console.print(table)
        console.print(_table(one["parameter_details"]))
        console.print()
    for one in broken:
        console.print(f"[bold]{one['name']}[/bold] cannot be used: {escape(one['error'])}", highlight=False)


def _describe(kind: type[SecureSum[Any, Any]]) -> dict[str, Any]:
    protocol = kind()
    lines = {heading.lower(): value for heading, value in headings(kind).items()}
    set_up = [phase.__name__ for phase in kind.setup_phases]
    extra = {"set-up": set_up} if set_up else {}
    disputed = [phase.__name__ for phase in protocol.dispute_phases]
    dispute = {"after a complaint": disputed} if disputed else {}
    return {
        "name": protocol.name,
        **extra,
        "phases": [phase.__name__ for phase in protocol.rounds()],
        **dispute,
        **lines,
        "parameters": protocol.parameters(),
        "parameter_details": [one.describe() for one in parameters_of(kind)],
    }


def _table(details: Iterable[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), pad_edge=False, header_style="dim")
    table.add_column("parameter", no_wrap=True)
    for heading in ("default", "values", "meaning"):
        table.add_column(heading, overflow="fold")
    for one in details:
        table.add_row(*(escape(text) for text in (one["name"], _shown(one["default"]), one["values"], one["help"])))
    return table


def _shown(default: Any) -> str:
    return '""' if default == "" else str(default)


def parameters_help() -> str:
    """Every strategy's parameters, as Markdown for help."""
    return "\n\n".join(_sections())


def _sections() -> Iterator[str]:
    yield "Parameters of every strategy:"
    yield from (_line(one) for one in parameters_of(SecureSum))
    for name in catalog.names():
        try:
            kind = catalog.strategy(name)
        except ConfigurationError:  # the command itself says what is wrong with it
            continue
        base = {one.name: one for one in parameters_of(SecureSum)}
        own = [one for one in parameters_of(kind) if one != base.get(one.name)]
        if own:
            yield f"Parameters of `{name}`:"
            yield from map(_line, own)


def _line(one: Parameter) -> str:
    default = one.describe()["default"]
    return f"- `{one.name}={_shown(default)}`: {one.help or 'no description'} ({one.values})"


# Help is the docstring. This module is imported when the command is called, and the command needs every strategy.
strategies.__doc__ = f"{inspect.getdoc(strategies)}\n\n{parameters_help()}"

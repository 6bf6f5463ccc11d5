"""`fedsec agree show`, `compare` and `bundle`: what an agreement says, and what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from fedsec.agreement import agreement_file
from fedsec.agreement.agreement_file import Agreement
from fedsec.agreement.differences import differences
from fedsec.agreement.explanation import explain, short
from fedsec.cli.options import Json, print_json

File = Annotated[Path, typer.Argument(metavar="FILE", help="The agreement, a TOML file.")]
DIFFERENT = 1
"""The exit status where two agreements differ."""


def show(file: File, as_json: Json = False) -> None:
    """Explain an agreement: what leaves a hospital, to whom, how often, what could be derived from it.

    A hospital's node that approved this agreement refuses everything else. The hash names the content: whoever has the
    same hash has the same agreement, whatever the file's comments and order.

    Examples:

    `fedsec agree show agreement.toml`

    `fedsec agree show agreement.toml --json`
    """
    agreement = agreement_file.read(file)
    if as_json:
        return print_json(
            {
                "hash": agreement.hash.hex(),
                "short": short(agreement),
                "explanation": [one._asdict() for one in explain(agreement)],
                "agreement": agreement.model_dump(mode="json"),
            }
        )
    print_agreement(Console(), agreement)


def print_agreement(console: Console, agreement: Agreement) -> None:
    """Print the explanation, and the hash."""
    console.print(f"[bold]{escape(agreement.title or 'Agreement')}[/bold], {short(agreement)}", highlight=False)
    for section in explain(agreement):
        console.print(f"\n[bold]{section.title}[/bold]")
        for line in section.lines:
            console.print(Padding(escape(line), (0, 0, 0, 2)), highlight=False)
    console.print(f"\nHash: {agreement.hash.hex()}", highlight=False, soft_wrap=True)


def compare(
    one: Annotated[Path, typer.Argument(metavar="A", help="An agreement.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    as_json: Json = False,
) -> None:
    """Show where two agreements differ; the exit status is 1 where they do.

    Compares contents, field by field: comments and the order of keys do not count.

    Examples:

    `fedsec agree compare agreement.toml theirs.toml`
    """
    mine, theirs = agreement_file.read(one), agreement_file.read(other)
    found = differences(mine, theirs)
    if as_json:
        print_json(
            {
                "hashes": [mine.hash.hex(), theirs.hash.hex()],
                "differences": [{"field": each.field, "a": each.one, "b": each.other} for each in found],
            }
        )
    else:
        console = Console()
        for each in found:
            text = f"{each.field} is {_value(each.one)} in {one}, and {_value(each.other)} in {other}"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
        hashes = f"both {short(mine)}" if mine.hash == theirs.hash else f"{short(mine)} and {short(theirs)}"
        said = (
            f"{len(found)} field{'s differ' if len(found) > 1 else ' differs'}"
            if found
            else "The two agreements are the same"
        )
        console.print(f"{said} ({hashes}).", highlight=False, markup=False)
    if found:
        raise typer.Exit(DIFFERENT)


def _value(value: Any) -> str:
    return "not set" if value is None else repr(value)


def bundle(
    app: Annotated[
        Path, typer.Argument(metavar="APP", help="An app's folder, or the .fab file that `flwr build` made of it.")
    ],
    as_json: Json = False,
) -> None:
    """Print the SHA-256 by which an agreement names an app's files.

    `flwr run` sends the files of a folder that `flwr build` would pack; these are what counts.

    Examples:

    `fedsec agree bundle my-study`

    `fedsec agree bundle example.my-study.1-0-0.5f1c2a7d.fab`
    """
    from fedsec.flower.bundle import digest_of_app

    digest = digest_of_app(app)
    if as_json:
        return print_json({"app": str(app), "bundle": digest})
    typer.echo(digest)

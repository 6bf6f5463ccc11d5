"""`fedsec log`: the trail of a hospital or a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fedsec.cli.lazy_group import new_app
from fedsec.cli.options import Json, print_json
from fedsec.errors import ConfigurationError
from fedsec.trail import Head, Verified
from fedsec.trail import verify as verified

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A trail: JOURNAL.trail at a hospital, trail.jsonl in a run's folder.")
]
SHORT = 12
"""Digits of a hash that are shown."""
LEFT_OUT = {"n", "at", "who", "event", "before", "hash"}
app = new_app(
    name="log",
    help="Show and verify a trail: what a hospital or a server did, when, and whether its file was changed since.",
    no_args_is_help=True,
)


@app.command()
def show(
    file: File,
    event: Annotated[
        str, typer.Option("--event", metavar="NAME", help="Only these: answered, refused, approved, released, void, …")
    ] = "",
    last: Annotated[int, typer.Option("--last", metavar="N", min=0, help="Only the last N entries; 0 shows all.")] = 0,
    as_json: Json = False,
) -> None:
    """Show a trail's entries, one a line, and whether the file was changed since they were written.

    Examples:

    `fedsec log show /var/lib/fedsec/journal.trail --last 20`

    `fedsec log show results/study/trail.jsonl --event void`
    """
    found = verified(file.expanduser())
    entries = [one for one in found.entries if not event or one["event"] == event]
    if event and not entries and (known := sorted({str(one["event"]) for one in found.entries})):
        raise ConfigurationError(f"no entry has the event {event!r}; there are {', '.join(known)}")
    entries = entries[-last:] if last else entries
    if as_json:
        return print_json({"entries": entries, "problems": found.problems, "notes": found.notes})
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for entry in entries:
        console.print(line(entry))
    _say(console, found)


@app.command()
def verify(
    file: File,
    head: Annotated[str, typer.Option("--head", metavar="NUMBER:HASH", help="A head that was noted earlier.")] = "",
    as_json: Json = False,
) -> None:
    """Check that no entry was changed, left out, put in or cut off; the exit status is 1 where one was.

    Prints the trail's head. Note it somewhere else, such as in the minutes of a meeting: verified against it, the trail
    up to there cannot have been rewritten, not even by who can write its files.

    Examples:

    `fedsec log verify /var/lib/fedsec/journal.trail`

    `fedsec log verify results/study/trail.jsonl --head 17:3b2f…`
    """
    found = verified(file.expanduser(), Head.parse(head) if head else None)
    if as_json:
        counted = {"entries": len(found.entries), "head": str(found.head)}
        print_json(counted | {"problems": found.problems, "notes": found.notes})
    else:
        console = Console(soft_wrap=True, highlight=False, markup=False)
        span = f", {found.entries[0]['at']} to {found.entries[-1]['at']}" if found.entries else ""
        console.print(f"{len(found.entries)} entries{span}")
        _say(console, found)
        console.print(f"Head: {found.head}")
    if found.problems:
        raise typer.Exit(1)


def line(entry: dict[str, Any]) -> str:
    """An entry to read: time, who, what, and the rest; of a hash its first digits."""
    facts = [f"{key} {_text(value)}" for key, value in entry.items() if key not in LEFT_OUT]
    text = f"{entry['at']}  {entry['who']}  {entry['event']}{': ' if facts else ''}{', '.join(facts)}"
    return "".join(letter if letter.isprintable() else " " for letter in text)  # whoever wrote it into the file


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value))
    text = str(value)
    return text[:SHORT] if len(text) >= 2 * SHORT and set(text) <= set("0123456789abcdef") else text


def _say(console: Console, found: Verified) -> None:
    for text in found.notes:
        console.print(f"Note: {text}")
    for text in found.problems:
        console.print(f"Problem: {text}", style="red")
    if not found.problems:
        console.print("Nothing was changed since it was written, as far as the file and its head can tell.")

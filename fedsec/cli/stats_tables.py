"""What `fedsec stats` prints: Table 1 within 80 columns, the label, and how many hospitals have what looks wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedsec.app.progress import tidy
from fedsec.cli.options import print_json
from fedsec.data.label import Label
from fedsec.data.table_one import TableOne
from fedsec.report import table_one_text
from fedsec.report.table_one_text import chosen, error_text, mean_text, median_text, notes, share_text, span_text

WIDTH, LONGEST_TITLE = 80, 30
"""Columns of a terminal, and those that the first column of a table takes of them at most, in one line."""


def say(console: Console, text: str) -> None:
    """A sentence as it is."""
    console.print(text, highlight=False, markup=False)


def print_suspected(console: Console, table: TableOne) -> None:
    """A warning for each suspicion that hospitals counted in the sum."""
    for text in table.suspected:
        console.print(f"Warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def print_all(
    console: Console, name: str, label: Label | None, described: TableOne, shown: TableOne, grouped: bool
) -> None:
    """The table, `shown` in columns of groups or compactly, with what to know of it."""
    part = "" if described.part == "all" else f"{described.part} "
    rows = f"{described.rows[0]:,} {part}rows at {described.hospitals} hospitals"
    console.print(f"[bold]{escape(name)}[/bold]: {rows}", highlight=False)
    if len(described.rows) > 1:
        say(console, f"label {described.label}: {_by_class(described, label)}")
    if described.label_mean is not None:
        deviation = f"standard deviation {described.label_deviation:.4g}"
        say(console, f"label {described.label}: mean {described.label_mean:.4g}, {deviation}")
    if grouped:
        for place, block in enumerate(_blocks(shown)):
            console.print(*[""] * (place > 0), _by_group(block), sep="\n")
    else:
        for table in _compact(shown):
            console.print(table)
    for text in notes(described):
        say(console, text)


def _by_class(described: TableOne, label: Label | None) -> str:
    """How many rows each class of the label has."""
    total, *rows = described.rows
    if len(rows) > 2:
        named = [name.partition(" = ")[2] for name in described.groups[1:]]
        return ", ".join(
            f"{count:,} of class {name} ({count / total:.1%})" for name, count in zip(named, rows, strict=True)
        )
    others, positive = rows
    if described.label_mean is not None:  # a time, whose groups are those with and without the event
        return f"{positive:,} rows with {described.groups[-1]} ({positive / total:.1%}), {others:,} without"
    named_one = label.positive if label else described.groups[-1].partition(" = ")[2]
    return f"{positive:,} of class {named_one} ({positive / total:.1%}), {others:,} of the other"


def print_as(table: TableOne, form: str) -> None:
    """The table as `csv`, `markdown` or `json`, and nothing else."""
    if form == "json":
        print_json(tidy(table_one_text.document(table)))
    else:
        text = table_one_text.csv_text(table) if form == "csv" else table_one_text.markdown(table)
        sys.stdout.write(text)


def _blocks(table: TableOne) -> Iterator[TableOne]:
    """The table in parts that have as many groups as fit beside each other."""
    found = table_one_text.lines(table)
    titles = min(max(len(f"  {text}") for line in found for text in line[:2]), LONGEST_TITLE)
    widest = [max(len(name), *(len(line.cells[place]) for line in found)) for place, name in enumerate(table.groups)]
    places: list[int] = []
    for place in range(len(table.rows)):
        if places and titles + sum(widest[each] + 1 for each in [*places, place]) > WIDTH:
            yield chosen(table, places)
            places = []
        places.append(place)
    yield chosen(table, places)


def _by_group(table: TableOne) -> Table:
    made = _table("", *map(escape, table.groups))
    for line in table_one_text.lines(table):
        if line.head and line.what:
            made.add_row(f"[bold]{escape(line.column)}[/bold]", *[""] * len(line.cells))
        if not line.head or line.what != "n (%)":
            made.add_row(escape(f"  {line.what}" if line.what else line.column), *map(escape, line.cells))
    return made


def _compact(table: TableOne) -> Iterator[Table]:
    """A line for each column: of numbers, and of words."""
    rows = table.rows[0]
    hidden = any(one.groups[0].suppressed for one in table.numbers)
    if table.numbers:
        extra = ("suppr.",) if hidden else ()
        made = _table("column", "missing", *extra, "mean (SD)", "median [Q1, Q3]", "5% to 95%", "±")
        for row in table.numbers:
            cells = row.groups[0]
            more = (_part(cells.suppressed, rows),) if hidden else ()
            figures = (mean_text(row, cells), median_text(cells, row.edges), span_text(cells, row.edges))
            made.add_row(escape(row.name), _part(cells.missing, rows), *more, *map(escape, figures), error_text(row))
        yield made
    hidden = any(one.groups[0].suppressed for one in table.categories)
    if table.categories:
        extra = ("suppr.",) if hidden else ()
        made = _table("category", "missing", *extra, "rows of each level")
        for words in table.categories:
            levels = words.groups[0]
            more = (_part(levels.suppressed, rows),) if hidden else ()
            counts = zip(words.levels, levels.counts, strict=True)
            shares = ", ".join(f"{level} {share_text(count, rows)}" for level, count in counts)
            made.add_row(escape(words.name), _part(levels.missing, rows), *more, escape(shares))
        yield made


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for place, heading in enumerate(headings):
        right = place > 0 and "level" not in heading
        table.add_column(heading, justify="right" if right else "left", no_wrap=right)
    return table


def _part(rows: int, of: int) -> str:
    return f"{rows / of:.1%}" if rows else "-"

"""Table 1 as text, for the terminal, the page and files: what stands in each of its lines, by group of rows."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from fedsec.data.number_cells import NumberCells
from fedsec.data.table_one import QUANTILES, CategoryRow, NumberRow, TableOne

MIDDLE, OUTER = (0.5, 0.25, 0.75), (0.05, 0.95)
NONE = "-"


class Line(NamedTuple):
    """A line: its column of the data, what it tells of it, and that for each group; `head` where the column begins."""

    column: str
    what: str
    cells: tuple[str, ...]
    head: bool = False


def chosen(table: TableOne, places: Sequence[int]) -> TableOne:
    """The table with these groups alone."""
    return replace(
        table,
        groups=tuple(table.groups[place] for place in places),
        rows=tuple(table.rows[place] for place in places),
        numbers=tuple(replace(row, groups=tuple(row.groups[place] for place in places)) for row in table.numbers),
        categories=tuple(replace(row, groups=tuple(row.groups[place] for place in places)) for row in table.categories),
    )


def side_by_side(names: Sequence[str], tables: Sequence[TableOne]) -> TableOne:
    """The groups of several tables of one schema as one, each named after its table, and its class if it has several.

    Only a simulation can show hospitals so.
    """
    first = tables[0]
    groups = [
        name if len(table.groups) == 1 else f"{name}: {group}"
        for name, table in zip(names, tables, strict=True)
        for group in table.groups
    ]
    return replace(
        first,
        groups=tuple(groups),
        rows=tuple(rows for table in tables for rows in table.rows),
        hospitals=len(tables),
        numbers=tuple(
            replace(row, groups=tuple(one for table in tables for one in table.numbers[place].groups))
            for place, row in enumerate(first.numbers)
        ),
        categories=tuple(
            replace(row, groups=tuple(one for table in tables for one in table.categories[place].groups))
            for place, row in enumerate(first.categories)
        ),
        suspicions=(),
    )


def lines(table: TableOne) -> list[Line]:
    """All lines; the first has the rows of each group."""
    found = [Line("n", "", tuple(f"{rows:,}" for rows in table.rows), True)]
    for number in table.numbers:
        found += _of_number(number, table.rows)
    for category in table.categories:
        found += _of_category(category, table.rows)
    return found


def mean_text(row: NumberRow, cells: NumberCells) -> str:
    """Mean and standard deviation, to three digits of the largest deviation of the row: `62.8 (14.3)`."""
    if cells.mean is None or cells.deviation is None:
        return NONE
    largest = max(one.deviation or 0.0 for one in row.groups)
    places = _places(largest or abs(cells.mean), 3)
    return f"{_fixed(cells.mean, places)} ({_fixed(cells.deviation, places)})"


def median_text(cells: NumberCells, edges: Sequence[float]) -> str:
    """Median and quartiles: `63 [52, 74]`."""
    found = [cells.quantile(part, edges) for part in MIDDLE]
    if None in found:
        return NONE
    middle, low, high = (_rounded(*one) for one in found if one is not None)
    return f"{middle} [{low}, {high}]"


def span_text(cells: NumberCells, edges: Sequence[float]) -> str:
    """From the 5% to the 95% quantile: `38 to 87`."""
    found = [cells.quantile(part, edges) for part in OUTER]
    return NONE if None in found else " to ".join(_rounded(*one) for one in found if one is not None)


def error_of(row: NumberRow, parts: Sequence[float] = QUANTILES) -> float:
    """What these quantiles are off by at most, in all groups: the width of the widest bin that one lies in."""
    found = [cells.quantile(part, row.edges) for cells in row.groups for part in parts]
    return max((one[1] for one in found if one is not None), default=row.width)


def error_text(row: NumberRow, parts: Sequence[float] = QUANTILES) -> str:
    """What these quantiles are off by at most, to two digits, rounded up."""
    error = error_of(row, parts)
    step = 10.0 ** (math.floor(math.log10(error)) - 1)
    return _fixed(math.ceil(round(error / step, 6)) * step, _places(error, 2))


def share_text(rows: int, of: int) -> str:
    """Rows and their share: `34 (8.2%)`."""
    return f"{rows:,} ({rows / of:.1%})" if of else f"{rows:,}"


def _of_number(row: NumberRow, rows: Sequence[int]) -> Iterator[Line]:
    groups = row.groups
    yield Line(row.name, "mean (SD)", tuple(mean_text(row, one) for one in groups), True)
    middle, outer = error_text(row, MIDDLE), error_text(row, OUTER)
    yield Line(row.name, f"median [Q1, Q3] ±{middle}", tuple(median_text(one, row.edges) for one in groups))
    yield Line(row.name, f"5% to 95% ±{outer}", tuple(span_text(one, row.edges) for one in groups))
    for what, counts in (
        ("suppressed", [one.suppressed for one in groups]),
        ("missing", [one.missing for one in groups]),
    ):
        if any(counts):
            yield Line(row.name, what, tuple(map(share_text, counts, rows)))


def _of_category(row: CategoryRow, rows: Sequence[int]) -> Iterator[Line]:
    yield Line(row.name, "n (%)", ("",) * len(row.groups), True)
    for place, level in enumerate(row.levels):
        yield Line(row.name, level, tuple(map(share_text, [one.counts[place] for one in row.groups], rows)))
    for what, counts in (
        ("suppressed", [one.suppressed for one in row.groups]),
        ("missing", [one.missing for one in row.groups]),
    ):
        if any(counts):
            yield Line(row.name, what, tuple(map(share_text, counts, rows)))


def notes(table: TableOne) -> list[str]:
    """What to know of the figures."""
    found = []
    if table.numbers:
        found.append(
            "Quantiles are read off histograms: each is off by less than ±, the width of its bin"
            f"{', or of a wider one where bins have too few rows' if table.suppressed else ''}. Means, standard "
            "deviations and counts are exact."
        )
    if table.least:
        found.append(
            f"At a hospital, a bin of fewer than {table.least} rows is joined to a wider one, and what is left then, "
            "like a level of so few rows, counts as suppressed. The cells of a column still add up to its rows."
        )
    if any(cells.suppressed for row in table.numbers for cells in row.groups):
        found.append(f"Means leave out the values of a hospital that has fewer than {table.least} of them in a class.")
    return found


def markdown(table: TableOne) -> str:
    """The table in Markdown."""
    head = ["", *table.groups]
    body = [head, ["---", *["---:"] * len(table.groups)]]
    body += [[_titled(line), *line.cells] for line in lines(table)]
    text = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in body]
    return "\n".join([*text, "", *notes(table)]) + "\n"


def _titled(line: Line) -> str:
    """The first cell of a line, in a table without indentation."""
    return ", ".join(filter(None, (line.column, line.what)))


def csv_text(table: TableOne) -> str:
    """A line for each figure: column, statistic, group, value, and what it is off by at most."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["column", "statistic", "group", "value", "within"])
    for place, group in enumerate(table.groups):
        writer.writerow(["", "rows", group, table.rows[place], 0])
        for row in table.numbers:
            writer.writerows([row.name, name, group, *each] for name, *each in _figures(row.groups[place], row.edges))
        for words in table.categories:
            cells = words.groups[place]
            counts = [*zip(words.levels, cells.counts, strict=True)]
            counts += [("suppressed", cells.suppressed), ("missing", cells.missing)]
            writer.writerows([words.name, f"rows: {name}", group, count, 0] for name, count in counts)
    return out.getvalue()


def _figures(cells: NumberCells, edges: Sequence[float]) -> Iterator[tuple[str, Any, Any]]:
    yield "values", cells.counted, 0
    if cells.mean is not None:
        yield "mean", cells.mean, 0
        yield "standard deviation", cells.deviation, 0
    for part in QUANTILES:
        if (one := cells.quantile(part, edges)) is not None:
            yield f"quantile {part:g}", *one
    yield "suppressed", cells.suppressed, 0
    yield "missing", cells.missing, 0


def document(table: TableOne) -> dict[str, Any]:
    """The table for JSON, with its quantiles: each with what it is off by at most."""
    found = asdict(table)
    for row, said in zip(table.numbers, found["numbers"], strict=True):
        for cells, group in zip(row.groups, said["groups"], strict=True):
            quantiles = {f"{part:g}": cells.quantile(part, row.edges) for part in QUANTILES}
            group["quantiles"] = {
                part: None if one is None else {"value": one[0], "within": one[1]} for part, one in quantiles.items()
            }
    return found | {"suspected": list(table.suspected), "notes": notes(table)}


def _places(value: float, significant: int) -> int:
    """Decimal places that show a number of this size to so many digits."""
    return max(0, min(12, significant - 1 - math.floor(math.log10(value)))) if value > 0 else 0


def _rounded(value: float, width: float) -> str:
    """A quantile to the digits that its bin's width leaves a meaning."""
    return _fixed(value, max(0, min(12, math.ceil(-math.log10(width)))))


def _fixed(value: float, places: int) -> str:
    """A number with so many decimal places, and no minus before a zero."""
    return f"{round(value, places) + 0.0:,.{places}f}"

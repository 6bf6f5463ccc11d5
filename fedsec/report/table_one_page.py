"""Table 1 on a run's page: its lines, a small histogram beside each column of numbers, and what looks wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fedsec.data.table_one import NumberRow, TableOne
from fedsec.report import units
from fedsec.report.table_one_text import lines, notes

if TYPE_CHECKING:
    from markupsafe import Markup

MANY = 30
"""A table of more lines is folded."""
WIDE, HIGH = 150.0, 34.0
"""Of a small histogram, in pixels."""


def section(table: TableOne) -> dict[str, Any]:
    """What the template shows."""
    pictures = {row.name: picture(row, table.groups) for row in table.numbers}
    found = lines(table)
    counts = Counter(line.column for line in found[1:])
    rows = [{"line": found[0], "span": 1, "picture": None}]
    rows += [
        {"line": line, "span": counts[line.column] if line.head else 0, "picture": pictures.get(line.column)}
        for line in found[1:]
    ]
    label = ""
    if table.label_mean is not None:
        label = f" The label {table.label} has mean {table.label_mean:.4g} and standard deviation "
        label += f"{table.label_deviation:.4g}."
    part = "" if table.part == "all" else f"{table.part} "
    return {
        "groups": table.groups,
        "rows": rows,
        "many": len(rows) > MANY,
        "suspected": table.suspected,
        "notes": notes(table),
        "pictured": bool(pictures),
        "lead": (
            f"{units.plural(table.rows[0], part + 'row')} at {units.plural(table.hospitals, 'hospital')}, from one "
            f"secure sum of {table.sent:,} numbers from each of them, by which the rows were prepared too.{label}"
        ),
    }


def picture(row: NumberRow, groups: Sequence[str]) -> Markup:
    """A histogram as SVG: each class filled by its own share in the bins, or all rows where there are no classes."""
    from markupsafe import Markup, escape

    cells = row.groups[1:] or row.groups
    names = groups[1:] or groups
    heights = []
    for one in cells:
        rows = one.spread(row.edges)
        whole, steps = sum(rows) or 1.0, pairwise(row.edges)
        heights.append([count / whole / (high - low) for count, (low, high) in zip(rows, steps, strict=True)])
    most = max((height for each in heights for height in each), default=0.0) or 1.0
    ends = f"{row.edges[0]:g} to {row.edges[-1]:g}"
    title = escape(f"Histogram of {row.name}, {ends}: {', '.join(names)}")
    shapes = "".join(
        f'<path class="h{place}" d="{_path(row.edges, each, most)}"/>' for place, each in enumerate(heights)
    )
    size = f'viewBox="0 0 {WIDE:g} {HIGH:g}" width="{WIDE:g}" height="{HIGH:g}"'
    text = f'<svg class="spark" role="img" aria-label="{title}" {size}><title>{title}</title>{shapes}</svg>'
    return Markup(text)  # noqa: S704 - all of it is ours, or escaped


def _path(edges: Sequence[float], heights: Sequence[float], most: float) -> str:
    """The outline of the bars, from the left end of the axis to the right one."""
    return f"M0 {HIGH:g}{''.join(_bars(edges, heights, most))}L{WIDE:g} {HIGH:g}Z"


def _bars(edges: Sequence[float], heights: Sequence[float], most: float) -> Iterator[str]:
    low, span = edges[0], edges[-1] - edges[0]
    for (left, right), height in zip(pairwise(edges), heights, strict=True):
        top = HIGH - (HIGH - 1.0) * height / most
        yield f"L{WIDE * (left - low) / span:.4g} {top:.4g}L{WIDE * (right - low) / span:.4g} {top:.4g}"

"""Numbers with decimal commas in a file of text, written with points; and those that can be read in two ways."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fedsec.data.cells import as_number, is_gap, quoted

_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d*),\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([.,])\d{3}")
"""A number that has a mark either before decimals, or between thousands."""
_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")


def with_points(columns: dict[str, list[str]], certain: bool) -> tuple[str, list[str]]:
    """Write the columns' numbers with decimal points, in place.

    certain: whether commas that could stand between thousands are decimal commas for another reason, as in a file with
    semicolons between cells. Returns what was done, in words, and the problems: columns that can be read in two ways.
    """
    found = {name: cells for name, cells in columns.items() if _has_commas(cells)}
    certain = certain or any(not _only_thousands(cells, ",") for cells in found.values())
    problems = []
    for name, cells in found.items():
        stripped = [cell.strip() for cell in cells]
        if both := [cell for cell in stripped if _POINT.fullmatch(cell)]:
            problems.append(
                f"column {name!r} has numbers with decimal commas and others with points, {quoted(both[:1])}: write "
                "all in one way"
            )
        elif not certain:
            example = next(cell for cell in stripped if _COMMA.fullmatch(cell))
            problems.append(
                f"column {name!r}: {example!r} may be {example.replace(',', '.')} or {example.replace(',', '')}: write "
                "decimal points, and nothing between thousands"
            )
        else:
            columns[name] = [_pointed(cell, stripped_cell) for cell, stripped_cell in zip(cells, stripped, strict=True)]
    if found:
        for name in columns.keys() - found.keys():
            if _only_thousands(columns[name], "."):
                example = next(cell for cell in columns[name] if _POINT.fullmatch(cell.strip()))
                problems.append(
                    f"column {name!r} has points, {quoted([example])}, where other columns have decimal commas: write "
                    "nothing between thousands"
                )
    changed = [name for name in found if columns[name] is not found[name]]
    return (f"decimal commas in {', '.join(changed)}" if changed else ""), sorted(problems)


def _pointed(cell: str, stripped: str) -> str:
    return stripped.replace(".", "").replace(",", ".") if _COMMA.fullmatch(stripped) else cell


def _has_commas(cells: Sequence[str]) -> bool:
    """Whether most cells that have a value are numbers, some with a comma."""
    if not any("," in cell for cell in cells):
        return False
    there = [cell.strip() for cell in cells if not is_gap(cell)]
    commas = sum(bool(_COMMA.fullmatch(cell)) for cell in there)
    return bool(commas) and 2 * (commas + sum(as_number(cell) is not None for cell in there)) > len(there)


def _only_thousands(cells: Sequence[str], mark: str) -> bool:
    """Whether every number with this mark in it has one before three digits alone."""
    marked = [cell.strip() for cell in cells if mark in cell and not is_gap(cell)]
    return bool(marked) and all((found := _THOUSANDS.fullmatch(cell)) and found[1] == mark for cell in marked)

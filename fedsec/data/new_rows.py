"""Rows to apply a model to: without a label, and refused one by one, in words, where the schema does not allow them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from fedsec.data.bundled import Floats
from fedsec.data.cells import gaps
from fedsec.data.column_values import UNKNOWN, levels_of, numbers_of
from fedsec.data.schema import Number, Schema
from fedsec.data.table import Integers
from fedsec.errors import DataError, shown


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows under a schema without its label.

    numbers: float64[rows, numeric columns], NaN where missing. levels: int64[rows, columns of words], -1 where missing.
    refused: what is wrong, by row from 0; such a row has gaps where its cells cannot be read.
    """

    numbers: Floats
    levels: Integers
    refused: Mapping[int, str]


def new_rows(name: str, columns: Mapping[str, Sequence[Any]], schema: Schema) -> NewRows:
    """The rows of these raw columns; other columns are left alone.

    Raises DataError where columns of the schema are missing, naming all of them, or where there is no row.
    """
    missing = [column.name for column in schema.columns if column.name not in columns]
    if missing:
        near = [
            f"{one!r} (there is {close[0]!r})" if (close := get_close_matches(one, columns, 1)) else repr(one)
            for one in missing
        ]
        raise DataError(f"{name}: the model reads columns that are missing here: {', '.join(near)}")
    rows = len(next(iter(columns.values())))
    if not rows:
        raise DataError(f"{name}: no rows")
    refused: dict[int, list[str]] = {}
    gap = gaps(schema.missing)
    numbers, levels = np.empty((rows, len(schema.numbers))), np.empty((rows, len(schema.categories)), np.int64)
    for place, number in enumerate(schema.numbers):
        try:
            found = numbers_of(number, columns, gap)
        except ValueError as error:
            raise DataError(f"{name}: {error}") from error
        for row, value in enumerate(found):
            if why := _not_a_value(columns[number.name][row], value, number):
                refused.setdefault(row, []).append(f"{number.name} is {why}")
            numbers[row, place] = math.nan if why or value is None else value
    for place, category in enumerate(schema.categories):
        for row, level in enumerate(levels_of(category, columns[category.name], gap)):
            if level == UNKNOWN:
                why = f"{shown(columns[category.name][row])}, none of its levels {', '.join(category.levels)}"
                refused.setdefault(row, []).append(f"{category.name} is {why}")
            levels[row, place] = max(level, -1)
    return NewRows(numbers, levels, {row: "; ".join(reasons) for row, reasons in sorted(refused.items())})


def _not_a_value(raw: Any, found: float | None, column: Number) -> str:
    """Why a value cannot be one of the column's; empty where it can."""
    if found is None or math.isinf(found):
        return f"{shown(raw)}, no {'date' if column.date else 'number'}"
    if not math.isnan(found) and not column.low <= found <= column.high:
        return f"{found:g}, outside of the range {column.low:g} to {column.high:g} that was agreed on"
    return ""

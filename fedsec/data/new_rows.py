"""Rows to apply a model to: without a label, and refused one by one, in words, where the schema does not allow them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from fedsec.data.bundled import Floats
from fedsec.data.cells import as_number, is_gap, word
from fedsec.data.schema import OTHER, Category, Number, Schema
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
    numbers, levels = np.empty((rows, len(schema.numbers))), np.empty((rows, len(schema.categories)), np.int64)
    for place, number in enumerate(schema.numbers):
        for row, value in enumerate(columns[number.name]):
            numbers[row, place], why = _number(value, number)
            if why:
                refused.setdefault(row, []).append(f"{number.name} is {why}")
    for place, category in enumerate(schema.categories):
        known = {level: index for index, level in enumerate(category.levels)}
        for row, value in enumerate(columns[category.name]):
            levels[row, place], why = _level(value, category, known)
            if why:
                refused.setdefault(row, []).append(f"{category.name} is {why}")
    return NewRows(numbers, levels, {row: "; ".join(reasons) for row, reasons in sorted(refused.items())})


def _number(value: Any, column: Number) -> tuple[float, str]:
    found = as_number(value)
    if found is None or math.isinf(found):
        return math.nan, f"{shown(value)}, no number"
    if not math.isnan(found) and not column.low <= found <= column.high:
        return math.nan, f"{found:g}, outside of the range {column.low:g} to {column.high:g} that was agreed on"
    return found, ""


def _level(value: Any, column: Category, known: Mapping[str, int]) -> tuple[int, str]:
    if is_gap(value):
        return -1, ""
    found = known.get(word(value), known.get(OTHER, -1))
    return found, "" if found >= 0 else f"{shown(value)}, none of its levels {', '.join(column.levels)}"

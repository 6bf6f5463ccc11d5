"""What the raw values of a column are under a schema: the one reading that training and prediction share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fedsec.data import dates
from fedsec.data.cells import as_number, mapped, plain_word, word
from fedsec.data.schema import OTHER, Category, Number

UNKNOWN = -2
"""In place of a level's index: a word that is none of them."""


def numbers_of(column: Number, columns: Mapping[str, Sequence[Any]], gap: Callable[[Any], bool]) -> list[float | None]:
    """A column's values: NaN for a gap, None for what is no number, or no date where the column holds dates.

    Raises ValueError, in words, where dates cannot be read.
    """
    values = columns[column.name]
    if column.date:
        return dates.numbers(column.name, values, column.date, columns, gap)
    return mapped(lambda value: as_number(value, gap), values)


def levels_of(category: Category, values: Sequence[Any], gap: Callable[[Any], bool]) -> list[int]:
    """The index of each value's level, -1 for a gap, UNKNOWN for a word that is none, where no level takes all others.

    It is the level of the same word, or else the one that differs in case or in a point alone.
    """
    index = {level: place for place, level in enumerate(category.levels)}
    plain = Counter(map(plain_word, category.levels))
    alike = {plain_word(level): place for level, place in index.items() if plain[plain_word(level)] == 1}

    def level_of(value: Any) -> int:
        text = word(value)
        if text in index:
            return index[text]
        return -1 if gap(value) else alike.get(plain_word(text), index.get(OTHER, UNKNOWN))

    return mapped(level_of, values)

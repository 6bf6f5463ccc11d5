"""Single cells: which of them stand for none, and how the others become numbers and words.

Raw values are what a reader of files gives: texts, numbers, truth values, dates, and None for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

Converted = TypeVar("Converted")
MISSING = frozenset(("", "NA", "N/A", "n/a", "NaN", "nan", "NAN", ".", "-", "NULL", "null", "<NA>", "#N/A"))
"""What R, pandas, SAS and Excel write for a missing value. A blank cell is one; `Na`, which is sodium, is none."""
TRUTH = {"true": 1.0, "false": 0.0}
MOST_SHOWN, LONGEST_WORD = 5, 80


def _number(value: Any) -> float | None:
    try:
        if isinstance(value, str) and "_" in value:  # Python reads 1_000 as a number
            return None
        number = float(value)
        return number if number == number else None
    except OverflowError:
        return None
    except (TypeError, ValueError):
        return TRUTH.get(value.strip().casefold()) if isinstance(value, str) else None


def gaps(codes: Iterable[str] = ()) -> Callable[[Any], bool]:
    """What says of a raw value whether it stands for none: by MISSING, or by one of these words or numbers besides."""
    words = {code.strip().casefold() for code in codes}
    numbers = {number for number in map(_number, codes) if number is not None}

    def is_gap(value: Any) -> bool:
        if isinstance(value, str):
            text = value.strip()
            return text in MISSING or text.casefold() in words or (bool(numbers) and _number(text) in numbers)
        if value is None or (isinstance(value, float) and value != value):
            return True
        return bool(numbers) and isinstance(value, int | float) and not isinstance(value, bool) and value in numbers

    return is_gap


is_gap = gaps()
"""The same without codes."""


def as_number(value: Any, gap: Callable[[Any], bool] = is_gap) -> float | None:
    """A raw value as a float, NaN for a gap, 1 and 0 for true and false; None where it is no number."""
    return float("nan") if gap(value) else _number(value)


def mapped(convert: Callable[[Any], Converted], values: Sequence[Any]) -> list[Converted]:
    """What each value becomes, each distinct one converted once: columns have few distinct values, and many rows."""
    known = {value: convert(value) for value in set(values)}
    return [known[value] for value in values]


def word(value: Any) -> str:
    """A raw value as a word: whole numbers without a point, no blanks around."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def plain_word(value: Any) -> str:
    """What two spellings of one word have in common: small letters, and a whole number without a point."""
    text = word(value).casefold()
    number = _number(text) if text[:1] in "+-0123456789" and "." in text else None
    return str(int(number)) if number is not None and number.is_integer() else text


def quoted(values: Sequence[Any], counts: Sequence[int] | None = None, most: int = MOST_SHOWN) -> str:
    """The first values in quotes, with their counts where these are given, and how many more there are."""
    shown = [repr(value if len(str(value)) <= LONGEST_WORD else f"{str(value)[:LONGEST_WORD]}…") for value in values]
    if counts is not None:
        shown = [f"{text} ({count:,})" for text, count in zip(shown, counts, strict=True)]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most:,} more" if len(shown) > most else "")

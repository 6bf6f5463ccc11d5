"""Numbers for people, on pages and in the terminal: three significant digits at most, and a unit that fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal

SPACE = "\N{NO-BREAK SPACE}"
NONE = "\N{EN DASH}"
SECONDS = (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
BYTES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))
BITS = (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3), ("bit/s", 1.0))
Units = Sequence[tuple[str, float]]
MEASURES: Mapping[str, str] = {
    "balanced_accuracy": "balanced accuracy",
    "c_index": "C-index",
    "d2": "D²",
    "macro_auc": "mean AUC",
    "macro_f1": "mean F1",
    "observed_to_expected": "observed / expected",
}
"""What readers call a measure, where its name in result.json is another."""


def measure(name: str) -> str:
    """A measure's name to read."""
    return MEASURES.get(name, name)


def digits(value: float) -> str:
    """Three significant digits, from 0.1 to below 1000; halves are rounded up."""
    exact = Decimal(value)
    places = 2 - exact.adjusted() if exact else 0
    rounded = exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) if exact else exact
    if rounded.adjusted() > exact.adjusted():
        rounded = rounded.quantize(Decimal(1).scaleb(1 - places))
    return f"{rounded:f}"


def _in(value: float | None, units: Units) -> str:
    if value is None or not math.isfinite(value):
        return NONE
    if value < units[-1][1] * 1e-3:
        return "0" if value == 0 else f"<{SPACE}0.001{SPACE}{units[-1][0]}"
    name, size = next((unit for unit in units if value / unit[1] >= 0.9995), units[-1])
    scaled = value / size
    if scaled >= 999.5:  # beyond the largest unit
        return f"{float(digits(scaled)):,.0f}{SPACE}{name}"
    whole = name == "B" and scaled >= 1 and scaled == int(scaled)
    return f"{int(scaled) if whole else digits(scaled)}{SPACE}{name}"


def seconds(value: float | None) -> str:
    """Seconds: `12.3 ms`."""
    return _in(value, SECONDS)


def size(value: float | None) -> str:
    """Bytes, in powers of a thousand: `1.23 MB`."""
    return _in(value, BYTES)


def speed(value: float | None) -> str:
    """Bytes a second, as a network administrator has it: `100 Mbit/s`."""
    return trim(_in(None if value is None else 8 * value, BITS))


def trim(text: str) -> str:
    """The same quantity without zeros that say nothing: `10 ms`, not `10.0 ms`."""
    number, space, unit = text.partition(SPACE)
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number}{space}{unit}"


def plain(text: str) -> str:
    """The same quantity for a terminal: trimmed, with an ordinary space."""
    return trim(text).replace(SPACE, " ")


def plain_seconds(value: float | None) -> str:
    """Seconds in a terminal: `12.3 ms`, `2.5 ms`."""
    return plain(seconds(value))


def plain_size(value: float | None) -> str:
    """Bytes in a terminal: `1.23 MB`."""
    return plain(size(value))


def times(value: float | None) -> str:
    """A ratio: `12.3 ×`."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{digits(value) if value < 999.5 else f'{float(digits(value)):,.0f}'}{SPACE}×"


def count(value: float | None) -> str:
    """An exact number: `10,000`."""
    return NONE if value is None else f"{value:,}"


def small(value: float | None) -> str:
    """An error: `1.2 × 10⁻⁷`."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}{SPACE}×{SPACE}10{power}"


def percent(part: float) -> str:
    """A part of one: `12 %`."""
    return f"{100 * part:.0f}{SPACE}%"


def words(items: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def plural(number: int, one: str, many: str = "") -> str:
    """`1 hospital`, `2 hospitals`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"

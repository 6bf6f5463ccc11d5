"""The settings of a comparison: which there are, which cells each has, and how it is put in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fedsec.report import units
from fedsec.report.document import Cell, Comparison

WHOLE = ("measured", "extrapolated")
FAMILIES = {"he": "HE", "smpc": "SMPC", "clear": "no protection"}


class Setting(NamedTuple):
    """A setting to answer for; key_bits concerns strategies that have keys only."""

    hospitals: int
    parameters: int
    bits: int
    key_bits: int | None
    dropout: float

    def holds(self, cell: Cell) -> bool:
        """Whether a cell was measured in this setting."""
        return self[:3] == (cell.hospitals, cell.parameters, cell.bits) and (
            self.dropout == cell.dropout and cell.key_bits in (None, self.key_bits)
        )

    def words(self) -> str:
        """As it stands in a sentence: `10 hospitals, 1,000 parameters of 24 bits`."""
        return "".join(PHRASES[part](value) for part, value in self._asdict().items())


PHRASES: Mapping[str, Callable[[Any], str]] = {
    "hospitals": lambda value: units.plural(value, "hospital"),
    "parameters": lambda value: f", {units.plural(value, 'parameter')}",
    "bits": lambda value: f" of {value} bits",
    "key_bits": lambda value: f", keys of {value:,} bits" if value else "",
    "dropout": lambda value: f", {units.percent(value)} of the hospitals dropped out" if value else "",
}
"""What each part of a setting adds to its words."""


def choices(comparison: Comparison) -> dict[str, list[float]]:
    """The values that each part of a setting takes."""
    cells = comparison.cells
    return {
        "hospitals": sorted({cell.hospitals for cell in cells}),
        "parameters": sorted({cell.parameters for cell in cells}),
        "bits": sorted({cell.bits for cell in cells}),
        "key_bits": sorted({cell.key_bits for cell in cells if cell.key_bits is not None}),
        "dropout": sorted({cell.dropout for cell in cells}),
    }


def settings(comparison: Comparison) -> list[Setting]:
    """Every setting with a cell."""
    keys: list[int | None] = [int(key) for key in choices(comparison)["key_bits"]] or [None]
    found: dict[Setting, None] = {}
    for cell in comparison.cells:
        for key in keys if cell.key_bits is None else [cell.key_bits]:
            found[Setting(cell.hospitals, cell.parameters, cell.bits, key, cell.dropout)] = None
    return sorted(found, key=lambda one: (one[:3], one.key_bits or 0, one.dropout))


def opening(comparison: Comparison) -> Setting | None:
    """The setting that the page opens with: the most strategies compared, no dropouts, then the largest measured."""
    families = {name: strategy.family for name, strategy in comparison.strategies.items()}

    def merit(setting: Setting) -> tuple[float, ...]:
        here = [cell for cell in comparison.cells if setting.holds(cell) and families.get(cell.strategy) != "clear"]
        whole = len({cell.strategy for cell in here if cell.status in WHOLE})
        scaled = sum(cell.status == "extrapolated" for cell in here)
        bits, keys = abs(setting.bits - 24), abs((setting.key_bits or 3072) - 3072)
        return (whole, -setting.dropout, -scaled, -bits, -keys, setting.hospitals, setting.parameters)

    return max(settings(comparison), key=merit, default=None)


def cells_of(comparison: Comparison, setting: Setting | None) -> list[Cell]:
    """The cells of a setting, in the document's order."""
    return [cell for cell in comparison.cells if setting is not None and setting.holds(cell)]


def family(comparison: Comparison, name: str) -> str:
    """he, smpc or clear; smpc where the document does not describe the strategy."""
    return comparison.strategies[name].family if name in comparison.strategies else "smpc"

"""Cells: which trainings the tables are made of, and where the result of each is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedsec.report import output
from fedsec.simulations.poster.shared_training.training_network import RATE

FORMAT = 2
"""Of the cells on disk; those of another format are made again."""
Follow = Callable[[str, int, float, float, float], None]
"""Sees (cell, iteration, iterations per second, loss, largest weight)."""


@dataclass(frozen=True)
class Cell:
    """One training on the twin. every: iterations between points of the curves. data: diabetes or xor."""

    layers: int
    activation: str
    seed: int
    iterations: int
    split: int = 0
    rate: float = RATE
    every: int = 100
    data: str = "diabetes"

    @property
    def name(self) -> str:
        """Of its file."""
        rate = ("" if self.rate == RATE else f"-rate-{self.rate:g}") + ("" if self.data == "diabetes" else "-xor")
        return f"{self.activation}-{self.layers}-layers-seed-{self.seed}-split-{self.split}-{self.iterations}{rate}"


def kept(folder: Path | None, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` returns, from `folder` where an earlier run left it there."""
    if folder is None:
        return make()
    path = folder / f"{name}.json"
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found.get("format") == FORMAT:
            return found
    made = {"format": FORMAT} | make()
    output.write(folder, {path.name: json.dumps(made).encode()})
    return made


COLLAPSES = ("maclaurin-5", "maclaurin-9", "maclaurin-3", "maclaurin-7", "fit-10", "fit-3", "clipped-3", "exact")
"""Activations of the table of collapses."""
XOR = (
    "maclaurin-3",
    "maclaurin-5",
    "maclaurin-7",
    "maclaurin-9",
    "fit-3",
    "fit-5-on-5",
    "fit-7-on-5",
    "fit-9-on-5",
    "fit-3-on-10",
    "fit-5-on-10",
    "fit-7-on-10",
    "fit-10",
    "clipped-3",
)
"""Those that are also tried on exclusive or."""


def xor_cells(iterations: int, seeds: int) -> Iterator[Cell]:
    """Three layers at rate 1 on four rows, each activation and seed."""
    for activation in XOR:
        for seed in range(1, seeds + 1):
            yield Cell(3, activation, seed, iterations, rate=1.0, data="xor")


def collapse_cells(iterations: int, seeds: int, layers: int = 3) -> Iterator[Cell]:
    """The table of collapses: each activation, each seed."""
    for activation in COLLAPSES:
        for seed in range(seeds):
            yield Cell(layers, activation, seed, iterations)

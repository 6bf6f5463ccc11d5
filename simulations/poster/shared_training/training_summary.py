"""What trained cells amount to: collapses, accuracy over splits, and what each approximation is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedsec.mpc.activation import secret_products
from fedsec.simulations.poster.shared_training import sigmoid_approximations, trained_cells, training_comparison
from fedsec.simulations.poster.shared_training.sigmoid_approximations import NAMES
from fedsec.simulations.poster.shared_training.trained_cells import Cell

POSTER = {
    "maclaurin-5": "all, 10,247-14,499",
    "maclaurin-9": "all, 9,607-13,780",
    "maclaurin-3": "none; 0.59-0.67",
    "maclaurin-7": "none; 0.73-0.74",
    "fit-10": "none; 0.72-0.74",
    "fit-3": "none; 0.72-0.74",
    "exact": "none; 0.72-0.74",
    "clipped-3": "",
}
"""What an earlier experiment of ours found with another split and start, for 8 seeds and 30,000 iterations."""
FITS = (3, 5, 7, 9, 11, 13, 15, 17, 20)


def approximations() -> list[dict[str, Any]]:
    """Each approximation: how far it holds, how wrong it is on ±8 and ±16, and what it costs."""
    lines = {name: sigmoid_approximations.design(name) for name in sigmoid_approximations.DESIGNS}
    lines |= {
        f"fit-{degree}": sigmoid_approximations.least_squares(degree, 10.0)
        for degree in FITS
        if f"fit-{degree}" not in lines
    }
    return [
        {
            "name": name,
            "label": NAMES.get(name, line.name),
            "degree": line.degree,
            "radius": sigmoid_approximations.radius(line),
            "worst_8": sigmoid_approximations.worst(line, 8.0),
            "worst_16": sigmoid_approximations.worst(line, 16.0),
            "rounds": line.rounds,
            "products": line.products,
            "products_naive": secret_products(line.degree, naive=True),
        }
        for name, line in lines.items()
    ]


def short(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A cell without its curve and weights."""
    return {name: cell[name] for name in ("seed", "iterations", "collapsed", "accuracy", "why")}


def collapses(cells: Sequence[Cell], made: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By activation: where each start collapsed, beside what was found before."""
    rows = []
    for activation in dict.fromkeys(cell.activation for cell in cells if cell.activation in POSTER):
        own = [short(made[cell.name]) for cell in cells if cell.activation == activation]
        rows.append({"activation": activation, "name": NAMES[activation], "before": POSTER[activation], "cells": own})
    return rows


def xor(cells: Sequence[Cell], made: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By activation: each start on exclusive or."""
    return [
        {
            "activation": name,
            "name": sigmoid_approximations.design(name).name,
            "cells": [short(made[cell.name]) for cell in cells if cell.activation == name],
        }
        for name in trained_cells.XOR
    ]


def accuracies(cells: Sequence[Cell], made: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By number of layers, over the splits: the twin's, plain training's and their difference, mean and deviation."""
    numbers = sorted({cell.layers for cell in cells})
    return [_accuracy([cell for cell in cells if cell.layers == number], made) for number in numbers]


def _accuracy(cells: Sequence[Cell], made: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    by = {
        name: np.array([made[cell.name]["accuracy"] for cell in cells if cell.activation == name], np.float64)
        for name in (training_comparison.ACTIVATION, "exact")
    }
    off = by[training_comparison.ACTIVATION] - by["exact"]
    spread = {name: [float(values.mean()), float(values.std())] for name, values in (*by.items(), ("difference", off))}
    return {"splits": len(off), "layers": cells[0].layers, "iterations": cells[0].iterations} | spread

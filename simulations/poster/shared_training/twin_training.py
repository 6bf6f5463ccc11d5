"""One cell's training in the clear: on the compiled twin, as shares round, or in doubles."""

from __future__ import annotations

import time
from typing import Any

from fedsec.mpc.compiled_twin import CompiledTwin, started
from fedsec.simulations.poster.shared_training import sigmoid_approximations
from fedsec.simulations.poster.shared_training.plain_descent import descend
from fedsec.simulations.poster.shared_training.trained_cells import Cell, Follow
from fedsec.simulations.poster.shared_training.training_data import diabetes, xor
from fedsec.simulations.poster.shared_training.training_network import accuracy, initial, largest, loss, network

COLLAPSE = 1e6


def train(cell: Cell, follow: Follow | None = None) -> dict[str, Any]:
    """Train one cell on the compiled twin, with the roundings by chance that shares have; "exact" trains in doubles."""
    rows, exact = diabetes(cell.split) if cell.data == "diabetes" else xor(), cell.activation == "exact"
    columns = rows.features.shape[1]
    made = network(cell.layers, "clipped-3" if exact else cell.activation, cell.rate, columns=columns)
    weights = initial(made.shapes, cell.seed)
    value = sigmoid_approximations.sigmoid if exact else made.activation.value
    twin = CompiledTwin(made, rows.features, rows.target, started(made, weights), seed=cell.seed + 1, limit=COLLAPSE)
    done, curve, began = 0, [(0, loss(weights, rows, value), largest(weights))], time.perf_counter()
    while done < cell.iterations and not twin.collapsed:
        steps = min(cell.every, cell.iterations - done)
        if exact:
            weights, done = descend(weights, rows.features, rows.target, made.step.value, steps), done + steps
        else:
            twin.run(steps)
            weights, done = twin.reveal(), twin.iteration
        curve.append((done, loss(weights, rows, value), largest(weights)))
        if follow is not None:
            follow(cell.name, done, done / (time.perf_counter() - began), *curve[-1][1:])
    return {
        "layers": cell.layers,
        "activation": cell.activation,
        "seed": cell.seed,
        "split": cell.split,
        "rate": made.step.value,
        "iterations": done,
        "collapsed": twin.collapsed,
        "why": twin.explain() if twin.collapsed else "",
        "accuracy": None if twin.collapsed else accuracy(weights, rows, value),
        "curve": [[step, *map(sigmoid_approximations.finite, point)] for step, *point in curve],
        "seconds": time.perf_counter() - began,
    }

"""Training on secret-shared diabetes data: the setting, the plain training, cells that are resumed, and what they cost.

Target above the median; scikit-learn's scaled features and a column of ones; 354 rows to train on and 88 to test.
Weights start from a normal distribution of the seed; the split is its own. Gradients are summed over the rows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedsec.errors import ConfigurationError
from fedsec.mpc.compiled_twin import CompiledTwin, started
from fedsec.mpc.gradient_descent import Network
from fedsec.mpc.ring_fixed_point import Fixed, Floats
from fedsec.primitives.mersenne import jit
from fedsec.report import output
from fedsec.simulations.poster.shared_training import sigmoid_approximations

FORMAT = 2
"""Of the cells on disk; those of another format are made again."""
HIDDEN = 4
RATE = 2.0**-10
COLLAPSE = 1e6
TEST_ROWS = 88
Follow = Callable[[str, int, float, float, float], None]
"""Sees (cell, iteration, iterations per second, loss, largest weight)."""


@dataclass(frozen=True)
class Rows:
    """Rows to train on and to test with: features with the bias, targets 0 or 1 as a column."""

    features: Floats
    target: Floats
    test_features: Floats
    test_target: Floats

    def hospitals(self, number: int) -> list[tuple[Floats, Floats]]:
        """The training rows in `number` parts of almost one size."""
        parts = np.array_split(np.arange(len(self.target)), number)
        return [(self.features[part], self.target[part]) for part in parts]


def diabetes(split: int = 0) -> Rows:
    """The rows of one split."""
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    data = load_diabetes()
    target = (data.target > np.median(data.target)).astype(np.float64)[:, None]
    features = np.column_stack([data.data, np.ones(len(target))])
    a, b, c, d = train_test_split(features, target, test_size=TEST_ROWS, random_state=split)
    return Rows(a, c, b, d)


def xor() -> Rows:
    """The four rows of exclusive or, with a column of ones; tested on what was trained on."""
    features = np.array([[a, b, 1.0] for a in (0.0, 1.0) for b in (0.0, 1.0)])
    target = (features[:, :1] != features[:, 1:2]).astype(np.float64)
    return Rows(features, target, features, target)


def widths(layers: int, columns: int = 11, hidden: int = HIDDEN) -> tuple[int, ...]:
    """Of a network of 1, 2 or 3 layers of weights."""
    if not 1 <= layers <= 3:
        raise ConfigurationError(f"layers is {layers}; it must be 1, 2 or 3")
    return (columns, *[hidden] * (layers - 1), 1)


def network(
    layers: int, activation: str, rate: float = RATE, bits: int = 16, hidden: int = HIDDEN, columns: int = 11
) -> Network:
    """The network of so many layers under a named activation."""
    return Network(widths(layers, columns, hidden), sigmoid_approximations.design(activation), rate, Fixed(bits))


def initial(shapes: Sequence[tuple[int, int]], seed: int) -> list[Floats]:
    """Weights before training, from the standard normal distribution."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def predict(weights: Sequence[Floats], features: Floats, value: Callable[[Floats], Floats]) -> Floats:
    """The network's outputs in doubles, as float64[rows, 1]."""
    with np.errstate(over="ignore", invalid="ignore"):
        for matrix in weights:
            features = value(features @ matrix)
    return features


def accuracy(weights: Sequence[Floats], rows: Rows, value: Callable[[Floats], Floats]) -> float:
    """The part of the test rows on the right side of 1/2."""
    return float(((predict(weights, rows.test_features, value) > 0.5) == (rows.test_target > 0.5)).mean())


def loss(weights: Sequence[Floats], rows: Rows, value: Callable[[Floats], Floats]) -> float:
    """The mean squared error over the training rows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.square(predict(weights, rows.features, value) - rows.target).mean())


def largest(weights: Sequence[Floats]) -> float:
    """The largest weight's magnitude."""
    return max(float(np.abs(matrix).max()) for matrix in weights)


@jit
def _plain(x: Floats, y: Floats, widths: Any, flat: Floats, rate: float, steps: int) -> None:
    layers, widest = widths.size - 1, widths.max()
    out, delta = np.zeros((layers, widest)), np.zeros((layers, widest))
    for _ in range(steps):
        gradient = np.zeros(flat.size)
        for row in range(y.size):
            start = 0
            for layer in range(layers):
                for j in range(widths[layer + 1]):
                    z = 0.0
                    for k in range(widths[layer]):
                        source = x[row, k] if layer == 0 else out[layer - 1, k]
                        z += source * flat[start + k * widths[layer + 1] + j]
                    out[layer, j] = 1.0 / (1.0 + np.exp(-z))
                start += widths[layer] * widths[layer + 1]
            a = out[layers - 1, 0]
            delta[layers - 1, 0] = (a - y[row]) * a * (1.0 - a)
            for layer in range(layers - 1, -1, -1):
                start -= widths[layer] * widths[layer + 1]
                for k in range(widths[layer]):
                    source, back = x[row, k] if layer == 0 else out[layer - 1, k], 0.0
                    for j in range(widths[layer + 1]):
                        index = start + k * widths[layer + 1] + j
                        gradient[index] += source * delta[layer, j]
                        back += delta[layer, j] * flat[index]
                    if layer > 0:
                        delta[layer - 1, k] = back * source * (1.0 - source)
        flat -= rate * gradient


def descend(weights: Sequence[Floats], features: Floats, target: Floats, rate: float, steps: int) -> list[Floats]:
    """New weights after so many steps of plain descent in doubles with the exact sigmoid."""
    flat = np.concatenate([matrix.reshape(-1) for matrix in weights])
    shape = np.array([weights[0].shape[0], *[matrix.shape[1] for matrix in weights]], np.int64)
    _plain(features, target.reshape(-1), shape, flat, rate, steps)
    parts = np.split(flat, np.cumsum([matrix.size for matrix in weights])[:-1])
    return [part.reshape(matrix.shape) for part, matrix in zip(parts, weights, strict=True)]


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

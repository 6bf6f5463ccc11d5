"""Design B: a 3-4-1 network whose weights are encrypted, trained on rows that the hospital alone sees.

Full-batch gradient descent on the cross entropy: W -= eta X'(d w' * s'(XW)), w -= eta s(XW)'d, d = s(s(XW) w) - y, with
s a polynomial and s' its slope. Four exchanges with the key holder in an iteration, whatever the degree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import ConfigurationError
from fedsec.simulations.poster.exchange import BLINDING, Answer, Arithmetic, Ask, Group, Number, Steps
from fedsec.simulations.poster.sigmoids import Sigmoid

Floats = NDArray[np.float64]
EXCHANGES = 4
RATE_BITS = 16
"""Fractional bits of the rate: 0.5 is exact."""
FEATURE_BITS = 16
"""Fractional bits of the features, where they are not whole numbers."""


@dataclass(frozen=True, eq=False)
class Rows:
    """A hospital's rows: features float64[rows, inputs], rounded to 16 bits after the point, and labels 0.0 or 1.0."""

    features: Floats
    labels: Floats

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.labels.ndim != 1 or len(self.features) != len(self.labels):
            raise ConfigurationError(
                f"features have shape {self.features.shape} and labels {self.labels.shape}; as many rows of one are "
                "needed as of the other"
            )
        object.__setattr__(self, "features", np.rint(self.features * 2.0**FEATURE_BITS) / 2.0**FEATURE_BITS)

    @property
    def bits(self) -> int:
        """Fractional bits that the features need: none for whole numbers."""
        return 0 if np.all(self.features == np.rint(self.features)) else FEATURE_BITS

    def take(self, places: Sequence[int]) -> Rows:
        """These rows alone."""
        return Rows(self.features[list(places)], self.labels[list(places)])


XOR = Rows(np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], float), np.array([0, 1, 1, 0], float))
"""Two bits and a one, and their exclusive or."""


@dataclass(frozen=True, eq=False)
class Weights:
    """float64[inputs, hidden] and float64[hidden]."""

    first: Floats
    second: Floats

    def flat(self) -> Floats:
        """All weights, the first layer's before the second's."""
        return np.concatenate([self.first.ravel(), self.second])


def start(inputs: int, hidden: int, seed: int) -> Weights:
    """Uniform in (-1, 1)."""
    draws = np.random.default_rng(seed)
    return Weights(draws.uniform(-1, 1, (inputs, hidden)), draws.uniform(-1, 1, hidden))


def predict(rows: Rows, weights: Weights, sigmoid: Sigmoid) -> Floats:
    """The network's outputs, in the clear."""
    with np.errstate(all="ignore"):
        return sigmoid(sigmoid(rows.features @ weights.first) @ weights.second)


@dataclass(frozen=True)
class Trained:
    """What training in the clear gave: the weights, and the largest size of a weight or of a sigmoid's argument."""

    weights: Weights
    largest: float


def train_plain(batches: Sequence[Rows], weights: Weights, sigmoid: Sigmoid, rate: float) -> Trained:
    """One step per batch, in floating point: the twin."""
    largest = 0.0
    with np.errstate(all="ignore"):
        for rows in batches:
            z = rows.features @ weights.first
            hidden = sigmoid(z)
            out = hidden @ weights.second
            for values in (z, out, weights.first, weights.second, hidden, sigmoid.derivative(z)):
                largest = max(largest, float(np.max(np.abs(values))))
            if not math.isfinite(largest):
                return Trained(weights, math.inf)
            error = sigmoid(out) - rows.labels
            inner = error[:, None] * weights.second * sigmoid.derivative(z)
            weights = Weights(
                weights.first - rate * rows.features.T @ inner, weights.second - rate * hidden.T @ error
            )  # fmt: skip
    return Trained(weights, largest)


@dataclass(frozen=True)
class Plan:
    """The fixed point of a run.

    precision   bits after the point of what is exchanged
    whole       bits before it: weights, arguments, activations and slopes stay below 2^whole
    """

    sigmoid: Sigmoid
    rate: float
    precision: int = 40
    whole: int = 5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ConfigurationError(f"eta is {self.rate}; it must be a number above 0")
        if not 1 <= self.precision <= 60 or not 1 <= self.whole <= 30:
            raise ConfigurationError(
                f"precision is {self.precision} and whole is {self.whole} bits; they must lie in 1..60 and in 1..30"
            )
        if not round(self.rate * 2**RATE_BITS):
            raise ConfigurationError(f"eta is {self.rate:g}; it rounds to 0 at {RATE_BITS} bits after the point")

    @property
    def eta(self) -> int:
        """The rate, as it is multiplied by."""
        return round(self.rate * 2.0**RATE_BITS)

    @property
    def step(self) -> float:
        """The rate, rounded as that is."""
        return float(self.eta / 2**RATE_BITS)

    @property
    def coefficient_bits(self) -> int:
        """Bits after the point of a coefficient: its rounding is multiplied by the power that it belongs to."""
        return self.precision + self.whole * (self.sigmoid.degree - 1)

    def scale(self, slope: bool = False) -> int:
        """Bits after the point of a polynomial's exact value."""
        return self.precision * (self.sigmoid.degree - slope) + self.coefficient_bits

    def check(self, plaintext_bits: int, largest: float) -> None:
        """Raise ConfigurationError where a value overflows: the plaintext, or the bits before the point."""
        needed = self.scale() + self.whole + BLINDING + 2
        if needed > plaintext_bits:
            raise ConfigurationError(
                f"precision is {self.precision} bits: a sigmoid of degree {self.sigmoid.degree} then needs {needed} "
                f"bits, which overflows the plaintext, of {plaintext_bits}; less precision, a lower degree or a larger "
                "key is needed"
            )
        if not largest < 2**self.whole:
            raise ConfigurationError(
                f"training passes {largest:.3g}, which overflows the fixed point: it holds values below "
                f"{2**self.whole}; more bits before the point, a smaller eta, fewer iterations or another sigmoid is "
                "needed"
            )

    def coefficients(self, slope: bool = False) -> list[int]:
        """The polynomial's, each at the scale at which its power of an argument gives `scale`."""
        found = self.sigmoid.slope if slope else self.sigmoid.coefficients
        degree, bits = len(found) - 1, self.precision
        return [round(c * 2.0**self.coefficient_bits) << (bits * (degree - k)) for k, c in enumerate(found)]


@dataclass(frozen=True, eq=False, repr=False)
class Held:
    """What the hospital holds between iterations: both layers' weights, encrypted, with `bits` after the point."""

    first: list[list[Number]]
    second: list[Number]
    bits: int

    def flat(self) -> list[Number]:
        """All weights, the first layer's before the second's."""
        return [number for row in self.first for number in row] + self.second


def of_powers(coefficients: Sequence[int], mask: int) -> list[int]:
    """What multiplies each power of u so that the sum is the polynomial of u - mask."""
    shifted = list(coefficients)
    for low in range(len(shifted)):
        for k in range(len(shifted) - 2, low - 1, -1):
            shifted[k] -= mask * shifted[k + 1]
    return shifted


def iteration(rows: Rows, held: Held, plan: Plan, arithmetic: Arithmetic) -> Generator[Ask, Answer, Held]:
    """One step of training; yields what it asks of the key holder, and returns the weights after it."""
    f, whole, degree = plan.precision, plan.whole, plan.sigmoid.degree
    combine = arithmetic.combine
    x = [[round(value * 2**rows.bits) for value in row] for row in rows.features.tolist()]
    n, hidden, inputs = len(x), len(held.second), len(held.first)
    wide = 2 * f + 2 * whole + (n * hidden).bit_length()

    def strip(answer: Answer, at: int, mask: int) -> Number:
        return combine([(answer.items[at], 1)], -answer.masks[mask])

    def polynomials(answer: Answer, count: int, slopes: tuple[bool, ...]) -> list[list[Number]]:
        """Of the first `count` numbers, whose powers are the first items."""
        out = []
        for slope in slopes:
            found = []
            for place in range(count):
                constant, *factors = of_powers(plan.coefficients(slope), answer.masks[place])
                powers = answer.items[place * degree : place * degree + len(factors)]
                found.append(combine(list(zip(powers, factors, strict=True)), constant))
            out.append(found)
        return out

    # 1: the arguments of the hidden layer, and the weights, cut to the precision
    z = [combine([(held.first[i][k], x[s][i]) for i in range(inputs)]) for s in range(n) for k in range(hidden)]
    weights, long = held.flat(), held.bits
    asked = [Group(z, long + rows.bits + whole, long + rows.bits - f), Group(weights, long + whole, long - f)]
    items = [[(place,) * power] for place in range(len(z)) for power in range(1, degree + 1)]
    answer = yield Ask(asked, items + [[(len(z) + place,)] for place in range(len(weights))])
    a, slope = polynomials(answer, len(z), (False, True))
    weights = [strip(answer, len(items) + place, len(z) + place) for place in range(len(weights))]
    first = [weights[i * hidden : (i + 1) * hidden] for i in range(inputs)]
    second = weights[inputs * hidden :]

    # 2: activations and slopes, cut; their products with the second layer's weights
    m = len(a)
    asked = [
        Group(a, plan.scale() + whole, plan.scale() - f),
        Group(slope, plan.scale(True) + whole, plan.scale(True) - f), Group(second, f + whole),
    ]  # fmt: skip
    sums = [[(s * hidden + k, 2 * m + k) for k in range(hidden)] for s in range(n)]
    each = [[(m + s * hidden + k, 2 * m + k)] for s in range(n) for k in range(hidden)]
    answer = yield Ask(asked, sums + each + [[(place,)] for place in range(2 * m)])
    base = n + m
    a, slope = ([strip(answer, base + place, place) for place in range(start, start + m)] for start in (0, m))

    def dot(item: int, pairs: Sequence[tuple[Number, int, Number, int]]) -> Number:
        """The sum of products a b from that of the blinded ones: a with its mask's place, b with its."""
        terms = [(answer.items[item], 1)]
        for one, p, other, q in pairs:
            terms += [(one, -answer.masks[q]), (other, -answer.masks[p])]
        return combine(terms, -sum(answer.masks[p] * answer.masks[q] for _, p, _, q in pairs))

    out = [dot(s, [(a[s * hidden + k], s * hidden + k, second[k], 2 * m + k) for k in range(hidden)]) for s in range(n)]
    back = [dot(n + p, [(slope[p], m + p, second[p % hidden], 2 * m + p % hidden)]) for p in range(m)]

    # 3: the arguments of the output, and the products, cut
    items = [[(place,) * power] for place in range(n) for power in range(1, degree + 1)]
    answer = yield Ask([Group(out + back, wide, f)], items + [[(n + place,)] for place in range(m)])
    (outputs,) = polynomials(answer, n, (False,))
    back = [strip(answer, len(items) + place, n + place) for place in range(m)]
    error = [combine([(p, 1)], -(round(label) << plan.scale())) for p, label in zip(outputs, rows.labels, strict=True)]

    # 4: the output's errors, cut; their products with activations and with what goes back
    asked = [Group(error, plan.scale() + whole, plan.scale() - f), Group(a + back, f + 2 * whole)]
    sums = [[(s, n + s * hidden + k) for s in range(n)] for k in range(hidden)]
    each = [[(s, n + m + s * hidden + k)] for s in range(n) for k in range(hidden)]
    answer = yield Ask(asked, sums + each + [[(s,)] for s in range(n)])
    error = [strip(answer, hidden + m + s, s) for s in range(n)]
    upper = [dot(k, [(error[s], s, a[s * hidden + k], n + s * hidden + k) for s in range(n)]) for k in range(hidden)]
    inner = [dot(hidden + p, [(error[p // hidden], p // hidden, back[p], n + m + p)]) for p in range(m)]

    bits = 2 * f + rows.bits + RATE_BITS
    grown = 1 << (bits - f)
    lower = [
        [
            combine([(first[i][k], grown)] + [(inner[s * hidden + k], -plan.eta * x[s][i]) for s in range(n)])
            for k in range(hidden)
        ]
        for i in range(inputs)
    ]
    step = -plan.eta << rows.bits
    return Held(lower, [combine([(second[k], grown), (upper[k], step)]) for k in range(hidden)], bits)


def hold(weights: Weights, bits: int, encrypt: Callable[[Sequence[int]], list[Number]]) -> Held:
    """The owner's weights, encrypted."""
    numbers = encrypt([round(value * 2**bits) for value in weights.flat().tolist()])
    inputs, hidden = weights.first.shape
    first = [numbers[i * hidden : (i + 1) * hidden] for i in range(inputs)]
    return Held(first, numbers[inputs * hidden :], bits)


def open_(held: Held, decrypt: Callable[[Sequence[Number]], list[int]]) -> Weights:
    """The weights, as the owner decrypts them."""
    found = np.array([number / 2**held.bits for number in decrypt(held.flat())])
    inputs, hidden = len(held.first), len(held.second)
    return Weights(found[: inputs * hidden].reshape(inputs, hidden), found[inputs * hidden :])


def run(steps: Steps, arithmetic: Arithmetic) -> Any:
    """Bring every question of a computation to the key holder, and its answer back."""
    try:
        ask = next(steps)
        while True:
            ask = steps.send(arithmetic.ask(ask))
    except StopIteration as done:
        return done.value


def train(
    batches: Sequence[Rows], held: Held, plan: Plan, arithmetic: Arithmetic, follow: Callable[[int, int], None]
) -> Held:
    """One iteration per batch."""
    for done, rows in enumerate(batches):
        follow(done, len(batches))
        held = run(iteration(rows, held, plan, arithmetic), arithmetic)
    return held

"""One iteration of design B as a computation that asks the key holder four times, and what drives it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fedsec.simulations.poster.encrypted_network.key_holder import Answer, Arithmetic, Ask, Group, Number, Steps
from fedsec.simulations.poster.encrypted_network.network import RATE_BITS, Plan, Rows, Weights

EXCHANGES = 4
Numbers = list[Number]


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


@dataclass(frozen=True, eq=False, repr=False)
class Iteration:
    """Four exchanges. Lists over rows and hidden units have the rows outside: index s * hidden + k."""

    rows: Rows
    held: Held
    plan: Plan
    arithmetic: Arithmetic

    @cached_property
    def x(self) -> list[list[int]]:
        """The features, as whole numbers."""
        return [[round(value * 2**self.rows.bits) for value in row] for row in self.rows.features.tolist()]

    @cached_property
    def sizes(self) -> tuple[int, int, int]:
        """Rows, hidden units, inputs."""
        return len(self.x), len(self.held.second), len(self.held.first)

    def steps(self) -> Generator[Ask, Answer, Held]:
        """Yields what it asks of the key holder; returns the weights after one step of training."""
        a, slope, first, second = yield from self.forward()
        out, back, a = yield from self.multiplied(a, slope, second)
        error, back = yield from self.output(out, back)
        upper, inner = yield from self.gradients(error, a, back)
        return self.updated(first, second, upper, inner)

    def forward(self) -> Generator[Ask, Answer, tuple[Numbers, Numbers, list[Numbers], Numbers]]:
        """Exchange 1: the hidden layer's sigmoids and slopes, exact, and the weights, cut to the precision."""
        _, hidden, inputs = self.sizes
        f, whole, long = self.plan.precision, self.plan.whole, self.held.bits
        products = [[(self.held.first[i][k], row[i]) for i in range(inputs)] for row in self.x for k in range(hidden)]
        z = self.arithmetic.combine([(terms, 0) for terms in products])
        weights = self.held.flat()
        bits = long + self.rows.bits
        asked = [Group(z, bits + whole, bits - f), Group(weights, long + whole, long - f)]
        items = self._powers(len(z))
        answer = yield Ask(asked, items + [[(len(z) + index,)] for index in range(len(weights))])
        a, slope = (self._polynomial(answer, len(z), which) for which in (False, True))
        weights = self._strip(answer, [(len(items) + index, len(z) + index) for index in range(len(weights))])
        first = [weights[i * hidden : (i + 1) * hidden] for i in range(inputs)]
        return a, slope, first, weights[inputs * hidden :]

    def multiplied(
        self, a: Numbers, slope: Numbers, second: Numbers
    ) -> Generator[Ask, Answer, tuple[Numbers, Numbers, Numbers]]:
        """Exchange 2: the output's arguments, slopes times the second layer's weights, and the activations, cut."""
        n, hidden, _ = self.sizes
        plan, m = self.plan, n * hidden
        asked = [
            Group(a, plan.scale() + plan.whole, plan.scale() - plan.precision),
            Group(slope, plan.scale(True) + plan.whole, plan.scale(True) - plan.precision),
            Group(second, plan.precision + plan.whole),
        ]
        sums = [[(s * hidden + k, 2 * m + k) for k in range(hidden)] for s in range(n)]
        each = [[(m + index, 2 * m + index % hidden)] for index in range(m)]
        answer = yield Ask(asked, sums + each + [[(index,)] for index in range(2 * m)])
        cut = self._strip(answer, [(n + m + index, index) for index in range(2 * m)])
        found = self._sums(answer, [*sums, *each], [*cut, *second])
        return found[:n], found[n:], cut[:m]

    def output(self, out: Numbers, back: Numbers) -> Generator[Ask, Answer, tuple[Numbers, Numbers]]:
        """Exchange 3: the output's sigmoids less the labels, exact, and what goes back, cut."""
        n, hidden, _ = self.sizes
        plan = self.plan
        bits = 2 * plan.precision + 2 * plan.whole + (n * hidden).bit_length()
        items = self._powers(n)
        asked = [Group(out + back, bits, plan.precision)]
        answer = yield Ask(asked, items + [[(n + index,)] for index in range(len(back))])
        pairs = zip(self._polynomial(answer, n, False), self.rows.labels, strict=True)
        error = self.arithmetic.combine([([(p, 1)], -(round(label) << plan.scale())) for p, label in pairs])
        return error, self._strip(answer, [(len(items) + index, n + index) for index in range(len(back))])

    def gradients(self, error: Numbers, a: Numbers, back: Numbers) -> Generator[Ask, Answer, tuple[Numbers, Numbers]]:
        """Exchange 4: the second layer's gradient, and each row's error at each hidden unit."""
        n, hidden, _ = self.sizes
        plan, m = self.plan, n * hidden
        asked = [
            Group(error, plan.scale() + plan.whole, plan.scale() - plan.precision),
            Group(a + back, plan.precision + 2 * plan.whole),
        ]
        sums = [[(s, n + s * hidden + k) for s in range(n)] for k in range(hidden)]
        each = [[(index // hidden, n + m + index)] for index in range(m)]
        answer = yield Ask(asked, sums + each + [[(s,)] for s in range(n)])
        error = self._strip(answer, [(hidden + m + s, s) for s in range(n)])
        found = self._sums(answer, [*sums, *each], [*error, *a, *back])
        return found[:hidden], found[hidden:]

    def updated(self, first: list[Numbers], second: Numbers, upper: Numbers, inner: Numbers) -> Held:
        """The weights less the rate times the gradients; they are longer, and cut in the next iteration."""
        n, hidden, inputs = self.sizes
        eta, bits = self.plan.eta, 2 * self.plan.precision + self.rows.bits + RATE_BITS
        grown, step = 1 << (bits - self.plan.precision), -eta << self.rows.bits
        lower = [
            [(first[i][k], grown)] + [(inner[s * hidden + k], -eta * self.x[s][i]) for s in range(n)]
            for i in range(inputs)
            for k in range(hidden)
        ]
        outer = [[(second[k], grown), (upper[k], step)] for k in range(hidden)]
        found = self.arithmetic.combine([(terms, 0) for terms in (*lower, *outer)])
        moved = [found[i * hidden : (i + 1) * hidden] for i in range(inputs + 1)]
        return Held(moved[:inputs], moved[inputs], bits)

    def _powers(self, count: int) -> list[list[tuple[int, ...]]]:
        return [[(index,) * power] for index in range(count) for power in range(1, self.plan.sigmoid.degree + 1)]

    def _polynomial(self, answer: Answer, count: int, slope: bool) -> Numbers:
        """The sigmoid, or its slope, of the first `count` numbers, whose powers are the first items."""
        degree, sums = self.plan.sigmoid.degree, []
        for index in range(count):
            constant, *factors = of_powers(self.plan.coefficients(slope), answer.masks[index])
            powers = answer.items[index * degree : index * degree + len(factors)]
            sums.append((list(zip(powers, factors, strict=True)), constant))
        return self.arithmetic.combine(sums)

    def _strip(self, answer: Answer, indices: Sequence[tuple[int, int]]) -> Numbers:
        """Numbers of their own, from items that are a number plus its mask, by the indices of item and mask."""
        return self.arithmetic.combine([([(answer.items[item], 1)], -answer.masks[mask]) for item, mask in indices])

    def _sums(self, answer: Answer, pairs: Sequence[Sequence[tuple[int, int]]], values: Numbers) -> Numbers:
        """Sums of products of the numbers at these indices, from the first items: those of the blinded ones."""
        sums, masks = [], answer.masks
        for item, some in zip(answer.items, pairs, strict=False):
            terms = [(item, 1)]
            for p, q in some:
                terms += [(values[p], -masks[q]), (values[q], -masks[p])]
            sums.append((terms, -sum(masks[p] * masks[q] for p, q in some)))
        return self.arithmetic.combine(sums)


def iteration(rows: Rows, held: Held, plan: Plan, arithmetic: Arithmetic) -> Generator[Ask, Answer, Held]:
    """One step of training; yields what it asks of the key holder, and returns the weights after it."""
    return Iteration(rows, held, plan, arithmetic).steps()


def closing(held: Held, plan: Plan, arithmetic: Arithmetic) -> Generator[Ask, Answer, Held]:
    """A last exchange, which cuts the weights to the precision, and fresh noise: what the owner then opens is the
    weights, and neither the last step's uncut digits nor what they were computed from."""
    weights, long = held.flat(), held.bits
    if long > plan.precision:
        cut = long - plan.precision
        answer = yield Ask([Group(weights, long + plan.whole, cut)], [[(index,)] for index in range(len(weights))])
        pairs = zip(answer.items, answer.masks, strict=True)
        weights = arithmetic.combine([([(item, 1)], -mask) for item, mask in pairs])
    numbers, hidden = arithmetic.renew(weights), len(held.second)
    rows = [numbers[i * hidden : (i + 1) * hidden] for i in range(len(held.first) + 1)]
    return Held(rows[:-1], rows[-1], plan.precision)


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
    """One iteration per batch, and the closing."""
    for done, rows in enumerate(batches):
        follow(done, len(batches))
        held = run(iteration(rows, held, plan, arithmetic), arithmetic)
    closed: Held = run(closing(held, plan, arithmetic), arithmetic)
    return closed

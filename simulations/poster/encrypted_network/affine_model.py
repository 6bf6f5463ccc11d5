"""Design A: exclusive or by weights on 1, x1, x2 and x1 x2, with the sigmoid's tangent 0.5 + 0.25 z.

Every step of training multiplies encrypted weights by known numbers only, so the hospital trains alone; but each
factor lengthens the numbers until they overflow the plaintext, unless the key holder refreshes them: it cuts blinded
weights back to their first precision.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np

from fedsec.errors import ConfigurationError
from fedsec.simulations.poster.encrypted_network.encrypted_training import run
from fedsec.simulations.poster.encrypted_network.key_holder import Answer, Arithmetic, Ask, Group, Number
from fedsec.simulations.poster.encrypted_network.network import Floats

FEATURES = np.array([[1, 0, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]], float)
LABELS = np.array([0.0, 1.0, 1.0, 0.0])
RATE, ITERATIONS, EVERY = 0.3, 400, 5
FLOAT_BITS = 56
"""What a floating-point factor adds to a number's length: 14 hexadecimal digits, as python-paillier encodes it."""
STEP_BITS = 2 * FLOAT_BITS
WHOLE = 8
AGREES = 1e-6


def predict(weights: Floats) -> Floats:
    """The outputs on the four rows."""
    return np.asarray(0.5 + 0.25 * (FEATURES @ weights))


def train_plain(iterations: int, rate: float = RATE) -> Floats:
    """The weights after training in floating point, from zero."""
    weights = np.zeros(4)
    for _ in range(iterations):
        weights = weights - rate * FEATURES.T @ (predict(weights) - LABELS)
    return weights


def step(weights: Sequence[Number], bits: int, rate: float, arithmetic: Arithmetic) -> list[Number]:
    """The weights after one iteration, with STEP_BITS more after the point than `bits`."""
    quarter, eta = round(0.25 * 2.0**FLOAT_BITS), round(rate * 2.0**FLOAT_BITS)
    shift, wrong = 1 << (bits + FLOAT_BITS - 1), []
    for row, label in zip(FEATURES, LABELS, strict=True):
        chosen = [(weight, quarter) for weight, here in zip(weights, row, strict=True) if here]
        wrong.append((chosen, shift - 2 * shift * int(label)))
    errors = arithmetic.combine(wrong)
    moved = [
        [(weight, 1 << STEP_BITS)] + [(error, -eta) for error, row in zip(errors, FEATURES, strict=True) if row[i]]
        for i, weight in enumerate(weights)
    ]
    return arithmetic.combine([(terms, 0) for terms in moved])


def steps(
    weights: Sequence[Number],
    iterations: int,
    every: int,
    rate: float,
    arithmetic: Arithmetic,
    follow: Callable[[int, int], None],
) -> Generator[Ask, Answer, list[Number]]:
    """Training, with a refresh after each `every` iterations and at the end; FLOAT_BITS after the point throughout."""
    bits, held = FLOAT_BITS, list(weights)
    for done in range(1, iterations + 1):
        follow(done - 1, iterations)
        held, bits = step(held, bits, rate, arithmetic), bits + STEP_BITS
        if done % every == 0 or done == iterations:
            group = Group(held, bits + WHOLE, bits - FLOAT_BITS)
            answer = yield Ask([group], [[(index,)] for index in range(len(held))])
            pairs = zip(answer.items, answer.masks, strict=True)
            held, bits = arithmetic.combine([([(item, 1)], -mask) for item, mask in pairs]), FLOAT_BITS
    return held


def check(public_bits: int, every: int) -> None:
    """Raise ConfigurationError where the weights overflow between two refreshes."""
    if every < 1:
        raise ConfigurationError(f"refresh is every {every} iterations; it must be at least 1")
    needed = Group((), FLOAT_BITS + every * STEP_BITS + WHOLE).width
    if needed >= public_bits:
        raise ConfigurationError(
            f"a refresh every {every} iterations lets weights grow to {needed} bits, which overflows the plaintext, of "
            f"{public_bits - 1}; refresh earlier or take a larger key"
        )


def train(
    weights: Sequence[Number], arithmetic: Arithmetic, iterations: int, follow: Callable[[int, int], None]
) -> list[Number]:
    """The weights, encrypted, with FLOAT_BITS after the point."""
    found: list[Number] = run(steps(weights, iterations, EVERY, RATE, arithmetic, follow), arithmetic)
    return found


def overflows(
    weights: Sequence[Number], arithmetic: Arithmetic, decrypt: Callable[[Sequence[Number]], list[int]], most: int
) -> int | None:
    """The first iteration after which the decrypted weights are wrong, where nothing is refreshed; None: not so far."""
    held, bits = list(weights), FLOAT_BITS
    for done in range(1, most + 1):
        held, bits = step(held, bits, RATE, arithmetic), bits + STEP_BITS
        found = np.array([value / 2**bits for value in decrypt(held)])
        if np.max(np.abs(found - train_plain(done))) > AGREES:
            return done
    return None

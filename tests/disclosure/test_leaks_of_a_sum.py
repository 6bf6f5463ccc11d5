"""What one sum tells without noise, measured: the numbers of docs/disclosure.md.

Each is read from a mean over a secure sum of five hospitals with the rows of breast-cancer, as the server has it. No
message is broken here: the sum itself tells. Only noise prevents it, so these tests state what is, not what should be.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from fedsec.data import bundled
from fedsec.disclosure.sentences import alike, enough_parameters
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.local import LocalFederation, Update
from fedsec.strategies.shamir import Shamir

pytestmark = pytest.mark.slow  # whole federations are attacked

Real = NDArray[np.float64]
SIZES = (61, 77, 90, 104, 123)
"""Row counts of the five hospitals: 455 together."""
RATE, HIDDEN = 0.01, 16


@pytest.fixture(scope="module")
def hospitals() -> list[tuple[Real, Real]]:
    """Features, standardised, and labels."""
    train, _ = bundled.split(bundled.load("breast-cancer"), seed=1)
    cuts = np.cumsum(SIZES)
    assert cuts[-1] == len(train.features) == 455
    return list(zip(np.split(train.features, cuts[:-1]), np.split(train.target.astype(float), cuts[:-1]), strict=True))


def mean_of(updates: Sequence[Real], weights: Sequence[int], spec: MeanSpec) -> Real:
    """The mean of the updates' changes as the server has it, over a secure sum."""
    given = {party: Update({"w": change}, {}, weights[party - 1]) for party, change in enumerate(updates, start=1)}
    found = LocalFederation(Shamir(), len(updates), spec).mean(given, {"w": np.zeros(updates[0].size)})
    return np.asarray(found.arrays["w"])


def first_adam_step(features: Real, labels: Real, draw_seed: int = 3) -> Real:
    """The change of a network of one hidden layer by Adam's first step on all rows: -rate in the gradient's direction.

    Adam divides a gradient by its own size in the first step, whatever its betas.
    """
    draw = np.random.default_rng(draw_seed)
    first, last = draw.normal(0, 0.3, (features.shape[1], HIDDEN)), draw.normal(0, 0.3, HIDDEN)
    hidden = np.tanh(features @ first)
    error = 1 / (1 + np.exp(-hidden @ last)) - labels
    back = (error[:, None] * last) * (1 - hidden**2)
    gradients = (features.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(keepdims=True))
    gradient = np.concatenate([part.ravel() for part in gradients]) / len(features)
    change: Real = -RATE * gradient / (np.abs(gradient) + 1e-8)
    return change


def row_counts(down: Sequence[int], total: int, hospitals: int) -> list[tuple[int, ...]]:
    """All sets of row counts that explain, for each parameter, how many rows' hospitals went down.

    Two parameters whose directions differ at one hospital differ by its row count, so that row counts are frequent
    differences.
    """
    seen = {min(value, total - value) for value in down}
    subsets = sorted(seen | {total - value for value in seen})
    differences = Counter(high - low for low, high in itertools.combinations(subsets, 2))
    candidates = [value for value, _ in differences.most_common(12)]
    found = []
    for chosen in itertools.combinations(sorted(candidates), hospitals):
        sums = {0}
        if sum(chosen) == total:
            for count in chosen:
                sums |= {value + count for value in sums}
            if seen <= sums:
                found.append(chosen)
    return found


def test_the_first_step_of_adam_tells_row_counts_and_directions(hospitals: list[tuple[Real, Real]]) -> None:
    """With exact weights, one sum over the 513 parameters of a small network tells all of both."""
    steps = [first_adam_step(*rows) for rows in hospitals]
    mean = mean_of(steps, SIZES, MeanSpec(4.0, 1000))
    down = np.rint((1 - mean / RATE) * sum(SIZES) / 2).astype(int)
    (counts,) = row_counts(down.tolist(), sum(SIZES), 5)
    assert counts == SIZES
    patterns: dict[int, list[tuple[int, ...]]] = {}
    for signs in itertools.product((0, 1), repeat=5):
        patterns.setdefault(sum(count for count, sign in zip(counts, signs, strict=True) if sign), []).append(signs)
    guessed = [patterns[value] for value in down.tolist()]
    assert len(guessed) == 513 and all(len(signs) == 1 for signs in guessed)
    truth = (np.array(steps) < 0).T.astype(int)
    assert [tuple(row) for row in truth.tolist()] == [signs[0] for signs in guessed]


def test_equal_weights_tell_directions_where_all_agree(hospitals: list[tuple[Real, Real]]) -> None:
    """Of the same network: no row count enters the sum, and hospitals with like patients mostly go the same way."""
    steps = [first_adam_step(*rows) for rows in hospitals]
    mean = mean_of(steps, [1] * 5, MeanSpec(4.0, 1))
    told = np.abs(np.rint(mean / RATE * 5)) == 5
    assert all((np.sign(step[told]) == np.sign(mean[told])).all() for step in steps)
    assert told.size == 513 and told.sum() == pytest.approx(468, abs=5), (
        "nine parameters in ten, as hospitals are alike"
    )


def test_powers_of_two_tell_the_direction_of_who_is_alone_with_one(hospitals: list[tuple[Real, Real]]) -> None:
    """61 rows count as 32 and all others as 64: the first hospital's direction is told by the remainder, everywhere."""
    steps = [first_adam_step(*rows) for rows in hospitals]
    mean = mean_of(steps, SIZES, MeanSpec(4.0, 1000, weights="powers-of-two"))
    down = np.rint((1 - mean / RATE) * (32 + 4 * 64) / 2).astype(int)
    assert set((down % 64).tolist()) == {0, 32}
    assert ((down % 64 == 32) == (steps[0] < 0)).all() and down.size == 513


def test_two_sums_that_differ_by_one_hospital_give_its_update(hospitals: list[tuple[Real, Real]]) -> None:
    """The weight is known first, as the difference of the totals; the update then to a 500th of its size."""
    steps = [first_adam_step(*rows) for rows in hospitals]
    federation = LocalFederation(Shamir(), 5, MeanSpec(4.0, 1000))
    given = {party: Update({"w": step}, {}, SIZES[party - 1]) for party, step in enumerate(steps, start=1)}
    model = {"w": np.zeros(steps[0].size)}
    both = federation.mean(given, model)
    four = federation.mean({party: given[party] for party in (1, 2, 3, 4)}, model)
    weight = both.weight - four.weight
    found = (both.arrays["w"] * both.weight - four.arrays["w"] * four.weight) / weight
    assert weight == 123
    error = np.abs(found - steps[4]).max()
    assert error <= 9 / 2 * both.step * both.weight / weight * 1.001 < RATE / 500, "half a step of each of nine inputs"


@pytest.mark.parametrize("count", [3, 5, 7])
def test_so_many_parameters_show_all_patterns_of_directions(count: int) -> None:
    """The two numbers that a statement names: by chance 95 of 100 times, and 1 in 2^(n-1)."""
    draw, number = np.random.default_rng(1), enough_parameters(count)
    shown = 0
    for _ in range(1000):
        signs = draw.integers(0, 2, (number, count))
        signs ^= signs[:, :1]
        shown += len(np.unique(signs @ (1 << np.arange(count)))) == alike(count)
    assert shown / 1000 >= 0.94
    drawn = draw.integers(0, 2, (200_000, count)).sum(axis=1)
    assert np.mean((drawn == 0) | (drawn == count)) == pytest.approx(1 / alike(count), rel=0.05)


def read_rows(gradient: Real, features: int) -> Real:
    """The rows that a layer of neurons with rising thresholds tells: what two neighbours differ by, over their bias."""
    weights, biases = (
        gradient[: gradient.size // (features + 1) * features],
        gradient[-(gradient.size // (features + 1)) :],
    )
    between, bias = np.diff(weights.reshape(-1, features), axis=0), np.diff(biases)
    kept = np.abs(bias) > 0.01 * np.abs(bias).max()
    rows: Real = between[kept] / bias[kept, None]
    return rows


@pytest.mark.parametrize(
    "spec", [MeanSpec(), MeanSpec(4.0, 1000), MeanSpec(bounds={"*": 1.0})], ids=["measured", "clip", "norm"]
)
def test_a_model_made_for_it_reads_rows_out_of_one_sum(hospitals: list[tuple[Real, Real]], spec: MeanSpec) -> None:
    """1,000 neurons see the same direction of a row, with rising thresholds: each pair of neighbours shows the rows
    between their thresholds, and where that is one row, the row itself."""
    draw, neurons = np.random.default_rng(2), 1000
    direction = draw.normal(0, 1, 30)
    pooled = np.concatenate([rows for rows, _ in hospitals])
    seen = pooled @ direction
    thresholds = np.quantile(draw.normal(seen.mean(), seen.std(), 100_000), np.linspace(0, 1, neurons))
    changes = []
    for rows, labels in hospitals:
        active = (rows @ direction)[:, None] > thresholds
        error = 1 / (1 + np.exp(-np.zeros(len(labels)))) - labels
        gradient = np.concatenate([((active * error[:, None]).T @ rows).ravel(), (active * error[:, None]).sum(axis=0)])
        changes.append(-gradient / len(rows))
    mean = mean_of(changes, SIZES, spec)
    found = read_rows(mean * sum(SIZES), 30)
    distances = np.abs(pooled[None] - found[:, None]).max(axis=2)
    exact = {int(distance.argmin()) for distance in distances if distance.min() < 0.01}
    assert len(exact) == pytest.approx(300, abs=10), "of 455 rows, each feature to a hundredth of its deviation"

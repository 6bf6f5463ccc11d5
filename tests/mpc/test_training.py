"""Training on shares: equal to the twin, uniform to whoever receives, sealed, and explained where it cannot go on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import AuthenticationError, BadMessage, ConfigurationError
from fedsec.mpc.activation import Activation, activate, secret_products
from fedsec.mpc.compiled_twin import CompiledTwin, started
from fedsec.mpc.gradient_descent import Network, finish, iterate, load
from fedsec.mpc.in_process import Counts, Exchange, SharedTraining
from fedsec.mpc.ring_fixed_point import Fixed, FixedPointOverflow, Floats
from fedsec.mpc.roles import Program, Role, Share, Truncation
from fedsec.mpc.sharing import join, split
from fedsec.mpc.twin import Twin
from tests.mpc.running import Integers, both
from tests.tiers import examples, slow

CUBIC = Activation("cubic", (0.25, -1 / 48))
DESIGNS = [
    Activation("linear", (0.25,)),
    CUBIC,
    Activation("Maclaurin 9", (0.25, -1 / 48, 1 / 480, -17 / 80640, 31 / 1451520)),
    Activation("clipped", (0.197, -0.0048, 4.4e-5), bound=2.0),
    Activation("pieces", piecewise=True),
]
NAMED = pytest.mark.parametrize(
    "activation", [*DESIGNS[1:3], *slow([*DESIGNS[:1], *DESIGNS[3:]])], ids=lambda one: one.name
)


def rows(number: int = 30, columns: int = 5) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(1)
    features = 0.5 * rng.normal(size=(number, columns))
    return features, (features[:, :1] + 0.15 * rng.normal(size=(number, 1)) > 0).astype(np.float64)


def weights(network: Network, seed: int = 0) -> list[Floats]:
    rng = np.random.default_rng(seed)
    return [0.5 * rng.normal(size=shape) for shape in network.shapes]


def trained(network: Network, **options: Any) -> SharedTraining:
    features, target = rows()
    hospitals = [(features[:10], target[:10]), (features[10:], target[10:])]
    return SharedTraining(network, hospitals, weights(network), unguarded=True, **options)


def lockstep(training: SharedTraining, network: Network, iterations: int) -> tuple[list[Integers], list[Integers]]:
    """Weights on shares and on a twin that rounds by the dealer's masks, in integers."""
    fixed, (features, target) = network.fixed, rows()
    shared = [part[0] + part[1] for part in training.weights]
    twin = [matrix.astype(np.int64) for matrix in shared]
    inputs = finish(load(Twin(), fixed.encode(features), fixed.encode(target)))
    for _ in range(iterations):
        training.step()
        lows = iter([low.astype(np.int64) for low in training.roundings])
        twin = finish(iterate(Twin(lambda shape, shift: next(lows)), network, *inputs, twin))  # noqa: B023
    return [(one + other).astype(np.int64) for one, other in training.weights], twin


@NAMED
@pytest.mark.parametrize("layers", [2, *slow([1, 3])])
def test_shares_are_the_twin(activation: Activation, layers: int) -> None:
    network = Network((5, *[3] * (layers - 1), 1), activation, 2**-5)
    shared, twin = lockstep(trained(network, draws=True), network, 5)
    assert all(np.array_equal(one, other) for one, other in zip(shared, twin, strict=True))


@pytest.mark.campaign
def test_shares_stay_the_twin_over_a_thousand_iterations() -> None:
    """Bit for bit with the dealer's roundings; and near the twin that rounds to nearest.

    Each iteration may move a weight by one unit more or less, by chance and without bias: a thousand stay far below a
    thousand units.
    """
    network = Network((5, 3, 1), CUBIC, 2**-5)
    training = trained(network, draws=True)
    shared, twin = lockstep(training, network, 1000)
    assert all(np.array_equal(one, other) for one, other in zip(shared, twin, strict=True))
    features, target = rows()
    nearest = CompiledTwin(network, features, target, started(network, weights(network)))
    assert nearest.run(1000)
    off = max(int(np.abs(one - other).max()) for one, other in zip(shared, nearest.weights, strict=True))
    assert 0 < off < 1000
    moved = max(np.abs(one - start).max() for one, start in zip(training.reveal(), weights(network), strict=True))
    assert moved > 0.5  # the control: it did train


@pytest.mark.slow
@NAMED
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_compiled_twin_is_the_twin(activation: Activation, layers: int) -> None:
    network, (features, target) = Network((5, *[3] * (layers - 1), 1), activation, 3 * 2**-7), rows()
    fixed, plain = network.fixed, started(network, weights(network))
    inputs = finish(load(Twin(), fixed.encode(features), fixed.encode(target)))
    for _ in range(10):
        plain = finish(iterate(Twin(), network, *inputs, plain))
    compiled = CompiledTwin(network, features, target, started(network, weights(network)))
    assert compiled.run(10) and compiled.iteration == 10
    assert all(np.array_equal(one, other) for one, other in zip(plain, compiled.weights, strict=True))


@NAMED
def test_rounds_are_as_foreseen(activation: Activation) -> None:
    for layers in (1, 2, 3):
        network = Network((5, *[2] * (layers - 1), 1), activation)
        training = trained(network, sealed=False)
        before = training.counts.rounds
        training.step()
        assert training.counts.rounds - before == network.rounds


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.floats(-40, 40), min_size=1, max_size=20), st.sampled_from(DESIGNS), st.integers(12, 18))
def test_an_activation_is_what_doubles_say(values: list[float], activation: Activation, bits: int) -> None:
    """Within its roundings, which the polynomial's own slope enlarges."""
    fixed = Fixed(bits)
    inside = np.clip(values, -6, 6) if activation.bound is None else np.array(values)

    def program(role: Role, inputs: Sequence[Share]) -> Program[list[Share]]:
        value = yield from activate(role, inputs[0], activation, fixed, "z")
        (wire,) = yield from role.open(truncated=[Truncation(value, bits, "a", 2 * bits)])
        return [wire.share]

    found = both(program, [fixed.encode(inside, 2)])
    assert np.array_equal(found.shares[0], found.twin[0])
    expected = activation.value(inside)
    error = np.abs(fixed.decode(found.shares[0]) - expected)
    if activation.piecewise:  # beside ±1/2 a last bit decides on which side it is, and both sides are right
        assert error.max() <= 2 * fixed.unit
    else:
        allowed = 64 * fixed.unit * (1 + np.abs(expected)) * activation.degree + 2.0**-12 * np.abs(expected)
        assert (error <= allowed).all()


def test_products_are_counted_by_the_rule_stated() -> None:
    assert [secret_products(degree) for degree in (1, 3, 5, 7, 9)] == [0, 2, 3, 4, 5]
    assert [secret_products(degree, naive=True) for degree in (1, 3, 5, 7, 9)] == [0, 2, 4, 6, 8]
    assert [Activation("x", (0.1,) * n).products for n in (1, 2, 3, 4, 5)] == [0, 2, 3, 4, 5]


def chi_square(words: Any) -> float:
    """By how many standard deviations the octets' statistic lies from its mean, at most, over the eight places."""
    octets = np.ascontiguousarray(words, "<u8").view(np.uint8).reshape(-1, 8)
    expected = len(octets) / 256
    worst = 0.0
    for place in range(8):
        counts = np.bincount(octets[:, place], minlength=256)
        worst = max(worst, abs(float(((counts - expected) ** 2 / expected).sum()) - 255) / np.sqrt(510))
    return worst


@pytest.mark.parametrize("level", [0, 1, -(1 << 61), (1 << 62) - 1])
def test_what_a_party_receives_is_uniform(level: int) -> None:
    """Over fresh seeds, for constant secrets from zero to the ends of the range: openings, bits, and corrections."""

    def program(role: Role, inputs: Sequence[Share]) -> Program[list[Share]]:
        plain, cut = yield from role.open(masked=inputs, truncated=[Truncation(inputs[0], 16, "x", 0, compared=True)])
        bits = yield from role.below(cut, (0, 1 << 40))
        return [role.multiply(plain, cut), *[role.multiply(bit, cut) for bit in bits]]

    received: dict[int, list[Any]] = {0: [], 1: []}
    corrections = []
    for _ in range(3):
        run = both(program, [np.full(4096, level, np.int64)], twin=False)
        corrections.append(run.corrections)
        for party, parts in run.received.items():
            assert len(parts) == 6
            received[party] += parts
    for party in (0, 1):
        assert chi_square(np.concatenate(received[party])) < 6
        for place in range(6):  # each round by itself
            assert chi_square(np.concatenate(received[party][place::6])) < 6
    assert chi_square(np.concatenate(corrections)) < 6


def test_the_check_of_uniformity_sees_what_is_not() -> None:
    """The control: the values themselves, and a mask of 62 bits, do not pass."""
    words = np.frombuffer(os.urandom(8 * 20_000), "<u8")
    assert chi_square(words) < 6
    assert chi_square(words >> np.uint64(2)) > 6 and chi_square(np.arange(20_000, dtype=np.uint64)) > 6


def test_a_whole_training_shows_uniform_words_alone() -> None:
    seen: dict[int, list[Any]] = {0: [], 1: []}
    network = Network((5, 3, 1), DESIGNS[3], 2**-5)
    training = trained(network, tap=lambda party, data: seen[party].append(np.frombuffer(data, "<u8")))
    for _ in range(20):
        training.step()
    # The bits of 90 values fill one word and a part of another: what pads them is masked too.
    assert chi_square(np.concatenate(seen[0])) < 6 and chi_square(np.concatenate(seen[1])) < 6


def test_an_owners_shares_are_uniform_and_join() -> None:
    fixed, values = Fixed(), np.zeros((300, 20))
    _, other = split(values, fixed, os.urandom)
    assert chi_square(other) < 6
    values = np.linspace(-5, 5, 6000).reshape(300, 20)
    seed, other = split(values, fixed, os.urandom)
    from fedsec.mpc.sharing import from_seed

    assert np.abs(join((from_seed(seed, other.shape), other), fixed) - values).max() <= fixed.unit / 2
    with pytest.raises(BadMessage, match="do not belong together"):
        join((other, other[:1]), fixed)


@pytest.mark.slow
def test_overflow_is_explained_and_nothing_is_wrapped() -> None:
    network, (features, target) = Network((5, 3, 1), DESIGNS[2], 1.0), rows()
    fixed = network.fixed
    twin = CompiledTwin(network, features, target, started(network, [20 * w for w in weights(network)]))
    assert not twin.run(50) and twin.collapsed and 0 < twin.iteration <= 50
    assert "does not fit" in twin.explain() or "a weight passed" in twin.explain()
    plain = started(network, [20 * w for w in weights(network)])
    inputs = finish(load(Twin(), fixed.encode(features), fixed.encode(target)))
    with pytest.raises(FixedPointOverflow, match="fractional bits leave"):
        for _ in range(50):
            plain = finish(iterate(Twin(), network, *inputs, plain))


def test_an_opening_that_was_changed_or_moved_is_refused() -> None:
    network = Network((5, 1), CUBIC)
    training = trained(network)
    original = training.exchange._sealed
    training.exchange._sealed = (
        lambda data, party, number, step: (
            bytes(  # type: ignore[method-assign]
                [original(data, party, number, step)[0] ^ 1]
            )
            + original(data, party, number, step)[1:]
        )
    )
    with pytest.raises(AuthenticationError):
        training.step()
    training = trained(network)
    original = training.exchange._sealed
    training.exchange._sealed = lambda data, party, number, step: original(  # type: ignore[method-assign]
        data, party, number, step + 1
    )
    with pytest.raises(AuthenticationError):
        training.step()


def test_parties_that_read_different_programs_are_told() -> None:
    def short(data: bytes) -> Program[int]:
        yield data
        return 1

    def long(data: bytes) -> Program[int]:
        yield data
        yield data
        return 1

    with pytest.raises(BadMessage, match="ended before the other"):
        Exchange(Counts()).run([short(b""), long(b"")])
    with pytest.raises(ConfigurationError, match="exchanges with a peer"):
        finish(short(b""))


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="widths"):
        Network((5,), CUBIC)
    with pytest.raises(ConfigurationError, match="rate is 0"):
        Network((5, 1), CUBIC, 0.0)
    with pytest.raises(ConfigurationError, match="a polynomial needs coefficients"):
        Activation("none")
    with pytest.raises(ConfigurationError, match="must be finite"):
        Activation("x", (float("nan"),))
    with pytest.raises(ConfigurationError, match="bound is -1"):
        Activation("x", (0.25,), bound=-1)


def test_secrets_stay_out_of_sight() -> None:
    training = trained(Network((5, 1), CUBIC))
    for secret in (training, training._parties[0], training._dealer, training.exchange, training.exchange._sealer):
        assert "array" not in repr(secret) and "b'" not in repr(secret)

"""What bounds promise holds on the twin at its worst, and parties tell weights beyond it without seeing them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import ConfigurationError, DataError
from fedsec.mpc.activation import Activation, activate
from fedsec.mpc.bounds import GUARDED, safe_weight
from fedsec.mpc.gradient_descent import LARGEST_FEATURE, Network, finish, iterate, load, outside
from fedsec.mpc.in_process import SharedTraining
from fedsec.mpc.ring_fixed_point import Fixed, FixedPointOverflow
from fedsec.mpc.twin import Twin
from tests.mpc.test_training import CUBIC, DESIGNS, rows, trained, weights

WIDE = Activation("wide", (0.12, -1.6e-4, 9.6e-8, -1.9e-11, 1e-15), bound=32.0)
"""Beyond ±8, powers of z / 8 enlarge what each truncation errs by."""


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from([*[one for one in DESIGNS if one.bounded], WIDE]), st.integers(12, 18))
def test_an_activation_stays_below_what_it_is_said_to(seed: int, activation: Activation, bits: int) -> None:
    """In fixed point, with the roundings that enlarge it most and with drawn ones."""
    fixed, rng = Fixed(bits), np.random.default_rng(seed)
    bound = activation.bound or 1.0
    total = fixed.encode(np.concatenate([[-bound, bound, -2 * bound, 2 * bound], rng.uniform(-bound, bound, 200)]), 2)
    for low in (
        lambda shape, shift: np.zeros(shape, np.int64),
        lambda shape, shift: np.full(shape, (1 << shift) - 1),
        lambda shape, shift: rng.integers(0, 1 << shift, shape),
    ):
        value = finish(activate(Twin(low, bits), total, activation, fixed, "x"))
        assert float(np.abs(value).max()) <= activation.largest(fixed) * 4.0**bits


def test_a_design_without_a_bound_is_asked_about() -> None:
    network, (features, target) = Network((5, 1), CUBIC), rows()
    with pytest.raises(ConfigurationError, match=r"cubic has no bound: parties could not detect .* unguarded=True"):
        SharedTraining(network, [(features, target)], weights(network))


BOUNDED = pytest.mark.parametrize("activation", [one for one in DESIGNS if one.bounded], ids=lambda one: one.name)


def trains(network: Network, features: Any, target: Any, start: list[Any], iterations: int) -> None:
    """On the twin, which raises where a value leaves the range."""
    fixed = network.fixed
    inputs = finish(load(Twin(), fixed.encode(features), fixed.encode(target)))
    now = [fixed.encode(matrix) for matrix in start]
    for _ in range(iterations):
        now = finish(iterate(Twin(bits=fixed.bits), network, *inputs, now))


@pytest.mark.slow
@BOUNDED
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 3), st.integers(12, 18), st.sampled_from([2.0**-10, 2.0**-5, 1.0]))
def test_nothing_overflows_from_safe_weights(activation: Any, seed: int, layers: int, bits: int, rate: float) -> None:
    """Rows and weights at the ends of what is allowed, signs drawn."""
    network = Network((4, *[3] * (layers - 1), 1), activation, rate, Fixed(bits))
    safe = safe_weight(network, 20, GUARDED)
    rng = np.random.default_rng(seed)
    features = LARGEST_FEATURE * rng.choice([-1.0, 1.0], (20, 4))
    target = rng.choice([-1.0, 1.0], (20, 1))
    start = [safe * rng.choice([-1.0, 1.0], shape) for shape in network.shapes]
    trains(network, features, target, start, GUARDED)


@BOUNDED
def test_beyond_safe_weights_something_can_overflow(activation: Any) -> None:
    """The control: the bound is not a thousand times too careful. All signs alike, so that sums are at their worst."""
    network = Network((4, 3, 3, 1), activation, 2.0**-10)
    safe = safe_weight(network, 20, GUARDED)
    features, target = np.full((20, 4), LARGEST_FEATURE), np.full((20, 1), -1.0)
    with pytest.raises(FixedPointOverflow):
        trains(network, features, target, [100 * safe * np.ones(shape) for shape in network.shapes], 1)


@pytest.mark.parametrize("activation", [one for one in DESIGNS if not one.bounded], ids=lambda one: one.name)
def test_without_a_bound_no_weight_is_safe(activation: Any) -> None:
    network = Network((5, 3, 1), activation)
    assert safe_weight(network, 30, GUARDED) == 0 and not trained(network).guarded


@BOUNDED
def test_parties_tell_weights_beyond_what_is_safe(activation: Any) -> None:
    network, (features, target) = Network((5, 3, 1), activation, 2.0**-5), rows()
    safe = safe_weight(network, len(target), GUARDED)
    for factor, count in ((0.99, 0), (1.01, 2)):
        start = weights(network)
        start[0][1, 2], start[1][0, 0] = -factor * safe, factor * safe
        if count:
            with pytest.raises(FixedPointOverflow, match=f"iteration 0: {count} weights lie beyond ±{safe:.4g}"):
                SharedTraining(network, [(features, target)], start)
        else:
            training = SharedTraining(network, [(features, target)], start)
            assert training.guarded


@pytest.mark.slow
def test_a_training_that_diverges_is_stopped_before_it_overflows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate so high that weights grow: the guard of a later iteration speaks."""
    monkeypatch.setattr("fedsec.mpc.in_process.GUARDED", 2)
    network, (features, target) = Network((5, 1), DESIGNS[3], 3.0), rows(30, 5)
    training = SharedTraining(network, [(4 * features, target)], weights(network))
    training._safe = 20.0
    with pytest.raises(FixedPointOverflow, match=r"iteration \d+: \d weights lie beyond ±20"):
        for _ in range(50):
            training.step()
    assert training.iteration % 2 == 0


@pytest.mark.slow
def test_the_guard_shows_parties_nothing_but_a_count() -> None:
    """What they receive in it is uniform, whatever the weights; the last word apart, which is the count's share."""
    seen: dict[str, list[int]] = {"small": [], "large": []}
    for name, scale in (("small", 1e-3), ("large", 50.0)):
        network, (features, target) = Network((5, 3, 1), DESIGNS[3]), rows()
        received: list[bytes] = []
        start = [scale * one for one in weights(network)]

        def tap(party: int, data: bytes, received: list[bytes] = received) -> None:
            received.append(data)

        training = SharedTraining(network, [(features, target)], start, sealed=False, tap=tap)
        for _ in range(300):
            received.clear()
            training.iteration += 1
            training.guard()
            seen[name] += list(b"".join(received))
    for name, octets in seen.items():
        counts = np.bincount(np.array(octets), minlength=256)
        expected = len(octets) / 256
        assert abs(float(((counts - expected) ** 2 / expected).sum()) - 255) / np.sqrt(510) < 6, name


def test_the_twin_counts_alike() -> None:
    network = Network((5, 3, 1), CUBIC)
    values = [
        network.fixed.encode(one) for one in (np.linspace(-4, 4, 15).reshape(5, 3), np.array([[2.0], [3.0], [-9]]))
    ]
    inside = sum(int((np.abs(one) <= network.fixed.encode(2.5)).sum()) for one in values)
    assert finish(outside(Twin(), network, values, 2.5)) == 18 - inside


@pytest.mark.parametrize(
    ("scale", "name"), [((9.0, 1.0), "features"), ((1.0, 3.0), "target"), ((np.nan, 1.0), "features")]
)
def test_rows_beyond_their_limits_are_refused(scale: tuple[float, float], name: str) -> None:
    network, (features, target) = Network((5, 1), CUBIC), rows()
    features = features / np.abs(features).max()
    with pytest.raises(DataError, match=rf"{name}: a value of magnitude .* must lie within ±(8|1)"):
        SharedTraining(network, [(scale[0] * features, scale[1] * target)], weights(network), unguarded=True)


def test_rows_and_weights_that_do_not_suit_the_network_are_refused() -> None:
    network, (features, target) = Network((5, 3, 1), DESIGNS[3]), rows()
    for part in ((features[:, :3], target), (features, target[:, 0]), (features[:5], target)):
        with pytest.raises(DataError, match="features and target have shapes"):
            SharedTraining(network, [part], weights(network))
    with pytest.raises(ConfigurationError, match=r"weights have shapes \[\(5, 3\)\]; "):
        SharedTraining(network, [(features, target)], weights(network)[:1])
    with pytest.raises(ConfigurationError, match="hospitals is empty"):
        SharedTraining(network, [], weights(network))

"""The blinded exchange: exact, the same in the clear, and its views tell neither data nor weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives import paillier
from fedsec.simulations.poster.encrypted_network import key_holder, network, sigmoids
from fedsec.simulations.poster.encrypted_network.encrypted_training import (
    EXCHANGES,
    hold,
    iteration,
    of_powers,
    open_,
    run,
    train,
)
from fedsec.simulations.poster.encrypted_network.key_holder import BLINDING, Answer, Ask, Clear, Group
from fedsec.simulations.poster.encrypted_network.linear_combinations import inverses
from fedsec.simulations.poster.encrypted_network.model_owner import Owner
from fedsec.simulations.poster.encrypted_network.network import XOR, Plan, Rows, Weights
from fedsec.simulations.poster.encrypted_network.packed_messages import split

OWNER = Owner(paillier.generate(512, os.urandom))
"""A key for tests, which protects nothing."""
small = st.integers(-(2**16) + 1, 2**16 - 1)


def stream(seed: int) -> Callable[[int], bytes]:
    """The same bytes each time."""
    return np.random.default_rng(seed).bytes


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(small, small), min_size=1, max_size=9))
def test_products_are_exact(pairs: list[tuple[int, int]]) -> None:
    hospital, count = OWNER.hospital(), len(pairs)
    numbers = OWNER.encrypt([a for a, _ in pairs] + [b for _, b in pairs])
    answer = hospital.ask(Ask([Group(numbers, 16)], [[(i, count + i)] for i in range(count)]))
    found = hospital.combine(
        [
            (
                [(answer.items[i], 1), (numbers[i], -answer.masks[count + i]), (numbers[count + i], -answer.masks[i])],
                -answer.masks[i] * answer.masks[count + i],
            )
            for i in range(count)
        ]
    )
    assert OWNER.decrypt(found) == [a * b for a, b in pairs]


@settings(max_examples=15, deadline=None)
@given(st.lists(small, min_size=1, max_size=5), st.lists(st.integers(-99, 99), min_size=2, max_size=6))
def test_one_exchange_gives_any_polynomial(values: list[int], coefficients: list[int]) -> None:
    hospital, degree = OWNER.hospital(), len(coefficients) - 1
    items = [[(place,) * power] for place in range(len(values)) for power in range(1, degree + 1)]
    answer = hospital.ask(Ask([Group(OWNER.encrypt(values), 16)], items))
    for place, value in enumerate(values):
        constant, *factors = of_powers(coefficients, answer.masks[place])
        powers = answer.items[place * degree : (place + 1) * degree]
        (found,) = OWNER.decrypt(hospital.combine([(list(zip(powers, factors, strict=True)), constant)]))
        assert found == sum(c * value**k for k, c in enumerate(coefficients))
    assert hospital.exchanges == 1


@given(small, st.integers(1, 12))
def test_cut_numbers_are_off_by_less_than_one(value: int, shift: int) -> None:
    clear = Clear()
    answer = clear.ask(Ask([Group([value], 16, shift)], [[(0,)]]))
    assert abs(answer.items[0] - answer.masks[0] - value / 2**shift) <= 1


def test_encrypted_and_clear_steps_are_the_same_to_the_last_bit() -> None:
    plan, first = Plan(sigmoids.named("interpolated-3"), 0.5, 12), network.start(3, 4, 0)
    clear = open_(run(iteration(XOR, hold(first, 12, list), plan, c := Clear(stream(1))), c), list)
    hospital = OWNER.hospital()
    drawn = stream(1)
    hospital.rng = os.urandom

    def ask(question: Ask) -> Answer:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(key_holder, "masks_of", lambda group, _: original(group, drawn))
            return type(hospital).ask(hospital, question)

    original = key_holder.masks_of
    steps = iteration(XOR, hold(first, 12, OWNER.encrypt), plan, hospital)
    question = next(steps)
    try:
        while True:
            question = steps.send(ask(question))
    except StopIteration as done:
        assert np.array_equal(open_(done.value, OWNER.decrypt).flat(), clear.flat())
    assert hospital.exchanges == c.exchanges == EXCHANGES


sums = st.lists(
    st.tuples(st.lists(st.tuples(st.integers(0, 5), st.integers(-(2**70), 2**70)), max_size=4), small), max_size=12
)


@settings(max_examples=25, deadline=None)
@given(sums, st.lists(small, min_size=6, max_size=6))
def test_sums_with_factors_of_every_size(drawn: list[tuple[list[tuple[int, int]], int]], values: list[int]) -> None:
    """Some have no term, some a factor of 0 or 1, and all come in their order."""
    numbers = OWNER.encrypt(values)
    asked = [([(numbers[place], factor) for place, factor in terms], constant) for terms, constant in drawn]
    expected = Clear().combine([([(values[p], f) for p, f in terms], constant) for terms, constant in drawn])
    assert OWNER.decrypt(OWNER.hospital().combine(asked)) == expected


def test_inverses_come_in_order() -> None:
    modulus = key_holder.mpz(10**12 + 39)
    numbers = [key_holder.mpz(k) for k in (2, 3, 77, 10**11)]
    assert [number * other % modulus for number, other in zip(numbers, inverses(numbers, modulus), strict=True)] == [
        1
    ] * 4


def _views(first: Weights, rows: Rows, runs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the owner decrypts, the noise that it sees, and what the hospital receives: each [runs, places] below 1."""
    plan = Plan(sigmoids.named("interpolated-3"), 0.5, 12)
    owner = Owner(OWNER.private)
    n, modulus = owner.private.public.n, owner.private.public.modulus
    values, noises, received = [], [], []
    for _ in range(runs):
        hospital, held = owner.hospital(), hold(first, 12, owner.encrypt)
        seen: list[float] = []
        noise: list[float] = []
        came: list[float] = []

        def deliver(request: bytes, noise: list[float] = noise) -> bytes:
            for _, _, _, body in msgpack.unpackb(request)[0]:
                noise += [c % n / n for c in split(owner.private.public, body)]
            return owner.holder.answer(request)

        question_scale: list[int] = []
        original, read = hospital.request, hospital.read

        def request(ask: Ask, scale: list[int] = question_scale, original: Any = original) -> Any:
            scale += [group.width - group.shift for group in ask.groups for _ in group.numbers]
            return original(ask)

        def reading(ask: Ask, masks: list[int], reply: bytes, sent: int, came: Any = came, read: Any = read) -> Any:
            answer = read(ask, masks, reply, sent)
            came += [int(c) / modulus for c in answer.items] + _guesses(ask, answer, n)
            return answer

        hospital.deliver, hospital.request, hospital.read = deliver, request, reading  # type: ignore[method-assign]
        owner.holder.watch = seen.extend
        run(iteration(rows, held, plan, hospital), hospital)
        values.append([float(value / 2**bits) for value, bits in zip(seen, question_scale, strict=True)])
        noises.append(noise)
        received.append(came)
    return np.array(values), np.array(noises), np.array(received)


def _guesses(ask: Ask, answer: Answer, n: int) -> list[float]:
    """What a hospital would compute of numbers that come as they are, or all under one noise: v and differences of v.

    Of answers that are one blinded number: that less its own mask, on the assumption that it stands in the open.
    """
    single = [
        (int(c), answer.masks[item[0][0]])
        for c, item in zip(answer.items, ask.items, strict=True)
        if len(item) == len(item[0]) == 1
    ]
    found = [_near((c - 1) // n - mask, n) for c, mask in single]
    for (c, mask), (other, second) in pairwise(single):
        ratio = c * pow(other, -1, n * n) % (n * n)
        found.append(_near((ratio - 1) // n - (mask - second), n))
    return found


GUESSED = 2**20


def _near(number: int, n: int) -> float:
    """A signed number modulo n, modulo GUESSED, below 1 in size."""
    signed = (number + n // 2) % n - n // 2
    return ((signed + GUESSED // 2) % GUESSED - GUESSED // 2) / GUESSED


def _least(one: np.ndarray, other: np.ndarray) -> float:
    """The smallest p-value over all places, with Bonferroni's factor."""
    found = [ks_2samp(one[:, place], other[:, place]).pvalue for place in range(one.shape[1])]
    return float(min(found)) * len(found)


ORDER = [3, 2, 1, 0]
MORE = Weights(np.full((3, 4), -3.0), np.full(4, 2.5))
RUNS = 24
PLAUSIBLE = 1e-6


@pytest.fixture(scope="module")
def views() -> tuple[np.ndarray, ...]:
    """Those that others are compared with."""
    return _views(network.start(3, 4, 0), XOR, RUNS)


@pytest.mark.exhaustive
def test_views_do_not_tell_data_of_equal_outcome_apart(views: tuple[np.ndarray, ...]) -> None:
    """Rows in another order give the same weights: their sum has no order. The owner's view must be the same too."""
    other = _views(network.start(3, 4, 0), XOR.take(ORDER), RUNS)
    assert all(_least(a, b) > PLAUSIBLE for a, b in zip(views, other, strict=True))


def test_views_do_not_tell_weights_apart(views: tuple[np.ndarray, ...]) -> None:
    """Whatever the weights, the hospital's view is ciphertexts; and the owner's masks hide them even from it."""
    other = _views(MORE, XOR, RUNS)
    assert all(_least(a, b) > PLAUSIBLE for a, b in zip(views, other, strict=True))


@pytest.mark.exhaustive
def test_the_comparison_would_see_short_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: through masks shorter than the numbers, weights are told apart."""

    def short(group: Group, rng: Any) -> tuple[list[int], list[int]]:
        added = [(1 << group.bits) + key_holder.randbits(group.bits - 3, rng) for _ in group.numbers]
        return added, [mask >> group.shift for mask in added]

    monkeypatch.setattr(key_holder, "masks_of", short)
    first = network.start(3, 4, 0)
    seen, *_ = _views(first, XOR, RUNS)
    others, *_ = _views(MORE, XOR, RUNS)
    assert _least(seen, others) < PLAUSIBLE


@pytest.mark.exhaustive
@pytest.mark.parametrize("noise", [1, 12345])
def test_the_comparison_would_see_answers_without_noise(monkeypatch: pytest.MonkeyPatch, noise: int) -> None:
    """The control of the hospital's side: numbers in the open, or all under one noise, tell the weights."""
    answer, n = key_holder.KeyHolder.answer, OWNER.private.public.n
    hidden = pow(noise, n, n * n)

    def openly(holder: key_holder.KeyHolder, request: bytes) -> bytes:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                paillier,
                "encrypt",
                lambda public, numbers, rng, policy: [(1 + number * n) * hidden % (n * n) for number in numbers],
            )
            return answer(holder, request)

    monkeypatch.setattr(key_holder.KeyHolder, "answer", openly)
    *_, came = _views(network.start(3, 4, 0), XOR, 12)
    *_, others = _views(MORE, XOR, 12)
    assert _least(came, others) < 1e-3 and np.unique(came[:, -1]).size < 12


def test_what_is_opened_is_cut_and_under_fresh_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product's noise is that of its factors to the power of what multiplied them; the owner made all but ours."""
    plan, n = Plan(sigmoids.named("interpolated-3"), 0.5, 12), OWNER.private.public.n

    def opened() -> tuple[Any, set[int]]:
        hospital, seen = OWNER.hospital(), set[int]()
        read = hospital.read

        def reading(*given: Any) -> Answer:
            answer = read(*given)
            seen.update(int(c) % n for c in answer.items)
            return answer

        hospital.read = reading  # type: ignore[method-assign]
        return train([XOR], hold(network.start(3, 4, 0), 12, OWNER.encrypt), plan, hospital, lambda *_: None), seen

    closed, seen = opened()
    assert closed.bits == plan.precision and not {int(c) % n for c in closed.flat()} & seen
    monkeypatch.setattr(key_holder.Encrypted, "renew", lambda self, numbers: list(numbers))
    closed, seen = opened()
    assert {int(c) % n for c in closed.flat()} <= seen  # the control: without fresh noise it is the owner's own


def test_the_hospitals_noise_hides_factors_from_who_knows_the_primes() -> None:
    """Its exponent is longer than the order of what it is an exponent of, so that nothing of other noise remains."""
    assert paillier.exponent_bits(OWNER.private.public, key_holder.HIDING) >= OWNER.private.public.bits + 40


def test_what_is_sent_has_fresh_noise() -> None:
    """The owner made the weights' noise: without new noise, c mod n would tell which known factors made a product."""
    hospital, numbers = OWNER.hospital(), OWNER.encrypt([5])
    public = OWNER.private.public
    noises = set()
    for _ in range(3):
        request, _ = hospital.request(Ask([Group(numbers, 16)], [[(0,)]]))
        (c,) = split(public, msgpack.unpackb(request)[0][0][3])
        noises.add(c % public.n)
    assert len(noises | {int(numbers[0]) % public.n}) == 4


def test_masks_are_as_long_as_promised() -> None:
    group = Group([0] * 2000, 20, 4)
    added, shifted = key_holder.masks_of(group, os.urandom)
    assert all(1 << 20 <= mask < (1 << 20) + (1 << 21 + BLINDING) for mask in added)
    assert max(added).bit_length() == 21 + BLINDING and shifted == [mask >> 4 for mask in added]
    assert group.width >= (max(added) + (1 << 20)).bit_length()


def _asked(numbers: Sequence[Any]) -> bytes:
    return OWNER.hospital().request(Ask([Group(numbers, 16)], [[(0,)]]))[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda r: b"",
        lambda r: b"\xc1",
        lambda r: r[:-3],
        lambda r: msgpack.packb(([], [[(0,)]])),
        lambda r: msgpack.packb((msgpack.unpackb(r)[0], [[(2,)]])),
        lambda r: msgpack.packb((msgpack.unpackb(r)[0], [[(-1,)]])),
        lambda r: msgpack.packb((msgpack.unpackb(r)[0], [["0"]])),
        lambda r: msgpack.packb(([[58, 0, 9, msgpack.unpackb(r)[0][0][3]]], [[(0,)]])),
        lambda r: msgpack.packb(([[58, -1, 1, msgpack.unpackb(r)[0][0][3]]], [[(0,)]])),
        lambda r: msgpack.packb(([[58, 0, 1, b"\0" * OWNER.private.public.ciphertext_bytes]], [[(0,)]])),
        lambda r: msgpack.packb(([[58, 0, 1, b"\1" * 7]], [[(0,)]])),
    ],
)
def test_malformed_requests_are_refused(change: Callable[[bytes], bytes]) -> None:
    request = _asked(OWNER.encrypt([1]))
    OWNER.holder.answer(request)
    with pytest.raises(BadMessage):
        OWNER.holder.answer(change(request))


def test_a_number_beyond_its_slot_is_seen_at_the_top() -> None:
    with pytest.raises(BadMessage, match="overflowed the fixed point"):
        OWNER.holder.answer(_asked(OWNER.encrypt([-(2**70)])))


def test_malformed_answers_are_refused() -> None:
    hospital = OWNER.hospital()
    for reply in (b"", b"\0" * OWNER.private.public.ciphertext_bytes, b"\1" * 9):
        hospital.deliver = lambda _, reply=reply: reply
        with pytest.raises(BadMessage):
            hospital.ask(Ask([Group(OWNER.encrypt([1]), 16)], [[(0,)]]))


def test_a_number_longer_than_the_plaintext_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="overflows the plaintext"):
        OWNER.hospital().ask(Ask([Group(OWNER.encrypt([1]), 500)], [[(0,)]]))


def test_nothing_secret_is_printed() -> None:
    for one in (OWNER, OWNER.holder, Answer([12345], [])):
        assert "12345" not in repr(one) and str(OWNER.private.p) not in repr(one)

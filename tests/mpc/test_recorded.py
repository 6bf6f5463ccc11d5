"""A recorded program against the roles that it was recorded from: the same bytes, the same shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.mpc import operations
from fedsec.mpc.compute_party import ComputeParty
from fedsec.mpc.dealer import Blank, Dealer
from fedsec.mpc.gradient_descent import Network, finish, iterate, load
from fedsec.mpc.recorded_roles import Recording, TapedDealer, TapedParty
from fedsec.mpc.ring_kernels import Words
from fedsec.mpc.roles import Program, Role, Share, Wire
from fedsec.mpc.streams import Corrections, Stream, derived
from fedsec.mpc.tape import Tape, Traced
from tests.mpc.test_training import DESIGNS, NAMED
from tests.tiers import examples, slow

ROWS = 70  # more than a word of bits


def exchanged(programs: Sequence[Program[Any]]) -> tuple[list[bytes], list[Any]]:
    """All openings of two programs in their order, and what they return."""
    seen: list[bytes] = []
    results: list[Any] = []
    arrived: list[bytes | None] = [None, None]
    while not results:
        out = []
        for program, data in zip(programs, arrived, strict=True):
            try:
                out.append(next(program) if data is None else program.send(data))
            except StopIteration as stop:
                results.append(stop.value)
        seen += out
        arrived = list(reversed(out))
    return seen, results


class Case:
    """A network, shares of rows and weights, and what the load left for parties and dealer."""

    def __init__(self, network: Network) -> None:
        self.network, self.seeds = network, (bytes(range(32)), bytes(range(32, 64)))
        rng = np.random.default_rng(3)

        def shared(shape: tuple[int, ...], scale: float) -> list[Words]:
            values = np.rint(scale * 2**network.fixed.bits * rng.normal(size=shape)).astype(np.int64)
            one = rng.integers(0, 1 << 64, shape, np.uint64)
            return [one, values.astype(np.uint64) - one]

        features, target = shared((ROWS, network.widths[0]), 0.5), shared((ROWS, 1), 0.3)
        self.weights = [shared(shape, 0.5) for shape in network.shapes]
        self.masks = finish(load(Dealer(self.streams(0)), Blank((ROWS, network.widths[0])), Blank((ROWS, 1))))
        parties = [ComputeParty(party, stream) for party, stream in enumerate(self.streams(0))]
        programs = [load(role, features[party], target[party]) for party, role in enumerate(parties)]
        self.wires: list[list[Wire]] = exchanged(programs)[1]

    def numbered(self, number: int) -> tuple[bytes, bytes]:
        return derived(self.seeds[0], "party 0", number), derived(self.seeds[1], "party 1", number)

    def streams(self, number: int) -> tuple[Stream, Stream]:
        one, other = self.numbered(number)
        return Stream(one), Stream(other)

    def written(self, role: Role, wires: list[Wire], weights: list[Share]) -> Program[list[Share]]:
        return iterate(role, self.network, wires[0], wires[1], weights)


@NAMED
@pytest.mark.parametrize("layers", [2, *slow([1, 3])])
def test_what_was_recorded_sends_and_computes_what_the_roles_do(activation: Any, layers: int) -> None:
    case = Case(Network((5, *[3] * (layers - 1), 1), activation, 2**-5))
    dealer = TapedDealer(case.written, case.masks, case.network.shapes, draws=True)
    taped = [TapedParty(p, case.written, case.wires[p], [pair[p] for pair in case.weights]) for p in (0, 1)]
    weights = [[pair[party] for pair in case.weights] for party in (0, 1)]
    for number in (1, 2, 3):
        draws: list[Words] = []
        plain = Dealer(case.streams(number), draws)
        finish(case.written(plain, case.masks, [Blank(shape) for shape in case.network.shapes]))
        corrections = plain.corrections().tobytes()
        data, lows = dealer.deal(case.numbered(number))
        assert data == corrections
        assert all(np.array_equal(one, other) for one, other in zip(lows, draws, strict=True))
        streams = case.streams(number)
        roles = ComputeParty(0, streams[0]), ComputeParty(1, streams[1], Corrections(corrections))
        sent, weights = exchanged([case.written(role, case.wires[p], weights[p]) for p, role in enumerate(roles)])
        seeds = case.numbered(number)
        again, _ = exchanged([taped[0].play(seeds[0]), taped[1].play(seeds[1], data)])
        assert again == sent
        for party in (0, 1):
            assert all(np.array_equal(a, b) for a, b in zip(taped[party].state, weights[party], strict=True))


def test_messages_of_another_size_are_refused() -> None:
    case = Case(Network((5, 1), DESIGNS[0]))
    one, other = (TapedParty(p, case.written, case.wires[p], [pair[p] for pair in case.weights]) for p in (0, 1))
    with pytest.raises(BadMessage, match=r"corrections: 8 bytes came and \d+ were expected"):
        next(other.play(case.numbered(1)[1], bytes(8)))
    program = one.play(case.numbered(1)[0])
    opening = next(program)
    with pytest.raises(BadMessage, match=f"an opening: {len(opening) - 1} bytes came .* {len(opening)} were expected"):
        program.send(opening[1:])


STEPS = st.tuples(st.sampled_from("+-*^&~s<>x@TDrcjhl1o"), st.integers(0, 1 << 30), st.integers(0, 1 << 30))
BINARY = {"+": np.add, "-": np.subtract, "*": np.multiply, "^": np.bitwise_xor, "&": np.bitwise_and}


def walked(arrays: list[Any], steps: Sequence[tuple[str, int, int]]) -> list[Any]:
    """Operations on matrices of 6 x 6, of numpy or on a tape; of the results the last four are kept."""
    for kind, first, second in steps:
        arrays = [*arrays[-3:], walk(kind, arrays[first % len(arrays)], arrays[second % len(arrays)], second)]
    return arrays


def walk(kind: str, x: Any, y: Any, number: int) -> Any:
    scalar = np.uint64(number * 0x9E3779B97F4A7C15 % 2**64)
    if kind in BINARY:
        return BINARY[kind](x, y)
    if kind == "c":
        out = x.copy()
        out += y
        return out
    if kind == "h":
        wrap, above = operations.halves(x, 1 + number % 62)
        return wrap - above
    if kind == "o":
        public, sign, share = operations.opened(x, 1 + number % 62, y, x.T, bool(number & 1))
        operations.add_product(share, public, sign)
        return share
    if kind == "l":
        flat = x.copy().reshape(-1)
        less, equal = operations.look_up(flat, operations.one_hot(y))
        return operations.joined([less, equal, flat[:4]]).reshape(6, 6)
    simple = {
        "s": lambda: scalar - x,
        "<": lambda: x * scalar,
        ">": lambda: x - scalar,
        "~": lambda: np.negative(x),
        "x": lambda: scalar ^ x,
        "@": lambda: x & scalar,
        "T": lambda: x.T,
        "D": lambda: operations.dot(x, y),
        "r": lambda: operations.joined([y[1:6:2], x[::2]]).reshape(6, 6),
        "j": lambda: operations.stack([x[n] for n in (5, 0, 3, 3, 1, 2)]),
        "1": lambda: operations.unpack(operations.top_bits(x).reshape(1, 1), 36).reshape(6, 6),
    }
    return simple[kind]()


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=40), st.integers(0, 1 << 32))
def test_a_tape_computes_what_numpy_does(steps: list[tuple[str, int, int]], seed: int) -> None:
    """Drawn chains of operations, so that places are freed and taken again."""
    rng = np.random.default_rng(seed)
    given = [rng.integers(0, 1 << 64, (6, 6), np.uint64) for _ in range(3)]
    recording = Recording()
    traced = walked([recording.placed(one) for one in given], steps)
    (whole,) = recording.finish()
    recording.run(whole, {})
    with np.errstate(over="ignore"):
        expected = walked(given, steps)
    for place, value in zip(traced, expected, strict=True):
        found = np.array([recording.memory[where] for where in place.places.reshape(-1)]).reshape(place.shape)
        assert np.array_equal(found, value)


def test_places_that_nobody_needs_are_taken_again() -> None:
    tape = Tape()
    x = tape.new((1000,))
    for _ in range(100):
        x = x + x
    assert tape.finish()[3] <= 3000


def test_what_a_tape_cannot_record_is_refused() -> None:
    tape = Tape()
    x, y = tape.new((4,)), tape.new((2, 2))
    with pytest.raises(ConfigurationError, match=r"one shape; \(4,\) and \(2, 2\)"):
        np.add(x, y)
    with pytest.raises(ConfigurationError, match="that stand on the tape"):
        np.add(x, np.arange(4, dtype=np.uint64))
    with pytest.raises(TypeError):
        np.divide(x, x)
    with pytest.raises(ConfigurationError, match="one after the other"):
        tape.start(x[::2])
    assert isinstance(x[1], Traced)

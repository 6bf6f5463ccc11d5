"""Roles whose program was recorded: the same messages and results as the roles', by compiled code, with fresh masks.

A run draws the words of its seeds at once, and keeps what stays between runs in its memory. Tested against the roles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedsec.errors import BadMessage
from fedsec.mpc.compute_party import ComputeParty, arrived
from fedsec.mpc.dealer import Blank, Dealer
from fedsec.mpc.gradient_descent import finish
from fedsec.mpc.ring_kernels import Words, execute
from fedsec.mpc.roles import Program, Role, Share, Term, Wire
from fedsec.mpc.tape import Tape, Traced
from fedsec.primitives.prg import writer

Written = Callable[[Role, list[Wire], list[Share]], Program[list[Share]]]
"""A program of wires that stay as they are, and of shares that its results replace."""


Filler = Callable[[Words], None]
"""Writes the next words of a source, all but two."""


@dataclass(frozen=True)
class Stretch:
    """Instructions that are carried out at once, and the parts of banks to fill before."""

    begin: int
    end: int
    fills: tuple[tuple[int, int, int], ...]
    """Bank, and where in the memory its part begins and ends."""


class Recording:
    """A tape with what stands on it from the beginning; once `finish` was called, its memory."""

    def __init__(self) -> None:
        self.tape, self._values = Tape(), list[tuple[Traced, Words]]()

    def placed(self, values: Words) -> Traced:
        """These values on the tape."""
        place = self.tape.new(values.shape)
        self._values.append((place, values))
        return place

    def wire(self, one: Wire) -> Wire:
        """This wire on the tape; what its role does not hold stays as it is."""
        share, public = (self.placed(x) if isinstance(x, np.ndarray) else x for x in (one.share, one.public))
        terms = tuple(Term(self.placed(term.mask), term.sign, term.weight) for term in one.terms)
        return Wire(share, public, terms, one.shape)

    def finish(self, marks: Sequence[int] = ()) -> list[Stretch]:
        """Settle all places and set the values; return what is carried out up to each mark, and up to the end."""
        self._code, self._places, self._starts, size = self.tape.finish()
        self.memory = np.zeros(size + 2, np.uint64)  # the generator asks for a block of slack
        for place, values in self._values:
            self.view(place)[...] = values
        return self._stretches([*marks, len(self.tape)])

    def _stretches(self, marks: Sequence[int]) -> list[Stretch]:
        """What is carried out up to each mark; each stretch fills what is taken before its end."""
        out, begin, filled, takings = list[Stretch](), 0, dict[int, int](), list(self.tape.takings)
        for end in marks:
            ends = dict(filled)
            while takings and (takings[0][0] < end or end == len(self.tape)):
                _, bank, ends[bank] = takings.pop(0)
            fills = [(bank, filled.get(bank, 0), last) for bank, last in ends.items() if last > filled.get(bank, 0)]
            starts = self._starts
            out.append(Stretch(begin, end, tuple((b, starts[b] + one, starts[b] + two) for b, one, two in fills)))
            begin, filled = end, ends
        return out

    def bank(self, number: int) -> Words:
        """All words of a source."""
        ends = [*self._starts[1:], self.memory.size - 2]
        return self.memory[self._starts[number] : ends[number]]

    def view(self, x: Traced) -> Words:
        """Where x stands in the memory, in its shape."""
        return self.memory[self.tape.place(x, self._starts)].reshape(x.shape)

    def run(self, stretch: Stretch, fillers: Mapping[int, Filler]) -> None:
        """Carry out these instructions; banks without a filler are written by the instructions themselves."""
        for bank, start, end in stretch.fills:
            if bank in fillers:
                fillers[bank](self.memory[start : end + 2])
        execute(self._code, self._places, self.memory, stretch.begin, stretch.end)


class TapedSource:
    """A stream or corrections, whose words stand in a bank of the tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape, self.bank = tape, tape.bank()

    def words(self, shape: int | tuple[int, ...]) -> Any:
        """See Source."""
        return self._tape.taken(self.bank, (shape,) if isinstance(shape, int) else shape)


class _DealerRecorder(Dealer):
    """A dealer whose corrections are the words of a bank."""

    def __init__(self, tape: Tape, draws: list[Any] | None) -> None:
        streams = TapedSource(tape), TapedSource(tape)
        super().__init__(streams, draws)
        self._out = TapedSource(tape)

    def give(self, value: Any) -> None:
        np.subtract(value, self._streams[0].words(value.shape), out=self._out.words(value.shape))

    def give_bits(self, value: Any) -> None:
        np.bitwise_xor(value, self._streams[0].words(value.shape), out=self._out.words(value.shape))


class TapedDealer:
    """The dealer's part of a program: `deal` gives what `Dealer.corrections` would."""

    def __init__(
        self, written: Written, kept: Sequence[Wire], shapes: Sequence[tuple[int, ...]], draws: bool = False
    ) -> None:
        self._recording, drawn = Recording(), list[Any]()
        dealer = _DealerRecorder(self._recording.tape, drawn if draws else None)
        finish(written(dealer, [self._recording.wire(one) for one in kept], [Blank(shape) for shape in shapes]))
        (self._whole,) = self._recording.finish()
        self._out, self._draws = self._recording.bank(2), [self._recording.view(low) for low in drawn]

    def deal(self, seeds: tuple[bytes, bytes]) -> tuple[bytes, list[Words]]:
        """Party 1's corrections, and the low bits of the truncations' masks where they were asked for."""
        self._recording.run(self._whole, {number: writer(seed) for number, seed in enumerate(seeds)})
        return self._out.tobytes(), [low.copy() for low in self._draws]


class _Recorder(ComputeParty):
    """A party whose openings are places on a tape."""

    def __init__(self, party: int, tape: Tape) -> None:
        super().__init__(party, TapedSource(tape), TapedSource(tape) if party == 1 else None)
        self._tape, self.openings = tape, list[tuple[int, Traced, Traced]]()

    def _exchange(self, mine: Any) -> Program[Any]:
        into = self._tape.new(mine.shape)
        self.openings.append((len(self._tape), mine, into))
        yield b""
        return into


class TapedParty:
    """Party 0's or 1's part of a program; `state` is its shares, which every run replaces."""

    def __init__(self, party: int, written: Written, kept: Sequence[Wire], shares: Sequence[Words]) -> None:
        self._recording = recording = Recording()
        role, state = _Recorder(party, recording.tape), [recording.placed(one) for one in shares]
        program = written(role, [recording.wire(one) for one in kept], list(state))
        try:
            while True:
                next(program)
        except StopIteration as stop:
            for place, result in zip(state, stop.value, strict=True):
                recording.tape.copy_to(place, result)
        *before, self._last = recording.finish([mark for mark, _, _ in role.openings])
        self._rounds = [
            (stretch, recording.view(out), recording.view(into))
            for stretch, (_, out, into) in zip(before, role.openings, strict=True)
        ]
        self.state = [recording.view(place) for place in state]
        self._corrections = 0 if party == 0 else recording.bank(1).size

    def play(self, seed: bytes, corrections: bytes = b"") -> Program[list[Words]]:
        """One run with the masks of this seed; returns the state. Raises BadMessage for messages of another size."""
        if len(corrections) != 8 * self._corrections:
            raise BadMessage(f"corrections: {len(corrections)} bytes came and {8 * self._corrections} were expected")
        fillers = {0: writer(seed), 1: copier(np.frombuffer(corrections, "<u8"))}
        for stretch, out, into in self._rounds:
            self._recording.run(stretch, fillers)
            received = yield out.tobytes()
            into[:] = arrived(received, into.size)
        self._recording.run(self._last, fillers)
        return self.state


def copier(words: Words) -> Filler:
    """What writes these words onward."""
    place = 0

    def copy(out: Words) -> None:
        nonlocal place
        out[:-2] = words[place : place + out.size - 2]
        place += out.size - 2

    return copy

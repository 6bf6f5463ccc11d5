"""Roles whose program was recorded: the same messages and results as the roles', by compiled code, with fresh masks.

A run draws the words of its seeds at once, and keeps what stays between runs in its memory. Tested against the roles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fedsec.errors import BadMessage
from fedsec.mpc import operations
from fedsec.mpc.dealer import Blank, Dealer
from fedsec.mpc.kernels import Words, execute
from fedsec.mpc.party import ComputeParty, arrived
from fedsec.mpc.roles import Program, Role, Share, Term, Wire
from fedsec.mpc.tape import Tape, Traced
from fedsec.mpc.training import finish
from fedsec.primitives.prg import keystream_into

Written = Callable[[Role, list[Wire], list[Share]], Program[list[Share]]]
"""A program of wires that stay as they are, and of shares that its results replace."""


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

    def finish(self) -> None:
        """Settle all places, and set the values."""
        self._code, self._places, self._starts, self._size = self.tape.finish()
        self.memory = np.zeros(self._size + 2, np.uint64)  # the generator asks for a block of slack
        for place, values in self._values:
            self.view(place)[...] = values

    def view(self, x: Traced) -> Words:
        """Where x stands in the memory, in its shape."""
        return self.memory[self.tape.place(x, self._starts)].reshape(x.shape)

    def bank(self, number: int) -> Words:
        """The words of a source, and two beyond."""
        ends = [*self._starts[1:], self._size]
        return self.memory[self._starts[number] : ends[number] + 2]

    def run(self, begin: int, end: int) -> None:
        """Carry out these instructions."""
        execute(self._code, self._places, self.memory, begin, end)


class TapedSource:
    """A stream or corrections, whose words stand in a bank of the tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape, self.bank = tape, tape.bank()

    def words(self, shape: int | tuple[int, ...]) -> Any:
        """See Source."""
        return self._tape.taken(self.bank, (shape,) if isinstance(shape, int) else shape)


class TapedDealer:
    """The dealer's part of a program: `deal` gives what `Dealer.corrections` would."""

    def __init__(
        self, written: Written, kept: Sequence[Wire], shapes: Sequence[tuple[int, ...]], draws: bool = False
    ) -> None:
        self._recording, drawn = Recording(), list[Any]()
        streams = TapedSource(self._recording.tape), TapedSource(self._recording.tape)
        dealer = Dealer(streams, drawn if draws else None)
        finish(written(dealer, [self._recording.wire(one) for one in kept], [Blank(shape) for shape in shapes]))
        out = dealer.corrections()
        self._end = len(self._recording.tape)
        self._recording.finish()
        self._out, self._draws = self._recording.view(out), [self._recording.view(low) for low in drawn]

    def deal(self, seeds: tuple[bytes, bytes]) -> tuple[bytes, list[Words]]:
        """Party 1's corrections, and the low bits of the truncations' masks where they were asked for."""
        for number, seed in enumerate(seeds):
            keystream_into(seed, self._recording.bank(number))
        self._recording.run(0, self._end)
        return self._out.tobytes(), [low.copy() for low in self._draws]


class _Recorder(ComputeParty):
    """A party whose openings are places on a tape."""

    def __init__(self, party: int, tape: Tape) -> None:
        super().__init__(party, TapedSource(tape), TapedSource(tape) if party == 1 else None)
        self._tape, self.marks = tape, list[tuple[int, Traced, Traced]]()

    def _exchange(self, mine: Sequence[Any]) -> Program[list[Any]]:
        out = operations.joined(mine)
        into = self._tape.new(out.shape)
        self.marks.append((len(self._tape), out, into))
        yield b""
        return operations.separated(into, [part.shape for part in mine])


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
        self._end = len(recording.tape)
        recording.finish()
        self._rounds = [(end, recording.view(out), recording.view(into)) for end, out, into in role.marks]
        self.state = [recording.view(place) for place in state]

    def play(self, seed: bytes, corrections: bytes | None = None) -> Program[list[Words]]:
        """One run with the masks of this seed; returns the state. Raises BadMessage for messages of another size."""
        keystream_into(seed, self._recording.bank(0))
        if corrections is not None:
            bank = self._recording.bank(1)[:-2]
            if len(corrections) != bank.nbytes:
                raise BadMessage(f"corrections: {len(corrections)} bytes came and {bank.nbytes} were expected")
            bank[:] = np.frombuffer(corrections, "<u8")
        begin = 0
        for end, out, into in self._rounds:
            self._recording.run(begin, end)
            received = yield out.tobytes()
            into[:] = arrived(received, into.size)
            begin = end
        self._recording.run(begin, self._end)
        return self.state

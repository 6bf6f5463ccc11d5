"""A program's operations recorded once, then carried out by compiled code as often as wanted.

What a role computes depends on public shapes alone: the same operations on the same places, iteration for iteration.
`Traced` stands for an array; numpy's operators on it, and `operations`, write instructions on its tape instead of
computing. A tape that is finished has a memory, and `kernels.execute` carries its instructions out there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from fedsec.errors import ConfigurationError
from fedsec.mpc import ring_kernels
from fedsec.mpc.ring_kernels import Integers

BANK = 1 << 40
"""Places from here on are those of a source, one bank for each, until the tape is finished."""
_ELEMENT_WISE = {
    np.add: ring_kernels.ADD,
    np.subtract: ring_kernels.SUBTRACT,
    np.multiply: ring_kernels.MULTIPLY,
    np.bitwise_xor: ring_kernels.XOR,
    np.bitwise_and: ring_kernels.AND,
}


class Region:
    """Words of a tape's memory, which others take once nobody refers to them while the tape is recorded."""

    def __init__(self, tape: Tape, start: int, size: int) -> None:
        self._tape, self.start, self.size = tape, start, size

    def __del__(self) -> None:
        self._tape.freed(self.start, self.size)


class Traced(NDArrayOperatorsMixin):
    """An array of 64-bit words that stands on a tape: its shape is known while recording, its values are not.

    places: int64 of its shape, where each word stands.
    """

    def __init__(self, tape: Tape, places: Integers, region: Any = None) -> None:
        self.tape, self.places, self._region = tape, places, region

    @property
    def shape(self) -> tuple[int, ...]:
        return self.places.shape

    @property
    def size(self) -> int:
        return self.places.size

    @property
    def T(self) -> Traced:
        return Traced(self.tape, self.places.T, self._region)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Traced]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, key: Any) -> Traced:
        return Traced(self.tape, self.places[key], self._region)

    def reshape(self, *shape: Any) -> Traced:
        return Traced(self.tape, self.places.reshape(*shape), self._region)

    def copy(self) -> Traced:
        """The same values at places of their own, in order."""
        return self.tape.copied(self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if method != "__call__" or options or (ufunc not in _ELEMENT_WISE and ufunc is not np.negative):
            return NotImplemented
        x, y = (np.uint64(0), inputs[0]) if ufunc is np.negative else inputs
        op = ring_kernels.SUBTRACT if ufunc is np.negative else _ELEMENT_WISE[ufunc]
        return self.tape.element_wise(op, x, y, None if out is None else out[0])


class Tape:
    """Instructions in the order in which they were recorded, and the places that they need."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, ...]] = []
        self._gathered: list[Integers] = []
        self._gathers = self._size = 0
        self._free: dict[int, list[int]] = {}
        self._banks: list[int] = []
        self.takings: list[tuple[int, int, int]] = []
        """Instructions before, bank and end of everything that was taken from a bank."""

    def __len__(self) -> int:
        """Instructions so far."""
        return len(self._rows)

    def new(self, shape: tuple[int, ...]) -> Traced:
        """An array whose values are not set."""
        size = math.prod(shape)
        free = self._free.get(size)
        if free:
            start = free.pop()
        else:
            start, self._size = self._size, self._size + size
        return Traced(self, np.arange(start, start + size).reshape(shape), Region(self, start, size))

    def freed(self, start: int, size: int) -> None:
        """Let a region be taken again."""
        self._free.setdefault(size, []).append(start)

    def bank(self) -> int:
        """The number of a new source."""
        self._banks.append(0)
        return len(self._banks) - 1

    def taken(self, bank: int, shape: tuple[int, ...]) -> Traced:
        """The next words of a source."""
        start, size = (bank + 1) * BANK + self._banks[bank], math.prod(shape)
        self._banks[bank] += size
        self.takings.append((len(self._rows), bank, self._banks[bank]))
        return Traced(self, np.arange(start, start + size).reshape(shape))

    def emit(
        self, op: int, size: int, out: Traced, *places: int, numbers: tuple[int, ...] = (), scalar: int = 0
    ) -> None:
        """Record one instruction (see kernels.execute)."""
        row = [
            op,
            size,
            int(out.places.flat[0]),
            *places,
            *[0] * (3 - len(places)),
            *numbers,
            *[0] * (2 - len(numbers)),
        ]
        self._rows.append((*row, scalar))

    def start(self, x: Traced) -> int:
        """Where the words of x begin; raises ConfigurationError unless they stand one after the other."""
        flat = x.places.reshape(-1)
        if not _ordered(flat):
            raise ConfigurationError("a tape's operation takes words that stand one after the other")
        return int(flat[0])

    def ordered(self, x: Traced) -> Traced:
        """x itself where its words stand one after the other, else a copy."""
        return x if _ordered(x.places.reshape(-1)) else self.copied(x)

    def copied(self, x: Traced) -> Traced:
        """A copy at places of its own."""
        out = self.new(x.shape)
        self.copy_to(out, x)
        return out

    def copy_to(self, out: Traced, x: Traced) -> None:
        """The values of x at the places of `out`."""
        flat = x.places.reshape(-1)
        if _ordered(flat):
            self.emit(ring_kernels.COPY, x.size, out, int(flat[0]))
        else:
            self.emit(ring_kernels.GATHER, x.size, out, self._gathers)
            self._gathered.append(flat)
            self._gathers += flat.size

    def element_wise(self, op: int, x: Any, y: Any, out: Traced | None) -> Traced:
        """x op y, of two arrays of one shape or of one and a scalar; into `out`, or an array of its own."""
        given = 0 if isinstance(x, Traced) and isinstance(y, Traced) else 1 if isinstance(x, Traced) else 2
        array, other = (y, x) if given == 2 else (x, y)
        array, scalar = self.ordered(array), 0 if given == 0 else _signed(other)
        if given == 0 and array.shape != other.shape:
            raise ConfigurationError(
                f"a tape's operation takes arrays of one shape; {x.shape} and {y.shape} were given"
            )
        other = self.ordered(other) if given == 0 else array
        result = self.new(array.shape) if out is None else out
        self.start(result)
        self.emit(op, array.size, result, self.start(array), self.start(other), numbers=(given,), scalar=scalar)
        return result

    def finish(self) -> tuple[Integers, Integers, list[int], int]:
        """Instructions, the places that gathers read, where each bank begins, and the size of the memory."""
        starts = [self._size + sum(self._banks[:number]) for number in range(len(self._banks))]
        code = np.array(self._rows, np.int64).reshape(-1, 9)
        places = np.concatenate([*self._gathered, np.empty(0, np.int64)])
        for numbers in (code[:, 2], code[:, 3], code[:, 4], code[:, 5], places):
            self._settle(numbers, starts)
        return code, places, starts, self._size + sum(self._banks)

    def place(self, x: Traced, starts: Sequence[int]) -> slice:
        """Where x stands in the memory."""
        numbers = np.array([self.start(x)])
        self._settle(numbers, starts)
        return slice(int(numbers[0]), int(numbers[0]) + x.size)

    @staticmethod
    def _settle(numbers: Integers, starts: Sequence[int]) -> None:
        for bank in range(len(starts), 0, -1):
            within = numbers >= bank * BANK
            numbers[within] += starts[bank - 1] - bank * BANK


def _ordered(flat: Integers) -> bool:
    return bool((np.diff(flat) == 1).all())


def _signed(value: Any) -> int:
    if np.ndim(value):
        raise ConfigurationError("a tape's operation takes arrays that stand on the tape, or scalars")
    number = int(value) & (1 << 64) - 1
    return number - (1 << 64 if number >> 63 else 0)

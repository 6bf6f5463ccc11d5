"""What the coordinates of a contribution stand for: parameters, buffers and metrics, and who sent another layout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import BadMessage, LayoutError
from fedsec.protocol import Exposure, Message

Arrays = Mapping[str, NDArray[Any]]

BUFFERS = ("*running_mean", "*running_var", "*num_batches_tracked")
"""Names of running statistics in PyTorch: values that a layer keeps, not parameters that training changes."""
NEVER_NEGATIVE = ("*running_var", "*num_batches_tracked")


@dataclass(frozen=True)
class ArraySpec(Message, tag="fedsec.array_spec/1"):
    """The name, shape and dtype of one array; the dtype is the model's, or the update's where the model has none.

    Raises LayoutError on a name that is no text, or that no message can carry.
    """

    name: Annotated[str, Exposure.PUBLIC]
    shape: Annotated[tuple[int, ...], Exposure.PUBLIC]
    dtype: Annotated[str, Exposure.PUBLIC]

    def __post_init__(self) -> None:
        _check_name("array", self.name)

    @property
    def size(self) -> int:
        """How many values the array has."""
        return math.prod(self.shape)

    def is_buffer(self, patterns: Iterable[str]) -> bool:
        """Whether the array travels as values: integers, and names that match one of PyTorch's or of `patterns`."""
        return np.dtype(self.dtype).kind in "iu" or _matches(self.name, (*BUFFERS, *patterns))

    @property
    def never_negative(self) -> bool:
        """Whether no value of the array can be below 0."""
        return np.dtype(self.dtype).kind == "u" or _matches(self.name, NEVER_NEGATIVE)


def unfit_name(name: object) -> str:
    """Why something is no name that a message can carry; empty where it is one."""
    if not isinstance(name, str):
        return f"of type {type(name).__name__}; a text was expected"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "no text that UTF-8 can encode"
    return ""


def _check_name(kind: str, name: object) -> None:
    if why := unfit_name(name):
        raise LayoutError(f"{kind} name {name!a} is {why}")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Layout(Message, tag="fedsec.layout/1"):
    """The arrays and metrics of a contribution. In clear, and the same for all contributors of a round.

    Raises LayoutError on a metric's name that is no text, or that no message can carry.
    """

    arrays: tuple[ArraySpec, ...]
    metrics: Annotated[Mapping[str, int], Exposure.PUBLIC]
    """Number of values by key; 0 is a scalar."""

    def __post_init__(self) -> None:
        for key in self.metrics:
            _check_name("metric", key)

    def parameters(self, buffers: Iterable[str]) -> tuple[ArraySpec, ...]:
        """The arrays that travel as changes."""
        return tuple(spec for spec in self.arrays if not spec.is_buffer(buffers))

    def buffers(self, buffers: Iterable[str]) -> tuple[ArraySpec, ...]:
        """The arrays that travel as values."""
        return tuple(spec for spec in self.arrays if spec.is_buffer(buffers))

    @property
    def integers(self) -> tuple[str, ...]:
        """The names of the arrays that hold integers."""
        return tuple(spec.name for spec in self.arrays if np.dtype(spec.dtype).kind in "iu")

    @property
    def metric_values(self) -> int:
        """How many values the metrics have together."""
        return sum(length or 1 for length in self.metrics.values())


def array_layout(arrays: Arrays, reference: Arrays) -> tuple[ArraySpec, ...]:
    """The layout of the arrays of an update, sorted by name, in the model's dtypes.

    Raises LayoutError on masked arrays, on what is not real numbers, on names that the model has not, and on shapes
    that are not the model's. A model without any array takes the update's: training then starts from nothing.
    """
    if reference and (strange := sorted(arrays.keys() - reference.keys())):
        raise LayoutError(f"arrays {strange} are in the update and not in the model")
    specs = []
    for name, array in sorted(arrays.items()):
        own = spec_of(name, array)
        expected = spec_of(name, reference[name]) if name in reference else own
        if own.shape != expected.shape:
            raise LayoutError(
                f"the update has array {name!r} of shape {own.shape}; shape {expected.shape} was expected"
            )
        specs.append(expected)
    return tuple(specs)


def spec_of(name: str, array: NDArray[Any]) -> ArraySpec:
    """An array's name, shape and dtype, in the machine's byte order.

    Raises LayoutError unless it holds real numbers, and all of them.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise LayoutError(f"array {name!r} is masked, and a mean has no place for missing values: fill it first")
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise LayoutError(
            f"array {name!r} has dtype {array.dtype}; floating-point or integer numbers of at most 64 bits were "
            "expected"
        )
    return ArraySpec(name, tuple(map(int, array.shape)), array.dtype.newbyteorder("=").name)


def majority(layouts: Mapping[int, Layout]) -> tuple[Layout, dict[int, str]]:
    """The layout that more parties sent than any other, and of each other party how its own differs from it.

    Raises BadMessage where two layouts were sent equally often.
    """
    found: list[tuple[Layout, list[int]]] = []
    for party in sorted(layouts):
        parties = next((parties for layout, parties in found if layout == layouts[party]), None)
        if parties is None:
            found.append((layouts[party], [party]))
        else:
            parties.append(party)
    found.sort(key=lambda entry: -len(entry[1]))
    common, agreeing = found[0]
    if len(found) > 1 and len(found[1][1]) == len(agreeing):
        raise BadMessage(
            f"the parties' contributions have different layouts, and none has a majority: "
            f"{[parties for _, parties in found]}; {difference(found[1][0], common)}"
        )
    return common, {party: difference(layout, common) for layout, parties in found[1:] for party in parties}


def difference(layout: Layout, expected: Layout) -> str:
    """How a layout differs from the one that was expected, in words that name keys and arrays."""
    mine, theirs = dict(layout.metrics), dict(expected.metrics)
    arrays, others = ({spec.name: spec for spec in each.arrays} for each in (layout, expected))
    parts = [
        *_names("metrics", "missing", sorted(theirs.keys() - mine.keys())),
        *_names("metrics", "not expected", sorted(mine.keys() - theirs.keys())),
        *_names("metrics", "of another length", sorted(k for k in mine.keys() & theirs if mine[k] != theirs[k])),
        *_names("arrays", "missing", sorted(others.keys() - arrays.keys())),
        *_names("arrays", "not expected", sorted(arrays.keys() - others.keys())),
        *_names(
            "arrays",
            "of another shape or dtype",
            sorted(k for k in arrays.keys() & others.keys() if arrays[k] != others[k]),
        ),
    ]
    return "; ".join(parts) or "no difference"


def _names(what: str, how: str, names: Sequence[str]) -> list[str]:
    return [f"{what} {how}: {', '.join(map(repr, names))}"] if names else []

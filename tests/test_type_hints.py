"""Hints are read alike however a release spells them: NumPy 2.5 made `NDArray` an alias with a parameter."""

from __future__ import annotations

import subprocess
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, TypeVarTuple

import numpy as np
import pytest
import typing_extensions
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedsec.protocol import Exposure, Message
from fedsec.type_hints import resolved
from fedsec.wire import codec

A, B = TypeVar("A"), TypeVar("B")
Rest = TypeVarTuple("Rest")
Scalar = TypeVar("Scalar", bound=np.generic)
made = typing_extensions.TypeAliasType
"""An alias made by hand: what `type X = ...` makes in Python 3.12, which Python 3.11 cannot read."""

ARRAY = "numpy.ndarray[tuple[typing.Any, ...], numpy.dtype[Scalar]]"
Array: Any = made("Array", eval(ARRAY, {"numpy": np, "typing": typing, "Scalar": Scalar}), type_params=(Scalar,))  # noqa: S307 (the text above)
"""`NDArray` of NumPy 2.5 and newer, whichever NumPy is here."""
Numbers: Any = made("Numbers", tuple[int, ...])
Swapped: Any = made("Swapped", Mapping[B, A], type_params=(A, B))
Itself: Any = made("Itself", A, type_params=(A,))
Constant: Any = made("Constant", tuple[int, ...], type_params=(A,))
Many: Any = made("Many", tuple[int, *Rest], type_params=(Rest,))
Arrays: Any = made("Arrays", Mapping[int, Array[A]], type_params=(A,))
Either: Any = made("Either", Array[np.uint32] | Array[np.uint64])
Sealed: Any = made("Sealed", Annotated[bytes, Exposure.SEALED])


def array(kind: type[np.generic]) -> Any:
    return np.ndarray[tuple[Any, ...], np.dtype[kind]]  # type: ignore[valid-type]


@pytest.mark.parametrize(
    ("hint", "names"),
    [
        (Array[np.uint32], array(np.uint32)),
        (Numbers, tuple[int, ...]),
        (Swapped[int, str], Mapping[str, int]),
        (Itself[bytes], bytes),
        (Itself[Itself[Numbers]], tuple[int, ...]),
        (Constant[str], tuple[int, ...]),
        (Many[str, bytes], tuple[int, str, bytes]),
        (Arrays[np.uint8], Mapping[int, array(np.uint8)]),
        (Either, array(np.uint32) | array(np.uint64)),
        (Numbers | None, tuple[int, ...] | None),
        (Array[np.uint32] | None, array(np.uint32) | None),
        (tuple[Numbers, Array[np.int64]], tuple[tuple[int, ...], array(np.int64)]),
        (Sealed, Annotated[bytes, Exposure.SEALED]),
        (Annotated[Sealed, "note"], Annotated[bytes, Exposure.SEALED, "note"]),
        (Annotated[Array[np.uint32], Exposure.PUBLIC], Annotated[array(np.uint32), Exposure.PUBLIC]),
        (Callable[[int], Numbers], Callable[[int], tuple[int, ...]]),
    ],
)
def test_an_alias_is_what_it_names(hint: Any, names: Any) -> None:
    assert resolved(hint) == names


def test_the_arrays_of_the_numpy_that_is_here() -> None:
    hint = resolved(NDArray[np.uint32])
    assert typing.get_origin(hint) is np.ndarray and typing.get_args(hint)[1] == np.dtype[np.uint32]


PLAIN = [int, str, bytes, None, Any, A, tuple[()], tuple[int, ...], Literal["a", 1], Mapping[str, bytes], int | None]


@pytest.mark.parametrize("hint", [*PLAIN, Annotated[int, "note"], Callable[..., int], array(np.uint32)])
def test_a_type_without_aliases_stays(hint: Any) -> None:
    assert resolved(hint) is hint


Pair = tuple[Any, Any]
"""A type, and the same with some of its parts named by aliases."""


def perhaps_named(pairs: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    ways: list[Callable[[Any], Any]] = [
        lambda hint: hint,
        lambda hint: made("Named", hint),
        lambda hint: made("Named", A, type_params=(A,))[hint],
    ]
    return st.tuples(pairs, st.sampled_from(ways)).map(lambda drawn: (drawn[0][0], drawn[1](drawn[0][1])))


def larger(pairs: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    around: list[Callable[[Any], Any]] = [
        lambda part: tuple[part, ...],
        lambda part: tuple[int, part],
        lambda part: Mapping[int, part],
        lambda part: part | None,
        lambda part: Annotated[part, "note"],
        lambda part: Callable[[int], part],
    ]
    grown = st.tuples(pairs, st.sampled_from(around))
    return perhaps_named(grown.map(lambda drawn: (drawn[1](drawn[0][0]), drawn[1](drawn[0][1]))))


SMALLEST = st.sampled_from([int, str, bytes, array(np.uint32)]).map(lambda hint: (hint, hint))


@given(st.recursive(perhaps_named(SMALLEST), larger, max_leaves=6))
def test_aliases_at_any_depth_change_nothing(pair: Pair) -> None:
    plain, aliased = pair
    assert resolved(aliased) == plain


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the statement `type` is new in Python 3.12")
def test_the_statement_type_makes_aliases() -> None:
    space: dict[str, Any] = {"np": np, "Any": Any, "Mapping": Mapping}
    exec(
        "type Numbers = tuple[int, ...]\n"
        "type Array[S: np.generic] = np.ndarray[tuple[Any, ...], np.dtype[S]]\n"
        "type Swapped[A, B] = Mapping[B, A]\n"
        "type Both[S: np.generic] = Array[S] | Numbers\n",
        space,
    )
    assert resolved(space["Numbers"]) == tuple[int, ...]
    assert resolved(space["Array"][np.uint32]) == array(np.uint32)
    assert resolved(space["Swapped"][int, str]) == Mapping[str, int]
    assert resolved(space["Both"][np.uint32]) == array(np.uint32) | tuple[int, ...]


class Endless:
    """What `type Endless = tuple[Endless, ...]` makes in Python 3.12."""

    __type_params__ = ()
    __value__ = property(lambda self: tuple[self, ...])

    def __repr__(self) -> str:
        return "Endless"


def test_an_alias_that_names_itself_is_refused() -> None:
    with pytest.raises(TypeError, match="Endless names itself"):
        resolved(Endless())


@dataclass(frozen=True)
class Aliased(Message):
    """Fields as they are written with NumPy 2.5, or with aliases of a strategy's own."""

    small: Annotated[Array[np.uint32], Exposure.PUBLIC]
    either: Annotated[Array[np.uint32] | Array[np.uint64] | None, Exposure.PUBLIC]
    by_party: Annotated[Arrays[np.uint8], Exposure.PUBLIC]
    numbers: Annotated[Numbers, Exposure.PUBLIC]
    sealed: Sealed


def test_messages_with_aliases_travel() -> None:
    sent = Aliased(np.arange(3, dtype=np.uint32), np.ones((2, 2), np.uint64), {7: np.zeros(2, np.uint8)}, (1, 2), b"x")
    came = codec.decode(codec.encode(sent), Aliased)
    assert came.small.dtype == np.uint32 and came.small.tolist() == [0, 1, 2]
    assert came.either.dtype == np.uint64 and came.either.tolist() == [[1, 1], [1, 1]]
    assert {party: values.tolist() for party, values in came.by_party.items()} == {7: [0, 0]}
    assert came.numbers == (1, 2) and came.sealed == b"x"
    exposures = {field.name: field.exposure for field in codec.schema(Aliased)}
    assert exposures["sealed"] is Exposure.SEALED and exposures["small"] is Exposure.PUBLIC


def test_an_alias_of_what_is_not_sent_is_refused() -> None:
    @dataclass(frozen=True)
    class Unsent(Message):
        field: Any

    for hint, text in ((made("Listed", list[int]), "not sent"), (Endless(), "names itself"), (Array, "data type")):
        Unsent.__annotations__["field"] = Annotated[hint, Exposure.PUBLIC]
        with pytest.raises(TypeError, match=f"Unsent.field: .*{text}"):
            codec.schema(Unsent)


SUMS = f"""
import sys, typing, numpy, numpy.typing
from typing_extensions import TypeAliasType, TypeVar
Scalar = TypeVar("Scalar", bound=numpy.generic)
numpy.typing.NDArray = TypeAliasType("NDArray", {ARRAY}, type_params=(Scalar,))
from fedsec import LocalFederation, catalog
for name in catalog.names():
    keys = {{"key_bits": 2048}} if name.startswith("paillier") else {{}}
    sum = LocalFederation(catalog.strategy(name)(**keys), hospitals=3).sum({{1: [100, 200], 2: [10, 20], 3: [1, 2]}})
    print(name, sum.sum.vector.tolist())
"""


@pytest.mark.exhaustive
@pytest.mark.slow
def test_each_strategy_sums_with_arrays_spelled_as_numpy_2_5_does() -> None:
    done = subprocess.run([sys.executable, "-c", SUMS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) >= 9 and all(line.endswith("[111, 222]") for line in lines), lines

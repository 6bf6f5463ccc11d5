"""Every record survives its bytes; equal records have equal bytes; damaged bytes give BadMessage."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, fields, is_dataclass
from itertools import pairwise
from typing import Annotated, Any, Union, get_args, get_origin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from fedsec import catalog
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import BadMessage
from fedsec.party import party
from fedsec.protocol import RECORDS, Exposure, Message, Record, State, Vector
from fedsec.wire import codec
from tests.tiers import examples

for _name in catalog.names():
    catalog.strategy(_name)


@dataclass(frozen=True)
class Everything(Message):
    """Each form that a field may have, beyond those that the framework's own records use."""

    flag: Annotated[bool, Exposure.PUBLIC]
    matrix: Annotated[np.ndarray[Any, np.dtype[np.float32]], Exposure.PUBLIC]
    signed: Annotated[np.ndarray[Any, np.dtype[np.int64]], Exposure.PUBLIC]
    small: Annotated[np.ndarray[Any, np.dtype[np.uint8]], Exposure.PUBLIC]
    either: Annotated[NDArray[np.uint32] | NDArray[np.uint64], Exposure.PUBLIC]
    counts: Annotated[tuple[int, ...], Exposure.PUBLIC]
    by_name: Annotated[Mapping[str, bytes], Exposure.PUBLIC]
    maybe: Annotated[bytes | None, Exposure.PUBLIC]
    names: Annotated[frozenset[str], Exposure.PUBLIC]
    pair: Annotated[tuple[int, str], Exposure.PUBLIC]
    nested: tuple[MeanSpec, ...]
    table: Annotated[Mapping[int, Mapping[str, tuple[float, ...]]], Exposure.PUBLIC]


OURS = ("fedsec.", Everything.__module__)
KINDS = [kind for kind in RECORDS.values() if is_dataclass(kind) and kind.__module__.startswith(OURS)]
INTEGERS = st.integers(-(1 << 63), (1 << 64) - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return values(arguments[0])
    if origin in (Union, types.UnionType):
        return st.one_of([st.none() if kind is type(None) else values(kind) for kind in arguments])
    if origin is np.ndarray:
        dtype = np.dtype(get_args(arguments[1])[0])
        return hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return st.lists(values(arguments[0]), max_size=4).map(tuple)
        return st.tuples(*map(values, arguments))
    if origin is frozenset:
        return st.frozensets(values(arguments[0]), max_size=4)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=4)
    if isinstance(hint, type) and issubclass(hint, Record):
        return records(hint)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: INTEGERS,
        float: st.floats(allow_nan=False),
        str: TEXTS,
        bytes: st.binary(max_size=40),
    }
    return plain[hint]


def records(kind: type[Record]) -> st.SearchStrategy[Any]:
    if kind is MeanSpec:  # the one record that limits its values
        ranges = st.tuples(st.floats(-9, -1), st.floats(1, 9))
        return st.builds(
            MeanSpec, st.floats(0.1, 9), st.integers(1, 999), ranges, st.dictionaries(TEXTS, ranges), TEXTS
        )
    return st.builds(kind, **{field.name: values(field.hint) for field in codec.schema(kind)})


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, Record):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))  # type: ignore[arg-type]
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    return bool(type(a) is type(b) and a == b)


def reversed_maps(value: Any) -> Any:
    """An equal value whose mappings and sets were filled in another order."""
    if isinstance(value, Mapping):
        return {key: reversed_maps(value[key]) for key in reversed(list(value))}
    if isinstance(value, frozenset):
        return frozenset(sorted(value, reverse=True))
    return value


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.tag)
@settings(max_examples=examples(10))
@given(data=st.data())
def test_every_record_survives_its_bytes(kind: type[Record], data: st.DataObject) -> None:
    record = data.draw(records(kind))
    encoded = codec.encode(record)
    back = codec.decode(encoded, kind)
    assert same(record, back)
    assert codec.encode(back) == encoded
    equal = kind(**{field.name: reversed_maps(getattr(record, field.name)) for field in codec.schema(kind)})
    assert codec.encode(equal) == encoded
    with pytest.raises(BadMessage, match="was expected"):
        codec.decode(encoded, Message if issubclass(kind, State) else State)


@settings(max_examples=examples(300))
@given(data=st.data())
def test_damaged_bytes_give_bad_message_or_another_record(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    whole = bytearray(codec.encode(data.draw(records(kind))))
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))]) + data.draw(st.binary(max_size=3))
    try:
        found = codec.decode(damaged, Record)
    except BadMessage:
        return
    assert codec.decode(codec.encode(found), Record).tag == found.tag


def test_whole_numbers_and_floats_are_one_specification() -> None:
    one, other = MeanSpec(clip=4, ranges={"auc": (0, 1)}), MeanSpec(clip=4.0, ranges={"auc": (0.0, 1.0)})
    assert codec.encode(one) == codec.encode(other)
    assert codec.decode(codec.encode(one), MeanSpec) == one


def test_a_message_states_what_each_field_exposes() -> None:
    @dataclass(frozen=True)
    class Silent(Message):
        secret: bytes

    @dataclass(frozen=True)
    class Vectors(Message):
        vectors: Mapping[int, Vector]

    class Bare(Message):
        pass

    for kind, text in (
        (Silent, "Silent.secret: must be Annotated"),
        (Vectors, "vectors"),
        (Bare, "must be a dataclass"),
    ):
        with pytest.raises(TypeError, match=text):
            codec.schema(kind)


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int | str, "is a union; one type and None, or arrays"),
        (bytes | int | None, "is a union"),
        (NDArray[np.uint32] | bytes, "is a union"),
        (MeanSpec | Everything, "is a union"),
        (Mapping[str, tuple[int | float, ...]], "int | float is a union"),
        (list[int], r"values of list\[int\] are not sent"),
        (Any, "values of typing.Any are not sent"),
    ],
)
def test_a_type_that_bytes_cannot_tell_is_refused_before_anything_is_sent(hint: Any, text: str) -> None:
    @dataclass(frozen=True)
    class Unclear(Message):
        either: Any

    Unclear.__annotations__["either"] = Annotated[hint, Exposure.PUBLIC]
    for use in (lambda: codec.schema(Unclear), lambda: codec.encode(Unclear(1))):
        with pytest.raises(TypeError, match=f"Unclear.either: .*{text}"):
            use()


def test_unions_that_bytes_tell_stay() -> None:
    @dataclass(frozen=True)
    class Clear(Message):
        maybe: Annotated[Mapping[int, bytes] | None, Exposure.PUBLIC]
        arrays: Annotated[NDArray[np.uint32] | NDArray[np.uint64] | None, Exposure.PUBLIC]
        nested: MeanSpec | None

    for record in (Clear(None, None, None), Clear({1: b""}, np.zeros(2, np.uint64), MeanSpec())):
        assert same(codec.decode(codec.encode(record), Clear), record)


def test_states_are_never_printed() -> None:
    state = party.PartyState(b"secret identity", within=b"secret")
    assert repr(state) == str(state) == f"{state}" == "<PartyState redacted>"
    assert "secret" not in repr([state, {"state": state}])
    with pytest.raises(FrozenInstanceError):
        state.identity = b""  # type: ignore[misc]

    @dataclass(frozen=True)
    class Talkative(State):
        secret: bytes

    with pytest.raises(TypeError, match="dataclass\\(repr=False\\)"):
        codec.encode(Talkative(b"x"))


@pytest.mark.parametrize("value", [np.zeros(2, complex), np.zeros(2, np.float16), np.array([None]), {1j: 2}, object()])
def test_values_that_are_not_sent(value: Any) -> None:
    with pytest.raises(TypeError):
        codec.value_bytes(value)


def test_equal_vectors_of_other_memory_layouts_have_equal_bytes() -> None:
    whole = np.arange(24, dtype=np.uint64).reshape(4, 6)
    parts = [whole[::2, ::3], whole[::2, ::3].copy(), np.asfortranarray(whole[::2, ::3])]
    assert all(a == b for a, b in pairwise(map(codec.value_bytes, parts)))


def test_two_records_of_one_file_cannot_share_a_tag() -> None:
    class First(State, tag="tests.twice/1"):
        pass

    with pytest.raises(TypeError, match=r"two messages are called tests\.twice/1"):

        class Second(State, tag="tests.twice/1"):
            pass

"""What bytes hold is bounded before anything is made of it: nesting, items, and so the memory that reading takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgpack
import numpy as np
import pytest
from numpy.typing import NDArray

from fedsec.errors import BadMessage
from fedsec.protocol import Exposure, Message
from fedsec.wire import codec
from fedsec.wire.membership import Member

MEBIBYTE = 1 << 20
SMALL = 192 * 1024
"""What is allowed beside a multiple of the bytes: the interpreter's own."""


@dataclass(frozen=True)
class Row(Message):
    """The record with the fewest bytes for the objects that are made of it."""

    name: Annotated[str, Exposure.PUBLIC]
    shape: Annotated[tuple[int, ...], Exposure.PUBLIC]


@dataclass(frozen=True)
class Tree(Message):
    """A record of its own kind."""

    children: tuple[Tree, ...]


@dataclass(frozen=True)
class Containers(Message):
    """A container of each kind, and an array."""

    counts: Annotated[tuple[int, ...], Exposure.PUBLIC] = ()
    parties: Annotated[frozenset[int], Exposure.PUBLIC] = frozenset()
    sealed: Annotated[Mapping[int, bytes] | None, Exposure.SEALED] = None
    members: Mapping[int, Member] | None = None
    rows: tuple[Row, ...] = ()
    table: Annotated[Mapping[int, tuple[tuple[str, ...], ...]] | None, Exposure.PUBLIC] = None
    vector: Annotated[NDArray[np.uint8] | None, Exposure.MASKED] = None
    text: Annotated[str, Exposure.PUBLIC] = ""


NAMES = [field.name for field in codec.schema(Containers)]
NOTHING: dict[str, bytes] = {
    **dict.fromkeys(("counts", "parties", "rows"), b"\x90"),
    **dict.fromkeys(("sealed", "members", "table", "vector"), b"\xc0"),
    "text": b"\xa0",
}


def body(**fields: bytes) -> bytes:
    """The bytes of a `Containers` whose named fields are these bytes."""
    start = b"\x93" + msgpack.packb(codec.VERSION) + msgpack.packb(Containers.tag)
    return start + bytes([0x90 + len(NAMES)]) + b"".join({**NOTHING, **fields}[name] for name in NAMES)


def array(count: int, item: bytes) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big") + item * count


def mapping(count: int, value: bytes) -> bytes:
    return b"\xdf" + count.to_bytes(4, "big") + b"".join(msgpack.packb(key) + value for key in range(count))


def peak(data: bytes, **limits: int) -> tuple[int, BadMessage | None]:
    """The most memory that reading took beside the bytes themselves, and what was refused."""
    codec.decode(body(), Containers)
    refused = None
    tracemalloc.start()
    try:
        codec.decode(data, Containers, **limits)
    except BadMessage as error:
        refused = error
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return most, refused


EMPTY_MAPS, EMPTY_LISTS, ONES = b"\x80", b"\x90", b"\x01"
COUNT = MEBIBYTE
HOSTILE: dict[str, Any] = {
    "tiny items": lambda: body(counts=array(COUNT, ONES)),
    "empty maps in a list": lambda: body(counts=array(COUNT, EMPTY_MAPS)),
    "empty lists in a set": lambda: body(parties=array(COUNT, EMPTY_LISTS)),
    "a huge map": lambda: body(sealed=mapping(COUNT // 8, b"\xc4\x00")),
    "a huge map of records": lambda: body(members=mapping(COUNT // 8, b"\x93\xc4\x00\xc4\x00\xc4\x00")),
    "many records": lambda: body(rows=array(COUNT // 4, b"\x92\xa0\x90")),
    "lists within lists": lambda: body(table=mapping(1, array(COUNT, EMPTY_LISTS))),
    "deep nesting": lambda: body(counts=b"\x91" * COUNT),
    "deep nesting of maps": lambda: body(sealed=b"\x81\x01" * (COUNT // 2)),
    "a deep list for a number": lambda: body(counts=b"\x91" + b"\x91" * COUNT),
    "items where a text belongs": lambda: body(text=array(COUNT, ONES)),
    "items where an array belongs": lambda: body(vector=array(COUNT, EMPTY_MAPS)),
    "an array of many dimensions": lambda: body(vector=b"\x93\xa3|u1" + array(COUNT, ONES) + b"\xc4\x00"),
    "a long text": lambda: body(text=b"\xdb" + (COUNT + 1).to_bytes(4, "big") + b"x" * (COUNT + 1)),
    "a list where no record is": lambda: array(COUNT, EMPTY_MAPS),
    "a map as the tag": lambda: b"\x93" + msgpack.packb(codec.VERSION) + mapping(COUNT // 8, EMPTY_MAPS) + b"\x90",
    "a list as the version": lambda: b"\x93" + array(COUNT, EMPTY_MAPS),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_reading_what_is_refused_takes_little(kind: str) -> None:
    data = HOSTILE[kind]()
    most, refused = peak(data)
    assert refused is not None
    assert most <= 3 * len(data) + SMALL, f"{most / len(data):.1f} times the bytes"


MOST = 4096
LARGEST = {
    "counts": array(MOST, b"\xcd\x7f\xff"),
    "parties": b"\xdd" + MOST.to_bytes(4, "big") + b"".join(map(msgpack.packb, range(MOST))),
    "sealed": mapping(MOST, b"\xc4\x02ab"),
    "members": mapping(MOST, b"\x93\xc4\x00\xc4\x00\xc4\x00"),
    "rows": array(MOST, b"\x92\xa0\x90"),
    "table": mapping(1, array(MOST - 1, b"\x90")),
    "vector": b"\x93\xa3|u1\x91\xce" + (b"%c%c%c%c" % (0, 64, 0, 0) + b"\xc6\x00\x40\x00\x00" + bytes(4 * MEBIBYTE)),
    "text": b"\xdb" + codec.MAX_TEXT.to_bytes(4, "big") + "\U0001f3e5".encode() + b"x" * (codec.MAX_TEXT - 4),
}


@pytest.mark.parametrize("field", LARGEST)
def test_reading_the_most_that_is_taken_stays_within_what_is_stated(field: str) -> None:
    data = body(**{field: LARGEST[field]})
    most, refused = peak(data, items=MOST)
    assert refused is None
    items = 0 if field in ("vector", "text") else MOST
    assert most <= codec.MEMORY_FACTOR * len(data) + codec.ITEM_BYTES * items + SMALL, (
        f"{most} bytes for {len(data)} with {items} items"
    )


def test_items_are_counted_over_all_containers() -> None:
    half = codec.MAX_ITEMS // 2
    data = {"counts": array(half, ONES), "rows": array(half, b"\x92\xa0\x90")}
    codec.decode(body(**data), Containers)
    with pytest.raises(BadMessage, match=r"rows has 32768 items; 65536 in all its containers are the most here"):
        codec.decode(body(**data, parties=b"\x91\x01"), Containers)
    with pytest.raises(BadMessage, match=r"shape has 1 items"):
        codec.decode(body(counts=array(half, ONES), rows=array(half, b"\x92\xa0\x91\x01")), Containers)
    with pytest.raises(BadMessage, match="counts has 3 items; 2 in all"):
        codec.decode(body(counts=b"\x93\x01\x01\x01"), Containers, items=2)


def test_a_length_that_the_bytes_cannot_hold_is_refused_at_once() -> None:
    for fields in ({"counts": b"\xdc\xff\xff"}, {"sealed": b"\xde\xff\xff"}):
        with pytest.raises(BadMessage, match="truncated"):
            codec.decode(body(**fields), Containers)


def test_a_record_that_holds_itself_nests_no_deeper_than_python_calls() -> None:
    start = b"\x93" + msgpack.packb(codec.VERSION) + msgpack.packb(Tree.tag)
    tree = codec.decode(start + b"\x91\x91" * 20 + b"\x91\x90", Tree)
    for _ in range(20):
        (tree,) = tree.children
    with pytest.raises(BadMessage, match="nested too deeply"):
        codec.decode(start + b"\x91\x91" * MEBIBYTE + b"\x91\x90", Tree)

"""Messages and states to bytes and back: msgpack, versioned, size-capped, driven by type hints, never pickle.

A record is `[version, tag, [field, ...]]`. Its bytes are read field by field, as the types that its class declares:
containers nest as deep as these types do and hold at most so many items in all, and nothing is made of bytes of another
shape. Reading takes at most `MEMORY_FACTOR` times the bytes and `ITEM_BYTES` for each item. Equal records have equal
bytes.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgpack
import numpy as np

from fedsec.errors import BadMessage, ConfigurationError, shown
from fedsec.protocol import RECORDS, Exposure, Message, Record, State
from fedsec.type_hints import resolved

VERSION = 2
"""2 since tags are stated by the classes; 1 took them from files and class names."""
MAX_BYTES = 1 << 30
"""The largest record that is read or written: 1 GiB."""
MAX_ITEMS = 1 << 16
"""Items in all tuples, sets and mappings of a record. Numbers in bulk travel as arrays, which count for none."""
MAX_TEXT = 1 << 20
"""The longest text in a record, in bytes."""
MAX_DIMENSIONS = 32
MEMORY_FACTOR, ITEM_BYTES = 7, 512
"""What reading a record takes, at most: so many times its bytes, and so many bytes for each item."""

_DTYPES = {np.dtype(kind).str for kind in ("u1", "<u4", "<u8", "<i4", "<i8", "<f4", "<f8")}

RecordT = TypeVar("RecordT", bound=Record)
_SCHEMAS: dict[type[Record], tuple[Field, ...]] = {}


class Field(NamedTuple):
    """One field of a record: its name, its type, and what it shows on the wire (None inside states)."""

    name: str
    hint: Any
    exposure: Exposure | None


def schema(record: type[Record]) -> tuple[Field, ...]:
    """The fields of a record class.

    Raises TypeError where a message's field states no exposure, or a field has a type that bytes cannot tell. It is
    raised here, at the first use of a class, and not where the class is defined: there, `dataclass` has not found the
    fields yet, and annotations are texts that may name classes further down. The conformance suite reads the schema
    of every record of a strategy's file, so that no such field waits for a message to travel.
    """
    if record not in _SCHEMAS:
        _SCHEMAS[record] = _schema(record)
    return _SCHEMAS[record]


def _schema(record: type[Record]) -> tuple[Field, ...]:
    if not is_dataclass(record):
        raise TypeError(f"{record.__name__} must be a dataclass")
    if issubclass(record, State) and "__repr__" in record.__dict__:
        raise TypeError(f"{record.__name__} is a state: declare it with dataclass(repr=False), so it stays redacted")
    hints = get_type_hints(record, include_extras=True)
    found = []
    for field in fields(record):
        try:
            found.append(_field(field.name, resolved(hints[field.name]), issubclass(record, Message)))
        except TypeError as error:
            raise TypeError(f"{record.__name__}.{field.name}: {error}") from None
    return tuple(found)


def _field(name: str, hint: Any, travels: bool) -> Field:
    notes: list[Any] = []
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
    exposure = next((note for note in notes if isinstance(note, Exposure)), None)
    if travels and exposure is None and not _nests_messages(hint):
        raise TypeError("must be Annotated with an Exposure")
    _loader(hint)
    return Field(name, hint, exposure)


def _nests_messages(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, Message):
        return True
    return any(_nests_messages(argument) for argument in get_args(hint))


def encode(record: Record) -> bytes:
    """The bytes of a record; raises BadMessage over MAX_BYTES and TypeError on a field of the wrong type."""
    data: bytes = msgpack.packb([VERSION, record.tag, _dump_record(record)])
    if len(data) > MAX_BYTES:
        raise BadMessage(f"{record.tag} takes {len(data)} bytes; the cap is {MAX_BYTES}")
    return data


def decode(
    data: bytes | memoryview, expected: type[RecordT], limit: int = MAX_BYTES, items: int = MAX_ITEMS
) -> RecordT:
    """The record of class `expected`, or of a subclass, that `data` holds.

    Raises BadMessage on anything else: over `limit` bytes, more than `items` items in containers, truncated, another
    version, tag, length or field type.
    """
    _check_size(data, limit)
    reader = _Reader(data, items)
    if reader.array() != 3:
        raise BadMessage(f"the {len(data)} bytes received are no record: a list of 3 items was expected")
    if (version := reader.value("the version", int)) != VERSION or type(version) is not int:
        raise other_version("message format", version, VERSION)
    tag = reader.value("the tag", str)
    record = RECORDS.get(tag) if isinstance(tag, str) else None
    if record is None or not issubclass(record, expected) or not is_dataclass(record):
        raise BadMessage(f"message {shown(tag)}; {expected.__name__} was expected")
    try:
        found = _load_record(record, reader)
    except RecursionError as error:  # where a class holds its own kind
        raise BadMessage(f"{tag}: the {len(data)} bytes received are nested too deeply") from error
    reader.end()
    return found


def other_version(what: str, version: Any, ours: int) -> BadMessage:
    """The error for bytes of another release: which side is older, and what to do."""
    if type(version) is not int:
        return BadMessage(f"{what}: no version where one was expected")
    side = "the sender's" if version < ours else "this"
    return BadMessage(
        f"{what} version {version}; this release of fedsec reads version {ours}. All parties of a federation must run "
        f"the same release: update {side} installation"
    )


def value_bytes(value: Any) -> bytes:
    """The bytes of one field's value, as they stand inside a record."""
    packed: bytes = msgpack.packb(_dump(value))
    return packed


def pack(values: list[Any]) -> bytes:
    """A plain msgpack list, for framing."""
    packed: bytes = msgpack.packb(values)
    return packed


def unpack(data: bytes | memoryview, length: int, limit: int = MAX_BYTES) -> list[Any]:
    """A plain msgpack list of `length` items, from a file of one's own; raises BadMessage."""
    _check_size(data, limit)
    try:
        content = msgpack.unpackb(data, strict_map_key=False, use_list=True, max_ext_len=0)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:  # TypeError: a list as a key
        raise _damaged(data) from error
    if not isinstance(content, list) or len(content) != length:
        raise BadMessage(f"a list of {length} items was expected")
    return content


def _check_size(data: bytes | memoryview, limit: int) -> None:
    if len(data) > limit:
        raise BadMessage(f"{len(data)} bytes received; the cap is {limit}")


def _damaged(data: bytes | memoryview) -> BadMessage:
    return BadMessage(f"the {len(data)} bytes received are truncated or not msgpack")


_NO_BYTES: frozenset[Any] = frozenset()


class _Window:
    """Hands out bytes from one place on, in pieces: the unpacker buffers what it reads, and need not buffer all."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self._at = data, at

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`."""
        part = self._data[self._at : self._at + size]
        self._at += len(part)
        return bytes(part)


class _Reader:
    """Hands out what msgpack bytes hold, one value or one container's length at a time.

    The unpacker itself makes no container: whoever reads one asks for its length first, and then for each item.
    """

    def __init__(self, data: bytes | memoryview, items: int) -> None:
        self._data, self._items, self._left = memoryview(data), items, items
        self._go_on(0)

    def _go_on(self, at: int) -> None:
        self._since = at
        self._unpacker = msgpack.Unpacker(
            _Window(self._data, at),
            read_size=max(min(len(self._data) - at, _WINDOW), 1),
            max_buffer_size=MAX_TEXT + 2 * _WINDOW,
            strict_map_key=False,
            max_array_len=0,
            max_map_len=0,
            max_ext_len=0,
            max_bin_len=_WINDOW,
            max_str_len=MAX_TEXT,
        )

    def _at(self) -> int:
        return self._since + int(self._unpacker.tell())

    def _next_is(self, mark: int) -> bool:
        at = self._at()
        return at < len(self._data) and self._data[at] == mark

    def value(self, where: str, hint: Any) -> Any:
        """The next value; raises BadMessage, with the type expected, where it is a container with items."""
        if hint is bytes and self._next_is(_LONG_BYTES):
            return self._long_bytes()
        try:
            return self._unpacker.unpack()
        except msgpack.OutOfData as error:
            raise _damaged(self._data) from error
        except (ValueError, msgpack.UnpackException) as error:
            raise _wrong(hint, where) from error

    def _long_bytes(self) -> bytes:
        """Bytes that are copied out once, and not buffered before."""
        start = self._at() + 5
        end = start + int.from_bytes(self._data[start - 4 : start], "big")
        if end > len(self._data):
            raise _damaged(self._data)
        self._go_on(end)
        return bytes(self._data[start:end])

    def values(self, count: int, where: str, hint: Any, kinds: frozenset[Any] = _NO_BYTES) -> list[Any]:
        """The next `count` values, which are of these kinds."""
        unpack, start = self._unpacker.unpack, self._at()
        try:
            return [unpack() for _ in range(count)]
        except msgpack.OutOfData as error:
            raise _damaged(self._data) from error
        except (ValueError, msgpack.UnpackException) as error:
            if bytes not in kinds:
                raise _wrong(hint, where) from error
        self._go_on(start)  # long bytes are among them
        return [self.value(where, bytes) for _ in range(count)]

    def array(self) -> int:
        """How many items the list has that follows; -1 where none follows."""
        return self._length(self._unpacker.read_array_header)

    def items(self, where: str, hint: Any, mapping: bool = False) -> int:
        """How many items the container has that follows; raises BadMessage where none does, or one with too many."""
        count = self._length(self._unpacker.read_map_header) if mapping else self.array()
        if count < 0:
            raise _wrong(hint, where)
        if count > self._left:
            raise BadMessage(f"{where} has {count} items; {self._items} in all its containers are the most here")
        if count > len(self._data) - self._at():
            raise _damaged(self._data)
        self._left -= count
        return count

    def _length(self, read: Callable[[], int]) -> int:
        try:
            return read()
        except msgpack.OutOfData as error:
            raise _damaged(self._data) from error
        except (ValueError, msgpack.UnpackException):
            return -1

    def none(self) -> bool:
        """Whether None follows; it is then passed over."""
        if self._next_is(_NONE):
            self._unpacker.skip()
            return True
        return False

    def end(self) -> None:
        """Raise BadMessage unless all has been read."""
        if self._at() != len(self._data):
            raise _damaged(self._data)


_NONE, _LONG_BYTES = 0xC0, 0xC6  # as msgpack writes them; the latter have a length of four bytes
_WINDOW = (1 << 16) - 1
"""Bytes that are read at once: the longest byte string of another mark."""


_PLAIN = frozenset((int, str, bytes, float, bool, type(None)))
"""The types that msgpack writes as they are: a container of nothing else is not walked item by item."""


def _dump_record(record: Record) -> list[Any]:
    return [_dump(getattr(record, field.name)) for field in schema(type(record))]


def _dump(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple and _PLAIN.issuperset(map(type, value)):
        return value
    if isinstance(value, np.ndarray):
        array = np.asarray(value, order="C")  # not ascontiguousarray, which makes one dimension of none
        if array.dtype.str not in _DTYPES:
            raise TypeError(f"arrays of {array.dtype} are not sent")
        return [array.dtype.str, list(array.shape), array.data.cast("B") if array.size else b""]
    if isinstance(value, Record):
        return _dump_record(value)
    if isinstance(value, Mapping):
        return {key: _dump(value[key]) for key in sorted(value)}
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_dump(item) for item in value]
    if isinstance(value, bool | int | float | str | bytes):
        return value
    raise TypeError(f"values of {type(value).__name__} are not sent")


def _load_record(record: type[RecordT], reader: _Reader) -> RecordT:
    known = _fields(record)
    if reader.array() != len(known):
        raise BadMessage(f"{record.tag} has {len(known)} fields")
    loaded = {name: load(reader, where) for name, where, load in known}
    try:
        return record(**loaded)
    except ConfigurationError as error:
        raise BadMessage(f"{record.tag}: {error}") from error


Load = Callable[[_Reader, str], Any]
"""Reads what a field's type declares, or raises BadMessage naming the field."""


_LOADERS: dict[type[Record], tuple[tuple[str, str, Load], ...]] = {}


def _fields(record: type[Record]) -> tuple[tuple[str, str, Load], ...]:
    """Of each field its name, its name in errors, and how it is loaded: type hints are taken apart once."""
    if record not in _LOADERS:
        _LOADERS[record] = tuple(
            (field.name, f"{record.tag}.{field.name}", _loader(field.hint)) for field in schema(record)
        )
    return _LOADERS[record]


def _loader(hint: Any) -> Load:
    """How values of the type that `hint` declares are loaded; raises TypeError where bytes do not tell its values.

    Of a union that is one type and None, or arrays of several dtypes: an array's bytes say which it is, and of `int |
    str` or of two records nothing would.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _loader(arguments[0])
    if origin in (Union, types.UnionType):
        kinds, optional = [kind for kind in arguments if kind is not type(None)], type(None) in arguments
        arrays = all(get_origin(kind) is np.ndarray for kind in kinds)
        if not arrays and len(kinds) != 1:
            raise TypeError(f"{hint} is a union; one type and None, or arrays of several dtypes, were expected")
        inner = _load_arrays([_dtype(kind) for kind in kinds]) if arrays else _loader(kinds[0])
        return lambda reader, where: None if optional and reader.none() else inner(reader, where)
    if origin is np.ndarray:
        return _load_arrays([_dtype(hint)])
    if isinstance(hint, type) and issubclass(hint, Record):
        return lambda reader, where: _load_record(hint, reader)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _load_tuple(hint, [_loader(kind) for kind in arguments])
    if origin in (tuple, frozenset):
        return _load_items(hint, tuple if origin is tuple else frozenset, arguments[0])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _load_mapping(hint, *arguments)
    if hint not in _PLAIN:
        raise TypeError(f"values of {hint} are not sent")
    return _load_plain(hint)


def _wrong(hint: Any, where: str, came: str = "something else") -> BadMessage:
    return BadMessage(f"{where} must be {hint}, and {came} came")


def _load_plain(hint: Any) -> Load:
    def load(reader: _Reader, where: str) -> Any:
        value = reader.value(where, hint)
        if type(value) is hint:  # not isinstance: True is no number here
            return value
        raise _wrong(hint, where, type(value).__name__)

    return load


def _load_tuple(hint: Any, loaders: list[Load]) -> Load:
    def load(reader: _Reader, where: str) -> Any:
        if reader.array() != len(loaders):
            raise _wrong(hint, where)
        return tuple(load_item(reader, where) for load_item in loaders)

    return load


def _load_items(hint: Any, make: Callable[[Any], Any], kind: Any) -> Load:
    inner = _loader(kind)

    def load(reader: _Reader, where: str) -> Any:
        count = reader.items(where, hint)
        if kind not in _PLAIN:
            return make([inner(reader, where) for _ in range(count)])
        return make(_of_kind(kind, reader.values(count, where, hint, frozenset({kind})), where, hint))

    return load


def _of_kind(kind: Any, values: list[Any], where: str, hint: Any) -> list[Any]:
    """`values`, all of which are of this very type: True is no number here."""
    if values and set(map(type, values)) != {kind}:
        raise _wrong(hint, where)
    return values


def _load_mapping(hint: Any, key: Any, kind: Any) -> Load:
    load_key, inner = _loader(key), _loader(kind)

    def load(reader: _Reader, where: str) -> Any:
        count = reader.items(where, hint, mapping=True)
        if key in _PLAIN and kind in _PLAIN:
            flat = reader.values(2 * count, where, hint, frozenset({key, kind}))
            names = _of_kind(key, flat[::2], where, hint)
            return dict(zip(names, _of_kind(kind, flat[1::2], where, hint), strict=True))
        return {load_key(reader, where): inner(reader, where) for _ in range(count)}

    return load


def _dtype(hint: Any) -> np.dtype[Any]:
    kind: type[np.generic] = get_args(get_args(hint)[1])[0]
    return np.dtype(kind)


def _load_arrays(dtypes: list[np.dtype[Any]]) -> Load:
    """Arrays of any of these dtypes: the bytes say which."""
    known = {dtype.str: dtype for dtype in dtypes}

    def load(reader: _Reader, where: str) -> Any:
        kind, shape, data = _array_parts(reader, where)
        if kind not in known:
            raise BadMessage(f"{where} must be an array of {' or '.join(known)}, and {kind} came")
        return _load_array(known[kind], shape, data, where)

    return load


def _array_parts(reader: _Reader, where: str) -> tuple[str, list[int], bytes]:
    """An array as it is written: its dtype, its shape, its bytes."""
    if reader.array() == 3 and isinstance(kind := reader.value(where, _ARRAY), str):
        dimensions = reader.array()
        if 0 <= dimensions <= MAX_DIMENSIONS:
            shape = reader.values(dimensions, where, _ARRAY)
            data = reader.value(where, bytes)
            if all(type(size) is int and size >= 0 for size in shape) and isinstance(data, bytes):
                return kind, shape, data
    raise BadMessage(f"{where} must be {_ARRAY}")


_ARRAY = "an array"


def _load_array(dtype: np.dtype[Any], shape: list[int], data: bytes, where: str) -> np.ndarray[Any, Any]:
    count = 1
    for size in shape:
        count *= size
    if len(data) != count * dtype.itemsize:
        raise BadMessage(f"{where} holds {len(data)} bytes; shape {tuple(shape)} needs {count * dtype.itemsize}")
    try:
        return np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:  # no values, and dimensions larger than an array can have
        raise BadMessage(f"{where} cannot have shape {tuple(shape)}") from error

"""Messages and states to bytes and back: msgpack, versioned, size-capped, driven by type hints, never pickle.

A record is `[version, tag, [field, ...]]`, and its fields are decoded by the types that its class declares, so
bytes of another shape are refused before anything reads them. Equal records have equal bytes.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgpack
import numpy as np

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.protocol import RECORDS, Exposure, Message, Record, State
from fedsec.type_hints import resolved

VERSION = 2
"""2 since tags are stated by the classes; 1 took them from files and class names."""
MAX_BYTES = 1 << 30
"""The largest record that is read or written: 1 GiB."""
MAX_DIMENSIONS = 32

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


def decode(data: bytes | memoryview, expected: type[RecordT], limit: int = MAX_BYTES) -> RecordT:
    """The record of class `expected`, or of a subclass, that `data` holds.

    Raises BadMessage on anything else: over `limit` bytes, truncated, another version, tag, length or field type.
    """
    version, tag, values = _unpack(data, limit, 3)
    if version != VERSION:
        raise other_version("message format", version, VERSION)
    record = RECORDS.get(tag) if isinstance(tag, str) else None
    if record is None or not issubclass(record, expected) or not is_dataclass(record):
        raise BadMessage(f"message {tag!r}; {expected.__name__} was expected")
    return _load_record(record, values)


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
    """A plain msgpack list of `length` items; raises BadMessage."""
    return _unpack(data, limit, length)


def _unpack(data: bytes | memoryview, limit: int, length: int) -> list[Any]:
    if len(data) > limit:
        raise BadMessage(f"{len(data)} bytes received; the cap is {limit}")
    try:
        content = msgpack.unpackb(data, strict_map_key=False, use_list=True, max_ext_len=0)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:  # TypeError: a list as a key
        raise BadMessage(f"the {len(data)} bytes received are truncated or not msgpack") from error
    if not isinstance(content, list) or len(content) != length:
        raise BadMessage(f"a list of {length} items was expected")
    return content


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


def _load_record(record: type[RecordT], values: Any) -> RecordT:
    known = _fields(record)
    if not isinstance(values, list) or len(values) != len(known):
        raise BadMessage(f"{record.tag} has {len(known)} fields")
    loaded = {name: load(value, where) for (name, where, load), value in zip(known, values, strict=True)}
    try:
        return record(**loaded)
    except ConfigurationError as error:
        raise BadMessage(f"{record.tag}: {error}") from error


Load = Callable[[Any, str], Any]
"""Turns what msgpack read into what a field's type declares, or raises BadMessage naming the field."""


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
        return lambda value, where: None if optional and value is None else inner(value, where)
    if origin is np.ndarray:
        return _load_arrays([_dtype(hint)])
    if isinstance(hint, type) and issubclass(hint, Record):
        return lambda value, where: _load_record(hint, value)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _load_tuple(hint, [_loader(kind) for kind in arguments])
    if origin in (tuple, frozenset):
        return _load_items(hint, tuple if origin is tuple else frozenset, arguments[0])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _load_mapping(hint, *arguments)
    if hint not in _PLAIN:
        raise TypeError(f"values of {hint} are not sent")
    return _load_plain(hint)


def _wrong(hint: Any, value: Any, where: str) -> BadMessage:
    return BadMessage(f"{where} must be {hint}, and {type(value).__name__} came")


def _load_plain(hint: Any) -> Load:
    def load(value: Any, where: str) -> Any:
        if type(value) is hint:  # not isinstance: True is no number here
            return value
        raise _wrong(hint, value, where)

    return load


def _load_tuple(hint: Any, loaders: list[Load]) -> Load:
    def load(value: Any, where: str) -> Any:
        if not isinstance(value, list) or len(value) != len(loaders):
            raise _wrong(hint, value, where)
        return tuple(load_item(item, where) for load_item, item in zip(loaders, value, strict=True))

    return load


def _load_items(hint: Any, make: Callable[[Any], Any], kind: Any) -> Load:
    inner = _loader(kind)

    def load(value: Any, where: str) -> Any:
        if not isinstance(value, list):
            raise _wrong(hint, value, where)
        if _all(kind, value):
            return make(value)
        return make([inner(item, where) for item in value])

    return load


def _load_mapping(hint: Any, key: Any, kind: Any) -> Load:
    load_key, inner = _loader(key), _loader(kind)

    def load(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(hint, value, where)
        if _all(key, value) and _all(kind, value.values()):
            return value
        return {load_key(name, where): inner(item, where) for name, item in value.items()}

    return load


def _all(kind: Any, values: Collection[Any]) -> bool:
    """Whether all of `values` are plain and of this very type: then there is nothing to load one by one."""
    return kind in _PLAIN and (not values or set(map(type, values)) == {kind})


def _dtype(hint: Any) -> np.dtype[Any]:
    kind: type[np.generic] = get_args(get_args(hint)[1])[0]
    return np.dtype(kind)


def _load_arrays(dtypes: list[np.dtype[Any]]) -> Load:
    """Arrays of any of these dtypes: the bytes say which."""
    known = {dtype.str: dtype for dtype in dtypes}

    def load(value: Any, where: str) -> Any:
        match value:
            case [str(kind), list(shape), bytes(data)] if len(shape) <= MAX_DIMENSIONS and all(
                type(size) is int and size >= 0 for size in shape
            ):
                pass
            case _:
                raise BadMessage(f"{where} must be an array")
        if kind not in known:
            raise BadMessage(f"{where} must be an array of {' or '.join(known)}, and {kind} came")
        return _load_array(known[kind], shape, data, where)

    return load


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

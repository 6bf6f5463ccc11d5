"""Messages and states to bytes and back: msgpack, versioned, size-capped, driven by type hints, never pickle.

A record is `[version, tag, [field, ...]]`, and its fields are decoded by the types that its class declares, so
bytes of another shape are refused before anything reads them. Equal records have equal bytes.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgpack
import numpy as np

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.protocol import RECORDS, Exposure, Message, Record, State

VERSION = 1
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
    """The fields of a record class; raises TypeError where a message's field states no exposure."""
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
        hint, notes = hints[field.name], ()
        if get_origin(hint) is Annotated:
            hint, *rest = get_args(hint)
            notes = tuple(rest)
        exposure = next((note for note in notes if isinstance(note, Exposure)), None)
        if issubclass(record, Message) and exposure is None and not _nests_messages(hint):
            raise TypeError(f"{record.__name__}.{field.name} must be Annotated with an Exposure")
        found.append(Field(field.name, hint, exposure))
    return tuple(found)


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
        raise BadMessage(f"format version {version!r}; this release reads version {VERSION}")
    record = RECORDS.get(tag) if isinstance(tag, str) else None
    if record is None or not issubclass(record, expected) or not is_dataclass(record):
        raise BadMessage(f"message {tag!r}; {expected.__name__} was expected")
    return _load_record(record, values)


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


def _dump_record(record: Record) -> list[Any]:
    return [_dump(getattr(record, field.name)) for field in schema(type(record))]


def _dump(value: Any) -> Any:
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
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    raise TypeError(f"values of {type(value).__name__} are not sent")


def _load_record(record: type[RecordT], values: Any) -> RecordT:
    known = schema(record)
    if not isinstance(values, list) or len(values) != len(known):
        raise BadMessage(f"{record.tag} has {len(known)} fields")
    loaded = {
        field.name: _load(value, field.hint, f"{record.tag}.{field.name}")
        for field, value in zip(known, values, strict=True)
    }
    try:
        return record(**loaded)
    except ConfigurationError as error:
        raise BadMessage(f"{record.tag}: {error}") from error


def _load(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type that `hint` declares; `where` names the field in errors."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _load(value, arguments[0], where)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _load(value, next(kind for kind in arguments if kind is not type(None)), where)
    if origin is np.ndarray:
        return _load_array(value, np.dtype(get_args(arguments[1])[0]), where)
    if isinstance(hint, type) and issubclass(hint, Record):
        return _load_record(hint, value)
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is Ellipsis:
            return tuple(_load(item, arguments[0], where) for item in value)
        if len(value) == len(arguments):
            return tuple(_load(item, kind, where) for item, kind in zip(value, arguments, strict=True))
    elif origin is frozenset and isinstance(value, list):
        return frozenset(_load(item, arguments[0], where) for item in value)
    elif isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return {_load(key, arguments[0], where): _load(item, arguments[1], where) for key, item in value.items()}
    elif (hint is float and isinstance(value, float)) or (hint in (bool, int, str, bytes) and type(value) is hint):
        return value
    raise BadMessage(f"{where} must be {hint}, and {type(value).__name__} came")


def _load_array(value: Any, dtype: np.dtype[Any], where: str) -> np.ndarray[Any, Any]:
    match value:
        case [str(kind), list(shape), bytes(data)] if len(shape) <= MAX_DIMENSIONS and all(
            type(size) is int and size >= 0 for size in shape
        ):
            pass
        case _:
            raise BadMessage(f"{where} must be an array")
    if kind != dtype.str:
        raise BadMessage(f"{where} must be an array of {dtype.str}, and {kind} came")
    count = 1
    for size in shape:
        count *= size
    if len(data) != count * dtype.itemsize:
        raise BadMessage(f"{where} holds {len(data)} bytes; shape {tuple(shape)} needs {count * dtype.itemsize}")
    try:
        return np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:  # no values, and dimensions larger than an array can have
        raise BadMessage(f"{where} cannot have shape {tuple(shape)}") from error

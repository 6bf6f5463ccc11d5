"""What travels in Flower's records: arrays as numpy's, the hash that binds a round to its model, and our own record."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from blake3 import blake3
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.common.constant import SType
from numpy.lib import format as npy

from fedsec.errors import DataError, LayoutError
from fedsec.wire import codec

RECORD = "fedsec"
"""The record that carries a protocol message beside the app's own records, and a party's state in its context."""


def content_hash(content: RecordDict) -> bytes:
    """SHA-256 of an app's records: the model hash. Equal before and after the wire, whatever their order.

    An array's data enter by their BLAKE3 hash.
    """
    digest = hashlib.sha256(b"fedsec model")
    for name in sorted(content):
        record = content[name]
        digest.update(codec.pack([name, type(record).__name__, len(record)]))
        for key in sorted(record):
            value = record[key]
            if isinstance(value, Array):
                data = blake3(value.data).digest()  # BLAKE3 takes a third of SHA-256's time
                digest.update(codec.pack([key, value.dtype, list(value.shape), value.stype, data]))
            else:
                digest.update(codec.pack([key, value if isinstance(value, str | bytes | int | float) else list(value)]))
    return digest.digest()


_JOINT = ":"  # between the names of a record and of an array
NOTE = "unusable"
"""In that record, in simulation alone: why a hospital had no usable update."""


def to_numpy(content: RecordDict) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of the one ArrayRecord in `content`; raises DataError where there is none or more than one."""
    records = list(content.array_records.values())
    if len(records) != 1:
        raise DataError(f"{len(records)} array records; exactly one was expected")
    return {name: _numpy(name, array) for name, array in records[0].items()}


def model_arrays(content: RecordDict, model: RecordDict | None = None) -> dict[str, np.ndarray[Any, Any]]:
    """All arrays of `content` by name, or by "RECORD:NAME" where the model has several array records.

    model: the message that was answered, where `content` is a reply. Raises LayoutError where the reply has other
    array records than the model, and where one of several has ":" in its name.
    """
    records, known = content.array_records, (model or content).array_records
    if len(known) <= 1:
        if len(records) > 1:
            raise LayoutError(f"array records {sorted(records)} in the app's reply; the model is one record")
        return {name: _numpy(name, array) for record in records.values() for name, array in record.items()}
    if strange := sorted(records.keys() - known.keys()):
        raise LayoutError(f"array records {strange} are in the app's reply and not in the model")
    return {
        _joined(key, name): _numpy(name, array) for key, record in records.items() for name, array in record.items()
    }


def _joined(key: str, name: str) -> str:
    """The name of an array among several records; raises LayoutError where no other record could be told from it."""
    if _JOINT in key:
        raise LayoutError(
            f"array record {key!r} has a {_JOINT!r} in its name, which separates records from arrays where a model has "
            "several records: give it another name"
        )
    return f"{key}{_JOINT}{name}"


def named_arrays(content: RecordDict) -> dict[str, Array]:
    """The arrays of a model as Flower holds them, by the names of `model_arrays`; their values are not read."""
    several = len(content.array_records) > 1
    return {
        _joined(key, name) if several else name: array
        for key, record in content.array_records.items()
        for name, array in record.items()
    }


def integer_arrays(content: RecordDict) -> list[str]:
    """The arrays of a model that hold integers, by the names of `model_arrays`; their values are not read."""
    return [name for name, array in named_arrays(content).items() if array.dtype.lstrip("<>=|").startswith(("i", "u"))]


def array_records(arrays: Mapping[str, np.ndarray[Any, Any]], model: RecordDict) -> dict[str, ArrayRecord]:
    """Arrays under the names of `model_arrays`, as records of the model's names."""
    keys = list(model.array_records)
    if len(keys) == 1:
        if not model.array_records[keys[0]]:  # nothing says their order; Flower counts the arrays of a list
            arrays = dict(sorted(arrays.items(), key=lambda item: _place(item[0])))
        return {keys[0]: from_numpy(arrays)}
    parts: dict[str, dict[str, np.ndarray[Any, Any]]] = {key: {} for key in keys}
    for name, values in arrays.items():
        key, _, rest = name.partition(_JOINT)
        parts[key][rest] = values
    return {key: from_numpy(part) for key, part in parts.items()}


def _place(name: str) -> tuple[bool, int, str]:
    return (False, int(name), name) if name.isdecimal() else (True, 0, name)


def _read(array: Array) -> np.ndarray[Any, Any]:
    """An array as its bytes say, without copying them where they are NumPy's format; it cannot be written to."""
    file = io.BytesIO(array.data)
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if version > (2, 0) or dtype.hasobject:
        return array.numpy()
    values: np.ndarray[Any, Any] = np.frombuffer(array.data, dtype, math.prod(shape), file.tell())
    return values.reshape(shape, order="F" if fortran else "C")


def _numpy(name: str, array: Array) -> np.ndarray[Any, Any]:
    if array.stype != SType.NUMPY:
        raise LayoutError(f"array {name!r} is serialised as {array.stype!a}; {SType.NUMPY!r} was expected")
    try:
        stated = np.dtype(array.dtype)
    except (TypeError, ValueError) as error:
        unknown = f"array {name!r} has dtype {array.dtype}, which NumPy does not know"
        raise LayoutError(f"{unknown}: {error}", public=unknown) from None
    try:
        values = _read(array)
    except Exception as error:  # whatever NumPy says of bytes that are no array
        unreadable = f"array {name!r} has data that NumPy cannot read as an array"
        raise LayoutError(f"{unreadable}: {str(error)!a}", public=unreadable) from None
    if (values.dtype, values.shape) != (stated, tuple(array.shape)):
        raise LayoutError(
            f"array {name!r} says that it has dtype {array.dtype} and shape {tuple(array.shape)}, and has not"
        )
    return values


def from_numpy(arrays: Mapping[str, np.ndarray[Any, Any]]) -> ArrayRecord:
    """Named arrays as Flower sends them."""
    return ArrayRecord({name: Array(np.asarray(values, order="C")) for name, values in arrays.items()})

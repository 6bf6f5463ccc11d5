"""What travels in Flower's records: arrays as numpy's, the hash that binds a round to its model, and our own record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict

from fedsec.errors import DataError
from fedsec.wire import codec

RECORD = "fedsec"
"""The record that carries a protocol message beside the app's own records, and a party's state in its context."""


def content_hash(content: RecordDict) -> bytes:
    """SHA-256 of an app's records: the model hash. Equal before and after the wire, whatever their order."""
    digest = hashlib.sha256(b"fedsec model")
    for name in sorted(content):
        record = content[name]
        digest.update(codec.pack([name, type(record).__name__, len(record)]))
        for key in sorted(record):
            value = record[key]
            if isinstance(value, Array):
                # With the length of the data: without it, two models could be one string of bytes, cut differently.
                digest.update(codec.pack([key, value.dtype, list(value.shape), value.stype, len(value.data)]))
                digest.update(value.data)
            else:
                digest.update(codec.pack([key, value if isinstance(value, str | bytes | int | float) else list(value)]))
    return digest.digest()


def to_numpy(content: RecordDict) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of the one ArrayRecord in `content`; raises DataError where there is none or more than one."""
    records = list(content.array_records.values())
    if len(records) != 1:
        raise DataError(f"{len(records)} array records; exactly one was expected")
    return {name: _numpy(name, array) for name, array in records[0].items()}


def _numpy(name: str, array: Array) -> np.ndarray[Any, Any]:
    values = array.numpy()
    if (values.dtype.name, values.shape) != (array.dtype, tuple(array.shape)):
        raise DataError(
            f"array {name!r} says that it has dtype {array.dtype} and shape {tuple(array.shape)}, and has not"
        )
    return values


def from_numpy(arrays: Mapping[str, np.ndarray[Any, Any]]) -> ArrayRecord:
    """Named arrays as Flower sends them."""
    return ArrayRecord({name: Array(np.ascontiguousarray(values)) for name, values in arrays.items()})

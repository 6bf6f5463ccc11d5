"""Many small integers in one Paillier plaintext: slots of equal width, added slot by slot when plaintexts are added.

A plaintext holds floor(plaintext_bits / slot_bits) slots, lowest first; the highest is a canary that holds 1, so that
after additions it holds the number of addends. It catches accidents only (a wrong count, a slot that ran over): it is
as malleable as the ciphertext, and honesty is enforced by signatures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.integers import integers, plain_array
from fedsec.primitives.mersenne import jit

Values = NDArray[np.uint64]

MAXIMUM_SLOT_BITS = 63


def capacity(slot_bits: int, plaintext_bits: int) -> int:
    """Return the values that one plaintext holds: its slots less the canary.

    Raises ConfigurationError for a slot outside 1 to 63 bits, or where canary and value do not both fit.
    """
    slot_bits, plaintext_bits = integers("slot and plaintext bits", (slot_bits, plaintext_bits))
    if not 1 <= slot_bits <= MAXIMUM_SLOT_BITS:
        raise ConfigurationError(f"slot: {slot_bits} bits; 1 to {MAXIMUM_SLOT_BITS} are possible")
    if plaintext_bits < 2 * slot_bits:
        raise ConfigurationError(f"slot: {slot_bits} bits; a plaintext of {plaintext_bits} bits must hold two slots")
    return plaintext_bits // slot_bits - 1


def plaintext_count(count: int, slot_bits: int, plaintext_bits: int) -> int:
    """Return the plaintexts that `count` values fill."""
    return -(-count // capacity(slot_bits, plaintext_bits))


def pack(values: Values, slot_bits: int, plaintext_bits: int) -> list[int]:
    """Return the plaintexts, each in [0, 2^plaintext_bits), of `values`: uint64, shape (d,), below 2^slot_bits.

    Unused slots hold 0. Raises ConfigurationError as `capacity` does, and for values of another form or range.
    """
    slots = capacity(slot_bits, plaintext_bits)
    if not plain_array(values) or values.dtype != np.uint64 or values.ndim != 1:
        raise ConfigurationError("packed values: one dimension of uint64 is expected")
    if values.size and int(values.max()) >> slot_bits:
        raise ConfigurationError(f"packed values: a value does not fit a slot of {slot_bits} bits")
    words = np.zeros((plaintext_count(values.size, slot_bits, plaintext_bits), _words(plaintext_bits)), dtype="<u8")
    _pack(values, slots, slot_bits, words)
    return [int.from_bytes(row, "little") for row in words]


def unpack(
    plaintexts: Sequence[int], count: int, slot_bits: int, plaintext_bits: int
) -> tuple[Values, NDArray[np.uint64]]:
    """Return `count` slot values, shape (count,), and the canaries, one a plaintext, both uint64; see `check_canary`.

    Raises BadMessage where the number of plaintexts is not the one `count` values fill, where a plaintext has bits
    above its canary, or where a slot past the last value is not 0; ConfigurationError as `capacity` does.
    """
    slots, plaintexts = capacity(slot_bits, plaintext_bits), integers("plaintexts", plaintexts, BadMessage)
    expected = plaintext_count(count, slot_bits, plaintext_bits)
    if len(plaintexts) != expected:
        raise BadMessage(f"plaintexts: {len(plaintexts)} came and {expected} are expected for {count} values")
    used = (slots + 1) * slot_bits
    if any(x < 0 or x.bit_length() > used for x in plaintexts):
        raise BadMessage(f"plaintexts: one is not in [0, 2^{used}), so its slots ran over or it was made otherwise")
    width = _words(plaintext_bits)
    blob = b"".join(x.to_bytes(8 * width, "little") for x in plaintexts)
    all_slots = np.empty(expected * slots, dtype=np.uint64)
    canaries = np.empty(expected, dtype=np.uint64)
    _unpack(np.frombuffer(blob, dtype="<u8").reshape(expected, width), slots, slot_bits, all_slots, canaries)
    if all_slots[count:].any():
        raise BadMessage("plaintexts: a slot past the last value is not 0")
    return all_slots[:count], canaries


def check_canary(canaries: NDArray[np.uint64], addends: int) -> None:
    """Raise BadMessage unless every canary is `addends`, the number of vectors that were added."""
    wrong = np.flatnonzero(canaries != addends) if addends >= 0 else np.arange(canaries.size)
    if wrong.size:
        first = int(wrong[0])
        raise BadMessage(
            f"count canary of plaintext {first}: it holds {int(canaries[first])} and {addends} addends are expected"
        )


def pack_plain(values: Sequence[int], slot_bits: int, plaintext_bits: int) -> list[int]:
    """Return what `pack` does, by Python integers: the reference."""
    slots = capacity(slot_bits, plaintext_bits)
    rows = [values[start : start + slots] for start in range(0, len(values), slots)]
    return [sum(v << (j * slot_bits) for j, v in enumerate(row)) + (1 << (slots * slot_bits)) for row in rows]


def unpack_plain(
    plaintexts: Sequence[int], count: int, slot_bits: int, plaintext_bits: int
) -> tuple[list[int], list[int]]:
    """Return what `unpack` does, by Python integers and without its checks: the reference."""
    slots, mask = capacity(slot_bits, plaintext_bits), (1 << slot_bits) - 1
    values = [(x >> (j * slot_bits)) & mask for x in plaintexts for j in range(slots)]
    return values[:count], [x >> (slots * slot_bits) for x in plaintexts]


def _words(plaintext_bits: int) -> int:
    return -(-plaintext_bits // 64)


@jit
def _put(row: Values, bit: int, slot_bits: int, value: np.uint64) -> None:
    word, shift = bit >> 6, bit & 63
    row[word] |= value << np.uint64(shift)
    if shift + slot_bits > 64:
        row[word + 1] |= value >> np.uint64(64 - shift)


@jit
def _get(row: Values, bit: int, slot_bits: int) -> np.uint64:
    word, shift = bit >> 6, bit & 63
    value: np.uint64 = row[word] >> np.uint64(shift)
    if shift + slot_bits > 64:
        value |= row[word + 1] << np.uint64(64 - shift)
    kept: np.uint64 = value & ((np.uint64(1) << np.uint64(slot_bits)) - np.uint64(1))
    return kept


@jit
def _pack(values: Values, slots: int, slot_bits: int, words: Values) -> None:
    for i in range(words.shape[0]):
        start = i * slots
        for j in range(min(slots, values.size - start)):
            _put(words[i], j * slot_bits, slot_bits, values[start + j])
        _put(words[i], slots * slot_bits, slot_bits, np.uint64(1))


@jit
def _unpack(words: Values, slots: int, slot_bits: int, values: Values, canaries: Values) -> None:
    for i in range(words.shape[0]):
        for j in range(slots):
            values[i * slots + j] = _get(words[i], j * slot_bits, slot_bits)
        canaries[i] = _get(words[i], slots * slot_bits, slot_bits)

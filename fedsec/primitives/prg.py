"""A pseudorandom generator: the keystream of AES-CTR (NIST SP 800-38A) from a full-entropy 256-bit seed.

The seed's first half is the AES-128 key and its second half the initial counter block, so that distinct seeds give
distinct pairs and a search over many seeds at once gains nothing. 128-bit security, as X25519 and Paillier-3072.
A seed serves one stream: it is derived per session, pair and purpose, never reused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from numpy.typing import NDArray

from fedsec.errors import ConfigurationError
from fedsec.primitives.integers import plain_array
from fedsec.primitives.mersenne import jit
from fedsec.primitives.randomness import Random

SEED_BYTES = 32
CHUNK_BYTES = 1 << 16  # zeros, keystreams and the vector's slice stay in a core's second-level cache
FUSED = 4  # streams that are added up in one pass over the vector's slice
MANY = 16  # streams from which on that pays
STREAMS = 256  # ciphers open at once: their states stay in the cache too

Vector = NDArray[np.uint64] | NDArray[np.uint32]
Words = NDArray[Any]
_ZEROS = memoryview(bytes(1 << 18))


def keystream_u64(seed: bytes, count: int) -> NDArray[np.uint64]:
    """Return `count` values uniform in [0, 2^64): the stream of `seed` (32 bytes) as little-endian words.

    Raises ConfigurationError for a seed that is not 32 bytes or a negative count.
    """
    if count < 0:
        raise ConfigurationError(f"keystream: {count} values were asked for; at least 0 are needed")
    out = np.zeros(count, dtype="<u8")
    mask_into(seed, out, subtract=False)
    return out


def keystream_plain(seed: bytes, count: int) -> list[int]:
    """Return what `keystream_u64` does, word by word from AES on single blocks: the reference."""
    _check(seed)
    encrypt = Cipher(AES(seed[:16]), ECB()).encryptor().update  # noqa: S305  # single blocks of a counter
    counter = int.from_bytes(seed[16:], "big")
    blocks = [encrypt(((counter + i) % (1 << 128)).to_bytes(16, "big")) for i in range((count + 1) // 2)]
    stream = b"".join(blocks)
    return [int.from_bytes(stream[8 * i : 8 * i + 8], "little") for i in range(count)]


def mask_into(seed: bytes, vector: Vector, subtract: bool) -> None:
    """Add the stream of `seed` to `vector` in place, or subtract it: modulo 2^64 for uint64, 2^32 for uint32.

    `vector` is one-dimensional, contiguous and little-endian. Raises ConfigurationError for another vector or seed.
    """
    masks_into(vector, [] if subtract else [seed], [seed] if subtract else [])


def masks_into(vector: Vector, added: Sequence[bytes], subtracted: Sequence[bytes]) -> None:
    """Add and subtract the streams of many seeds as `mask_into` does, a slice of `vector` at a time."""
    words = plain_array(vector) and vector.dtype in (np.dtype("<u8"), np.dtype("<u4"))
    if not words or vector.ndim != 1 or not vector.flags.c_contiguous:
        raise ConfigurationError("masked vector: it must be one contiguous dimension of uint64 or uint32")
    for batch in range(0, max(len(added), len(subtracted)), STREAMS):
        plus = [_open(seed) for seed in added[batch : batch + STREAMS]]
        minus = [_open(seed) for seed in subtracted[batch : batch + STREAMS]]
        (_few if len(plus) + len(minus) < MANY else _many)(vector, plus, minus)


def _few(vector: Vector, plus: Sequence[CipherContext], minus: Sequence[CipherContext]) -> None:
    """One stream at a time into each slice: what costs is the keystream, and every step around it."""
    streams = [(np.add, stream) for stream in plus] + [(np.subtract, stream) for stream in minus]
    buffer = bytearray(2 * CHUNK_BYTES + 15)  # update_into asks for one block of slack
    words = np.frombuffer(buffer, vector.dtype, 2 * CHUNK_BYTES // vector.itemsize)
    for start in range(0, vector.size, words.size):
        part = vector[start : start + words.size]
        for combine, stream in streams:
            stream.update_into(_ZEROS[: part.nbytes], buffer)
            combine(part, words[: part.size], out=part)


def _many(vector: Vector, plus: Sequence[CipherContext], minus: Sequence[CipherContext]) -> None:
    """Four streams at a time into each slice, which is then read and written once for four."""
    buffers = [bytearray(CHUNK_BYTES + 15) for _ in range(FUSED)]
    words = [np.frombuffer(buffer, vector.dtype, CHUNK_BYTES // vector.itemsize) for buffer in buffers]
    for start in range(0, vector.size, words[0].size):
        part = vector[start : start + words[0].size]
        rows = [row[: part.size] for row in words]
        for streams, one, four in ((plus, np.add, add_four), (minus, np.subtract, subtract_four)):
            for first in range(0, len(streams), FUSED):
                drawn = streams[first : first + FUSED]
                for stream, buffer in zip(drawn, buffers, strict=False):
                    stream.update_into(_ZEROS[: part.nbytes], buffer)
                if len(drawn) == FUSED:
                    four(part, *rows)
                else:
                    for row in rows[: len(drawn)]:
                        one(part, row, out=part)


@jit
def add_four(part: Words, a: Words, b: Words, c: Words, d: Words) -> None:
    for i in range(part.size):
        part[i] += a[i] + b[i] + c[i] + d[i]


@jit
def subtract_four(part: Words, a: Words, b: Words, c: Words, d: Words) -> None:
    for i in range(part.size):
        part[i] -= a[i] + b[i] + c[i] + d[i]


def expand(seed: bytes) -> Random:
    """Return a random source that reads the stream of `seed` onward: a fast one, for field elements in bulk.

    It is as secret as its seed and starts again with each call of `expand`: a seed expands once.
    """
    stream = _open(seed)

    def draw(count: int) -> bytes:
        return stream.update(_ZEROS[:count] if count <= _ZEROS.nbytes else bytes(count))

    return draw


def writer(seed: bytes) -> Callable[[NDArray[np.uint64]], None]:
    """Return what writes the stream of `seed` onward into one contiguous dimension of little-endian uint64.

    The last two words are slack, which the cipher asks for and leaves alone. Raises ConfigurationError for a seed of
    another size.
    """
    stream = _open(seed)

    def write(words: NDArray[np.uint64]) -> None:
        out, total = words.data.cast("B"), 8 * (words.size - 2)
        for start in range(0, total, _ZEROS.nbytes):
            stream.update_into(_ZEROS[: min(_ZEROS.nbytes, total - start)], out[start:])

    return write


def _open(seed: bytes) -> CipherContext:
    _check(seed)
    return Cipher(AES(seed[:16]), CTR(seed[16:])).encryptor()


def _check(seed: bytes) -> None:
    if len(seed) != SEED_BYTES:
        raise ConfigurationError(f"seed: {len(seed)} bytes were given and {SEED_BYTES} are expected")

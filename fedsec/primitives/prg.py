"""A pseudorandom generator: the keystream of AES-CTR (NIST SP 800-38A) from a full-entropy 256-bit seed.

The seed's first half is the AES-128 key and its second half the initial counter block, so that distinct seeds give
distinct pairs and a search over many seeds at once gains nothing. 128-bit security, as X25519 and Paillier-3072.
A seed serves one stream: it is derived per session, pair and purpose, never reused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from numpy.typing import NDArray

from fedsec.errors import ConfigurationError
from fedsec.primitives.randomness import Random

SEED_BYTES = 32
CHUNK_BYTES = 1 << 17  # zeros, keystream and the vector's slice stay in a core's second-level cache

Vector = NDArray[np.uint64] | NDArray[np.uint32]
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
    """Add and subtract the streams of many seeds as `mask_into` does, reading `vector` from memory once."""
    if vector.dtype not in (np.dtype("<u8"), np.dtype("<u4")) or vector.ndim != 1 or not vector.flags.c_contiguous:
        raise ConfigurationError("masked vector: it must be one contiguous dimension of uint64 or uint32")
    streams = [(np.add, _open(seed)) for seed in added] + [(np.subtract, _open(seed)) for seed in subtracted]
    buffer = bytearray(CHUNK_BYTES + 15)  # update_into asks for one block of slack
    words = np.frombuffer(buffer, dtype=vector.dtype, count=CHUNK_BYTES // vector.itemsize)
    for part in _chunks(vector, words.size):
        for combine, stream in streams:
            stream.update_into(_ZEROS[: part.nbytes], buffer)
            combine(part, words[: part.size], out=part)


def expand(seed: bytes) -> Random:
    """Return a random source that reads the stream of `seed` onward: a fast one, for field elements in bulk.

    It is as secret as its seed and starts again with each call of `expand`: a seed expands once.
    """
    stream = _open(seed)

    def draw(count: int) -> bytes:
        return stream.update(_ZEROS[:count] if count <= _ZEROS.nbytes else bytes(count))

    return draw


def _chunks(vector: Vector, size: int) -> Iterator[Vector]:
    for start in range(0, vector.size, size):
        yield vector[start : start + size]


def _open(seed: bytes) -> CipherContext:
    _check(seed)
    return Cipher(AES(seed[:16]), CTR(seed[16:])).encryptor()


def _check(seed: bytes) -> None:
    if len(seed) != SEED_BYTES:
        raise ConfigurationError(f"seed: {len(seed)} bytes were given and {SEED_BYTES} are expected")

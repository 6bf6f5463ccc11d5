"""How rows and weights come to the compute parties, and how what was trained goes back to its owners."""

from __future__ import annotations

import numpy as np

from fedsec.errors import BadMessage
from fedsec.mpc.ring_fixed_point import Fixed, Floats
from fedsec.mpc.ring_kernels import Words
from fedsec.mpc.roles import wrapped
from fedsec.mpc.streams import Stream
from fedsec.primitives.prg import SEED_BYTES
from fedsec.primitives.randomness import Random, randbytes


def split(values: Floats, fixed: Fixed, rng: Random) -> tuple[bytes, Words]:
    """An owner's two shares of `values`: a seed for party 0, and uint64 of their shape for party 1.

    Each is uniform by itself. Raises DataError where a value is not finite or does not fit.
    """
    seed = randbytes(SEED_BYTES, rng)
    return seed, wrapped(fixed.encode(values)) - Stream(seed).words(np.shape(values))


def from_seed(seed: bytes, shape: tuple[int, ...]) -> Words:
    """Party 0's share."""
    return Stream(seed).words(shape).copy()


def join(shares: tuple[Words, Words], fixed: Fixed) -> Floats:
    """What two shares stand for; raises BadMessage where their shapes differ."""
    if shares[0].shape != shares[1].shape:
        raise BadMessage(f"shares of shapes {shares[0].shape} and {shares[1].shape} do not belong together")
    return fixed.decode(shares[0] + shares[1])

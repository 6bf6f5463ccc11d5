"""What the poster says of its two tools, measured: sums under encryption, fresh ciphertexts, and shares."""

from __future__ import annotations

import os
from itertools import combinations
from typing import Any

import numpy as np

from fedsec import catalog
from fedsec.errors import BadMessage
from fedsec.local import LocalFederation
from fedsec.primitives import paillier, shamir
from fedsec.primitives.field import M31, M61
from fedsec.primitives.randomness import Random, randbytes
from fedsec.simulations.poster.encrypted_network.model_owner import Owner
from fedsec.simulations.poster.tables.linear_regression import Follow

SUMS, VALUES, HOSPITALS = 10, 500, 5
COPIES = 1000
KNOWN, PARTIES, SECRETS = 2, 5, 40_000
BINS = 8


def measure(key_bits: int, follow: Follow, rng: Random = os.urandom) -> dict[str, Any]:
    """All three. Raises ConfigurationError for a key that is too small."""
    follow("sums under encryption", 0, 3)
    owner = Owner.fresh(key_bits, rng)
    out = {"key_bits": key_bits, "sums": sums(key_bits)}
    follow("one message, many ciphertexts", 1, 3)
    out["ciphertexts"] = ciphertexts(owner)
    follow("shares", 2, 3)
    return out | {"shares": shares(rng)}


def sums(key_bits: int) -> dict[str, int]:
    """Random vectors of 24-bit values, summed by the `paillier` strategy and in the clear."""
    federation = LocalFederation(catalog.strategy("paillier")(key_bits=key_bits), HOSPITALS)  # type: ignore[call-arg]
    draws, wrong = np.random.default_rng(1), 0
    for _ in range(SUMS):
        vectors = draws.integers(0, 2**24, (HOSPITALS, VALUES), dtype=np.uint64)
        found = federation.sum(dict(enumerate(vectors, start=1))).sum.vector
        wrong += int(np.count_nonzero(found != vectors.sum(axis=0)))
    return {"values": SUMS * VALUES, "hospitals": HOSPITALS, "wrong": wrong}


def ciphertexts(owner: Owner) -> dict[str, int]:
    """One message encrypted many times: how many ciphertexts differ, and how many decrypt to it."""
    made = paillier.encrypt(owner.private.public, [42] * COPIES, owner.rng)
    right = sum(value == 42 for value in paillier.decrypt(owner.private, made))
    return {"encryptions": COPIES, "different": len(set(made)), "right": right}


def shares(rng: Random = os.urandom) -> dict[str, Any]:
    """Any k + 1 shares give the secret and k are refused; k of two secrets' shares are as uniform as one another.

    The p-values are of chi-square tests, for each k = 2 of 5 shares, of their joint histogram against the uniform one
    and of the two secrets' against each other; the least, times the number of tests.
    """
    from scipy.stats import chi2, chi2_contingency  # type: ignore[import-untyped]

    points, threshold = list(range(1, PARTIES + 1)), KNOWN + 1
    secret = np.random.default_rng(2).integers(0, M61.p, 100, dtype=np.uint64)
    whole = _deal(secret, points, M61, rng)
    groups = list(combinations(points, threshold))
    right = sum(
        np.array_equal(shamir.combine({p: whole[p] for p in some}, threshold, M61, 100), secret) for some in groups
    )
    refused = 0
    for some in combinations(points, KNOWN):
        try:
            shamir.combine({p: whole[p] for p in some}, threshold, M61, 100)
        except BadMessage:
            refused += 1
    dealt = [_deal(np.full(SECRETS, value, np.uint32), points, M31, rng) for value in (0, M31.p - 1)]
    found = []
    for some in combinations(points, KNOWN):
        counts = [_joint(one, some) for one in dealt]
        expected = SECRETS / BINS**KNOWN
        found += [float(chi2.sf(((c - expected) ** 2 / expected).sum(), c.size - 1)) for c in counts]
        found.append(float(chi2_contingency(np.stack(counts)).pvalue))
    return {
        "parties": PARTIES,
        "known": KNOWN,
        "groups": len(groups),
        "right": right,
        "refused": refused,
        "small_groups": len(list(combinations(points, KNOWN))),
        "tests": len(found),
        "least_p": min(1.0, min(found) * len(found)),
    }


def _deal(secret: Any, points: list[int], field: Any, rng: Random) -> dict[int, Any]:
    seeds = {point: randbytes(32, rng) for point in points[:KNOWN]}
    given = {point: shamir.expand_share(seed, len(secret), field) for point, seed in seeds.items()}
    return given | shamir.split(secret, points, KNOWN + 1, field, seeds)


def _joint(dealt: dict[int, Any], some: tuple[int, ...]) -> Any:
    indices = [dealt[point].astype(np.uint64) * BINS // (M31.p + 1) for point in some]
    return np.bincount((indices[0] * BINS + indices[1]).astype(np.int64), minlength=BINS**KNOWN)

"""Secret sharing of vectors over a Field: Shamir (CACM 22(11), 1979) and its packed form (Franklin & Yung, STOC 1992).

Secrets are a polynomial's values at 0, -1, ..., -(pack - 1), shares its values at points from 1 on, `threshold` of
which open it; threshold - pack of them say nothing about the secrets. As many shares are chosen at random, by a seed
each, rather than coefficients: the dealer sends 32 bytes for such a share and computes the others by interpolation.
The `_plain` functions compute the same on Python integers, from the same seeds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives import prg
from fedsec.primitives.field import BLOCK, M61, Field, product_plain
from fedsec.primitives.integers import integers, plain_array
from fedsec.primitives.lagrange import interpolation, interpolation_plain
from fedsec.primitives.mersenne import Values
from fedsec.primitives.randomness import Random

SECRET_BYTES = 32
LIMB_BITS = 52
COUNT_BYTES = 8
LIMBS = -(-8 * SECRET_BYTES // LIMB_BITS)
SHARE_BYTES = 8 * LIMBS
"""The length of a share of one secret of 32 bytes."""


def expand_share(seed: bytes, count: int, field: Field) -> Values:
    """Return the share, shape (count,), that a seed of 32 bytes stands for: uniform values of its stream."""
    return field.random(count, prg.expand(seed))


def dump_share(payload: bytes, values: int) -> bytes:
    """Return what a dealer seals: how many values it shares, and a share as `Field.dump` writes it, or its seed."""
    return values.to_bytes(COUNT_BYTES, "little") + payload


def load_share(data: bytes, values: int, pack: int, field: Field, seeded: bool) -> Values:
    """Return the share, shape (ceil(values / pack),), in what `dump_share` made, from its seed where it is `seeded`.

    Raises BadMessage for shares of another number of values, of other lengths, or with values not below p.
    """
    payload = _payload(data, values, seeded)
    columns = columns_of(values, pack)
    return expand_share(payload, columns, field) if seeded else field.load(payload, columns, "share")


def check_share(data: bytes, values: int, pack: int, field: Field, seeded: bool) -> None:
    """Raise BadMessage where `load_share` does; a seed is not expanded, whatever number of values it claims."""
    payload = _payload(data, values, seeded)
    if not seeded:
        field.load(payload, columns_of(values, pack), "share")


def _payload(data: bytes, values: int, seeded: bool) -> bytes:
    dealt, payload = int.from_bytes(data[:COUNT_BYTES], "little"), data[COUNT_BYTES:]
    if len(data) < COUNT_BYTES or dealt != values:
        raise BadMessage(f"share of {dealt} values; {values} are expected")
    if seeded and len(payload) != prg.SEED_BYTES:
        raise BadMessage(f"seed of a share: {len(payload)} bytes came and {prg.SEED_BYTES} are expected")
    return payload


def seeded_points(dealer: int, points: Collection[int], count: int) -> list[int]:
    """Return the points whose shares are seeds: the dealer's own and the next ones around the circle, `count` in all.

    Everybody can tell them, and with each point as dealer every point is equally often among them.
    """
    circle = sorted(points)
    start = circle.index(dealer)
    return [*circle[start:], *circle[:start]][:count]


def split(
    secret: NDArray[np.unsignedinteger],
    points: Sequence[int],
    threshold: int,
    field: Field,
    seeds: Mapping[int, bytes],
    pack: int = 1,
) -> dict[int, Values]:
    """Return the shares, each of shape (ceil(d / pack),), of the points that have no seed; `expand_share` gives theirs.

    `secret` has shape (d,), unsigned integers in [0, p); it is cut into `pack` rows, the last padded with zeros.
    `points` are distinct, in [1, p - pack]; threshold - pack of them have seeds. For given secrets, shares at
    threshold - pack points and polynomials of degree < threshold correspond one to one, so uniform shares make a
    uniform polynomial through the secrets: what random coefficients make in Shamir's paper.
    Raises ConfigurationError for other points, seeds or secrets, a pack below 1, or a threshold that is not above
    `pack` and at most len(points).
    """
    _check_split(points, threshold, field, seeds, threshold - pack, pack)
    if (
        not plain_array(secret)
        or secret.dtype.kind != "u"
        or secret.ndim != 1
        or (secret.size and int(secret.max()) >= field.p)
    ):
        raise ConfigurationError(f"secret: one dimension of unsigned integers below 2^{field.bits} - 1 is expected")
    count = columns_of(secret.size, pack)
    rest = [point for point in points if point not in seeds]
    weights = interpolation((*secret_points(pack), *seeds), tuple(rest), field)
    # One allocation gets huge pages where many smaller ones would cost a page fault every 4 KiB.
    out: Values = np.empty((len(rest), count), dtype=field.word)
    streams = [prg.expand(seed) for seed in seeds.values()]
    for start, rows in blocks(threshold, count, field):
        for i in range(pack):
            part = secret[i * count + start : min((i + 1) * count, i * count + start + rows.shape[1])]
            rows[i, : part.size], rows[i, part.size :] = part, 0
        for row, stream in zip(rows[pack:], streams, strict=True):
            field.fill(row, stream)
        field.product_into(weights, rows, out, start)
    return dict(zip(rest, out, strict=True))


def mask(
    points: Sequence[int], threshold: int, count: int, field: Field, seeds: Mapping[int, bytes], pack: int = 1
) -> tuple[Values, dict[int, Values]]:
    """Return a uniform mask, shape (count,), and its shares at the points that have no seed: LightSecAgg's encoding.

    Reference: So et al., LightSecAgg, MLSys 2022, section 4.1. `threshold` points have seeds, so the polynomials are
    uniform of degree < threshold and the mask is what they hold at the secret points. Any threshold - pack shares and
    the mask's `pack` rows are values at `threshold` points: a bijection of the polynomial, hence jointly uniform.
    Arguments, shapes and errors are otherwise those of `split`; raises ConfigurationError for a negative count too.
    """
    _check_split(points, threshold, field, seeds, threshold, pack)
    if count < 0:
        raise ConfigurationError(f"mask: {count} values were asked for; at least 0 are needed")
    rest = [point for point in points if point not in seeds]
    weights = interpolation(tuple(seeds), (*secret_points(pack), *rest), field)
    out: Values = np.empty((pack + len(rest), columns_of(count, pack)), dtype=field.word)
    streams = [prg.expand(seed) for seed in seeds.values()]
    for start, rows in blocks(threshold, out.shape[1], field):
        for row, stream in zip(rows, streams, strict=True):
            field.fill(row, stream)
        field.product_into(weights, rows, out, start)
    return out[:pack].reshape(-1)[:count], dict(zip(rest, out[pack:], strict=True))


def combine(shares: Mapping[int, Values], threshold: int, field: Field, count: int, pack: int = 1) -> Values:
    """Return the secret, shape (count,), from `threshold` or more shares of shape (ceil(count / pack),).

    The `threshold` smallest points give the secret; every further share must lie on the same polynomials.
    Raises BadMessage where fewer shares came, a shape is another, a point is not in [1, p - pack], a value is not
    below p, or a further share lies elsewhere; ConfigurationError for a pack below 1 or a threshold not above it.
    """
    points = check_shares(shares, threshold, field, count, pack)
    check_values(shares, field)
    base, further = points[:threshold], points[threshold:]
    weights = interpolation(tuple(base), (*secret_points(pack), *further), field)
    out: Values = np.empty((pack, columns_of(count, pack)), dtype=field.word)
    for start, rows in blocks(threshold, out.shape[1], field):
        part = slice(start, start + rows.shape[1])
        for row, point in zip(rows, base, strict=True):
            row[:] = shares[point][part]
        values = field.product(weights, rows)
        for point, expected in zip(further, values[pack:], strict=True):
            if not np.array_equal(expected, shares[point][part]):
                raise BadMessage(f"share of point {point}, or one of points {base}: they do not lie on one polynomial")
        out[:, part] = values[:pack]
    return out.reshape(-1)[:count]


def split_secrets(secrets: Sequence[bytes], points: Sequence[int], threshold: int, rng: Random) -> dict[int, bytes]:
    """Return for each point its shares, 40 bytes each, of secrets of 32 bytes: five limbs of 52 bits, in M61.

    Raises ConfigurationError for a secret of another length, and as `split` does.
    """
    _check_points(points, threshold, M61, 1)
    if any(len(secret) != SECRET_BYTES for secret in secrets):
        raise ConfigurationError(f"secrets: {sorted({len(s) for s in secrets})} bytes; each has {SECRET_BYTES}")
    limbs = [_limbs(secret) for secret in secrets]
    rows: Values = np.empty((threshold, LIMBS * len(secrets)), dtype=M61.word)
    rows[0] = np.array(limbs, dtype=M61.word).reshape(-1)
    M61.fill(rows[1:].reshape(-1), rng)
    sources, rest = (0, *points[: threshold - 1]), points[threshold - 1 :]
    values = [*rows[1:], *M61.product(interpolation(sources, tuple(rest), M61), rows)]
    return {point: M61.dump(value) for point, value in zip(points, values, strict=True)}


def combine_secrets(shares: Mapping[int, bytes], threshold: int, count: int) -> list[bytes]:
    """Return the `count` secrets of 32 bytes from what `split_secrets` gave to `threshold` or more points.

    Raises BadMessage as `combine` does, for shares of another length, and where what comes out is not 32 bytes.
    """
    values = {point: M61.load(share, LIMBS * count, f"share of point {point}") for point, share in shares.items()}
    opened = combine(values, threshold, M61, LIMBS * count).tolist()
    return [_join(opened[LIMBS * i : LIMBS * (i + 1)]) for i in range(count)]


def split_secret(secret: bytes, points: Sequence[int], threshold: int, rng: Random) -> dict[int, bytes]:
    """Return what `split_secrets` does for one secret."""
    return split_secrets([secret], points, threshold, rng)


def combine_secret(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """Return what `combine_secrets` does for one secret."""
    return combine_secrets(shares, threshold, 1)[0]


def split_plain(
    secret: Sequence[int],
    points: Sequence[int],
    threshold: int,
    field: Field,
    seeds: Mapping[int, bytes],
    pack: int = 1,
) -> dict[int, list[int]]:
    """Return what `split` does from the same seeds, on Python integers: the reference."""
    _check_split(points, threshold, field, seeds, threshold - pack, pack)
    count = columns_of(len(secret), pack)
    padded = [*secret, *[0] * (pack * count - len(secret))]
    rows = [padded[i * count : (i + 1) * count] for i in range(pack)]
    rows += [expand_share(seed, count, field).tolist() for seed in seeds.values()]
    rest = [point for point in points if point not in seeds]
    weights = interpolation_plain((*secret_points(pack), *seeds), rest, field)
    return dict(zip(rest, product_plain(weights, rows, field.p), strict=True))


def mask_plain(
    points: Sequence[int], threshold: int, count: int, field: Field, seeds: Mapping[int, bytes], pack: int = 1
) -> tuple[list[int], dict[int, list[int]]]:
    """Return what `mask` does from the same seeds, on Python integers: the reference."""
    _check_split(points, threshold, field, seeds, threshold, pack)
    rest = [point for point in points if point not in seeds]
    rows = [expand_share(seed, columns_of(count, pack), field).tolist() for seed in seeds.values()]
    weights = interpolation_plain(tuple(seeds), (*secret_points(pack), *rest), field)
    values = product_plain(weights, rows, field.p)
    return [value for row in values[:pack] for value in row][:count], dict(zip(rest, values[pack:], strict=True))


def combine_plain(
    shares: Mapping[int, Sequence[int]], threshold: int, field: Field, count: int, pack: int = 1
) -> list[int]:
    """Return what `combine` does, on Python integers, from the `threshold` smallest points: the reference."""
    points = sorted(shares)[:threshold]
    weights = interpolation_plain(points, secret_points(pack), field)
    values = product_plain(weights, [[int(value) for value in shares[point]] for point in points], field.p)
    return [value for row in values for value in row][:count]


def secret_points(pack: int) -> tuple[int, ...]:
    """Return where the polynomials hold the secrets."""
    return tuple(range(0, -pack, -1))


def columns_of(count: int, pack: int) -> int:
    """Return how many polynomials carry `count` secrets: the length of a share."""
    return -(-count // pack)


def blocks(height: int, count: int, field: Field, most: int = BLOCK) -> Iterable[tuple[int, Values]]:
    """Yield the first column and the memory, shape (height, columns), of one block after another: `fill`'s blocks."""
    memory: Values = np.empty(height * min(most, count), dtype=field.word)
    for start in range(0, count, most):
        width = min(most, count - start)
        yield start, memory[: height * width].reshape(height, width)


def _limbs(secret: bytes) -> list[int]:
    number = int.from_bytes(secret, "little")
    return [number >> LIMB_BITS * i & (1 << LIMB_BITS) - 1 for i in range(LIMBS)]


def _join(limbs: Sequence[int]) -> bytes:
    number = sum(limb << LIMB_BITS * i for i, limb in enumerate(limbs))
    if any(limb >> LIMB_BITS for limb in limbs) or number >> 8 * SECRET_BYTES:
        raise BadMessage(f"secret: what the shares open is not {SECRET_BYTES} bytes")
    return number.to_bytes(SECRET_BYTES, "little")


def _check_points(points: Sequence[int], threshold: int, field: Field, pack: int) -> None:
    integers("points", points)
    integers("threshold and pack", (threshold, pack))
    if len(set(points)) != len(points):
        raise ConfigurationError(f"points: one is there twice: {sorted(points)}")
    if pack < 1:
        raise ConfigurationError(f"pack: {pack}; at least 1 secret is shared by a polynomial")
    if any(not 1 <= point <= field.p - pack for point in points):
        raise ConfigurationError(
            f"points: {sorted(points)}; each must be at least 1 and at most 2^{field.bits} - 1 - {pack}"
        )
    if not pack < threshold <= len(points):
        raise ConfigurationError(
            f"threshold: {threshold}; at least {pack + 1} and at most {len(points)} shares are needed"
        )


def _check_split(
    points: Sequence[int], threshold: int, field: Field, seeds: Mapping[int, bytes], seeded: int, pack: int
) -> None:
    _check_points(points, threshold, field, pack)
    if len(seeds) != seeded or not seeds.keys() <= set(points):
        raise ConfigurationError(f"seeds: for points {sorted(seeds)}; {seeded} of {sorted(points)} are expected")


def check_shares(shares: Mapping[int, Values], threshold: int, field: Field, count: int, pack: int) -> list[int]:
    """Return the points, sorted; raises as `combine` does, but not for what the shares hold."""
    integers("threshold, values and pack", (threshold, count, pack))
    if pack < 1:
        raise ConfigurationError(f"pack: {pack}; at least 1 secret is shared by a polynomial")
    if threshold <= pack:
        raise ConfigurationError(f"threshold: {threshold}; at least {pack + 1} is needed")
    if len(shares) < threshold:
        raise BadMessage(f"shares: {len(shares)} came and {threshold} are needed")
    points = sorted(shares)
    for point in points:
        if not 1 <= point <= field.p - pack:
            raise BadMessage(f"share of point {point}: points are at least 1 and at most 2^{field.bits} - 1 - {pack}")
        field.check_type(shares[point], f"share of point {point}")
        if shares[point].shape != (columns_of(count, pack),):
            raise BadMessage(
                f"share of point {point}: shape {shares[point].shape}; ({columns_of(count, pack)},) is expected"
            )
    return points


def check_values(shares: Mapping[int, Values], field: Field) -> None:
    """Raise BadMessage where a share holds a value that is not below p."""
    for point in sorted(shares):
        field.check(shares[point], f"share of point {point}")

"""The engines `fma` and `ifma`: batches of numbers side by side in vector registers, on all cores.

What numbers are in here: limbs, times R = 2^(bits of all limbs of a digit), modulo n^k as k digits in base n. See
`kernels` for the arithmetic.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import lru_cache

import gmpy2
import numpy as np
from gmpy2 import mpz
from llvmlite import binding

from fedsec.errors import ConfigurationError
from fedsec.primitives.modexp import gmp, montgomery
from fedsec.primitives.modexp.engine import Engine, FixedBase
from fedsec.primitives.modexp.montgomery import HIGH_BITS, LIMB_BITS, LOW_BITS, OFFSET, OWN_WINDOW, WINDOW, Like, Words
from fedsec.primitives.parallel import spread

_WORD = 1 << 64
_SLACK = 6  # bits by which R exceeds n: 2^6 n^2 is above all that three products of digits below 2n add up to


class Domain:
    """Numbers modulo n^degree as one kind of engine keeps them; n is odd and above 1."""

    def __init__(self, kind: str, lanes: int, n: int, degree: int) -> None:
        self.kind, self.lanes, self.like = kind, lanes, _like(kind, lanes)
        self.n, self.degree, self.modulus = mpz(n), degree, mpz(n) ** degree
        self.bits = LIMB_BITS[self.kind]
        limbs = max(4, -(-(n.bit_length() + _SLACK) // self.bits))
        self.limbs = limbs + limbs % 2
        self.radix = mpz(1) << self.bits * self.limbs  # R
        self.words = degree * self.limbs * self.lanes  # of one group
        self.n_limbs = self._packed(self._row(n))
        self.inverse = self._packed(np.array([gmpy2.invert(-self.n, 1 << self.bits)], np.uint64))[0]
        self.starts = self._starts([t + 1 for t in range(degree)])
        self.square_starts = self._starts([t // 2 + 1 for t in range(degree)])

    def _starts(self, products: Sequence[int]) -> Words:
        """What the sums of digit t's limbs start with, for so many products of digits. See `kernels.multiply`."""
        size, low, high, offset = self.limbs, LOW_BITS, HIGH_BITS, OFFSET
        if self.kind != "fma":
            low = high = offset = 0
        over = mpz(0)  # what a digit is too large by, as a multiple of n that the next one has to make up for
        table = np.zeros((len(products), 2 * size), np.uint64)
        for t, count in enumerate(products):
            spare = (1 - self.radix - over) % self.n  # spare + R - 1 + over is a multiple of n
            if t:
                over = (spare + self.radix - 1 + over) // self.n
            limbs = self._row(spare)
            for j in range(2 * size):
                lows, highs = min(j + 1, 2 * size - 1 - j), min(j, 2 * size - j)
                value = offset - (offset >> self.bits if j else 0) - (count + 1) * (lows * low + highs * high)
                if t and j < size:
                    value += (1 << self.bits) - 1 + int(limbs[j])
                table[t, j] = value % _WORD
        return table

    def _row(self, number: int | mpz) -> Words:
        """The limbs of one number below R."""
        mask = (1 << self.bits) - 1
        return np.array([(int(number) >> (self.bits * j)) & mask for j in range(self.limbs)], np.uint64)

    def _packed(self, limbs: Words) -> Words:
        return limbs.astype(np.float64).view(np.uint64) if self.kind == "fma" else limbs

    def _digits(self, number: mpz) -> list[mpz]:
        """The digits in base n of a number in [0, n^degree)."""
        digits = []
        for _ in range(self.degree - 1):
            number, digit = gmpy2.f_divmod(number, self.n)
            digits.append(digit)
        return [*digits, number]

    def one_lane(self, number: mpz) -> Words:
        """A number in [0, n^degree) as one lane has it, (degree L,)."""
        return np.concatenate([self._packed(self._row(digit)) for digit in self._digits(number)])

    def pack(self, numbers: Sequence[Sequence[int | mpz]]) -> Words:
        """Numbers, each of them its `degree` digits in [0, 2n), as groups, (groups, words); the last is filled up."""
        groups = -(-len(numbers) // self.lanes)
        out = np.zeros((groups, self.degree, self.limbs, self.lanes), np.uint64)
        width = -(-(int(self.n).bit_length() + 1) // 64) * 8
        for t in range(self.degree):
            blob = b"".join([digits[t].to_bytes(width, "little") for digits in numbers])
            limbs = np.empty((groups, self.limbs, self.lanes), np.uint64)
            limbs[groups - 1] = 0
            montgomery.split(np.frombuffer(blob, "<u8").reshape(len(numbers), -1), self.bits, limbs)
            out[:, t] = self._packed(limbs)
        return out.reshape(groups, self.words)

    def enter(self, numbers: Sequence[int | mpz], factor: int | mpz = 1) -> Words:
        """Numbers times `factor` modulo n^degree, as groups."""
        reduced = ((mpz(x) * factor if factor != 1 else mpz(x)) % self.modulus for x in numbers)
        return self.pack([self._digits(x) for x in reduced])

    def leave(self, groups: Words, count: int) -> list[mpz]:
        """The first `count` numbers of groups, in [0, n^degree)."""
        limbs = groups.reshape(-1, self.degree, self.limbs, self.lanes)
        if self.kind == "fma":
            limbs = limbs.view(np.float64).astype(np.uint64)
        width = -(-(int(self.n).bit_length() + 1) // 64)
        words = np.empty((count, width), np.uint64)
        numbers: list[mpz] = []
        for t in reversed(range(self.degree)):
            montgomery.join(np.ascontiguousarray(limbs[:, t]), self.bits, words)
            blob = words.astype("<u8", copy=False).tobytes()
            digits = [mpz.from_bytes(blob[at : at + 8 * width], "little") for at in range(0, len(blob), 8 * width)]
            numbers = (
                [x * self.n + digit for x, digit in zip(numbers, digits, strict=True)]
                if t + 1 < self.degree
                else digits
            )
        return [x if x < self.modulus else x % self.modulus for x in numbers]


@lru_cache(maxsize=8)
def _domain(kind: str, lanes: int, n: int, degree: int) -> Domain:
    return Domain(kind, lanes, n, degree)  # not by its `like`: 0.0 and uint64(0) are one key


def _like(kind: str, lanes: int) -> Like:
    element = {"fma": 0.0, "ifma": np.uint64(0), "twin": False}[kind]
    return (element,) * lanes


KINDS = ("ifma", "fma", "twin")


def lanes(kind: str) -> int:
    """Return the numbers side by side that suit this processor, or 0 where it lacks the instructions."""
    if kind == "twin":
        return 4
    features = binding.get_host_cpu_features()
    if kind == "ifma":
        return 8 if features.get("avx512ifma") else 0
    if features.get("avx512f"):
        return 8
    if features.get("avx2") and features.get("fma"):
        return 4
    return 4 * (platform.machine().lower() in ("aarch64", "arm64"))  # there fused multiply-adds are always


class Vector(Engine):
    """See `Engine`. Even moduli, and batches that would leave most lanes empty, are gmpy2's."""

    def __init__(self, kind: str, count: int) -> None:
        self.name, self.lanes, self.like = kind, count, _like(kind, count)

    def check(self) -> None:
        """Raise ConfigurationError unless some products, powers and edges are what gmpy2 says they are."""
        plain = gmp.Gmp()
        n = (1 << 517) - 3 * (1 << 200) + 1
        edges = [0, 1, n - 1, n, n * n - 1, (1 << 1024) - 1, 3**600, (1 << 511) + 1] * 2
        for name, there, here in (
            ("product", plain.product([edges, edges[::-1]], n * n), self.product([edges, edges[::-1]], n * n)),
            ("powers", plain.powers(edges, n - 1, n, 2), self.powers(edges, n - 1, n, 2)),
            (
                "products of powers",
                *(e.products_of_powers([edges, edges[::-1]], [edges, [3] * 16], n, 2) for e in (plain, self)),
            ),
            ("shifted product", *(e.shifted([edges, edges[::-1], edges], 7, n, 2) for e in (plain, self))),
            ("fixed base", *(e.fixed_base(3, n, 2, 20).powers([0, 1, 1 << 19, 777] * 2) for e in (plain, self))),
        ):
            if there != here:
                raise ConfigurationError(f"engine {self.name}: its {name} is not that of gmpy2 on this machine")

    def _suits(self, n: int, count: int) -> bool:
        return n % 2 == 1 and n > 1 and 2 * count > self.lanes

    def _fixed_base(self, base: int, n: int, degree: int, exponent_bits: int) -> FixedBase:
        if not self._suits(n, self.lanes) or not exponent_bits:
            return gmp.Gmp().fixed_base(base, n, degree, exponent_bits)
        return _Table(_domain(self.name, self.lanes, n, degree), base, exponent_bits)

    def _powers(self, bases: Sequence[int], exponent: int, n: int, degree: int) -> list[mpz]:
        if not self._suits(n, len(bases)):
            return gmp.Gmp().powers(bases, exponent, n, degree)
        domain = _domain(self.name, self.lanes, n, degree)
        groups = domain.enter(bases, domain.radix)
        one = np.stack([domain.one_lane(domain.radix % domain.modulus), domain.one_lane(mpz(1))])
        windows = np.array([int(w, 1 << WINDOW) for w in gmpy2.digits(mpz(exponent), 1 << WINDOW)], np.uint8)
        head, rest = (self.like, groups, windows, one), (domain.n_limbs, domain.inverse)
        tables = (domain.starts, domain.square_starts)
        spread(lambda start, stop: montgomery.common_exponent(*head, *rest, *tables, start, stop), len(groups))
        return domain.leave(groups, len(bases))

    def _product(self, columns: Sequence[Sequence[int]], modulus: int) -> list[mpz]:
        if not self._suits(modulus, len(columns[0])):
            return gmp.Gmp().product(columns, modulus)
        domain = _domain(self.name, self.lanes, modulus, 1)
        groups = np.stack([domain.enter(column) for column in columns])
        scale = domain.one_lane(gmpy2.powmod(domain.radix, len(columns), domain.modulus))
        rest = (groups, scale, domain.n_limbs, domain.inverse, domain.starts)
        spread(lambda start, stop: montgomery.products(self.like, *rest, start, stop), groups.shape[1])
        return domain.leave(groups[0], len(columns[0]))

    def _products_of_powers(
        self, bases: Sequence[Sequence[int]], exponents: Sequence[Sequence[int]], n: int, degree: int
    ) -> list[mpz]:
        count = len(bases[0])
        if not self._suits(n, count):
            return gmp.Gmp().products_of_powers(bases, exponents, n, degree)
        domain = _domain(self.name, self.lanes, n, degree)
        groups = np.stack([domain.enter(column, domain.radix) for column in bases])
        one = np.stack([domain.one_lane(domain.radix % domain.modulus), domain.one_lane(mpz(1))])
        most = max(1, max(-(-int(e).bit_length() // OWN_WINDOW) for column in exponents for e in column))
        windows = np.zeros((len(bases), groups.shape[1] * domain.lanes, most), np.uint8)
        for j, column in enumerate(exponents):
            for i, exponent in enumerate(column):
                digits = gmpy2.digits(mpz(exponent), 1 << OWN_WINDOW)
                windows[j, i, most - len(digits) :] = np.frombuffer(digits.encode(), np.uint8) - ord("0")
        head, rest = (self.like, groups, windows, one), (domain.n_limbs, domain.inverse)
        tables = (domain.starts, domain.square_starts)
        spread(lambda start, stop: montgomery.own_exponents(*head, *rest, *tables, start, stop), groups.shape[1])
        return domain.leave(groups[0], count)

    def _shifted(self, columns: Sequence[Sequence[int]], bits: int, n: int, degree: int) -> list[mpz]:
        count = len(columns[0])
        if not self._suits(n, count):
            return gmp.Gmp().shifted(columns, bits, n, degree)
        domain = _domain(self.name, self.lanes, n, degree)
        groups = np.stack([domain.enter(column, domain.radix) for column in columns])
        rest = (groups, bits, domain.one_lane(mpz(1)), domain.n_limbs, domain.inverse)
        tables = (domain.starts, domain.square_starts)
        spread(lambda start, stop: montgomery.shifted(self.like, *rest, *tables, start, stop), groups.shape[1])
        return domain.leave(groups[0], count)


class _Table(FixedBase):
    """[i, j]: base^(j 2^(i WINDOW)) times R, as one lane has it."""

    def __init__(self, domain: Domain, base: int, exponent_bits: int) -> None:
        super().__init__(int(domain.n), domain.degree, exponent_bits)
        self._domain = domain
        steps = [mpz(base) % domain.modulus]
        for _ in range(self.rows - 1):
            steps.append(gmpy2.powmod(steps[-1], 1 << 8, domain.modulus))
        groups = domain.enter(steps, domain.radix)
        self._table = np.empty((len(groups) * domain.lanes, 256, domain.degree * domain.limbs), np.uint64)
        self._table[:, 0] = domain.one_lane(domain.radix % domain.modulus)
        rest = (groups, self._table, domain.n_limbs, domain.inverse, domain.starts)
        spread(lambda start, stop: montgomery.multiples(domain.like, *rest, start, stop), len(groups))

    def _powers(self, exponents: bytes, factors: Sequence[Sequence[int]]) -> list[mpz]:
        domain, count = self._domain, len(factors)
        groups = domain.pack(factors)
        digits = np.zeros((len(groups) * domain.lanes, self.rows), np.uint8)
        digits[:count] = np.frombuffer(exponents, np.uint8).reshape(count, self.rows)
        rest = (self._table, digits, groups, domain.n_limbs, domain.inverse, domain.starts)
        spread(lambda start, stop: montgomery.fixed_base(domain.like, *rest, start, stop), len(groups))
        return domain.leave(groups, count)

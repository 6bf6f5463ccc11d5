"""The key holder's help: products and powers of encrypted numbers, blinded, with many numbers in a ciphertext.

A hospital holds [v], encrypted under the key of the model's owner. It sends [v + R], R uniform and 40 bits longer than
v, re-encrypted by fresh noise, several values to a ciphertext. The owner decrypts, drops low bits (u = (v + R) >> s),
and returns sums of products of such u, each encrypted afresh; it never returns a plaintext. With r = R >> s,
v = u - r to the last digit, so the hospital has [a b] = [u u'] - r'[a] - r[b] - r r', and any polynomial of v from
[u], [u^2], ...: one exchange, whatever the degree.

The owner's view is v + R, within 2^-40 of uniform whatever v is; the hospital's is ciphertexts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgpack
from gmpy2 import mpz

from fedsec.errors import BadMessage
from fedsec.primitives import modexp, paillier
from fedsec.primitives.paillier import Policy, PrivateKey, PublicKey
from fedsec.primitives.randomness import Random, randbits
from fedsec.simulations.poster.encrypted_network.linear_combinations import Sum, encrypted_sums
from fedsec.simulations.poster.encrypted_network.packed_messages import apart, join, parsed, slots, split

BLINDING = 40
"""Bits by which a mask is longer than what it hides."""
HIDING: Policy = "uniform"
"""The hospital's noise: it hides a product's known factors from the owner of the key, who knows all other noise."""
Number = Any
"""An encrypted number (a ciphertext), or an integer where the same steps run in the clear."""


@dataclass(frozen=True)
class Group:
    """Numbers below 2^bits in size to blind, whose `shift` lowest bits the key holder drops."""

    numbers: Sequence[Number]
    bits: int
    shift: int = 0

    @property
    def width(self) -> int:
        """The bits of a slot: those of number, sign and mask, and a carry."""
        return self.bits + BLINDING + 2


@dataclass(frozen=True)
class Ask:
    """What a hospital asks: each item is a sum of products of blinded numbers, by their indices in all groups."""

    groups: Sequence[Group]
    items: Sequence[Sequence[Sequence[int]]]


@dataclass(frozen=True, repr=False)
class Answer:
    """The masks r of all groups' numbers, and the items, encrypted."""

    masks: Sequence[int]
    items: Sequence[Number]


Steps = Generator[Ask, Answer, Any]
"""A hospital's computation: it yields what it asks of the key holder."""


class Arithmetic(Protocol):
    """Integers that add and multiply by known integers: encrypted ones, or the same steps in the clear."""

    def combine(self, sums: Sequence[Sum]) -> list[Number]:
        """For each of `sums`, its constant + the sum of each number times its factor."""

    def renew(self, numbers: Sequence[Number]) -> list[Number]:
        """The same numbers under fresh noise, which hides from the key holder what they were computed from."""

    def ask(self, ask: Ask) -> Answer:
        """The key holder's help."""


def masks_of(group: Group, rng: Random) -> tuple[list[int], list[int]]:
    """What is added to each number, offset included, so that sums are positive; and that, shifted."""
    added = [(1 << group.bits) + randbits(group.bits + 1 + BLINDING, rng) for _ in group.numbers]
    return added, [mask >> group.shift for mask in added]


def evaluate(items: Sequence[Sequence[Sequence[int]]], values: Sequence[int], modulus: int | None) -> list[int]:
    """The key holder's arithmetic on blinded values. Raises BadMessage for an index out of range."""
    out = []
    for item in items:
        total = mpz(0)
        for indices in item:
            product = mpz(1)
            for index in indices:
                if not 0 <= index < len(values):
                    raise BadMessage(f"item: index {index} is out of range; there are {len(values)} blinded numbers")
                product = product * values[index] if modulus is None else product * values[index] % modulus
            total += product
        out.append(int(total if modulus is None else total % modulus))
    return out


@dataclass
class Clear:
    """The same steps, masks and roundings on plain integers: the twin that says what fixed point alone does."""

    rng: Random = os.urandom
    exchanges: int = 0

    def combine(self, sums: Sequence[Sum]) -> list[Number]:
        return [constant + sum(number * factor for number, factor in terms) for terms, constant in sums]

    def renew(self, numbers: Sequence[Number]) -> list[Number]:
        return list(numbers)

    def ask(self, ask: Ask) -> Answer:
        self.exchanges += 1
        values, masks = [], []
        for group in ask.groups:
            added, shifted = masks_of(group, self.rng)
            values += [(number + mask) >> group.shift for number, mask in zip(group.numbers, added, strict=True)]
            masks += shifted
        return Answer(masks, evaluate(ask.items, values, None))


@dataclass(repr=False)
class KeyHolder:
    """The owner of the model: decrypts what is blinded, multiplies, encrypts. `watch` is shown all that it sees."""

    private: PrivateKey
    rng: Random = os.urandom
    policy: Policy = "conservative"
    watch: Callable[[Sequence[int]], None] | None = None

    def answer(self, request: bytes) -> bytes:
        """Answer a request of `Encrypted.request`. Raises BadMessage for one that it did not make."""
        public = self.private.public
        groups, items = parsed(request)
        values: list[int] = []
        for width, shift, count, body in groups:
            ciphertexts = split(public, body)
            paillier.validate(public, ciphertexts)
            plain = paillier.decrypt(self.private, ciphertexts)
            values += [value >> shift for value in apart(plain, width, count, slots(public, width, count))]
        if self.watch is not None:
            self.watch(values)
        found = paillier.encrypt(public, evaluate(items, values, public.n), self.rng, self.policy)
        return join(public, found)


@dataclass
class Encrypted:
    """A hospital's arithmetic on ciphertexts; `deliver` takes a request to the key holder and brings its answer."""

    public: PublicKey
    deliver: Callable[[bytes], bytes]
    rng: Random = os.urandom
    exchanges: int = 0
    sent: int = 0
    received: int = 0
    largest_plaintext: int = field(init=False)

    def __post_init__(self) -> None:
        self.largest_plaintext = self.public.n // 2

    def combine(self, sums: Sequence[Sum]) -> list[Number]:
        return list(encrypted_sums(self.public, sums))

    def renew(self, numbers: Sequence[Number]) -> list[Number]:
        fresh = paillier.encrypt(self.public, [0] * len(numbers), self.rng, HIDING)
        return list(paillier.add(self.public, [list(numbers), fresh]))

    def ask(self, ask: Ask) -> Answer:
        request, masks = self.request(ask)
        reply = self.deliver(request)
        return self.read(ask, masks, reply, len(request))

    def request(self, ask: Ask) -> tuple[bytes, list[int]]:
        """The blinded numbers and what is asked of them, and the masks, which stay."""
        groups, masks = [], []
        for group in ask.groups:
            added, shifted = masks_of(group, self.rng)
            packed = self._pack(group, added)
            groups.append((group.width, group.shift, len(group.numbers), join(self.public, packed)))
            masks += shifted
        return msgpack.packb((groups, ask.items)), masks

    def read(self, ask: Ask, masks: list[int], reply: bytes, sent: int) -> Answer:
        """The key holder's answer. Raises BadMessage for a wrong number of ciphertexts, or one that is none."""
        found = split(self.public, reply)
        if len(found) != len(ask.items):
            raise BadMessage(f"{len(found)} ciphertexts came for {len(ask.items)} items")
        paillier.validate(self.public, found)
        self.exchanges, self.sent, self.received = self.exchanges + 1, self.sent + sent, self.received + len(reply)
        return Answer(masks, found)

    def _pack(self, group: Group, added: Sequence[int]) -> list[int]:
        """Ciphertexts of several numbers each, lowest slot first, with their masks and fresh noise."""
        held = slots(self.public, group.width, max(1, len(group.numbers)))
        full = [*group.numbers, *[1] * (-len(group.numbers) % held)]
        sums = [
            sum(mask << (index * group.width) for index, mask in enumerate(added[start : start + held]))
            for start in range(0, len(added), held)
        ]
        blinds = paillier.encrypt(self.public, sums, self.rng, HIDING)
        packed = modexp.shifted([full[index::held] for index in range(held)], group.width, self.public.n, 2)
        return paillier.add(self.public, [packed, blinds]) if packed else []

"""The owner of a model: its key, what it encrypts and decrypts, and a hospital's arithmetic that asks it in process."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from fedsec.errors import ConfigurationError
from fedsec.primitives import paillier
from fedsec.primitives.interop_phe import to_phe_private, to_phe_public
from fedsec.primitives.paillier import Policy, PrivateKey
from fedsec.primitives.randomness import Random, randbits
from fedsec.simulations.poster.encrypted_network.key_holder import Ask, Encrypted, Group, KeyHolder, Number

MINIMUM_KEY_BITS = 2048


@dataclass(repr=False)
class Owner:
    """Holds the private key. `hospital` counts exchanges and bytes; its weights and answers are ciphertexts."""

    private: PrivateKey
    rng: Random = os.urandom
    policy: Policy = "conservative"
    holder: KeyHolder = field(init=False)

    def __post_init__(self) -> None:
        self.holder = KeyHolder(self.private, self.rng, self.policy)

    @classmethod
    def fresh(cls, key_bits: int, rng: Random = os.urandom) -> Owner:
        """With a new key. Raises ConfigurationError for one that is too small to protect anything."""
        if key_bits < MINIMUM_KEY_BITS or key_bits % 2 or key_bits > 8192:
            raise ConfigurationError(
                f"key_bits is {key_bits}: key too small, too large or odd; it must be even, from {MINIMUM_KEY_BITS} to "
                "8192"
            )
        return cls(paillier.generate(key_bits, rng), rng)

    def hospital(self) -> Encrypted:
        """A hospital that knows the public key, and asks this owner."""
        return Encrypted(self.private.public, self.holder.answer, self.rng)

    def encrypt(self, numbers: Sequence[int]) -> list[Number]:
        """Signed integers below n / 2 in size."""
        public = self.private.public
        return list(paillier.encrypt(public, [x % public.n for x in numbers], self.rng, self.policy))

    def decrypt(self, numbers: Sequence[Number]) -> list[int]:
        """Signed integers."""
        n = self.private.public.n
        return [x if x < n // 2 else x - n for x in paillier.decrypt(self.private, [int(c) for c in numbers])]


def product_cost(owner: Owner, bits: int, count: int) -> dict[str, float]:
    """CPU seconds of one blinded product of two encrypted numbers of so many bits: ours, of `count` at once, and phe's.

    phe follows the same steps by its own functions, one number to a ciphertext. The first batch is not counted.
    """
    hospital = owner.hospital()
    numbers = [randbits(bits, owner.rng) for _ in range(2 * count)]
    ours = owner.encrypt(numbers)
    taken = 0.0
    for _ in range(2):
        started = time.process_time()
        answer = hospital.ask(Ask([Group(ours, bits)], [[(i, count + i)] for i in range(count)]))
        masks = zip(answer.masks[:count], answer.masks[count:], strict=True)
        each = zip(answer.items, ours[:count], ours[count:], masks, strict=True)
        hospital.combine([([(item, 1), (a, -q), (b, -p)], -p * q) for item, a, b, (p, q) in each])
        taken = time.process_time() - started
    return {"bits": bits, "batch": count, "ours": taken / count, "phe": _by_phe(owner, numbers[:8], bits)}


def _by_phe(owner: Owner, numbers: Sequence[int], bits: int) -> float:
    public, private = to_phe_public(owner.private.public), to_phe_private(owner.private)
    pairs = [(public.encrypt(a), public.encrypt(b)) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
    started = time.process_time()
    for a, b in pairs:
        p, q = (randbits(Group((), bits).width - 1, owner.rng) for _ in range(2))
        blinded = private.decrypt(a + p) * private.decrypt(b + q)
        public.encrypt(blinded) - a * q - b * p - p * q
    return (time.process_time() - started) / len(pairs)

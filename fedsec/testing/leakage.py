"""What the wire shows, tested: recordings of whole runs are compared field by field.

Four runs are needed: one, the same again on the same private data, one on other data, and one on data that differ
party by party but have the same sum. What a field claims to be decides what must hold for it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special  # type: ignore[import-untyped]

from fedsec.protocol import Exposure, Message, Vector
from fedsec.wire import codec, envelope

HIDDEN = {Exposure.MASKED, Exposure.SEALED, Exposure.SHARED, Exposure.CIPHERTEXT}
FEWEST = 160
"""Fewer numbers than this cannot be tested for uniformity."""
LIMIT = 6.0
"""A statistic is unlikely where its tail is smaller than a normal variable's beyond so many standard deviations: chance
gives one in 10**9 tests on each side."""

Place = tuple[str, ...]


@dataclass(frozen=True)
class Leaf:
    """One field of one message: what it claims to be, and its bytes."""

    exposure: Exposure
    data: bytes


@dataclass
class Recording:
    """Every message of a run, as tapped at the parties."""

    leaves: dict[Place, Leaf] = field(default_factory=dict)
    numbers: dict[tuple[str, int], list[Vector]] = field(default_factory=lambda: defaultdict(list))
    undeclared: set[str] = field(default_factory=set)
    _seen: Counter[Place] = field(default_factory=Counter)
    _collected: set[bytes] = field(default_factory=set)

    def add(self, data: bytes) -> None:
        """Take one envelope apart."""
        received = envelope.read(data)
        header, body = received.header, codec.decode(received.body, Message)
        stem: Place = (header.session.stage, body.tag, f"{header.sender}->{header.receiver}")
        self._seen[stem] += 1
        stem = (*stem, str(self._seen[stem]))
        for part, message in (("header", header), ("body", body)):
            for path, exposure, value in leaves(message):
                self.leaves[*stem, part, path] = Leaf(exposure, codec.value_bytes(value))
            self._collect(message)

    def _collect(self, message: Message) -> None:
        encoded = hashlib.sha256(codec.encode(message)).digest()
        if encoded in self._collected:
            return  # relayed: the same numbers twice are not independent
        self._collected.add(encoded)
        declared = message.uniform()
        for name, (values, modulus) in declared.items():
            self.numbers[f"{message.tag}.{name}", modulus].append(values)
        for item in codec.schema(type(message)):
            value = getattr(message, item.name)
            if item.exposure is Exposure.SEALED:
                for sealed in value.values() if isinstance(value, Mapping) else (value,):
                    self.numbers[f"{message.tag}.{item.name}", 256].append(
                        np.frombuffer(sealed, np.uint8).astype(np.uint64)
                    )
            elif item.exposure in HIDDEN and item.name not in declared:
                self.undeclared.add(f"{message.tag}.{item.name}")
            for nested in _messages(value):
                self._collect(nested)


def leaves(message: Message, prefix: str = "") -> Iterator[tuple[str, Exposure, object]]:
    """Every field of a message and of the messages inside it: path, exposure, value."""
    for item in codec.schema(type(message)):
        value, path = getattr(message, item.name), f"{prefix}{item.name}"
        if item.exposure is None:
            items = value.items() if isinstance(value, Mapping) else enumerate(_messages(value))
            for key, nested in items:
                yield from leaves(nested, f"{path}[{key}].")
        elif isinstance(value, Mapping):
            yield f"{path}.keys", Exposure.PUBLIC, list(value)
            for key, entry in value.items():
                yield f"{path}[{key}]", item.exposure, entry
        else:
            yield path, item.exposure, value


def _messages(value: object) -> list[Message]:
    if isinstance(value, Message):
        return [value]
    if isinstance(value, Mapping):
        return [item for item in value.values() if isinstance(item, Message)]
    if isinstance(value, tuple):
        return [item for item in value if isinstance(item, Message)]
    return []


def violations(run: Recording, again: Recording, other: Recording, same_sum: Recording | None = None) -> list[str]:
    """What the wire shows and should not, in words; empty where it shows only what its fields claim."""
    runs = [run, again, other, *([same_sum] if same_sum is not None else [])]
    reasons = [f"{name} claims to hide its content and declares no range to test" for name in sorted(run.undeclared)]
    if any(recording.leaves.keys() != run.leaves.keys() for recording in runs):
        reasons.append("two runs exchanged different messages or fields")
        return reasons
    for path, leaf in run.leaves.items():
        first, second, third = (recording.leaves[path].data for recording in runs[:3])
        where = " ".join(path)
        if leaf.exposure is Exposure.METERING:
            continue
        if len({len(recording.leaves[path].data) for recording in runs}) > 1:
            reasons.append(f"{where}: the length depends on the run or on the data")
        elif leaf.exposure is Exposure.PUBLIC and not first == second == third:
            reasons.append(f"{where}: public, and differs between runs or data")
        elif leaf.exposure is Exposure.FRESH and first == second != third:
            reasons.append(f"{where}: fresh, and yet a function of the data")
        elif leaf.exposure in HIDDEN and first in (second, third):
            reasons.append(f"{where}: {leaf.exposure}, and repeats itself")
        elif leaf.exposure is Exposure.OPENED and same_sum and same_sum.leaves[path].data != first:
            reasons.append(f"{where}: opened, and not a function of the sum alone")
    for (name, modulus), values in run.numbers.items():
        reasons += [f"{name}: {reason}" for reason in not_uniform(np.concatenate(values), modulus)]
    return reasons


def not_uniform(values: Vector, modulus: int) -> list[str]:
    """Why `values` do not look uniform on [0, modulus); empty where they do.

    Chi-square over equal parts of the whole range, and over the lowest byte. Counts that lie too close to what is
    expected are no more likely than counts that lie too far from it.
    """
    if values.size < FEWEST:
        return [f"{values.size} numbers are too few to test; at least {FEWEST} are needed"]
    if int(values.max()) >= modulus:
        return [f"a number is not below {modulus}"]
    buckets = min(256, values.size // 10)
    edges = [-(-modulus * part // buckets) for part in range(1, buckets)]
    high = np.bincount(np.searchsorted(np.array(edges, np.uint64), values, side="right"), minlength=buckets)
    widths = np.diff(np.array([0, *edges, modulus], dtype=object)).astype(np.float64) / modulus
    reasons = []
    if evidence := _unlikely(high, widths):
        reasons.append(f"not uniform over the full range ({evidence})")
    if modulus > 1 << 16 and values.size >= 10 * 256:
        low = np.bincount((values & np.uint64(255)).astype(np.int64), minlength=256)
        if evidence := _unlikely(low, np.full(256, 1 / 256)):
            reasons.append(f"the lowest byte is not uniform ({evidence})")
    return reasons


def _unlikely(counts: NDArray[np.intp], widths: NDArray[np.float64]) -> str:
    """The chi-square statistic of these counts where chance does not explain it; empty where it does."""
    expected = widths * counts.sum()
    statistic, freedom = float(((counts - expected) ** 2 / expected).sum()), counts.size - 1
    # The distributions' tails, without scipy.stats, which takes a second to import.
    tail = min(special.chdtrc(freedom, statistic), special.chdtr(freedom, statistic))
    return f"chi-square {statistic:.1f} with {freedom} degrees of freedom" if tail < special.ndtr(-LIMIT) else ""

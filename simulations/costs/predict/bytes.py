"""The bytes of a round that is not run: exact, from rounds of a few parameters.

Every message of such rounds is taken apart down to its numbers and byte strings. Their lengths grow in proportion to
the values or to the columns that the strategy packs them into; from three sizes follow both rates, and the message is
put together again for any number of parameters, with the lengths that msgpack gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import msgpack

from fedsec.protocol import PartyId
from fedsec.simulations.costs.federation import Federation
from fedsec.simulations.costs.setting import Setting, contribution
from fedsec.wire import codec, envelope
from fedsec.wire.exchange import Phase as Exchanged
from fedsec.wire.exchange import Refusal


class Traffic(NamedTuple):
    """Bytes of one phase: of all hospitals, and of the one with the most."""

    phase: str
    asked: int
    replies: int
    down: int
    down_most: int
    up: int
    up_most: int


class Foretold(NamedTuple):
    """All phases of a round, and what one hospital sends and receives: the mean, and the most."""

    phases: tuple[Traffic, ...]
    up: float
    up_most: int
    down: float
    down_most: int


class _Raw:
    """A byte string of some length, of which nothing else matters."""

    def __init__(self, length: int) -> None:
        self.length = length


_Messages = list[tuple[str, dict[PartyId, tuple[Any, Any]], dict[PartyId, tuple[Any, Any]]]]


def foretell(setting: Setting) -> Foretold:
    """The bytes of a round in this setting, every phase; raises FedsecError where its rounds fail.

    Rounds of a few parameters are run with all its hospitals, so their number decides how long this takes.
    """
    protocol = setting.protocol()

    scalars = int(contribution(1, setting.bits, 0)[0].size) - 1

    def size(parameters: int) -> tuple[int, int]:
        values = parameters + scalars
        return values, protocol.columns(setting.clients, values)

    probes = _probes(lambda parameters: size(parameters)[1])
    if setting.parameters <= probes[-1]:
        probes = [setting.parameters]
    federation = _Tapped(setting)
    federation.enrol()
    seen = []
    for parameters in probes:
        federation.resize(parameters)
        seen.append(federation.listen())
    at = [(Fraction(1), *map(Fraction, size(parameters))) for parameters in probes]
    values, columns = size(setting.parameters)
    weights = _weights(at, (Fraction(1), Fraction(values), Fraction(columns)))
    phases = []
    for turn in zip(*seen, strict=True):
        name = turn[0][0]
        sent, came = (
            {party: _length([one[place][party] for one in turn], weights) for party in turn[0][place]}
            for place in (1, 2)
        )
        up, down = list(came.values()), list(sent.values())
        phases.append(Traffic(name, len(sent), len(came), sum(down), max(down), sum(up), max(up)))
    n = setting.hospitals
    return Foretold(
        tuple(phases),
        sum(one.up for one in phases) / n,
        sum(one.up_most for one in phases),
        sum(one.down for one in phases) / n,
        sum(one.down_most for one in phases),
    )


def _probes(columns: Any) -> list[int]:
    """Three sizes of which two have equal columns; two sizes where columns are values."""
    first = columns(1)
    if columns(2) > first and columns(3) > columns(2):
        return [1, 2]
    low = high = 1
    while columns(high) == first:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if columns(middle) == first else (low, middle)
    # `high` is the first with more columns than 1 has
    return [1, low, high] if low > 1 else [1, *_next_step(columns, high)]


def _next_step(columns: Any, start: int) -> list[int]:
    """The first of a step, its last, where the step of the smallest sizes is one parameter wide."""
    last = start
    while columns(last + 1) == columns(start):
        last += 1
    return [start, last] if last > start else [start, last + 1]


def _weights(at: Sequence[tuple[Fraction, ...]], target: tuple[Fraction, ...]) -> list[Fraction]:
    """How much of each probe makes the target, where lengths are constant + rate * values + rate * columns."""
    if len(at) == 1:
        return [Fraction(1)]
    if len(at) == 2:
        share = (target[1] - at[0][1]) / (at[1][1] - at[0][1])
        return [1 - share, share]
    rows = [[probe[place] for probe in at] for place in range(3)]
    whole = _determinant(rows)
    found = []
    for column in range(3):
        replaced = [
            [target[place] if other == column else rows[place][other] for other in range(3)] for place in range(3)
        ]
        found.append(_determinant(replaced) / whole)
    return found


def _determinant(rows: Sequence[Sequence[Fraction]]) -> Fraction:
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


class _Tapped(Federation):
    """Keeps every message of a round, as head and body."""

    def listen(self) -> _Messages:
        """One round's messages by phase: requests and answers by party."""
        self.heard: _Messages = []
        self.once()
        heard, self.heard = self.heard, []
        return heard

    def exchange(self, phase: Exchanged, requests: Mapping[PartyId, bytes]) -> Any:
        """The exchange, with what travels kept."""
        answers = list(super().exchange(phase, requests))
        if phase.stage != envelope.SETUP:
            replies = {party: answer for party, answer in answers if not isinstance(answer, Refusal)}
            self.heard.append((phase.name, _read(requests), _read(replies)))
        return answers


def _read(messages: Mapping[PartyId, bytes]) -> dict[PartyId, tuple[Any, Any]]:
    found = {}
    for party, data in messages.items():
        received = envelope.read(data)
        found[party] = (_parse(bytes(received.head)), _parse(bytes(received.body)))
    return found


def _parse(data: bytes) -> Any:
    return _tree(msgpack.unpackb(data, strict_map_key=False))


def _tree(value: Any) -> Any:
    """The structure of what msgpack read; byte strings by their length, and those that hold a record as a structure."""
    if isinstance(value, bytes):
        return _Record(_parse(value)) if _is_record(value) else _Raw(len(value))
    if isinstance(value, list):
        return [_tree(item) for item in value]
    if isinstance(value, dict):
        return {key: _tree(item) for key, item in value.items()}
    return value


class _Record:
    """A byte string that is a record of the codec."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside


def _is_record(data: bytes) -> bool:
    try:
        version, tag, _ = codec.unpack(data, 3)
    except Exception:
        return False
    return version == codec.VERSION and isinstance(tag, str)


def _length(messages: Sequence[tuple[Any, Any]], weights: Sequence[Fraction]) -> int:
    """The bytes of one message, from those of the rounds that were run: of a header, only the layout grows."""
    head = _packed([one[0] for one in messages], weights, grows=False)
    body = _packed([one[1] for one in messages], weights)
    return envelope.OVERHEAD + head + body


def _packed(trees: Sequence[Any], weights: Sequence[Fraction], grows: bool = True) -> int:
    """How many bytes msgpack makes of what lies on the line through these."""
    one = trees[0]
    if isinstance(one, _Record):
        return _framed(_packed([tree.inside for tree in trees], weights))
    if isinstance(one, _Raw):
        return _framed(_line([tree.length for tree in trees], weights))
    if isinstance(one, list):
        items = zip(*trees, strict=True)
        return _header(len(one), 15) + sum(_packed(list(item), weights, grows) for item in items)
    if isinstance(one, dict):
        inside = (len(msgpack.packb(key)) + _packed([tree[key] for tree in trees], weights, grows) for key in one)
        return _header(len(one), 15) + sum(inside)
    if grows and isinstance(one, int) and not isinstance(one, bool):
        return len(msgpack.packb(_line(trees, weights)))
    return len(msgpack.packb(one))


def _line(lengths: Sequence[int], weights: Sequence[Fraction]) -> int:
    exact = sum((weight * length for weight, length in zip(weights, lengths, strict=True)), Fraction(0))
    return int(exact)


def _framed(length: int) -> int:
    """A byte string with its header."""
    return length + (2 if length < 1 << 8 else 3 if length < 1 << 16 else 5)


def _header(count: int, small: int) -> int:
    """The header of a list or a map."""
    return 1 if count <= small else 3 if count < 1 << 16 else 5

"""The bytes of a round that is not run: exact, from rounds of a few parameters.

Every message of such rounds is taken apart down to its numbers and byte strings. Their lengths grow in proportion to
the values or to the columns that the strategy packs them into; from three sizes follow both rates, and the message is
put together again for any number of parameters, with the lengths that msgpack gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import msgpack

from fedsec.protocol import PartyId
from fedsec.simulations.costs.federation import Federation
from fedsec.simulations.costs.setting import Setting, contribution
from fedsec.wire import codec, envelope
from fedsec.wire.exchange import Phase as Exchanged
from fedsec.wire.exchange import Refusal


class PhaseTraffic(NamedTuple):
    """Bytes of one phase: of all hospitals, and of the one with the most."""

    phase: str
    asked: int
    replies: int
    down: int
    down_most: int
    up: int
    up_most: int


class PredictedTraffic(NamedTuple):
    """All phases of a round, and what one hospital sends and receives: the mean, and the most."""

    phases: tuple[PhaseTraffic, ...]
    up: float
    up_most: int
    down: float
    down_most: int


class _ByteString:
    """A byte string of some length, of which nothing else matters."""

    def __init__(self, length: int) -> None:
        self.length = length


_Message = tuple[Any, Any]
"""Head and body, taken apart."""
_Messages = list[tuple[str, dict[PartyId, _Message], dict[PartyId, _Message]]]
"""Of each phase its name, the requests and the answers, by party."""
_Size = tuple[Fraction, Fraction, Fraction]
"""1, values and columns: what lengths are made of."""


def predict_bytes(setting: Setting) -> PredictedTraffic:
    """The bytes of a round in this setting, every phase; raises FedsecError where its rounds fail.

    Rounds of a few parameters are run with all its hospitals, so their number decides how long this takes.
    """
    protocol = setting.protocol()
    scalars = int(contribution(1, setting.bits, 0)[0].size) - 1

    def size(parameters: int) -> _Size:
        values = parameters + scalars
        return Fraction(1), Fraction(values), Fraction(protocol.columns(setting.clients, values))

    small = _small_models(lambda parameters: protocol.columns(setting.clients, parameters + scalars))
    if setting.parameters <= small[-1]:
        small = [setting.parameters]
    federation = _RecordingFederation(setting)
    federation.enrol()
    rounds = []
    for parameters in small:
        federation.resize(parameters)
        rounds.append(federation.record())
    weights = _weights([size(parameters) for parameters in small], size(setting.parameters))
    phases = []
    for name, requests, answers in _by_phase(rounds):
        down = [_length(messages, weights) for messages in requests]
        up = [_length(messages, weights) for messages in answers]
        phases.append(PhaseTraffic(name, len(down), len(up), sum(down), max(down), sum(up), max(up)))
    return PredictedTraffic(
        tuple(phases),
        sum(phase.up for phase in phases) / setting.hospitals,
        sum(phase.up_most for phase in phases),
        sum(phase.down for phase in phases) / setting.hospitals,
        sum(phase.down_most for phase in phases),
    )


def _by_phase(rounds: Sequence[_Messages]) -> Iterator[tuple[str, list[list[_Message]], list[list[_Message]]]]:
    """Of each phase its name, and for each party the requests, and the answers, of all rounds."""
    for turn in zip(*rounds, strict=True):
        name, first_requests, first_answers = turn[0]
        requests = [[sent[party] for _, sent, _ in turn] for party in first_requests]
        yield name, requests, [[received[party] for _, _, received in turn] for party in first_answers]


def _small_models(columns: Callable[[int], int]) -> list[int]:
    """Three numbers of parameters of which two have equal columns; two where columns are values."""
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


def _next_step(columns: Callable[[int], int], start: int) -> list[int]:
    """The first of a step, its last, where the step of the smallest sizes is one parameter wide."""
    last = start
    while columns(last + 1) == columns(start):
        last += 1
    return [start, last] if last > start else [start, last + 1]


def _weights(sizes: Sequence[_Size], target: _Size) -> list[Fraction]:
    """How much of each size makes the target, where lengths are constant + rate * values + rate * columns."""
    if len(sizes) == 1:
        return [Fraction(1)]
    if len(sizes) == 2:
        share = (target[1] - sizes[0][1]) / (sizes[1][1] - sizes[0][1])
        return [1 - share, share]
    rows = list(zip(*sizes, strict=True))
    divisor = _determinant(rows)

    def replaced(column: int) -> list[list[Fraction]]:
        """Cramer's rule: the target in place of a column."""
        return [
            [value if at == column else row[at] for at in range(3)] for row, value in zip(rows, target, strict=True)
        ]

    return [_determinant(replaced(column)) / divisor for column in range(3)]


def _determinant(rows: Sequence[Sequence[Fraction]]) -> Fraction:
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


class _RecordingFederation(Federation):
    """Keeps every message of a round, as head and body."""

    def record(self) -> _Messages:
        """One round's messages by phase: requests and answers by party."""
        self.recorded: _Messages = []
        self.run_round()
        recorded, self.recorded = self.recorded, []
        return recorded

    def exchange(self, phase: Exchanged, requests: Mapping[PartyId, bytes]) -> Any:
        """The exchange, with what travels kept."""
        answers = list(super().exchange(phase, requests))
        if phase.stage != envelope.SETUP:
            replies = {party: answer for party, answer in answers if not isinstance(answer, Refusal)}
            self.recorded.append((phase.name, _read(requests), _read(replies)))
        return answers


def _read(messages: Mapping[PartyId, bytes]) -> dict[PartyId, _Message]:
    parsed = {}
    for party, data in messages.items():
        received = envelope.read(data)
        parsed[party] = (_parse(bytes(received.head)), _parse(bytes(received.body)))
    return parsed


def _parse(data: bytes) -> Any:
    return _tree(msgpack.unpackb(data, strict_map_key=False))


def _tree(value: Any) -> Any:
    """The structure of what msgpack read; byte strings by their length, and those that hold a record as a structure."""
    if isinstance(value, bytes):
        return _Record(_parse(value)) if _is_record(value) else _ByteString(len(value))
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


def _length(messages: Sequence[_Message], weights: Sequence[Fraction]) -> int:
    """The bytes of one message, from those of the rounds that were run: of a header, only the layout grows."""
    head = _packed([head for head, _ in messages], weights, grows=False)
    body = _packed([body for _, body in messages], weights)
    return envelope.OVERHEAD + head + body


def _packed(trees: Sequence[Any], weights: Sequence[Fraction], grows: bool = True) -> int:
    """How many bytes msgpack makes of what lies on the line through these."""
    first = trees[0]
    if isinstance(first, _Record):
        return _framed(_packed([tree.inside for tree in trees], weights))
    if isinstance(first, _ByteString):
        return _framed(_line([tree.length for tree in trees], weights))
    if isinstance(first, list):
        items = zip(*trees, strict=True)
        return _header(len(first), 15) + sum(_packed(list(item), weights, grows) for item in items)
    if isinstance(first, dict):
        inside = (len(msgpack.packb(key)) + _packed([tree[key] for tree in trees], weights, grows) for key in first)
        return _header(len(first), 15) + sum(inside)
    if grows and isinstance(first, int) and not isinstance(first, bool):
        return len(msgpack.packb(_line(trees, weights)))
    return len(msgpack.packb(first))


def _line(lengths: Sequence[int], weights: Sequence[Fraction]) -> int:
    exact = sum((weight * length for weight, length in zip(weights, lengths, strict=True)), Fraction(0))
    return int(exact)


def _framed(length: int) -> int:
    """A byte string with its header."""
    return length + (2 if length < 1 << 8 else 3 if length < 1 << 16 else 5)


def _header(count: int, small: int) -> int:
    """The header of a list or a map."""
    return 1 if count <= small else 3 if count < 1 << 16 else 5

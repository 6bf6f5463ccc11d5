"""Flower: `SecureAggregation(FedAvg(...), protocol)` at the server, `ClientApp(mods=[secure_aggregation])` at clients.

The inner strategy runs unchanged. Its grid is replaced by one whose `send_and_receive` is one secure aggregation and
returns one synthetic reply: the weighted mean, as if a single client had sent it. This is the only file of the
framework that imports flwr.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from logging import INFO, WARNING
from typing import Any, NoReturn, cast

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid, strategy
from flwr.serverapp.strategy import Result, Strategy
from flwr.supercore import log

from fedsec import catalog
from fedsec.encoding import mean
from fedsec.encoding.fixed_point import FixedPoint, prove_headroom
from fedsec.errors import ConfigurationError, FedsecError, PolicyError, RunFailed
from fedsec.flower.records import NOTE, RECORD, array_records, content_hash, model_arrays
from fedsec.metering import Ledger, Meter
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import PartyId, SecureSum
from fedsec.server.averaging import Averaging
from fedsec.server.coordinator import Coordinator, Sessions
from fedsec.strategy_spec import StrategySpec
from fedsec.wire.exchange import Phase, Refusal

SINGLE_UPDATES = "it needs each client's update by itself, and secure aggregation shows the server their sum only"


REFUSED = {
    "Krum": SINGLE_UPDATES,
    "MultiKrum": SINGLE_UPDATES,
    "Bulyan": SINGLE_UPDATES,
    "FedMedian": SINGLE_UPDATES,
    "FedTrimmedAvg": SINGLE_UPDATES,
    "FedXgbBagging": SINGLE_UPDATES,
    "FedXgbCyclic": SINGLE_UPDATES,
    "QFedAvg": "it weighs each client's update by that client's own loss, and the server sees means only",
    "DifferentialPrivacyServerSideFixedClipping": "it clips each client's update at the server; clip at the clients",
    "DifferentialPrivacyServerSideAdaptiveClipping": "it clips each client's update at the server; clip at the clients",
    "DifferentialPrivacyClientSideFixedClipping": "it scales its noise by the number of replies, and there is one",
    "DifferentialPrivacyClientSideAdaptiveClipping": "it needs each client's clipping indicator",
}


@dataclass(frozen=True)
class Round:
    """What one secure aggregation of a run came to. `failure` is empty where it succeeded."""

    round: int
    stage: str
    sampled: int
    included: int = 0
    parties: tuple[PartyId, ...] = ()
    weight: int | float = 0
    clipped: int = 0
    metrics: Mapping[str, float | list[float]] | None = None
    sum_hash: str = ""
    failure: str = ""
    incidents: tuple[tuple[str, PartyId, str], ...] = ()
    warnings: tuple[str, ...] = ()


class RunSessions:
    """Of each run its server's identity and its count of sessions, whatever number of strategies the run starts.

    Parties believe one server identity in a run, and answer no session older than their last: a second strategy that
    started its own count would be refused.
    """

    def __init__(self) -> None:
        self._by_run: dict[int, Sessions] = {}

    def of(self, run_id: int, identity: SigningKey | None = None) -> Sessions:
        """The sessions of a run, which begin with this identity, or a new one, where the run has none yet."""
        if run_id not in self._by_run:
            self._by_run[run_id] = Sessions(identity or SigningKey.generate(os.urandom))
        return self._by_run[run_id]


PROCESS_SESSIONS = RunSessions()
"""What all strategies of this process share that are given no other: Flower runs a server app in one process."""


class SecureAggregation(Strategy):
    """Runs a linear Flower strategy over secure sums, so that the server sees no client's update, count or metric.

    inner           FedAvg, FedAvgM, FedAdam, FedYogi, FedAdagrad, FedProx, or a subclass that needs the mean only
    protocol        a strategy of the catalogue, as `shamir` or `shamir:server=malicious`, or a SecureSum
    clip            largest absolute change of one parameter in one round; a larger update is scaled down as a whole
    largest_weight  largest number of examples at one client
                    with clip and largest_weight their product is the scale of the fixed point; without one of them
                    the scale is measured, in a session of its own, and follows the updates from round to round
    bounds          largest L2 norm of the change of a group of arrays, by pattern of their names
    buffers         patterns of arrays that are averaged as values, beside PyTorch's buffers and integers
    metric_ranges   what metrics may be, by key; any other lies within `metric_range`
    phase_timeout   seconds each phase may take, at most; `start(timeout=...)` bounds it too
    identity, pins  the server's key and the hospitals' public keys; without pins whoever answers first is believed,
                    which is for simulation alone
    sessions        shared by all strategies of a run; by default by all of this process
    ledger          receives what each phase cost
    on_round        called after each aggregation

    Raises ConfigurationError for an inner strategy that needs single updates.
    """

    def __init__(
        self,
        inner: Strategy,
        protocol: SecureSum[Any, Any] | str = "shamir",
        *,
        clip: float | None = None,
        largest_weight: int | None = None,
        bounds: Mapping[str, float] | None = None,
        buffers: Iterable[str] = (),
        metric_range: tuple[float, float] = (-mean.VALUES, mean.VALUES),
        metric_ranges: Mapping[str, tuple[float, float]] | None = None,
        phase_timeout: float = 600.0,
        identity: SigningKey | None = None,
        pins: Iterable[bytes] = (),
        sessions: RunSessions = PROCESS_SESSIONS,
        ledger: Ledger | None = None,
        on_round: Callable[[Round], None] | None = None,
    ) -> None:
        refuse_nonlinear(inner)
        if not (isinstance(phase_timeout, int | float) and phase_timeout > 0):
            raise ConfigurationError(f"phase_timeout is {phase_timeout!r}; a number of seconds above 0 was expected")
        self.inner = inner
        self.protocol = catalog.configured(StrategySpec.parse(protocol)) if isinstance(protocol, str) else protocol
        weight_key = str(getattr(inner, "weighted_by_key", "num-examples"))
        ranges = {key: _range(key, pair) for key, pair in (metric_ranges or {}).items()}
        default = _range("(default)", metric_range)
        self.spec = mean.MeanSpec(
            None if clip is None else _real("clip", clip),
            largest_weight,
            default,
            ranges,
            weight_key,
            {pattern: _real(f"the bound of {pattern!r}", norm) for pattern, norm in (bounds or {}).items()},
            tuple(buffers),
        )
        FixedPoint(self.protocol.value_bits, self.spec.clip or 1.0)
        self.phase_timeout, self.identity, self.pins = phase_timeout, identity, frozenset(pins)
        self.sessions = sessions
        self.ledger = ledger if ledger is not None else Ledger()
        self.on_round = on_round
        self.rounds: list[Round] = []
        self._grid: tuple[Grid, SecureGrid] | None = None

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Run the inner strategy with every exchange replaced by a secure aggregation.

        Raises ConfigurationError or HeadroomError before the first round where the sampled clients cannot run the
        protocol, and RunFailed where no round of training succeeded.
        """
        before = len(self.rounds)
        secure = self._over(grid)
        result = self.inner.start(
            secure, initial_arrays, num_rounds, timeout, train_config, evaluate_config, evaluate_fn
        )
        trained = [outcome for outcome in self.rounds[before:] if outcome.stage.partition(".")[0] == "train"]
        if trained and all(outcome.failure for outcome in trained):
            raise RunFailed(f"no round of training succeeded; the last one: {trained[-1].failure}")
        return result

    def collect(
        self, grid: Grid, message_type: str, config: ConfigRecord | None = None
    ) -> tuple[dict[str, float | list[float]], int | float]:
        """Ask all nodes once, and return the weighted means of the metrics that they answer, and the total weight.

        message_type: what the clients' function is registered for, "query.NAME" for `@app.query("NAME")`; it returns
        one MetricRecord. Ranges of its metrics are those of this strategy. Raises RunFailed where the round failed.
        """
        secure = self._over(grid)
        content = RecordDict({"config": config or ConfigRecord()})
        secure.send_and_receive(
            [Message(content, dst_node_id=node, message_type=message_type) for node in grid.get_node_ids()]
        )
        outcome = self.rounds[-1] if self.rounds else None
        if outcome is None or outcome.stage != message_type or outcome.failure:
            raise RunFailed(f"{message_type} failed: {outcome.failure if outcome else 'no hospital is connected'}")
        return dict(outcome.metrics or {}), outcome.weight

    def _over(self, grid: Grid) -> SecureGrid:
        """The secure grid over this one: one set-up serves all that is asked over it."""
        if self._grid is None or self._grid[0] is not grid:
            self._grid = (grid, SecureGrid(grid, self))
        return self._grid[1]

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the inner strategy does."""
        return self.inner.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """As the inner strategy does."""
        return self.inner.aggregate_train(server_round, replies)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the inner strategy does."""
        return self.inner.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """As the inner strategy does."""
        return self.inner.aggregate_evaluate(server_round, replies)

    def summary(self) -> None:
        """Log what protects the updates, and the inner strategy's own summary."""
        log(INFO, "\t├──> Secure aggregation: %s %s", self.protocol.name, self.protocol.parameters())
        self.inner.summary()

    def finished(self, outcome: Round) -> None:
        """Keep and announce what a round came to."""
        self.rounds.append(outcome)
        for warned in outcome.warnings:
            log(WARNING, "round %d %s: %s", outcome.round, outcome.stage, warned)
        if outcome.failure:
            log(WARNING, "round %d %s is void: %s", outcome.round, outcome.stage, outcome.failure)
        if self.on_round is not None:
            self.on_round(outcome)


def _real(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(f"{name} is {value!r}; a number was expected")
    return float(value)


def _range(key: str, pair: Any) -> tuple[float, float]:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise ConfigurationError(f"the range of metric {key} is {pair!r}; a lowest and a highest value were expected")
    return _real(f"the range of metric {key}", pair[0]), _real(f"the range of metric {key}", pair[1])


def refuse_nonlinear(inner: Strategy) -> None:
    """Raise ConfigurationError unless `inner` needs the mean of the updates only."""
    for kind in type(inner).__mro__:
        if kind.__name__ in REFUSED and kind.__module__.startswith("flwr."):
            raise ConfigurationError(f"{type(inner).__name__} cannot run over secure sums: {REFUSED[kind.__name__]}")
    if isinstance(inner, SecureAggregation):
        raise ConfigurationError("the inner strategy is secure already")
    if not isinstance(inner, strategy.FedAvg):
        raise ConfigurationError(
            f"{type(inner).__name__} is not a FedAvg of flwr.serverapp.strategy: only strategies of the Message API "
            "that need the mean alone run over secure sums"
        )


class SecureGrid(Grid):
    """A grid whose `send_and_receive` is one secure aggregation; nothing else passes."""

    def __init__(self, grid: Grid, owner: SecureAggregation) -> None:
        self._grid, self._owner = grid, owner
        self._nodes: dict[PartyId, int] = {}
        self._known: frozenset[int] = frozenset()
        self._request: tuple[RecordDict, str, float] = (RecordDict(), "train", owner.phase_timeout)
        self._notes: dict[PartyId, str] = {}
        self._meter = Meter(self._exchange, owner.ledger)
        self._coordinator = Coordinator(
            owner.protocol,
            self._meter,
            mean=owner.spec,
            run_id=grid.run.run_id,
            sessions=owner.sessions.of(grid.run.run_id, owner.identity),
            pins=owner.pins,
        )
        self._averaging = Averaging(self._coordinator)

    def set_run(self, run: Any) -> None:
        """As the grid does."""
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        """As the grid has it."""
        return self._grid.run

    def create_message(self, *arguments: Any, **keywords: Any) -> Message:
        """As the grid does."""
        return self._grid.create_message(*arguments, **keywords)

    def get_node_ids(self) -> Iterable[int]:
        """As the grid has them."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> NoReturn:
        """Refused: it would ask single clients for their updates."""
        raise PolicyError("push_messages would go around secure aggregation; use send_and_receive")

    def pull_messages(self, message_ids: Iterable[str]) -> NoReturn:
        """Refused: it would read single replies."""
        raise PolicyError("pull_messages would go around secure aggregation; use send_and_receive")

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """One secure aggregation over the nodes addressed: one synthetic reply, or none where the round failed."""
        asked = list(messages)
        if not asked:
            return []
        content, message_type = asked[0].content, asked[0].metadata.message_type
        model = content_hash(content)
        for other in asked[1:]:
            if other.metadata.message_type != message_type or (
                other.content is not content and content_hash(other.content) != model
            ):
                raise ConfigurationError("the strategy sends clients different models or configurations")
        self._notes.clear()
        self._request = (content, message_type, min(timeout or self._owner.phase_timeout, self._owner.phase_timeout))
        sampled = range(1, len(asked) + 1)
        self._owner.protocol.check(sampled)
        prove_headroom(self._owner.protocol.value_bits, len(asked), self._owner.protocol.capacity(sampled))
        self._enrol()
        wanted = {message.metadata.dst_node_id for message in asked}
        cohort = [party for party, node in self._nodes.items() if node in wanted]
        config = next(iter(content.config_records.values()), ConfigRecord())
        number = cast(int, config.get("server-round", 0))
        outcome = Round(number, message_type, len(asked))
        try:
            with self._meter.session():
                reference = model_arrays(content) if message_type.partition(".")[0] == "train" else None
                result, total = self._averaging.mean(
                    cohort, reference, stage=message_type, round_number=number, model=model
                )
        except FedsecError as error:
            self._owner.finished(replace(outcome, failure=f"{type(error).__name__}: {error}"))
            return []
        self._owner.finished(
            replace(
                outcome,
                included=len(result.included),
                parties=tuple(sorted(result.included)),
                weight=result.weight,
                clipped=result.clipped,
                metrics=result.metrics,
                incidents=total.incidents + self._noted(),
                warnings=tuple(self._averaging.warnings(result, message_type)),
                sum_hash=hashlib.sha256(total.sum.vector.tobytes()).hexdigest(),
            )
        )
        return [Message(self._reply(content, result), reply_to=asked[0])]

    def _reply(self, content: RecordDict, result: mean.Mean) -> RecordDict:
        metrics = {self._owner.spec.weight_key: result.weight, **result.metrics}
        reply = RecordDict({"metrics": MetricRecord(cast(Any, metrics))})
        if result.arrays:
            reply.update(array_records(result.arrays, content))
        return reply

    def _enrol(self) -> None:
        """A new epoch with every node, whenever a node is here that was not there before."""
        present = frozenset(self._grid.get_node_ids())
        if present <= self._known:
            return
        self._known, self._nodes = present, dict(enumerate(sorted(present), start=1))
        log(INFO, "secure aggregation: setting up %s with %d nodes", self._owner.protocol.name, len(present))
        with self._meter.session():
            self._coordinator.enrol(list(self._nodes))
        self._averaging.forget_parties()
        self._nodes = {party: node for party, node in self._nodes.items() if party in self._coordinator.roster}

    def _noted(self) -> tuple[tuple[str, PartyId, str], ...]:
        """Why hospitals had no usable update: told in simulation alone."""
        return tuple(("input", party, f"no usable update: {note}") for party, note in sorted(self._notes.items()))

    def _exchange(self, phase: Phase, requests: Mapping[PartyId, bytes]) -> list[tuple[PartyId, bytes | Refusal]]:
        """The transport: protocol messages inside messages of the type that the app handles already."""
        content, message_type, timeout = self._request
        app_records = dict(content.items()) if phase.asks_input else {}
        parties = {self._nodes[party]: party for party in requests}
        outgoing = [
            Message(
                RecordDict({**app_records, RECORD: ConfigRecord({"request": requests[party]})}),
                dst_node_id=node,
                message_type=message_type,
                ttl=timeout,
                group_id=str(phase.round),
            )
            for node, party in parties.items()
        ]
        replies = list(self._grid.send_and_receive(outgoing, timeout=timeout))
        for reply in replies:
            record = RecordDict() if reply.has_error() else reply.content
            if isinstance(note := record.config_records.get(RECORD, ConfigRecord()).get(NOTE), str):
                self._notes[parties[reply.metadata.src_node_id]] = note
        return [
            (parties[reply.metadata.src_node_id], _answer(reply))
            for reply in replies
            if reply.metadata.src_node_id in parties
        ]


def _answer(reply: Message) -> bytes | Refusal:
    if reply.has_error():
        return Refusal(reply.error.reason or f"error {reply.error.code}")
    record = reply.content.config_records.get(RECORD, ConfigRecord())
    data = record.get("reply")
    if not isinstance(data, bytes):
        return Refusal("a reply without a protocol message: is secure_aggregation among the client's mods?")
    return data

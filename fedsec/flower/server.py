"""Flower: `SecureAggregation(FedAvg(...), protocol)` at the server, `ClientApp(mods=[secure_aggregation])` at clients.

The inner strategy runs unchanged. Its grid is replaced by one whose `send_and_receive` is one secure aggregation and
returns one synthetic reply: the weighted mean, as if a single client had sent it.
"""

from __future__ import annotations

import glob
import hashlib
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from logging import ERROR, INFO, WARNING
from math import nan
from pathlib import Path
from typing import Any, NoReturn, cast

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from flwr.supercore import log

from fedsec import catalog
from fedsec.agreement import draft
from fedsec.agreement.agreement_file import AgreedStrategy, Agreement, kind
from fedsec.disclosure import Statement, statement
from fedsec.encoding import mean
from fedsec.encoding.fixed_point import FixedPoint, prove_headroom
from fedsec.encoding.layout import Layout
from fedsec.encoding.mean_spec import VALUES, MeanSpec, WeightRule
from fedsec.errors import ConfigurationError, FedsecError, PolicyError, RunFailed, expect, shown
from fedsec.flower import aggregation, bundle, checked_options, incidents, linearity, round_trail, verdict
from fedsec.flower.inner import OUTERMOST, declared_linear, refuse_nonlinear, too_few
from fedsec.flower.patience import Patience
from fedsec.flower.records import NOTE, RECORD, array_records, content_hash, integer_arrays, model_arrays, named_arrays
from fedsec.flower.rejoining import Rejoining
from fedsec.flower.verdict import Round
from fedsec.metering import Ledger, Meter
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import PartyId, SecureSum
from fedsec.server.averaging import Averaging, Wording
from fedsec.server.coordinator import Coordinator, Sessions
from fedsec.wire.exchange import Incident, Phase, Refusal


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


_PLAIN = MeanSpec()


class SecureAggregation(Strategy):
    """Runs a linear Flower strategy over secure sums, so that the server sees no client's update, count or metric.

    It stands in for the inner strategy: attributes that only that one has are read and set there. For `isinstance`,
    and for an attribute of the same name, use `secure.inner`.

    inner           FedAvg, FedAvgM, FedAdam, FedYogi, FedAdagrad, FedProx, or a subclass that needs the mean only
    protocol        a strategy of the catalogue, as `shamir` or `shamir:server=malicious`, or a SecureSum
    clip            largest absolute change of one parameter in one round; a larger update is scaled down as a whole
    largest_weight  largest number of examples at one client
                    with clip and largest_weight their product is the scale of the fixed point; without one of them
                    the scale is measured, in a session of its own, and follows the updates from round to round
    bounds          largest L2 norm of the change of a group of arrays, by pattern of their names
    buffers         patterns of arrays that are averaged as values, beside PyTorch's buffers and integers
    metric_ranges   what metrics may be, by key; any other lies within `metric_range`
    metric_grid     what metrics are rounded to, and `metric_grids` by key: with equal weights a thousandth (2^-10)
                    unless said otherwise, since exact sums of shares of rows can tell row counts
    totals          patterns of metrics that add up over rows, as counts do; they are on no grid. Equal weights only
    phase_timeout   seconds each phase may take, at most; `start(timeout=...)` bounds it too
    weights         how much a client counts: `exact` (its number of examples), `powers-of-two` or `equal`
    agreement       what all agreed on, or the path of its file: it names strategy, encoding and hospitals, which need
                    not be given. `agreement_of_run` drafts one from a simulation
    identity, pins  the server's key and the hospitals' public keys; without pins whoever answers first is believed,
                    which is for simulation alone
    sessions        shared by all strategies of a run; by default by all of this process
    ledger          receives what each phase cost
    on_round        called after each aggregation
    trail           the file in which each aggregation is noted: what was released over whom, and who did not answer
    void_rounds_allowed  how many rounds of training may be void without the run failing; by default half of them
    linear          declares that an inner strategy that is no FedAvg, and all functions that aggregate metrics, need
                    the weighted mean alone; so does an attribute `linear = True` of the inner strategy

    Raises ConfigurationError for an inner strategy that needs single updates.
    """

    inner: Strategy
    wording = Wording()
    """How warnings name the options that cure them: the study's app has options of its own."""

    def __init__(
        self,
        inner: Strategy,
        protocol: SecureSum[Any, Any] | str = "shamir",
        *,
        clip: float | None = None,
        largest_weight: int | None = None,
        bounds: Mapping[str, float] | None = None,
        buffers: Iterable[str] = (),
        metric_range: tuple[float, float] = (-VALUES, VALUES),
        metric_ranges: Mapping[str, tuple[float, float]] | None = None,
        metric_grid: float | None = None,
        metric_grids: Mapping[str, float] | None = None,
        totals: Iterable[str] = (),
        weights: WeightRule = "exact",
        agreement: Agreement | Path | str | None = None,
        phase_timeout: float = 600.0,
        identity: SigningKey | None = None,
        pins: Iterable[bytes] = (),
        sessions: RunSessions = PROCESS_SESSIONS,
        ledger: Ledger | None = None,
        on_round: Callable[[Round], None] | None = None,
        trail: Path | str | None = None,
        void_rounds_allowed: int | None = None,
        linear: bool = False,
    ) -> None:
        if isinstance(inner, SecureAggregation):
            raise ConfigurationError("the inner strategy is secure already")
        refuse_nonlinear(inner, linear)
        for name in ("configure_train", "aggregate_train", "configure_evaluate", "aggregate_evaluate"):
            if getattr(type(self), name) is not getattr(SecureAggregation, name):
                raise ConfigurationError(
                    f"{type(self).__name__} overrides {name}, which the inner strategy's `start` never calls: override "
                    "it in a subclass of the inner strategy"
                )
        if void_rounds_allowed is not None and (type(void_rounds_allowed) is not int or void_rounds_allowed < 0):
            raise ConfigurationError(
                f"void_rounds_allowed is {void_rounds_allowed!r}; a whole number from 0 on was expected"
            )
        expect("sessions", sessions, RunSessions, "a RunSessions")
        expect("ledger", ledger, (Ledger, type(None)), "a Ledger or None")
        if not (on_round is None or callable(on_round)):
            raise ConfigurationError(f"on_round is {shown(on_round)}; a function of one Round, or None, was expected")
        self.phase_timeout = checked_options.seconds("phase_timeout", phase_timeout)
        self.protocol = checked_options.protocol(protocol)
        self.identity, self.pins = checked_options.identity(identity), checked_options.pins(pins)
        weight_key = str(getattr(inner, "weighted_by_key", "num-examples"))
        self.spec = MeanSpec(
            clip,
            largest_weight,
            metric_range,
            metric_ranges or {},
            weight_key,
            bounds or {},
            cast(tuple[str, ...], buffers),
            weights=weights,
            metric_grid=metric_grid,
            grids=metric_grids or {},
            totals=cast(tuple[str, ...], totals),
        )
        self.agreement = checked_options.agreement(agreement)
        if self.agreement is not None:
            self._keep_to(self.agreement, protocol == "shamir", identity)
            self.pins = frozenset(self.agreement.keys)
        FixedPoint(self.protocol.value_bits, self.spec.clip or 1.0)
        self.sessions = sessions
        self.ledger = ledger if ledger is not None else Ledger()
        self.on_round = on_round
        self.trail = round_trail.of_option(trail)
        self.void_rounds_allowed = void_rounds_allowed
        self.rounds: list[Round] = []
        self._linear = declared_linear(inner, linear)
        self._tried: dict[tuple[str, frozenset[str]], object] = {}
        self._first = 0
        self.layouts: dict[str, Layout] = {}
        """Of each stage, what the replies to its first sum held."""
        self._grid: tuple[Grid, SecureGrid] | None = None
        self.inner = inner  # the last: from here on, what it has and this has not is its own

    def _keep_to(self, agreement: Agreement, default: bool, identity: SigningKey | None) -> None:
        """Take strategy and encoding from the agreement; raises ConfigurationError where others were given."""
        agreed, spec = agreement.strategy, agreement.encoding.spec
        if default:
            self.protocol = catalog.build(agreed.name, dict(agreed.parameters))
        differing = [
            name
            for name in asdict(spec)
            if getattr(self.spec, name) not in (getattr(spec, name), getattr(_PLAIN, name))
        ]
        if AgreedStrategy.of(self.protocol) != agreed:
            differing.append("protocol")
        if differing:
            raise ConfigurationError(f"{', '.join(differing)} differ from the agreement: leave them out, it names them")
        self.spec = spec
        if identity is None or identity.public.hex() != agreement.server:
            raise ConfigurationError(
                f"identity must be the key of the agreement's server, whose public key is {agreement.server}"
            )

    def __getattr__(self, name: str) -> Any:
        inner = self.__dict__.get("inner")
        if inner is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return getattr(inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        inner = self.__dict__.get("inner")
        if inner is None or name in self.__dict__ or hasattr(type(self), name) or not hasattr(inner, name):
            object.__setattr__(self, name, value)
        else:
            setattr(inner, name, value)

    def start(self, grid: Grid, *arguments: Any, **keywords: Any) -> Result:
        """Run the inner strategy with every exchange replaced by a secure aggregation.

        Takes what the inner strategy's `start` takes. What is void, and why, is logged as one error at the end.

        Raises ConfigurationError or HeadroomError before the first round where the sampled clients cannot run the
        protocol; and RunFailed, whose `result` is the inner strategy's, where no round of training succeeded or more
        of them are void than `void_rounds_allowed`. Where the inner strategy's own aggregation raises, RunFailed has
        the models and the clients' metrics that were aggregated before.
        """
        self._first = len(self.rounds)
        secure = self._over(grid)
        try:
            with aggregation.kept(self.inner, lambda: secure.withheld):
                result = self.inner.start(secure, *arguments, **keywords)
        finally:
            rounds = self.rounds[self._first :]
            if less := verdict.incomplete(rounds):
                log(WARNING, "secure aggregation: %s", less)
            if lost := verdict.void(rounds):
                log(ERROR, "secure aggregation: %s", lost)
        if why := verdict.failed(rounds, self.void_rounds_allowed):
            raise RunFailed(why, result)
        return result

    @property
    def trained(self) -> bool:
        """Whether a round of training succeeded since `start` was called last."""
        return any(one.trains and not one.failure for one in self.rounds[self._first :])

    def number(self, stage: str, config: ConfigRecord) -> int:
        """The round that a message belongs to: as its configuration says, or as many of its stage as there were."""
        number = config.get("server-round")
        if isinstance(number, int) or kind(stage) not in linearity.FUNCTIONS:
            return cast(int, number or 0)
        return 1 + sum(one.stage == stage for one in self.rounds[self._first :])

    def try_aggregation(self, stage: str, metrics: Mapping[str, float | list[float]]) -> None:
        """Before a function's first aggregate of metrics of these names is used: raise ConfigurationError where that
        would need single replies."""
        name = linearity.FUNCTIONS.get(kind(stage), "")
        function = getattr(self.inner, name, None) if name else None
        tried = name, frozenset(metrics)
        if function is None or self._linear or self._tried.get(tried) == function:
            return
        linearity.check(f"{type(self.inner).__name__}.{name}", function, metrics, self.spec.weight_key)
        self._tried[tried] = function

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

    def agreement_of_run(self, configuration: Mapping[str, Any], title: str = "") -> Agreement:
        """What hospitals would have agreed on for what ran so far: the agreement, or one derived from these options.

        configuration: the run's (`context.run_config`). Raises ConfigurationError where nothing has been summed.
        """
        if self.agreement is not None:
            return self.agreement
        if self._grid is None or not self.layouts:
            raise ConfigurationError("nothing has been summed yet; an agreement is derived from what a run asked")
        coordinator = self._grid[1].coordinator
        roster = [member.identity for _, member in sorted(coordinator.roster.items())]
        sums = Counter(one.stage for one in self.rounds)
        return draft.of_run(
            self.protocol,
            coordinator.terms.mean,
            self.layouts,
            sums,
            configuration=configuration,
            server=coordinator.sessions.identity.public,
            hospitals=roster,
            every=all(one.sampled >= len(roster) for one in self.rounds),
            bundle=bundle.installed(),
            title=title,
        )

    def _over(self, grid: Grid) -> SecureGrid:
        """The secure grid over this one: one set-up serves all that is asked over it."""
        if self._grid is None or self._grid[0] is not grid:
            self._grid = (grid, SecureGrid(grid, self))
        return self._grid[1]

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the inner strategy does; raises ConfigurationError over any grid but this one's own."""
        refuse_outer(grid)
        return self.inner.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """As the inner strategy does."""
        return self.inner.aggregate_train(server_round, replies)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the inner strategy does; raises ConfigurationError over any grid but this one's own."""
        refuse_outer(grid)
        return self.inner.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """As the inner strategy does."""
        return self.inner.aggregate_evaluate(server_round, replies)

    def disclosure(self, warnings: Sequence[str] = ()) -> Statement:
        """The disclosure statement of all rounds so far: who could learn what of them, with numbers.

        warnings: what else is known, each a sentence without its full stop.
        """
        return statement(
            self.protocol,
            self.spec if self._grid is None else self._grid[1].coordinator.terms.mean,
            self.rounds,
            layouts=self.layouts,
            pinned=bool(self.pins),
            agreement=self.agreement.hash.hex() if self.agreement else "",
            warnings=warnings,
        )

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
        if self.trail is not None:
            roster = self._grid[1].coordinator.roster if self._grid else {}
            round_trail.note(self.trail, outcome, roster, self.agreement)
        if self.on_round is not None:
            self.on_round(outcome)


def refuse_outer(grid: Grid) -> None:
    """Raise ConfigurationError where a strategy around a SecureAggregation asks clients over a grid of its own."""
    if not isinstance(grid, SecureGrid):
        raise ConfigurationError(OUTERMOST)


class SecureGrid(Grid):
    """A grid whose `send_and_receive` is one secure aggregation; nothing else passes."""

    def __init__(self, grid: Grid, owner: SecureAggregation, clock: Callable[[], float] = time.monotonic) -> None:
        self._grid, self._owner, self._patience = grid, owner, Patience(clock)
        self._asked: dict[PartyId, int] = {}
        """The nodes that the latest set-up asked, by party."""
        self._nodes: dict[PartyId, int] = {}
        """Those of them that joined."""
        self._missing: dict[PartyId, str] = {}
        self._founded = self._matched = False
        self._rejoining = Rejoining()
        self._request: tuple[RecordDict, str, float] = (RecordDict(), "train", owner.phase_timeout)
        self._notes: dict[PartyId, str] = {}
        self.withheld: dict[str, float | list[float]] = {}
        """Of the latest reply, the metrics that fewer hospitals than the floor could compute: NaN, or lists of it."""
        self._meter = Meter(self._exchange, owner.ledger)
        self.coordinator = Coordinator(
            owner.protocol,
            self._meter,
            mean=owner.spec,
            run_id=grid.run.run_id,
            sessions=owner.sessions.of(grid.run.run_id, owner.identity),
            pins=owner.pins,
            agreement=owner.agreement.hash if owner.agreement else b"",
        )
        self._averaging = Averaging(self.coordinator, owner.agreement is not None and owner.agreement.cohort == "all")

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
        """As the grid has them; where they stay fewer than a secure sum needs, a warning says what to do.

        Raises ConfigurationError instead in a simulation, where no node comes later.
        """
        nodes, floor, inner = list(self._grid.get_node_ids()), self._owner.protocol.floor, self._owner.inner
        self._patience.note(
            self._grid, len(nodes), floor, lambda: too_few(inner, "train", len(nodes), floor, len(nodes))
        )
        return nodes

    def push_messages(self, messages: Iterable[Message]) -> NoReturn:
        """Refused: it would ask single clients for their updates."""
        raise PolicyError("push_messages would go around secure aggregation; use send_and_receive")

    def pull_messages(self, message_ids: Iterable[str]) -> NoReturn:
        """Refused: it would read single replies."""
        raise PolicyError("pull_messages would go around secure aggregation; use send_and_receive")

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """One secure aggregation over the nodes addressed: one synthetic reply, or none where the round failed.

        Raises ConfigurationError where these clients cannot run the protocol or the aggregate could not be used, and
        RunFailed where the first set-up fails; later on, what fails makes one aggregation void.
        """
        asked = list(messages)
        if not asked:
            return []
        if timeout is not None:
            checked_options.seconds("timeout", timeout)
        content, message_type = asked[0].content, asked[0].metadata.message_type
        model = content_hash(content)
        for other in asked[1:]:
            if other.metadata.message_type != message_type or (
                other.content is not content and content_hash(other.content) != model
            ):
                raise ConfigurationError(
                    f"{type(self._owner.inner).__name__} sends clients different models or configurations, and every "
                    "contribution to a sum is bound to the one that all were shown. Send all the same: a client finds "
                    "its own value in it by its node id (context.node_id), or in its node configuration "
                    "(context.node_config)"
                )
        self._notes.clear()
        self.withheld = {}
        self._request = (content, message_type, min(timeout or self._owner.phase_timeout, self._owner.phase_timeout))
        config = next(iter(content.config_records.values()), ConfigRecord())
        outcome = Round(self._owner.number(message_type, config), message_type, len(asked))
        if not self._can_serve(outcome):
            return []
        wanted = {message.metadata.dst_node_id for message in asked}
        if outcome.trains:
            self._check_patterns(content)
            self._keep_integers(content, message_type)
        try:
            self._enrol()
            cohort = [party for party, node in self._nodes.items() if node in wanted]
            with self._meter.session():
                reference = model_arrays(content) if outcome.trains else None
                result, total = self._averaging.mean(
                    cohort, reference, stage=message_type, round_number=outcome.round, model=model
                )
        except Exception as error:  # of whatever kind: what earlier rounds gave is worth keeping
            why = f"{type(error).__name__}: {error}"
            if not isinstance(error, FedsecError):
                log(ERROR, "secure aggregation failed at the server:\n%s", traceback.format_exc())
            if not self._founded:
                if isinstance(error, ConfigurationError):
                    raise
                text = str(error) if isinstance(error, FedsecError) else why
                raise RunFailed(f"the set-up failed: {text}") from error
            self._owner.finished(replace(outcome, failure=why, incidents=self._noted(outcome, wanted)))
            return []
        noted = self._noted(outcome, wanted)
        if total.layout is not None:
            self._owner.layouts.setdefault(message_type, total.layout)
            lengths = total.layout.metrics
            self.withheld = {key: [nan] * lengths[key] if lengths[key] else nan for key in result.withheld}
        self._owner.try_aggregation(message_type, {**result.metrics, **self.withheld})
        self._owner.finished(
            replace(
                outcome,
                included=len(result.included),
                unusable=result.unusable,
                parties=tuple(sorted(result.included)),
                weight=result.weight,
                clipped=result.clipped,
                metrics=result.metrics,
                incidents=noted,
                warnings=tuple(self._averaging.warnings(result, self._owner.wording)),
                sum_hash=hashlib.sha256(total.sum.vector.tobytes()).hexdigest(),
            )
        )
        return [Message(self._reply(content, result), reply_to=asked[0])]

    def _reply(self, content: RecordDict, result: mean.Mean) -> RecordDict:
        metrics = {self._owner.spec.weight_key: result.weight, **result.metrics, **self.withheld}
        reply = RecordDict({"metrics": MetricRecord(cast(Any, metrics))})
        if result.arrays:
            reply.update(array_records(result.arrays, content))
        return reply

    def _can_serve(self, outcome: Round) -> bool:
        """Whether the protocol can sum over as many clients as are sampled.

        If not, an evaluation is skipped, and a round of training void where another one succeeded; raises
        ConfigurationError or HeadroomError where nothing has been trained.
        """
        protocol, sampled = self._owner.protocol, range(1, outcome.sampled + 1)
        try:
            protocol.check(sampled)
            prove_headroom(protocol.value_bits, len(sampled), protocol.capacity(sampled))
        except ConfigurationError as error:
            connected = len(list(self._grid.get_node_ids()))
            cure = too_few(self._owner.inner, outcome.stage, outcome.sampled, protocol.floor, connected)
            text = f"{error}; {cure}" if cure else str(error)
            if kind(outcome.stage) == "evaluate":
                log(WARNING, "round %d %s is skipped: %s", outcome.round, outcome.stage, text)
            elif outcome.trains and self._owner.trained:
                self._owner.finished(replace(outcome, failure=f"{type(error).__name__}: {text}"))
            else:
                raise type(error)(text) from error
            return False
        return True

    def _check_patterns(self, content: RecordDict) -> None:
        """Of the first model that has arrays: raise ConfigurationError where a pattern matches none of them."""
        if self._owner.agreement is None and not self._matched and (arrays := named_arrays(content)):
            checked_options.check_patterns(self._owner.spec, arrays)
            self._matched = True

    def _keep_integers(self, content: RecordDict, stage: str) -> None:
        """Agree that the model's integers travel as values in all rounds: from a mean, Flower makes floats of them.

        A model that started from nothing has the arrays of the stage's first replies.
        """
        if self._owner.agreement is not None:
            return  # it names the dtypes of the model, and what is a buffer
        terms = self.coordinator.terms
        known, first = terms.mean.buffers, self._owner.layouts.get(stage)
        names = dict.fromkeys([*integer_arrays(content), *(first.integers if first else ())])
        if new := [name for name in map(glob.escape, names) if name not in known]:
            self.coordinator.terms = replace(terms, mean=replace(terms.mean, buffers=(*known, *new)))
            self.coordinator.roster = {}  # what was agreed before is void

    def _enrol(self) -> None:
        """A new epoch with every node, where one is here that was not asked before or may come back, or another
        strategy of the run has founded the last one."""
        present = frozenset(self._grid.get_node_ids())
        for node, left in self._rejoining.waits(present).items():
            log(WARNING, "node %d has lost its state again; it may rejoin after %d more aggregations", node, left)
        back = self._rejoining.due(present)
        if present <= set(self._asked.values()) and self.coordinator.leads and not back:
            return
        again = f"; back: {', '.join(f'node {node}' for node in back)}, without state or late last time" if back else ""
        log(INFO, "secure aggregation: setting up %s with %d nodes%s", self._owner.protocol.name, len(present), again)
        self._rejoining.founded(back)
        self._asked = dict(enumerate(sorted(present), start=1))
        try:
            with self._meter.session():
                self.coordinator.enrol(list(self._asked))
            self._founded = True
        finally:
            found, roster = self.coordinator.incidents, self.coordinator.roster
            self._rejoining.note(found, self._asked)
            self._missing = {party: f"{phase}: {reason}" for phase, party, reason in found if party not in roster}
            self._nodes = {party: node for party, node in self._asked.items() if party in roster}
            for line in incidents.lines(found, self._asked):
                log(WARNING, "set-up: no usable answer from %s", line)

    def _noted(self, outcome: Round, wanted: Collection[int]) -> tuple[Incident, ...]:
        """What went wrong with whom in the aggregation that has just ended, logged by node."""
        unusable = tuple((verdict.NOTED, party, verdict.UNUSABLE + note) for party, note in sorted(self._notes.items()))
        found = self._averaging.incidents + unusable if self.coordinator.roster else ()
        self._rejoining.note(found, self._asked)
        self._rejoining.passed()
        outside = tuple(
            ("set-up", party, reason) for party, reason in self._missing.items() if self._asked[party] in wanted
        )
        for line in incidents.lines(outside + found, self._asked):
            log(WARNING, "round %d %s: no usable answer from %s", outcome.round, outcome.stage, line)
        return outside + found

    def _exchange(self, phase: Phase, requests: Mapping[PartyId, bytes]) -> list[tuple[PartyId, bytes | Refusal]]:
        """The transport: protocol messages inside messages of the type that the app handles already."""
        content, message_type, timeout = self._request
        app_records = dict(content.items()) if phase.asks_input else {}
        parties = {self._asked[party]: party for party in requests}
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
        return incidents.refusal(reply)
    record = reply.content.config_records.get(RECORD, ConfigRecord())
    data = record.get("reply")
    if not isinstance(data, bytes):
        return Refusal("a reply without a protocol message: is secure_aggregation among the client's mods?")
    return data

"""Hospitals, and a server that has the key they trust and keeps no rule of its own.

Deployed hospitals are pinned by an agreement and keep journals: there an attack must fail. Simulated ones have none of
it: there the same attack must succeed, or it would prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray

from fedsec.agreement.agreement_file import Agreement
from fedsec.encoding.layout import Layout
from fedsec.errors import RunFailed
from fedsec.flower import SecureAggregation
from fedsec.flower.server import RunSessions, SecureGrid
from fedsec.flower.simulation import simulating
from fedsec.primitives.signing import SigningKey
from fedsec.server.coordinator import Coordinator, Total
from tests.flower.process_grid import ProcessGrid, pinned

FIRST = 100
"""The number of the first hospital's node."""
TRUSTING = {"fedsec-trusts-server": True}
"""Hospitals that take the server for semi-honest, and so take every strategy: here the server attacks otherwise."""
Real = NDArray[np.float64]
Train = Callable[[int, Real, Mapping[str, Any]], tuple[Real, Mapping[str, Any]]]
"""A hospital's training: its place, the model and the message's configuration give its new model and its metrics."""
_RUNS = count(1000)


@dataclass
class Rows:
    """An app whose hospitals compute on rows; `read` lists whose rows were read, and in which stage."""

    train: Train
    read: list[tuple[int, str]] = field(default_factory=list)

    def __call__(self, message: Message, context: Context) -> Message:
        place, stage = context.node_id - FIRST, message.metadata.message_type
        self.read.append((place, stage))
        config = dict(message.content.config_records["config"])
        records, trains = message.content.array_records, stage.partition(".")[0] == "train"
        model = records["arrays"]["w"].numpy() if records else np.zeros(0)
        trained, metrics = self.train(place, model, config)
        made: dict[str, Any] = {"metrics": MetricRecord({"num-examples": 1, **metrics})}
        if trains:
            made["arrays"] = ArrayRecord({"w": Array(trained)})
        return Message(RecordDict(made), reply_to=message)


@dataclass
class Server:
    """A dishonest server before `grid`; without an agreement, its hospitals are simulated ones.

    options: the encoding that its terms name, where no agreement does.
    """

    grid: ProcessGrid
    agreement: Agreement | None = None
    key: SigningKey | None = None
    protocol: str = "shamir"
    options: Mapping[str, Any] = field(default_factory=dict)
    sessions: RunSessions = field(default_factory=RunSessions)
    opened: list[Total] = field(default_factory=list)
    """All that was opened to it."""

    @property
    def app(self) -> Any:
        return self.grid.app

    def here(self) -> Any:
        """The world that the hospitals live in."""
        return nullcontext() if self.agreement else simulating()

    def founds(self, protocol: Any = None, **terms: Any) -> SecureAggregation:
        """A new epoch, on terms that name the agreement and have these changes of the encoding, or this strategy."""
        inner = FedAvg(min_available_nodes=len(self.grid.contexts), fraction_evaluate=0.0)
        if self.agreement is None:
            options = {**self.options, **terms}
            return SecureAggregation(inner, protocol or self.protocol, sessions=self.sessions, **options)
        secure = SecureAggregation(inner, identity=self.key, agreement=self.agreement, sessions=self.sessions)
        if protocol is not None:
            secure.protocol = protocol
        coordinator = self.coordinator(secure)
        coordinator.terms = replace(coordinator.terms, mean=replace(coordinator.terms.mean, **terms))
        return secure

    def over(self, secure: SecureAggregation) -> SecureGrid:
        return secure._over(self.grid)

    def coordinator(self, secure: SecureAggregation) -> Coordinator:
        return self.over(secure).coordinator

    def asks(
        self,
        secure: SecureAggregation,
        model: Any = None,
        stage: str = "train",
        nodes: Sequence[int] | None = None,
        **config: Any,
    ) -> tuple[Real, dict[str, Any]]:
        """The mean over a secure sum, of arrays and of metrics; raises RunFailed with what hospitals said."""
        content = RecordDict({"config": ConfigRecord(config)})
        if model is not None:
            content["arrays"] = ArrayRecord({"w": Array(np.asarray(model))})
        asked = self.grid.contexts if nodes is None else [FIRST + place for place in nodes]
        messages = [Message(content, dst_node_id=node, message_type=stage) for node in asked]
        coordinator = self.coordinator(secure)

        def aggregate(*cohort: Any, **session: Any) -> Total:
            self.opened.append(Coordinator.aggregate(coordinator, *cohort, **session))
            return self.opened[-1]

        coordinator.aggregate = aggregate  # type: ignore[method-assign]
        with self.here():
            replies = self.over(secure).send_and_receive(messages)
        if not replies:
            raise RunFailed(secure.rounds[-1].failure)
        reply = replies[0].content
        arrays = reply.array_records["arrays"]["w"].numpy() if reply.array_records else np.zeros(0)
        return np.asarray(arrays, np.float64), dict(reply.metric_records["metrics"])

    def new_run(self) -> None:
        """Start another run: hospitals keep their identities and journals, and Flower keeps nothing of them."""
        self.grid.run, self.sessions = SimpleNamespace(run_id=next(_RUNS)), RunSessions()
        for context in self.grid.contexts.values():
            context.state.clear()

    def shows_layout(self, secure: SecureAggregation, stage: str, layout: Layout) -> None:
        """Have the plan of the next session of a stage name this layout."""
        self.over(secure)._averaging.stages[stage].layout = layout


def simulated(train: Train, hospitals: int, protocol: str = "shamir", **options: Any) -> Server:
    """The control: the same hospitals without agreement, pins and journal."""
    return Server(ProcessGrid(Rows(train), hospitals, FIRST), protocol=protocol, options=options)


def deployed(
    folder: Path,
    train: Train,
    hospitals: int,
    stages: Mapping[str, int],
    model: Any = None,
    protocol: str = "shamir",
    changes: Mapping[str, Any] | None = None,
    node: Mapping[str, Any] = TRUSTING,
    **options: Any,
) -> Server:
    """Hospitals under an agreement on `options` of the encoding, which allows so many sums of each stage."""
    app = Rows(train)

    def rehearsed() -> SecureAggregation:
        server = simulated(train, hospitals, protocol, **options)
        secure = server.founds()
        for stage in stages:
            server.asks(secure, model if stage.partition(".")[0] in ("train", "evaluate") else None, stage)
        return secure

    done = rehearsed()
    allowed = done.agreement_of_run({}).model_dump(mode="json")["stages"]
    for stage, sessions in stages.items():
        allowed[stage] |= {"sessions": sessions, "repeats": 0}
    folder.mkdir(exist_ok=True)
    more = {"stages": allowed, **(changes or {})}
    grid, agreement, key = pinned(folder, app, hospitals, FIRST, rehearsal=lambda: done, changes=more, **node)
    grid.run = SimpleNamespace(run_id=next(_RUNS))
    return Server(grid, agreement, key, protocol)


@contextmanager
def refused(server: Server, text: str, hospitals: int | None = None) -> Iterator[None]:
    """Nothing is opened: so many hospitals, all if not said, refuse in these words, and none of these reads a row."""
    read, said, opened = (len(each) for each in (server.app.read, server.grid.reasons, server.opened))
    try:
        yield
    except RunFailed:
        reasons = server.grid.reasons[said:]
        count = len(server.grid.contexts) if hospitals is None else hospitals
        assert sum(text in reason for reason in reasons) == count, reasons
        assert len(server.app.read) - read <= len(server.grid.contexts) - count, "rows were read"
        assert len(server.opened) == opened
    else:
        raise AssertionError(f"this was answered; {text!r} was expected")

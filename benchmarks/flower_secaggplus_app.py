"""Clients that send d numbers to every subject alike, and rounds of all subjects in turn. Run by flower_secaggplus.py.

One app for all, so that they run on the same actors: each message names its subject in a record of its own, and the
rounds of plain FedAvg and of our strategies take place between those of Flower's DefaultWorkflow.
"""

import inspect
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.common.recorddict_compat import arrayrecord_to_parameters, parameters_to_arrayrecord
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg as LegacyFedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_PARAMS_RECORD
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fedsec import catalog
from fedsec.flower import SecureAggregation, secure_aggregation
from fedsec.flower.records import RECORD
from fedsec.flower.server import SecureGrid

FEDAVG, FLOWER = "fedavg", "flower"
MAX_WEIGHT = 1000  # the default of Flower's workflow, and given to ours: a part of the quantisation step
CLIP = 8.0  # likewise
QUANTISATION = 1 << 22  # likewise
BENCH = "benchmark"


def contribution(context: Context) -> tuple[np.float32, int]:
    """What a client adds to the model, and its number of examples: another for each, so that a lost one shows."""
    return added_by(int(context.node_config["partition-id"]))


def added_by(partition: int) -> tuple[np.float32, int]:
    """The contribution of the client with that partition."""
    return np.float32(0.001 * (1 + partition)), 100 + 10 * partition


class Client(NumPyClient):
    """The legacy API's client."""

    def __init__(self, context: Context) -> None:
        self.added, self.examples = contribution(context)

    def fit(self, parameters, config):
        return [array + self.added for array in parameters], self.examples, {}


def client_fn(context: Context):
    return Client(context).to_client()


def train(message: Message, context: Context) -> Message:
    """The Message API's client."""
    added, examples = contribution(context)
    arrays = {name: Array(array.numpy() + added) for name, array in message.content["arrays"].items()}
    metrics = MetricRecord({"num-examples": examples})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


def dispatch(message: Message, context: Context, call_next) -> Message:
    """Answer each subject in its own way, and say what CPU time that took."""
    started = time.process_time()
    subject = message.content.pop(BENCH)["subject"]
    if subject == FEDAVG:
        reply = train(message, context)
    elif subject == FLOWER:
        reply = secaggplus_mod(message, context, call_next)
    else:
        # A party knows one federation at a time, so each of our strategies has a party of its own.
        kept = f"{RECORD} {subject}"
        if kept in context.state:
            context.state[RECORD] = context.state.pop(kept)
        reply = secure_aggregation(message, context, train)
        context.state[kept] = context.state.pop(RECORD)
    if reply.has_content():
        reply.content[BENCH] = ConfigRecord({"cpu": time.process_time() - started})
    return reply


client = ClientApp(client_fn=client_fn, mods=[dispatch])
server = ServerApp()


@dataclass
class Found:
    """What each round of one subject took. The first is no round as the others are: it starts actors, fills caches."""

    seconds: list[float] = field(default_factory=list)
    exchanges: list[int] = field(default_factory=list)
    client_cpu: list[float] = field(default_factory=list)
    server_cpu: list[float] = field(default_factory=list)
    traffic: list[int] = field(default_factory=list)
    ledger: list[int] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    step: float = 0.0


class Watched:
    """The grid for one subject: names it in each message; counts exchanges, bytes of records, clients' CPU time.

    To our strategies each is a run of its own, because a server leads one federation at a time in a run.
    """

    def __init__(self, grid: Grid, subject: str, number: int) -> None:
        self._grid, self._subject, self._number = grid, subject, number
        self.exchanges, self.traffic, self.cpu = 0, 0, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    @property
    def run(self) -> Any:
        return replace(self._grid.run, run_id=self._number)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        outgoing = list(messages)
        for message in outgoing:
            self.traffic += _bytes(message)
            message.content[BENCH] = ConfigRecord({"subject": self._subject})
        replies = list(self._grid.send_and_receive(outgoing, timeout=timeout))
        self.exchanges += bool(outgoing)
        for reply in replies:
            if not reply.has_content():
                raise RuntimeError(f"{self._subject}: a client failed: {reply.error}")
            self.cpu += float(reply.content.pop(BENCH)["cpu"])
            self.traffic += _bytes(reply)
        return replies


def _bytes(value: object) -> int:
    if isinstance(value, Message):
        return sum(_bytes(item) for record in value.content.values() for item in record.values())
    if isinstance(value, Array):
        return len(value.data)
    if isinstance(value, list):
        return sum(map(_bytes, value))
    return len(value) if isinstance(value, bytes | str) else 8


Step = Callable[[int, np.ndarray], np.ndarray]
"""One round: its number and the model -> the new model."""


class Subjects:
    """All subjects, each with a model of its own, and what was measured of them."""

    def __init__(self, grid: Grid, names: Sequence[str], values: int, clients: int) -> None:
        self.clients = clients
        self.grids: dict[str, Any] = {name: Watched(grid, name, number) for number, name in enumerate(names, start=1)}
        start = np.random.default_rng(0).normal(0, 0.1, values).astype(np.float32)
        self.models = dict.fromkeys(names, start)
        self.found = {name: Found() for name in names}
        added, weights = zip(*map(added_by, range(clients)), strict=True)
        self.weight = sum(weights)
        self.change = float(np.average(np.array(added, np.float64), weights=weights))

    def round(self, name: str, number: int, step: Step) -> None:
        """Measure one round, then check the model that came of it."""
        found, watched = self.found[name], self.grids[name]
        before = watched.exchanges, watched.traffic, watched.cpu
        cpu, started = time.process_time(), time.monotonic()
        model = step(number, self.models[name])
        found.seconds.append(time.monotonic() - started)
        found.server_cpu.append(time.process_time() - cpu)
        found.exchanges.append(watched.exchanges - before[0])
        found.traffic.append(watched.traffic - before[1])
        found.client_cpu.append(watched.cpu - before[2])
        expected = self.models[name].astype(np.float64) + self.change
        if model.shape != expected.shape:
            raise RuntimeError(f"{name}, round {number}: the model has shape {model.shape}, not {expected.shape}")
        error = float(np.abs(model - expected).max())
        # Single precision rounds the clients' arrays and the model's; it is far below any quantisation step.
        allowed = found.step + 4 * float(np.finfo(np.float32).eps) * float(np.abs(expected).max())
        if not error <= allowed:
            raise RuntimeError(f"{name}, round {number}: the model is off by {error:.3g}; {allowed:.3g} is allowed")
        found.error.append(error)
        # Single precision for all, so that every subject's next round sends a model of the same size.
        self.models[name] = model.astype(np.float32)

    def plain(self, number: int, model: np.ndarray) -> np.ndarray:
        """FedAvg of the Message API."""
        return self._message_api(self._fedavg(), self.grids[FEDAVG], number, model)

    def ours(self, name: str, threshold: int) -> Step:
        """The same FedAvg over a strategy of the catalogue: a round as Strategy.start runs it."""
        kind = catalog.strategy(name)
        known = {"threshold": threshold} if "threshold" in inspect.signature(kind).parameters else {}
        owner = SecureAggregation(self._fedavg(), kind(**known), clip=CLIP, largest_weight=MAX_WEIGHT)
        secure, found = SecureGrid(self.grids[name], owner), self.found[name]
        bits = owner.protocol.value_bits
        # Each client rounds by half a step of clip / (2^(b-1) - 1), and then the sum is divided by the total weight.
        found.step = self.clients * CLIP * MAX_WEIGHT / (2 * ((1 << (bits - 1)) - 1) * self.weight)

        def step(number: int, model: np.ndarray) -> np.ndarray:
            rows = len(owner.ledger.rows)
            changed = self._message_api(owner, secure, number, model)
            if owner.rounds[-1].failure or owner.rounds[-1].included != self.clients:
                raise RuntimeError(f"{name}, round {number}: {owner.rounds[-1]}")
            new = [row for row in owner.ledger.rows[rows:] if row.role == "hospital"]
            found.ledger.append(sum(row.bytes_up + row.bytes_down for row in new))
            return changed

        return step

    def flower(self, threshold: int) -> tuple[SecAggPlusWorkflow, float]:
        """Flower's SecAgg+ on the complete graph, with its own defaults; and its quantisation step in the mean."""
        workflow = SecAggPlusWorkflow(
            num_shares=self.clients,
            reconstruction_threshold=threshold,
            max_weight=float(MAX_WEIGHT),
            clipping_range=CLIP,
            quantization_range=QUANTISATION,
        )
        # Each client rounds by up to a step, at random, and its weight by half a step of 1 / QUANTISATION.
        return workflow, self.clients * (2 * CLIP + 1) / QUANTISATION * MAX_WEIGHT / self.weight

    def _fedavg(self) -> FedAvg:
        return FedAvg(fraction_evaluate=0.0, min_train_nodes=self.clients, min_available_nodes=self.clients)

    def _message_api(
        self, strategy: FedAvg | SecureAggregation, grid: Grid, number: int, model: np.ndarray
    ) -> np.ndarray:
        asked = strategy.configure_train(number, ArrayRecord({"w": Array(model)}), ConfigRecord(), grid)
        arrays, _ = strategy.aggregate_train(number, grid.send_and_receive(asked, timeout=900))
        if arrays is None:
            raise RuntimeError(f"round {number} gave no model")
        return arrays["w"].numpy()


@server.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    clients, threshold = int(config["clients"]), int(config["threshold"])
    strategies = [name for name in str(config["strategies"]).split(",") if name]
    subjects = Subjects(grid, [FEDAVG, *strategies, FLOWER], int(config["values"]), clients)
    secagg_plus, subjects.found[FLOWER].step = subjects.flower(threshold)
    steps: dict[str, Step] = {FEDAVG: subjects.plain}
    steps |= {name: subjects.ours(name, threshold) for name in strategies}
    numbers = iter(range(1, 1 + int(config["rounds"])))

    def fit(_: Grid, legacy: Context) -> None:
        """A round of each subject, Flower's workflow last: whatever else the machine does meets them all."""
        number = next(numbers)
        for name, step in steps.items():
            subjects.round(name, number, step)

        def step(number: int, model: np.ndarray) -> np.ndarray:
            legacy.state[MAIN_PARAMS_RECORD] = parameters_to_arrayrecord(ndarrays_to_parameters([model]), True)
            secagg_plus(subjects.grids[FLOWER], legacy)
            changed = arrayrecord_to_parameters(legacy.state.array_records[MAIN_PARAMS_RECORD], True)
            return parameters_to_ndarrays(changed)[0]

        subjects.round(FLOWER, number, step)

    everyone = {"min_fit_clients": clients, "min_available_clients": clients}
    strategy = LegacyFedAvg(
        fraction_fit=1.0,
        fraction_evaluate=0.0,
        initial_parameters=ndarrays_to_parameters([subjects.models[FLOWER]]),
        **everyone,
    )
    legacy = LegacyContext(context, ServerConfig(num_rounds=int(config["rounds"])), strategy)
    DefaultWorkflow(fit_workflow=fit)(grid, legacy)
    found = {name: vars(one) for name, one in subjects.found.items()}
    Path(str(config["output"])).write_text(json.dumps(found))

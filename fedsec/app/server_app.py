"""The Flower app: hospitals train on their own rows, and the server sees sums.

`flwr run .` starts it from a clone and `fedsec run` from anywhere. It is a simulation: the server process also holds
the common test rows and, after training, computes the baselines that the federation is compared with.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from logging import INFO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore import log

from fedsec.errors import TooFewParties
from fedsec.flower import SecureAggregation, secure_aggregation
from fedsec.flower.server import to_numpy
from fedsec.metering import Ledger
from fedsec.data import preparation
from fedsec.learning import auc
from fedsec.simulations.run import hospitals, results
from fedsec.simulations.run.baselines import client_evaluate, client_update, test_quality
from fedsec.app.config import FEWEST, RunConfig
from fedsec.data.bundled import Dataset
from fedsec.learning.auc import histogram
from fedsec.learning.models import Parameters
from fedsec.data.preparation import Preparation, statistics
from fedsec.simulations.run.results import Data

STATISTICS = "query.statistics"
METRIC_RANGES = {**preparation.RANGES, **auc.RANGES}

client = ClientApp(mods=[secure_aggregation])
server = ServerApp()


def _here(context: Context) -> tuple[RunConfig, int, int]:
    """This client's configuration, its partition number and how many partitions there are."""
    node = context.node_config
    return RunConfig.read(context.run_config), int(node["partition-id"]), int(node["num-partitions"])


@functools.lru_cache(maxsize=64)
def _prepared(config: RunConfig, place: int, count: int, preparation: str) -> Dataset:
    """A hospital's features, by what all hospitals' rows together say."""
    return Preparation.from_json(preparation).apply(hospitals.of_config(config, count).rows(place))


def _features(message: Message, context: Context) -> tuple[RunConfig, int, Dataset]:
    config, place, of = _here(context)
    preparation = str(message.content.config_records["config"]["preparation"])
    return config, place, _prepared(config, place, of, preparation)


def _reply(message: Message, config: RunConfig, rows: int, metrics: Mapping[str, Any], **records: Any) -> Message:
    """Metrics, and by how many rows they count."""
    counted = MetricRecord({**metrics, "num-examples": 1 if config.equal_weights else rows})
    return Message(RecordDict({**records, "metrics": counted}), reply_to=message)


@client.query("statistics")
def count(message: Message, context: Context) -> Message:
    """What this hospital adds to the statistics that all prepare their rows by."""
    config, place, of = _here(context)
    mine = hospitals.of_config(config, of).rows(place)
    return _reply(message, config, len(mine.target), statistics(mine))


def record(parameters: Parameters) -> ArrayRecord:
    """A model's parameters as Flower sends them."""
    return ArrayRecord({name: Array(np.ascontiguousarray(values)) for name, values in parameters.items()})


@client.train()
def train(message: Message, context: Context) -> Message:
    """Train the global model on this hospital's rows."""
    config, place, mine = _features(message, context)
    number = int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
    parameters, metrics = client_update(
        config.training(mine.task), number, place, to_numpy(message.content), mine.features, mine.target
    )
    return _reply(message, config, len(mine.target), metrics, arrays=record(parameters))


@client.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the global model on this hospital's rows."""
    config, _, mine = _features(message, context)
    training, parameters = config.training(mine.task), to_numpy(message.content)
    metrics: dict[str, Any] = dict(client_evaluate(training, parameters, mine.features, mine.target))
    if mine.task == "classification":
        metrics |= histogram(training.model.score(parameters, mine.features), mine.target)
    return _reply(message, config, len(mine.target), metrics)


def wait_for_hospitals(grid: Grid, expected: int, patience: float = 60.0) -> int:
    """How many hospitals are connected: `expected`, or, where that is 0, as many as come until a second brings no more.

    Flower starts the server before its nodes have registered. Raises TooFewParties after `patience` seconds.
    """
    deadline, before, since = time.monotonic() + patience, 0, time.monotonic()
    while time.monotonic() < deadline:
        now = len(list(grid.get_node_ids()))
        if now != before:
            before, since = now, time.monotonic()
        if (expected and now >= expected) or (not expected and now and time.monotonic() - since > 1.0):
            return now
        time.sleep(0.1)
    raise TooFewParties("connect", max(expected, FEWEST), range(before), range(max(expected, FEWEST)))


class Cohort(Grid):
    """A grid that shows some of its nodes only: the cohort of a whole run."""

    def __init__(self, grid: Grid, nodes: Sequence[int]) -> None:
        self._inner, self._nodes = grid, list(nodes)

    def get_node_ids(self) -> Iterable[int]:
        """The nodes of the cohort."""
        return list(self._nodes)

    def set_run(self, run: Any) -> None:
        """As the grid does."""
        self._inner.set_run(run)

    @property
    def run(self) -> Any:
        """As the grid has it."""
        return self._inner.run

    def create_message(self, *arguments: Any, **keywords: Any) -> Message:
        """As the grid does."""
        return self._inner.create_message(*arguments, **keywords)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """As the grid does."""
        return self._inner.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """As the grid does."""
        return self._inner.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """As the grid does."""
        return self._inner.send_and_receive(messages, timeout=timeout)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """One run, from statistics and initial weights to results."""
    config = RunConfig.read(context.run_config)
    here = hospitals.of_config(config, wait_for_hospitals(grid, config.clients))
    config = config.resolved([len(part) for part in here.parts])
    config.prove(len(here.parts))
    if config.cohort == "fixed":
        chosen = random.Random(config.seed).sample(sorted(grid.get_node_ids()), config.asked(len(here.parts)))  # noqa: S311
        grid = Cohort(grid, chosen)
    progress = results.Progress(config.output)
    ledger = Ledger(watch=progress.phase)
    secure = SecureAggregation(
        config.inner(len(here.parts)), config.protocol(), clip=config.clip, largest_weight=config.spec().largest_weight,
        metric_ranges=METRIC_RANGES, phase_timeout=config.phase_timeout, ledger=ledger, on_round=progress.round,
    )  # fmt: skip
    progress.tell("start", hospitals=len(here.parts), rounds=config.rounds)
    found = Preparation.of(here.train.schema, *secure.collect(grid, STATISTICS))
    data = Data(here, found.apply(here.train), found.apply(here.test))
    training = config.training(data.train.task)
    tested: list[dict[str, float]] = []

    def on_test(number: int, arrays: ArrayRecord) -> MetricRecord:
        parameters = {name: array.numpy() for name, array in arrays.items()}
        tested.append(test_quality(training, parameters, data.test))
        progress.tell("tested", round=number, **tested[-1])
        return MetricRecord({key: float(value) for key, value in tested[-1].items()})

    random.seed(config.seed)  # Flower samples hospitals by it
    initial = training.model.initial(data.train.features.shape[1], config.seed)
    result = secure.start(
        grid, record(initial), config.rounds, train_config=ConfigRecord({"preparation": found.to_json()}),
        evaluate_config=ConfigRecord({"preparation": found.to_json()}), evaluate_fn=on_test,
    )  # fmt: skip
    progress.tell("baselines")
    final: dict[str, Any] = {name: array.numpy() for name, array in result.arrays.items()}
    document = results.finish(config, secure, final, tested, data, found, progress)
    log(INFO, "Quality on the %d common test rows:", len(data.test.target))
    for who, figures, _ in results.comparison(document):
        log(INFO, "\t%-24s %s", who, "  ".join(f"{key} {value:.4f}" for key, value in figures.items()))

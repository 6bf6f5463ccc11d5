"""The Flower app: hospitals train on their own rows, and the server sees sums.

`flwr run .` starts it from a clone and `fedsec run` from anywhere. It is a simulation: the server process also holds
the common test rows and, after training, computes the baselines that the federation is compared with.
"""

from __future__ import annotations

import functools
import time
from logging import INFO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore import log
from numpy.typing import NDArray

from fedsec.errors import TooFewParties
from fedsec.flower import SecureAggregation, secure_aggregation, to_numpy
from fedsec.metering import Ledger
from fedsec.simulations import datasets, results
from fedsec.simulations.baselines import client_evaluate, client_update
from fedsec.simulations.config import FEWEST, RunConfig
from fedsec.simulations.models import Parameters, quality
from fedsec.simulations.partitions import partition

client = ClientApp(mods=[secure_aggregation])
server = ServerApp()


@functools.lru_cache(maxsize=4)
def hospitals_data(
    dataset: str, how: str, hospitals: int, seed: int
) -> tuple[datasets.Dataset, datasets.Dataset, list[NDArray[np.int64]]]:
    """Training rows, common test rows, and which training rows each hospital holds."""
    train, test = datasets.split(datasets.load(dataset), seed)
    return train, test, partition(train, hospitals, how, seed)  # type: ignore[arg-type]


def _here(context: Context) -> tuple[RunConfig, int, datasets.Dataset]:
    """This client's configuration, partition number and rows."""
    config = RunConfig.read(context.run_config)
    place, hospitals = int(context.node_config["partition-id"]), int(context.node_config["num-partitions"])
    train, _, parts = hospitals_data(config.dataset, config.partition, hospitals, config.seed)
    return config, place, train.take(parts[place])


def record(parameters: Parameters) -> ArrayRecord:
    """A model's parameters as Flower sends them."""
    return ArrayRecord({name: Array(np.ascontiguousarray(values)) for name, values in parameters.items()})


@client.train()
def train(message: Message, context: Context) -> Message:
    """Train the global model on this hospital's rows."""
    config, place, mine = _here(context)
    number = int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
    parameters, metrics = client_update(
        config.training(mine.task), number, place, to_numpy(message.content), mine.features, mine.target
    )
    counted = MetricRecord({**metrics, "num-examples": len(mine.target)})
    return Message(RecordDict({"arrays": record(parameters), "metrics": counted}), reply_to=message)


@client.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the global model on this hospital's rows."""
    config, _, mine = _here(context)
    metrics = client_evaluate(config.training(mine.task), to_numpy(message.content), mine.features, mine.target)
    return Message(
        RecordDict({"metrics": MetricRecord({**metrics, "num-examples": len(mine.target)})}), reply_to=message
    )


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


@server.main()
def main(grid: Grid, context: Context) -> None:
    """One run, from initial weights to results."""
    config = RunConfig.read(context.run_config)
    hospitals = wait_for_hospitals(grid, config.clients)
    config.prove(hospitals)
    train_rows, test_rows, parts = hospitals_data(config.dataset, config.partition, hospitals, config.seed)
    training = config.training(train_rows.task)
    progress = results.Progress(config.output)
    tested: list[dict[str, float]] = []

    def on_test(number: int, arrays: ArrayRecord) -> MetricRecord:
        parameters = {name: array.numpy() for name, array in arrays.items()}
        means = client_evaluate(training, parameters, test_rows.features, test_rows.target)
        tested.append(quality(train_rows.task, means, test_rows.target_scale))
        progress.tell("tested", round=number, **tested[-1])
        return MetricRecord({key: float(value) for key, value in tested[-1].items()})

    ledger = Ledger(watch=progress.phase)
    secure = SecureAggregation(
        config.inner(hospitals), config.protocol(), clip=config.clip, largest_weight=config.largest_weight,
        phase_timeout=config.phase_timeout, ledger=ledger, on_round=progress.round,
    )  # fmt: skip
    progress.tell("start", hospitals=hospitals, rounds=config.rounds)
    initial = training.model.initial(train_rows.features.shape[1], config.seed)
    result = secure.start(grid, record(initial), config.rounds, train_config=ConfigRecord(), evaluate_fn=on_test)
    progress.tell("baselines")
    final: dict[str, Any] = {name: array.numpy() for name, array in result.arrays.items()}
    document = results.finish(config, secure, final, tested, (train_rows, test_rows, parts), progress)
    log(INFO, "Quality on the %d common test rows:", len(test_rows.target))
    for who, figures in results.comparison(document):
        log(INFO, "\t%-24s %s", who, "  ".join(f"{key} {value:.4f}" for key, value in figures.items()))

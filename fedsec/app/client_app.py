"""The hospital's side of the study's Flower app: it trains and evaluates on its own rows, and sends what is summed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedsec.app import own_rows
from fedsec.app.config import OWN_ROWS, RunConfig
from fedsec.app.evaluated import own
from fedsec.data.bundled import Dataset
from fedsec.data.preparation import statistics, totals
from fedsec.flower import secure_aggregation
from fedsec.flower.records import from_numpy, to_numpy
from fedsec.learning.local_training import client_evaluate, client_update

LOG = logging.getLogger(__name__)

client = ClientApp(mods=[secure_aggregation])


def _features(message: Message, context: Context) -> tuple[RunConfig, Dataset]:
    config = RunConfig.parse(context.run_config)
    preparation = str(message.content.config_records["config"]["preparation"])
    return config, own_rows.prepared(config, context, preparation)


def _reply(message: Message, config: RunConfig, rows: int, metrics: Mapping[str, Any], **records: Any) -> Message:
    """Metrics, and by how many rows they count."""
    counted = MetricRecord({**metrics, "num-examples": 1 if config.equal_weights else rows})
    return Message(RecordDict({**records, "metrics": counted}), reply_to=message)


@client.query("statistics")
def count(message: Message, context: Context) -> Message:
    """What this hospital adds to the statistics that all prepare their rows by."""
    config = RunConfig.parse(context.run_config)
    mine = own_rows.rows(config, context)
    if config.dataset == OWN_ROWS:
        own_rows.check_schema(mine, message.content.config_records["config"].get("schema"))
    least = config.smallest_cell
    told = totals(mine, least) if config.equal_weights else statistics(mine, least)
    return _reply(message, config, len(mine.target), told)


@client.train()
def train(message: Message, context: Context) -> Message:
    """Train the global model on this hospital's rows."""
    config, mine = _features(message, context)
    number = int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
    training, parameters = config.training(mine.task, mine.outputs), to_numpy(message.content)
    hospital = own_rows.index(context)
    parameters, metrics = client_update(training, number, hospital, parameters, mine.features, mine.target)
    return _reply(message, config, len(mine.target), metrics, arrays=from_numpy(parameters))


@client.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the global model on this hospital's rows."""
    config, mine = _features(message, context)
    training, parameters = config.training(mine.task, mine.outputs), to_numpy(message.content)
    metrics: dict[str, Any] = dict(client_evaluate(training, parameters, mine.features, mine.target))
    outcome, score = training.model.outcome, training.model.score(parameters, mine.features)
    metrics |= outcome.sums(score, mine.target, shares=not config.equal_weights)
    if config.dataset == OWN_ROWS:
        told = own(outcome, score, mine.target)
        LOG.info("This hospital's own rows under this model, which only its log has: %s", told)
    if config.equal_weights:
        metrics |= {key: float(round(len(mine.target) * metrics[key])) for key in outcome.counts}
    return _reply(message, config, len(mine.target), metrics)

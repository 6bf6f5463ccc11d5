"""A model trained on real data under a strategy: what `fedsec compare` shows of quality."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fedsec.app.config import RunConfig
from fedsec.data import bundled
from fedsec.errors import DataError
from fedsec.learning.local_training import client_evaluate, client_update
from fedsec.local import LocalFederation, Update
from fedsec.simulations.costs.setting import Setting
from fedsec.simulations.run import baselines
from fedsec.simulations.run.partitions import partition

TASK, TASK_PARAMETERS, ROUNDS = "breast-cancer", 31, 5
UNTRAINED = "untrained"
LONG_TRAINING = 5.0
"""Seconds of training after which a strategy is not given another round. One whose single round takes longer trains
with the fewest hospitals of a sweep, and not with more."""


def train(key: Mapping[str, Any]) -> dict[str, Any]:
    """Train the default model of the task in process, its updates summed by a strategy.

    Returns the quality on the common test rows, plain FedAvg's, and the largest difference of a weight to FedAvg's;
    a strategy whose rounds take long is done after fewer, as is FedAvg. Where data do not suffice, returns why.
    """
    config = RunConfig.read({"dataset": TASK, "rounds": ROUNDS})
    rows, test = bundled.split(bundled.load(TASK), config.seed)
    try:
        parts = partition(rows, key["hospitals"], "even", config.seed)
    except DataError as error:
        return {UNTRAINED: str(error)}
    training, shares = config.training(rows.task, rows.outputs), [rows.take(part) for part in parts]
    setting = Setting(key["strategy"], key["hospitals"], 1, key["bits"], key["key_bits"])
    federation = LocalFederation(setting.protocol(), key["hospitals"], config.spec())
    model = training.model.initial(rows.features.shape[1], config.seed)
    began = time.process_time()
    for number in range(1, config.rounds + 1):
        updates = {}
        for index, share in enumerate(shares):
            arrays, metrics = client_update(training, number, index, model, share.features, share.target)
            updates[index + 1] = Update(arrays, metrics, len(share.target))
        model = federation.mean(updates, model).arrays
        if (time.process_time() - began) * (number + 1) / number > LONG_TRAINING:
            break
    plain, history = baselines.fedavg(replace(training, rounds=number), rows, parts, test)
    reached = client_evaluate(training, model, test.features, test.target)
    return {
        "dataset": TASK,
        "rounds": number,
        "metric": "log-loss",
        "value": reached["loss"],
        "plain": history[-1]["loss"],
        "largest_difference": max(float(np.abs(model[name] - plain[name]).max()) for name in plain),
    }

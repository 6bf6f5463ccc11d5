"""The row of the one table for the encrypted network: steps measured under encryption, the rest by its twin.

A step's cost does not depend on its number, and the twin in the clear is the encrypted network to 1e-9, so a few steps
say what all would cost and the twin what they would give.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from fedsec.metering import NETWORKS
from fedsec.mpc.gradient_descent import Network
from fedsec.simulations.poster.encrypted_network import network, network_experiments, sigmoids
from fedsec.simulations.poster.encrypted_network.model_owner import Owner
from fedsec.simulations.poster.encrypted_network.network import Plan, Rows, Weights
from fedsec.simulations.poster.shared_training import training_data, training_network

MEASURED = 1
SIGMOID = "minimax-5"
EXCHANGES = 4
LEARNS = (
    "the owner: the trained weights; the hospital, which holds all rows: nothing of the weights; the key holder: "
    "blinded numbers"
)


def encrypted(rows: training_data.Rows, wanted: Network, steps: int, seed: int, key_bits: int) -> dict[str, Any]:
    """All rows at one hospital, weights under their owner's key; gradient steps on the cross entropy."""
    mine, held_out = (
        Rows(features, target.ravel())
        for features, target in ((rows.features, rows.target), (rows.test_features, rows.test_target))
    )
    first, second = training_network.initial(wanted.shapes, seed)
    start, sigmoid = Weights(np.asarray(first), np.asarray(second).ravel()), sigmoids.named(SIGMOID)
    plan = Plan(sigmoid, wanted.rate)
    began = time.thread_time()
    owner = Owner.fresh(key_bits, os.urandom)
    keys = time.thread_time() - began
    measured = min(MEASURED, steps)
    run = network_experiments.encrypted(owner, [mine] * measured, start, plan, lambda *_: None)
    twin = network.train_plain([mine] * steps, start, sigmoid, plan.step)
    predicted = network.predict(held_out, twin.weights, sigmoid) > 0.5
    each = run.facts["cpu_per_iteration"]
    up, down = (run.facts[name] / measured for name in ("bytes_to_key_holder", "bytes_back"))
    return {
        "name": "encrypted network *",
        "family": "he",
        "measured": measured,
        "accuracy": float(np.mean(predicted == (held_out.labels > 0.5))),
        "cpu_seconds": keys + steps * each,
        "bytes": steps * (up + down),
        "rounds": steps * EXCHANGES,
        "learns": f"{LEARNS} (* {measured} of {steps:,} steps run and scaled)",
        "largest_difference": run.facts["largest_difference"],
        "networks": {
            name: steps * (each + EXCHANGES * 2 * line.latency + up / line.up + down / line.down)
            for name, line in NETWORKS.items()
        },
    }

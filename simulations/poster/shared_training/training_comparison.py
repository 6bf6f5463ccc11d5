"""One table: the same network, rows and seed trained in every way that protects, or does not, and what each costs.

Every way makes the same number of steps at the same rate on the summed gradient. Federated hospitals take LOCAL_STEPS
steps between two aggregations, on their own rows, each gradient times the number of hospitals so that steps are equal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fedsec import catalog
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.local import LocalFederation, Update
from fedsec.metering import NETWORKS
from fedsec.mpc.bounds import GUARDED
from fedsec.mpc.gradient_descent import Network
from fedsec.mpc.ring_fixed_point import Floats
from fedsec.simulations.poster.shared_training import (
    plain_descent,
    sigmoid_approximations,
    trained_cells,
    training_data,
    training_network,
    training_on_shares,
)
from fedsec.simulations.poster.shared_training.encrypted_network_row import encrypted
from fedsec.simulations.poster.shared_training.trained_cells import Follow
from fedsec.simulations.poster.shared_training.training_data import Rows

LOCAL_STEPS = 100
STEPS = 10_000
RATE = 2.0**-8
LAYERS = 2
HOSPITALS = 3
ACTIVATION = "clipped-5"
STRATEGIES = {"paillier": "he", "shamir": "smpc", "secagg": "smpc"}
LEARNS = {
    "pooled": "whoever pools: every row",
    "local": "nobody: nothing leaves a hospital",
    "paillier": "hospitals: each round's mean weights; the server: neither updates nor their sum",
    "shamir": "hospitals and the server: each round's mean weights; any k hospitals: no update",
    "secagg": "hospitals and the server: each round's mean weights",
    "shares": "hospitals: the final weights; compute parties, dealer, server: nothing, unless two of the three collude",
}
Way = Callable[[Rows, Network, int, int], dict[str, Any]]
"""Trains (rows, network, steps, seed): returns name, family, accuracy, cpu_seconds, bytes, rounds, networks, learns."""


def plain_cpu(rows: Rows, weights: Sequence[Floats], rate: float, steps: int) -> tuple[list[Floats], float]:
    """Plain descent on all training rows, and the CPU that it took."""
    plain_descent.descend(weights, rows.features, rows.target, rate, 0)  # compiled before the clock starts
    began = time.thread_time()
    trained = plain_descent.descend(weights, rows.features, rows.target, rate, steps)
    return trained, time.thread_time() - began


def pooled(rows: Rows, network: Network, steps: int, seed: int) -> dict[str, Any]:
    """All rows in one place, in doubles with the exact sigmoid."""
    weights, cpu = plain_cpu(rows, training_network.initial(network.shapes, seed), network.step.value, steps)
    found = training_network.accuracy(weights, rows, sigmoid_approximations.sigmoid)
    return _row("pooled, plain", "clear", found, cpu, 0, 0, LEARNS["pooled"])


def local(rows: Rows, network: Network, steps: int, seed: int) -> dict[str, Any]:
    """Each hospital alone: the mean accuracy."""
    found, cpu = [], 0.0
    for features, target in rows.hospitals(HOSPITALS):
        part = Rows(features, target, rows.test_features, rows.test_target)
        weights, spent = plain_cpu(
            part, training_network.initial(network.shapes, seed), HOSPITALS * network.step.value, steps
        )
        found.append(training_network.accuracy(weights, rows, sigmoid_approximations.sigmoid))
        cpu += spent
    return _row("local only (mean of 3)", "clear", float(np.mean(found)), cpu, 0, 0, LEARNS["local"])


def federated(name: str, key_bits: int | None = None) -> Way:
    """Federated averaging under a strategy of the catalogue, in process, metered."""

    def train(rows: Rows, network: Network, steps: int, seed: int) -> dict[str, Any]:
        parameters = {} if key_bits is None else {"key_bits": key_bits}
        spec = MeanSpec(clip=16.0, largest_weight=1000)
        parts, weights, cpu = rows.hospitals(HOSPITALS), training_network.initial(network.shapes, seed), 0.0
        first = {f"w{index}": matrix for index, matrix in enumerate(weights)}
        federation, compiling = (
            LocalFederation(catalog.strategy(name)(**parameters), HOSPITALS, spec) for _ in range(2)
        )
        compiling.mean({n: Update(first, {}, len(part[1])) for n, part in enumerate(parts, start=1)}, first)
        for _ in range(steps // LOCAL_STEPS):
            updates = {}
            for number, (features, target) in enumerate(parts, start=1):
                part = Rows(features, target, rows.test_features, rows.test_target)
                own, spent = plain_cpu(part, weights, HOSPITALS * network.step.value, LOCAL_STEPS)
                cpu += spent
                updates[number] = Update({f"w{index}": matrix for index, matrix in enumerate(own)}, {}, len(target))
            reference = {f"w{index}": matrix for index, matrix in enumerate(weights)}
            mean = federation.mean(updates, reference)
            weights = [np.asarray(mean.arrays[f"w{index}"], np.float64) for index in range(len(weights))]
        ledger = federation.ledger.rows
        hospital = [row for row in ledger if row.role == "hospital"]
        cpu += sum(row.cpu_seconds for row in ledger)
        sent = sum(row.bytes_down + row.bytes_up for row in hospital)
        made = _row(
            f"federated, {name}",
            STRATEGIES[name],
            training_network.accuracy(weights, rows, sigmoid_approximations.sigmoid),
            cpu,
            sent,
            len(hospital),
            LEARNS[name],
        )
        return made | {"networks": {index: line.seconds(ledger) for index, line in NETWORKS.items()}}

    return train


def on_shares(folder: Path | None, follow: Follow | None) -> Way:
    """The rows themselves on shares, with the bounded activation."""

    def train(rows: Rows, network: Network, steps: int, seed: int) -> dict[str, Any]:
        found = training_on_shares.on_shares(
            LAYERS, ACTIVATION, steps, folder, HOSPITALS, seed, follow=follow, rate=network.rate, split=seed
        )
        cost = training_on_shares.costs(LAYERS, ACTIVATION)
        guard, looks = cost["guard"], 1 + steps // GUARDED
        cpu = steps * (2 * cost["party_cpu"] + cost["dealer_cpu"])
        sent = steps * (2 * cost["online_bytes"] + cost["offline_bytes"]) + cost["input_bytes"]
        sent += looks * (2 * guard["online_bytes"] + guard["offline_bytes"])
        rounds = steps * cost["rounds"] + looks * guard["rounds"]
        made = _row("training on shares", "shares", found["accuracy"], cpu, sent, rounds, LEARNS["shares"])
        seconds = {index: steps * each + looks * guard["networks"][index] for index, each in cost["networks"].items()}
        return made | {"networks": seconds}

    return train


def _row(name: str, family: str, accuracy: float, cpu: float, sent: float, rounds: int, learns: str) -> dict[str, Any]:
    return {
        "name": name,
        "family": family,
        "accuracy": accuracy,
        "cpu_seconds": cpu,
        "bytes": sent,
        "rounds": rounds,
        "learns": learns,
        "networks": dict.fromkeys(NETWORKS, 0.0),
    }


def table(
    steps: int = STEPS, seed: int = 0, folder: Path | None = None, follow: Follow | None = None, key_bits: int = 3072
) -> list[dict[str, Any]]:
    """All rows, each kept in `folder` once made. Bytes are of all links, a relayed opening being sent twice."""
    rows, network = training_data.diabetes(seed), training_network.network(LAYERS, ACTIVATION, RATE)
    ways: Mapping[str, Way] = {
        "pooled": pooled,
        "local": local,
        "paillier": federated("paillier", key_bits),
        "shamir": federated("shamir"),
        "secagg": federated("secagg"),
        "shares": on_shares(folder, follow),
        "encrypted": partial(encrypted, key_bits=key_bits),
    }
    made = []
    for name, way in ways.items():
        key = f"table-{name}-{steps}-seed-{seed}" + (f"-{key_bits}" if name in ("paillier", "encrypted") else "")
        made.append(trained_cells.kept(folder, key, lambda way=way: way(rows, network, steps, seed)))  # type: ignore[misc]
    return made

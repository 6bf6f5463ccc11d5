"""The experiments with the encrypted network: what each measures, as plain facts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedsec.data.bundled import load, split
from fedsec.errors import ConfigurationError
from fedsec.primitives import paillier
from fedsec.simulations.poster.encrypted_network import affine_model, encrypted_training, network, sigmoids
from fedsec.simulations.poster.encrypted_network.key_holder import Clear
from fedsec.simulations.poster.encrypted_network.model_owner import Owner
from fedsec.simulations.poster.encrypted_network.network import XOR, Plan, Rows, Weights
from fedsec.simulations.poster.encrypted_network.sigmoids import Floats, Sigmoid
from fedsec.simulations.poster.tables.linear_regression import Follow

HIDDEN = 4
MARGIN = 0.25
"""XOR is solved where every output is that near to 0 or 1."""
AGREEMENT = 1e-9
SIGMOIDS = (
    "taylor-3",
    "taylor-5",
    "taylor-7",
    "taylor-9",
    "interpolated-3",
    "interpolated-5",
    "interpolated-7",
    "interpolated-9",
    "interpolated-5:5",
    "minimax-5",
    "minimax-7",
)
PRECISIONS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48)
SEEDS = range(10)
PREFIX = 2
CANCER_ROWS, CANCER_STEPS, CANCER_RATE = 16, 30, 0.1
CANCER_SIGMOID = "interpolated-5:8"


def solved(outputs: Floats, labels: Floats = XOR.labels) -> bool:
    """Every output right, with the margin."""
    return bool(np.all(np.abs(outputs - labels) <= 0.5 - MARGIN))


@dataclass(frozen=True)
class Run:
    """A training under encryption beside its twin in floating point."""

    weights: Weights
    twin: Weights
    facts: dict[str, Any]


def encrypted(
    owner: Owner, batches: Sequence[Rows], weights: Weights, plan: Plan, follow: Callable[[int, int], None]
) -> Run:
    """Train on every batch, encrypted and in the clear. Raises ConfigurationError where a value overflows."""
    started = time.perf_counter()
    twin = network.train_plain(batches, weights, plan.sigmoid, plan.step)
    plain_seconds = time.perf_counter() - started
    plan.check(owner.private.public.plaintext_bits, twin.largest)
    hospital = owner.hospital()
    held = encrypted_training.hold(weights, plan.precision, owner.encrypt)
    started, cpu = time.perf_counter(), time.process_time()
    held = encrypted_training.train(batches, held, plan, hospital, follow)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    found, count = encrypted_training.open_(held, owner.decrypt), len(batches)
    facts = {
        "sigmoid": plan.sigmoid.name,
        "eta": plan.rate,
        "iterations": count,
        "precision": plan.precision,
        "rows": len(batches[0].labels),
        "inputs": batches[0].features.shape[1],
        "hidden": weights.second.size,
        "largest_difference": float(np.max(np.abs(found.flat() - twin.weights.flat()))),
        "largest": twin.largest,
        "seconds": seconds,
        "seconds_per_iteration": seconds / count,
        "cpu_per_iteration": cpu / count,
        "plain_per_iteration": plain_seconds / count,
        "slower": seconds / plain_seconds,
        "exchanges": hospital.exchanges,
        "bytes_to_key_holder": hospital.sent,
        "bytes_back": hospital.received,
    }
    return Run(found, twin.weights, facts)


def xor(owner: Owner, plan: Plan, iterations: int, seed: int, follow: Follow) -> dict[str, Any]:
    """Design B on exclusive or."""
    first = network.start(XOR.features.shape[1], HIDDEN, seed)
    progress = _progress_of(follow, "3-4-1 network on XOR")
    run = encrypted(owner, [XOR] * iterations, first, plan, progress)
    outputs = network.predict(XOR, run.weights, plan.sigmoid)
    twin = network.predict(XOR, run.twin, plan.sigmoid)
    return run.facts | {"outputs": outputs.tolist(), "twin": twin.tolist(), "solved": solved(outputs)}


def cancer(owner: Owner, seed: int, follow: Follow) -> dict[str, Any]:
    """Design B on the first two features of the breast cancer data, 16 rows at a time; tested on the held-out fifth."""
    train, test = split(load("breast-cancer"), seed)
    rows, held_out = (
        Rows(np.column_stack([part.features[:, :2], np.ones(len(part.target))]), part.target) for part in (train, test)
    )
    indices = np.arange(CANCER_ROWS * CANCER_STEPS) % len(rows.labels)
    batches = [rows.take([int(p) for p in some]) for some in np.split(indices, CANCER_STEPS)]
    sigmoid = sigmoids.named(CANCER_SIGMOID)
    first, progress = network.start(3, HIDDEN, seed), _progress_of(follow, "3-4-1 network on breast cancer")
    run = encrypted(owner, batches, first, Plan(sigmoid, CANCER_RATE), progress)

    def right(weights: Weights) -> float:
        return float(np.mean((network.predict(held_out, weights, sigmoid) > 0.5) == (held_out.labels > 0.5)))

    return run.facts | {
        "features": list(train.feature_names[:2]),
        "accuracy": right(run.weights),
        "accuracy_plain": right(run.twin),
        "accuracy_majority": float(max(held_out.labels.mean(), 1 - held_out.labels.mean())),
    }


def over_flower(owner: Owner, plan: Plan, seed: int, follow: Follow) -> dict[str, Any]:
    """A prefix of design B on exclusive or over Flower, beside the same in process: weights, exchanges and bytes."""
    from fedsec.simulations.poster.encrypted_network import network_flower  # Flower takes seconds to import

    follow("the same over Flower", 0, 1)
    found = network_flower.run(plan, PREFIX, seed, owner.private.public.bits)
    first = network.start(3, HIDDEN, seed)
    here = encrypted(owner, [XOR] * PREFIX, first, plan, lambda *_: None)
    counted = ("exchanges", "bytes_to_key_holder", "bytes_back")
    return {
        "iterations": PREFIX,
        "precision": plan.precision,
        **{name: found[name] for name in counted},
        "same_bytes": all(found[name] == here.facts[name] for name in counted),
        "outputs": found["outputs"],
        "largest_difference": float(np.max(np.abs(np.array(found["weights"]) - here.twin.flat()))),
    }


def tangent(owner: Owner, follow: Follow) -> dict[str, Any]:
    """Design A, and when it overflows without the key holder's refresh."""
    affine_model.check(owner.private.public.bits, affine_model.EVERY)
    hospital, count = owner.hospital(), affine_model.ITERATIONS
    started = time.perf_counter()
    held = affine_model.train(owner.encrypt([0] * 4), hospital, count, _progress_of(follow, "affine model on XOR"))
    seconds = time.perf_counter() - started
    weights = np.array([value / 2**affine_model.FLOAT_BITS for value in owner.decrypt(held)])
    started = time.perf_counter()
    twin = affine_model.train_plain(count)
    plain = time.perf_counter() - started
    return {
        "outputs": affine_model.predict(weights).tolist(),
        "twin": affine_model.predict(twin).tolist(),
        "iterations": count,
        "eta": affine_model.RATE,
        "refresh_every": affine_model.EVERY,
        "solved": solved(affine_model.predict(weights)),
        "largest_difference": float(np.max(np.abs(weights - twin))),
        "seconds": seconds,
        "seconds_per_iteration": seconds / count,
        "slower": seconds / plain,
        "exchanges": hospital.exchanges,
        "bytes_to_key_holder": hospital.sent,
        "bytes_back": hospital.received,
    }


def overflow(owner: Owner, smaller: int, follow: Follow) -> list[dict[str, int | None]]:
    """Design A without a refresh, under this key and a smaller one that protects nothing: where weights go wrong."""
    follow("overflow without a refresh", 0, 1)
    out: list[dict[str, int | None]] = []
    for one in (Owner(paillier.generate(smaller, owner.rng), owner.rng), owner):
        bits = one.private.public.bits
        most = bits // affine_model.STEP_BITS + 2
        first = affine_model.overflows(one.encrypt([0] * 4), one.hospital(), one.decrypt, most)
        out.append({"key_bits": bits, "wrong_from_iteration": first})
    return out


def activations(owner: Owner, iterations: int, rate: float, precision: int, follow: Follow) -> list[dict[str, Any]]:
    """Each sigmoid: its error, XOR over seeds in the clear, products of secrets, and a prefix under encryption."""
    out = []
    for done, name in enumerate(SIGMOIDS):
        follow("sigmoids compared", done, len(SIGMOIDS))
        sigmoid, first = sigmoids.named(name), network.start(3, HIDDEN, SEEDS[0])
        ends = [_to_the_end(sigmoid, iterations, rate, seed) for seed in SEEDS]
        prefix = encrypted(owner, [XOR] * PREFIX, first, Plan(sigmoid, rate, precision), lambda *_: None)
        first_bad = [bad for _, _, bad in ends if bad is not None]
        out.append(
            {
                "sigmoid": name,
                "degree": sigmoid.degree,
                "error_1": sigmoid.error(1.0),
                "error_5": sigmoid.error(5.0),
                "error_8": sigmoid.error(8.0),
                "solved": sum(end for end, _, _ in ends),
                "solved_on_the_way": sum(once for _, once, _ in ends),
                "exploded": len(first_bad),
                "seeds": len(SEEDS),
                "explodes_from": min(first_bad, default=None),
                "products": sigmoids.products(sigmoid),
                "prefix": PREFIX,
                "prefix_difference": prefix.facts["largest_difference"],
                "seconds_per_iteration": prefix.facts["seconds_per_iteration"],
            }
        )
    return out


def _to_the_end(sigmoid: Sigmoid, iterations: int, rate: float, seed: int) -> tuple[bool, bool, int | None]:
    """Whether XOR is solved at the end, was solved on the way, and the iteration from which weights pass a million."""
    weights, once = network.start(3, HIDDEN, seed), False
    for done in range(1, iterations + 1):
        step = network.train_plain([XOR], weights, sigmoid, rate)
        weights = step.weights
        if not np.all(np.abs(weights.flat()) < 1e6):
            return False, once, done
        once = once or solved(network.predict(XOR, weights, sigmoid))
    return solved(network.predict(XOR, weights, sigmoid)), once, None


def precisions(plan: Plan, iterations: int, seed: int, follow: Follow) -> list[dict[str, Any]]:
    """The same steps and roundings on integers in the clear, at many precisions, beside floating point."""
    first = network.start(3, HIDDEN, seed)
    twin = network.train_plain([XOR] * iterations, first, plan.sigmoid, plan.step).weights
    out = []
    for done, bits in enumerate(PRECISIONS):
        follow("precision swept", done, len(PRECISIONS))
        cut = Plan(plan.sigmoid, plan.rate, bits, plan.whole)
        held = encrypted_training.train(
            [XOR] * iterations, encrypted_training.hold(first, bits, list), cut, Clear(), lambda *_: None
        )
        try:
            found = encrypted_training.open_(held, list)
        except OverflowError:
            found = Weights(np.full((3, HIDDEN), np.inf), np.full(HIDDEN, np.inf))
        outputs = network.predict(XOR, found, plan.sigmoid)
        difference = float(np.max(np.abs(found.flat() - twin.flat())))
        finite = np.isfinite(difference)
        out.append(
            {
                "precision": bits,
                "difference": difference if finite else None,
                "solved": bool(finite and solved(outputs)),
                "outputs": outputs.tolist() if finite else None,
            }
        )
    return out


def _progress_of(follow: Follow, what: str) -> Callable[[int, int], None]:
    return lambda done, total: follow(what, done, total)


def checked(precision: int, rate: float, sigmoid: str, iterations: int, key_bits: int, seed: int) -> Plan:
    """The plan of a run on XOR. Raises ConfigurationError before anything is computed where it cannot work."""
    if iterations < 1:
        raise ConfigurationError(f"iterations is {iterations}; it must be at least 1")
    if seed < 0:
        raise ConfigurationError(f"seed is {seed}; it must be at least 0")
    plan = Plan(sigmoids.named(sigmoid), rate, precision)
    twin = network.train_plain([XOR] * iterations, network.start(3, HIDDEN, seed), plan.sigmoid, rate)
    plan.check(key_bits - 1, twin.largest)
    return plan

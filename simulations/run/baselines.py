"""What the federation is measured against: one pooled dataset, each hospital alone, and FedAvg in the clear.

All three, and the Flower client, train by `client_update`, so they differ in who sees which rows and in nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import ConfigurationError
from fedsec.data.bundled import Dataset, Floats
from fedsec.learning.auc import auc
from fedsec.learning.models import LEARNING_RATES, Model, Parameters, local_rng, quality


@dataclass(frozen=True)
class Training:
    """How a model is trained: `rounds` rounds of `epochs` local passes each.

    model: from `build`. rounds, epochs, batch_size >= 1. learning_rate > 0; None means the task's own, LEARNING_RATES.
    seed: 0 .. 2**32 - 1. proximal >= 0: the mu of FedProx. equal: hospitals count alike, not by rows.
    Raises ConfigurationError for a value out of range.
    """

    model: Model
    rounds: int = 5
    epochs: int = 5
    learning_rate: float | None = None
    batch_size: int = 16
    seed: int = 0
    proximal: float = 0.0
    equal: bool = False

    def __post_init__(self) -> None:
        for field, count in (("rounds", self.rounds), ("epochs", self.epochs), ("batch_size", self.batch_size)):
            if count < 1:
                raise ConfigurationError(f"{field} is {count}; it must be at least 1")
        if not (math.isfinite(self.rate) and self.rate > 0.0):
            raise ConfigurationError(f"learning_rate is {self.rate}; it must be finite and above 0")
        if not 0 <= self.seed < 2**32:
            raise ConfigurationError(f"seed is {self.seed}; it must be from 0 to 2**32 - 1")
        if not (math.isfinite(self.proximal) and self.proximal >= 0.0):
            raise ConfigurationError(f"proximal is {self.proximal}; it must be finite and at least 0")

    @property
    def rate(self) -> float:
        """The step size of SGD: learning_rate, or the task's default."""
        return LEARNING_RATES[self.model.task] if self.learning_rate is None else self.learning_rate


def client_update(
    training: Training, round: int, hospital: int, parameters: Parameters, features: Floats, target: Floats
) -> tuple[Parameters, dict[str, float]]:
    """One hospital's part of one round: its new parameters, and {"train_loss": mean loss over its rows after it}.

    round: from 1. hospital: the index of its partition, from 0. features: float64[rows, columns]; target:
    float64[rows]. Deterministic in its arguments. Raises as Model.train and local_rng do.
    """
    new, loss = training.model.train(
        parameters,
        features,
        target,
        local_rng(training.seed, round, hospital),
        training.epochs,
        training.rate,
        training.batch_size,
        training.proximal,
    )
    return new, {"train_loss": loss}


def client_evaluate(training: Training, parameters: Parameters, features: Floats, target: Floats) -> dict[str, float]:
    """One hospital's means per example of these parameters on its rows: `Model.evaluate`."""
    return training.model.evaluate(parameters, features, target)


def pooled(training: Training, train: Dataset, test: Dataset) -> dict[str, float]:
    """Quality on `test` of training on all rows in one place, with the passes of the federation, rounds x epochs."""
    return test_quality(training, pooled_model(training, train), test)


def alone(
    training: Training, train: Dataset, parts: Sequence[NDArray[np.int64]], test: Dataset
) -> list[dict[str, float]]:
    """Quality on the common `test` of each hospital's own model, trained on its rows only, rounds x epochs passes."""
    return [test_quality(training, model, test) for model in lone_models(training, train, parts)]


def pooled_model(training: Training, train: Dataset) -> Parameters:
    """What `pooled` measures."""
    return _last(_rounds(training, {0: train}))


def lone_models(training: Training, train: Dataset, parts: Sequence[NDArray[np.int64]]) -> list[Parameters]:
    """What `alone` measures."""
    return [_last(_rounds(training, {hospital: train.take(rows)})) for hospital, rows in enumerate(parts)]


def fedavg(
    training: Training, train: Dataset, parts: Sequence[NDArray[np.int64]], test: Dataset
) -> tuple[Parameters, list[dict[str, float]]]:
    """FedAvg (McMahan et al., arXiv:1602.05629) without encryption or rounding: parameters, and quality per round.

    Every hospital takes part in every round, weighted by its rows. It is the exact, unquantised twin of the
    federated run: the same local training, and the mean in float64.
    """
    shares = {hospital: train.take(rows) for hospital, rows in enumerate(parts)}
    history = list(_rounds(training, shares))
    return history[-1], [test_quality(training, parameters, test) for parameters in history]


def _rounds(training: Training, shares: dict[int, Dataset]) -> Iterator[Parameters]:
    """The global parameters after each round, over the hospitals in `shares`; with one hospital, plain training."""
    columns = next(iter(shares.values())).features.shape[1]
    parameters = training.model.initial(columns, training.seed)
    weights = np.array([1 if training.equal else len(share.target) for share in shares.values()], dtype=np.float64)
    weights /= weights.sum()
    for round in range(1, training.rounds + 1):
        updates = [
            client_update(training, round, hospital, parameters, share.features, share.target)[0]
            for hospital, share in shares.items()
        ]
        parameters = {
            name: np.tensordot(weights, np.stack([update[name] for update in updates]), axes=1) for name in parameters
        }
        yield parameters


def _last(history: Iterator[Parameters]) -> Parameters:
    return list(history)[-1]


def test_quality(training: Training, parameters: Parameters, test: Dataset) -> dict[str, float]:
    """What `quality` says of these parameters on rows in one place, and for classification their exact AUC."""
    means = client_evaluate(training, parameters, test.features, test.target)
    found = quality(training.model.task, means, test.target_scale)
    if training.model.task == "classification":
        found["auc"] = auc(training.model.score(parameters, test.features), test.target)
    return found

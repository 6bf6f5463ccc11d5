"""What the federation is measured against: one pooled dataset, each hospital alone, and FedAvg in the clear.

All three, and the Flower client, train by `client_update`, so they differ in who sees which rows and in nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Dataset
from fedsec.learning.local_training import Training, client_update, test_quality
from fedsec.learning.models import Parameters


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


def fedavg_model(training: Training, shares: dict[int, Dataset]) -> Parameters:
    """What FedAvg in the clear reaches over these hospitals' rows, by their indices."""
    return _last(_rounds(training, shares))


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

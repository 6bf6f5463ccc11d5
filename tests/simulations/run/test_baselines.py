"""Baselines: FedAvg by hand, what equals what, and that federating is worth it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedsec.data.bundled import Dataset, load, split
from fedsec.errors import ConfigurationError
from fedsec.learning import outcomes
from fedsec.learning.local_training import Training, client_evaluate, client_update
from fedsec.learning.models import Parameters, build, local_rng
from fedsec.simulations.run.baselines import alone, fedavg, pooled
from fedsec.simulations.run.partitions import PARTITIONINGS, Partitioning, Rows, partition

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["breast-cancer", "diabetes"])
def parts_of(request: pytest.FixtureRequest) -> tuple[Dataset, Dataset]:
    return split(load(request.param), 0)


def hospitals(train: Dataset, how: Partitioning = "label-skew") -> list[Rows]:
    return partition(train, 5, how, 0)


def assert_same(left: Parameters, right: Parameters) -> None:
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=1e-12, atol=1e-12)


def test_client_update_is_train_with_the_keyed_generator(parts_of: tuple[Dataset, Dataset]) -> None:
    train, _ = parts_of
    training = Training(build("mlp", train.task), seed=7, proximal=0.1)
    start = training.model.initial(train.features.shape[1], 7)
    new, metrics = client_update(training, 2, 3, start, train.features, train.target)
    again, loss = training.model.train(
        start, train.features, train.target, local_rng(7, 2, 3), 5, training.rate, 16, 0.1
    )
    assert_same(new, again)
    assert metrics == {"train_loss": loss}


@pytest.mark.parametrize("name", ["auto", "mlp"])
def test_fedavg_by_hand(parts_of: tuple[Dataset, Dataset], name: str) -> None:
    train, test = parts_of
    training = Training(build(name, train.task), rounds=2, epochs=1)
    parts = hospitals(train)
    parameters = training.model.initial(train.features.shape[1], 0)
    for round in (1, 2):
        total = {key: np.zeros_like(values) for key, values in parameters.items()}
        for hospital, rows in enumerate(parts):
            new, _ = client_update(training, round, hospital, parameters, train.features[rows], train.target[rows])
            for key in total:
                total[key] += len(rows) * (new[key] - parameters[key])
        parameters = {key: parameters[key] + total[key] / len(train.target) for key in parameters}
    found, history = fedavg(training, train, parts, test)
    assert_same(found, parameters)
    means = client_evaluate(training, found, test.features, test.target)
    expected = outcomes.of(train.task).quality(means, test.target_scale)
    if train.task == "classification":
        expected["auc"] = roc_auc_score(test.target, training.model.score(found, test.features))
    assert history[-1] == pytest.approx(expected, abs=1e-12)
    assert len(history) == 2


def test_one_hospital_is_pooled_and_alone(parts_of: tuple[Dataset, Dataset]) -> None:
    train, test = parts_of
    training = Training(build("auto", train.task), rounds=2, epochs=1)
    everything = [np.arange(len(train.target))]
    expected = pooled(training, train, test)
    assert fedavg(training, train, everything, test)[1][-1] == expected
    assert alone(training, train, everything, test) == [expected]


def test_quality_is_in_original_units() -> None:
    train, test = split(load("diabetes"), 0)
    figures = pooled(Training(build("auto", "regression")), train, test)
    assert 40.0 < figures["rmse"] < 70.0  # the progression score itself has a standard deviation of 77


@pytest.mark.parametrize("how", PARTITIONINGS)
@pytest.mark.parametrize("model", ["auto", "mlp"])
def test_federating_is_near_pooled_and_beats_alone(
    parts_of: tuple[Dataset, Dataset], how: Partitioning, model: str
) -> None:
    train, test = parts_of
    figure, near = ("accuracy", 0.03) if train.task == "classification" else ("r2", 0.06)
    training = Training(build(model, train.task))
    parts = hospitals(train, how)
    together = fedavg(training, train, parts, test)[1][-1][figure]
    apart = float(np.mean([figures[figure] for figures in alone(training, train, parts, test)]))
    assert together > pooled(training, train, test)[figure] - near
    assert together > apart if how == "label-skew" else together > apart - 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounds": 0}, "rounds is 0; it must be at least 1"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": -3}, "batch_size is -3"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be finite and above 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"proximal": -0.1}, "proximal is -0.1; it must be finite and at least 0"),
        ({"proximal": math.inf}, "proximal is inf"),
    ],
)
def test_settings_out_of_range(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Training(build("auto", "regression"), **change)


def test_rate_is_the_tasks_unless_given() -> None:
    assert Training(build("auto", "regression")).rate == 0.005
    assert Training(build("auto", "classification")).rate == 0.1
    assert Training(build("auto", "regression"), learning_rate=0.5).rate == 0.5

"""Torch modules as models; with torch installed, as its extra does."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from fedsec.data.bundled import load, split
from fedsec.data.label import Task
from fedsec.errors import ConfigurationError
from fedsec.learning import models
from fedsec.learning.local_training import Training
from fedsec.learning.models import build, local_rng
from fedsec.simulations.run.baselines import fedavg, pooled
from fedsec.simulations.run.partitions import partition

pytestmark = pytest.mark.slow


def test_without_torch_its_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Any = importlib.util.find_spec
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    with pytest.raises(ConfigurationError, match=r"needs torch, which is not installed: pip install 'fedsec\[torch\]'"):
        build("torch-mlp", "classification")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_gradients_are_those_of_the_loss(task: Task) -> None:
    pytest.importorskip("torch")
    rng, model = np.random.default_rng(3), build("torch-mlp", task)
    features, target = rng.normal(size=(40, 5)), rng.integers(0, 2, 40).astype(np.float64)
    start = model.initial(5, 1)
    assert all(np.array_equal(start[name], values) for name, values in model.initial(5, 1).items())
    loss, gradient = model.loss_and_gradient(start, features, target)
    step = {name: values - 1e-2 * gradient[name] for name, values in start.items()}
    slope = sum(float(np.square(values).sum()) for values in gradient.values())
    fallen = loss - model.loss_and_gradient(step, features, target)[0]
    assert fallen == pytest.approx(1e-2 * slope, rel=0.1)
    # one batch of all rows is one step of plain gradient descent
    new, _ = model.train(start, features, target, local_rng(1, 1, 1), 1, 1e-2, 40)
    for name, values in step.items():
        assert new[name] == pytest.approx(values, abs=1e-6)


def test_the_proximal_term_holds_the_model_back() -> None:
    pytest.importorskip("torch")
    train, _ = split(load("breast-cancer"), 1)
    model = build("torch-mlp", "classification")
    start = model.initial(train.features.shape[1], 1)

    def way(proximal: float) -> float:
        new, _ = model.train(start, train.features, train.target, local_rng(1, 1, 1), 2, 0.05, 16, proximal)
        return sum(float(np.square(new[name] - start[name]).sum()) for name in start)

    assert way(1.0) < 0.5 * way(0.0)


def test_a_federation_trains_it() -> None:
    pytest.importorskip("torch")
    train, test = split(load("breast-cancer"), 1)
    training = Training(build("torch-mlp", train.task), rounds=3, seed=1)
    parameters, history = fedavg(training, train, partition(train, 5, "even", 1), test)
    assert set(parameters) == {f"{layer}.{part}" for layer in (0, 2, 4) for part in ("weight", "bias")}
    assert history[-1]["auc"] > 0.98 and pooled(training, train, test)["auc"] > 0.98

"""Torch modules as models of the simulation: the parameters that travel are the module's own, by their names.

Imported only where such a model is asked for: torch is an extra.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from fedsec.data.bundled import Floats
from fedsec.data.label import Task
from fedsec.learning.models import Descent, Model, Parameters

torch.set_num_threads(1)  # for networks as small as these, waking threads takes longer than the work


class TorchModel(Model):
    """A model that is a torch module: (rows, columns) to (rows, 1), in float32, without buffers."""

    @abstractmethod
    def module(self, columns: int) -> nn.Module:
        """The module for `columns` features."""

    def initial(self, columns: int, seed: int) -> Parameters:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _arrays(self.module(columns))

    def score(self, parameters: Parameters, features: Floats) -> Floats:
        with torch.no_grad():
            scored = self._loaded(parameters, features.shape[1])(_tensor(features)).squeeze(1)
        return np.asarray(scored.numpy(), dtype=np.float64)

    def backward(self, parameters: Parameters, features: Floats, slope: Floats) -> Parameters:
        module = self._loaded(parameters, features.shape[1])
        module(_tensor(features)).squeeze(1).backward(_tensor(slope) / len(slope))
        return {name: value.grad.numpy() for name, value in module.named_parameters() if value.grad is not None}

    def _descended(
        self, parameters: Parameters, features: Floats, target: Floats, descent: Descent, rng: np.random.Generator
    ) -> Parameters:
        """With torch's SGD and the gradients of autograd."""
        module = self._loaded(parameters, features.shape[1])
        start = {name: _tensor(value) for name, value in descent.anchor.items()}
        optimiser = torch.optim.SGD(module.parameters(), lr=descent.learning_rate)
        loss_of = nn.BCEWithLogitsLoss() if self.task == "classification" else nn.MSELoss()
        inputs, wanted = _tensor(features), _tensor(target)
        for rows in descent.batches(len(target), rng):
            batch = torch.from_numpy(rows)
            optimiser.zero_grad()
            loss = loss_of(module(inputs[batch]).squeeze(1), wanted[batch])
            if descent.proximal:
                loss = loss + descent.proximal / 2 * sum(
                    (value - start[name]).square().sum() for name, value in module.named_parameters()
                )
            loss.backward()
            optimiser.step()
        return _arrays(module)

    def _loaded(self, parameters: Parameters, columns: int) -> nn.Module:
        module = self.module(columns)
        module.load_state_dict({name: _tensor(value) for name, value in parameters.items()})
        return module


class TabularNetwork(TorchModel):
    """Two hidden layers, of 32 and 16 rectified units."""

    name = "torch-mlp"
    tasks: ClassVar[tuple[Task, ...]] = ("classification", "regression")

    def module(self, columns: int) -> nn.Module:
        return nn.Sequential(nn.Linear(columns, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))


def _tensor(array: Floats) -> torch.Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _arrays(module: nn.Module) -> Parameters:
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}

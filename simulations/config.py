"""What a simulation run is made of: one description for the command line, the run configuration and result.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Literal

from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedProx, FedYogi
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedsec import catalog
from fedsec.encoding import FixedPoint, prove_headroom
from fedsec.errors import ConfigurationError, unknown
from fedsec.mean import MeanSpec
from fedsec.protocol import SecureSum
from fedsec.simulations import datasets, models
from fedsec.simulations.baselines import Training

AGGREGATORS: Mapping[str, type[FedAvg]] = {
    "fedavg": FedAvg, "fedavgm": FedAvgM, "fedadam": FedAdam, "fedyogi": FedYogi,
    "fedadagrad": FedAdagrad, "fedprox": FedProx,
}  # fmt: skip
FEWEST = 3


class RunConfig(BaseModel):
    """The options of a run, under the names of the command line; `pyproject.toml` declares the same defaults."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True
    )

    strategy: str = "shamir"
    parameters: str = Field("{}", description="parameters of the strategy, as JSON")
    dataset: str = "breast-cancer"
    model: str = "auto"
    clients: int = Field(0, ge=0, description="hospitals to wait for; 0 means all that connect")
    partition: Literal["even", "label-skew"] = "even"
    rounds: int = Field(5, ge=1)
    seed: int = Field(1, ge=0, lt=2**32)
    aggregator: str = "fedavg"
    epochs: int = Field(5, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(0.0, ge=0.0, description="0 means the task's default")
    proximal: float = Field(0.0, ge=0.0)
    clip: float = Field(4.0, gt=0.0)
    largest_weight: int = Field(1000, ge=1)
    phase_timeout: float = Field(120.0, gt=0.0)
    output: str = ""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> RunConfig:
        """A checked configuration; raises ConfigurationError naming field, value and limit."""
        try:
            config = cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            field, what = ".".join(map(str, first["loc"])), first["msg"].lower()
            if first["type"] == "extra_forbidden":
                raise unknown("option", field, [name.replace("_", "-") for name in cls.model_fields]) from None
            raise ConfigurationError(f"{field} is {first['input']!r}: {what}") from None
        config.protocol()
        if config.aggregator not in AGGREGATORS:
            raise unknown("aggregator", config.aggregator, AGGREGATORS)
        if config.dataset not in datasets.DATASETS:
            raise unknown("dataset", config.dataset, datasets.DATASETS)
        return config

    def protocol(self) -> SecureSum[Any, Any]:
        """The strategy with its parameters."""
        try:
            parameters = json.loads(self.parameters)
        except ValueError:
            parameters = None
        if not isinstance(parameters, dict):
            raise ConfigurationError(f"parameters is {self.parameters!r}: a JSON object was expected")
        kind = catalog.strategy(self.strategy)
        return catalog.build(kind.__module__.rpartition(".")[2], parameters)

    def training(self, task: datasets.Task) -> Training:
        """How each hospital trains."""
        model = models.build(self.model, task)
        return Training(
            model, self.rounds, self.epochs, self.learning_rate or None, self.batch_size, self.seed, self.proximal
        )

    def spec(self) -> MeanSpec:
        """How updates become integers."""
        return MeanSpec(self.clip, self.largest_weight)

    def prove(self, hospitals: int) -> None:
        """Raise ConfigurationError or HeadroomError where these hospitals cannot run the strategy."""
        if hospitals < FEWEST:
            raise ConfigurationError(f"clients is {hospitals}; secure aggregation needs at least {FEWEST} hospitals")
        protocol, clients = self.protocol(), range(1, hospitals + 1)
        protocol.check(clients)
        prove_headroom(protocol.value_bits, hospitals, protocol.capacity(clients))
        FixedPoint(protocol.value_bits, self.spec().clip)
        with closing(protocol.setup(clients)) as flow:
            next(flow, None)  # up to its first request a set-up only checks who is there

    def inner(self, hospitals: int) -> FedAvg:
        """The Flower strategy that runs over secure sums, with every hospital in every round."""
        everyone: dict[str, Any] = dict.fromkeys(
            ("min_train_nodes", "min_evaluate_nodes", "min_available_nodes"), hospitals
        )
        if self.aggregator == "fedprox":
            everyone["proximal_mu"] = self.proximal
        return AGGREGATORS[self.aggregator](**everyone)


def parameter_of(text: str) -> tuple[str, Any]:
    """A parameter as the command line gives it, NAME=VALUE: the value is JSON, or else text."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigurationError(f"parameter {text!r}: NAME=VALUE was expected")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:
        return name.replace("-", "_"), value

"""What a simulation run is made of: one description for the command line, the run configuration and result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedProx, FedYogi
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedsec import catalog
from fedsec.data import bundled, registry
from fedsec.encoding.fixed_point import FixedPoint, prove_headroom
from fedsec.encoding.mean import MeanSpec
from fedsec.errors import ConfigurationError, unknown
from fedsec.learning import models
from fedsec.learning.local_training import Training
from fedsec.protocol import SecureSum
from fedsec.strategy_spec import StrategySpec

AGGREGATORS: Mapping[str, type[FedAvg]] = {
    "fedavg": FedAvg,
    "fedavgm": FedAvgM,
    "fedadam": FedAdam,
    "fedyogi": FedYogi,
    "fedadagrad": FedAdagrad,
    "fedprox": FedProx,
}
FEWEST = 3
LEAST_WEIGHT = 1000
OWN_ROWS = "own"
"""The dataset of a deployment: each hospital has its own rows, and the server has their schema alone."""


class RunConfig(BaseModel):
    """The options of a run, under the names of the command line; `pyproject.toml` declares the same defaults."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True
    )

    strategy: str = "shamir"
    parameters: str = Field("{}", description="parameters of the strategy, as JSON")
    dataset: str = "breast-cancer"
    model: str = "auto"
    data: str = Field("", description="one's own rows, in place of a dataset: a file, or a folder of files")
    site: str = ""
    label: str = ""
    positive: str = ""
    person: str = ""
    drop: str = Field("", description="columns that are no features, with commas between")
    schema_file: str = ""
    minimum_rows: int = Field(0, ge=0, description="sites with fewer rows are joined to one")
    one_class: bool = Field(False, description="whether a hospital may hold a single class")
    clients: int = Field(0, ge=0, description="hospitals to wait for; 0 means all that connect")
    partition: Literal["auto", "natural", "even", "label-skew"] = "auto"
    fraction: float = Field(1.0, gt=0.0, le=1.0, description="share of the hospitals that a round of training samples")
    cohort: Literal["sampled", "fixed"] = "sampled"
    equal_weights: bool = False
    rounds: int = Field(5, ge=1)
    seed: int = Field(1, ge=0, lt=2**32)
    aggregator: str = "fedavg"
    epochs: int = Field(5, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(0.0, ge=0.0, description="0 means the task's default")
    proximal: float = Field(0.0, ge=0.0)
    clip: float = Field(4.0, gt=0.0)
    largest_weight: int = Field(0, ge=0, description="0 means the power of ten that holds each hospital's rows")
    phase_timeout: float = Field(120.0, gt=0.0)
    identity: str = Field("", description="in a deployment, the server's key file")
    hospitals: str = Field("", description="in a deployment, the file of the hospitals' public keys, one a line")
    output: str = ""

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> RunConfig:
        """What a hospital's node reads: each field is in its range, and no strategy, file or data set is loaded.

        Raises ConfigurationError naming field, value and limit.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            field, what = ".".join(map(str, first["loc"])), first["msg"].lower()
            if first["type"] == "extra_forbidden":
                raise unknown("option", field, [name.replace("_", "-") for name in cls.model_fields]) from None
            raise ConfigurationError(f"{field} is {first['input']!r}: {what}") from None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> RunConfig:
        """A checked configuration; raises ConfigurationError naming field, value and limit."""
        config = cls.parse(values)
        config.protocol()
        if config.aggregator not in AGGREGATORS:
            raise unknown("aggregator", config.aggregator, AGGREGATORS)
        if not config.data and config.dataset not in (*registry.LOADERS, OWN_ROWS):
            raise unknown("dataset", config.dataset, registry.LOADERS)
        config._check_rows()
        return config

    def _check_rows(self) -> None:
        """Raise ConfigurationError where the options about rows do not fit one another."""
        deployed = self.dataset == OWN_ROWS
        for field in ("site", "label", "positive", "person", "drop", "schema_file"):
            value = getattr(self, field)
            if value and not (self.data or (deployed and field == "schema_file")):
                cure = "set data to the file of rows" + (", or dataset to own" if field == "schema_file" else "")
                raise ConfigurationError(
                    f"{field.replace('_', '-')} is {value!r}, but there are no rows for it: {cure}"
                )
        if deployed and self.data:
            raise ConfigurationError(
                f"data is {self.data!r} and dataset is own, where each hospital's node names its own file: leave data "
                "empty"
            )
        for field, what in (
            ("schema_file", "the file of the schema that all hospitals agreed on"),
            ("identity", "the server's key file"),
            ("hospitals", "the file of the hospitals' public keys"),
        ):
            if deployed and not getattr(self, field):
                raise ConfigurationError(f"dataset is own, which also needs {field.replace('_', '-')}: {what}")
            if not deployed and getattr(self, field) and field != "schema_file":
                raise ConfigurationError(
                    f"{field} is {getattr(self, field)!r}, which a deployment alone uses: set dataset to own, or leave "
                    f"{field} empty"
                )

    @property
    def named(self) -> str:
        """What the data are called."""
        return Path(self.data).stem if self.data else self.dataset

    def protocol(self) -> SecureSum[Any, Any]:
        """The strategy with its parameters."""
        spec = StrategySpec.from_json(self.strategy, self.parameters)
        if self.cohort == "fixed" and self.clients:
            spec = StrategySpec(self.strategy, {"floor": self.sampled(self.clients)}).with_parameters(spec.parameters)
        kind = catalog.strategy(spec.name)
        return catalog.build(kind.__module__.rpartition(".")[2], spec.parameters)

    def training(self, task: bundled.Task) -> Training:
        """How each hospital trains."""
        model = models.build(self.model, task)
        return Training(
            model,
            self.rounds,
            self.epochs,
            self.learning_rate or None,
            self.batch_size,
            self.seed,
            self.proximal,
            self.equal_weights,
        )

    def spec(self) -> MeanSpec:
        """How updates become integers."""
        return MeanSpec(self.clip, 1 if self.equal_weights else self.largest_weight or LEAST_WEIGHT)

    def resolved(self, rows: Sequence[int]) -> RunConfig:
        """The same run with what its data decide: the number of hospitals, and the largest weight.

        rows: of each hospital. Raises ConfigurationError where a hospital has more rows than `largest_weight`.
        """
        largest = self.largest_weight or max(LEAST_WEIGHT, 10 ** len(str(max(rows) - 1)))
        if max(rows) > largest and not self.equal_weights:
            raise ConfigurationError(f"a hospital has {max(rows)} rows; largest-weight is {largest}")
        return self.model_copy(update={"clients": len(rows), "largest_weight": 1 if self.equal_weights else largest})

    def sampled(self, hospitals: int) -> int:
        """How many hospitals a round of training samples."""
        return max(FEWEST, int(hospitals * self.fraction))

    def asked(self, hospitals: int) -> int:
        """How many of these hospitals a run has to do with: a fixed cohort, or all."""
        return self.sampled(hospitals) if self.cohort == "fixed" else hospitals

    def prove(self, hospitals: int) -> None:
        """Raise ConfigurationError or HeadroomError where these hospitals cannot run the strategy."""
        if hospitals < FEWEST:
            raise ConfigurationError(f"clients is {hospitals}; secure aggregation needs at least {FEWEST} hospitals")
        asked = self.asked(hospitals)
        protocol, clients = self.protocol(), range(1, asked + 1)
        protocol.check(clients)
        protocol.check(range(1, self.sampled(hospitals) + 1))
        prove_headroom(protocol.value_bits, asked, protocol.capacity(clients))
        FixedPoint(protocol.value_bits, self.spec().clip)
        with closing(protocol.setup(clients)) as flow:
            next(flow, None)  # up to its first request a set-up only checks who is there

    def inner(self, hospitals: int) -> FedAvg:
        """The Flower strategy that runs over secure sums; every hospital that is asked evaluates in every round."""
        asked = self.asked(hospitals)
        everyone: dict[str, Any] = dict.fromkeys(("min_evaluate_nodes", "min_available_nodes"), asked)
        fraction = 1.0 if self.cohort == "fixed" else self.fraction
        everyone |= {"fraction_train": fraction, "min_train_nodes": self.sampled(hospitals)}
        if self.aggregator == "fedprox":
            everyone["proximal_mu"] = self.proximal
        return AGGREGATORS[self.aggregator](**everyone)

"""What a run is made of: one description for the command line, `pyproject.toml`, result.json and its page.

Each option's default, help, limits and choices stand here and nowhere else: `fedsec run` takes its options from these
fields, and so do `fedsec stats` and `fedsec partition` (fedsec/cli/run_options.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import annotated_types
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedsec import catalog
from fedsec.data import labels, preparation, registry, table_cells
from fedsec.data.label import Task
from fedsec.data.row_files import name_of
from fedsec.encoding.fixed_point import FixedPoint, prove_headroom
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import ConfigurationError, shown, unknown
from fedsec.learning import decision_threshold, models, outcomes
from fedsec.learning.clinical import THRESHOLD
from fedsec.learning.local_training import Training
from fedsec.protocol import SecureSum
from fedsec.strategy_spec import StrategySpec
from fedsec.type_hints import resolved

if TYPE_CHECKING:
    from flwr.serverapp.strategy import FedAvg

AGGREGATORS: Mapping[str, str] = {
    "fedavg": "FedAvg",
    "fedavgm": "FedAvgM",
    "fedadam": "FedAdam",
    "fedyogi": "FedYogi",
    "fedadagrad": "FedAdagrad",
    "fedprox": "FedProx",
}
"""By name, the class in `flwr.serverapp.strategy`."""
FEWEST = 3
LEAST_WEIGHT = 1000
OF_ROWS = (
    "site",
    "label",
    "positive",
    "task",
    "event",
    "drop_unlabelled",
    "missing",
    "dates",
    "strict",
    "person",
    "drop",
    "schema_file",
)
"""The fields that are about a file of rows."""
METRIC_RANGES = {**preparation.RANGES, **outcomes.RANGES}
MOST_ROWS = 2.0**24
"""Rows of a hospital that a metric counts, at most."""
PATIENCE = 1200.0
"""Seconds that a phase may take, at least, where each value of a sum is costly."""
OWN_ROWS = "own"
"""The dataset of a deployment: each hospital has its own rows, and the server has their schema alone."""
LIMITS = {
    annotated_types.Ge: ("ge", "at least"),
    annotated_types.Gt: ("gt", "above"),
    annotated_types.Le: ("le", "at most"),
    annotated_types.Lt: ("lt", "below"),
}
KINDS: Mapping[Any, str] = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}
YOUR_ROWS, HOSPITALS, TRAINING = "Your own rows", "Hospitals", "Training"
"""Panels of `--help`."""


def option(
    default: Any,
    label: str,
    help: str,
    *,
    panel: str = "",
    metavar: str = "",
    flag: str = "",
    path: bool = False,
    choices: Iterable[str] = (),
    **limits: Any,
) -> Any:
    """A field of RunConfig.

    label    what the page of a run calls it
    help     what `--help` says of it; limits, choices and default are added there
    panel    the group that it stands in, in `--help`
    metavar  what stands for its value in `--help`
    flag     the command line's name for it, where that is another
    path     whether it is the path of a file, which the command line makes absolute
    choices  the values that it takes, where its type does not say so
    limits   as of pydantic's Field: ge, gt, le, lt
    """
    extra: dict[str, Any] = {"panel": panel, "metavar": metavar, "flag": flag, "path": path, "choices": list(choices)}
    return Field(default, title=label, description=help, json_schema_extra=extra, **limits)


class RunConfig(BaseModel):
    """The options of a run, under the names of the command line; `pyproject.toml` declares the same defaults."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
        allow_inf_nan=False,
    )

    strategy: str = option(
        "shamir",
        "strategy",
        "A strategy's name (see `fedsec strategies`) or a file; NAME:PARAMETER=VALUE sets parameters too.",
    )
    parameters: str = option(
        "{}",
        "strategy's parameters",
        "A parameter of the strategy; may be repeated.",
        metavar="NAME=VALUE",
        flag="--parameter",
    )
    dataset: str = option("breast-cancer", "data set", "A bundled data set.", choices=registry.LOADERS)
    model: str = option(
        "auto", "model", "The model to train.", panel=TRAINING, choices=["auto", *models.MODELS, *models.EXTRAS]
    )
    data: str = option(
        "",
        "data",
        "A file of rows (CSV, Excel, Stata, SAS transport, SPSS, parquet, feather), or a folder with one per hospital.",
        panel=YOUR_ROWS,
        metavar="PATH",
        path=True,
    )
    site: str = option("", "column of hospitals", "The column of hospitals.", panel=YOUR_ROWS, metavar="COLUMN")
    label: str = option("", "label", "The column to predict.", panel=YOUR_ROWS, metavar="COLUMN")
    positive: str = option(
        "", "positive class", "The class of the label that counts as 1.", panel=YOUR_ROWS, metavar="CLASS"
    )
    task: str = option(
        "auto",
        "task",
        "What the label is; auto finds out whether it is two classes, a number or, with --event, a survival time.",
        panel=YOUR_ROWS,
        choices=labels.TASKS,
    )
    event: str = option(
        "",
        "column of events",
        "Of a survival time, the column that says whether the event came then, or a row was last seen without it.",
        panel=YOUR_ROWS,
        metavar="COLUMN",
    )
    drop_unlabelled: bool = option(
        False, "rows without a label left out", "Leave out rows without a label, and count them.", panel=YOUR_ROWS
    )
    missing: str = option(
        "",
        "codes for missing values",
        "Words and numbers that stand for a missing value, besides NA, N/A, NaN, a point, a dash and nothing.",
        panel=YOUR_ROWS,
        metavar="WORD,...",
    )
    dates: str = option(
        "",
        "dates",
        "What columns of dates become: NAME=drop, NAME=days since 2020-01-01, NAME=age at 2020-01-01 or NAME=age at "
        "COLUMN; drop for all.",
        panel=YOUR_ROWS,
        metavar="NAME=CHOICE,...",
    )
    strict: bool = option(
        False, "suspicions are errors", "Refuse rows in which something looks wrong.", panel=YOUR_ROWS
    )
    person: str = option(
        "",
        "column of persons",
        "Rows with the same value here are never split between training and test.",
        panel=YOUR_ROWS,
        metavar="COLUMN",
    )
    drop: str = option("", "columns left out", "Columns that are not features.", panel=YOUR_ROWS, metavar="COLUMN,...")
    schema_file: str = option(
        "",
        "schema",
        "The agreed columns, as `fedsec stats --write-schema` drafts them.",
        panel=YOUR_ROWS,
        metavar="FILE",
        flag="--schema",
        path=True,
    )
    least_cell: int = option(
        -1,
        "least cell of Table 1",
        "Rows from which on a hospital tells a cell of Table 1, and a drafted schema a level: smaller cells count as "
        "suppressed, smaller levels as `other`. -1 takes 5 in a deployment and in a draft, and 0, which hides none, in "
        "a simulation's table.",
        panel=HOSPITALS,
        metavar="ROWS",
        ge=-1,
    )
    minimum_rows: int = option(
        0, "fewest rows of a site", "Join sites with fewer rows into one hospital.", panel=HOSPITALS, ge=0
    )
    one_class: bool = option(
        False, "single class allowed", "Allow a hospital whose rows all have one class.", panel=HOSPITALS
    )
    clients: int = option(
        0,
        "hospitals",
        "Number of hospitals, at least 3. By default one for each site, or 5 where the data have no sites; in a "
        "deployment, all that connect.",
        panel=HOSPITALS,
        ge=0,
    )
    partition: Literal["auto", "natural", "even", "label-skew"] = option(
        "auto",
        "partition",
        "How rows are divided among hospitals; auto is natural where the data have sites, and even elsewhere.",
        panel=HOSPITALS,
    )
    fraction: float = option(
        1.0,
        "share of hospitals sampled",
        "Share of the hospitals that a round of training samples.",
        panel=HOSPITALS,
        gt=0.0,
        le=1.0,
    )
    cohort: Literal["sampled", "fixed"] = option(
        "sampled",
        "cohort",
        "sampled draws the hospitals anew in each round; fixed keeps them, and a round without one of them is void.",
        panel=HOSPITALS,
    )
    equal_weights: bool = option(
        False,
        "equal weights",
        "Weight all hospitals alike, so that no row count is a weight in a sum; metrics that count rows are totals.",
        panel=HOSPITALS,
    )
    rounds: int = option(5, "rounds", "Rounds of training.", panel=TRAINING, ge=1)
    seed: int = option(
        1,
        "seed",
        "Seeds the test rows, the partition, the initial weights and local training; never keys.",
        ge=0,
        lt=2**32,
    )
    aggregator: str = option(
        "fedavg", "aggregator", "Flower's strategy, run over secure sums.", panel=TRAINING, choices=AGGREGATORS
    )
    epochs: int = option(5, "local epochs", "Passes over a hospital's rows in a round.", panel=TRAINING, ge=1)
    batch_size: int = option(16, "batch size", "Rows of a mini-batch.", panel=TRAINING, ge=1)
    learning_rate: float = option(
        0.0, "learning rate", "Local step size; 0 takes the task's default.", panel=TRAINING, ge=0.0
    )
    proximal: float = option(0.0, "FedProx mu", "FedProx's mu.", panel=TRAINING, ge=0.0)
    clip: float = option(
        4.0,
        "clip",
        "Largest change of a parameter in a round; a larger update is scaled down. 0 measures the scale instead.",
        panel=TRAINING,
        ge=0.0,
    )
    largest_weight: int = option(
        0,
        "largest weight",
        "Upper bound of a hospital's rows; 0 takes the power of ten above the largest hospital, at least 1000.",
        panel=TRAINING,
        ge=0,
    )
    decision_threshold: str = option(
        f"{THRESHOLD}",
        "decision threshold",
        "The probability from which on a row counts as positive: a number, or a rule, youden, sensitivity=0.9 or "
        "specificity=0.9, that looks at all hospitals' rows by secure sums, never at test rows.",
        panel=TRAINING,
        metavar="RULE",
    )
    leave_one_site_out: bool = option(
        False,
        "leave one site out",
        "In a simulation: also train without each hospital and evaluate on its rows. Costs as many trainings more.",
        panel=TRAINING,
    )
    phase_timeout: float = option(
        120.0,
        "phase timeout, s",
        "Seconds that a phase may take; at least 1200 where a strategy takes a public-key operation for each value.",
        gt=0.0,
    )
    identity: str = option("", "server's key file", "In a deployment, the server's key file.", path=True)
    agreement: str = option(
        "", "agreement", "In a deployment, the agreement that all hospitals approved (`fedsec agree`).", path=True
    )
    output: str = option("", "output folder", "Folder for the results.", path=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> RunConfig:
        """What a hospital's node reads: each field is in its range, and no strategy, file or data set is loaded.

        Raises ConfigurationError naming field, value and limit.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][0]).replace("_", "-")
            if first["type"] == "extra_forbidden":
                raise unknown("option", field, [name.replace("_", "-") for name in cls.model_fields]) from None
            raise ConfigurationError(
                f"{field} is {shown(first['input'])}; {expected(field.replace('-', '_'))}"
            ) from None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> RunConfig:
        """A checked configuration; raises ConfigurationError naming field, value and limit."""
        config = cls.parse(values)
        config.protocol()
        if not config.schema_file:
            labels.check_task(config.task, config.event)
        decision_threshold.parse(config.decision_threshold)
        for field in ("aggregator", "dataset"):
            known, value = choices(field), getattr(config, field)
            if value not in known and not (field == "dataset" and (config.data or value == OWN_ROWS)):
                raise unknown(field, value, known)
        config._check_rows()
        return config

    def _check_rows(self) -> None:
        """Raise ConfigurationError where the options about rows do not fit one another."""
        deployed = self.dataset == OWN_ROWS
        for field in OF_ROWS:
            value = getattr(self, field)
            if value != type(self).model_fields[field].default and not (
                self.data or (deployed and field == "schema_file")
            ):
                cure = "set data to the file of rows" + (", or dataset to own" if field == "schema_file" else "")
                raise ConfigurationError(
                    f"{field.replace('_', '-')} is {value!r}, but there are no rows for it: {cure}"
                )
        if deployed and self.data:
            raise ConfigurationError(
                f"data is {self.data!r} and dataset is own, where each hospital's node names its own file: leave data "
                "empty"
            )
        if deployed and self.leave_one_site_out:
            raise ConfigurationError(
                "leave-one-site-out is true, which a simulation alone can do: cohorts that differ by one hospital "
                "reveal that hospital; leave it out, and each hospital finds its own results in its log"
            )
        for field, what in (
            ("schema_file", "the file of the schema that all hospitals agreed on"),
            ("identity", "the server's key file"),
            ("agreement", "the file of the agreement that all hospitals approved"),
        ):
            if deployed and not getattr(self, field):
                raise ConfigurationError(f"dataset is own, which also needs {field.replace('_', '-')}: {what}")
            if not deployed and getattr(self, field) and field != "schema_file":
                raise ConfigurationError(
                    f"{field} is {getattr(self, field)!r}, which a deployment alone uses: set dataset to own, or leave "
                    f"{field} empty"
                )

    @classmethod
    def labels(cls) -> dict[str, str]:
        """What the page of a run calls each option, by its name on the command line."""
        return {field.alias or name: field.title or name for name, field in cls.model_fields.items()}

    @property
    def data_name(self) -> str:
        """What the data are called."""
        return name_of(Path(self.data)) if self.data else self.dataset

    def protocol(self) -> SecureSum[Any, Any]:
        """The strategy with its parameters."""
        spec = StrategySpec.from_json(self.strategy, self.parameters)
        if self.cohort == "fixed" and self.clients:
            spec = StrategySpec(self.strategy, {"floor": self.sampled(self.clients)}).with_parameters(spec.parameters)
        kind = catalog.strategy(spec.name)
        return catalog.build(kind.__module__.rpartition(".")[2], spec.parameters)

    def training(self, task: Task, outputs: int = 1, start: tuple[float, ...] = ()) -> Training:
        """How each hospital trains; raises ConfigurationError where an option does not fit the task.

        outputs: scores that a model has for a row. start: where the hazards of a survival time's intervals start.
        """
        if task != "classification":
            for field in ("decision_threshold", "leave_one_site_out"):
                if getattr(self, field) != type(self).model_fields[field].default:
                    raise ConfigurationError(
                        f"{field.replace('_', '-')} is for a label of two classes, and the task is {task}: leave it out"
                    )
        model = models.build(self.model, task, outputs, start)
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

    @property
    def smallest_cell(self) -> int:
        """The rows that a cell of Table 1 has at a hospital at least; 0 where none is suppressed."""
        deployed = table_cells.LEAST if self.dataset == OWN_ROWS else 0
        return deployed if self.least_cell < 0 else self.least_cell

    def spec(self) -> MeanSpec:
        """How updates become integers."""
        if self.equal_weights:  # rows are counted, and not told by shares of them
            ranges = dict.fromkeys((*METRIC_RANGES, *models.COUNTS, preparation.COUNT), (0.0, MOST_ROWS))
            ranges[preparation.SUSPICIOUS] = (0.0, 1.0)
            whole = preparation.whole(1)
            return MeanSpec(self.clip or None, ranges=ranges, weights="equal", totals=tuple(ranges), grids=whole)
        largest = self.largest_weight or LEAST_WEIGHT
        return MeanSpec(self.clip or None, largest, ranges=METRIC_RANGES, grids=preparation.whole(largest))

    def resolved(self, rows: Sequence[int]) -> RunConfig:
        """The same run with what data and strategy decide: number of hospitals, largest weight, and time for a phase.

        rows: of each hospital. Raises ConfigurationError where a hospital has more rows than `largest_weight`.
        """
        largest = self.largest_weight or max(LEAST_WEIGHT, 10 ** len(str(max(rows) - 1)))
        if max(rows) > largest and not self.equal_weights:
            raise ConfigurationError(f"a hospital has {max(rows)} rows; largest-weight is {largest}")
        patience = max(self.phase_timeout, PATIENCE) if self.protocol().costly else self.phase_timeout
        return self.model_copy(
            update={
                "clients": len(rows),
                "largest_weight": 1 if self.equal_weights else largest,
                "phase_timeout": patience,
            }
        )

    def sampled(self, hospitals: int) -> int:
        """How many hospitals a round of training samples."""
        return max(FEWEST, int(hospitals * self.fraction))

    def participants(self, hospitals: int) -> int:
        """How many of these hospitals take part in a run at all: a fixed cohort, or all."""
        return self.sampled(hospitals) if self.cohort == "fixed" else hospitals

    def prove(self, hospitals: int) -> None:
        """Raise ConfigurationError or HeadroomError where these hospitals cannot run the strategy."""
        if hospitals < FEWEST:
            few = f"clients is {hospitals}; secure aggregation needs at least {FEWEST} hospitals"
            joined = f"; sites with fewer than {self.minimum_rows} rows count as one: lower minimum-rows"
            raise ConfigurationError(few + joined * bool(self.minimum_rows))
        participants = self.participants(hospitals)
        protocol, clients = self.protocol(), range(1, participants + 1)
        protocol.check(clients)
        protocol.check(range(1, self.sampled(hospitals) + 1))
        prove_headroom(protocol.value_bits, participants, protocol.capacity(clients))
        FixedPoint(protocol.value_bits, self.clip or 1.0)
        with closing(protocol.setup(clients)) as flow:
            next(flow, None)  # until its first request a set-up only checks the cohort

    def inner(self, hospitals: int) -> FedAvg:
        """The Flower strategy that runs over secure sums; every participant evaluates in every round."""
        from flwr.serverapp import strategy

        participants = self.participants(hospitals)
        settings: dict[str, Any] = {
            "min_evaluate_nodes": participants,
            "min_available_nodes": participants,
            "min_train_nodes": self.sampled(hospitals),
            "fraction_train": 1.0 if self.cohort == "fixed" else self.fraction,
        }
        if self.aggregator == "fedprox":
            settings["proximal_mu"] = self.proximal
        made: FedAvg = getattr(strategy, AGGREGATORS[self.aggregator])(**settings)
        return made


def flag_of(name: str) -> str:
    """What the command line calls a field of RunConfig, without the dashes."""
    found = RunConfig.model_fields[name]
    extra: Any = found.json_schema_extra
    return str(extra["flag"] or found.alias).removeprefix("--")


def limits(field: str) -> str:
    """What a number may be, in words, by its field's name: `at least 1`, `above 0 and at most 1`; empty for any."""
    parts = [
        f"{words} {getattr(limit, key):,}".removesuffix(".0")
        for limit in RunConfig.model_fields[field].metadata
        for kind, (key, words) in LIMITS.items()
        if isinstance(limit, kind)
    ]
    return " and ".join(parts)


def expected(field: str) -> str:
    """What an option takes, for an error, by its field's name: kind, limits and default."""
    found = RunConfig.model_fields[field]
    if known := choices(field):
        return f"one of {', '.join(known)} was expected"
    within = f", {limits(field)}" if limits(field) else ""
    return f"{KINDS[found.annotation]} was expected{within}{f' (default {found.default})' if found.default else ''}"


def choices(field: str) -> list[str]:
    """The values that an option takes, by its field's name; empty where they are not a list."""
    found = RunConfig.model_fields[field]
    extra: Any = found.json_schema_extra
    return list(get_args(resolved(found.annotation))) or list(extra["choices"])

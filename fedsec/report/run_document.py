"""The files of one run, written by the run and read by its page: result.json, its document, and ledger.csv."""

from __future__ import annotations

import csv
import io
import json
import statistics as averages
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import RootModel

from fedsec.data.preparation import Preparation
from fedsec.data.table_one import TableOne
from fedsec.errors import ConfigurationError
from fedsec.metering import Row
from fedsec.report import output
from fedsec.report.clinical_document import Clinical
from fedsec.report.parts import Interval, Measures, Number, Part

RESULT, LEDGER = "result.json", "ledger.csv"
AGREEMENT = "agreement.toml"
"""What hospitals would have agreed on for this run, as `fedsec agree write` reads it."""


class Aggregation(Part):
    """One secure aggregation; `failure` is empty where it succeeded.

    unusable: of the included, those without a usable update. clipped: those whose update was scaled down; coordinates,
    in documents without `warnings`.
    """

    round: int
    stage: str
    sampled: int
    included: int
    parties: tuple[int, ...] = ()
    unusable: int = 0
    weight: int | float = 0
    clipped: int
    metrics: Mapping[str, Number | tuple[Number, ...]] | None = None
    sum_hash: str = ""
    failure: str = ""
    incidents: tuple[tuple[str, int, str], ...] = ()
    warnings: tuple[str, ...] = ()


class Quality(Part):
    """Quality on the common test rows: before training, after each round, and of the models to compare with."""

    initial: Measures
    federated: Measures
    by_round: tuple[Measures, ...]
    fedavg: Measures
    pooled: Measures
    alone: tuple[Measures, ...]


class Intervals(Part):
    """The measure that models are compared by, and its 95% interval for each of them."""

    metric: str
    federated: Interval
    fedavg: Interval
    pooled: Interval
    alone: tuple[Interval, ...]


class About(Part):
    """What was predicted, from what, when and by which command.

    task: of the label, and event: the column that says whether a survival time is that of the event. prevalence: the
    share of the label's positive class, or of rows with the event, among the training rows; None for a number. classes:
    where there are several. predictors: the columns. coefficients: of a linear model, by the name of the feature, for
    one standard deviation or a level. command: with the names of files in place of their paths. finished: UTC, as ISO
    8601.
    """

    label: str
    task: str = ""
    event: str = ""
    classes: tuple[str, ...] = ()
    positive: str = ""
    prevalence: Number = None
    predictors: tuple[str, ...]
    coefficients: tuple[tuple[str, Number], ...] = ()
    test_rows: int
    finished: str
    command: str


class Disclosed(Part):
    """What the released sums together disclose of one hospital."""

    party: int
    hospital: str = ""
    rows: int | None
    train_loss: Number = None
    loss: Number = None


class RunDocument(Part):
    """All of result.json."""

    format: Literal[1] = 1
    configuration: Mapping[str, Any]
    task: str
    source: str = ""
    hospitals: tuple[str, ...] = ()
    rows: tuple[int, ...]
    statistics: Preparation | None = None
    table_one: TableOne | None = None
    cohort: int | None = None
    tolerance: Mapping[str, int]
    rounds: tuple[Aggregation, ...]
    quality: Quality
    intervals: Intervals | None = None
    clinical: Clinical | None = None
    about: About | None = None
    disclosed: tuple[Disclosed, ...] = ()
    warnings: tuple[str, ...] = ()
    largest_difference_to_fedavg: Number
    network_seconds: Mapping[str, float]
    model_hash: str
    versions: Mapping[str, str]
    machine: Mapping[str, str | int | float]

    def to_json(self) -> str:
        """As it stands in result.json."""
        return json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"

    @property
    def data_name(self) -> str:
        """What the data are called: the name of the user's file, or of the data set."""
        return Path(str(self.configuration.get("data") or "")).stem or str(self.configuration.get("dataset", ""))

    @property
    def cautions(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What was scaled down, cut, missing or too coarse, each with the aggregations where it happened."""
        found: dict[str, list[str]] = {}
        for one in self.rounds:
            for text in one.warnings:
                found.setdefault(text, []).append(f"round {one.round} {one.stage}")
        return tuple((text, tuple(where)) for text, where in found.items())

    @property
    def void(self) -> tuple[Aggregation, ...]:
        """The aggregations that failed."""
        return tuple(one for one in self.rounds if one.failure)

    @property
    def void_rounds(self) -> int:
        """How many rounds have an aggregation that failed."""
        return len({one.round for one in self.void})

    @property
    def strategy(self) -> str:
        """The strategy's name."""
        return str(self.configuration.get("strategy", ""))

    @property
    def hospital_names(self) -> tuple[str, ...]:
        """The hospitals' names."""
        return self.hospitals or tuple(f"hospital {place}" for place in range(1, len(self.rows) + 1))


class Trained(NamedTuple):
    """One model of the final table: who trained it, its quality, and the interval of the measure compared."""

    who: str
    quality: Measures
    interval: Interval | None


def final_table(document: RunDocument) -> list[Trained]:
    """Every model of a run, on the common test rows: the federated one first, then those it is compared with."""
    quality, alone = document.quality, document.quality.alone
    spans = document.intervals
    first: Sequence[Interval | None] = (spans.federated, spans.fedavg, spans.pooled) if spans else (None,) * 3
    own: Sequence[Interval | None] = spans.alone if spans else (None,) * len(alone)
    everyone = document.cohort is None or document.cohort == len(document.rows)
    rows = [
        Trained(f"federated, {document.strategy}", quality.federated, first[0]),
        Trained("plain FedAvg" if everyone else "plain FedAvg, all", quality.fedavg, first[1]),
        Trained("pooled data", quality.pooled, first[2]),
    ]
    if alone:
        rows.append(Trained("each alone, mean", {name: mean_of(alone, name) for name in quality.federated}, None))
        names = (f"{name} alone" for name in document.hospital_names)
        rows += map(Trained, names, alone, own)
    return rows


def mean_of(models: Sequence[Measures], name: str) -> float | None:
    """The mean of a measure over those models that have it."""
    known = [value for model in models if (value := model.get(name)) is not None]
    return averages.fmean(known) if known else None


def load_table_one(path: Path) -> TableOne:
    """What a deployment left of Table 1; raises ConfigurationError where that is damaged."""
    return output.read(path, _Kept, "a Table 1").root


class _Kept(RootModel[TableOne]):
    """All of table-one.json."""


def load(folder: Path) -> tuple[RunDocument, list[Row]]:
    """What a run left in its folder; raises ConfigurationError where that is damaged."""
    return output.read(folder / RESULT, RunDocument, "a run"), _ledger(folder / LEDGER)


def _ledger(path: Path) -> list[Row]:
    texts = ("stage", "phase", "role")
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        return [
            Row(**{key: value if key in texts else _number(value) for key, value in line.items()})  # type: ignore[arg-type]
            for line in reader
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (AttributeError, TypeError, ValueError) as error:  # a line that was cut has no text in its last fields
        raise ConfigurationError(f"{path} is not a ledger of this release: {error}") from error


def _number(text: str) -> float:
    return int(text) if text.isdigit() else float(text)

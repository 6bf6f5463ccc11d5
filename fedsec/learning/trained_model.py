"""A trained model as a file: its parameters, and all that it takes to apply them to a new patient's row.

The file is safetensors, so any reader has the arrays; all else stands in its metadata as JSON, under one key, for the
order of several is another in each file, and the same run is to give the same bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

import fedsec
from fedsec import atomic
from fedsec.data import schema as schemas
from fedsec.data.bundled import Floats
from fedsec.data.label import Task
from fedsec.data.preparation import Preparation
from fedsec.data.schema import Schema
from fedsec.data.table import Integers
from fedsec.errors import BadMessage, ConfigurationError, DataError, expect_path
from fedsec.learning import models
from fedsec.learning.clinical import THRESHOLD
from fedsec.learning.intervals import Intervals
from fedsec.learning.models import Model, Parameters

FILE = "model.safetensors"
FORMAT = "fedsec.model/1"


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model that can be used.

    model        its name, as `fedsec run --model` takes it
    schema       the columns that it reads, and the label
    preparation  how a row becomes features: means, scales, vocabularies and what fills a gap
    parameters   float64 arrays by name
    threshold    class 1 is predicted from this probability on
    about        what else is known, in words: versions, strategy, the agreement's hash
    intervals    how far predictions may be off; None where the run could not tell, and in files of earlier releases

    Raises ConfigurationError or DataError where the parts do not fit each other.
    """

    model: str
    schema: Schema
    preparation: Preparation
    parameters: Parameters
    threshold: float = THRESHOLD
    about: Mapping[str, str] = field(default_factory=dict)
    intervals: Intervals | None = None

    def __post_init__(self) -> None:
        built, columns = self.built, len(self.features)
        expected = {name: values.shape for name, values in built.initial(columns, seed=0).items()}
        if (got := {name: values.shape for name, values in self.parameters.items()}) != expected:
            raise DataError(f"model {self.model} of {columns} features has the arrays {expected}; these are {got}")
        if not 0.0 < self.threshold < 1.0:
            raise ConfigurationError(f"threshold is {self.threshold}; a probability between 0 and 1 was expected")

    def __repr__(self) -> str:
        return f"<{self.model} model of {self.schema.label.name!r} from {len(self.schema.columns)} columns>"

    @property
    def task(self) -> Task:
        """What the label is predicted as."""
        return self.schema.label.task

    @property
    def built(self) -> Model:
        """The model without its parameters."""
        return models.build(self.model, self.task, self.schema.label.outputs)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the prepared features, in the order of the parameters."""
        return self.preparation.features()

    def predict(self, numbers: Floats, levels: Integers) -> Floats:
        """float64[rows]: the probability of class 1, or the label in its own units, such as the expected count.

        float64[rows, classes] of several classes: the probability of each. float64[rows, intervals] of a survival time:
        the probability that the event has not come by the end of each interval.

        numbers: float64[rows, numeric columns], NaN where missing; levels: int64[rows, columns of words], -1 where
        missing; both in the schema's order.
        """
        score = self.built.outcome.predict(self.score(numbers, levels))
        if self.task == "regression":
            return score * self.preparation.target_deviation + self.preparation.target_mean
        return score * self.preparation.target_mean if self.task == "count" else score

    def score(self, numbers: Floats, levels: Integers) -> Floats:
        """float64[rows], or [rows, outputs]: the scores that `predict` reads, of the same rows."""
        return self.built.score(self.parameters, self.preparation.matrix(numbers, levels))

    def with_threshold(self, threshold: float) -> TrainedModel:
        """The same model with another threshold; raises ConfigurationError unless it lies between 0 and 1."""
        return replace(self, threshold=threshold)

    def to_bytes(self) -> bytes:
        """The file."""
        arrays = {name: np.ascontiguousarray(values) for name, values in self.parameters.items()}
        document = {
            "fedsec": fedsec.__version__,
            "model": self.model,
            "task": self.task,
            "label": self.schema.label.name,
            "threshold": self.threshold,
            "features": self.features,
            "schema": self.schema.to_toml(),
            "preparation": json.loads(self.preparation.to_json()),
            "about": dict(self.about),
            "intervals": self.intervals and self.intervals.to_document(),
        }
        return save(arrays, {FORMAT: json.dumps(document)})

    def write(self, path: Path) -> None:
        """Write the file whole, or not at all."""
        atomic.write(path, self.to_bytes())


def read(path: Path) -> TrainedModel:
    """The model in a file, or in a run's folder; raises ConfigurationError where there is none that can be used."""
    path = expect_path("the model's path", path)
    file = path / FILE if path.is_dir() else path
    try:
        with safe_open(file, "np") as opened:
            metadata = opened.metadata() or {}
            parameters = {name: np.asarray(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no model at {path}: name the folder of a finished `fedsec run`, or its {FILE}"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"the model {file} cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise ConfigurationError(
            f"{file} is no model in the format safetensors: {error}; name a run's folder, or its {FILE}"
        ) from error
    if FORMAT not in metadata:
        found = next((key for key in metadata if key.startswith("fedsec.model/")), "")
        what = f"its format is {found}" if found else "it has arrays alone, without their preparation"
        raise ConfigurationError(f"{file} cannot be applied: {what}; this release reads {FORMAT}: run the study again")
    try:
        document = json.loads(metadata[FORMAT])
        return TrainedModel(
            document["model"],
            schemas.parse(document["schema"], str(file)),
            Preparation.from_json(json.dumps(document["preparation"])),
            parameters,
            float(document["threshold"]),
            document["about"],
            Intervals.from_document(found) if (found := document.get("intervals")) is not None else None,
        )
    except (KeyError, TypeError, ValueError, RecursionError, BadMessage, DataError) as error:
        raise ConfigurationError(f"{file} is damaged: {error}") from error

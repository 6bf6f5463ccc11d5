"""All hospitals of a simulated run in one process: what the app asks for by the entry point `study`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedsec.app.config import RunConfig
from fedsec.app.progress import Progress
from fedsec.app.simulated import Compared
from fedsec.data.preparation import Preparation
from fedsec.data.schema import Schema
from fedsec.data.table import Table
from fedsec.data.table_one import TableOne
from fedsec.flower.server import SecureAggregation
from fedsec.learning.local_training import Training, test_quality
from fedsec.report.parts import Measures
from fedsec.report.run_document import final_table
from fedsec.simulations.run import hospitals, results
from fedsec.simulations.run.results import Data


class Simulation:
    """The hospitals of a configuration, their rows, the common test rows, and the baselines."""

    def __init__(self, config: RunConfig, count: int) -> None:
        self._hospitals = hospitals.of_config(config, count)
        self.schema: Schema = self._hospitals.train.schema
        self.counts = [len(part) for part in self._hospitals.parts]
        self._config = config.resolved(self.counts)
        self._data: Data
        self._training: Training
        self._preparation: Preparation
        self._described: TableOne | None

    def rows(self, place: int) -> Table:
        """The training rows of the hospital with this index."""
        return self._hospitals.rows(place)

    def prepare(self, preparation: Preparation, described: TableOne | None) -> None:
        """Make features of all training and test rows."""
        here = self._hospitals
        self._preparation, self._described = preparation, described
        self._data = Data(here, preparation.apply(here.train), preparation.apply(here.test))
        train = self._data.train
        self._training = self._config.training(train.task, train.outputs, train.start)

    def test(self, parameters: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
        """The quality of a model on the common test rows."""
        return test_quality(self._training, dict(parameters), self._data.test)

    def finish(
        self,
        secure: SecureAggregation,
        final: dict[str, NDArray[np.float64]],
        tested: Sequence[Mapping[str, float]],
        progress: Progress,
    ) -> Sequence[Compared]:
        """Train the baselines and write the results; returns how each model did, the federated one first."""
        known = (self._preparation, self._described)
        document = results.finish(self._config, secure, final, tested, self._data, *known, progress)
        measure = document.intervals.metric if document.intervals else ""
        first, *others = [
            Compared(model.who, _numbers(model.quality), measure, model.interval, len(self._data.test.target))
            for model in final_table(document)
        ]
        return [first._replace(evaluation=document.clinical.test if document.clinical else None), *others]


def _numbers(quality: Measures) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in quality.items()}

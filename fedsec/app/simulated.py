"""What only a simulation knows, and how the app comes by it: a deployment has none of this.

In a simulation one machine holds every hospital's rows. It cuts them out of one table, keeps common test rows, and
compares the federated model with what the pooled rows would have given. `fedsec.simulations` offers that under the
entry point `study` of the group `fedsec.simulation`; the app reaches it by that name, so that a hospital's node needs
none of it.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fedsec.app.config import RunConfig
from fedsec.app.progress import Progress
from fedsec.data.preparation import Preparation
from fedsec.data.schema import Schema
from fedsec.data.table import Table
from fedsec.data.table_one import TableOne
from fedsec.errors import ConfigurationError
from fedsec.flower.server import SecureAggregation
from fedsec.report.clinical_document import Evaluation

GROUP, NAME = "fedsec.simulation", "study"


class Compared(NamedTuple):
    """How one model did on the common test rows, so many `rows`.

    interval: the 95% interval of the measure of that name, if any. evaluation: the clinical one, of the first model.
    """

    who: str
    figures: Mapping[str, float]
    measure: str = ""
    interval: tuple[float | None, float | None] | None = None
    rows: int = 0
    evaluation: Evaluation | None = None


class Study(Protocol):
    """All hospitals of a simulated run.

    counts  how many training rows each hospital has
    schema  of all rows
    """

    counts: Sequence[int]
    schema: Schema

    def rows(self, index: int) -> Table:
        """The training rows of the hospital with this index, from 0."""

    def prepare(self, preparation: Preparation, described: TableOne | None) -> None:
        """Make features of all rows, as the hospitals do, and keep Table 1 for the results."""

    def test(self, parameters: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
        """The quality of a model on the common test rows."""

    def finish(
        self,
        secure: SecureAggregation,
        final: dict[str, NDArray[np.float64]],
        tested: Sequence[Mapping[str, float]],
        progress: Progress,
    ) -> Sequence[Compared]:
        """Train the baselines and write the results; returns how each model did, the federated one first."""


@functools.lru_cache
def _loaded() -> Callable[[RunConfig, int], Study]:
    for point in importlib.metadata.entry_points(group=GROUP, name=NAME):
        loaded: Callable[[RunConfig, int], Study] = point.load()
        return loaded
    raise ConfigurationError("this installation of fedsec has no simulation; reinstall it")


def study(config: RunConfig, hospitals: int) -> Study:
    """The simulated hospitals of this configuration: `hospitals` of them, or as many as the data say for 0."""
    return _loaded()(config, hospitals)

"""What result.json holds of a classification's clinical evaluation; shares and probabilities are from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fedsec.report.parts import Interval, Measures, Number, Part


class CalibrationGroup(Part):
    """Rows with neighbouring predictions; interval: 95%, of the share observed."""

    low: float
    high: float
    rows: int
    positive: int
    predicted: float
    observed: float
    interval: Interval


class OperatingPoint(Part):
    """What one threshold comes to."""

    threshold: float
    sensitivity: Number
    specificity: Number
    precision: Number
    net_benefit: Number


class Evaluation(Part):
    """How the model does on one set of rows.

    measures: by name, those of `MEASURES` in clinical_words.py. off: by how much bins may put them off, at most; None
    where nothing bounds it. intervals: 95%. groups and curve are empty where a class has too few rows.
    """

    rows: int
    positive: int
    measures: Measures
    off: Measures
    intervals: Mapping[str, Interval]
    groups: tuple[CalibrationGroup, ...] = ()
    curve: tuple[OperatingPoint, ...] = ()

    @property
    def prevalence(self) -> float:
        """The share of class 1."""
        return self.positive / self.rows if self.rows else math.nan


class Site(Part):
    """One hospital's rows under a model: only a simulation can have this."""

    hospital: str
    rows: int
    positive: int
    threshold: float
    measures: Measures


class Clinical(Part):
    """The clinical evaluation of a run.

    threshold: class 1 is predicted from this probability on. how: how it was found. rule: what was asked for.
    pooled: all hospitals' rows, which the model was trained on, by secure sums; None where the last evaluation failed.
    test: the common test rows. sites: each hospital's own rows. left_out: each hospital's rows under a model that was
    trained without it.
    """

    label: str
    positive: str
    threshold: float
    rule: str
    how: str
    pooled: Evaluation | None = None
    test: Evaluation | None = None
    sites: tuple[Site, ...] = ()
    left_out: tuple[Site, ...] = ()

"""The cost model beside what was measured and not fitted: in its own calibration, and in a finished comparison."""

from __future__ import annotations

import json
from typing import NamedTuple

from fedsec.report.document import Cell, Comparison
from fedsec.simulations.costs.predict.cost_model import Model, Sample, Step
from fedsec.simulations.costs.setting import Setting, label


class Check(NamedTuple):
    """A measured setting, and what the model predicts of it: CPU seconds of the hospitals and of the server."""

    strategy: str
    measured: Sample
    hospital: float
    server: float

    def deviation(self) -> tuple[float, float, float]:
        """By which fraction of what was measured the model is off: altogether, of the hospitals, of the server."""
        measured = self.measured
        return (
            (self.hospital + self.server) / (measured.hospital + measured.server) - 1,
            self.hospital / measured.hospital - 1,
            self.server / measured.server - 1,
        )


def validate(model: Model) -> list[Check]:
    """Every setting of the calibration that was measured and not fitted, beside what the model predicts."""
    checks = []
    for name, fit in model.fits.items():
        strategy, bits, key_bits = json.loads(name)
        for measured in fit.checks:
            setting = Setting(strategy, measured.hospitals, measured.parameters, bits, key_bits)
            checks.append(Check(label(strategy), measured, *model.cpu(setting)))
    return checks


def validate_against(model: Model, comparison: Comparison) -> list[Check]:
    """Every setting that a comparison measured whole, beside what the model predicts at the machine's speed then.

    Without settings whose strategy, bits or keys were not calibrated, with dropouts, or of a release that did not
    note the machine's speed.
    """
    names = {}
    for name in model.fits:
        strategy, bits, key_bits = json.loads(name)
        names[label(strategy), bits, key_bits] = strategy
    checks = []
    for cell in comparison.cells:
        strategy = names.get((cell.strategy, cell.bits, cell.key_bits))
        if strategy is not None and (check := _check(model, cell, strategy)) is not None:
            checks.append(check)
    return checks


def _check(model: Model, cell: Cell, strategy: str) -> Check | None:
    if cell.status != "measured" or cell.round is None or cell.dropouts or cell.reference_seconds is None:
        return None
    round_cpu = Step("", cell.round.hospital_cpu_most.median, cell.round.server_cpu.median)
    measured = Sample(cell.hospitals, cell.parameters, (round_cpu,))
    predicted = model.cpu(Setting(strategy, cell.hospitals, cell.parameters, cell.bits, cell.key_bits))
    scale = cell.reference_seconds / model.reference_seconds
    return Check(cell.strategy, measured, *(seconds * scale for seconds in predicted))

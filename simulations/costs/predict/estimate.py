"""What a round will cost before it is run: exact bytes, and CPU from the cost model of this machine."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fedsec import catalog
from fedsec.encoding.fixed_point import FixedPoint
from fedsec.errors import FedsecError
from fedsec.metering import Network
from fedsec.protocol import ServerModel, parameters_of
from fedsec.report.document import Comparison
from fedsec.simulations.costs.predict.bytes import Foretold, foretell
from fedsec.simulations.costs.predict.cost_model import Model, Sample, Step, shape, solve
from fedsec.simulations.costs.setting import Setting, label
from fedsec.strategy_spec import StrategySpec

EXACT_UP_TO, CURVE_EXACT = 64, 0
"""Hospitals up to which bytes are found by rounds of a few parameters, in a plan and on its curve; beyond, they follow
from those of a few numbers of hospitals."""
CURVE = (3, 10, 30, 100, 300, 1_000, 10_000, 100_000, 1_000_000)


def variants() -> list[str]:
    """Every strategy of the catalogue, and each of its variants against a server that breaks the protocol."""
    found = []
    for name in catalog.names():
        found.append(name)
        server = {one.name: one.default for one in parameters_of(catalog.strategy(name))}.get("server")
        if server == ServerModel.SEMI_HONEST:
            found.append(str(StrategySpec(name, {"server": ServerModel.MALICIOUS.value})))
    return found


class Wanted(NamedTuple):
    """What is asked for: how many colluding hospitals must be withstood, with a server that follows or breaks."""

    colluding: int
    server_breaks: bool
    dropout: float


class Prospect(NamedTuple):
    """What one strategy would cost, or why it cannot serve."""

    strategy: str
    why_not: str
    headroom: float = 0.0
    """Bits by which the sum could grow before it were no longer exact."""
    hospital: float = 0.0
    server: float = 0.0
    up: float = 0.0
    down: float = 0.0
    exact: bool = True
    phases: int = 0
    seconds: float = 0.0
    withstands: int = -1
    silent: int = 0


def prospects(
    strategies: Sequence[str], setting: Setting, wanted: Wanted, network: Network, model: Model, key_bits: int
) -> list[Prospect]:
    """Every strategy in this setting: those that can serve first, by seconds from end to end."""
    found = [_prospect(setting.under(name, key_bits), wanted, network, model) for name in strategies]
    return sorted(found, key=lambda one: (bool(one.why_not), one.seconds, one.strategy))


def _prospect(setting: Setting, wanted: Wanted, network: Network, model: Model) -> Prospect:
    name = label(setting.strategy)
    try:
        why = _unfit(setting, wanted)
    except FedsecError as error:
        why = str(error)
    if why:
        return Prospect(name, why)
    protocol = setting.protocol()
    traffic = bytes_of(setting)
    hospital, server = model.cpu(setting)
    wire = len(traffic.phases) * 2 * network.latency + traffic.down_most / network.down + traffic.up_most / network.up
    return Prospect(
        name,
        "",
        headroom(setting),
        hospital,
        server,
        traffic.up,
        traffic.down,
        setting.hospitals <= EXACT_UP_TO,
        len(traffic.phases),
        wire + hospital + server,
        protocol.withstands(setting.clients, wanted.server_breaks),
        protocol.tolerance(setting.clients)[protocol.input_phase],
    )


def headroom(setting: Setting) -> float:
    """Bits between the largest sum of this setting and the largest that the strategy holds."""
    largest = setting.hospitals * ((1 << setting.bits) - 1)
    return math.log2(setting.protocol().capacity(setting.clients)) - math.log2(largest)


def _unfit(setting: Setting, wanted: Wanted) -> str:
    """Why a strategy does not give what is asked for; raises FedsecError where it cannot be run at all."""
    setting.check()
    protocol = setting.protocol()
    if not protocol.private:
        return "it shows the server every input"
    promised = protocol.withstands(setting.clients, wanted.server_breaks)
    if promised < wanted.colluding:
        how = "breaks" if wanted.server_breaks else "follows"
        told = f"{promised} colluding hospitals" if promised >= 0 else "nothing"
        return f"with a server that {how} the protocol it withstands {told}"
    return ""


def bytes_of(setting: Setting, exact_up_to: int = EXACT_UP_TO) -> Foretold:
    """The bytes of a round: exact up to so many hospitals, extrapolated in n, v, c and m * c beyond."""
    if setting.hospitals <= exact_up_to:
        return _foretold(setting)
    sizes = (3, 8, 16, 24)
    known = [_foretold(replace(setting, hospitals=n)) for n in sizes]

    def line(figure: Callable[[Foretold], float]) -> float:
        rows = [_grows(replace(setting, hospitals=n)) for n in sizes]
        values = [figure(one) for one in known]
        return float(np.dot(solve(rows, values), _grows(setting)))

    return Foretold(
        known[-1].phases,
        line(lambda one: one.up),
        round(line(lambda one: one.up_most)),
        line(lambda one: one.down),
        round(line(lambda one: one.down_most)),
    )


@functools.lru_cache(maxsize=256)
def _foretold(setting: Setting) -> Foretold:
    return foretell(setting)


def _grows(setting: Setting) -> list[float]:
    n, m, v, c = shape(setting)
    return [1.0, n, v, c, m * c]


def error_bound(setting: Setting, clip: float) -> float:
    """The largest error of a coordinate of the mean, where all weights are equal."""
    return FixedPoint(setting.bits, clip).error_bound(setting.hospitals, 1.0, setting.hospitals)


class Check(NamedTuple):
    """A measured cell, and what the model says of it: CPU seconds of the hospitals and of the server."""

    strategy: str
    cell: Sample
    hospital: float
    server: float


def validation(model: Model) -> list[Check]:
    """Each cell of the calibration that was measured and not fitted, beside what the model says of it."""
    found = []
    for name, one in model.fits.items():
        strategy, bits, key_bits = json.loads(name)
        for check in one.checks:
            setting = Setting(strategy, check.hospitals, check.parameters, bits, key_bits)
            found.append(Check(label(strategy), check, *model.cpu(setting)))
    return found


def against(model: Model, compared: Comparison) -> list[Check]:
    """Each cell that a comparison measured whole, beside what the model says of it at the pace of that moment.

    Without cells whose strategy, bits or keys were not calibrated, with silent hospitals, or of a release that did not
    note the pace.
    """
    names = {}
    for name in model.fits:
        strategy, bits, key_bits = json.loads(name)
        names[label(strategy), bits, key_bits] = strategy
    found = []
    for cell in compared.cells:
        strategy = names.get((cell.strategy, cell.bits, cell.key_bits))
        if strategy is None or cell.status != "measured" or cell.round is None or cell.silent or cell.pace is None:
            continue
        whole = Step("", cell.round.hospital_cpu_most.median, cell.round.server_cpu.median)
        one = Sample(cell.hospitals, cell.parameters, (whole,))
        told = model.cpu(Setting(strategy, cell.hospitals, cell.parameters, cell.bits, cell.key_bits))
        found.append(Check(cell.strategy, one, *(seconds * cell.pace / model.pace for seconds in told)))
    return found

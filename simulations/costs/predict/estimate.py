"""What a round will cost before it is run: exact bytes, and CPU from the cost model of this machine."""

from __future__ import annotations

import functools
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
from fedsec.simulations.costs.predict.bytes import PredictedTraffic, predict_bytes
from fedsec.simulations.costs.predict.cost_model import Model, shape, solve
from fedsec.simulations.costs.setting import Setting, label
from fedsec.strategy_spec import StrategySpec

EXACT_UP_TO, CURVE_EXACT = 64, 0
"""Hospitals up to which bytes are found by rounds of a few parameters, in a plan and on its curve; beyond, they follow
from those of a few numbers of hospitals."""
CURVE = (3, 10, 30, 100, 300, 1_000, 10_000, 100_000, 1_000_000)
MOST_TRIED = 100
"""Hospitals up to which it is tried whether more of them would help."""
EXTRAPOLATED_FROM = (3, 8, 16, 24)
"""Numbers of hospitals whose bytes those of more are extrapolated from."""


def variants() -> list[str]:
    """Every strategy of the catalogue, and each of its variants against a malicious server."""
    names = []
    for name in catalog.names():
        names.append(name)
        declared = {parameter.name: parameter.default for parameter in parameters_of(catalog.strategy(name))}
        if declared.get("server") == ServerModel.SEMI_HONEST:
            names.append(str(StrategySpec(name, {"server": ServerModel.MALICIOUS.value})))
    return names


class Requirement(NamedTuple):
    """How many colluding hospitals must be withstood, and whether with a malicious server."""

    colluding: int
    malicious_server: bool


class Estimate(NamedTuple):
    """What one strategy would cost, or why it cannot serve.

    headroom: bits by which the sum could grow before it were no longer exact.
    hospital, server: CPU seconds. up, down: bytes per hospital. seconds: of a round from end to end.
    withstands, dropouts: the hospitals that may collude, and that may drop out before they have sent their input.
    dropouts_any: that may drop out in any phase. beyond: where the CPU is extrapolated, up to where it was measured.
    """

    strategy: str
    why_not: str
    headroom: float = 0.0
    hospital: float = 0.0
    server: float = 0.0
    up: float = 0.0
    down: float = 0.0
    exact: bool = True
    phases: int = 0
    seconds: float = 0.0
    withstands: int = -1
    dropouts: int = 0
    dropouts_any: int = 0
    beyond: str = ""


def estimates(
    strategies: Sequence[str], setting: Setting, required: Requirement, network: Network, model: Model, key_bits: int
) -> list[Estimate]:
    """Every strategy in this setting: those that can serve first, by seconds from end to end."""
    unsorted = [_estimate(setting.under(name, key_bits), required, network, model) for name in strategies]
    return sorted(unsorted, key=lambda estimate: (bool(estimate.why_not), estimate.seconds, estimate.strategy))


def _estimate(setting: Setting, required: Requirement, network: Network, model: Model) -> Estimate:
    name = label(setting.strategy)
    if why_not := _why_not(setting, required):
        return Estimate(name, why_not)
    protocol = setting.protocol()
    traffic = traffic_of(setting)
    hospital, server = model.cpu(setting)
    tolerance = protocol.tolerance(setting.clients)
    wire = len(traffic.phases) * 2 * network.latency + traffic.down_most / network.down + traffic.up_most / network.up
    return Estimate(
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
        protocol.withstands(setting.clients, required.malicious_server),
        tolerance[protocol.input_phase],
        min(tolerance.values()),
        model.beyond(setting),
    )


def least_hospitals(strategies: Sequence[str], setting: Setting, required: Requirement, key_bits: int) -> int:
    """The fewest hospitals, more than these, with which a strategy can serve; 0 where a hundred do not help."""
    return next(
        (
            more
            for more in range(setting.hospitals + 1, MOST_TRIED + 1)
            if able(strategies, replace(setting, hospitals=more), required, key_bits)
        ),
        0,
    )


def able(strategies: Sequence[str], setting: Setting, required: Requirement, key_bits: int) -> list[str]:
    """The strategies that can serve, by their labels."""
    return [label(name) for name in strategies if not _why_not(setting.under(name, key_bits), required)]


def _why_not(setting: Setting, required: Requirement) -> str:
    try:
        return _unfit(setting, required)
    except FedsecError as error:
        return str(error)


def headroom(setting: Setting) -> float:
    """Bits between the largest sum of this setting and the largest that the strategy holds."""
    largest = setting.hospitals * ((1 << setting.bits) - 1)
    return math.log2(setting.protocol().capacity(setting.clients)) - math.log2(largest)


def _unfit(setting: Setting, required: Requirement) -> str:
    """Why a strategy does not give what is required; raises FedsecError where it cannot be run at all."""
    setting.check()
    protocol = setting.protocol()
    if not protocol.private:
        return "the server sees every hospital's update"
    withstands = protocol.withstands(setting.clients, required.malicious_server)
    if withstands >= required.colluding:
        return ""
    server = "malicious" if required.malicious_server else "semi-honest"
    if withstands < 0:
        return f"does not protect against a {server} server"
    return f"withstands {withstands} colluding hospitals with a {server} server; {required.colluding} are required"


def traffic_of(setting: Setting, exact_up_to: int = EXACT_UP_TO) -> PredictedTraffic:
    """The bytes of a round: exact up to so many hospitals, extrapolated in n, v, c and m * c beyond."""
    if setting.hospitals <= exact_up_to:
        return _exact_traffic(setting)
    last = _exact_traffic(replace(setting, hospitals=EXTRAPOLATED_FROM[-1]))
    rates, terms = _growth(replace(setting, hospitals=EXTRAPOLATED_FROM[0])), _terms(setting)
    up, up_most, down, down_most = (float(np.dot(rate, terms)) for rate in rates)
    return PredictedTraffic(last.phases, up, round(up_most), down, round(down_most))


@functools.lru_cache(maxsize=256)
def _exact_traffic(setting: Setting) -> PredictedTraffic:
    return predict_bytes(setting)


@functools.lru_cache(maxsize=256)
def _growth(setting: Setting) -> tuple[tuple[float, ...], ...]:
    """By how much a hospital's bytes grow with each of the terms: up, the most up, down and the most down."""
    settings = [replace(setting, hospitals=hospitals) for hospitals in EXTRAPOLATED_FROM]
    known, rows = [_exact_traffic(smaller) for smaller in settings], [_terms(smaller) for smaller in settings]

    def rate(figure: Callable[[PredictedTraffic], float]) -> tuple[float, ...]:
        return solve(rows, [figure(traffic) for traffic in known])

    return (
        rate(lambda traffic: traffic.up),
        rate(lambda traffic: traffic.up_most),
        rate(lambda traffic: traffic.down),
        rate(lambda traffic: traffic.down_most),
    )


def _terms(setting: Setting) -> list[float]:
    n, m, v, c = shape(setting)
    return [1.0, n, v, c, m * c]


def error_bound(setting: Setting, clip: float) -> float:
    """The largest error of a coordinate of the mean, where all weights are equal."""
    return FixedPoint(setting.bits, clip).error_bound(setting.hospitals, 1.0, setting.hospitals)

"""How much of a setting is measured: all of it, a smaller model, one hospital's part, or nothing."""

from __future__ import annotations

from fedsec.report.units import plain_size as size
from fedsec.simulations.costs.measure.probe import PROBE, Need, fewest_parameters, fill_columns
from fedsec.simulations.costs.setting import Setting
from fedsec.simulations.costs.sweep.sweep import Sweep


def scope(setting: Setting, need: Need, sweep: Sweep) -> tuple[int, bool]:
    """How many parameters are measured, and whether with all hospitals.

    A round over the memory budget is one hospital's part; one that takes too long is measured on a smaller model.
    """
    all_hospitals = need.memory <= sweep.memory
    if need.seconds <= sweep.patience or not all_hospitals:
        return setting.parameters, all_hospitals
    fitting = int(setting.parameters * sweep.patience / 3 / need.seconds)
    least, probe = fill_columns(setting, 1) + 1, fewest_parameters(setting) if need.slow else PROBE
    return min(setting.parameters, fill_columns(setting, max(fitting, probe, least))), all_hospitals


def memory_scope(setting: Setting, need: Need, sweep: Sweep) -> tuple[int, bool]:
    """As `scope`, but the smallest model where one of many values takes too long: memory is not extrapolated."""
    parameters, all_hospitals = scope(setting, need, sweep)
    smaller = need.slow and parameters < setting.parameters
    return (fill_columns(setting, 1) if smaller else parameters), all_hospitals


def too_large(need: Need, sweep: Sweep) -> str:
    """Why not even one hospital's part can be measured; empty where it can. Under Flower there are always all."""
    takes, what = need.memory_one_hospital, "one hospital's part alone"
    if sweep.engine == "flower":
        takes, what = need.memory, "a round"
    if takes <= sweep.memory:
        return ""
    return f"{what} would take {size(round(takes))}, over the budget of {size(round(sweep.memory))}; raise --memory"

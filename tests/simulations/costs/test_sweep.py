"""`fedsec compare`: every figure is what a round really does, and no finished cell is ever lost."""

from __future__ import annotations

import errno
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedsec import atomic, catalog
from fedsec.cli.arguments import numbers, parse_network
from fedsec.errors import ConfigurationError
from fedsec.metering import NETWORKS, Network
from fedsec.protocol import SecureSum
from fedsec.report.document import Comparison, Spread, seconds
from fedsec.simulations.costs.federation import Federation, MeasuredRound
from fedsec.simulations.costs.measure import allocator, probe, rounds
from fedsec.simulations.costs.measure.cost_summary import MeasuredCosts, extrapolate
from fedsec.simulations.costs.measure.memory import measure_memory
from fedsec.simulations.costs.setting import Setting, takes_keys
from fedsec.simulations.costs.sweep.comparison import COMPARISON, compare
from fedsec.simulations.costs.sweep.sweep import Sweep
from tests.conftest import keys_of
from tests.simulations.costs.conftest import Jobs
from tests.tiers import exhaustive

SMALL = {"hospitals": (4,), "parameters": (300,), "repetitions": 2, "task": False}


def kinds(folder: Path) -> Counter[str]:
    return Counter(path.name.partition("-")[0] for path in (folder / "cells").iterdir())


@pytest.mark.parametrize(
    "name",
    [
        *[name for name in catalog.names() if not takes_keys(name)],
        *exhaustive(name for name in catalog.names() if takes_keys(name)),
    ],
)
def test_a_cell_is_what_a_round_really_does(name: str) -> None:
    setting = Setting(name, 5, 500, 24, keys_of(name))
    taps: dict[str, list[Any]] = {}
    federation = Federation(setting)
    federation.tap = lambda phase, party, request, answer: taps.setdefault(phase.name, []).append(
        (len(request), len(answer))
    )
    federation.enrol()
    federation.run_round()
    found, seen = rounds.measure(setting, 2, 3600.0), measure_memory(setting)
    assert [phase.name for phase in found.phases] == list(taps)
    for phase in found.phases:
        down, up = zip(*taps[phase.name], strict=True)
        assert (phase.down_most, phase.up_most, phase.messages) == (max(down), max(up), 2 * len(up))
        assert (phase.up, phase.down) == (pytest.approx(sum(up) / len(up)), pytest.approx(sum(down) / len(down)))
        assert phase.hospital_cpu_most >= phase.hospital_cpu > 0 and phase.server_cpu > 0
    train = [phase for phase in found.phases if phase.stage == "train"]
    assert found.round.phases == len(train) and found.setup.phases == len(found.phases) - len(train) >= 2
    assert found.round.up == pytest.approx(sum(phase.up * phase.replies for phase in train) / 5)
    assert found.round.hospital_cpu.low <= found.round.hospital_cpu.median <= found.round.hospital_cpu.high
    assert found.repetitions == 2
    assert seen.exact and 0 < seen.error <= seen.bound
    assert seen.memory_hospital > max(phase.up_most for phase in train) and seen.memory_server > 5 * 500


def test_memory_grows_with_the_model() -> None:
    measure_memory(Setting("shamir", 4, 1))  # what is compiled is not the round's
    small, large = (measure_memory(Setting("shamir", 4, parameters)) for parameters in (1_000, 20_000))
    assert large.memory_hospital > small.memory_hospital + 19_000 * 16  # shares of 4 bytes for two, and the sum
    assert large.memory_server > small.memory_server + 4 * 19_000 * 8


def test_with_silent_hospitals_the_sum_is_that_of_the_others() -> None:
    setting = Setting("secagg", 10, 400, 24, None, 0.3)
    assert setting.dropouts == 3 and measure_memory(setting).exact
    (phase,) = (phase for phase in rounds.measure(setting, 1, 5.0).phases if phase.name == "MaskInput")
    assert (phase.asked, phase.replies) == (10, 7)
    with pytest.raises(ConfigurationError, match="4 of 10 hospitals drop out; secagg tolerates 3 in phase MaskInput"):
        replace(setting, dropout=0.4).check()


def test_scaling_is_exact_for_what_grows_in_proportion() -> None:
    def at(parameters: int) -> MeasuredCosts:
        found = rounds.measure(Setting("plain", 3, parameters), 1, 5.0)
        cost = Spread(median=1.0 + 2.0 * parameters, low=1.0 + parameters, high=1.0 + 3.0 * parameters)
        return found._replace(round=found.round.model_copy(update={"hospital_cpu": cost}))

    scaled, real = extrapolate(at(1), at(400), 400, 4_000), at(4_000)
    assert scaled.round.hospital_cpu == real.round.hospital_cpu
    assert scaled.round.up == pytest.approx(real.round.up, rel=2e-3)
    assert [phase.name for phase in scaled.phases] == [phase.name for phase in real.phases]


@pytest.mark.exhaustive
def test_a_sweep_is_every_combination_once(jobs: Jobs, tmp_path: Path) -> None:
    names = ("plain", "shamir", "paillier")
    sweep = Sweep(names, (4,), (50,), (16,), (2048,), (0.0, 0.25), repetitions=1, task=False)
    found = compare(sweep, tmp_path / "out")
    assert len(found.cells) == 3 * 2
    assert {cell.key_bits for cell in found.cells} == {None, 2048}
    refused = [cell for cell in found.cells if cell.status == "refused"]
    assert not refused
    assert {cell.dropouts for cell in found.cells} == {0, 1}
    for cell in found.cells:
        assert cell.exact and cell.error is not None and cell.error <= cell.error_bound
        assert cell.seconds == {name: seconds(cell, found.networks[name]) for name in NETWORKS}
        assert cell.withstands is not None and cell.tolerance
    assert {one.family for one in found.strategies.values()} == {"clear", "smpc", "he"}
    assert Comparison.model_validate_json((tmp_path / "out" / COMPARISON).read_bytes()) == found


def test_impossible_cells_are_refused_with_the_reason(jobs: Jobs, tmp_path: Path) -> None:
    sweep = Sweep(("shamir:threshold=4", "plain"), **{**SMALL, "hospitals": (3, 5)})
    found = compare(sweep, tmp_path / "out")
    notes = {(cell.strategy, cell.hospitals): (cell.status, cell.note) for cell in found.cells}
    assert notes["shamir:threshold=4", 3] == ("refused", "threshold is 4 and the cohort has 3 clients")
    assert notes["shamir:threshold=4", 5][0] == notes["plain", 3][0] == "measured"
    with pytest.raises(ConfigurationError, match=r"no setting of this sweep can be measured: .*below the floor"):
        compare(Sweep(("plain",), **{**SMALL, "hospitals": (2,)}), tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigurationError, match="use at most"):
        compare(Sweep(("shamir",), **{**SMALL, "bits": (60,)}), tmp_path / "none")


def test_an_interrupted_sweep_goes_on_where_it_stopped(jobs: Jobs, tmp_path: Path) -> None:
    sweep, folder = Sweep(("plain", "shamir", "additive"), **SMALL), tmp_path / "out"
    for stop_at in ("bytes, exactness, quality", "shamir, 4"):

        def stop(what: str, done: float, total: float, word: str = stop_at) -> None:
            if what.startswith(word) and done >= 1 - ("," in word and word[0] == "s"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            compare(sweep, folder, stop)
    before = kinds(folder)
    assert before["examined"] == before["probe"] == 3 and before["clocked"] >= 1
    compare(sweep, folder)
    assert Counter(jobs.kinds()) == {"examined": 3, "probe": 3, "clocked": 3}
    stamp = (folder / COMPARISON).read_bytes()
    next((folder / "cells").glob("clocked-*")).write_text("{")
    compare(sweep, folder)
    assert Counter(jobs.kinds())["clocked"] == 4 and Counter(jobs.kinds())["examined"] == 3
    again = compare(replace(sweep, hospitals=(4, 5)), folder)
    assert (
        Counter(jobs.kinds())["clocked"] == 7 and len(again.cells) == 6 and (folder / COMPARISON).read_bytes() != stamp
    )


def test_results_of_another_measurement_are_not_mixed_in(jobs: Jobs, tmp_path: Path) -> None:
    compare(Sweep(("plain",), **SMALL), tmp_path / "out")
    with pytest.raises(ConfigurationError, match="holds a sweep with another repetitions; choose another folder"):
        compare(Sweep(("plain",), **{**SMALL, "repetitions": 3}), tmp_path / "out")


def test_a_full_disk_is_said_and_keeps_what_is_finished(jobs: Jobs, tmp_path: Path, monkeypatch: Any) -> None:
    real, written = atomic.write, []

    def write(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(atomic, "write", write)
    sweep = Sweep(("plain", "shamir", "additive"), **SMALL)
    with pytest.raises(ConfigurationError, match="No space left on device; what is finished is kept"):
        compare(sweep, tmp_path / "out")
    assert sum(kinds(tmp_path / "out").values()) == 4 and not (tmp_path / "out" / COMPARISON).exists()
    monkeypatch.setattr(atomic, "write", real)
    assert len(compare(sweep, tmp_path / "out").cells) == 3 and Counter(jobs.kinds())["probe"] == 3


def test_a_slow_setting_is_measured_on_a_smaller_model_and_marked(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value of every hospital takes 1e-4 s of a clock that rounds advance."""
    now, real = [0.0], Federation.run_round

    def run_round(self: Federation) -> MeasuredRound:
        seconds = 1e-4 * self.setting.hospitals * self.parameters
        now[0] += seconds
        return real(self)._replace(wall=seconds)

    clock = SimpleNamespace(process_time=lambda: now[0], perf_counter=lambda: now[0])
    for module in (probe, rounds):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(allocator, "pages", lambda: 0)
    monkeypatch.setattr(Federation, "run_round", run_round)
    sweep = Sweep(("plain",), **{**SMALL, "parameters": (100_000,), "patience": 1.0})
    (cell,) = compare(sweep, tmp_path / "out").cells
    assert cell.status == "extrapolated" and cell.measured_parameters == 833  # a third of the patience, of 40 s
    assert "measured on 833 parameters and extrapolated: a round would take about 40 s" in cell.note
    assert cell.round.wall.median == pytest.approx(40.0, rel=0.01)
    assert cell.round.up == pytest.approx(800_000, rel=0.05)


def test_over_the_memory_budget_one_hospital_is_measured(jobs: Jobs, tmp_path: Path) -> None:
    sweep = Sweep(("shamir", "plain"), **{**SMALL, "hospitals": (8,), "parameters": (20_000,), "memory": 6e6})
    by_name = {cell.strategy: cell for cell in compare(sweep, tmp_path / "out").cells}
    cell = by_name["shamir"]
    assert cell.status == "one-client" and "MB, over the budget of 6 MB" in cell.note
    assert cell.exact is None and not cell.seconds and cell.memory_server is None and cell.memory_hospital > 80_000
    atomic = rounds.measure(Setting("shamir", 8, 20_000), 1, 5.0).phases
    assert cell.round.up == pytest.approx(next(phase.up for phase in atomic if phase.name == "ShareInput"), rel=1e-3)


def test_where_not_even_one_hospital_fits_the_cell_is_refused_with_the_number(jobs: Jobs, tmp_path: Path) -> None:
    sweep = Sweep(("shamir",), **{**SMALL, "parameters": (20_000,), "memory": 1e6})
    (cell,) = compare(sweep, tmp_path / "out").cells
    assert cell.status == "refused" and Counter(jobs.kinds())["clocked"] == Counter(jobs.kinds())["examined"] == 0
    assert "one hospital's part alone would take" in cell.note and "over the budget of 1 MB" in cell.note


def test_seconds_are_those_of_all_runs_of_a_sweep(jobs: Jobs, tmp_path: Path) -> None:
    first = compare(Sweep(("plain",), **SMALL), tmp_path / "out")
    second = compare(Sweep(("plain",), **SMALL), tmp_path / "out")
    assert second.seconds_taken > first.seconds_taken > 0 and Counter(jobs.kinds())["clocked"] == len(first.cells)
    (tmp_path / "out" / "comparison.json").write_text("{", encoding="utf-8")
    assert compare(Sweep(("plain",), **SMALL), tmp_path / "out").seconds_taken < second.seconds_taken


def test_a_sweep_trains_the_same_model_with_every_strategy(jobs: Jobs, tmp_path: Path) -> None:
    found = compare(Sweep(("plain", "shamir"), (3,), (300,), repetitions=2), tmp_path / "out")
    assert [cell.status for cell in found.cells] == ["measured"] * 2 and all(cell.exact for cell in found.cells)
    one, other = found.quality
    assert one.value == other.value and one.largest_difference < 1e-4 and abs(one.value - one.plain) < 1e-4
    assert found.versions["numpy"] == np.__version__ and found.machine["cpus"] >= 1


def test_the_order_of_numbers_in_the_command_line() -> None:
    assert numbers("parameters", "1e3, 10_000,1000", int) == (1000, 10_000)
    assert numbers("dropout", "0,0.25", float) == (0.0, 0.25)
    for text, why in (("", "at least one value"), ("1.5", "not a whole number"), ("x", "'x' is not a number")):
        with pytest.raises(ConfigurationError, match=why):
            numbers("hospitals", text, int)
    assert parse_network("clinic=30,80,8") == ("clinic", Network(0.03, 1e7, 1e6))
    for text in ("clinic", "=1,2,3", "a=1,2", "a=x,1,2"):
        with pytest.raises(ConfigurationError, match="NAME=LATENCY,DOWN,UP was expected"):
            parse_network(text)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"hospitals": ()}, "hospitals: at least one value"),
        ({"parameters": (0,)}, "parameters is 0; it must be at least 1"),
        ({"bits": (1,)}, "bits is 1; it must be at least 2"),
        ({"repetitions": 0}, "repetitions is 0"),
        ({"memory": 0.0}, "memory is 0 GiB; it must be above 0"),
    ],
)
def test_sweeps_that_cannot_be_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Sweep(("plain",), **changes)


def test_a_setting_names_its_strategy_s_parameters() -> None:
    protocol: SecureSum[Any, Any] = Setting("shamir:server=malicious:threshold=5", 5, 1).protocol()
    assert protocol.parameters() == {"value_bits": 24, "floor": 3, "threshold": 5, "server": "malicious"}
    assert asdict(Setting("plain", 3, 1))["key_bits"] is None
    with pytest.raises(ConfigurationError, match="did you mean 'server'"):
        Setting("shamir:serve=malicious", 5, 1).protocol()

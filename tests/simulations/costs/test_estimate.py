"""`fedsec plan`: what is told before a run holds when it is run, and nothing is promised that a strategy does not."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec import catalog
from fedsec.cli import plan as plan_command
from fedsec.cli.plan import plan
from fedsec.errors import ConfigurationError
from fedsec.metering import NETWORKS
from fedsec.report import document, figures
from fedsec.simulations.costs.measure import rounds
from fedsec.simulations.costs.predict import calibrate as calibration
from fedsec.simulations.costs.predict import cost_model, curve_figure, estimate
from fedsec.simulations.costs.predict.cost_model import Model, Sample, Step
from fedsec.simulations.costs.predict.estimate import Wanted, prospects
from fedsec.simulations.costs.setting import Setting
from fedsec.simulations.costs.sweep.comparison import compare
from fedsec.simulations.costs.sweep.sweep import Sweep
from tests.report.conftest import comparison

NAMES = ["plain", "shamir", "shamir:server=malicious", "secagg", "additive"]


def exact(setting: Setting) -> tuple[float, float]:
    """Times that are linear in what the model is made of."""
    n, m, v, c = cost_model.shape(setting)
    return 1e-4 + 3e-8 * m * v + 1e-9 * c * m * m, 2e-4 + 5e-9 * n * v + 1e-5 * n


def fitted(names: list[str], bits: int = 24) -> Model:
    fits = {}
    for name in names:
        base = Setting(name, 3, 1, bits)
        samples, checks = (
            [Sample(n, d, (Step("all", *exact(Setting(name, n, d))),)) for n, d in cells]
            for cells in ([(n, d) for n in (3, 8, 24) for d in (1_000, 10_000, 80_000)], [(5, 3_000), (16, 30_000)])
        )
        fits[cost_model.key(base)] = cost_model.fit(samples, checks, base)
    return Model(fits, 0.001)


@pytest.fixture(scope="module")
def model() -> Model:
    return fitted(NAMES)


@settings(max_examples=20)
@given(hospitals=st.integers(3, 200), parameters=st.integers(100, 10**6))
def test_times_that_the_model_can_say_are_found_again(hospitals: int, parameters: int) -> None:
    for name in ("shamir", "secagg"):
        setting = Setting(name, hospitals, parameters)
        told, real = fitted_once(name).cpu(setting), exact(setting)
        assert told == (pytest.approx(real[0], rel=0.01), pytest.approx(real[1], rel=0.01))


_KEPT: dict[str, Model] = {}


def fitted_once(name: str) -> Model:
    if name not in _KEPT:
        _KEPT[name] = fitted([name])
    return _KEPT[name]


def test_noise_does_not_become_what_grows_fastest() -> None:
    """A strategy that takes its time in proportion to n and m * v, foreseen beyond what was measured."""
    base, drawn = Setting("secagg", 3, 1), np.random.default_rng(1)
    off: dict[tuple[int, int], list[float]] = {(30, 1_000): [], (100, 1_000_000): []}
    for _ in range(60):
        samples = [
            Sample(*cell, (Step("all", *proportional(Setting("secagg", *cell)) * drawn.uniform(0.98, 1.02, 2)),))
            for cell in calibration.ORDER
            if cell not in calibration.CHECKS
        ]
        told = Model({cost_model.key(base): cost_model.fit(samples, [], base)}, 0.001)
        for cell, found in off.items():
            setting = Setting("secagg", *cell)
            found.append(abs(sum(told.cpu(setting)) / sum(proportional(setting)) - 1))
    assert max(np.mean(found) for found in off.values()) < 0.05


@given(st.sampled_from([cell for cell in calibration.ORDER if cell not in calibration.CHECKS]), st.floats(2, 20))
def test_a_cell_that_something_disturbed_bends_no_other(disturbed: tuple[int, int], times: float) -> None:
    base, samples = Setting("shamir", 3, 1), []
    for cell in calibration.ORDER:
        if cell not in calibration.CHECKS:
            hospital, server = proportional(Setting("shamir", *cell))
            late = times if cell == disturbed else 1.0
            samples.append(Sample(*cell, (Step("all", late * hospital, late * server),)))
    told = Model({cost_model.key(base): cost_model.fit(samples, [], base)}, 0.001)
    for cell in set(calibration.ORDER) - {disturbed}:
        real = sum(proportional(Setting("shamir", *cell)))
        assert sum(told.cpu(Setting("shamir", *cell))) == pytest.approx(real, rel=0.15)


def proportional(setting: Setting) -> tuple[float, float]:
    """Takes its time in proportion to n and to m * v."""
    n, m, v, _ = cost_model.shape(setting)
    return 1e-4 + 3e-8 * m * v + 2e-5 * n, 2e-4 + 5e-9 * n * v + 1e-5 * n


def test_a_small_phase_that_grows_is_not_lost_in_the_others() -> None:
    """A witness's work for each hospital, beside encryption, which is a hundred times as much with three of them."""
    cells, base = [(3, 1_000), (3, 80_000), (14, 10_000), (24, 1_000)], Setting("secagg", 3, 1)
    samples = [Sample(n, d, (Step("Encrypt", 1e-5 * d, 1e-4), Step("Witness", 3e-8 * n * d, 1e-4))) for n, d in cells]
    told = Model({cost_model.key(base): cost_model.fit(samples, [], base)}, 0.001)
    hospital, server = told.cpu(Setting("secagg", 10_000, 10_000))
    assert hospital == pytest.approx(0.1 + 3.0, rel=0.1) and server == pytest.approx(2e-4, rel=0.01)
    assert told.reach(Setting("secagg", 10_000, 10_000)) == (24, 80_000)


def test_the_validation_holds_the_model_against_cells_that_were_not_fitted(model: Model) -> None:
    told = estimate.validation(model)
    assert len(told) == 2 * len(NAMES)
    for _, check, hospital, server in told:
        assert hospital == pytest.approx(check.hospital, rel=0.01) and server == pytest.approx(check.server, rel=0.01)
    assert {(check.hospitals, check.parameters) for _, check, *_ in told} == {(5, 3_000), (16, 30_000)}


def test_a_comparison_is_foreseen_at_the_pace_of_its_moments(model: Model) -> None:
    def cell(pace: float | None, **changes: Any) -> document.Cell:
        setting = Setting("secagg", 6, 9_000)
        hospital, server = (seconds * (pace or 0.001) / model.pace for seconds in exact(setting))
        spread, none = (document.Spread(median=value, low=value, high=value) for value in (hospital, 0.0))
        return document.Cell(
            **{
                "strategy": "secagg",
                "hospitals": 6,
                "parameters": 9_000,
                "bits": 24,
                "key_bits": None,
                "dropout": 0.0,
                "silent": 0,
                "status": "measured",
                "pace": pace,
                **changes,
                "round": document.Total(
                    hospital_cpu=spread,
                    hospital_cpu_most=spread,
                    wall=none,
                    up=0,
                    up_most=0,
                    down=0,
                    down_most=0,
                    server_cpu=document.Spread(median=server, low=server, high=server),
                    phases=1,
                    messages=1,
                ),
            }
        )

    cells = [
        cell(0.001),
        cell(0.0017),
        cell(None),
        cell(0.001, silent=1),
        cell(0.001, bits=20),
        cell(0.001, status="extrapolated"),
    ]
    told = estimate.against(model, comparison(cells))
    assert len(told) == 2
    for one in told:
        assert one.hospital == pytest.approx(one.cell.hospital, rel=0.01)
        assert one.server == pytest.approx(one.cell.server, rel=0.01)


def test_what_was_measured_at_different_paces_is_brought_to_one(monkeypatch: Any) -> None:
    found = {}
    for at in (0.001, 0.003):
        moments = itertools.cycle((0.002, 0.001))  # beside each cell the mean is the same
        monkeypatch.setattr(rounds, "pace", lambda moments=moments: next(moments))
        found[at] = calibration.calibrate(["plain"], 24, 2048, lambda *_: None, seconds=2.0, at=at)
        assert found[at].pace == at
    plain = Setting("plain", 4, 5_000)
    assert 1.5 < sum(found[0.003].cpu(plain)) / sum(found[0.001].cpu(plain)) < 6.0
    monkeypatch.setattr(rounds, "pace", lambda: 0.007)
    assert calibration.calibrate(["plain"], 24, 2048, lambda *_: None, seconds=1.0).pace == 0.007


def test_a_calibration_beside_other_programs_is_doubtful(home: Path, model: Model, capsys: Any) -> None:
    asked = {"hospitals": 4, "parameters": 500, "strategies": "shamir"}
    plan(**asked)
    assert "Other programs" not in capsys.readouterr().out
    replace(model, others=1.5 * (os.cpu_count() or 1)).write(cost_model.home())
    plan(**asked)
    assert "Other programs kept" in capsys.readouterr().out
    plan(**asked, as_json=True)
    assert json.loads(capsys.readouterr().out)["processors_busy_with_others"] == 1.5 * (os.cpu_count() or 1)


def test_a_comparison_and_the_plan_stand_side_by_side(home: Path, capsys: Any, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    compare(Sweep(("plain", "additive"), hospitals=(4,), parameters=(300,), repetitions=1, task=False), folder)
    plan(hospitals=4, parameters=300, strategies="plain,additive", against=folder, as_json=True)
    held = json.loads(capsys.readouterr().out)["against"]
    assert [one["strategy"] for one in held] == ["plain", "additive"]
    assert all(min(one["hospital_cpu"], one["hospital_cpu_foreseen"]) > 0 for one in held)
    plan(hospitals=4, parameters=300, strategies="plain,additive", against=folder)
    assert "of 2 within 25%" in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="cannot be read"):
        plan(strategies="plain", against=tmp_path / "nothing")
    compare(Sweep(("plain",), bits=(13,), parameters=(9,), repetitions=1, task=False), tmp_path / "other")
    with pytest.raises(ConfigurationError, match="no cell was measured whole"):
        plan(strategies="plain", against=tmp_path / "other")


def test_each_strategy_is_held_against_a_cell_even_where_time_is_short() -> None:
    found = calibration.calibrate(["plain", "secagg", "lightsecagg"], 24, 2048, lambda *_: None, seconds=0.1)
    assert {(one.strategy, one.cell.hospitals, one.cell.parameters) for one in estimate.validation(found)} == {
        (name, *calibration.CHECKS[0]) for name in ("plain", "secagg", "lightsecagg")
    }


def test_a_small_calibration_measures_real_rounds() -> None:
    found = calibration.calibrate(["plain", "additive"], 24, 2048, lambda *_: None, seconds=4.0)
    for name in ("plain", "additive"):
        fit = found.fits[cost_model.key(Setting(name, 3, 1))]
        assert len(fit.samples) >= 2 and all(one.hospital > 0 and one.server > 0 for one in fit.samples)
        assert min(found.cpu(Setting(name, 5, 1_000))) > 0


def test_a_model_of_another_machine_or_release_is_not_used(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "deep" / "model.json"
    model.write(path)
    again = cost_model.read(path)
    assert again is not None and again.cpu(Setting("secagg", 9, 999)) == model.cpu(Setting("secagg", 9, 999))
    document = json.loads(path.read_text())
    for spoilt in ({**document, "format": 99}, {**document, "versions": {}}, {"x": 1}, [], "no"):
        path.write_text(json.dumps(spoilt))
        assert cost_model.read(path) is None
    path.write_text("{")
    assert cost_model.read(path) is None and cost_model.read(tmp_path / "none.json") is None
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cost model cannot be kept"):
        model.write(tmp_path / "file" / "model.json")


def test_only_what_gives_the_trust_that_is_wanted_can_serve(model: Model) -> None:
    setting = Setting("plain", 10, 5_000)
    for breaks in (False, True):
        for colluding in (0, 2, 9):
            found = prospects(NAMES, setting, Wanted(colluding, breaks, 0.0), NETWORKS["lan"], model, 2048)
            assert [one.seconds for one in found if not one.why_not] == sorted(
                one.seconds for one in found if not one.why_not
            )
            for one in found:
                name, *rest = one.strategy.split(":")
                protocol = catalog.strategy(name)(**dict(item.split("=") for item in rest))
                promised = protocol.withstands(range(1, 11), breaks)
                assert bool(one.why_not) == (promised < colluding or not protocol.private), one
                assert one.why_not or one.withstands == promised


def test_dropouts_and_headroom_are_told(model: Model) -> None:
    lan, wanted = NETWORKS["lan"], Wanted(0, False, 0.5)
    found = {
        one.strategy: one
        for one in prospects(NAMES, Setting("plain", 10, 100, 24, None, 0.5), wanted, lan, model, 2048)
    }
    assert "5 of 10 hospitals silent; secagg tolerates 3" in found["secagg"].why_not
    assert not found["additive"].why_not and found["additive"].silent == 7
    found = {one.strategy: one for one in prospects(["shamir"], Setting("x", 10, 9, 60), wanted, lan, model, 2048)}
    assert "use at most" in found["shamir"].why_not


def test_headroom_is_in_bits(model: Model) -> None:
    lan, wanted = NETWORKS["lan"], Wanted(0, False, 0.0)
    for bits in (24, 25):
        (one,) = prospects(["shamir"], Setting("shamir", 8, 9, bits), wanted, lan, fitted(["shamir"], bits), 2048)
        largest = 8 * (2**bits - 1)
        capacity = Setting("shamir", 8, 9, bits).protocol().capacity(range(1, 9))
        assert 2**one.headroom == pytest.approx(capacity / largest)


def test_parameters_that_fit_none_of_the_calibration_s_cells_are_measured_where_they_fit(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(calibration, "calibrate", partial(calibration.calibrate, seconds=3.0))
    plan(hospitals=40, parameters=500, strategies="additive:floor=30,additive:floor=99", as_json=True)
    able, unable = json.loads(capsys.readouterr().out)["strategies"]
    assert not able["why_not"] and able["hospital"] > 0
    assert "below the floor of 99" in unable["why_not"]


def test_a_model_that_nobody_could_hold_is_planned_all_the_same(home: Path, capsys: Any) -> None:
    plan(hospitals=5, parameters=10**13, strategies="shamir", as_json=True)
    (one,) = json.loads(capsys.readouterr().out)["strategies"]
    assert one["up"] > 10**13 and one["seconds"] > 10**5


def test_bytes_are_those_that_are_measured_and_many_hospitals_are_extrapolated() -> None:
    few, many = (estimate.bytes_of(Setting("shamir", n, 1_000), exact_up_to=12) for n in (12, 40))
    real = estimate.bytes_of(Setting("shamir", 40, 1_000))
    assert many.up == pytest.approx(real.up, rel=0.05) and few.up < many.up


def test_error_bounds_follow_bits_and_clip() -> None:
    assert estimate.error_bound(Setting("plain", 5, 1, 25), 1.0) == pytest.approx(
        estimate.error_bound(Setting("plain", 5, 1, 24), 1.0) / 2, rel=1e-6
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: Any, model: Model) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model.write(cost_model.home())
    return tmp_path


def test_the_command_answers_from_the_kept_model(home: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(calibration, "calibrate", lambda *_: pytest.fail("measured again"))
    plan(hospitals=6, parameters=2_000, strategies=",".join(NAMES), net="x=10,50,5", colluding=1, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["network"] == {"name": "x", "latency": 0.01, "down": 6.25e6, "up": 0.625e6}
    by_name = {one["strategy"]: one for one in document["strategies"]}
    assert by_name["plain"]["why_not"] and by_name["shamir"]["exact"] and by_name["shamir"]["phases"] == 2
    assert len(document["validation"]) == 2 * len(NAMES) and document["error_bound"] > 0
    plan(hospitals=6, parameters=2_000, strategies=",".join(NAMES), server_breaks=True)
    out = capsys.readouterr().out
    assert "server=malicious" in out and "shamir: with a server that breaks the protocol it withstands noth" in out


def test_the_curve_reaches_a_million_hospitals_and_says_that_it_is_extrapolated(home: Path, capsys: Any) -> None:
    plan(hospitals=4, parameters=500, strategies="shamir,secagg", output=home / "plan", as_json=True)
    drawn = [Path(path) for path in json.loads(capsys.readouterr().out)["files"]]
    assert [path.name for path in drawn] == ["plan.svg", "plan.png"]
    text = drawn[0].read_text()
    assert "extrapolated" in text and "1M" in text and drawn[1].read_bytes()[:4] == b"\x89PNG"


def test_a_curve_that_ends_early_says_where() -> None:
    lines = {
        name: [(n, 1.0, 2.0, 3.0) for n in hospitals]
        for name, hospitals in (("short", (3, 1_000)), ("long", (3, 1_000, 10_000)))
    }
    drawn = curve_figure.outlook(lines, {"short": "he", "long": "smpc"}, 500, {"short": 24, "long": 24})
    text = figures.save(drawn, "svg").decode()
    assert "short (to 1k)" in text and "long (to" not in text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"hospitals": 0}, "hospitals is 0"),
        ({"parameters": 0}, "parameters is 0"),
        ({"dropout": 1.5}, "dropout is 1.5"),
        ({"colluding": -1}, "colluding is -1"),
        ({"colluding": 5, "hospitals": 5}, "it must lie between 0 and 4"),
        ({"net": "wifi"}, "unknown network 'wifi'"),
        ({"net": "x=1,2"}, "NAME=LATENCY,DOWN,UP was expected"),
        ({"strategies": "shamri"}, "did you mean 'shamir'"),
        ({"strategies": "shamir:server"}, "NAME=VALUE was expected"),
        ({"bits": 99}, "bits"),
        ({"clip": -1.0}, "clip"),
    ],
)
def test_what_cannot_be_planned_is_said(home: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        plan(**{"strategies": "shamir", **options})


def test_every_variant_is_planned() -> None:
    assert set(catalog.names()) <= set(estimate.variants())
    assert "shamir:server=malicious" in estimate.variants()
    assert plan_command.CURVE[-1] == 1_000_000

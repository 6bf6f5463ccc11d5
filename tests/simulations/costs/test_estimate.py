"""`fedsec plan`: what is predicted holds when it is run, and nothing is promised that a strategy does not."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from fedsec import catalog
from fedsec.cli import plan as plan_command
from fedsec.cli import plan_tables
from fedsec.cli.plan import plan
from fedsec.errors import ConfigurationError, RunFailed
from fedsec.metering import NETWORKS, Row
from fedsec.report import document, figures
from fedsec.simulations.costs.federation import MeasuredRound
from fedsec.simulations.costs.machine import QUIET, Load, Watch
from fedsec.simulations.costs.measure import machine_speed
from fedsec.simulations.costs.predict import calibrate as calibration
from fedsec.simulations.costs.predict import cost_model, curve_figure, estimate, strategy_calibration
from fedsec.simulations.costs.predict.cost_model import Fit, Model, Sample, Step
from fedsec.simulations.costs.predict.estimate import Requirement, estimates
from fedsec.simulations.costs.predict.validation import validate, validate_against
from fedsec.simulations.costs.setting import Setting
from fedsec.simulations.costs.sweep.comparison import compare
from fedsec.simulations.costs.sweep.sweep import Sweep
from tests.report.conftest import comparison
from tests.simulations.costs.conftest import Jobs

NAMES = ["plain", "shamir", "shamir:server=malicious", "secagg", "additive"]


def exact(setting: Setting) -> tuple[float, float]:
    """Times that are linear in what the model is made of."""
    n, m, v, c = cost_model.shape(setting)
    return 1e-4 + 3e-8 * m * v + 1e-9 * c * m * m, 2e-4 + 5e-9 * n * v + 1e-5 * n


def fitted(names: list[str], bits: int = 24, measured: tuple[int, ...] = (3, 8, 24)) -> Model:
    """A model of rounds with so many hospitals."""
    fits = {}
    for name in names:
        base = Setting(name, 3, 1, bits)
        samples, checks = (
            [Sample(n, d, (Step("all", *exact(Setting(name, n, d))),)) for n, d in cells]
            for cells in ([(n, d) for n in measured for d in (1_000, 10_000, 80_000)], [(5, 3_000), (16, 30_000)])
        )
        fits[cost_model.key(base)] = cost_model.fit(samples, checks, base)
    return Model(fits, 0.001)


@pytest.fixture(scope="module")
def model() -> Model:
    return fitted(NAMES)


@settings(max_examples=20)
@given(hospitals=st.integers(3, 200), parameters=st.integers(100, 10**6))
def test_times_that_the_model_can_express_are_found_again(hospitals: int, parameters: int) -> None:
    for name in ("shamir", "secagg"):
        setting = Setting(name, hospitals, parameters)
        predicted, real = fitted_once(name).cpu(setting), exact(setting)
        assert predicted == (pytest.approx(real[0], rel=0.01), pytest.approx(real[1], rel=0.01))


_KEPT: dict[str, Model] = {}


def fitted_once(name: str) -> Model:
    if name not in _KEPT:
        _KEPT[name] = fitted([name])
    return _KEPT[name]


def test_noise_does_not_become_what_grows_fastest() -> None:
    """A strategy that takes its time in proportion to n and m * v, predicted beyond what was measured."""
    base, drawn = Setting("secagg", 3, 1), np.random.default_rng(1)
    off: dict[tuple[int, int], list[float]] = {(30, 1_000): [], (100, 1_000_000): []}
    for _ in range(30):
        samples = [
            Sample(*cell, (Step("all", *proportional(Setting("secagg", *cell)) * drawn.uniform(0.98, 1.02, 2)),))
            for cell in strategy_calibration.ORDER
            if cell not in strategy_calibration.CHECKS
        ]
        predicted = Model({cost_model.key(base): cost_model.fit(samples, [], base)}, 0.001)
        for cell, found in off.items():
            setting = Setting("secagg", *cell)
            found.append(abs(sum(predicted.cpu(setting)) / sum(proportional(setting)) - 1))
    assert max(np.mean(found) for found in off.values()) < 0.05


@settings(max_examples=20)
@given(
    st.sampled_from([cell for cell in strategy_calibration.ORDER if cell not in strategy_calibration.CHECKS]),
    st.floats(2, 20),
)
def test_a_cell_that_something_disturbed_bends_no_other(disturbed: tuple[int, int], times: float) -> None:
    base, samples = Setting("shamir", 3, 1), []
    for cell in strategy_calibration.ORDER:
        if cell not in strategy_calibration.CHECKS:
            hospital, server = proportional(Setting("shamir", *cell))
            late = times if cell == disturbed else 1.0
            samples.append(Sample(*cell, (Step("all", late * hospital, late * server),)))
    predicted = Model({cost_model.key(base): cost_model.fit(samples, [], base)}, 0.001)
    for cell in set(strategy_calibration.ORDER) - {disturbed}:
        real = sum(proportional(Setting("shamir", *cell)))
        assert sum(predicted.cpu(Setting("shamir", *cell))) == pytest.approx(real, rel=0.15)


def proportional(setting: Setting) -> tuple[float, float]:
    """Takes its time in proportion to n and to m * v."""
    n, m, v, _ = cost_model.shape(setting)
    return 1e-4 + 3e-8 * m * v + 2e-5 * n, 2e-4 + 5e-9 * n * v + 1e-5 * n


def test_a_small_phase_that_grows_is_not_lost_in_the_others() -> None:
    """A witness's work for each hospital, beside encryption, which is a hundred times as much with three of them."""
    cells, base = [(3, 1_000), (3, 80_000), (14, 10_000), (24, 1_000)], Setting("secagg", 3, 1)
    samples = [Sample(n, d, (Step("Encrypt", 1e-5 * d, 1e-4), Step("Witness", 3e-8 * n * d, 1e-4))) for n, d in cells]
    predicted = Model({cost_model.key(base): cost_model.fit(samples, [], base)}, 0.001)
    hospital, server = predicted.cpu(Setting("secagg", 10_000, 10_000))
    assert hospital == pytest.approx(0.1 + 3.0, rel=0.1) and server == pytest.approx(2e-4, rel=0.01)
    assert predicted.reach(Setting("secagg", 10_000, 10_000)) == (24, 80_000)


def test_the_validation_holds_the_model_against_cells_that_were_not_fitted(model: Model) -> None:
    predicted = validate(model)
    assert len(predicted) == 2 * len(NAMES)
    for _, check, hospital, server in predicted:
        assert hospital == pytest.approx(check.hospital, rel=0.01) and server == pytest.approx(check.server, rel=0.01)
    assert {(check.hospitals, check.parameters) for _, check, *_ in predicted} == {(5, 3_000), (16, 30_000)}


def test_a_comparison_is_predicted_at_the_speed_of_its_moments(model: Model) -> None:
    def cell(speed: float | None, **changes: Any) -> document.Cell:
        setting = Setting("secagg", 6, 9_000)
        hospital, server = (seconds * (speed or 0.001) / model.reference_seconds for seconds in exact(setting))
        spread, none = (document.Spread(median=value, low=value, high=value) for value in (hospital, 0.0))
        return document.Cell(
            **{
                "strategy": "secagg",
                "hospitals": 6,
                "parameters": 9_000,
                "bits": 24,
                "key_bits": None,
                "dropout": 0.0,
                "dropouts": 0,
                "status": "measured",
                "reference_seconds": speed,
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
        cell(0.001, dropouts=1),
        cell(0.001, bits=20),
        cell(0.001, status="extrapolated"),
    ]
    predicted = validate_against(model, comparison(cells))
    assert len(predicted) == 2
    for one in predicted:
        assert one.hospital == pytest.approx(one.measured.hospital, rel=0.01)
        assert one.server == pytest.approx(one.measured.server, rel=0.01)


def test_what_was_measured_at_different_speeds_is_brought_to_one() -> None:
    """Three rounds of the same work on a machine that is twice and three times as slow for the last two."""

    def rows(times: float) -> list[Row]:
        each = ((1, 1.0 * times), (2, 3.0 * times))
        hospital = Row(1, "train", "Send", "hospital", 2, 2, 4, 4, 4, 4, 4, 4.0 * times, 3.0 * times, 1.0, each)
        return [hospital, replace(hospital, role="server", cpu_seconds=5.0 * times, cpu_each=())]

    measured = [MeasuredRound(rows(times), 1.0, None, 0.001 * times) for times in (1.0, 2.0, 3.0)]
    for speed in (0.001, 0.002):
        (step,) = strategy_calibration._steps(measured, speed)
        assert step == ("Send", pytest.approx(3.0 * speed / 0.001), pytest.approx(5.0 * speed / 0.001))


def test_a_calibration_is_at_its_median_speed_or_at_a_given_one(counted_time: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(machine_speed, "reference_seconds", lambda: 0.007)
    assert calibration.calibrate(["plain"], 24, 2048, lambda *_: None, seconds=0.05).reference_seconds == 0.007
    found = calibration.calibrate(["plain"], 24, 2048, lambda *_: None, seconds=0.05, reference_seconds=0.003)
    assert found.reference_seconds == 0.003


def test_a_calibration_beside_other_programs_is_doubtful(home: Path, model: Model, capsys: Any) -> None:
    asked = {"hospitals": 4, "parameters": 500, "strategies": "shamir"}
    plan(**asked)
    assert "other programs" not in capsys.readouterr().out
    replace(model, load=BUSY).write(cost_model.home())
    plan(**asked)
    assert "other programs kept" in capsys.readouterr().out
    plan(**asked, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["processors_busy_with_others"] == BUSY.others
    assert document["calibration"] == {**BUSY._asdict(), "busy": True}


BUSY = Load(others=1.5 * (os.cpu_count() or 1))


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (Load(others=0.7), "other programs kept 0.7 of 2 processors busy"),
        (Load(share=0.41), "fedsec was given a processor only 41% of the time"),
        (Load(spread=2.5), "the same piece of work took up to 2.5 times as long"),
    ],
)
def test_a_busy_machine_is_known_by_any_of_three_signs(load: Load, reason: str) -> None:
    assert load.reasons(2) == [reason] and QUIET.reasons(2) == []
    assert load.worst(QUIET) == QUIET.worst(load) == load
    assert Load(0.5, 0.8, 1.9).reasons(2) == []


def test_how_busy_the_machine_is_follows_from_its_clocks() -> None:
    now = [0.0, 0.0, 0.0]
    watch = Watch(*[lambda at=at: now[at] for at in range(3)])
    now[:] = [10.0, 6.0, 14.0]  # ten seconds, of which this process computed six, and all processors fourteen
    speeds = [1.0] * 10 + [1.5] * 10 + [9.0]  # one of the moments may be anything
    assert watch.load(speeds) == Load(others=0.8, share=0.6, spread=1.5)
    assert watch.load([]).spread == 1.0


@pytest.mark.parametrize("before", [True, False])
def test_a_calibration_of_a_busy_machine_is_not_kept(
    home: Path, model: Model, monkeypatch: Any, capsys: Any, before: bool
) -> None:
    """Neither begun where others are at work, nor kept where they were meanwhile; what was kept before stays."""
    calls = []
    made = replace(model, reference_seconds=0.5, load=QUIET if before else BUSY)
    monkeypatch.setattr(plan_command.machine, "others_now", lambda: BUSY if before else QUIET)
    monkeypatch.setattr(calibration, "calibrate", lambda *_, **__: calls.append(1) or made)
    kept = cost_model.home().read_bytes()
    asked = {"hospitals": 4, "parameters": 500, "strategies": "shamir", "calibrate": True}
    with pytest.raises(RunFailed, match=r"busy.*give the same command again.*--anyway.*from before stays as it is"):
        plan(**asked)
    assert cost_model.home().read_bytes() == kept and len(calls) == (0 if before else 1)
    plan(**asked, anyway=True)
    found = cost_model.read(cost_model.home())
    assert found is not None and found.reference_seconds == 0.5
    assert ("predicted CPU is too high" in " ".join(capsys.readouterr().out.split())) is not before


def test_where_nothing_was_kept_the_refusal_promises_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(plan_command.machine, "others_now", lambda: BUSY)
    with pytest.raises(RunFailed) as refused:
        plan(hospitals=4, parameters=500, strategies="shamir")
    assert "from before" not in str(refused.value) and not cost_model.home().exists()


def test_every_cell_that_is_extrapolated_is_marked(home: Path, capsys: Any) -> None:
    """Measured up to 6 hospitals and 80,000 parameters of each."""
    fitted(["shamir", "secagg"], measured=(3, 4, 6)).write(cost_model.home())
    for hospitals, parameters, limit in (
        (6, 80_000, ""),
        (3, 80_001, "80,000 parameters"),
        (7, 100, "6 hospitals"),
        (7, 80_001, "6 hospitals and 80,000 parameters"),
    ):
        plan(hospitals=hospitals, parameters=parameters, strategies="shamir,secagg")
        out = capsys.readouterr().out
        rows = [line for line in out.splitlines() if line.startswith(("shamir  ", "secagg  "))]
        assert len(rows) == 2 and {line.count("*") for line in rows} == {3 if limit else 0}
        legend = f"* CPU is extrapolated, from measurements up to {limit}: "
        assert (legend in " ".join(out.split())) is bool(limit)
        plan(hospitals=hospitals, parameters=parameters, strategies="shamir,secagg", as_json=True)
        assert [one["beyond"] for one in json.loads(capsys.readouterr().out)["strategies"]] == [limit] * 2


def test_many_values_of_few_and_few_of_many_leave_many_of_many_extrapolated() -> None:
    samples = tuple(Sample(n, d, (Step("all", 1.0, 1.0),)) for n, d in ((3, 1_000_000), (24, 1_000)))
    model = Model({cost_model.key(Setting("shamir", 3, 1)): Fit({}, {}, samples, ())}, 0.001)
    assert model.beyond(Setting("shamir", 24, 100_000)) == ""
    assert model.beyond(Setting("shamir", 24, 1_000_000)) == "3,000,000 parameters of all hospitals together"


def test_two_hospitals_are_refused_once_with_what_would_fit(home: Path, capsys: Any) -> None:
    plan(hospitals=2, parameters=500)
    text = " ".join(capsys.readouterr().out.split())
    assert text.count("floor of 3") == 1 and "With 3 hospitals (--hospitals 3)" in text and "3 are the fewest" in text
    could = text.partition("could: ")[2]
    assert "shamir" in could and "plain" not in could.partition(".")[0].split(", ")
    plan(hospitals=5, parameters=500, strategies="shamir", colluding=4)
    text = " ".join(capsys.readouterr().out.split())
    assert "No strategy can serve" in text and "With 8 hospitals (--hospitals 8), 1 strategy could: shamir" in text
    plan(hospitals=5, parameters=500, strategies="plain,shamir", malicious_server=True)
    assert "More hospitals would not help" in " ".join(capsys.readouterr().out.split())


@pytest.fixture
def few_extrapolate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The bytes of many hospitals follow from those of few; no other test is to extrapolate from so few."""
    monkeypatch.setattr(estimate, "EXTRAPOLATED_FROM", (3, 4, 5, 6))
    yield
    estimate._growth.cache_clear()


@pytest.mark.usefixtures("few_extrapolate")
@pytest.mark.parametrize(("hospitals", "parameters"), [(5, 10**5), (100, 10**8), (10**6, 10**13)])
def test_a_plan_fits_eighty_columns(model: Model, hospitals: int, parameters: int) -> None:
    setting, required = Setting("plain", hospitals, parameters), Requirement(1, False)
    names = ["shamir", "secagg", "additive"]
    found = estimates(names, setting, required, NETWORKS["lan"], model, 3072)
    console = Console(width=80, file=io.StringIO())
    plan_tables.print_estimates(console, setting, 4.0, "hospital-wan", required, found)
    plan_tables.print_extrapolated(console, setting, found)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    heads = " ".join(lines)
    for words in ("colluders", "withstood", "dropouts", "tolerated"):
        assert words in heads


def test_a_comparison_and_the_plan_stand_side_by_side(
    home: Path, jobs: Jobs, counted_time: Any, capsys: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    compare(Sweep(("plain", "additive"), hospitals=(4,), parameters=(300,), repetitions=1, task=False), folder)
    plan(hospitals=4, parameters=300, strategies="plain,additive", against=folder, as_json=True)
    held = json.loads(capsys.readouterr().out)["against"]
    assert [one["strategy"] for one in held] == ["plain", "additive"]
    assert all(min(one["hospital_cpu"], one["hospital_cpu_predicted"]) > 0 for one in held)
    plan(hospitals=4, parameters=300, strategies="plain,additive", against=folder)
    assert "of 2 within 25%" in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="cannot be read"):
        plan(strategies="plain", against=tmp_path / "nothing")
    compare(Sweep(("plain",), (3,), bits=(13,), parameters=(9,), repetitions=1, task=False), tmp_path / "other")
    with pytest.raises(ConfigurationError, match="holds no setting that was measured whole"):
        plan(strategies="plain", against=tmp_path / "other")


def test_each_strategy_is_validated_even_where_time_is_short(counted_time: Any) -> None:
    found = calibration.calibrate(["plain", "secagg", "lightsecagg"], 24, 2048, lambda *_: None, seconds=0.1)
    assert {(one.strategy, one.measured.hospitals, one.measured.parameters) for one in validate(found)} == {
        (name, *strategy_calibration.CHECKS[0]) for name in ("plain", "secagg", "lightsecagg")
    }


def test_a_small_calibration_measures_real_rounds(counted_time: Any) -> None:
    found = calibration.calibrate(["plain", "additive"], 24, 2048, lambda *_: None, seconds=1.0)
    assert counted_time() < 2.0
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
    setting = Setting("plain", 6, 5_000)
    for breaks in (False, True):
        for colluding in (0, 2, 5):
            found = estimates(NAMES, setting, Requirement(colluding, breaks), NETWORKS["lan"], model, 2048)
            assert [one.seconds for one in found if not one.why_not] == sorted(
                one.seconds for one in found if not one.why_not
            )
            for one in found:
                name, *rest = one.strategy.split(":")
                protocol = catalog.strategy(name)(**dict(item.split("=") for item in rest))
                promised = protocol.withstands(range(1, 7), breaks)
                assert bool(one.why_not) == (promised < colluding or not protocol.private), one
                assert one.why_not or one.withstands == promised


def test_dropouts_and_headroom_are_told(model: Model) -> None:
    lan, wanted = NETWORKS["lan"], Requirement(0, False)
    found = {
        one.strategy: one
        for one in estimates(NAMES, Setting("plain", 10, 100, 24, None, 0.5), wanted, lan, model, 2048)
    }
    assert "5 of 10 hospitals drop out; secagg tolerates 3" in found["secagg"].why_not
    assert not found["additive"].why_not and found["additive"].dropouts == 7
    found = {one.strategy: one for one in estimates(["shamir"], Setting("x", 10, 9, 60), wanted, lan, model, 2048)}
    assert "use at most" in found["shamir"].why_not


def test_headroom_is_in_bits(model: Model) -> None:
    lan, wanted = NETWORKS["lan"], Requirement(0, False)
    for bits in (24, 25):
        (one,) = estimates(["shamir"], Setting("shamir", 8, 9, bits), wanted, lan, fitted(["shamir"], bits), 2048)
        largest = 8 * (2**bits - 1)
        capacity = Setting("shamir", 8, 9, bits).protocol().capacity(range(1, 9))
        assert 2**one.headroom == pytest.approx(capacity / largest)


def test_parameters_that_fit_none_of_the_calibration_s_cells_are_measured_where_they_fit(
    tmp_path: Path, counted_time: Any, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(calibration, "calibrate", partial(calibration.calibrate, seconds=0.2))
    plan(hospitals=40, parameters=500, strategies="additive:floor=30,additive:floor=99", anyway=True, as_json=True)
    able, unable = json.loads(capsys.readouterr().out)["strategies"]
    assert not able["why_not"] and able["hospital"] > 0
    assert "below the floor of 99" in unable["why_not"]


def test_a_model_that_nobody_could_hold_is_planned_all_the_same(home: Path, capsys: Any) -> None:
    plan(hospitals=5, parameters=10**13, strategies="shamir", as_json=True)
    (one,) = json.loads(capsys.readouterr().out)["strategies"]
    assert one["up"] > 10**13 and one["seconds"] > 10**5


def test_bytes_are_those_that_are_measured_and_many_hospitals_are_extrapolated() -> None:
    few, many = (estimate.traffic_of(Setting("shamir", n, 1_000), exact_up_to=12) for n in (12, 26))
    real = estimate.traffic_of(Setting("shamir", 26, 1_000))
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
    plan(hospitals=6, parameters=2_000, strategies=",".join(NAMES), malicious_server=True)
    out = capsys.readouterr().out
    assert "server=malicious" in out and "shamir: does not protect against a malicious server" in out


@pytest.mark.usefixtures("few_extrapolate")
def test_the_curve_reaches_a_million_hospitals_and_says_that_it_is_extrapolated(home: Path, capsys: Any) -> None:
    plan(hospitals=4, parameters=500, strategies="shamir,additive", output=home / "plan", as_json=True)
    drawn = [Path(path) for path in json.loads(capsys.readouterr().out)["files"]]
    assert [path.name for path in drawn] == ["plan.svg", "plan.png"]
    text = drawn[0].read_text()
    assert "extrapolated" in text and "1M" in text and drawn[1].read_bytes()[:4] == b"\x89PNG"


def test_a_curve_that_ends_early_says_where() -> None:
    lines = {
        name: [(n, 1.0, 2.0, 3.0) for n in hospitals]
        for name, hospitals in (("short", (3, 1_000)), ("long", (3, 1_000, 10_000)))
    }
    drawn = curve_figure.curve(lines, {"short": "he", "long": "smpc"}, 500, {"short": 24, "long": 24})
    text = figures.save(drawn, "svg").decode()
    assert "short (to 1k)" in text and "long (to" not in text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"hospitals": 0}, "hospitals is 0"),
        ({"parameters": 0}, "parameters is 0"),
        ({"parameters": 10**14}, "parameters is 100,000,000,000,000; it must be at most 10,000,000,000,000"),
        ({"hospitals": 10**29}, "it must be at most 1,000,000"),
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

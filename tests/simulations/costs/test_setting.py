"""One cell: what is counted is what one hospital and the server did, and a wrong sum is found to be wrong."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec import catalog
from fedsec.errors import ConfigurationError, HeadroomError
from fedsec.metering import Row
from fedsec.simulations.costs.federation import Federation, MeasuredRound, set_up
from fedsec.simulations.costs.measure import machine_speed, memory, probe, rounds
from fedsec.simulations.costs.measure.cost_summary import MeasuredCosts, extrapolate, phase_cpu, summarize
from fedsec.simulations.costs.measure.memory import measure_memory
from fedsec.simulations.costs.setting import (
    KINDS,
    SPEC,
    WEIGHT,
    Setting,
    contribution,
    family,
    label,
    takes_keys,
    update,
)
from tests.conftest import keys_of

HEAD = '''"""Plain, but for what a test adds.

Reference: none.
Server learns: everything.
Trusts: the server.
Tolerates: silence.
Costs: one phase.
"""

import numpy as np

from fedsec.protocol import Sum
from fedsec.strategies.plain import Plain as _Plain


class Mine(_Plain):
'''
ADDS = """    def aggregate(self, clients, public):
        found = yield from super().aggregate(clients, public)
        found.vector[7] += np.uint64({})
        return Sum(found.vector, found.included)
"""
LEAVES_OUT = """    def aggregate(self, clients, public):
        found = yield from super().aggregate(clients, public)
        return Sum(found.vector, found.included - {{2}})
"""
HOSPITAL_ALLOCATES = """    def respond(self, me, state, request, x, rng):
        np.ones({})
        return super().respond(me, state, request, x, rng)
"""
SERVER_ALLOCATES = """    def aggregate(self, clients, public):
        np.ones({})
        return (yield from super().aggregate(clients, public))
"""


@pytest.fixture
def mine(tmp_path: Path) -> Callable[..., Setting]:
    """A setting of a strategy file with this body."""

    def setting(body: str, figure: int = 0, hospitals: int = 4, parameters: int = 50) -> Setting:
        path = tmp_path / "mine.py"
        path.write_text(HEAD + body.format(figure), encoding="utf-8")
        return Setting(str(path), hospitals, parameters)

    return setting


# Sums


def test_updates_differ_and_are_not_clipped() -> None:
    updates = [update(100, kind) for kind in range(KINDS)]
    assert all(np.array_equal(one, update(100, kind)) for kind, one in enumerate(updates))
    assert all(0 < np.abs(one).max() < SPEC.clip for one in updates)
    assert len({one.tobytes() for one in updates}) == KINDS
    assert len({contribution(100, 24, kind)[0].tobytes() for kind in range(KINDS)}) == KINDS


@pytest.mark.parametrize(("figure", "within"), [(1, True), (1 << 20, False)])
def test_a_wrong_sum_is_found(mine: Callable[..., Setting], figure: int, within: bool) -> None:
    seen = measure_memory(mine(ADDS, figure))
    assert seen.exact is False and seen.error is not None and seen.bound is not None
    assert (seen.error <= seen.bound) is within


def test_a_sum_of_others_than_it_says_is_found(mine: Callable[..., Setting]) -> None:
    seen = measure_memory(mine(LEAVES_OUT))
    assert seen.exact is False and seen.error is not None and seen.bound is not None and seen.error > seen.bound


@pytest.mark.parametrize("name", catalog.names())
def test_a_silent_hospital_is_not_in_the_sum(name: str) -> None:
    setting = Setting(name, 7, 40, key_bits=keys_of(name), dropout=1 / 7)
    tolerated = setting.protocol().tolerance(setting.clients)[setting.protocol().input_phase]
    if not tolerated:
        with pytest.raises(ConfigurationError, match="1 of 7 hospitals drop out"):
            setting.check()
        return
    setting.check()
    federation, _ = set_up(setting)
    total = federation.run_round().sum
    assert total is not None and total.included == {1, 2, 3, 4, 5, 6}
    exact, error, bound = memory.accuracy(setting, 40, total)
    assert exact and 0 < error <= bound


@pytest.mark.parametrize("bits", [12, 24, 32])
def test_the_error_follows_the_bits(bits: int) -> None:
    seen = measure_memory(Setting("plain", 3, 200, bits))
    assert seen.exact and seen.bound is not None and seen.error is not None
    assert seen.bound / 100 < seen.error <= seen.bound
    assert seen.bound == pytest.approx(SPEC.clip * SPEC.largest_weight / (WEIGHT * 2**bits), rel=1e-3)


# Memory


def test_memory_is_told_of_who_allocates_it(mine: Callable[..., Setting]) -> None:
    floor = measure_memory(mine("    pass\n"))
    assert max(floor.memory_hospital, floor.memory_server) < 1_000_000


@pytest.mark.parametrize(
    ("body", "who"), [(HOSPITAL_ALLOCATES, "memory_hospital"), (SERVER_ALLOCATES, "memory_server")]
)
def test_what_one_step_allocates_is_counted_once(mine: Callable[..., Setting], body: str, who: str) -> None:
    seen = measure_memory(mine(body, 1_000_000))
    other = {"memory_hospital": "memory_server", "memory_server": "memory_hospital"}[who]
    assert 8_000_000 < getattr(seen, who) < 9_000_000 and getattr(seen, other) < 1_000_000


def test_inputs_and_other_hospitals_are_in_nobody_s_memory() -> None:
    few, many = (measure_memory(Setting("plain", hospitals, 20_000)) for hospitals in (3, 12))
    assert many.memory_hospital < 1.2 * few.memory_hospital
    assert many.memory_server > few.memory_server  # it holds twelve inputs


def test_the_memory_that_is_predicted_is_what_a_round_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LARGEST_PROBE", 2_000)
    probed = probe.probe(Setting("shamir", 5, 1))
    small, large = probed.need(1_000, 5), probed.need(30_000, 5)
    assert large.memory > 5 * small.memory and large.memory_one_hospital > 5 * small.memory_one_hospital
    assert large.memory_one_hospital < large.memory
    federation = memory.TracedFederation(Setting("shamir", 5, 30_000))
    federation.enrol()
    whole, one_hospital = federation.footprint()
    assert large.memory == pytest.approx(whole, rel=0.3)
    assert large.memory_one_hospital == pytest.approx(one_hospital, rel=0.3)
    assert probe.probe(Setting("shamir", 10, 1)).need(30_000, 10).memory > large.memory


# Time


def test_figures_are_those_of_the_rows_by_hand() -> None:
    def rows(number: int, cpu: float) -> list[Row]:
        each = ((1, 0.5 * cpu), (2, 0.5 * cpu), (4, 2 * cpu))
        hospital = Row(number, "train", "Send", "hospital", 4, 3, 7, 400, 900, 100, 500, 3 * cpu, 2 * cpu, 1.0, each)
        server = Row(number, "train", "Send", "server", 1, 1, 7, 400, 900, 100, 500, 10 * cpu, 10 * cpu, 1.0)
        return [hospital, server]

    each = ((1, 1.0), (2, 3.0), (3, 2.0), (4, 2.0))
    setup = Row(0, "setup", "Enrol", "hospital", 4, 4, 8, 800, 1600, 200, 500, 8.0, 3.0, 1.0, each)
    setting, costs = Setting("plain", 4, 1, dropout=0.25), (2.0, 1.0, 4.0)
    rounds = [MeasuredRound(rows(number, cpu), 7 * cpu, None) for number, cpu in enumerate(costs, start=1)]
    found = summarize(setting, MeasuredRound([setup, replace(setup, role="server")], 5.0, None), rounds)
    assert found.round.hospital_cpu.model_dump() == {"median": 6 / 4, "low": 3 / 4, "high": 12 / 4}
    assert found.round.hospital_cpu_most.model_dump() == {"median": 4.0, "low": 2.0, "high": 8.0}
    assert found.round.server_cpu.model_dump() == {"median": 20.0, "low": 10.0, "high": 40.0}
    assert found.round.wall.model_dump() == {"median": 14.0, "low": 7.0, "high": 28.0}
    assert (found.round.up, found.round.down) == (900 / 4, 400 / 4)
    assert (found.round.up_most, found.round.down_most, found.round.phases, found.round.messages) == (500, 100, 1, 7)
    assert (found.setup.hospital_cpu.median, found.setup.up, found.setup.wall.median) == (2.0, 400.0, 5.0)
    first, second = found.phases
    assert (first.stage, first.name, second.stage, second.name) == ("setup", "Enrol", "train", "Send")
    assert (second.asked, second.replies, second.messages) == (4, 3, 7)
    assert (second.hospital_cpu, second.hospital_cpu_most, second.server_cpu) == (2.0, 4.0, 20.0)
    assert (second.up, second.up_most, second.down, second.down_most) == (300.0, 500.0, 100.0, 100.0)
    assert found.repetitions == 3


@given(st.lists(st.integers(0, 4), min_size=3, max_size=3, unique=True), st.integers(0, 4), st.floats(1.0, 1e3))
def test_the_slowest_hospital_is_the_one_that_has_most_to_do(disturbed: list[int], leader: int, stall: float) -> None:
    def turn(late: int) -> tuple[Row, Row]:
        each = tuple((party, 1.0 + (party == leader) + stall * (party == late)) for party in range(5))
        spent = [seconds for _, seconds in each]
        hospital = Row(1, "train", "Send", "hospital", 5, 5, 9, 5, 5, 1, 1, sum(spent), max(spent), 1.0, each)
        return hospital, replace(hospital, role="server", cpu_seconds=3.0 + stall * (late == leader), cpu_each=())

    turns = [turn(late) for late in disturbed]
    assert phase_cpu(turns, statistics.median_low) == (6.0, 2.0, 3.0)
    assert phase_cpu(turns, statistics.median_low, [2.0] * 3) == (12.0, 4.0, 6.0)


def test_a_disturbed_sample_of_the_speed_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = iter([1.0, 2.0, 50.0, 2.0, 3.0, 2.0])
    monkeypatch.setattr(machine_speed, "reference_seconds", lambda: next(samples))
    step = machine_speed.SpeedSampler(lambda: MeasuredRound([], 1.0, None))
    assert [one.reference_seconds for one in step.annotate([step(), step(), step()])] == [2.0] * 3


@pytest.mark.parametrize("name", ["secagg", "lightsecagg"])
def test_one_hospital_s_part_is_what_it_has_in_a_whole_round(name: str) -> None:
    setting = Setting(name, 6, 300)
    whole, part = rounds.measure(setting, 1, 5.0), rounds.measure(setting, 1, 5.0, all_hospitals=False)
    shared = whole.phases[: len(part.phases)]
    assert [one.name for one in shared][-1] == setting.protocol().input_phase.__name__
    for one, other in zip(shared, part.phases, strict=True):
        assert (one.name, one.up, one.up_most, one.down, one.down_most) == (
            other.name,
            other.up,
            other.up_most,
            other.down,
            other.down_most,
        )
    train = [phase for phase in part.phases if phase.stage == "train"]
    assert [phase.asked for phase in train] == [6] * (len(train) - 1) + [1]
    assert part.round.up == pytest.approx(sum(phase.up for phase in train))
    assert part.round.down == pytest.approx(sum(phase.down for phase in train))
    assert part.round.hospital_cpu.median == pytest.approx(sum(phase.hospital_cpu for phase in train))
    assert part.setup.up == whole.setup.up
    seen = measure_memory(setting, all_hospitals=False)
    assert seen.exact is seen.error is seen.bound is None and seen.memory_hospital > max(phase.up for phase in train)


@pytest.mark.parametrize(
    ("wall", "asked", "repetitions", "ran", "large"),
    [
        (0.01, 5, 23, 25, False),
        (0.001, 3, 30, 32, False),
        (0.03, 2, 2, 4, False),
        (0.3, 5, 3, 4, False),
        (50.0, 5, 1, 2, False),
        (0.01, 1, 1, 3, False),
        (50.0, 1, 1, 2, False),
        (0.3, 5, 2, 4, True),
        (1.5, 5, 1, 3, True),
        (50.0, 5, 1, 2, True),
    ],
    ids=[
        "brief",
        "very brief: ten times as often",
        "no median is wanted",
        "as many as fit",
        "one at least",
        "one that is quick",
        "one that is slow",
        "large: two before",
        "large and slow: two before",
        "large and too slow",
    ],
)
def test_repetitions_are_as_many_as_fit(
    monkeypatch: pytest.MonkeyPatch, wall: float, asked: int, repetitions: int, ran: int, large: bool
) -> None:
    monkeypatch.setattr(rounds, "LARGE", 29 if large else 30)
    monkeypatch.setattr(rounds.allocator, "pages", lambda: 0)
    now, sizes, real = [0.0], list[int](), Federation.run_round

    def once(self: Federation) -> MeasuredRound:
        sizes.append(self.parameters)
        found = real(self)
        now[0] += wall
        return found._replace(wall=wall)

    monkeypatch.setattr(Federation, "run_round", once)
    monkeypatch.setattr(rounds, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    found = rounds.measure(Setting("plain", 3, 10), asked, 1.0)
    assert found.repetitions == repetitions and sizes == [1] + [10] * (ran - 1)
    assert found.round.wall.median == found.round.wall.low == found.round.wall.high == wall


@pytest.mark.parametrize(
    ("pages", "walls", "ran", "counts"),
    [
        ([0], [1.0], 1, False),
        ([90_000, 4_000, 90_000], [1.0] * 3, 2, False),
        ([90_000, 9_000, 5_001, 0, 7], [1.0] * 5, 4, False),
        ([9_000] * 20, [0.1] * 20, rounds.WARM_UP_ROUNDS, False),
        ([90_000] * 4, [4.0] * 4, 3, True),
        ([0], [11.0], 1, True),
    ],
    ids=["none handed out", "few", "fewer each time", "never few", "never few, and slow", "too slow at once"],
)
def test_rounds_that_are_handed_new_memory_do_not_count(
    monkeypatch: pytest.MonkeyPatch, pages: list[int], walls: list[float], ran: int, counts: bool
) -> None:
    now, handed, done = [0.0], [0], list[MeasuredRound]()

    def step() -> MeasuredRound:
        now[0] += walls[len(done)]
        handed[0] += pages[len(done)]
        done.append(MeasuredRound([], walls[len(done)], None))
        return done[-1]

    monkeypatch.setattr(rounds, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(rounds.allocator, "pages", lambda: handed[0])
    assert rounds.warm_up(step, 10.0) == (done[-1:] if counts else [])
    assert len(done) == ran


@pytest.mark.parametrize("name", ["paillier", "shamir", "packed_shamir", "secagg_plus"])
def test_scaled_bytes_are_those_of_the_larger_model(name: str) -> None:
    def at(parameters: int) -> MeasuredCosts:
        return rounds.measure(Setting(name, 4, parameters, key_bits=keys_of(name)), 1, 60.0)

    small, large = (probe.fill_columns(Setting(name, 4, 1, key_bits=keys_of(name)), size) for size in (1, 200))
    scaled, real = extrapolate(at(small), at(large), large, 800, small), at(800)
    column = 512 if keys_of(name) else 8  # what is packed grows in steps
    for one, other in zip(scaled.phases, real.phases, strict=True):
        assert one.name == other.name and one.messages == other.messages
        assert one.up == pytest.approx(other.up, abs=20 + column)
        assert one.down == pytest.approx(other.down, abs=20 + 4 * column)
    assert scaled.setup.up == pytest.approx(real.setup.up, rel=0.02)
    assert (scaled.round.messages, scaled.round.phases) == (real.round.messages, real.round.phases)


# What a cell may be


def test_silent_hospitals_are_counted_without_rounding_errors() -> None:
    for hospitals in range(2, 101):
        for silent in range(hospitals):
            assert Setting("plain", hospitals, 1, dropout=silent / hospitals).dropouts == silent
    assert Setting("plain", 9, 1, dropout=0.2).dropouts == 1  # rounded down


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"parameters": 0}, "parameters is 0; a model has at least 1"),
        ({"dropout": 1.0}, "dropout is 1.0; it must be at least 0 and below 1"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"hospitals": 2}, "below the floor of 3"),
        ({"strategy": "shamir:threshold=6"}, "threshold is 6 and the cohort has 5 clients"),
        ({"strategy": "shamir:threshold=few"}, "threshold is 'few'; int was expected"),
        ({"strategy": "shamir:treshold=3"}, "did you mean 'threshold'"),
        ({"strategy": "shamir:3"}, "NAME=VALUE was expected"),
        ({"strategy": "shamir:value_bits=16"}, "value_bits cannot be set as a parameter here"),
        ({"strategy": "shamyr"}, "did you mean 'shamir'"),
        ({"strategy": "nowhere.py"}, "does not exist"),
        ({"strategy": "paillier", "key_bits": 1024}, "key_bits is 1024; it must be a multiple of 2"),
        ({"strategy": "plain", "key_bits": 2048}, "key_bits"),
        ({"bits": 51}, "bits is 51; it must lie between 2 and 50"),
        ({"bits": 62}, "value_bits is 62; it must lie between 1 and 60"),
    ],
)
def test_settings_that_cannot_be_say_why(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Setting(**{"strategy": "shamir", "hospitals": 5, "parameters": 10, **changes}).check()


def test_headroom_ends_with_the_hospitals() -> None:
    Setting("shamir", 2_000, 10, 50).check()
    with pytest.raises(HeadroomError, match="use at most 49 value bits"):
        Setting("shamir", 3_000, 10, 50).check()


def test_a_strategy_goes_by_its_name_and_parameters(mine: Callable[..., Setting]) -> None:
    path = mine("    pass\n").strategy
    assert label("shamir:threshold=4") == "shamir:threshold=4" and label(f"{path}:floor=4") == "mine:floor=4"
    assert Setting(f"{path}:floor=4", 5, 1, 16).protocol().parameters() == {"value_bits": 16, "floor": 4}
    assert takes_keys("paillier") and not takes_keys("paillier:key_bits=2048")
    assert not takes_keys("shamir") and not takes_keys(path)


def test_families(tmp_path: Path) -> None:
    encrypted = dict.fromkeys(("paillier", "paillier_textbook", "bfv"), "he")
    others = {"plain": "clear", **encrypted}
    assert {name: family(name) for name in catalog.names()} == {
        name: others.get(name, "smpc") for name in catalog.names()
    }
    for base, expected in (("Plain", "clear"), ("Paillier", "he"), ("Shamir", "smpc")):
        path = tmp_path / f"on_{base.lower()}.py"
        body = HEAD.replace("plain import Plain", f"{base.lower()} import {base}").replace("(_Plain)", "(_Base)")
        path.write_text(body.replace("as _Plain", "as _Base") + "    pass\n", encoding="utf-8")
        assert family(str(path)) == expected

"""A sweep: nothing is measured twice, nothing of it is lost, and a strategy that fails takes no other with it."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedsec import catalog
from fedsec.app.config import RunConfig
from fedsec.data import bundled
from fedsec.errors import ConfigurationError, RunFailed
from fedsec.metering import Network
from fedsec.report.document import Cell, Comparison
from fedsec.simulations.costs.measure import flower_rounds, rounds
from fedsec.simulations.costs.measure.cost_summary import MeasuredCosts
from fedsec.simulations.costs.setting import Setting
from fedsec.simulations.costs.sweep import ray_jobs, training_task
from fedsec.simulations.costs.sweep.comparison import COMPARISON, compare
from fedsec.simulations.costs.sweep.sweep import Sweep
from tests.simulations.costs.conftest import Jobs

HEAD = '''"""Plain, but for what a test adds.

Reference: none.
Server learns: everything.
Trusts: the server.
Tolerates: silence.
Costs: one phase.
"""

from pathlib import Path

from fedsec.errors import BadMessage
from fedsec.strategies.plain import Plain as _Plain


class Mine(_Plain):
'''
FAILS = """    def respond(self, me, state, request, x, rng):
        if {}:
            raise {}
        return super().respond(me, state, request, x, rng)
"""
WELL = "    pass\n"
THERE = "Path(__file__).with_name('fails').exists()"
SMALL: dict[str, Any] = {"hospitals": (3,), "parameters": (100,), "repetitions": 1, "task": False}


@pytest.fixture
def mine(tmp_path: Path) -> Callable[..., str]:
    """The path of a strategy file with this body."""

    def file(body: str, folder: str = "files") -> str:
        path = tmp_path / folder / "mine.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEAD + body, encoding="utf-8")
        return str(path)

    return file


def by_name(found: Comparison) -> dict[str, Cell]:
    return {cell.strategy: cell for cell in found.cells}


# What runs when


def test_what_is_timed_runs_after_all_that_is_not(jobs: Jobs, tmp_path: Path) -> None:
    compare(Sweep(("plain", "shamir"), **{**SMALL, "hospitals": (3, 4)}), tmp_path / "out")
    assert jobs.kinds() == ["probe"] * 4 + ["examined"] * 4 + ["clocked"] * 4
    assert jobs.batches == [4, 4]


def test_large_cells_are_examined_one_at_a_time(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_jobs, "cpus", lambda: 8)
    sweep = Sweep(("plain", "shamir", "additive"), **{**SMALL, "parameters": (100, 20_000), "memory": 8e6})
    assert {cell.status for cell in compare(sweep, tmp_path / "out").cells} == {"measured"}
    assert jobs.batches == [3, 3, 1, 1, 1]  # probes; the small ones together; each large one by itself


def test_progress_never_goes_back_and_ends_at_its_end(jobs: Jobs, tmp_path: Path) -> None:
    told: list[tuple[str, float, float]] = []
    sweep = Sweep(("plain", "shamir", "paillier:key_bits=7"), **SMALL)
    for _ in range(2):
        compare(sweep, tmp_path / "out", lambda *one: told.append(one))
        timed = [one for one in told if one[0] != "bytes, exactness, quality"]
        assert [what for what, _, _ in timed] == [
            "plain, 3 hospitals, 100 parameters",
            "shamir, 3 hospitals, 100 parameters",
            "paillier:key_bits=7, 3 hospitals, 100 parameters",
            "done",
        ]
        for part in (timed, [one for one in told if one not in timed]):
            done = [one[1] for one in part]
            assert done == sorted(done) and len({total for _, _, total in part}) <= 1
        assert timed[-1][1] == timed[-1][2] > 0
        told.clear()


# Figures


def test_seconds_from_end_to_end_by_hand_and_for_other_networks_without_measuring(jobs: Jobs, tmp_path: Path) -> None:
    sweep = Sweep(("secagg",), **SMALL)
    (cell,) = compare(sweep, tmp_path / "out").cells
    before = list(jobs)
    slow = replace(sweep, networks={"slow": Network(latency=0.5, down=1000.0, up=100.0)})
    (again,) = compare(slow, tmp_path / "out").cells
    assert jobs == before and again.seconds.keys() == {"slow"} and cell.seconds.keys() == sweep.networks.keys()
    assert again.model_copy(update={"seconds": cell.seconds}) == cell and cell.round is not None
    train = [phase for phase in cell.phases if phase.stage == "train"]
    wire = sum(1.0 + phase.down_most / 1000.0 + phase.up_most / 100.0 for phase in train)
    spent = cell.round.hospital_cpu_most.median + cell.round.server_cpu.median
    assert len(train) == 5 and again.seconds["slow"] == pytest.approx(wire + spent)


def test_what_was_refused_is_not_told_to_be_in_the_clear(jobs: Jobs, tmp_path: Path) -> None:
    sweep = Sweep(("plain", "paillier", "shamir:threshold=9"), **{**SMALL, "key_bits": (7,)})
    found = compare(sweep, tmp_path / "out")
    assert [cell.status for cell in found.cells] == ["measured", "refused", "refused"]
    families = {name: one.family for name, one in found.strategies.items()}
    assert families == {"plain": "clear", "paillier": "he", "shamir:threshold=9": "smpc"}


def test_a_model_so_large_is_refused_with_the_number(jobs: Jobs, tmp_path: Path) -> None:
    (cell,) = compare(Sweep(("plain",), **{**SMALL, "parameters": (10**13,)}), tmp_path / "out").cells
    assert cell.status == "refused" and "TB, over the budget of 4.29 GB; raise --memory" in cell.note


def test_more_hospitals_than_the_task_has_rows_for_train_no_model(jobs: Jobs, tmp_path: Path) -> None:
    key = {"strategy": "plain", "hospitals": 1000, "bits": 24, "key_bits": None}
    assert "use at most 56 hospitals" in training_task.train(key)[training_task.UNTRAINED]
    sweep = Sweep(("plain",), **{**SMALL, "hospitals": (3, 57), "task": True})
    one = compare(sweep, tmp_path / "out")
    assert [quality.hospitals for quality in one.quality] == [3] and Counter(jobs.kinds())["quality"] == 2
    (why,) = one.untrained
    assert why.startswith("plain with 57 hospitals: breast-cancer has 455 training rows")
    assert compare(sweep, tmp_path / "out").quality == one.quality and Counter(jobs.kinds())["quality"] == 2


def test_a_slow_strategy_trains_with_the_fewest_hospitals_only(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_task, "LONG_TRAINING", 0.0)
    sweep = Sweep(("plain", "shamir"), **{**SMALL, "hospitals": (5, 3, 4), "task": True})
    one = compare(sweep, tmp_path / "out")
    assert [(quality.strategy, quality.hospitals) for quality in one.quality] == [("plain", 3), ("shamir", 3)]
    assert [why.partition(":")[0] for why in one.untrained] == [
        f"{name} with {hospitals} hospitals" for hospitals in (5, 4) for name in ("plain", "shamir")
    ]
    assert "a round of training would take about 0 s" in one.untrained[0]
    asked: list[bool] = []
    real = ray_jobs.workers
    monkeypatch.setattr(ray_jobs, "workers", lambda needed: asked.append(needed) or real(needed))
    assert compare(sweep, tmp_path / "out").untrained == one.untrained and asked == [False]
    less = compare(replace(sweep, hospitals=(5,)), tmp_path / "out")
    assert [quality.hospitals for quality in less.quality] == [5, 5] and not less.untrained


def test_the_task_has_as_many_parameters_as_its_time_is_foreseen_for() -> None:
    config = RunConfig.read({"dataset": training_task.TASK})
    rows, _ = bundled.split(bundled.load(training_task.TASK), config.seed)
    initial = config.training(rows.task).model.initial(rows.features.shape[1], config.seed)
    assert sum(array.size for array in initial.values()) == training_task.TASK_PARAMETERS


# Failures


@pytest.mark.parametrize(
    ("when", "error", "said"),
    [
        ("True", "BadMessage('no such size')", "(party 1, 2, 3: SendInput: BadMessage: no such size)"),
        ("x.size > 50", "ValueError('of [mine]')", "ValueError: of [mine]"),
        ("x.size > 150", "KeyError('at size')", "KeyError: 'at size'"),
    ],
    ids=["in every round", "when it is probed", "when it is probed on a larger model"],
)
def test_a_strategy_that_fails_is_refused_alone(
    jobs: Jobs, mine: Callable[..., str], tmp_path: Path, when: str, error: str, said: str
) -> None:
    found = compare(Sweep((mine(FAILS.format(when, error)), "plain"), **SMALL), tmp_path / "out")
    cell = by_name(found)["mine"]
    assert cell.status == "refused" and said in cell.note and cell.round is None
    assert by_name(found)["plain"].status == "measured" and Counter(jobs.kinds())["clocked"] == 1


def test_a_sweep_in_which_everything_fails_fails(jobs: Jobs, mine: Callable[..., str], tmp_path: Path) -> None:
    sweep = Sweep((mine(FAILS.format("True", "BadMessage('never')")), "shamir:threshold=9"), **SMALL)
    with pytest.raises(RunFailed, match=r"no setting could be measured: .*BadMessage: never.*threshold is 9"):
        compare(sweep, tmp_path / "out")
    assert not (tmp_path / "out" / COMPARISON).exists()


def test_what_failed_is_tried_again(jobs: Jobs, mine: Callable[..., str], tmp_path: Path) -> None:
    path = mine(FAILS.format(THERE, "OSError('lost')"))
    sweep, fails = Sweep((path, "plain"), **SMALL), Path(path).with_name("fails")
    fails.touch()
    assert by_name(compare(sweep, tmp_path / "out"))["mine"].note == "OSError: lost"
    fails.unlink()
    assert by_name(compare(sweep, tmp_path / "out"))["mine"].status == "measured"
    assert Counter(jobs) == {
        ("probe", "plain"): 1,
        ("examined", "plain"): 1,
        ("clocked", "plain"): 1,
        ("probe", "mine"): 2,
        ("examined", "mine"): 1,
        ("clocked", "mine"): 1,
    }


def test_what_fails_when_it_is_timed_is_tried_again(
    jobs: Jobs, mine: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, real = Sweep(("plain", "shamir"), **SMALL), rounds.measure

    def lost(setting: Setting, *arguments: Any) -> MeasuredCosts:
        if setting.strategy == "plain":
            raise RunFailed("the machine was busy")
        return real(setting, *arguments)

    monkeypatch.setattr(rounds, "measure", lost)
    first = by_name(compare(sweep, tmp_path / "out"))
    assert (first["plain"].status, first["plain"].note) == ("refused", "the machine was busy")
    assert first["shamir"].status == "measured"
    monkeypatch.setattr(rounds, "measure", real)
    assert by_name(compare(sweep, tmp_path / "out"))["plain"].status == "measured"
    assert Counter(jobs.kinds()) == {"probe": 2, "examined": 2, "clocked": 2}


def test_a_full_disk_is_said_and_nothing_that_is_finished_is_lost(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, real, synced = Sweep(("plain", "shamir", "additive"), **SMALL), os.fsync, [0]

    def fsync(number: int) -> None:
        synced[0] += 1
        if synced[0] > 8:  # the sweep, three probes, three examinations, one of three cells
            raise OSError(errno.ENOSPC, "No space left on device")
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ConfigurationError, match="out cannot be written: No space left on device; what is finished"):
        compare(sweep, tmp_path / "out")
    monkeypatch.setattr(os, "fsync", real)
    before = Counter(jobs)
    assert before["clocked", "plain"] == before["clocked", "shamir"] == 1 and not before["clocked", "additive"]
    assert {cell.status for cell in compare(sweep, tmp_path / "out").cells} == {"measured"}
    assert Counter(jobs) - before == {("clocked", "shamir"): 1, ("clocked", "additive"): 1}


def test_a_folder_that_cannot_be_is_said(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigurationError, match="below cannot be written: Not a directory"):
        compare(Sweep(("plain",), **SMALL), tmp_path / "file" / "below")
    assert not jobs


# Strategies from files


def test_a_file_that_changed_is_measured_again(jobs: Jobs, mine: Callable[..., str], tmp_path: Path) -> None:
    sweep = Sweep((mine(WELL), "plain"), **{**SMALL, "task": True})
    compare(sweep, tmp_path / "out")
    assert Counter(jobs.kinds()) == {"probe": 2, "quality": 2, "examined": 2, "clocked": 2}
    compare(sweep, tmp_path / "out")
    assert len(jobs) == 8
    mine(WELL + "    # and more\n")
    compare(sweep, tmp_path / "out")
    assert sorted(jobs[8:]) == [(kind, "mine") for kind in ("clocked", "examined", "probe", "quality")]


def test_two_strategies_of_one_name_are_refused(mine: Callable[..., str]) -> None:
    with pytest.raises(ConfigurationError, match="2 of the strategies are called 'mine'; name each once, or rename"):
        Sweep((mine(WELL, "one"), mine(WELL, "other")))
    Sweep((mine(WELL, "one"), mine(WELL, "other") + ":floor=4"))


# Under Flower


@pytest.fixture
def flower(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Flower's part, in process; returns the sizes that it was asked to measure."""
    asked: list[int] = []

    def clock(setting: Setting, repetitions: int) -> MeasuredCosts:
        asked.append(setting.parameters)
        return rounds.measure(setting, repetitions, 60.0)

    monkeypatch.setattr(flower_rounds, "measure", clock)
    return asked


def test_under_flower_hospitals_do_not_fall_silent_on_demand(flower: list[int], tmp_path: Path) -> None:
    sweep = Sweep(("plain",), **{**SMALL, "hospitals": (4,)}, dropouts=(0.0, 0.25), engine="flower")
    found = compare(sweep, tmp_path / "out")
    assert found.engine == "flower" and [cell.status for cell in found.cells] == ["measured", "refused"]
    assert "--engine local" in found.cells[1].note and flower == [100]


def test_under_flower_a_slow_cell_is_measured_on_the_smaller_model_that_it_says(
    flower: list[int], tmp_path: Path
) -> None:
    sweep = Sweep(("shamir",), **{**SMALL, "parameters": (3_000,)}, engine="flower", patience=1e-6)
    (cell,) = compare(sweep, tmp_path / "out").cells
    assert (cell.status, cell.measured_parameters, flower) == ("extrapolated", 200, [200, 1]) and cell.round is not None
    assert cell.round.up == pytest.approx(rounds.measure(Setting("shamir", 3, 3_000), 1, 9.0).round.up, rel=0.01)


def test_under_flower_a_cell_over_the_memory_budget_is_refused(flower: list[int], tmp_path: Path) -> None:
    sweep = Sweep(("shamir",), **{**SMALL, "hospitals": (8,), "parameters": (20_000,)}, engine="flower", memory=6e6)
    (cell,) = compare(sweep, tmp_path / "out").cells
    assert cell.status == "refused" and "a round would take" in cell.note and "budget of 6 MB" in cell.note
    assert not flower


# Ray


@pytest.mark.exhaustive
def test_ray_runs_jobs_in_other_processes_and_survives_their_end(
    monkeypatch: pytest.MonkeyPatch, mine: Callable[..., str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")  # of somebody else's cluster
    monkeypatch.setenv(catalog.FILES_VARIABLE, mine(WELL))
    done = []
    with ray_jobs.workers(True) as submit:
        calls = {"a": (os.getpid,), "b": (os.getenv, catalog.FILES_VARIABLE), "c": (os._exit, 1), "d": (int, "x")}
        work = [(kind, number, ray_jobs.attempt, call) for number, (kind, call) in enumerate(calls.items())]
        for one in submit(work):
            done.append(one)
        assert list(submit([])) == []
    found = {kind: value for kind, _, value in done}
    assert sorted((kind, key) for kind, key, _ in done) == [("a", 0), ("b", 1), ("c", 2), ("d", 3)]
    assert found["a"] != os.getpid() and found["b"] == os.environ[catalog.FILES_VARIABLE]
    assert "worker" in found["c"][ray_jobs.FAILED]
    assert found["d"] == {ray_jobs.FAILED: "ValueError: invalid literal for int() with base 10: 'x'"}


def test_without_jobs_no_worker_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)  # importing it would fail
    with ray_jobs.workers(False) as submit:
        assert list(submit([])) == []

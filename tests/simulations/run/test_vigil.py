"""When a run under Flower is called stuck, by a clock and process tables that the test makes up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from fedsec.simulations.run.engine_failure import EngineFailed
from fedsec.simulations.run.launcher import FlowerRun
from fedsec.simulations.run.vigil import STUCK, Vigil

Looks = Iterable[tuple[float, set[int], bool]]


def first_stuck(looks: Looks) -> float | None:
    """The time of the first look at which the run is called stuck; each look is a time, the app's processes, and
    whether it works."""
    now = 0.0
    vigil = Vigil(lambda: now)
    for now, apps, working in looks:
        if vigil.stuck(apps, working):
            return now
    return None


def every(seconds: float, until: float, apps: Callable[[float], set[int]], working: bool = False) -> Looks:
    times = (step * seconds for step in range(1, int(until / seconds) + 1))
    return ((now, apps(now), working) for now in times)


def test_no_process_at_all() -> None:
    assert first_stuck(every(2, 600, lambda now: set())) == STUCK


@pytest.mark.parametrize("lives", [3, 35])
def test_processes_that_come_and_go_every_30_seconds(lives: float) -> None:
    """As where each task token is refused: the processes of a busy machine overlap, those of a quiet one do not."""

    def apps(now: float) -> set[int]:
        return {start for start in range(0, 1200, 30) if start <= now < start + lives}

    found = first_stuck(every(2, 1200, apps))
    assert found is not None and STUCK <= found <= STUCK + 32


def test_a_living_app_is_never_stuck_however_silent() -> None:
    assert first_stuck(every(2, 36_000, lambda now: {7})) is None


def test_a_slow_start_is_not_stuck() -> None:
    assert first_stuck(every(2, 3600, lambda now: {7} if now > 110 else set())) is None
    assert first_stuck(every(2, 3600, lambda now: {1} if now < 100 else {2})) is None


def test_an_app_that_works_counts_at_once() -> None:
    """Each process lives for 50 s only, but the log grows, or Ray is up."""
    assert first_stuck(every(2, 3600, lambda now: {int(now // 50)}, working=True)) is None
    assert first_stuck(every(2, 3600, lambda now: {int(now // 50)})) == pytest.approx(STUCK, abs=50)


def test_after_its_end_the_wait_begins_anew() -> None:
    assert first_stuck(every(2, 3600, lambda now: {7} if now < 1000 else set())) == pytest.approx(1000 + STUCK, abs=4)


class Unanswering(FlowerRun):
    """A run whose SuperLink gives no status."""

    def _ask_status(self, seconds: float = 0.0) -> None:
        raise EngineFailed("no answer")


def test_a_stuck_superlink_ends_the_run_in_words(tmp_path: Path) -> None:
    now = 0.0
    run = Unanswering(tmp_path, {}, 3, tmp_path, tmp_path / "run.log", vigil=Vigil(lambda: now))
    idle = {1: "flower-superlink --insecure", 2: "flower-superexec --plugin auto"}
    run.watch(idle)
    now = STUCK - 1
    run.watch(idle)
    now = STUCK + 1
    with pytest.raises(EngineFailed, match=r"Flower's SuperLink is stuck: .*; try again"):
        run.watch(idle)


def test_a_log_that_grows_is_a_sign_of_life(tmp_path: Path) -> None:
    now = 0.0
    run = Unanswering(tmp_path, {}, 3, tmp_path, tmp_path / "run.log", vigil=Vigil(lambda: now))
    for step in range(40):
        now = 10.0 * step
        (tmp_path / "run.log").write_text("line\n" * step)
        run.watch({1: "flower-superlink", 10 + step: "flwr-simulation --token 1"})
    assert run.status == "running"
    with pytest.raises(EngineFailed, match="stuck"):
        for step in range(40, 80):  # the log is streamed anew now and then, and says nothing new
            now = 10.0 * step
            (tmp_path / "run.log").write_text("line\n" * (step % 3))
            run.watch({1: "flower-superlink", 10 + step: "flwr-simulation --token 1"})


def test_an_app_that_vanished_perhaps_ran_out_of_memory(tmp_path: Path) -> None:
    run = Unanswering(tmp_path, {}, 3, tmp_path, tmp_path / "run.log")
    run.watch({2: "flwr-simulation --token 1"})
    with pytest.raises(EngineFailed, match="perhaps it ran out of memory"):
        for _ in range(60):
            run.watch({1: "flower-superlink"})

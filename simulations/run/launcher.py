"""Drive one real `flwr run` from start to finish, offline, and leave nothing behind.

The run has a SuperLink of its own on a free loopback port, a private FLWR_HOME and a private Ray, so neither the
user's Flower settings nor another run is touched. Flower's commands exit 0 even where a run failed: what counts here
is the status that the SuperLink reports. All of this goes through Flower's command line, never through its modules.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedsec import extras
from fedsec.errors import RunFailed
from fedsec.simulations.run import flower_cli, processes
from fedsec.simulations.run.engine_failure import EngineFailed
from fedsec.simulations.run.failure_log import failure
from fedsec.simulations.run.flower_cli import Value
from fedsec.simulations.run.flower_cli import make_app as make_app
from fedsec.simulations.run.lease import Lease
from fedsec.simulations.run.vigil import Vigil

COMPLETED = "finished:completed"
_START_SECONDS = 600.0  # for the SuperLink, and for each command; an idle machine with two cores takes 3
_STATUS_SECONDS = 60.0  # for the status of a run that seems stuck
_STOP_SECONDS = 3.0  # after that by force: whatever they hold is in the home that goes with them
_LINK_LINES = 200
_SCAN_SECONDS = 2.0
_ABSENCES = 15  # a run that has just ended is without a process too, until its log and its status say so


@dataclass
class FlowerRun:
    """One run: made, started and stopped by `flower_run`, watched by `poll` or `wait`."""

    app: Path
    run_config: Mapping[str, Value]
    hospitals: int
    home: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 3600.0
    workers: int | None = None
    status: str = "starting"
    run_id: str = ""
    vigil: Vigil = field(default_factory=Vigil)
    _details: str = ""
    _log_size: int = 0
    _absences: int = 0
    _deadline: float = 0.0
    _link: subprocess.Popen[bytes] | None = None
    _stream: subprocess.Popen[bytes] | None = None
    _lease: Lease | None = None

    def __post_init__(self) -> None:
        self._family = processes.Family("FLWR_HOME", str(self.home))

    def start(self) -> None:
        """Start the SuperLink, submit the run and follow its log."""
        self._deadline = time.monotonic() + self.timeout
        extras.require("ray", "Flower's simulation")
        flower_cli.check(self.app, self.run_config, self.hospitals)
        self._lease = Lease("FLWR_HOME", self.home)
        self._start_link()
        overrides = self.home / "overrides.toml"  # a file, because no quoting of flwr's `key=value` is safe
        overrides.write_bytes(flower_cli.toml(self.run_config))
        workers = self.workers or min(self.hospitals, _usable_cpus())
        sizes = f"num-supernodes={self.hospitals} client-resources-num-cpus=1 init-args-num-cpus={workers}"
        submitted = self._flwr("run", str(self.app), "--run-config", str(overrides), "--federation-config", sizes)
        self.run_id = str(submitted["run-id"])
        self.vigil.begin()
        self._follow()

    def poll(self, every: float = 0.5) -> Iterator[str]:
        """Yield the status each `every` seconds: perhaps "starting", "running", and at last "finished:completed".

        Raises RunFailed with the cause where the run ends in any other way, or takes longer than `timeout`.
        """
        scan_at = 0.0
        while not self.status.startswith("finished"):
            if self._link is None or self._link.poll() is not None:
                raise EngineFailed(f"Flower's SuperLink stopped in the middle of the run: {self._link_words()}")
            if time.monotonic() > self._deadline:
                raise RunFailed(
                    f"the run did not finish within {self.timeout:g} s; the end of its log: {self.log_tail(3)}"
                )
            if self._stream is None or self._stream.poll() is not None:  # the log ends with the run
                self._ask_status()
                self._follow()
            if not self.status.startswith("finished") and time.monotonic() > scan_at:
                scan_at = time.monotonic() + _SCAN_SECONDS
                self.watch(self._family.members())
            yield self.status
            time.sleep(0.0 if self.status.startswith("finished") else every)
        if self.status != COMPLETED:
            raise failure(self.status.rpartition(":")[2], self._text(), self._details)

    def watch(self, commands: Mapping[int, str]) -> None:
        """Raise RunFailed where these processes of the run, by id, are not those of a run that goes on."""
        apps = [pid for pid, command in commands.items() if "flwr-simulation" in command]
        if apps:
            self.status = "running"
        waiting = self.status == "starting" and any("flower-superexec" in command for command in commands.values())
        self._absences = 0 if apps or waiting else self._absences + 1
        size = self.log.stat().st_size if self.log.exists() else 0
        working = size > self._log_size or any("raylet" in command for command in commands.values())
        self._log_size = max(size, self._log_size)  # a stream that begins anew begins with the same lines
        if self._absences > _ABSENCES:  # Flower itself would notice after some 90 s without a heartbeat
            self._fail_unless_finished(
                "Flower's simulation process ended without an error message; perhaps it ran out of memory"
            )
        elif self.vigil.stuck(apps, working):
            self._fail_unless_finished(
                "Flower's SuperLink is stuck: for two minutes, no process of the app has lived long enough to work"
            )

    def _fail_unless_finished(self, why: str) -> None:
        with contextlib.suppress(RunFailed):  # a SuperLink that gives no answer is no better
            self._ask_status(_STATUS_SECONDS)
        if not self.status.startswith("finished"):
            raise EngineFailed(f"{why}; try again")

    def wait(self) -> None:
        """Watch until the run is completed."""
        for _ in self.poll():
            pass

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the run's log: the ServerApp's output, and what clients printed."""
        return "\n".join([line for line in self._text().splitlines() if line.strip()][-lines:])

    def keep_link_log(self) -> None:
        """Add the end of the SuperLink's log to the run's, for what went wrong before or around the app."""
        words = self._link_log().splitlines()[-_LINK_LINES:]
        with self.log.open("a", encoding="utf-8") as file:
            file.write("\n".join(["", "Flower's SuperLink:", *words, ""]))

    def stop(self) -> None:
        """End every process of this run and remove its folder."""
        with processes.uninterrupted():
            left = self._end_processes()
            shutil.rmtree(self.home, ignore_errors=True)
            if self._lease is not None:
                self._lease.release()
        if left:
            raise RunFailed(f"the processes {sorted(left)} of the Flower run could not be ended")

    def _end_processes(self) -> set[int]:
        left = processes.end(self._family.members, _STOP_SECONDS)
        for process in (self._stream, self._link):
            if process is not None and process.pid not in left:
                process.wait()
        return left

    def _start_link(self) -> None:
        words = ["flower-superlink", "--insecure", "--simulation", "--isolation", "subprocess", "--host", "127.0.0.1"]
        for _ in range(3):  # a port that was free when we looked may be taken when the SuperLink comes
            port = _free_port()
            connection = {"address": f"127.0.0.1:{port}", "insecure": True}
            config = {"superlink": {"default": "own", "own": connection}}
            (self.home / "config.toml").write_bytes(flower_cli.toml(config))
            self._link = self._spawn([*words, "--port", str(port)], self.home / "superlink.log")
            if self._healthy(port):
                return
            self._end_processes()
        raise EngineFailed(f"Flower's SuperLink did not start: {self._link_words()}")

    def _healthy(self, port: int) -> bool:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + _START_SECONDS
        while self._link is not None and self._link.poll() is None and time.monotonic() < deadline:
            try:
                with direct.open(f"http://127.0.0.1:{port}/health", timeout=5.0):
                    return self._link.poll() is None  # else a stranger answered
            except OSError:
                time.sleep(0.1)
        return False

    def _follow(self) -> None:
        """Stream the log into a file, by one process for the whole run: asking for the status costs 1.3 s of CPU."""
        if not self.status.startswith("finished"):
            self._stream = self._spawn(["flwr", "log", self.run_id, "--stream"], self.log)

    def _ask_status(self, seconds: float = _START_SECONDS) -> None:
        run = self._flwr("list", "--run-id", self.run_id, seconds=seconds)["runs"][0]
        self._details, status = str(run["status-details"]), str(run["status"])
        self.status = "starting" if status == "pending" else status

    def _flwr(self, *words: str, seconds: float = _START_SECONDS) -> dict[str, Any]:
        try:
            done = subprocess.run(  # noqa: S603 (our own words, no shell)
                [flower_cli.executable("flwr"), *words, "--format", "json"],
                env=flower_cli.environment(self.home, self.environment),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=seconds,
                start_new_session=True,
                check=False,  # the exit code says nothing
            )
        except subprocess.TimeoutExpired:
            raise RunFailed(f"`flwr {words[0]}` gave no answer within {seconds:g} s") from None
        return flower_cli.answer(f"flwr {words[0]}", done.stdout, done.stderr)

    def _spawn(self, words: list[str], output: Path) -> subprocess.Popen[bytes]:
        with output.open("wb") as file:
            return subprocess.Popen(  # noqa: S603 (our own words, no shell)
                [flower_cli.executable(words[0]), *words[1:]],
                env=flower_cli.environment(self.home, self.environment),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C reaches us alone, and we end them in order
            )

    def _text(self) -> str:
        return flower_cli.plain(self.log.read_text(encoding="utf-8", errors="replace")) if self.log.exists() else ""

    def _link_words(self) -> str:
        return flower_cli.last_line(self._link_log())

    def _link_log(self) -> str:
        path = self.home / "superlink.log"
        return flower_cli.plain(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else ""


@contextmanager
def flower_run(
    app: Path,
    run_config: Mapping[str, Value],
    hospitals: int,
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = 3600.0,
    workers: int | None = None,
    log: Path | None = None,
) -> Iterator[FlowerRun]:
    """A started run of the Flower app in folder `app`; whatever happens, it is stopped and cleaned up at the end.

    `timeout` is in seconds, from the start. `workers` is how many hospitals Ray simulates at a time (default: one per
    usable core). `log` keeps the run's log, which else goes with the run. Paths in `run_config` must be absolute: the
    app's processes work in a folder of their own. Stopping by SIGTERM cleans up as Ctrl-C does.
    """
    home = flower_cli.new_home()
    run = FlowerRun(
        Path(app).resolve(),
        run_config,
        hospitals,
        home,
        log.resolve() if log else home / "run.log",
        environment or {},
        timeout,
        workers,
    )
    with processes.terminable():
        try:
            run.start()
            yield run
        except RunFailed:
            run.keep_link_log()
            raise
        finally:
            run.stop()


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

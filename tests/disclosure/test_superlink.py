"""Three hospitals behind Flower's own programs: a SuperLink, three SuperNodes, and `flwr run`, on this machine.

The agreed app runs. What the server asks for beyond the agreement, and an app that is not the agreed one, is refused at
the hospitals by name, and none of it reads a row.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsec
from fedsec import catalog
from fedsec.agreement import agreement_file, approval
from fedsec.flower import bundle
from fedsec.party.identity import write_identity
from fedsec.simulations.run import flower_cli, processes

pytestmark = pytest.mark.campaign
APP, HOSPITALS = Path(__file__).parent / "agreed_app", 3
PATIENCE = 3600.0
"""Seconds that a program may take; it takes 2 to 60 on two idle cores."""


class Flower:
    """Flower's programs, in a home of their own, which are ended by their process ids."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = flower_cli.environment(home, {})
        self._family = processes.Family("FLWR_HOME", str(home))
        self.port = self._free_port()
        connection = {"address": f"127.0.0.1:{self.port}", "insecure": True}
        config = {"superlink": {"default": "own", "own": connection}}
        (home / "config.toml").write_bytes(flower_cli.toml(config))

    @staticmethod
    def _free_port() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def spawn(self, name: str, *words: str) -> None:
        """Start a program; its output is NAME.log."""
        with (self.home / f"{name}.log").open("wb") as file:
            subprocess.Popen(
                [flower_cli.executable(words[0]), *words[1:]],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self, nodes: list[Mapping[str, str]]) -> None:
        """A SuperLink, and a SuperNode with each of these configurations."""
        self.spawn("link", "flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(self.port))
        self._wait()
        for number, config in enumerate(nodes):
            words = ["flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{self.port}"]
            written = " ".join(
                f"{key}={value if value == 'true' else json.dumps(value)}" for key, value in config.items()
            )
            self.spawn(f"node{number}", *words, "--port", str(self._free_port()), "--node-config", written)

    def _wait(self) -> None:
        direct, until = urllib.request.build_opener(urllib.request.ProxyHandler({})), time.monotonic() + PATIENCE
        while True:
            try:
                direct.open(f"http://127.0.0.1:{self.port}/health", timeout=60.0).close()
                return
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def run(self, app: Path, config: Mapping[str, Any]) -> str:
        """What `flwr run --stream` printed until the run was over."""
        overrides = self.home / "overrides.toml"
        overrides.write_bytes(flower_cli.toml(config))
        words = [flower_cli.executable("flwr"), "run", str(app), "--stream", "--run-config", str(overrides)]
        return subprocess.run(
            words,
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,  # its exit status says nothing
        ).stdout

    def log(self, name: str) -> str:
        """What a program wrote."""
        return (self.home / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def logs(self) -> str:
        """The end of each program's output."""
        return "\n".join(f"{path.name}: {self.log(path.stem)[-3000:]}" for path in sorted(self.home.glob("*.log")))

    def end(self) -> None:
        """End all of it."""
        assert not processes.end(self._family.members, 10.0)


class Study:
    """Three hospitals that approved one agreement on the app in `app`, and a server that holds it too."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.app = folder, folder / "app"
        shutil.copytree(APP, self.app, ignore=shutil.ignore_patterns("__pycache__"))
        self.rows = [np.linspace(0.0, number + 1.0, 20 + number) for number in range(HOSPITALS)]
        server = write_identity(folder / "server.key")
        keys = [write_identity(folder / f"{number}.key") for number in range(HOSPITALS)]
        self.agreement = agreement_file.validated(
            {
                "fedsec": fedsec.__version__,
                "server": server.public.hex(),
                "bundle": bundle.digest_of_fab(self._built()),
                "strategy": {"name": "shamir", "parameters": parameters(catalog.build("shamir", {}))},
                "encoding": {"clip": 4.0, "ranges": {"mean": (0.0, 10.0), "loss": (0.0, 10.0)}},
                "arrays": [{"name": "w", "dtype": "float64", "shape": [4]}],
                "stages": {
                    "query.statistics": {"sessions": 1, "metrics": {"mean": 0}},
                    "train": {"sessions": 3, "metrics": {"loss": 0}},
                },
                "configuration": {"rate": 0.1},
                "free": ["folder"],
                "hospitals": [{"name": f"H{number}", "key": key.public.hex()} for number, key in enumerate(keys)],
            },
            "of this test",
        )
        self.agreement.write(folder / "agreement.toml")
        for number, key in enumerate(keys):
            np.savetxt(folder / f"{number}.txt", self.rows[number])
            self.agreement.write(folder / f"{number}.toml")
            approval.approve(self.agreement, key, approval.path_beside(folder / f"{number}.toml"))

    def _built(self) -> Path:
        """The app as `flwr build` packs it."""
        words = [flower_cli.executable("flwr"), "build", "--app", str(self.app)]
        subprocess.run(words, cwd=self.folder, check=True, capture_output=True, timeout=PATIENCE)
        [made] = self.folder.glob("*.fab")
        return made

    def node(self, number: int) -> dict[str, str]:
        """A hospital's node configuration."""
        place = self.folder / str(number)
        return {
            "fedsec-agreement": f"{place}.toml",
            "fedsec-identity": f"{place}.key",
            "fedsec-journal": f"{place}.journal",
            "fedsec-trusts-server": "true",
            "rows": f"{place}.txt",
        }

    def answers(self) -> dict[str, str]:
        """What hospitals said to the last run."""
        file = self.folder / "answers.json"
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        file.unlink()
        return found

    def read(self) -> list[list[str]]:
        """In which stages each hospital's rows were read."""
        return [(self.folder / f"{number}.read").read_text().split() for number in range(HOSPITALS)]


def parameters(protocol: Any) -> dict[str, Any]:
    return {key: value for key, value in protocol.parameters().items() if value is not None}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


@pytest.fixture
def flower(study: Study) -> Iterator[Flower]:
    made = Flower(flower_cli.new_home())
    try:
        made.start([study.node(number) for number in range(HOSPITALS)])
        yield made
    finally:
        made.end()
        shutil.rmtree(made.home, ignore_errors=True)


REFUSED = {
    "more sums of a stage": "stage 'query.statistics' has had the 1 sums that the agreement allows",
    "the same model": "this model was answered before in stage 'train'",
    "a layout": "the plan's layout of stage 'train' is not the agreement's: arrays of another shape or dtype: 'w'",
    "a clip": "encoding clip is 1e-09; agreed was 4.0",
    "a metric range": "encoding ranges is {'mean': (0.0, 1e-06)}; agreed was",
}


def of_all(text: str, said: str) -> bool:
    """Whether all hospitals said this; a reason that they share stands there once."""
    return re.search(rf"\(party 1, 2, 3: \w+: PolicyError: [^;]*{re.escape(text)}", said) is not None


def test_hospitals_answer_what_was_agreed_on_and_nothing_else(study: Study, flower: Flower) -> None:
    """All on one SuperLink: the agreed app, which then asks for more; another configuration; another app."""
    config = {"folder": str(study.folder)}
    printed = flower.run(study.app, config)
    assert (study.folder / "answers.json").exists(), printed[-4000:] + flower.logs()
    answers = study.answers()
    assert answers.pop("agreed") == "answered", flower.logs()
    assert answers.keys() == REFUSED.keys()
    for name, text in REFUSED.items():
        assert of_all(text, answers[name]), f"{name}: {answers[name]}"
    words = "printed beside the rows"
    assert all(flower.log(f"node{number}").count(words) == 2 for number in range(HOSPITALS))
    assert words not in printed and words not in flower.log("link")

    flower.run(study.app, {**config, "rate": 0.9})
    [said] = study.answers().values()
    assert of_all("run configuration 'rate' is 0.9; agreed was 0.1", said), said

    client = study.app / "agreed_app" / "client_app.py"
    client.write_text(client.read_text(encoding="utf-8").replace("mine.mean()", "mine.max()"), encoding="utf-8")
    flower.run(study.app, config)
    [said] = study.answers().values()
    assert of_all("app bundle is '", said) and study.agreement.bundle in said, said

    assert study.read() == [["query.statistics", "train"]] * HOSPITALS

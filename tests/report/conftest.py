"""Synthetic comparisons, of the shape that real ones have, and a browser that opens the pages made of them."""

from __future__ import annotations

import base64
import itertools
import json
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fedsec.report.document import (
    Cell,
    Comparison,
    Network,
    Phase,
    Quality,
    Spread,
    Strategy,
    Total,
    Withstands,
    seconds,
)

NETWORKS = {
    "lan": Network(latency=0.0005, down=125e6, up=125e6),
    "hospital-wan": Network(latency=0.02, down=12.5e6, up=12.5e6),
    "mobile": Network(latency=0.05, down=2.5e6, up=1.25e6),
}
KINDS: dict[str, tuple[str, list[str], float, float, float]] = {
    # family, phases, CPU seconds a parameter and hospital, bytes up a parameter, fixed CPU
    "plain": ("clear", ["SendInput"], 2e-9, 8, 2e-4),
    "shamir": ("smpc", ["ShareInput", "SumShares"], 3e-8, 6, 8e-4),
    "additive": ("smpc", ["MaskInput", "SumMasks"], 1e-8, 16, 4e-4),
    "secagg": ("smpc", ["AdvertiseKeys", "ShareKeys", "MaskInput", "ConsistencyCheck", "Unmask"], 2.2e-8, 8, 2e-3),
    "secagg_plus": ("smpc", ["AdvertiseKeys", "ShareKeys", "MaskInput", "Unmask"], 1.6e-8, 8, 1.6e-3),
    "lightsecagg": ("smpc", ["MaskInput", "SumPieces"], 2.6e-8, 12, 1e-3),
    "paillier": ("he", ["Encrypt", "Witness", "Open"], 4e-5, 7, 3e-2),
    "textbook_paillier": ("he", ["Encrypt", "Open"], 6e-4, 768, 5e-2),
}


def spread(value: float) -> Spread:
    return Spread(median=value, low=0.93 * value, high=1.11 * value)


def strategy(name: str) -> Strategy:
    return Strategy(
        name=name,
        family=KINDS.get(name, ("smpc",))[0],
        reference="K. Bonawitz et al., Practical secure aggregation, CCS 2017, figure 4.",
        learns="every input of every hospital." if name == "plain" else "the sum, and who took part.",
        trusts="that at most k hospitals collude, with a server that follows the protocol.",
        tolerates="n-k-1 silent hospitals, and sums at least the cohort floor.",
        costs="two phases; one vector up.",
        defaults={"value_bits": 24, "floor": 3},
    )


def cell(
    name: str,
    hospitals: int,
    parameters: int,
    bits: int = 24,
    key: int | None = None,
    dropout: float = 0.0,
    status: Any = "measured",
    note: str = "",
) -> Cell:
    family, phases, each, size, fixed = KINDS.get(name, KINDS["shamir"])
    base: dict[str, Any] = {
        "strategy": name,
        "hospitals": hospitals,
        "parameters": parameters,
        "bits": bits,
        "key_bits": key,
        "dropout": dropout,
        "dropouts": int(dropout * hospitals),
        "status": status,
        "note": note,
    }
    if status == "refused":
        return Cell(**base)
    grow = 1 if family == "clear" else math.log2(hospitals) if family == "he" else hospitals / 2
    cpu = (fixed + each * parameters * grow * ((key or 3072) / 3072) ** 2) * (1 + 0.1 * dropout)
    up = size * parameters * bits / 24 + 400.0 * (1 if family == "clear" else hospitals)
    parts = []
    for place, phase in enumerate(phases):
        heavy = 0.7 if place == len(phases) // 2 else 0.3 / max(len(phases) - 1, 1)
        parts.append(
            Phase(
                stage="train",
                name=phase,
                asked=hospitals,
                replies=hospitals,
                messages=2 * hospitals,
                hospital_cpu=heavy * cpu,
                hospital_cpu_most=1.2 * heavy * cpu,
                server_cpu=0.002 + parameters * hospitals * 1e-9,
                up=heavy * up,
                up_most=heavy * up * 1.1,
                down=300,
                down_most=heavy * up * 0.4 + 300,
            )
        )
    server = (0.002 + parameters * hospitals * 1e-9) * len(phases)
    total = Total(
        hospital_cpu=spread(cpu),
        hospital_cpu_most=spread(sum(part.hospital_cpu_most for part in parts)),
        server_cpu=spread(server),
        wall=spread(cpu * hospitals + server),
        up=up,
        up_most=1.1 * up,
        down=300.0 * len(phases),
        down_most=sum(part.down_most for part in parts),
        phases=len(phases),
        messages=2 * hospitals * len(phases),
    )
    setup = total.model_copy(update={"hospital_cpu": spread(0.01), "server_cpu": spread(0.02), "up": 800.0})
    whole = status != "one-client"
    made = Cell(
        **base,
        measured_parameters=parameters if status == "measured" else 2000,
        repetitions=5,
        phases=tuple(parts),
        setup=setup,
        round=total,
        memory_hospital=80 * parameters + 90_000,
        memory_server=8 * parameters * hospitals + 400_000 if whole else None,
        exact=True if whole else None,
        error=4.0 * 10 / 2**bits * 0.7 if whole else None,
        error_bound=4.0 * 10 / 2**bits if whole else None,
        withstands=Withstands(
            semi_honest_server=-1 if family == "clear" else (hospitals - 1) // 2,
            malicious_server=(hospitals - 1) // 3 if name == "secagg" else -1,
        ),
        tolerance={phase: 0 if name == "paillier" and phase != "Encrypt" else (hospitals - 1) // 2 for phase in phases},
    )
    return (
        made.model_copy(update={"seconds": {n: seconds(made, one) for n, one in NETWORKS.items()}}) if whole else made
    )


def realistic(**changes: Any) -> Comparison:
    """Eight strategies over hospitals, parameters, bits, keys and dropout, with cells of every status."""
    cells = []
    for name in KINDS:
        he = KINDS[name][0] == "he"
        for hospitals in (3, 10, 30, 100):
            for parameters in (100, 10_000, 1_000_000):
                for bits in (8, 16, 24):
                    for dropout in (0.0, 0.2):
                        for key in (2048, 3072) if he else (None,):
                            status, note = "measured", ""
                            if dropout and hospitals == 3:
                                status, note = "measured", ""
                            if name == "textbook_paillier" and dropout:
                                status, note = "refused", "2 of 10 hospitals silent; textbook_paillier tolerates 0"
                            elif he and parameters * hospitals >= 10_000_000:
                                status = "extrapolated"
                                note = "measured on 2,000 parameters and scaled: a round would take some 400 s"
                            elif name == "lightsecagg" and parameters * hospitals >= 100_000_000:
                                status = "one-client"
                                note = "one hospital's part: a whole round would take 6.1 GiB, over the budget of 4 GiB"
                            cells.append(cell(name, hospitals, parameters, bits, key, dropout, status, note))
    return comparison(cells, **changes)


def comparison(cells: list[Cell], **changes: Any) -> Comparison:
    names = list(dict.fromkeys(one.strategy for one in cells))
    quality = tuple(
        Quality(
            strategy=name,
            hospitals=10,
            bits=24,
            dataset="breast-cancer",
            rounds=5,
            metric="log-loss",
            value=0.0845563,
            plain=0.0845562,
            largest_difference=3.2e-6,
        )
        for name in names
    )
    fields: dict[str, Any] = {
        "title": "What secure aggregation costs",
        "created": "2026-03-04T10:11:12+00:00",
        "engine": "local",
        "seconds_taken": 1234.5,
        "machine": {"system": "Linux-6.1", "cpu": "A CPU at 2 GHz", "cpus": 8, "load": [0.1, 0.2]},
        "versions": {"fedsec": "0.1.0", "python": "3.11.7", "numpy": "2.4.6"},
        "networks": NETWORKS,
        "strategies": {name: strategy(name) for name in names},
        "cells": tuple(cells),
        "quality": quality,
    }
    return Comparison(**{**fields, **changes})


class Maker:
    """What tests make comparisons with."""

    cell = staticmethod(cell)
    comparison = staticmethod(comparison)
    realistic = staticmethod(realistic)
    strategy = staticmethod(strategy)
    networks, kinds = NETWORKS, KINDS


@pytest.fixture(scope="session")
def made() -> type[Maker]:
    return Maker


# A browser

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
BOUND = 600.0
"""Seconds that a browser may take to start, a page to open and a script to answer."""


class Page:
    """One open page, driven over the DevTools protocol; what it logs, throws and asks of the network is kept."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def _next(self, until: float) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=max(until - time.monotonic(), 0.01)))
        if "method" in message:
            self.events.append(message)
        return message

    def send(self, method: str, **parameters: Any) -> Any:
        number, until = next(self._numbers), time.monotonic() + BOUND
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (message := self._next(until)).get("id") != number:
            pass
        assert "error" not in message, message["error"]
        return message["result"]

    def open(self, path: Path) -> None:
        """Open a file, and return when it has loaded."""
        self.events.clear()
        until = time.monotonic() + BOUND
        self.send("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next(until)

    def evaluate(self, script: str) -> Any:
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def size(self, width: int, height: int = 900, scale: float = 1.0) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    def media(self, media: str = "", scheme: str = "light") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", media=media, features=features)

    def press(self, key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)

    def picture(self, whole: bool = True) -> bytes:
        return base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def complaints(self) -> list[dict[str, Any]]:
        """Exceptions, console errors and log entries."""
        return [
            event
            for event in self.events
            if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")
            or (event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] in ("error", "warning"))
        ]

    def requests(self) -> list[str]:
        sent = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]


@contextmanager
def chromium() -> Iterator[Page]:
    """A page of a browser of our own; the process and its profile are gone afterwards."""
    profile = Path(tempfile.mkdtemp(prefix="fedsec-chromium-"))
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--hide-scrollbars",
        "--remote-debugging-address=127.0.0.1",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
    ]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([CHROMIUM, *options], stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        from websockets.sync.client import connect

        with connect(_address(profile, process), max_size=None, open_timeout=BOUND) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        try:
            process.wait(BOUND)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(BOUND)
        for _ in range(20):  # its children may write a moment longer
            shutil.rmtree(profile, ignore_errors=True)
            if not profile.exists():
                break
            time.sleep(0.1)


def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    import urllib.request

    port, until = profile / "DevToolsActivePort", time.monotonic() + BOUND
    while not (port.is_file() and len(port.read_text().split()) == 2):
        assert process.poll() is None, f"chromium ended with status {process.returncode}"
        assert time.monotonic() < until, "chromium did not open its port"
        time.sleep(0.05)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://127.0.0.1:{port.read_text().split()[0]}/json/list", timeout=BOUND) as answer:
        pages = json.load(answer)
    found: str = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    if not Path(CHROMIUM).is_file():
        pytest.skip("chromium is not installed")
    pytest.importorskip("websockets", reason="websockets is not installed")
    with chromium() as page:
        yield page

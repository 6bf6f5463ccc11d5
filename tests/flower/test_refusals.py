"""What the server is told where something is wrong at a hospital: no path, no value, no other library's words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

from fedsec import catalog
from fedsec.agreement.agreement_file import LARGEST_FILE
from fedsec.errors import FedsecError
from fedsec.flower import SecureAggregation
from fedsec.flower.server import RunSessions
from tests.flower.process_grid import App, ProcessGrid, pinned

pytestmark = pytest.mark.usefixtures("simulated")
SECRET = "patient-4711"
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "pairwise_masks.py"


def app(message: Message, context: Context) -> Message:
    metrics = MetricRecord({"num-examples": 10, "count": 1})
    arrays = ArrayRecord({"w": Array(np.ones(3))})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def reasons(folder: Path, of: App = app, protocol: Any = "secagg", **config: Any) -> list[str]:
    """What five hospitals with this configuration tell the server, until it gives up."""

    def lead(grid: ProcessGrid, **keywords: Any) -> SecureAggregation:
        inner = FedAvg(min_train_nodes=5, min_available_nodes=5, fraction_evaluate=0.0)
        secure = SecureAggregation(inner, protocol, sessions=RunSessions(), **keywords)
        secure.start(grid, ArrayRecord({"w": Array(np.zeros(3))}), num_rounds=1)
        return secure

    allowed = {"fedsec-strategy-files": str(EXAMPLE)}
    grid, agreement, server = pinned(folder, of, rehearsal=lambda: lead(ProcessGrid(app, **allowed)), **config)
    with pytest.raises(FedsecError):
        lead(grid, identity=server, agreement=agreement)
    assert grid.reasons
    return grid.reasons


def write(name: str, content: bytes, mode: int = 0o600) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        path = folder / f"{SECRET}-{name}"
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    return make


def missing(name: str) -> Callable[[Path], str]:
    return lambda folder: str(folder / SECRET / name)


def text(value: str) -> Callable[[Path], str]:
    return lambda folder: value


def plugin(code: str) -> Callable[[Path], str]:
    return write("strategy.py", code.encode())


BROKEN: list[tuple[str, Callable[[Path], Any], str]] = [
    ("fedsec-journal", text(f"{SECRET}/journal"), "ConfigurationError: the journal must be an absolute path"),
    ("fedsec-journal", text(f"/{SECRET}\0"), "ConfigurationError: the journal's path is not a path"),
    ("fedsec-journal", missing("journal"), "ConfigurationError: the journal cannot be used"),
    ("fedsec-journal", lambda folder: str(folder), "ConfigurationError: the journal is not a file"),
    ("fedsec-journal", write("journal", b"no database" * 99), "JournalError: the journal is damaged"),
    ("fedsec-journal", write("journal", b"", 0o644), "ConfigurationError: the journal has permissions 644"),
    ("fedsec-identity", missing("key"), "ConfigurationError: the key file cannot be read"),
    ("fedsec-identity", write("key", SECRET.encode()), "ConfigurationError: the key file does not hold a key"),
    ("fedsec-identity", text(f"/{SECRET}\0"), "ConfigurationError: the key file is not a path"),
    ("fedsec-hospitals", missing("keys"), "ConfigurationError: the file of public keys cannot be read"),
    ("fedsec-hospitals", write("keys", b"\xff"), "ConfigurationError: the file of public keys cannot be read"),
    ("fedsec-hospitals", write("keys", SECRET.encode()), "ConfigurationError: a public key has 64 hexadecimal digits"),
    ("fedsec-agreement", missing("agreement.toml"), "ConfigurationError: the agreement cannot be read"),
    ("fedsec-agreement", write("agreement.toml", b"\xff"), "ConfigurationError: the agreement is not text in UTF-8"),
    ("fedsec-agreement", write("agreement.toml", SECRET.encode()), "ConfigurationError: the agreement is not TOML"),
    ("fedsec-agreement", write("agreement.toml", b""), "ConfigurationError: the agreement is not valid: see"),
    (
        "fedsec-agreement",
        write("agreement.toml", b"#" * (LARGEST_FILE + 1)),
        f"ConfigurationError: the agreement has {LARGEST_FILE + 1} bytes",
    ),
    ("fedsec-floor", text(SECRET), "ConfigurationError: fedsec-floor has another value"),
    ("fedsec-trusts-server", text(SECRET), "ConfigurationError: fedsec-trusts-server has another value"),
    ("fedsec-server", text(SECRET), "ConfigurationError: a public key has 64 hexadecimal digits"),
]


@pytest.mark.parametrize(
    ("key", "make", "said"),
    [
        pytest.param(*case, id=f"{case[0]}-{case[2][-20:]}", marks=[] if number % 6 == 0 else pytest.mark.versions)
        for number, case in enumerate(BROKEN)
    ],
)
def test_what_is_configured_at_a_hospital_stays_there(
    tmp_path: Path, key: str, make: Callable[[Path], Any], said: str
) -> None:
    for reason in reasons(tmp_path, **{key: make(tmp_path)}):
        assert reason.startswith(said)
        assert SECRET not in reason and str(tmp_path) not in reason


PLUGINS = [
    f"raise ValueError('{SECRET}')",
    f"open('/{SECRET}')",
    f"import {SECRET.replace('-', '_')}",
    f"this is no Python: {SECRET}",
    f"from fedsec.errors import ConfigurationError\nraise ConfigurationError('/{SECRET}')",
    f"PATIENT = '{SECRET}'",
]


@pytest.mark.parametrize(
    "code", [*PLUGINS[:1], *(pytest.param(code, marks=pytest.mark.versions) for code in PLUGINS[1:])]
)
def test_what_a_strategy_file_says_when_it_fails_stays_there(tmp_path: Path, code: str) -> None:
    """The server names a strategy that the hospital allows by a file of its own, and the file cannot be loaded."""
    here = tmp_path / EXAMPLE.name
    here.write_text(code)
    for reason in reasons(tmp_path, protocol=catalog.strategy(str(EXAMPLE))(), **{"fedsec-strategy-files": str(here)}):
        assert reason.startswith("ConfigurationError")
        assert SECRET not in reason and "4711" not in reason and str(tmp_path) not in reason


@pytest.mark.slow
def test_what_an_app_says_when_it_fails_stays_there(tmp_path: Path) -> None:
    def failing(message: Message, context: Context) -> Message:
        raise FileNotFoundError(2, "No such file or directory", f"/{SECRET}")

    def lead(grid: ProcessGrid, **keywords: Any) -> SecureAggregation:
        secure = SecureAggregation(FedAvg(), "secagg", sessions=RunSessions(), **keywords)
        secure.collect(grid, "query.count")
        return secure

    grid, agreement, server = pinned(tmp_path, failing, rehearsal=lambda: lead(ProcessGrid(app)))
    with pytest.raises(FedsecError):
        lead(grid, identity=server, agreement=agreement)
    assert not [reason for reason in grid.reasons if SECRET in reason or "No such file" in reason]

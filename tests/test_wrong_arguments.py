"""Arguments of wrong types and values: an answer or a FedsecError in words, and no error of Python's own."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec import (
    Fault,
    Journal,
    LocalFederation,
    Policy,
    StrategySpec,
    Update,
    catalog,
    read_identity,
    read_public_keys,
    strategy,
    write_identity,
)
from fedsec.data import bundled, files, registry, row_files, schema
from fedsec.data.files import RowsSource
from fedsec.data.preparation import Preparation
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.metering import Ledger, Network, network
from fedsec.party.identity import public_key
from fedsec.protocol import SecureSum
from fedsec.strategies.plain import Plain
from tests.tiers import examples

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 5, 10**400, 1.5, float("nan"), float("inf"), 1j, Fraction(1, 2)),
    *("", "x", "a\0b", "é\udc80", "shamir", "..", "~nobody-of-this-name", "-" * 5000, b"", b"x" * 32),
    *([], [1], ["x"], (), {}, {"a": 1}, {1: 2}, set(), object(), np.int64(3), np.ones(2), np.array("x"), np.ma.masked),
    *(Path("x"), Path("."), len),
]
UPDATES = {party: Update({"w": np.ones(2)}, {"loss": 0.1}, 1) for party in (1, 2, 3)}
MODEL = {"w": np.ones(2)}
SCHEMA = '[label]\nname = "c"\n[columns.b]\nlow = 0\nhigh = 99\n'


def local(**changes: Any) -> LocalFederation:
    return LocalFederation(**{"protocol": Plain(), "hospitals": 4, **changes})


@functools.cache
def enrolled() -> LocalFederation:
    """Three hospitals that have enrolled, for all means."""
    return local(hospitals=3)


def own(**changes: Any) -> RowsSource:
    return RowsSource(**{"data": "rows.csv", "site": "a", "label": "c", **changes})


def summed(federation: LocalFederation) -> Any:
    return federation.sum({1: [1], 2: [1], 3: [1], 4: [1]})


def hospitals(value: Any) -> Any:
    return local(hospitals=value) if not isinstance(value, int) or value < 100 else None


TAKEN: dict[str, Callable[[Any], Any]] = {
    "strategy": strategy,
    "strategy, files": lambda value: strategy("plain", value),
    "strategy, built": lambda value: catalog.build(value, {}),
    "strategy, parameters": lambda value: catalog.build("shamir", value),
    "strategy, threshold": lambda value: catalog.build("shamir", {"threshold": value}),
    "spec": StrategySpec,
    "spec, parameters": lambda value: StrategySpec("x", value),
    "spec, a parameter": lambda value: StrategySpec("x", {"a": value}),
    "spec, parsed": StrategySpec.parse,
    "spec, JSON": lambda value: StrategySpec.from_json("x", value),
    "spec, configured": catalog.configured,
    "journal": Journal,
    "journal, wait": lambda value: Journal(Path.cwd() / "journal", value).claim(b"i", b"r", lambda known: known),
    "policy, floor": lambda value: Policy(floor=value),
    "policy, threshold": lambda value: Policy(threshold=value),
    "policy, simulation": lambda value: Policy(simulation=value),
    "policy, trusts_server": lambda value: Policy(trusts_server=value),
    "policy, server": lambda value: Policy(server=value),
    "policy, hospitals": lambda value: Policy(hospitals=value),
    "identity, read": read_identity,
    "identity, written": write_identity,
    "public keys": read_public_keys,
    "public key": public_key,
    "fault, kind": lambda value: Fault(value, "SendInput", 1),
    "fault, phase": lambda value: Fault("drop", value, 1),
    "fault, party": lambda value: summed(local(faults=[Fault("drop", "SendInput", value)])),
    "fault, round": lambda value: summed(local(faults=[Fault("drop", "SendInput", 1, value)])),
    "fault, bit": lambda value: summed(local(faults=[Fault("corrupt-reply", "SendInput", 1, bit=value)])),
    "federation": lambda value: LocalFederation(value),
    "federation, hospitals": hospitals,
    "federation, spec": lambda value: local(spec=value),
    "federation, policy": lambda value: local(policy=value),
    "federation, ledger": lambda value: local(ledger=value),
    "federation, journal": lambda value: summed(local(journal=value)),
    "federation, faults": lambda value: summed(local(faults=value)),
    "sum": lambda value: local().sum(value),
    "sum, vector": lambda value: local().sum({1: value, 2: [1], 3: [1], 4: [1]}),
    "mean": lambda value: enrolled().mean(value, MODEL),
    "mean, model": lambda value: enrolled().mean(UPDATES, value),
    "mean, array of the model": lambda value: enrolled().mean(UPDATES, {"w": value}),
    "mean, update": lambda value: enrolled().mean({**UPDATES, 1: value}, MODEL),
    "mean, arrays": lambda value: enrolled().mean({**UPDATES, 1: Update(value, {"loss": 0.1}, 1)}, MODEL),
    "mean, array": lambda value: enrolled().mean({**UPDATES, 1: Update({"w": value}, {"loss": 0.1}, 1)}, MODEL),
    "mean, metrics": lambda value: enrolled().mean({**UPDATES, 1: Update(MODEL, value, 1)}, MODEL),
    "mean, weight": lambda value: enrolled().mean({**UPDATES, 1: Update(MODEL, {"loss": 0.1}, value)}, MODEL),
    "rows": files.load,
    "rows, data": lambda value: files.load(own(data=value)),
    "rows, site": lambda value: files.load(own(site=value)),
    "rows, label": lambda value: files.load(own(label=value)),
    "rows, person": lambda value: files.load(own(person=value)),
    "rows, positive": lambda value: files.load(own(positive=value)),
    "rows, drop": lambda value: files.load(own(drop=value)),
    "rows, schema": lambda value: files.load(own(schema=value)),
    "rows of a hospital": lambda value: files.load_hospital(value, Path("schema.toml")),
    "rows of a hospital, schema": lambda value: files.load_hospital(Path("rows.csv"), value),
    "schema, read": schema.read,
    "schema, parsed": lambda value: schema.parse(value, "here"),
    "schema, number": lambda value: schema.Number("a", value, 2.0),
    "schema, category": lambda value: schema.Category("a", value),
    "schema, label": lambda value: schema.Label("a", value),
    "schema, label's low": lambda value: schema.Label("a", "regression", value),
    "schema, columns": lambda value: schema.Schema(value, schema.Label("a", "classification")),
    "preparation": Preparation.from_json,
    "dataset": registry.load,
    "bundled dataset": bundled.load,
    "network": network,
    "network's latency": lambda value: Network(value, 1.0, 1.0),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = "\n".join(f"{row % 3},{row},{row % 2}" for row in range(30))
    (tmp_path / "rows.csv").write_text(f"a,b,c\n{lines}\n", encoding="utf-8")
    (tmp_path / "schema.toml").write_text(SCHEMA, encoding="utf-8")


@pytest.mark.parametrize("taken", TAKEN)
def test_a_wrong_argument_is_refused_in_words(taken: str) -> None:
    refused = 0
    for value in VALUES:
        try:
            TAKEN[taken](value)
        except FedsecError as error:
            refused += 1
            assert len(str(error).split()) > 3
    assert refused, "the control: some of them are wrong everywhere"


SUFFIXES = [*row_files.SUFFIXES, ".csv.gz", ".csv.zip", ".txt", ".toml"]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80)


@given(content=st.binary(max_size=200) | TEXT.map(str.encode), suffix=st.sampled_from(SUFFIXES))
@settings(max_examples=examples(150), deadline=None)
def test_any_bytes_in_a_file_of_rows(content: bytes, suffix: str) -> None:
    path = Path(f"drawn{suffix}")
    path.write_bytes(content)
    acts: list[Callable[[], Any]] = [lambda: schema.read(path)]
    if suffix != ".toml":
        acts = [lambda: files.load(RowsSource(str(path), "a", "b")), lambda: files.read_file(path)]
    for act in acts:
        try:
            act()
        except FedsecError:
            continue


CELLS = st.sampled_from(["", " ", "nan", "inf", "-inf", "1e400", "1", "2", "0.5", "x", "1_0", "1,5", "é", "\t", '"'])


@given(rows=st.lists(st.tuples(*[CELLS] * 3), min_size=1, max_size=12), task=st.sampled_from(["", "1", "x"]))
@settings(max_examples=examples(150), deadline=None)
def test_any_cells_in_a_file_of_rows(rows: list[tuple[str, ...]], task: str) -> None:
    import csv

    with Path("drawn.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("a", "b", "c"), *rows])
    try:
        files.load(RowsSource("drawn.csv", "a", "c", positive=task))
    except FedsecError:
        return


@given(
    name=st.sampled_from(catalog.names()), values=st.dictionaries(TEXT, st.integers() | st.floats() | TEXT, max_size=3)
)
@settings(max_examples=examples(60), deadline=None)
def test_any_parameters_of_any_strategy(name: str, values: dict[str, Any]) -> None:
    try:
        built = catalog.build(name, values)
    except ConfigurationError:
        return
    assert isinstance(built, SecureSum)


def test_paths_may_be_texts(tmp_path: Path) -> None:
    write_identity(str(tmp_path / "key"))  # type: ignore[arg-type]
    assert read_identity(str(tmp_path / "key")) == read_identity(tmp_path / "key")  # type: ignore[arg-type]
    assert Journal(str(tmp_path / "journal")).path == tmp_path / "journal"  # type: ignore[arg-type]
    Ledger().write(str(tmp_path / "ledger.csv"))  # type: ignore[arg-type]
    assert os.path.getsize(tmp_path / "ledger.csv") > 0

"""Every app of examples/ gives over secure sums what it gives in plain Flower."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsec.simulations.run.launcher import COMPLETED, flower_run
from tests.examples.example_apps import EXAMPLES, HOSPITALS, NAMES, Arrays, component, declared, outcome, package, saved

PROTOCOLS = ["secagg", "shamir", "paillier:key_bits=2048"]
"""All strategies sum the same integers: an example meets two of these in the suite, and in the campaign each."""
HEAVY = {"sklearn-logistic": "sklearn", "torch-batchnorm": "torch"}
"""Examples on libraries that take seconds to import, or that no extra of the tests installs."""
ROUNDS = {name: {"rounds": 2} for name in NAMES if "rounds" in declared(name)["config"]}
CLOSE = {"torch-batchnorm": 1e-3, "sklearn-logistic": 1e-4}
"""Adam divides a gradient by its size, so that rounding grows where gradients are small; elsewhere 1e-5."""


def needs(name: str) -> None:
    """Skip where the example's library is not installed."""
    if (library := HEAVY.get(name)) and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


def check(name: str, plain: Arrays, secure: Arrays) -> None:
    """The secured result is the plain one, but for rounding in each round and what training makes of it."""
    assert plain.keys() == secure.keys() and plain
    for key, expected in plain.items():
        assert secure[key].shape == expected.shape and secure[key].dtype == expected.dtype
        largest = float(np.abs(expected).max())
        assert largest > 0
        assert np.abs(secure[key] - expected).max() <= CLOSE.get(name, 1e-5) * largest, key


def test_all_apps_are_of_one_form_and_have_one_switch() -> None:
    assert len(NAMES) == 6 and HEAVY.keys() <= set(NAMES)
    switches, listed = set(), (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        own, app = package(name), declared(name)
        assert app["components"] == {"serverapp": f"{own}.server_app:app", "clientapp": f"{own}.client_app:app"}
        assert (app["config"]["secure"], app["config"]["protocol"], app["config"]["output"]) == (True, "secagg", "")
        files = [EXAMPLES / name / "README.md", *(EXAMPLES / name / own).glob("*.py")]
        read = {file.name: file.read_text(encoding="utf-8") for file in files}
        assert 'if config["secure"]:' in read["server_app.py"] and "SecureAggregation(" in read["server_app.py"]
        assert "ClientApp(mods=[secure_if_asked])" in read["client_app.py"]
        assert "--run-config 'secure=false'" in read["README.md"] and "num-supernodes=3" in read["README.md"]
        assert f"({name}/README.md)" in listed
        switches.add(read["switch.py"])
    assert len(switches) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_secured_gives_what_it_gives_in_the_clear(name: str, tmp_path: Path) -> None:
    needs(name)
    settings = ROUNDS.get(name, {})
    plain = outcome(name, tmp_path / "plain.npz", secure=False, **settings)
    for number, protocol in enumerate(PROTOCOLS[:: 1 + NAMES.index(name) % 2][:2]):
        check(name, plain, outcome(name, tmp_path / f"{number}.npz", protocol=protocol, **settings))


def test_the_personal_layer_stays_and_the_shared_one_is_trained(tmp_path: Path) -> None:
    found = outcome("personal-layers", tmp_path / "found.npz", rounds=1)
    network = importlib.import_module("personal_layers.network")
    start, rows = network.new_network(), [network.load_rows(place, HOSPITALS) for place in range(HOSPITALS)]
    trained = [network.train(start, *each) for each in rows]
    weights = [len(target) for _, target in rows]
    assert found.keys() == {"shared.weight", "shared.bias"}
    for name, values in found.items():
        assert np.allclose(values, np.average([each[name] for each in trained], axis=0, weights=weights), atol=1e-6)


def pooled_patients(days: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The steps of time that the patients of all hospitals were observed for, and whether each died then."""
    component("survival", "clientapp")
    load_rows = importlib.import_module("survival.client_app").load_rows
    parts = [load_rows(place, HOSPITALS) for place in range(HOSPITALS)]
    return np.concatenate([times for times, _ in parts]) // days, np.concatenate([died for _, died in parts])


def test_the_survival_curve_is_that_of_pooled_patients(tmp_path: Path) -> None:
    found = outcome("survival", tmp_path / "found.npz")
    times, died = pooled_patients(30)
    assert (
        (len(times), int(died.sum())) == (228, 165) == (found["died"].sum() + found["left"].sum(), found["died"].sum())
    )
    alive = 1.0
    for step, value in enumerate(found["curve"]):
        if at_risk := int(np.sum(times >= step)):
            alive *= 1 - int(np.sum(died & (times == step))) / at_risk
        assert value == pytest.approx(alive, abs=1e-12)


@pytest.mark.slow
def test_the_survival_curve_is_that_of_lifelines(tmp_path: Path) -> None:
    lifelines = pytest.importorskip("lifelines")
    from lifelines.datasets import load_lung

    found = outcome("survival", tmp_path / "found.npz", **{"days-per-step": 1})
    rows = load_lung()
    curve = lifelines.KaplanMeierFitter().fit(rows["time"], rows["status"])
    expected = curve.survival_function_at_times(np.arange(len(found["curve"]))).to_numpy()
    assert np.allclose(found["curve"], expected, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_flower_builds_an_example(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flwr.cli.build import build

    monkeypatch.setattr(sys, "path", [*sys.path])  # Flower adds the app's folder
    monkeypatch.chdir(tmp_path)
    build(EXAMPLES / name)
    [bundle] = tmp_path.glob("*.fab")
    with zipfile.ZipFile(bundle) as files:
        packed = {f"{package(name)}/{file}.py" for file in ("__init__", "client_app", "server_app", "switch")}
        assert packed <= set(files.namelist())
        assert tomllib.loads(files.read("pyproject.toml").decode())["project"]["dependencies"] == []


def real_run(name: str, output: Path, **config: Any) -> Arrays:
    """What a real `flwr run` of an example saves."""
    log = output.with_suffix(".log")
    with flower_run(EXAMPLES / name, {**config, "output": str(output)}, HOSPITALS, log=log) as live:
        live.wait()
        assert live.status == COMPLETED
    assert output.is_file(), log.read_text(encoding="utf-8")[-2000:]
    return saved(output)


@pytest.mark.campaign
@pytest.mark.parametrize("name", NAMES)
def test_every_example_under_flwr_run_gives_the_same_with_every_protocol(name: str, tmp_path: Path) -> None:
    needs(name)
    plain = real_run(name, tmp_path / "plain.npz", secure=False)
    for number, protocol in enumerate(PROTOCOLS):
        check(name, plain, real_run(name, tmp_path / f"{number}.npz", protocol=protocol))

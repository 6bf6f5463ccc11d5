"""An app as Flower's documentation shows one becomes secure by two lines, under the real `flwr run`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.serverapp import strategy

from fedsec.errors import ConfigurationError
from fedsec.flower import SecureAggregation
from fedsec.simulations.run.launcher import flower_run, make_app

HERE = Path(__file__).parent
CONFIG: dict[str, Any] = {"protocol": "", "only": "", "deadly": False, "output": ""}


def run(folder: Path, client: str, **config: Any) -> dict[str, Any]:
    app = make_app(folder / "app", "two_lines_app:server", f"two_lines_app:{client}", CONFIG)
    shutil.copy(HERE / "two_lines_app.py", app)
    output = folder / "found.json"
    with flower_run(app, {**CONFIG, **config, "output": str(output)}, 4, timeout=240) as live:
        live.wait()
    found: dict[str, Any] = json.loads(output.read_text())
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("plain"), "plain_client")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("secure"), "client", protocol="shamir")


def test_every_linear_strategy_gives_what_it_gives_in_the_clear(plain: dict[str, Any], secure: dict[str, Any]) -> None:
    assert set(plain) == set(secure) == {"FedAvg", "FedAvgM", "FedAdam", "FedYogi", "FedAdagrad", "FedProx"}
    for name, expected in plain.items():
        got = secure[name]
        for key in ("w", "b"):
            # FedAdam and its like divide by the root of second moments, which are small in the first rounds.
            tolerance = 1e-3 if name in ("FedAvg", "FedAvgM", "FedProx") else 5e-3
            assert np.allclose(got["arrays"][key], expected["arrays"][key], atol=tolerance), (name, key)
        for kind in ("train", "evaluate"):
            assert got[kind].keys() == expected[kind].keys() == {"1", "2"}
            for number, metrics in expected[kind].items():
                for key, value in metrics.items():
                    assert np.allclose(got[kind][number][key], value, atol=5e-2), (name, kind, number, key)
        assert all(included == 4 and not failure for _, _, included, failure in got["rounds"])


def test_dtypes_are_those_that_flower_gives(plain: dict[str, Any], secure: dict[str, Any]) -> None:
    for name, found in plain.items():
        assert secure[name]["dtypes"] == found["dtypes"]


def test_a_killed_client_never_takes_the_cohort_below_the_floor(tmp_path: Path) -> None:
    found = run(tmp_path, "client", protocol="shamir", only="FedAvg", deadly=True)
    rounds = found["FedAvg"]["rounds"]
    assert all(included == 4 and not failure for number, _, included, failure in rounds if number == 1)
    after = [(included, failure) for number, stage, included, failure in rounds if number == 2 and stage == "train"]
    assert after
    for included, failure in after:
        assert (3 <= included < 4 and not failure) or "TooFewParties: phase" in failure


@pytest.mark.parametrize("name", ["Krum", "MultiKrum", "Bulyan", "FedMedian", "FedTrimmedAvg", "QFedAvg"])
def test_strategies_that_need_single_updates_are_refused_with_the_reason(name: str) -> None:
    kind = getattr(strategy, name)
    robust = dict.fromkeys(("Krum", "MultiKrum", "Bulyan"), "num_malicious_nodes")
    needs = {**robust, "QFedAvg": "client_learning_rate"}
    inner = kind(**{needs[name]: 1}) if name in needs else kind()
    with pytest.raises(ConfigurationError, match=rf"{name} cannot run over secure sums: it "):
        SecureAggregation(inner)


def test_server_side_privacy_and_trees_are_refused() -> None:
    inner = strategy.DifferentialPrivacyServerSideFixedClipping(strategy.FedAvg(), 1.0, 1.0, 3)
    with pytest.raises(ConfigurationError, match="clips each client's update at the server"):
        SecureAggregation(inner)
    with pytest.raises(ConfigurationError, match="cannot run over secure sums"):
        SecureAggregation(strategy.FedXgbBagging())
    with pytest.raises(ConfigurationError, match="secure already"):
        SecureAggregation(SecureAggregation(strategy.FedAvg()))

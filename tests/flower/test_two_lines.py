"""An app as Flower's documentation shows one becomes secure by two lines, under the real `flwr run`."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.serverapp import strategy

from fedsec import catalog
from fedsec.errors import ConfigurationError
from fedsec.flower import SecureAggregation
from fedsec.simulations.run.launcher import COMPLETED, flower_run, make_app
from fedsec.testing import leakage

HERE = Path(__file__).parent
AWKWARD = "a \"b\" 'c' = d\\e, f=1 #x \N{GRINNING FACE} \N{EURO SIGN}\ttab\nline"
CONFIG: dict[str, Any] = {"output": "", "text": "", "number": "", "folder": "", "strategies": ""}
EXAMPLE = HERE.parents[1] / "docs" / "examples" / "pairwise_masks.py"
RECORDED = ["shamir", "plain", str(EXAMPLE)]
"""The glue is the same for all strategies: one of shares, one in clear, and one file of a user."""


@dataclass
class Whole:
    """What one real run left: what it found, how it went, and what its tap wrote."""

    found: dict[str, Any]
    statuses: list[str]
    log: str
    recordings: dict[str, dict[str, leakage.Recording]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("an app")
    app = make_app(folder / "app", "two_lines_app:server", "two_lines_app:client", CONFIG)
    for name in ("two_lines_app.py", "wire_app.py"):
        shutil.copy(HERE / name, app)
    output, log = folder / "it's = here.json", folder / "kept.log"
    config = {"output": str(output), "text": AWKWARD, "number": "0123", "folder": str(folder)}
    config["strategies"] = ",".join(RECORDED)
    environment = {catalog.FILES_VARIABLE: str(EXAMPLE)}
    with flower_run(app, config, 4, environment=environment, log=log) as live:
        statuses = list(live.poll())
        assert live.run_id.isdigit() and live.log_tail(1)
    assert not live._family.members() and not live.home.exists()
    recordings: dict[str, dict[str, leakage.Recording]] = {}
    for kind in RECORDED:
        catalog.strategy(kind)  # the codec reads only messages of strategies that are loaded
        for place in sorted((folder / Path(kind).stem).iterdir()):
            recording = recordings.setdefault(Path(kind).stem, {}).setdefault(place.name, leakage.Recording())
            for file in sorted(place.iterdir()):
                recording.add(file.read_bytes())
    return Whole(json.loads(output.read_text(encoding="utf-8")), statuses, log.read_text(encoding="utf-8"), recordings)


@pytest.mark.exhaustive
def test_a_run_completes_and_its_settings_arrive_as_they_are(whole: Whole) -> None:
    seen = whole.statuses
    assert {"running", COMPLETED} <= set(seen) <= {"starting", "running", COMPLETED} and seen[-1] == COMPLETED
    assert (whole.found["text"], whole.found["number"]) == (AWKWARD, "0123")
    assert "ROUND 1/2" in whole.log


@pytest.mark.exhaustive
def test_an_inner_strategy_gives_what_it_gives_in_the_clear(whole: Whole) -> None:
    plain, secure = whole.found["clear"], whole.found["secure"]
    assert set(plain) == set(secure) == {"FedAvg", "FedAdam"}
    for name, expected in plain.items():
        got = secure[name]
        assert got["dtypes"] == expected["dtypes"]
        for key in ("w", "b"):
            # FedAdam divides by the root of second moments, which are small in the first rounds.
            tolerance = 1e-3 if name == "FedAvg" else 5e-3
            assert np.allclose(got["arrays"][key], expected["arrays"][key], atol=tolerance), (name, key)
        for kind in ("train", "evaluate"):
            assert got[kind].keys() == expected[kind].keys() == {"1", "2"}
            for number, metrics in expected[kind].items():
                for key, value in metrics.items():
                    assert np.allclose(got[kind][number][key], value, atol=5e-2), (name, kind, number, key)
        assert all(included == 4 and not failure for _, _, included, failure in got["rounds"])


@pytest.mark.exhaustive
def test_a_mod_before_ours_is_refused_by_name(whole: Whole) -> None:
    assert "before secure_aggregation among this client's mods: " in whole.found["misplaced"]
    assert "fixedclipping_if_arrays. Replies hold no arrays there" in whole.found["misplaced"]


@pytest.mark.exhaustive
def test_a_killed_client_never_takes_the_cohort_below_the_floor(whole: Whole) -> None:
    rounds = whole.found["deadly"]["rounds"]
    assert all(included == 4 and not failure for number, _, included, failure in rounds if number == 1)
    after = [(included, failure) for number, stage, included, failure in rounds if number == 2 and stage == "train"]
    assert after
    for included, failure in after:
        assert (3 <= included < 4 and not failure) or "TooFewParties: phase" in failure


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["shamir", "pairwise_masks"])
def test_a_secure_strategy_shows_nothing(whole: Whole, name: str) -> None:
    """What leaves a hospital in a real run, tapped at the client; the same tap catches what is in clear."""
    runs = whole.recordings[name]
    assert len(runs["one"].leaves) > 50 and runs["one"].numbers
    assert leakage.violations(runs["one"], runs["again"], runs["other"], runs["same_sum"]) == []
    seen = whole.recordings["plain"]
    found = leakage.violations(seen["one"], seen["again"], seen["other"], seen["same_sum"])
    assert any("public, and differs between runs or data" in violation for violation in found), found


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

"""The poster's training on shares: its polynomials, its rows, its cells, and the command as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fedsec.cli import poster_shared_training
from fedsec.errors import ConfigurationError
from fedsec.simulations.poster.shared_training import (
    plain_descent,
    sigmoid_approximations,
    trained_cells,
    training_data,
    training_network,
    training_on_shares,
    training_summary,
    twin_training,
)
from fedsec.simulations.poster.shared_training.trained_cells import Cell


def test_maclaurin_is_the_series() -> None:
    assert sigmoid_approximations.maclaurin(9).coefficients == (1 / 4, -1 / 48, 1 / 480, -17 / 80640, 31 / 1451520)


def test_radii_are_those_of_the_design() -> None:
    """Up to which |x| the error stays within 0.05; to the hundredth above."""
    found = [sigmoid_approximations.radius(sigmoid_approximations.maclaurin(degree)) for degree in (1, 3, 5, 7, 9)]
    assert found == pytest.approx([1.43, 2.03, 2.33, 2.51, 2.62], abs=0.011)


def test_errors_of_the_fits_are_those_of_the_design() -> None:
    fits = [
        sigmoid_approximations.worst(sigmoid_approximations.least_squares(degree, 10.0), 10.0)
        for degree in (3, 5, 7, 9, 11)
    ]
    assert fits == pytest.approx([0.136, 0.082, 0.049, 0.029, 0.017], abs=6e-4)
    minimax = [
        sigmoid_approximations.worst(sigmoid_approximations.minimax(degree, 8.0), 8.0) for degree in (3, 5, 7, 9)
    ]
    assert minimax == pytest.approx([0.090, 0.041, 0.019, 0.009], abs=7e-4)
    assert (
        sigmoid_approximations.least_squares(20, 10.0).coefficients
        == sigmoid_approximations.least_squares(19, 10.0).coefficients
    )


def test_a_clip_bounds_what_a_polynomial_does_not() -> None:
    z = np.linspace(-1000, 1000, 4001)
    clipped = sigmoid_approximations.design("clipped-5").value(z)
    assert np.abs(clipped - sigmoid_approximations.sigmoid(z)).max() < 0.042
    assert np.abs(sigmoid_approximations.design("maclaurin-5").value(z)).max() > 1e12


def test_unknown_names_and_sizes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'maclaurin-5'"):
        sigmoid_approximations.design("maclaurin5")
    with pytest.raises(ConfigurationError, match="must be odd"):
        sigmoid_approximations.maclaurin(4)
    with pytest.raises(ConfigurationError, match="layers is 4"):
        training_network.widths(4)


def test_rows_are_split_and_shared_out() -> None:
    rows = training_data.diabetes()
    assert rows.features.shape == (354, 11) and rows.test_features.shape == (88, 11)
    assert set(np.unique(rows.target)) == {0.0, 1.0} and (rows.features[:, -1] == 1).all()
    parts = rows.hospitals(3)
    assert [len(target) for _, target in parts] == [118] * 3
    assert np.array_equal(np.concatenate([features for features, _ in parts]), rows.features)


def test_plain_descent_is_numpys() -> None:
    rows = training_data.diabetes()
    weights = training_network.initial([(11, 4), (4, 4), (4, 1)], 0)
    found = plain_descent.descend(weights, rows.features, rows.target, 0.01, 5)
    for _ in range(5):
        outputs = [rows.features]
        for matrix in weights:
            outputs.append(sigmoid_approximations.sigmoid(outputs[-1] @ matrix))
        delta = (outputs[-1] - rows.target) * outputs[-1] * (1 - outputs[-1])
        new = []
        for place in (2, 1, 0):
            new.append(weights[place] - 0.01 * outputs[place].T @ delta)
            delta = (delta @ weights[place].T) * outputs[place] * (1 - outputs[place])
        weights = new[::-1]
    assert all(np.allclose(one, other, atol=1e-12) for one, other in zip(found, weights, strict=True))


def test_a_cell_collapses_and_says_why(tmp_path: Path) -> None:
    """A large rate stands in for many iterations."""
    seen: list[Any] = []
    found = twin_training.train(Cell(3, "maclaurin-5", 0, 2000, rate=2**-6), lambda *told: seen.append(told))
    assert found["collapsed"] and found["iterations"] < 2000 and found["accuracy"] is None
    assert "does not fit" in found["why"] or "a weight passed" in found["why"]
    assert seen and seen[-1][1] == found["iterations"]
    bounded = twin_training.train(Cell(3, "clipped-5", 0, 2000, rate=2**-6))
    assert not bounded["collapsed"] and bounded["iterations"] == 2000
    json.dumps([found, bounded])


def test_what_was_made_is_not_made_again(tmp_path: Path) -> None:
    first = trained_cells.kept(tmp_path, "cell", lambda: {"value": 1})
    assert trained_cells.kept(tmp_path, "cell", lambda: pytest.fail("made again")) == first
    (tmp_path / "cell.json").write_text('{"format": 0, "value": 7}', encoding="utf-8")
    assert trained_cells.kept(tmp_path, "cell", lambda: {"value": 2})["value"] == 2


def test_shares_go_on_from_their_checkpoint(tmp_path: Path) -> None:
    first = training_on_shares.on_shares(1, "clipped-3", 4, tmp_path, every=2)
    seen: list[int] = []
    later = training_on_shares.on_shares(
        1, "clipped-3", 6, tmp_path, every=2, follow=lambda name, done, *_: seen.append(done)
    )
    assert seen == [6] and later["iterations"] == 6 and first["curve"][-1][0] == 4
    straight = training_on_shares.on_shares(1, "clipped-3", 6, None, every=2)
    off = max(
        np.abs(np.array(one) - other).max() for one, other in zip(later["weights"], straight["weights"], strict=True)
    )
    assert off < 12 * 2.0**-16


def test_costs_are_counted() -> None:
    found = training_on_shares.costs(1, "maclaurin-3", iterations=1)
    assert found["rounds"] == training_network.network(1, "maclaurin-3").rounds
    assert found["online_bytes"] > 0 and found["offline_bytes"] > 0 and found["party_cpu"] > 0
    assert found["networks"]["lan"] < found["networks"]["hospital-wan"] < found["networks"]["mobile"]


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """36 of the rows: the encrypted network takes a second for each of them and step."""
    whole = training_data.diabetes

    def few(split: int = 0) -> training_data.Rows:
        rows = whole(split)
        return training_data.Rows(rows.features[:36], rows.target[:36], rows.test_features, rows.test_target)

    for module in (training_data, twin_training, training_on_shares):
        monkeypatch.setattr(module, "diabetes", few)


def check_table(found: list[dict[str, Any]]) -> None:
    """One model is trained in every way."""
    rows = {row["name"]: row for row in found}
    assert set(rows) == {
        "pooled, plain",
        "local only (mean of 3)",
        "federated, paillier",
        "federated, shamir",
        "federated, secagg",
        "training on shares",
        "encrypted network *",
    }
    assert rows["federated, paillier"]["accuracy"] == rows["federated, shamir"]["accuracy"]
    assert (
        rows["training on shares"]["rounds"] > rows["federated, paillier"]["rounds"] > rows["pooled, plain"]["rounds"]
    )


def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(poster_shared_training.shared_training)
    return app


@pytest.mark.exhaustive
@pytest.mark.usefixtures("few_rows")
def test_the_command_writes_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = poster_shared_training.Sizes(1, 30, 30, 4, 1, 1, 100, 2048, 0, 1, 30)
    monkeypatch.setattr(poster_shared_training, "QUICK", sizes)
    monkeypatch.setattr(poster_shared_training, "COSTED", poster_shared_training.COSTED[:1])
    done = CliRunner().invoke(command(), ["--quick", "--json", "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert len(document["files"]) == 9 and all(Path(path).stat().st_size > 1000 for path in document["files"])
    assert document["shares"]["iterations"] == 4 and document["shares"]["off_twin"] < 8 * 2.0**-16
    assert {row["activation"] for row in document["collapses"]} == set(training_summary.POSTER)
    check_table(document["table"])
    cells = sorted((tmp_path / "out" / "cells").glob("*.json"))
    times = [path.stat().st_mtime_ns for path in cells]
    monkeypatch.setattr(poster_shared_training, "_files", lambda found: {})
    again = CliRunner().invoke(command(), ["--quick", "--output", str(tmp_path / "out")])
    assert again.exit_code == 0 and "Who learns what" in again.stdout
    assert times == [path.stat().st_mtime_ns for path in cells]  # nothing was trained again


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="seeds is 0"):
        poster_shared_training.Sizes(seeds=0)

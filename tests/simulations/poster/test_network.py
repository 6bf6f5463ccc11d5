"""The encrypted network: its twin in floating point, its fixed point, the affine model, and the command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec.cli import poster_network
from fedsec.errors import ConfigurationError
from fedsec.primitives import paillier
from fedsec.simulations.poster.encrypted_network import (
    affine_model,
    model_owner,
    network,
    network_experiments,
    sigmoids,
)
from fedsec.simulations.poster.encrypted_network.encrypted_training import hold, open_, train
from fedsec.simulations.poster.encrypted_network.key_holder import Clear
from fedsec.simulations.poster.encrypted_network.model_owner import Owner
from fedsec.simulations.poster.encrypted_network.network import XOR, Plan, Rows
from fedsec.simulations.poster.encrypted_network.sigmoids import Secret, named, products

OWNER = Owner(paillier.generate(768, os.urandom))
"""A key for tests, which protects nothing."""


def quiet(*_: object) -> None:
    """No progress is told."""


def test_encrypted_training_is_the_twins() -> None:
    plan = Plan(named("interpolated-5:5"), 0.5, 40)
    run = network_experiments.encrypted(OWNER, [XOR] * 2, network.start(3, 4, 0), plan, quiet)
    assert run.facts["largest_difference"] < 1e-9 and run.facts["exchanges"] == 9
    assert run.facts["bytes_to_key_holder"] > 0 and run.facts["bytes_back"] > 0


def test_xor_is_solved_by_the_same_steps() -> None:
    """All 170 iterations, on integers in the clear: bit for bit what encryption computes (test_exchange)."""
    plan, first = Plan(named("interpolated-5:5"), 0.5, 40), network.start(3, 4, 0)
    found = open_(train([XOR] * 170, hold(first, 40, list), plan, Clear(), quiet), list)
    twin = network.train_plain([XOR] * 170, first, plan.sigmoid, plan.step)
    assert np.max(np.abs(found.flat() - twin.weights.flat())) < 1e-9
    assert network_experiments.solved(network.predict(XOR, found, plan.sigmoid))


def test_features_that_are_not_whole_are_cut_too() -> None:
    draws = np.random.default_rng(3)
    rows = Rows(draws.normal(size=(5, 3)), np.array([0.0, 1, 1, 0, 1]))
    plan, first = Plan(named("taylor-3"), 0.125, 40), network.start(3, 2, 1)
    run = network_experiments.encrypted(OWNER, [rows] * 2, first, plan, quiet)
    assert run.facts["largest_difference"] < 1e-9


def test_the_gradient_is_that_of_the_cross_entropy() -> None:
    """With the sigmoid itself in place of a polynomial, against differences of the loss."""
    exact = type(
        "Exact",
        (),
        {
            "__call__": lambda _, x: sigmoids.exact(x),
            "derivative": lambda _, x: sigmoids.exact(x) * (1 - sigmoids.exact(x)),
        },
    )()
    first = network.start(3, 4, 5)
    step = network.train_plain([XOR], first, exact, 1.0).weights

    def loss(flat: np.ndarray) -> float:
        p = network.predict(XOR, network.Weights(flat[:12].reshape(3, 4), flat[12:]), exact)
        return float(-np.sum(XOR.labels * np.log(p) + (1 - XOR.labels) * np.log(1 - p)))

    for place in range(16):
        moved = np.zeros(16)
        moved[place] = 1e-6
        slope = (loss(first.flat() + moved) - loss(first.flat() - moved)) / 2e-6
        assert first.flat()[place] - step.flat()[place] == pytest.approx(slope, abs=1e-6)


def test_more_precision_is_nearer() -> None:
    found = network_experiments.precisions(Plan(named("interpolated-5:5"), 0.5), 40, 0, quiet)
    by_bits = {row["precision"]: row["difference"] for row in found}
    assert by_bits[8] > by_bits[16] > by_bits[24] > by_bits[40] and by_bits[48] < 1e-11


def test_the_affine_model() -> None:
    assert affine_model.predict(affine_model.train_plain(400)) == pytest.approx([0.008, 0.995, 0.995, 0.003], abs=6e-4)
    hospital = Owner(paillier.generate(1024, os.urandom)).hospital()
    assert hospital.public.bits == 1024
    big = Owner(paillier.generate(1024, os.urandom))
    hospital = big.hospital()
    held = affine_model.train(big.encrypt([0] * 4), hospital, 12, quiet)
    found = np.array([value / 2**affine_model.FLOAT_BITS for value in big.decrypt(held)])
    assert np.max(np.abs(found - affine_model.train_plain(12))) < 1e-12 and hospital.exchanges == 3


def test_without_a_refresh_it_overflows() -> None:
    one = Owner(paillier.generate(1024, os.urandom))
    assert affine_model.overflows(one.encrypt([0] * 4), one.hospital(), one.decrypt, 20) == 9
    assert affine_model.overflows(one.encrypt([0] * 4), one.hospital(), one.decrypt, 8) is None


def test_breast_cancer_is_trained_as_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_experiments, "CANCER_ROWS", 3)
    monkeypatch.setattr(network_experiments, "CANCER_STEPS", 2)
    found = network_experiments.cancer(Owner(paillier.generate(1024, os.urandom)), 0, lambda *_: None)
    assert found["largest_difference"] < 1e-9 and found["accuracy"] == found["accuracy_plain"]
    assert found["rows"] == 3 and found["iterations"] == 2 and len(found["features"]) == 2


def test_a_part_run_alone_keeps_what_was_found_before(tmp_path: Path) -> None:
    earlier = {"key_bits": 2048, "parts": ["xor", "product"], "xor": {"a": 1}, "product": {"b": 2}}
    (tmp_path / "network.json").write_text(json.dumps(earlier), encoding="utf-8")
    merged = poster_network._with_earlier(tmp_path, {"key_bits": 2048, "parts": ["product"], "product": {"b": 3}})
    assert merged == {"key_bits": 2048, "parts": ["xor", "product"], "xor": {"a": 1}, "product": {"b": 3}}
    other = {"key_bits": 3072, "parts": ["product"], "product": {"b": 3}}
    assert poster_network._with_earlier(tmp_path, other) == other
    (tmp_path / "network.json").write_text("{", encoding="utf-8")
    assert poster_network._with_earlier(tmp_path, other) == other


def test_what_overflows_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="overflows the plaintext"):
        affine_model.check(1024, 9)
    with pytest.raises(ConfigurationError, match="at least 1"):
        affine_model.check(2048, 0)
    with pytest.raises(ConfigurationError, match="overflows the plaintext"):
        Plan(named("taylor-9"), 0.5, 40).check(400, 1.0)
    with pytest.raises(ConfigurationError, match="overflows the fixed point"):
        Plan(named("taylor-9"), 0.5, 40).check(4000, 32.0)
    with pytest.raises(ConfigurationError, match="passes inf"):
        network_experiments.checked(40, 0.5, "taylor-7", 400, 2048, 0)


def test_bad_plans_are_refused() -> None:
    sigmoid = named("taylor-3")
    for rate in (0.0, -0.5, float("nan"), 1e-9, 1e-5):
        with pytest.raises(ConfigurationError, match="eta is"):
            Plan(sigmoid, rate)
    for precision in (0, 61):
        with pytest.raises(ConfigurationError, match="precision is"):
            Plan(sigmoid, 0.5, precision)
    with pytest.raises(ConfigurationError, match="as many rows"):
        Rows(np.zeros((3, 2)), np.zeros(4))
    for labels in ([2.0, 0.0], [0.3, 1.0], [np.nan, 1.0]):
        with pytest.raises(ConfigurationError, match="every value must be 0 or 1"):
            Rows(np.zeros((2, 2)), np.array(labels))
    for value in (np.nan, np.inf, 1e9):
        with pytest.raises(ConfigurationError, match="features: a value of magnitude"):
            Rows(np.full((2, 2), value), np.zeros(2))
    with pytest.raises(ConfigurationError, match="key too small"):
        Owner.fresh(1024)


@pytest.mark.parametrize("text", ["taylor-4", "taylor-0", "interpolated-17", "minimax-2", "taylor-99"])
def test_a_degree_without_coefficients_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no coefficients of degree"):
        named(text)


@pytest.mark.parametrize("text", ["tailor-3", "taylor", "taylor-x", "interpolated-3:x", "minimax-3:0", "taylor-3:8"])
def test_other_sigmoids_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        named(text)


def test_the_series_is_the_known_one() -> None:
    assert named("taylor-9").coefficients == (1 / 2, 1 / 4, 0, -1 / 48, 0, 1 / 480, 0, -17 / 80640, 0, 31 / 1451520)
    assert named("taylor-9").error(1.0) < 1e-5


def test_fits_are_better_than_the_series_and_minimax_best() -> None:
    best, least, series = (named(f"{kind}-7").error(8.0) for kind in ("minimax", "interpolated", "taylor"))
    assert best < least < series
    assert best == pytest.approx(0.0189, abs=1e-4)


@given(st.floats(-8, 8), st.sampled_from(["taylor-5", "interpolated-7", "minimax-9", "taylor-1"]))
def test_all_ways_give_the_same_value(x: float, name: str) -> None:
    sigmoid = named(name)
    for way in sigmoids.WAYS.values():
        found = way(sigmoid.coefficients, Secret(x, [0]))
        assert found.value == pytest.approx(float(sigmoid(np.array(x))), abs=1e-6)


def test_products_are_counted() -> None:
    assert products(named("taylor-5")) == {"each power": 6, "running powers": 4, "Horner in x²": 3}
    assert products(named("taylor-9")) == {"each power": 20, "running powers": 8, "Horner in x²": 5}
    assert products(named("taylor-1"))["Horner in x²"] == 0


@pytest.mark.exhaustive
def test_the_command(poster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_owner, "MINIMUM_KEY_BITS", 512)
    monkeypatch.setattr(poster_network, "MINIMUM_KEY_BITS", 512)
    monkeypatch.setattr(network_experiments, "SIGMOIDS", ("taylor-3", "interpolated-5:5"))
    monkeypatch.setattr(affine_model, "ITERATIONS", 10)
    monkeypatch.setattr(affine_model, "EVERY", 2)
    code, out, err = poster(
        "network",
        "--key-bits",
        "768",
        "--iterations",
        "2",
        "--parts",
        "affine,xor,sigmoids,precision,product",
        "--json",
        "--output",
        str(tmp_path),
    )
    assert code == 0, err
    document = json.loads(out)
    assert document["xor"]["largest_difference"] < 1e-9 and document["affine"]["largest_difference"] < 1e-9
    assert document["product"]["ours"] > 0 and len(document["sigmoids"]) == 2
    names = {Path(name).name for name in document["files"]}
    assert {"network.json", "network.csv", "network-sigmoids.png", "network-precision.svg"} <= names
    code, out, _ = poster("network", "--key-bits", "768", "--iterations", "2", "--parts", "xor")
    assert code == 0 and "3-4-1, XOR" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--eta", "0"), "eta is 0"),
        (("--sigmoid", "taylor-4"), "no coefficients of degree 4"),
        (("--sigmoid", "taylor-7"), "overflows the fixed point"),
        (("--precision", "70"), "precision is 70"),
        (("--key-bits", "1024"), "key too small"),
        (("--iterations", "0"), "iterations is 0"),
        (("--parts", "xo"), "unknown part 'xo'"),
        (("--seed", "-1"), "seed is -1"),
        (("--output", "/proc/none"), "cannot be written"),
        (("--precision", "60", "--sigmoid", "interpolated-15:20", "--iterations", "3", "--key-bits", "9000"), "key"),
    ],
)
def test_bad_usage_ends_with_2(poster: Any, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = poster("network", *arguments)
    assert code == 2 and not out and said in " ".join(err.split())

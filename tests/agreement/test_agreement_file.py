"""The agreement as a file: read and written, its hash, and what is refused with field and value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedsec.agreement import agreement_file, approval
from fedsec.agreement.agreement_file import Agreement
from fedsec.encoding.layout import ArraySpec, Layout
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import ConfigurationError, PolicyError
from fedsec.primitives.signing import SigningKey

KEYS = [SigningKey(bytes([n]) * 32) for n in range(7)]
SERVER, *HOSPITALS = KEYS


def content(**changes: Any) -> dict[str, Any]:
    """The values of an agreement of three hospitals on one array."""
    return {
        "title": "sepsis",
        "fedsec": "0.1.0",
        "server": SERVER.public.hex(),
        "strategy": {"name": "shamir", "parameters": {"floor": 3, "server": "malicious"}},
        "encoding": {"clip": 4.0, "largest_weight": 1000, "ranges": {"auc": [0, 1]}},
        "arrays": [{"name": "w", "dtype": "float64", "shape": [3]}],
        "stages": {"query.statistics": {"sessions": 1}, "train": {"sessions": 3, "repeats": 1, "metrics": {"loss": 0}}},
        "configuration": {"rounds": 3, "strategy": "shamir"},
        "free": ["output"],
        "hospitals": [{"name": f"H{n}", "key": key.public.hex()} for n, key in enumerate(HOSPITALS[:3])],
        **changes,
    }


def agreement(**changes: Any) -> Agreement:
    return agreement_file.validated(content(**changes), "of a test")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "agreement.toml"
    agreement().write(path)
    assert agreement_file.read(path) == agreement()
    assert agreement_file.read(path).hash == agreement().hash
    assert agreement().hash.hex() in path.read_text(encoding="utf-8")


def test_the_hash_is_of_the_content_alone(tmp_path: Path) -> None:
    text = agreement().to_toml()
    assert agreement_file.parse("# a comment\n" + text, "it").hash == agreement().hash
    changes: list[dict[str, Any]] = [
        {"title": "other"},
        {"server": HOSPITALS[5].public.hex()},
        {"cohort": "sampled"},
        {"largest_parameter": 10.0},
        {"free": []},
        {"configuration": {"rounds": 4, "strategy": "shamir"}},
        {"strategy": {"name": "shamir", "parameters": {"floor": 3}}},
        {"encoding": {"clip": 4.1, "largest_weight": 1000, "ranges": {"auc": [0, 1]}}},
        {"stages": {"train": {"sessions": 3}}},
        {"arrays": [{"name": "w", "dtype": "float32", "shape": [3]}]},
        {"bundle": "0" * 64},
    ]
    hashes = {agreement(**change).hash for change in changes} | {agreement().hash}
    assert len(hashes) == 1 + len(changes)


def test_a_copy_has_a_hash_of_its_own() -> None:
    before = agreement()
    assert before.hash == before.model_copy().hash
    assert before.model_copy(update={"title": "other"}).hash == agreement(title="other").hash != before.hash


def test_what_it_names_is_what_the_encoding_takes() -> None:
    spec = agreement().encoding.spec
    assert spec == MeanSpec(4.0, 1000, ranges={"auc": (0.0, 1.0)}, weights="equal")
    assert agreement_file.Encoding.of(spec).spec == spec
    assert agreement().layout("train") == Layout((ArraySpec("w", (3,), "float64"),), {"loss": 0})
    assert agreement().layout("query.statistics") == Layout((), {})
    assert agreement().floor == 3


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"server": "abc"}, r"server \('abc'\)"),
        ({"strategy": "shamir"}, "strategy"),
        ({"format": 2}, r"format \(2\)"),
        ({"privacy": "some"}, r"privacy \('some'\)"),
        ({"cohort": "few"}, r"cohort \('few'\)"),
        ({"unknown": 1}, "unknown"),
        ({"stages": {"train": {"sessions": -1}}}, r"stages.train.sessions \(-1\)"),
        ({"largest_parameter": 0}, "largest_parameter"),
        ({"free": ["rounds"]}, "'rounds' is both agreed on and free"),
        ({"encoding": {"weights": "some"}}, r"encoding.weights \('some'\)"),
        ({"encoding": {"clip": -1.0}}, "clip"),
        ({"hospitals": [{"name": "A", "key": HOSPITALS[0].public.hex()}] * 3}, "two hospitals have the name 'A'"),
        ({"hospitals": content()["hospitals"][:2]}, "2 hospitals are fewer than the floor of 3"),
    ],
)
def test_what_it_cannot_be_is_refused_by_field_and_value(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        agreement(**changes)


def with_weights(*weights: int | None) -> list[dict[str, Any]]:
    return [
        {"name": f"H{n}", "key": key.public.hex()} | ({} if weight is None else {"weight": weight})
        for n, (key, weight) in enumerate(zip(HOSPITALS, weights, strict=False))
    ]


POWERS = {"encoding": {"clip": 4.0, "largest_weight": 1000, "weights": "powers-of-two"}}


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ((64, 64, 64, None), "a hospital's weight is None"),
        ((64, 64, 64, 65), "a hospital's weight is 65"),
        ((64, 64, 64, 32), "weight 32 is that of 1 hospitals, and the floor is 3"),
        ((64, 64, 64, 32, 32), "weight 32 is that of 2 hospitals"),
    ],
)
def test_a_weight_that_singles_hospitals_out_is_refused(weights: tuple[int | None, ...], text: str) -> None:
    assert agreement(**POWERS, hospitals=with_weights(64, 64, 64, 32, 32, 32)).hospitals[5].weight == 32
    with pytest.raises(ConfigurationError, match=text):
        agreement(**POWERS, hospitals=with_weights(*weights))


def test_a_server_that_samples_could_ask_one_hospital_alone_of_a_weight() -> None:
    with pytest.raises(ConfigurationError, match="weights are powers-of-two and cohort is sampled"):
        agreement(**POWERS, hospitals=with_weights(64, 64, 64, 32, 32, 32), cohort="sampled")


def test_weights_of_hospitals_need_the_rule_that_takes_them() -> None:
    with pytest.raises(ConfigurationError, match="which only the rule powers-of-two takes"):
        agreement(hospitals=with_weights(64, 64, 64))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is not text in UTF-8"),
        (lambda path: path.write_text("a = "), "is not TOML"),
        (lambda path: path.write_text("[" * 10_000), "is not TOML"),
        (lambda path: path.write_bytes(b"#" * (agreement_file.LARGEST_FILE + 1)), "bytes; at most"),
        (lambda path: path.mkdir(), "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, make: Callable[[Path], Any], text: str) -> None:
    make(tmp_path / "agreement.toml")
    with pytest.raises(ConfigurationError, match=text):
        agreement_file.read(tmp_path / "agreement.toml")


def test_an_approval_is_of_one_hospital_and_one_agreement(tmp_path: Path) -> None:
    path = approval.path_beside(tmp_path / "agreement.toml")
    with pytest.raises(PolicyError, match="this hospital has not approved the agreement"):
        approval.check(agreement(), HOSPITALS[0], path)
    approval.approve(agreement(), HOSPITALS[0], path)
    approval.check(agreement(), HOSPITALS[0], path)
    with pytest.raises(PolicyError, match="approved another agreement"):
        approval.check(agreement(title="other"), HOSPITALS[0], path)
    with pytest.raises(PolicyError, match="was not signed by this hospital"):
        approval.check(agreement(), HOSPITALS[1], path)
    with pytest.raises(PolicyError, match="is none of the agreement's 3"):
        approval.approve(agreement(), HOSPITALS[4], path)
    forged = path.read_text(encoding="utf-8").replace(HOSPITALS[0].public.hex(), HOSPITALS[1].public.hex())
    path.write_text(forged, encoding="utf-8")
    with pytest.raises(PolicyError, match="was not signed by this hospital"):
        approval.check(agreement(), HOSPITALS[1], path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        approval.check(agreement(), HOSPITALS[0], path)


@pytest.mark.parametrize("encoding", [{}, {"clip": 4.0, "weights": "exact"}, {"largest_weight": 10}])
def test_no_hospital_approves_a_scale_that_is_measured(tmp_path: Path, encoding: dict[str, Any]) -> None:
    """The server alone sees what was measured, and could invent it."""
    measured = agreement(encoding=encoding)
    assert measured.encoding.spec.measured
    for approves in (approval.approve, approval.check):
        with pytest.raises(PolicyError, match=r"names no scale of updates.* set clip under .encoding., and largest"):
            approves(measured, HOSPITALS[0], tmp_path / "agreement.toml.approved")
    counts = agreement(encoding=encoding, stages={"query.statistics": {"sessions": 1}})
    approval.approve(counts, HOSPITALS[0], tmp_path / "agreement.toml.approved")

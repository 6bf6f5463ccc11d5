"""What a deployed party refuses under its agreement: every field of it, by name, and before its rows are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsec
from fedsec import catalog
from fedsec.agreement import admission
from fedsec.agreement.agreement_file import Agreement
from fedsec.encoding import mean
from fedsec.encoding.ladder import Plan
from fedsec.encoding.layout import ArraySpec, Layout
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import BadMessage, ConfigurationError, PolicyError
from fedsec.party.journal import Journal
from fedsec.party.policy import Policy
from fedsec.protocol import Sum
from fedsec.wire import codec
from fedsec.wire.membership import Member
from tests.agreement.test_agreement_file import HOSPITALS, agreement


def built(**parameters: Any) -> Any:
    return catalog.build("shamir", {"floor": 3, "server": "malicious", **parameters})


@pytest.fixture
def agreed() -> Agreement:
    return agreement()


def test_terms_that_are_the_agreement_s_are_admitted(agreed: Agreement) -> None:
    admission.admit_terms(agreed, agreed.hash, built(), agreed.encoding.spec, built())


@pytest.mark.parametrize(
    ("named", "offered", "mean_spec", "text"),
    [
        (b"", built(), {}, "terms under no agreement"),
        (b"x" * 32, built(), {}, "terms under agreement 787878"),
        (None, catalog.build("additive", {}), {}, "strategy is 'additive'; agreed was 'shamir'"),
        (None, built(floor=4), {}, "strategy parameter floor is 4; agreed was 3"),
        (None, built(server="semi-honest"), {}, "strategy parameter server is 'semi-honest'"),
        (None, built(value_bits=40), {}, "strategy parameter value_bits is 40"),
        (None, built(), {"clip": 1e-9}, "encoding clip is 1e-09; agreed was 4.0"),
        (None, built(), {"largest_weight": 10}, "encoding largest_weight is 10"),
        (None, built(), {"weights": "exact"}, "encoding weights is 'exact'"),
        (None, built(), {"ranges": {"auc": (0.0, 1e-6)}}, "encoding ranges is"),
        (None, built(), {"bounds": {"*": 1e-9}}, "encoding bounds is"),
        (None, built(), {"buffers": ("w",)}, "encoding buffers is"),
        (None, built(), {"metric_range": (0.0, 1.0)}, "encoding metric_range is"),
        (None, built(), {"weight_key": "loss"}, "encoding weight_key is 'loss'"),
        (None, built(), {"rungs": (0, 1)}, "encoding rungs is"),
    ],
)
def test_terms_that_differ_are_refused_by_name(
    agreed: Agreement, named: bytes | None, offered: Any, mean_spec: dict[str, Any], text: str
) -> None:
    spec = replace(agreed.encoding.spec, **mean_spec)
    with pytest.raises(PolicyError, match=text):
        admission.admit_terms(agreed, agreed.hash if named is None else named, offered, spec, built())


def test_every_field_of_the_encoding_is_compared(agreed: Agreement) -> None:
    """A field that MeanSpec gains is in the agreement, or this fails."""
    assert set(type(agreed.encoding).model_fields) == set(MeanSpec.__dataclass_fields__)


def test_sessions_take_of_their_stage_s_allowance(agreed: Agreement) -> None:
    layout = codec.encode(agreed.layout("train"))
    allowance = admission.admit_session(agreed, "train", Plan(b"m" * 32, layout=layout))
    assert allowance == admission.Allowance(agreed.hash, "train", b"m" * 32, 4)
    assert admission.admit_session(agreed, "query.statistics", Plan(b"s" * 32)).limit == 1


@pytest.mark.parametrize(
    ("stage", "plan", "text"),
    [
        ("evaluate", Plan(b"m" * 32), "stage 'evaluate' is not in the agreement"),
        ("train", None, "without a plan of its encoding"),
        ("train", Plan(b"m" * 32, measuring=True), "a session that measures the scale"),
        (
            "train",
            Plan(b"m" * 32, layout=codec.encode(Layout((ArraySpec("w", (4,), "float64"),), {"loss": 0}))),
            "the plan's layout of stage 'train' is not the agreement's: arrays of another shape or dtype: 'w'",
        ),
    ],
)
def test_sessions_that_were_not_agreed_on_are_refused(
    agreed: Agreement, stage: str, plan: Plan | None, text: str
) -> None:
    with pytest.raises(PolicyError, match=text):
        admission.admit_session(agreed, stage, plan)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"rounds": 4}, "run configuration 'rounds' is 4; agreed was 3"),
        ({"rounds": 3.0}, "run configuration 'rounds' is 3.0; agreed was 3"),
        ({"rounds": True}, "run configuration 'rounds' is True"),
        ({"strategy": "plain"}, "run configuration 'strategy' is 'plain'"),
        ({"seed": 1}, "run configuration 'seed' is 1; agreed was None"),
        ({"rounds": None}, "run configuration 'rounds' is None; agreed was 3"),
    ],
)
def test_another_run_configuration_is_refused_by_key(agreed: Agreement, asked: dict[str, Any], text: str) -> None:
    agreed_on = {"rounds": 3, "strategy": "shamir"}
    admission.admit_configuration(agreed, {**agreed_on, "output": "anything"})
    given = {key: value for key, value in {**agreed_on, **asked}.items() if value is not None}
    with pytest.raises(PolicyError, match=text):
        admission.admit_configuration(agreed, given)


def test_a_roster_of_strangers_or_of_too_few_is_refused(agreed: Agreement) -> None:
    roster = {n + 1: Member(key.public, b"", b"") for n, key in enumerate(HOSPITALS[:4])}
    ours = {party: roster[party] for party in (1, 2, 3)}
    admission.admit_roster(agreed, ours)
    with pytest.raises(PolicyError, match=r"parties \[4\] of the roster are not hospitals of the agreement"):
        admission.admit_roster(agreed, roster)
    few = {party: roster[party] for party in (1, 2)}
    with pytest.raises(PolicyError, match="2 of the agreement's 3 hospitals are enrolled, and its cohort is all"):
        admission.admit_roster(agreed, few)
    admission.admit_roster(agreement(cohort="sampled"), few)
    admission.admit_cohort(agreed, {1, 2, 3}, roster={1, 2, 3})
    with pytest.raises(PolicyError, match="a cohort of 2; the agreement's cohort is all 3 hospitals"):
        admission.admit_cohort(agreed, {1, 2}, roster={1, 2, 3})
    admission.admit_cohort(agreement(cohort="sampled"), {1, 2}, roster={1, 2, 3})


def test_another_bundle_or_version_is_refused(agreed: Agreement) -> None:
    admission.admit_bundle(agreed, "")
    with pytest.raises(PolicyError, match="app bundle is '00"):
        admission.admit_bundle(agreed, "0" * 64)
    with pytest.raises(PolicyError, match="app bundle is 'no bundle'; agreed was '11"):
        admission.admit_bundle(agreement(bundle="1" * 64), "")
    admission.admit_software(agreement(fedsec=fedsec.__version__))
    with pytest.raises(PolicyError, match=r"the agreement names 9\.9"):
        admission.admit_software(agreement(fedsec="9.9"))


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"w": np.array([0.0, np.nan, 0.0])}, "array 'w' of the model has the value nan"),
        ({"w": np.array([0.0, np.inf, 0.0])}, "has the value inf"),
        ({"w": np.array([0.0, -2e6, 0.0])}, "has the value -2e.06; the agreement's largest_parameter is 1e.06"),
        ({"w": np.zeros(4)}, "of another shape or dtype: 'w'"),
        ({"v": np.zeros(3)}, "arrays missing: 'w'"),
        ({"w": np.array(["a", "b", "c"])}, "the model is not the agreement's"),
        ({"w": np.array([0, -(2**63), 0])}, r"the value -9.22337e\+18; the agreement's largest_parameter is 1e.06"),
        ({"w": np.zeros(3), "more": np.array([2**64 - 1], np.uint64)}, "array 'more' of the model has the value"),
        ({"w": np.zeros(3), "more": np.array([1e30 + 0j])}, "'more'"),
    ],
)
def test_a_model_that_no_honest_training_leads_to_is_refused(
    agreed: Agreement, arrays: dict[str, Any], text: str
) -> None:
    admission.admit_model(agreed, "train", {"w": np.zeros(3)})
    admission.admit_model(agreed, "train", {"w": np.zeros(3, np.float32), "more": np.zeros(2)})
    admission.admit_model(agreed, "evaluate", {"w": np.zeros(3, np.int64), "mask": np.ones(2, bool)})
    admission.admit_model(agreed, "query.counts", {"bins": np.zeros(7)})
    with pytest.raises(PolicyError, match="array 'w' of the model has dtype complex128; numbers were expected"):
        admission.admit_model(agreed, "query.counts", {"w": np.array([1e30 + 0j])})
    with pytest.raises(PolicyError, match=text):
        admission.admit_model(agreed, "train", arrays)


@pytest.mark.parametrize("stage", ["train", "evaluate", "evaluate.again"])
def test_a_model_of_another_layout_is_neither_trained_nor_evaluated(agreed: Agreement, stage: str) -> None:
    for arrays in ({"w": np.zeros(1000)}, {"v": np.zeros(3)}, {"w": np.zeros((3, 1))}):
        with pytest.raises(PolicyError, match="the model is not the agreement's"):
            admission.admit_model(agreed, stage, arrays)


def test_weights_are_those_agreed_on() -> None:
    powers = {"clip": 4.0, "largest_weight": 1000, "weights": "powers-of-two"}
    hospitals = [{"name": key.public.hex()[:4], "key": key.public.hex(), "weight": 64} for key in HOSPITALS[:3]]
    agreed = agreement(encoding=powers, hospitals=hospitals)
    assert admission.weight_of(agreed, HOSPITALS[1].public) == 64
    assert admission.weight_of(agreement(), HOSPITALS[1].public) is None


def test_a_party_s_own_answer_is_checked_last(agreed: Agreement) -> None:
    admission.check_answer(agreed, "train", codec.encode(agreed.layout("train")))
    with pytest.raises(BadMessage, match="has not the agreement's layout, and was not sent"):
        admission.check_answer(agreed, "train", codec.encode(agreed.layout("query.statistics")))


def test_the_policy_pins_whom_the_agreement_names(agreed: Agreement) -> None:
    policy = Policy(agreement=agreed)
    assert (policy.server, policy.hospitals) == (bytes.fromhex(agreed.server), agreed.keys)
    Policy(agreement=agreed, server=policy.server, hospitals=policy.hospitals)
    for other in ({"server": bytes(32)}, {"hospitals": frozenset([bytes(32)])}):
        with pytest.raises(ConfigurationError, match="are not those of the agreement"):
            Policy(agreement=agreed, **other)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    yield Journal(tmp_path / "journal")


def claim(journal: Journal, model: bytes, run: bytes, agreement: bytes = b"a", stage: str = "train") -> None:
    journal.claim(b"me", run, lambda known: known, admission.Allowance(agreement, stage, model, 2))


def test_a_journal_counts_answers_over_all_runs(journal: Journal) -> None:
    claim(journal, b"1", b"run")
    with pytest.raises(PolicyError, match="this model was answered before in stage 'train'"):
        claim(journal, b"1", b"another run")
    claim(journal, b"2", b"another run")
    with pytest.raises(PolicyError, match="stage 'train' has had the 2 sums that the agreement allows"):
        claim(journal, b"3", b"a third")
    claim(journal, b"1", b"run", stage="evaluate")
    claim(journal, b"1", b"run", agreement=b"b")
    assert journal.answered(b"me", b"a") == {"train": 2, "evaluate": 1}
    assert journal.answered(b"other", b"a") == {}


def test_what_was_refused_is_not_counted(journal: Journal) -> None:
    def refuse(known: Any) -> Any:
        raise PolicyError("no")

    with pytest.raises(PolicyError, match="no"):
        journal.claim(b"me", b"run", refuse, admission.Allowance(b"a", "train", b"1", 1))
    assert journal.answered(b"me", b"a") == {}
    claim(journal, b"1", b"run")


@pytest.mark.parametrize(
    ("rule", "weight", "counted"),
    [("exact", 91, 91.0), ("equal", 91, 1.0), ("powers-of-two", 91, 64.0), ("powers-of-two", 64, 64.0)],
)
def test_the_rule_of_weights_is_the_encoding_s(rule: str, weight: int, counted: float) -> None:
    spec, reference = MeanSpec(4.0, 1000, weights=rule), {"w": np.zeros(3)}
    made = mean.contribution({"w": np.full(3, 0.5)}, reference, {"loss": 0.25}, weight, spec, 24)

    total = Sum(made.vector, frozenset([1]))
    found = mean.decode(total, made.layout, reference, spec, 24)
    assert found.weight == counted
    assert np.allclose(found.arrays["w"], 0.5, atol=1e-4) and found.metrics["loss"] == 0.25


def test_a_hospital_without_a_usable_update_weighs_as_much_as_any_where_weights_are_equal() -> None:
    spec, reference = MeanSpec(4.0, weights="equal"), {"w": np.zeros(3)}
    usable = mean.contribution({"w": np.ones(3)}, reference, {}, 91, spec, 24)
    nothing = mean.contribution({"w": np.full(3, np.nan)}, reference, {}, 17, spec, 24)

    found = mean.decode(Sum(usable.vector + nothing.vector, frozenset([1, 2])), usable.layout, reference, spec, 24)
    assert (found.weight, found.unusable) == (2, 1)

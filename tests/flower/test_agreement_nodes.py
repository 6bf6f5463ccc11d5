"""What deployed nodes refuse under their agreement, by name, before their app is called: the server here deviates.

It names the agreement's hash all the same, as a dishonest server would.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

from fedsec import catalog
from fedsec.agreement import approval
from fedsec.errors import FedsecError
from fedsec.flower import SecureAggregation, bundle
from fedsec.flower.server import RunSessions
from fedsec.party.journal import Journal
from fedsec.primitives.signing import SigningKey
from tests.flower.process_grid import ProcessGrid, pinned
from tests.flower.test_flower_glue import add_one

pytestmark = [pytest.mark.usefixtures("simulated"), pytest.mark.slow]
ROUNDS = 2
SAYS = {
    "agreement": "PolicyError: the server offers terms under agreement",
    "strategy": "PolicyError: strategy is 'secagg'; agreed was 'shamir'",
    "parameter": "PolicyError: strategy parameter floor is 4; agreed was 3",
    "clip": "PolicyError: encoding clip is 1e-09; agreed was 4.0",
    "ranges": "PolicyError: encoding ranges is {'train_loss': (0.0, 0.25)}",
    "configuration": "PolicyError: run configuration 'rounds' is 3; agreed was 2: ",
    "bundle": "PolicyError: app bundle is",
    "version": "PolicyError: this is fedsec",
    "stage": "PolicyError: stage 'evaluate' is not in the agreement, which has ['train']",
    "sums": "PolicyError: stage 'train' has had the 3 sums that the agreement allows",
    "model": "PolicyError: this model was answered before in stage 'train'",
    "layout": "PolicyError: the model is not the agreement's: arrays of another shape or dtype: 'w'",
    "largest": "PolicyError: array 'w' of the model has the value nan; the agreement's largest_parameter",
    "enrolled": "PolicyError: 4 of the agreement's 5 hospitals are enrolled, and its cohort is all of them",
    "cohort": "PolicyError: a cohort of 4; the agreement's cohort is all 5 hospitals",
    "approval": "PolicyError: this hospital has not approved the agreement",
    "changed": "PolicyError: this hospital approved another agreement than the one that is configured",
    "stranger": "PolicyError: this hospital's public key, ",
}
"""Texts of refusals, or how they begin, which docs/agreement.md has too."""
CONFIGURATION = {"rounds": ROUNDS, "rate": 0.5, "output": "/anywhere"}


class Nodes:
    """Five nodes under an agreement on two rounds of training; `called` has what their app was asked for."""

    def __init__(self, folder: Path, changes: Mapping[str, Any]) -> None:
        self.called: list[str] = []
        self.folder = folder
        self.grid, self.agreement, self.server = pinned(
            folder,
            self.app,
            rehearsal=lambda: self.start(ProcessGrid(self.app), clip=4.0, largest_weight=1000),
            configuration=CONFIGURATION,
            changes=changes,
            **{"fedsec-trusts-server": True},
        )
        for context in self.grid.contexts.values():
            context.run_config = dict(CONFIGURATION)
        self.called.clear()

    def app(self, message: Message, context: Context) -> Message:
        self.called.append(message.metadata.message_type)
        if message.metadata.message_type == "train":
            return add_one(message, context)
        return Message(RecordDict({"metrics": MetricRecord({"num-examples": 10, "loss": 0.5})}), reply_to=message)

    def start(
        self,
        grid: ProcessGrid,
        rounds: int = ROUNDS,
        evaluating: bool = False,
        fraction: float = 1.0,
        model: Any = (0.0, 0.0, 0.0),
        lie: Callable[[Any], None] = lambda secure: None,
        **options: Any,
    ) -> SecureAggregation:
        """A run of a server that does as `lie` has it."""
        inner = FedAvg(
            fraction_train=fraction,
            fraction_evaluate=float(evaluating),
            min_train_nodes=3,
            min_evaluate_nodes=3,
            min_available_nodes=3,
        )
        secure = SecureAggregation(inner, sessions=RunSessions(), **options)
        lie(secure)
        secure.start(grid, ArrayRecord({"w": Array(np.asarray(model))}), num_rounds=rounds, timeout=3600)
        return secure

    def run(self, **options: Any) -> SecureAggregation:
        """A run under the agreement, but for `options`; its failure is none of the test's business."""
        return self.start(self.grid, agreement=self.agreement, identity=self.server, **options)

    def second_run(self) -> None:
        """What follows is another run, for which Flower keeps no state yet: the journals alone remember."""
        self.grid.run = SimpleNamespace(run_id=78)
        for context in self.grid.contexts.values():
            context.state = RecordDict()

    def refused(self, text: str, **options: Any) -> None:
        """Every node refuses in these words, and calls its app for nothing."""
        self.called.clear()
        self.grid.reasons.clear()
        with pytest.raises(FedsecError):
            self.run(**options)
        assert len(self.grid.reasons) >= 5 and all(reason.startswith(text) for reason in self.grid.reasons), (
            self.grid.reasons
        )
        assert not self.called

    def journal(self, node: int = 0) -> dict[str, int]:
        key = SigningKey(bytes.fromhex((self.folder / f"{node}.key").read_text()))
        return Journal(self.folder / f"{node}.journal").answered(key.public, self.agreement.hash)


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    return Nodes(tmp_path, {})


def test_a_run_that_keeps_to_the_agreement_is_answered(nodes: Nodes) -> None:
    secure = nodes.run()
    assert [(one.included, one.failure) for one in secure.rounds] == [(5, ""), (5, "")]
    assert not nodes.grid.reasons and nodes.called == ["train"] * 10
    assert nodes.journal() == {"train": 2}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"rounds": 3}, SAYS["configuration"]),
        ({"rate": 0.25}, "PolicyError: run configuration 'rate' is 0.25; agreed was 0.5"),
        ({"seed": 1}, "PolicyError: run configuration 'seed' is 1; agreed was None"),
    ],
)
def test_another_run_configuration_is_refused(nodes: Nodes, change: dict[str, Any], text: str) -> None:
    for context in nodes.grid.contexts.values():
        context.run_config = {**CONFIGURATION, **change}
    nodes.refused(text)


def test_a_free_key_of_the_run_configuration_may_be_anything(nodes: Nodes) -> None:
    for context in nodes.grid.contexts.values():
        context.run_config = {**CONFIGURATION, "output": "/elsewhere"}
    assert not nodes.run().rounds[0].failure


def lying(**changes: Any) -> Callable[[Any], None]:
    """A server whose terms have another encoding than the agreement that they name."""

    def lie(secure: Any) -> None:
        secure.spec = replace(secure.spec, **changes)

    return lie


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"clip": 1e-9}, SAYS["clip"]),
        ({"largest_weight": 10}, "PolicyError: encoding largest_weight is 10; agreed was 1000"),
        ({"weights": "equal"}, "PolicyError: encoding weights is 'equal'; agreed was 'exact'"),
        ({"bounds": {"*": 1e-9}}, "PolicyError: encoding bounds is {'*': 1e-09}; agreed was {}"),
        ({"metric_range": (0.0, 0.25)}, "PolicyError: encoding metric_range is (0.0, 0.25)"),
        ({"ranges": {"train_loss": (0.0, 0.25)}}, SAYS["ranges"]),
    ],
)
def test_another_encoding_is_refused(nodes: Nodes, changes: dict[str, Any], text: str) -> None:
    nodes.refused(text, lie=lying(**changes))


def with_protocol(name: str, **parameters: Any) -> Callable[[Any], None]:
    """A server that offers another strategy than the agreement that it names."""

    def lie(secure: Any) -> None:
        secure.protocol = catalog.build(name, parameters)

    return lie


@pytest.mark.parametrize(
    ("lie", "text"),
    [
        (with_protocol("secagg"), SAYS["strategy"]),
        (with_protocol("shamir", floor=4), SAYS["parameter"]),
        (with_protocol("shamir", value_bits=40), "PolicyError: strategy parameter value_bits is 40; agreed was 24"),
    ],
)
def test_another_strategy_is_refused(nodes: Nodes, lie: Callable[[Any], None], text: str) -> None:
    nodes.refused(text, lie=lie)


def test_terms_under_another_agreement_are_refused(nodes: Nodes) -> None:
    nodes.agreement = nodes.agreement.model_copy(update={"title": "another"})
    short = nodes.agreement.hash.hex()[:12]
    nodes.refused(f"{SAYS['agreement']} {short}; agreed was ")


def test_another_layout_of_the_model_is_refused(nodes: Nodes) -> None:
    text = SAYS["layout"]
    nodes.refused(text, model=np.zeros(4))


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (1e9, "1e+09")])
def test_a_model_that_no_training_leads_to_is_refused(nodes: Nodes, value: float, shown: str) -> None:
    text = SAYS["largest"].replace("nan", shown)
    nodes.refused(text, model=np.array([0.0, value, 0.0]))


def test_a_stage_that_was_not_agreed_on_is_refused(nodes: Nodes) -> None:
    secure = nodes.run(rounds=1, evaluating=True)
    assert [one.stage for one in secure.rounds if one.failure] == ["evaluate"]
    text = SAYS["stage"]
    assert nodes.grid.reasons and all(reason.startswith(text) for reason in nodes.grid.reasons)
    assert "evaluate" not in nodes.called


def test_a_stage_has_as_many_sums_as_were_agreed_on(nodes: Nodes) -> None:
    secure = nodes.run(rounds=4, void_rounds_allowed=1)
    assert [bool(one.failure) for one in secure.rounds] == [False, False, False, True]  # 2, and 1 that may be repeated
    text = SAYS["sums"]
    assert all(reason.startswith(text) for reason in nodes.grid.reasons) and nodes.called == ["train"] * 15
    nodes.second_run()
    nodes.refused(text, model=np.full(3, 0.5))
    assert nodes.journal() == {"train": 3}


def test_a_model_is_answered_once_in_all_runs(nodes: Nodes) -> None:
    nodes.run(rounds=1)
    nodes.second_run()
    nodes.refused(SAYS["model"], rounds=1)
    assert nodes.journal() == {"train": 1}


def test_another_version_of_fedsec_is_refused(tmp_path: Path) -> None:
    Nodes(tmp_path, {"fedsec": "9.9"}).refused(SAYS["version"] + " ")


def test_another_bundle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app runs from where Flower installs it; one byte of it is not what was agreed on."""
    installed = tmp_path / "apps" / "example.app.1-0-0.00000000"
    installed.mkdir(parents=True)
    (installed / "pyproject.toml").write_text("[project]\nname = 'app'\n")
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed)])
    agreed = bundle.digest_of_folder(installed)
    assert bundle.installed() == agreed
    nodes = Nodes(tmp_path, {"bundle": agreed})
    assert not nodes.run(rounds=1).rounds[0].failure
    (installed / "client_app.py").write_text("print('another')\n")
    nodes.refused(f"{SAYS['bundle']} '{bundle.installed()}'; agreed was '{agreed}'")
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(installed)])
    nodes.refused(f"{SAYS['bundle']} 'no bundle'; agreed was '{agreed}'")


def test_an_agreement_that_this_hospital_did_not_approve_is_refused(nodes: Nodes) -> None:
    for node in range(5):
        approval.path_beside(nodes.folder / f"{node}.toml").unlink()
    nodes.refused(SAYS["approval"])


def test_an_agreement_that_changed_after_its_approval_is_refused(nodes: Nodes) -> None:
    nodes.agreement = nodes.agreement.model_copy(update={"largest_parameter": 1e12})
    for node in range(5):
        nodes.agreement.write(nodes.folder / f"{node}.toml")
    nodes.refused(SAYS["changed"])


def test_a_hospital_that_is_not_in_the_agreement_does_not_answer(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, {"cohort": "sampled"})
    (tmp_path / "4.key").unlink()
    (tmp_path / "4.key").touch(0o600)
    (tmp_path / "4.key").write_text(bytes(range(1, 33)).hex())
    nodes.run(rounds=1)
    assert nodes.grid.reasons and all(reason.startswith(SAYS["stranger"]) for reason in nodes.grid.reasons)


def test_where_all_must_take_part_a_smaller_cohort_is_refused(nodes: Nodes) -> None:
    nodes.grid.reasons.clear()
    with pytest.raises(FedsecError):
        nodes.run(fraction=0.8)
    text = SAYS["cohort"]
    assert nodes.grid.reasons and all(reason.startswith(text) for reason in nodes.grid.reasons)
    assert not nodes.called


def test_where_all_must_take_part_fewer_are_refused(nodes: Nodes) -> None:
    nodes.grid.contexts.pop(104)
    with pytest.raises(FedsecError):
        nodes.run()
    text = SAYS["enrolled"]
    assert nodes.grid.reasons and all(reason.startswith(text) for reason in nodes.grid.reasons)
    assert not nodes.called

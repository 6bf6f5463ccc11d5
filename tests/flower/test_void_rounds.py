"""No failure is silent: which rounds were void and which clients gave no answer stands in the server's log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp.mod import LocalDpMod
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode
from flwr.serverapp.strategy import FedAvg, Result

from fedsec.agreement.agreement_file import Agreement
from fedsec.errors import ConfigurationError, RunFailed
from fedsec.flower import SecureAggregation, incidents, secure_aggregation, verdict
from fedsec.flower.server import RunSessions
from fedsec.flower.verdict import Round
from fedsec.primitives.signing import SigningKey
from fedsec.strategies.shamir import Shamir
from tests.flower.process_grid import App, ProcessGrid, pinned
from tests.flower.test_flower_glue import add_one

pytestmark = pytest.mark.usefixtures("simulated")
TRUSTING = {"fedsec-trusts-server": True}
SECRET = "patient 4711 has no glucose value"


def message() -> Message:
    return Message(RecordDict(), dst_node_id=1, message_type="train")


def model() -> ArrayRecord:
    return ArrayRecord({"w": Array(np.zeros(3))})


def everyone(nodes: int = 5, **settings: Any) -> FedAvg:
    return FedAvg(**{"min_train_nodes": nodes, "min_available_nodes": nodes, "fraction_evaluate": 0.0, **settings})


def failing(where: Mapping[tuple[str, int], int]) -> App:
    """An app that raises at as many of the nodes 100, 101, ... as this says, by stage and round."""

    def app(message: Message, context: Context) -> Message:
        stage, number = message.metadata.message_type, int(message.content["config"]["server-round"])
        if context.node_id - 100 < where.get((stage, number), 0):
            raise ValueError(SECRET)
        if stage == "evaluate":
            metrics = MetricRecord({"num-examples": 10, "loss": 0.5})
            return Message(RecordDict({"metrics": metrics}), reply_to=message)
        return add_one(message, context)

    return app


def run(
    where: Mapping[tuple[str, int], int], rounds: int = 3, inner: FedAvg | None = None, **options: Any
) -> tuple[SecureAggregation, Result]:
    secure = SecureAggregation(inner or everyone(), sessions=RunSessions(), **options)
    return secure, secure.start(ProcessGrid(failing(where)), model(), num_rounds=rounds)


def deployed(
    grid: ProcessGrid, agreement: Agreement | None = None, server: SigningKey | None = None, rounds: int = 2
) -> SecureAggregation:
    secure = SecureAggregation(everyone(), identity=server, agreement=agreement, sessions=RunSessions())
    secure.start(grid, model(), num_rounds=rounds)
    return secure


AGREED: dict[str, Any] = {"rehearsal": lambda: deployed(ProcessGrid(add_one)), "changes": {"cohort": "sampled"}}
"""How the hospitals below came to their agreement."""


def lines(log: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno == level]


def test_a_void_round_is_one_error_and_the_result_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    _, result = run({("train", 2): 3})
    assert np.allclose(result.arrays["w"].numpy(), 2, atol=1e-3)
    (error,) = lines(caplog, logging.ERROR)
    assert "1 of 3 aggregations are void: round 2 train: DataError: 3 of 5 hospitals had no usable update" in error
    assert f"; party 1, 2, 3: the app failed: ValueError: {SECRET}" in error


@pytest.mark.slow
def test_a_void_evaluation_is_an_error_and_fails_nothing(caplog: pytest.LogCaptureFixture) -> None:
    inner = everyone(fraction_evaluate=1.0, min_evaluate_nodes=5)
    _, result = run({("evaluate", 1): 3}, inner=inner)
    assert set(result.evaluate_metrics_clientapp) == {2, 3}
    (error,) = lines(caplog, logging.ERROR)
    assert "1 of 6 aggregations are void: round 1 evaluate: TooFewParties" in error


@pytest.mark.slow
def test_more_void_rounds_than_half_fail_the_run_whose_result_is_kept() -> None:
    with pytest.raises(
        RunFailed, match=r"2 of 3 rounds of training are void, and at most 1 may be .*round 2 train"
    ) as failed:
        run({("train", 1): 3, ("train", 2): 3})
    assert isinstance(failed.value.result, Result)
    assert np.allclose(failed.value.result.arrays["w"].numpy(), 1, atol=1e-3)


@pytest.mark.versions
def test_how_many_rounds_may_be_void_can_be_set() -> None:
    lost = {("train", 1): 3, ("train", 2): 3}
    assert np.allclose(run(lost, void_rounds_allowed=2)[1].arrays["w"].numpy(), 1, atol=1e-3)
    with pytest.raises(RunFailed, match="at most 0 may be"):
        run({("train", 2): 3}, void_rounds_allowed=0)
    for wrong in (-1, True, 1.5, "1"):
        with pytest.raises(ConfigurationError, match="void_rounds_allowed is"):
            SecureAggregation(FedAvg(), void_rounds_allowed=wrong)  # type: ignore[arg-type]


def test_without_any_round_of_training_the_run_failed_whatever_is_allowed() -> None:
    with pytest.raises(RunFailed, match="no round of training succeeded") as failed:
        run({("train", 1): 5, ("train", 2): 5}, rounds=2, void_rounds_allowed=2)
    assert isinstance(failed.value.result, Result) and not failed.value.result.arrays
    assert f"; party 1, 2, 3, 4, 5: the app failed: ValueError: {SECRET}" in str(failed.value)


@pytest.mark.slow
def test_who_gave_no_answer_is_logged_in_each_round_with_reason_and_cure(caplog: pytest.LogCaptureFixture) -> None:
    secure, _ = run({("train", 1): 2, ("train", 3): 1})
    told = [line for line in lines(caplog, logging.WARNING) if "no usable answer" in line]
    reason = f"input: no usable update: the app failed: ValueError: {SECRET} (it counts as no change)"
    assert told == [
        f"round 1 train: no usable answer from node 100 (party 1), node 101 (party 2): {reason}",
        f"round 3 train: no usable answer from node 100 (party 1): {reason}",
    ]
    (last,) = [line for line in lines(caplog, logging.WARNING) if "without all" in line]
    assert last.endswith("round 1 train over 3 of 5; round 3 train over 4 of 5")
    assert [len(outcome.incidents) for outcome in secure.rounds] == [2, 0, 1]


def test_the_verdict_on_a_run() -> None:
    good, lost = Round(1, "train", 5, included=5), Round(2, "train.custom", 5, failure="x" * 1000)
    other = Round(1, "evaluate", 5, failure="why")
    assert verdict.failed([]) == verdict.failed([good, lost]) == verdict.failed([good, other]) == ""
    assert verdict.failed([good, lost, lost]).startswith("2 of 3 rounds of training are void, and at most 1 may be")
    assert verdict.failed([good, lost], 0) and not verdict.failed([good, lost, lost], 2)
    assert verdict.failed([lost], 5).startswith("no round of training succeeded; the last one: xxx")
    assert verdict.void([good]) == "" and len(verdict.void([good, lost])) < 500
    odd = tuple(("input", party, f"no usable update: odd\n{party}") for party in range(1, 7))
    assert (
        replace(other, incidents=odd).why == "why; party 1: odd 1; party 2: odd 2; party 3: odd 3; and 3 other causes"
    )
    assert verdict.void([good, other]) == "1 of 2 aggregations are void: round 1 evaluate: why"


@pytest.mark.slow
def test_a_void_round_keeps_its_incidents() -> None:
    secure, _ = run({("train", 1): 3})
    assert [party for _, party, _ in secure.rounds[0].incidents] == [1, 2, 3]


@pytest.mark.slow
def test_a_deployment_tells_the_count_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What rows decide is no refusal: the sum counts it, and the hospital's own log has the cause."""
    secure = deployed(*pinned(tmp_path, failing({("train", 1): 1}), **AGREED, **TRUSTING), rounds=1)
    assert (secure.rounds[0].included, secure.rounds[0].unusable, secure.rounds[0].incidents) == (5, 1, ())
    assert not [line for line in lines(caplog, logging.WARNING) if "no usable answer" in line]
    (line,) = [line for line in lines(caplog, logging.WARNING) if "round 1 train: 1 of 5 hospitals had no" in line]
    assert SECRET not in line


@pytest.mark.versions
def test_a_node_that_did_not_join_is_named_in_every_round(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    grid, agreement, server = pinned(tmp_path, add_one, **AGREED, **TRUSTING)
    grid.contexts[103].node_config["fedsec-floor"] = 6
    secure = deployed(grid, agreement, server)
    assert [outcome.included for outcome in secure.rounds] == [4, 4]
    told = [line for line in lines(caplog, logging.WARNING) if "node 103 (party 4)" in line]
    assert [line.partition(":")[0] for line in told] == ["set-up", "round 1 train", "round 2 train"]
    assert all("PolicyError: floor is 3; this party's floor is 6" in line for line in told)


@pytest.mark.parametrize("first", [True, False])
def test_another_mod_works_behind_ours_and_is_named_before_it(first: bool) -> None:
    noise = LocalDpMod(clipping_norm=100.0, sensitivity=1e-9, epsilon=1.0, delta=0.5)
    called: list[int] = []

    def app(message: Message, context: Context) -> Message:
        called.append(context.node_id)
        return add_one(message, context)

    def chained(*mods: Callable[[Message, Context, ClientAppCallable], Message]) -> Any:
        def mod(message: Message, context: Context, last: ClientAppCallable) -> Message:
            def outer(message: Message, context: Context) -> Message:
                return mods[1](message, context, last)

            return mods[0](message, context, outer)

        return mod

    grid = ProcessGrid(app)
    grid.mod = chained(noise, secure_aggregation) if first else chained(secure_aggregation, noise)
    secure = SecureAggregation(everyone(), sessions=RunSessions())
    if first:
        with pytest.raises(RunFailed, match=r"put secure_aggregation first, ClientApp\(mods=\[secure_aggregation"):
            secure.start(grid, model(), num_rounds=1)
        assert not called
    else:
        assert np.allclose(secure.start(grid, model(), num_rounds=1).arrays["w"].numpy(), 1, atol=1e-3)


def test_what_another_machine_wrote_cannot_shape_the_log() -> None:
    text = incidents.printable("DataError: \x1b[31mred\nround 9 train is void" + "x" * 1000)
    assert text.startswith("DataError: red round 9") and text.isprintable() and len(text) < 410
    many = [("Share", party, "no answer in time") for party in range(1, 51)]
    refused = Message(Error(ErrorCode.MOD_FAILED_PRECONDITION, "DataError: a\nb"), reply_to=message())
    assert incidents.refusal(refused).reason == "DataError: a b"
    (line,) = incidents.lines(many, {party: 1000 + party for party in range(1, 51)})
    assert "node 1020 (party 20) and 30 more: Share: no answer in time (see whether" in line


@pytest.mark.parametrize("kind", [ValueError, ConnectionError, ZeroDivisionError])
def test_an_error_of_pythons_own_at_the_server_costs_one_round(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    """From a strategy's own code, or from the transport: earlier rounds are kept, and the log has the traceback."""
    asked = []
    aggregate = Shamir.aggregate

    def failing_once(self: Shamir, clients: Any, public: None) -> Any:
        asked.append(clients)
        if len(asked) == 3:  # of the first session, one measures the updates
            raise kind("somewhere in the strategy")
        return (yield from aggregate(self, clients, public))

    monkeypatch.setattr(Shamir, "aggregate", failing_once)
    secure = SecureAggregation(everyone(), "shamir", sessions=RunSessions())
    result = secure.start(ProcessGrid(add_one), model(), num_rounds=3)
    failures = [one.failure for one in secure.rounds]
    assert failures.count(f"{kind.__name__}: somewhere in the strategy") == 1 and failures.count("") == 2
    assert np.allclose(result.arrays["w"].numpy(), 2, atol=1e-3)
    first, last = lines(caplog, logging.ERROR)
    assert "Traceback" in first and "failing_once" in first and "1 of 3 aggregations are void" in last


def test_a_weight_that_is_too_fine_is_told_in_the_hospital_s_log(caplog: pytest.LogCaptureFixture) -> None:
    def app(message: Message, context: Context) -> Message:
        reply = add_one(message, context)
        reply.content["metrics"]["num-examples"] = 1e-6 * (1 + context.node_id - 100)  # type: ignore[index,assignment]
        return reply

    SecureAggregation(everyone(), sessions=RunSessions()).start(ProcessGrid(app), model(), num_rounds=1)
    told = [text for text in lines(caplog, logging.WARNING) if "weights are multiples of 2^-32" in text]
    assert told and "num-examples is 1e-06" in told[0]
    caplog.clear()
    run({}, rounds=1)
    assert not any("multiples of 2^-32" in text for text in lines(caplog, logging.WARNING))

"""The Flower glue without Flower's runtime: the real mod behind a grid that calls it in process."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from fedsec import catalog
from fedsec.agreement.agreement_file import Agreement
from fedsec.errors import ConfigurationError, FedsecError, LayoutError, PolicyError, RunFailed
from fedsec.flower import SecureAggregation, client, secure_aggregation
from fedsec.flower.records import content_hash, model_arrays
from fedsec.flower.server import RunSessions
from fedsec.party.party import PartyState
from fedsec.primitives.signing import SigningKey
from fedsec.wire import codec
from tests.flower.process_grid import App, ProcessGrid, pinned
from tests.tiers import slow

pytestmark = pytest.mark.usefixtures("simulated")
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "pairwise_masks.py"
PAIRWISE, FILES = catalog.strategy(str(EXAMPLE)), {"fedsec-strategy-files": str(EXAMPLE)}
"""A strategy that deployments may run, and how a node allows it."""


def add_one(message: Message, context: Context) -> Message:
    arrays = {name: Array(np.asarray(array.numpy() + 1)) for name, array in message.content["arrays"].items()}
    metrics = MetricRecord({"num-examples": 10 + context.node_id, "train_loss": 0.5})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


def start(grid: Grid, arrays: dict[str, Any], rounds: int = 3, protocol: str = "shamir", **inner: Any) -> Any:
    everyone = {"min_train_nodes": 5, "min_available_nodes": 5, "fraction_evaluate": 0.0, **inner}
    strategy = SecureAggregation(FedAvg(**everyone), protocol, sessions=RunSessions())
    model = ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})
    return strategy, strategy.start(grid, model, num_rounds=rounds, timeout=3600)


@pytest.mark.parametrize("protocol", ["shamir", "plain"])
def test_arrays_without_dimensions_keep_them(protocol: str) -> None:
    model = {"w": np.zeros((2, 2), np.float32), "scale": np.float64(0.25), "count": np.int64(3)}
    strategy, result = start(ProcessGrid(add_one), model, protocol=protocol)
    assert not any(outcome.failure for outcome in strategy.rounds)
    got = {name: array.numpy() for name, array in result.arrays.items()}
    assert {name: array.shape for name, array in got.items()} == {"w": (2, 2), "scale": (), "count": ()}
    assert np.allclose(got["w"], 3, atol=1e-3) and np.isclose(got["scale"], 3.25, atol=1e-3)
    assert np.isclose(got["count"], 6, atol=1e-3)


def test_two_models_never_share_a_hash_by_moving_bytes_between_arrays() -> None:
    first, second = np.arange(8.0), np.arange(8.0) + 1
    one, two = Array(first), Array(second)
    header = codec.pack(["b", "float64", [8], "numpy.ndarray"])
    longer = Array(one.dtype, one.shape, one.stype, one.data + header + two.data)
    other = Array(two.dtype, two.shape, two.stype, two.data + header + two.data)

    def content(a: Array, b: Array) -> RecordDict:
        return RecordDict({"arrays": ArrayRecord({"a": a, "b": b})})

    hashes = {content_hash(content(a, b)) for a, b in ((longer, two), (one, other), (one, two), (two, one))}
    assert len(hashes) == 4


def test_the_hash_follows_every_part_of_the_content() -> None:
    def content(**changes: Any) -> RecordDict:
        parts = {"name": "w", "array": np.zeros(3), "rate": 0.1, "key": "arrays", **changes}
        records = {parts["key"]: ArrayRecord({parts["name"]: Array(parts["array"])})}
        return RecordDict({**records, "config": ConfigRecord({"rate": parts["rate"], "list": [1, 2]})})

    changed = [
        {},
        {"name": "v"},
        {"array": np.ones(3)},
        {"array": np.zeros(3, np.float32)},
        {"array": np.zeros((3, 1))},
    ]
    changed += [{"rate": 0.2}, {"rate": 1}, {"key": "model"}]
    assert len({content_hash(content(**one)) for one in changed}) == len(changed)
    assert content_hash(content()) == content_hash(content())


def test_the_app_never_sees_the_party_s_secrets() -> None:
    seen: list[str] = []

    def nosy(message: Message, context: Context) -> Message:
        seen.append(repr(context))
        return add_one(message, context)

    grid = ProcessGrid(nosy)
    start(grid, {"w": np.zeros(3)}, rounds=1)
    assert len(seen) == 5
    for context in grid.contexts.values():
        state = codec.decode(context.state["fedsec"]["party"], PartyState)
        for secret in (state.identity, state.agreement):
            assert not any(repr(secret)[2:-1] in text or secret.hex() in text for text in seen)


def test_a_node_with_pins_is_no_simulation(tmp_path: Any) -> None:
    key = SigningKey(bytes(range(32)))
    for config in ({"fedsec-server": key.public.hex()}, {"fedsec-hospitals": str(_keys(tmp_path, key))}):
        grid = ProcessGrid(add_one, **config)
        with pytest.raises(Exception, match=r"parties answered"):
            start(grid, {"w": np.zeros(3)}, protocol="plain")
        assert grid.reasons and all("PolicyError" in reason for reason in grid.reasons)


def lead(
    grid: ProcessGrid, agreement: Agreement | None = None, server: SigningKey | None = None, rounds: int = 2
) -> SecureAggregation:
    inner = FedAvg(min_train_nodes=5, min_available_nodes=5, fraction_evaluate=0.0)
    strategy = SecureAggregation(inner, PAIRWISE(), identity=server, agreement=agreement, sessions=RunSessions())
    strategy.start(grid, ArrayRecord({"w": Array(np.zeros(3))}), num_rounds=rounds, timeout=3600)
    return strategy


def rehearsed() -> SecureAggregation:
    """Two rounds in a simulation, from which an agreement is derived."""
    return lead(ProcessGrid(add_one, **FILES))


def test_a_deployment_runs_with_an_agreement_and_a_journal(tmp_path: Path) -> None:
    strategy = lead(*pinned(tmp_path, add_one, rehearsal=rehearsed, **FILES))
    assert [outcome.included for outcome in strategy.rounds] == [5, 5]
    assert all((tmp_path / f"{n}.journal").stat().st_mode & 0o777 == 0o600 for n in range(5))


@pytest.mark.slow
def test_a_rolled_back_context_answers_nothing_twice(tmp_path: Path) -> None:
    grid, agreement, server = pinned(tmp_path, add_one, rehearsal=rehearsed, **FILES)
    asked: list[tuple[Message, RecordDict]] = []
    mod = client.secure_aggregation

    def watched(message: Message, context: Context, app: App) -> Message:
        if context.node_id == 102:
            asked.append((copy.deepcopy(message), copy.deepcopy(context.state)))
        return mod(message, context, app)

    grid.mod = watched
    lead(grid, agreement, server)
    assert len(asked) == 4  # Enrol, Adopt, and two rounds
    for with_journal in (True, False):
        for message, state in asked:
            context = grid.contexts[102]
            context.state = copy.deepcopy(state)
            if not with_journal:  # the control
                context.node_config["fedsec-journal"] = str(tmp_path / "another")
            reply = mod(copy.deepcopy(message), context, add_one)
            reason = str(reply.error.reason) if reply.has_error() else ""
            assert bool(re.match("Stale|OutOfPhase", reason)) is with_journal, reason


@pytest.mark.versions
@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"fedsec-journal": None}, "PolicyError: no journal is configured here .fedsec-journal, an absolute path"),
        ({"fedsec-journal": "here.journal"}, "ConfigurationError: the journal must be an absolute path"),
        ({"fedsec-journal": "/nowhere/journal"}, r"ConfigurationError: the journal cannot be used(?!:)"),
        ({"fedsec-identity": None}, "PolicyError: no identity is configured here"),
        ({"fedsec-agreement": None}, "PolicyError: no agreement is configured here"),
        ({"fedsec-agreement": "/nowhere/agreement.toml"}, r"ConfigurationError: the agreement cannot be read(?!:)"),
        ({"fedsec-threshold": 6}, "PolicyError: \\d of these 5 hospitals may open an input .* threshold is 6"),
        ({"fedsec-threshold": 0}, "ConfigurationError: threshold is 0"),
        ({"fedsec-threshold": "two"}, "ConfigurationError: fedsec-threshold has another value in this node's config"),
        ({"fedsec-floor": 4.9}, "ConfigurationError: fedsec-floor has another value in this node's configuration"),
        ({"fedsec-floor": True}, "ConfigurationError: fedsec-floor has another value"),
    ],
)
def test_what_a_node_s_configuration_lacks_is_named(tmp_path: Path, config: dict[str, Any], text: str) -> None:
    grid, agreement, server = pinned(tmp_path, add_one, rehearsal=rehearsed, **FILES, **config)
    with pytest.raises(FedsecError, match=text):
        lead(grid, agreement, server)
    assert len(grid.reasons) >= 5 and all(re.match(text, reason) for reason in grid.reasons)


def another_model(message: Message) -> Message:
    """The same protocol request beside a model that its session is not bound to."""
    content = RecordDict(dict(message.content.items()))
    if "arrays" in content:
        content["arrays"] = ArrayRecord(
            {name: Array(one.numpy() + 1) for name, one in message.content["arrays"].items()}
        )
    return Message(content, dst_node_id=message.metadata.dst_node_id, message_type=message.metadata.message_type)


def another_stage(message: Message) -> Message:
    """The same request, and the model, in a message that asks for an evaluation."""
    return Message(message.content, dst_node_id=message.metadata.dst_node_id, message_type="evaluate")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (another_model, "AuthenticationError: the model received is not the one that the session is bound to"),
        (another_stage, "AuthenticationError: stage train in a message of type evaluate"),
    ],
)
def test_an_app_is_not_called_for_another_model_or_stage(change: Callable[[Message], Message], text: str) -> None:
    called: list[int] = []

    def counting(message: Message, context: Context) -> Message:
        called.append(context.node_id)
        return add_one(message, context)

    grid = ProcessGrid(counting)
    grid.mod = lambda message, context, app: secure_aggregation(change(message), context, app)
    with pytest.raises(RunFailed, match="no round of training succeeded"):
        start(grid, {"w": np.zeros(3)}, rounds=1, protocol="plain")
    assert grid.reasons == [text] * 5 and not called


def test_a_phase_that_is_over_is_not_answered() -> None:
    """A reply after the timeout would bring back a state from before it."""

    def late(message: Message, context: Context, app: App) -> Message:
        message.metadata.ttl = 1e-9
        return secure_aggregation(message, context, app)

    grid = ProcessGrid(add_one)
    grid.mod = late
    with pytest.raises(RunFailed, match="the set-up failed: the phase closed after 0 s, before this party"):
        start(grid, {"w": np.zeros(3)}, rounds=1, protocol="plain")


def test_a_simulation_may_keep_a_journal(tmp_path: Path) -> None:
    grid = ProcessGrid(add_one, **{"fedsec-journal": str(tmp_path / "journal")})
    strategy, _ = start(grid, {"w": np.zeros(3)}, protocol="plain")
    assert [outcome.included for outcome in strategy.rounds] == [5, 5, 5]
    assert (tmp_path / "journal").stat().st_size


def _keys(folder: Any, key: SigningKey) -> Any:
    file = folder / "keys"
    file.write_text(key.public.hex() + "\n")
    return file


def test_a_run_that_trained_nothing_is_an_error() -> None:
    def broken(message: Message, context: Context) -> Message:
        raise ValueError("patient 4711 has no glucose value")

    grid = ProcessGrid(broken)
    strategy = SecureAggregation(FedAvg(fraction_evaluate=0.0), sessions=RunSessions())
    with pytest.raises(RunFailed, match=r"no round of training succeeded.*5 of 5 hospitals had no usable update"):
        strategy.start(grid, ArrayRecord({"w": Array(np.zeros(3))}), num_rounds=2)
    assert grid.reasons == []
    told = "no usable update: the app failed: ValueError: patient 4711 has no glucose value"  # this is a simulation
    for outcome in strategy.rounds:
        assert outcome.incidents == tuple(("input", party, told) for party in range(1, 6))


def test_a_sample_below_the_floor_is_refused_before_anything_is_asked() -> None:
    called: list[int] = []

    def counting(message: Message, context: Context) -> Message:
        called.append(context.node_id)
        return add_one(message, context)

    with pytest.raises(ConfigurationError, match="a cohort of 2 is below the floor of 3"):
        start(ProcessGrid(counting), {"w": np.zeros(3)}, fraction_train=0.4, min_train_nodes=2)
    assert not called


def replying(wrong: Callable[[Any], Any]) -> App:
    """The app, whose reply at one node is `wrong` of the right one."""

    def app(message: Message, context: Context) -> Message:
        reply = add_one(message, context)
        if context.node_id == 102 and message.metadata.message_type == "train":
            reply.content["arrays"]["w"] = Array(np.asarray(wrong(np.full(3, 1.0))))
        return reply

    return app


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda a: a[:2], r"the update has array 'w' of shape \(2,\); shape \(3,\) was expected"),
        (lambda a: a.reshape(3, 1), r"shape \(3, 1\)"),
        (lambda a: a > 0, "array 'w' has dtype bool"),
        (lambda a: a + 1j, "array 'w' has dtype complex128"),
    ],
)
def test_an_update_that_does_not_fit_the_model_costs_its_hospital_alone(wrong: Any, text: str) -> None:
    grid = ProcessGrid(replying(wrong))
    strategy, result = start(grid, {"w": np.zeros(3)}, rounds=1)
    assert strategy.rounds[0].included == 4
    assert np.allclose(result.arrays["w"].numpy(), 1, atol=1e-3)
    assert all(re.match(f"LayoutError: .*{text}", reason) for reason in grid.reasons) and grid.reasons


@pytest.mark.parametrize("wrong", [lambda a: a * np.nan, lambda a: a + np.inf])
@pytest.mark.parametrize("simulation", [True, False])
def test_an_update_that_is_not_usable_is_counted_and_its_cause_told_in_simulation_alone(
    wrong: Any, simulation: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    if simulation:
        grid = ProcessGrid(replying(wrong))
        strategy, _ = start(grid, {"w": np.zeros(3)}, rounds=1)
    else:
        grid, agreement, server = pinned(tmp_path, replying(wrong), rehearsal=rehearsed, **FILES)
        monkeypatch.setattr(client, "in_simulation", lambda: False)
        strategy = lead(grid, agreement, server, rounds=1)
    (outcome,) = strategy.rounds
    assert (outcome.included, outcome.failure, grid.reasons) == (5, "", [])
    assert "1 of 5 hospitals had no usable update" in outcome.warnings[0]
    causes = [incident for incident in outcome.incidents if "not finite at (0,)" in incident[2]]
    assert len(causes) == int(simulation)


@pytest.mark.parametrize("dtype", [">f4", "i8", *slow(["<f4", "f2", "f8"])])
def test_a_reply_of_another_dtype_or_byte_order_is_as_good_as_any(dtype: str) -> None:
    strategy, result = start(ProcessGrid(replying(lambda a: a.astype(dtype))), {"w": np.zeros(3)})
    assert next(outcome.included for outcome in strategy.rounds) == 5
    assert result.arrays["w"].numpy().dtype == np.float64


def test_a_stage_is_measured_once_and_its_app_called_once_a_round() -> None:
    called: list[tuple[int, int]] = []

    def counting(message: Message, context: Context) -> Message:
        assert not [name for name in context.state if name.startswith("fedsec")]
        called.append((context.node_id, int(message.content["config"]["server-round"])))
        return add_one(message, context)

    grid = ProcessGrid(counting)
    strategy, _ = start(grid, {"w": np.zeros(3)}, rounds=3)
    assert sorted(called) == [(node, number) for node in sorted(grid.contexts) for number in (1, 2, 3)]
    assert not [name for context in grid.contexts.values() for name in context.state if name.startswith("fedsec-")]
    assert not [text for outcome in strategy.rounds for text in outcome.warnings]


def several(message: Message, context: Context) -> Message:
    """Two array records, of which the reply holds one array each; the other arrays stay at the hospital."""
    records = {
        key: ArrayRecord({"w": Array(message.content[key]["w"].numpy() + context.node_id)}) for key in ("enc", "head")
    }
    metrics = MetricRecord({"num-examples": 12.5, "loss": 1.0})
    return Message(RecordDict({**records, "metrics": metrics, "more": ConfigRecord({"a": 1})}), reply_to=message)


def test_an_app_that_fails_is_called_once_a_round_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "flwr")  # a report with this text could not be sent between test processes
    called: list[int] = []

    def app(message: Message, context: Context) -> Message:
        called.append(context.node_id)
        if context.node_id == 102:
            raise ValueError("no glucose \udc80 value")
        return add_one(message, context)

    strategy, _ = start(ProcessGrid(app), {"w": np.zeros(3)}, rounds=2)
    assert sorted(called) == sorted([*range(100, 105)] * 2)
    ((_, party, reason),) = strategy.rounds[0].incidents
    assert party == 3 and reason == "no usable update: the app failed: ValueError: no glucose ? value"
    assert [(one.included, one.unusable) for one in strategy.rounds] == [(5, 1), (5, 1)]


def test_an_attention_mask_of_infinities_that_nobody_changes_costs_nothing() -> None:
    mask = np.triu(np.full((3, 3), -np.inf, np.float32), 1)

    def app(message: Message, context: Context) -> Message:
        reply = add_one(message, context)
        changed = message.content["config"]["server-round"] == 2 and context.node_id == 102
        reply.content["arrays"]["mask"] = Array(mask + 1 if changed else mask)
        return reply

    strategy, result = start(ProcessGrid(app), {"w": np.zeros(3), "mask": mask}, rounds=2, protocol="plain")
    assert [(one.included, one.failure) for one in strategy.rounds] == [(5, ""), (4, "")]
    assert np.array_equal(result.arrays["mask"].numpy(), mask)
    assert np.allclose(result.arrays["w"].numpy(), 2, atol=1e-3)


def with_records(*names: str) -> RecordDict:
    """A message for the app `several`: array records of these names, all alike."""
    record = ArrayRecord({"w": Array(np.zeros(2)), "own": Array(np.full(2, 7.0))})
    return RecordDict({**dict.fromkeys(names, record), "config": ConfigRecord({"server-round": 1})})


def trained_with(grid: ProcessGrid, *names: str) -> list[Message]:
    """What all nodes' training comes to, from a model of array records of these names."""
    secure = SecureAggregation(FedAvg(), sessions=RunSessions())
    asked = [Message(with_records(*names), dst_node_id=node, message_type="train") for node in grid.get_node_ids()]
    return list(secure._over(grid).send_and_receive(asked))


def test_several_array_records_and_arrays_that_stay() -> None:
    grid = ProcessGrid(several)
    (reply,) = trained_with(grid, "enc", "head")
    mean = np.mean(list(grid.get_node_ids()))
    for key in ("enc", "head"):
        arrays = {name: array.numpy() for name, array in reply.content[key].items()}
        assert np.allclose(arrays["w"], mean) and arrays["own"].tolist() == [7.0, 7.0]
    assert dict(reply.content["metrics"]) == {"num-examples": 62.5, "loss": 1.0}


@pytest.mark.parametrize("names", [("x:y",), ("a:b", "a"), (":",)])
def test_a_colon_in_the_name_of_one_of_several_records_is_refused(names: tuple[str, ...]) -> None:
    """'a:b' with array 'c', and 'a' with array 'b:c', would be one array. A single record may have any name."""
    with pytest.raises(LayoutError, match=rf"array record '{names[0]}' has a ':' in its name, .* another name"):
        trained_with(ProcessGrid(several), "enc", *names)
    assert sorted(model_arrays(with_records(names[0]))) == ["own", "w"]


def test_a_colon_in_the_name_of_a_reply_s_record_costs_its_hospital_alone() -> None:
    def one_renames(message: Message, context: Context) -> Message:
        reply = several(message, context)
        if context.node_id == 101:
            reply.content["enc:w"] = reply.content.pop("enc")
        return reply

    grid = ProcessGrid(one_renames)
    (reply,) = trained_with(grid, "enc", "head")
    assert np.allclose(reply.content["enc"]["w"].numpy(), np.mean([100, 102, 103, 104]))  # type: ignore[index]
    assert any("array records ['enc:w'] are in the app's reply" in reason for reason in grid.reasons)


def test_training_from_nothing_and_evaluation_replies_with_arrays() -> None:
    def app(message: Message, context: Context) -> Message:
        arrays = ArrayRecord({"w": Array(np.full(3, float(context.node_id)))})
        metrics = MetricRecord({"num-examples": 10, "loss": 0.5})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    strategy, result = start(ProcessGrid(app), {}, rounds=1, fraction_evaluate=1.0, min_evaluate_nodes=5)
    assert not any(outcome.failure for outcome in strategy.rounds)
    assert np.allclose(result.arrays["w"].numpy(), np.mean([100 + n for n in range(5)]), rtol=1e-4)
    assert dict(result.evaluate_metrics_clientapp[1]) == {"num-examples": 50, "loss": 0.5} or (
        result.evaluate_metrics_clientapp[1]["loss"] == 0.5
    )


def test_messages_around_the_aggregation_are_refused() -> None:
    seen: list[Any] = []

    class Curious(FedAvg):
        def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Grid) -> Any:
            for call in (lambda: grid.push_messages([]), lambda: grid.pull_messages([])):
                with pytest.raises(PolicyError, match="go around secure aggregation"):
                    call()
                seen.append(call)
            return super().configure_train(server_round, arrays, config, grid)

    inner = Curious(min_train_nodes=5, min_available_nodes=5, fraction_evaluate=0.0)
    secure = SecureAggregation(inner, sessions=RunSessions())
    secure.start(ProcessGrid(add_one), ArrayRecord({"w": Array(np.zeros(2))}), num_rounds=1)
    assert len(seen) == 2


def test_a_message_without_a_request_never_reaches_the_app() -> None:
    grid = ProcessGrid(add_one)
    message = Message(
        RecordDict({"arrays": ArrayRecord({"w": Array(np.zeros(2))})}), dst_node_id=101, message_type="train"
    )
    (reply,) = grid.send_and_receive([message])
    assert reply.has_error() and "PolicyError: a message without a protocol request" in str(reply.error.reason)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"clip": "a"}, "clip is 'a'"),
        ({"clip": 0}, "clip is 0"),
        ({"largest_weight": 10.5}, "largest_weight is 10.5"),
        ({"metric_ranges": {"loss": 3}}, "range of metric loss is 3"),
        ({"metric_ranges": {"loss": (2, 1)}}, "finite and rising"),
        ({"phase_timeout": 0}, "phase_timeout is 0"),
        ({"protocol": "shamyr"}, "did you mean 'shamir'"),
        ({"protocol": 5}, r'protocol is 5; a strategy by name, as "shamir", or a SecureSum'),
        ({"protocol": None}, "protocol is None; a strategy by name"),
        ({"protocol": catalog.strategy("shamir")}, r"protocol is the class Shamir.*add \(\)"),
        ({"buffers": 5}, r"buffers is 5; a list of patterns of arrays' names"),
        ({"buffers": "bn.*"}, r"buffers is 'bn\.\*'; a list of patterns of arrays' names, as \[\"bn"),
        ({"buffers": ["bn.*", 5]}, "a pattern in buffers is 5; a text was expected"),
        ({"bounds": {5: 1.0}}, "a pattern in bounds is 5; a text was expected"),
        ({"bounds": "w"}, "bounds is 'w'; a norm for each pattern was expected"),
        ({"pins": 5}, "pins is 5; public keys, as read_public_keys"),
        ({"pins": "ab"}, "a key in pins is 'a'; a public key of 32 bytes was expected"),
        ({"pins": b"ab"}, "a key in pins is 97; a public key"),
        ({"identity": "x"}, "identity is no key; a SigningKey, as read_identity"),
        ({"agreement": 5}, "agreement is 5; an agreement, or the path of its file, was expected"),
        ({"phase_timeout": "x"}, "phase_timeout is 'x'; a number of seconds"),
        ({"phase_timeout": float("nan")}, "phase_timeout is nan"),
    ],
)
def test_options_that_cannot_work_are_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        SecureAggregation(FedAvg(), **options)


@pytest.mark.parametrize("timeout", ["x", 0, True, float("nan")])
def test_a_timeout_that_is_no_time_is_named(timeout: Any) -> None:
    secure = SecureAggregation(FedAvg(fraction_evaluate=0.0), sessions=RunSessions())
    with pytest.raises(ConfigurationError, match=f"timeout is {timeout!r}; a number of seconds above 0 was expected"):
        secure.start(ProcessGrid(add_one), ArrayRecord({"w": Array(np.zeros(3))}), num_rounds=1, timeout=timeout)


@pytest.mark.parametrize("options", [{"bounds": {"layers.*": 1.0}}, {"buffers": ["layers.*"]}])
def test_a_pattern_that_matches_no_array_is_refused_before_anything_is_asked(options: dict[str, Any]) -> None:
    def untouched(message: Message, context: Context) -> Message:
        raise AssertionError("nobody was to be asked")

    secure = SecureAggregation(FedAvg(fraction_evaluate=0.0), sessions=RunSessions(), **options)
    model = ArrayRecord({name: Array(np.zeros(3)) for name in ("layer.weight", "layer.bias", "w")})
    text = f"{next(iter(options))} has the pattern 'layers.*', which matches no array of the model; the nearest names"
    with pytest.raises(ConfigurationError, match=re.escape(text) + ".*'layer.bias'"):
        secure.start(ProcessGrid(untouched), model, num_rounds=1)
    assert not secure.rounds


def test_the_catalogue_is_searched_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    whole = catalog.build

    def build(name: str, *arguments: Any) -> Any:
        searched.append(name)
        return whole(name, *arguments)

    client._built.cache_clear()
    monkeypatch.setattr(catalog, "build", build)
    start(ProcessGrid(add_one), {"w": np.zeros(3)}, protocol="plain")
    assert searched == ["plain"]

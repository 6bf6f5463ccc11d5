"""The Flower glue without Flower's runtime: the real mod behind a grid that calls it in process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.task_identity import TaskIdentity

from fedsec import codec, flower
from fedsec.errors import ConfigurationError, PolicyError, RunFailed
from fedsec.flower import SecureAggregation, content_hash, secure_aggregation
from fedsec.party import PartyState
from fedsec.primitives.signing import SigningKey

App = Callable[[Message, Context], Message]


class ProcessGrid(Grid):
    """Five nodes that answer at once."""

    def __init__(self, app: App, nodes: int = 5, **node_config: Any) -> None:
        self.app = app
        self.contexts = {100 + n: Context(1, 100 + n, dict(node_config), RecordDict(), {}) for n in range(nodes)}
        self.reasons: list[str] = []

    run: Any = SimpleNamespace(run_id=77)

    def set_run(self, run: Any) -> None: ...

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise AssertionError

    def get_node_ids(self) -> Iterable[int]:
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise AssertionError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise AssertionError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        replies = []
        for message in messages:
            reply = secure_aggregation(message, self.contexts[message.metadata.dst_node_id], self.app)
            if reply.has_error():
                self.reasons.append(str(reply.error.reason))
            replies.append(reply)
        return replies


def add_one(message: Message, context: Context) -> Message:
    arrays = {name: Array(np.asarray(array.numpy() + 1)) for name, array in message.content["arrays"].items()}
    metrics = MetricRecord({"num-examples": 10 + context.node_id, "train_loss": 0.5})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower, "in_simulation", lambda: True)
    flower._SESSIONS.clear()
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # Flower's runtime sets them once


def start(grid: Grid, arrays: dict[str, Any], rounds: int = 3, protocol: str = "shamir", **inner: Any) -> Any:
    everyone = {"min_train_nodes": 5, "min_available_nodes": 5, "fraction_evaluate": 0.0, **inner}
    strategy = SecureAggregation(FedAvg(**everyone), protocol)
    model = ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})
    return strategy, strategy.start(grid, model, num_rounds=rounds, timeout=30)


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
        flower._SESSIONS.clear()
        grid = ProcessGrid(add_one, **config)
        with pytest.raises(Exception, match=r"parties answered"):
            start(grid, {"w": np.zeros(3)}, protocol="plain")
        assert grid.reasons and all("PolicyError" in reason for reason in grid.reasons)


def _keys(folder: Any, key: SigningKey) -> Any:
    file = folder / "keys"
    file.write_text(key.public.hex() + "\n")
    return file


def test_a_run_that_trained_nothing_is_an_error() -> None:
    def broken(message: Message, context: Context) -> Message:
        raise ValueError("patient 4711 has no glucose value")

    grid = ProcessGrid(broken)
    with pytest.raises(RunFailed, match=r"Enrol|no round of training succeeded.*ClientAppError: ValueError"):
        start(grid, {"w": np.zeros(3)}, rounds=2)
    assert not any("4711" in reason for reason in grid.reasons)


def test_a_sample_below_the_floor_is_refused_before_anything_is_asked() -> None:
    called: list[int] = []

    def counting(message: Message, context: Context) -> Message:
        called.append(context.node_id)
        return add_one(message, context)

    with pytest.raises(ConfigurationError, match="a cohort of 2 is below the floor of 3"):
        start(ProcessGrid(counting), {"w": np.zeros(3)}, fraction_train=0.4, min_train_nodes=2)
    assert not called


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a: a * np.nan, lambda a: a + np.inf, lambda a: a[:2], lambda a: a.reshape(3, 1),
        lambda a: a.astype(np.float32), lambda a: a > 0, lambda a: a + 1j,
    ],
)  # fmt: skip
def test_an_unusable_update_is_refused_at_its_hospital_and_told_by_class_alone(wrong: Any) -> None:
    def app(message: Message, context: Context) -> Message:
        reply = add_one(message, context)
        if context.node_id == 102:
            reply.content["arrays"]["w"] = Array(np.asarray(wrong(np.full(3, 0.123456))))
        return reply

    grid = ProcessGrid(app)
    strategy, result = start(grid, {"w": np.zeros(3)}, rounds=1)
    assert strategy.rounds[0].included == 4
    assert np.allclose(result.arrays["w"].numpy(), 1, atol=1e-3)
    assert grid.reasons == ["DataError"]


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
    SecureAggregation(inner).start(ProcessGrid(add_one), ArrayRecord({"w": Array(np.zeros(2))}), num_rounds=1)
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
    ],
)
def test_options_that_cannot_work_are_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        SecureAggregation(FedAvg(), **options)

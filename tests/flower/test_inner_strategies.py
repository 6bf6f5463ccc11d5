"""What stands inside a SecureAggregation and around it, and what is found before any wrong number is used."""

from __future__ import annotations

import copy
import logging
import math
import pickle
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy import FedAvg, Result, Strategy
from flwr.serverapp.strategy.strategy_utils import aggregate_metricrecords

from fedsec.errors import ConfigurationError, RunFailed
from fedsec.flower import SecureAggregation, linearity
from fedsec.flower.server import RunSessions
from tests.flower.process_grid import ProcessGrid
from tests.flower.test_flower_glue import add_one
from tests.tiers import slow

pytestmark = pytest.mark.usefixtures("simulated")
Aggregate = Callable[[list[RecordDict], str], MetricRecord]


def model() -> ArrayRecord:
    return ArrayRecord({"w": Array(np.zeros(3))})


def app(message: Message, context: Context) -> Message:
    """Trains by adding one; evaluates with metrics that differ by node."""
    if message.metadata.message_type == "train":
        return add_one(message, context)
    place = context.node_id - 99
    metrics = MetricRecord(
        {"num-examples": 10 * place, "loss": float(place), "squares": float(place**2), "bins": [0.5, 2.0]}
    )
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


class Grids(ProcessGrid):
    """Nodes that count who was asked for anything at all."""

    def __init__(self, nodes: int = 5) -> None:
        super().__init__(app, nodes)
        self.asked = 0

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        asked = list(messages)
        self.asked += len(asked)
        return super().send_and_receive(asked, timeout=timeout)


def secured(inner: Strategy, **options: Any) -> SecureAggregation:
    return SecureAggregation(inner, **{"protocol": "plain", "sessions": RunSessions(), **options})


class Patient(FedAvg):
    """A strategy with a `start` and attributes of its own."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"min_train_nodes": 5, "min_available_nodes": 5, "fraction_evaluate": 0.0, **settings})
        self.rounds = "its own"
        self.best = 0.0

    def start(
        self, grid: Grid, initial_arrays: ArrayRecord, num_rounds: int = 2, *rest: Any, patience: int = 0, **more: Any
    ) -> Result:
        self.patience = patience
        return super().start(grid, initial_arrays, num_rounds, *rest, **more)


def test_attributes_of_the_inner_strategy_are_read_and_set_there() -> None:
    secure = secured(Patient(fraction_train=0.5))
    assert secure.fraction_train == 0.5 and secure.weighted_by_key == "num-examples"
    secure.fraction_train = 0.75
    secure.best = 3.0
    assert isinstance(secure.inner, Patient) and secure.inner.fraction_train == 0.75 and secure.inner.best == 3.0
    assert "best" not in vars(secure)
    secure.clip_note = "new"
    assert secure.clip_note == "new" and not hasattr(secure.inner, "clip_note")
    assert secure.rounds == [] and secure.inner.rounds == "its own"
    secure.phase_timeout = 5.0
    assert not hasattr(secure.inner, "phase_timeout")
    with pytest.raises(AttributeError, match="fraction_trian"):
        _ = secure.fraction_trian


def test_start_takes_what_the_inner_start_takes_with_its_defaults() -> None:
    secure = secured(Patient())
    result = secure.start(Grids(), model(), patience=7)
    assert secure.patience == 7 and len(secure.rounds) == 2
    assert np.allclose(result.arrays["w"].numpy(), 2, atol=1e-3)
    secure = secured(Patient())
    secure.start(grid=Grids(), initial_arrays=model(), num_rounds=1, train_config=ConfigRecord({"rate": 0.1}))
    assert len(secure.rounds) == 1


class Direct(Strategy):
    """A strategy of Flower's base class alone, which averages."""

    def __init__(self) -> None:
        self.aggregated: list[int] = []

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        content = RecordDict({"arrays": arrays})
        return [Message(content, dst_node_id=node, message_type="train") for node in grid.get_node_ids()]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        (reply,) = replies
        self.aggregated.append(server_round)
        return reply.content["arrays"], None

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        return None

    def summary(self) -> None: ...


class Linear(Direct):
    linear = True


def test_a_strategy_of_flowers_base_class_runs_where_it_is_declared_linear() -> None:
    with pytest.raises(
        ConfigurationError, match=r"`linear = True` in class Direct, or SecureAggregation\(\.\.\., linear=True\)"
    ):
        secured(Direct())
    for secure in (secured(Direct(), linear=True), secured(Linear())):
        result = secure.start(Grids(), model(), num_rounds=2)
        assert np.allclose(result.arrays["w"].numpy(), 2, atol=1e-3)
        assert [outcome.round for outcome in secure.rounds] == [1, 2] and secure.aggregated == [1, 2]


def test_a_declaration_does_not_make_a_median_linear() -> None:
    class Median(flower.FedMedian):
        linear = True

    for inner in (Median(), flower.FedMedian()):
        with pytest.raises(ConfigurationError, match="cannot run over secure sums: it needs each client's update"):
            secured(inner, linear=True)
    with pytest.raises(ConfigurationError, match=r"is not a strategy of flwr\.serverapp"):
        secured(object(), linear=True)  # type: ignore[arg-type]


def test_a_subclass_of_the_wrapper_that_would_be_ignored_is_refused() -> None:
    class Mine(SecureAggregation):
        def aggregate_train(
            self, server_round: int, replies: Iterable[Message]
        ) -> tuple[ArrayRecord | None, MetricRecord | None]:
            return None, None

    with pytest.raises(ConfigurationError, match=r"Mine overrides aggregate_train, .* subclass of the inner strategy"):
        Mine(FedAvg())


AROUND: dict[str, Callable[[Strategy], Strategy]] = {
    "client fixed": lambda inner: flower.DifferentialPrivacyClientSideFixedClipping(inner, 1.0, 1.0, 5),
    "server fixed": lambda inner: flower.DifferentialPrivacyServerSideFixedClipping(inner, 1.0, 1.0, 5),
    "client adaptive": lambda inner: flower.DifferentialPrivacyClientSideAdaptiveClipping(inner, 0.1, 5),
    "server adaptive": lambda inner: flower.DifferentialPrivacyServerSideAdaptiveClipping(inner, 0.1, 5),
}


@pytest.mark.parametrize("kind", AROUND)
def test_noise_around_it_is_refused_before_any_client_is_asked(kind: str) -> None:
    outer, grid = AROUND[kind](secured(Patient())), Grids()
    with pytest.raises(ConfigurationError, match="must be the outermost one"):
        outer.start(grid, model(), num_rounds=1)
    assert grid.asked == 0
    with pytest.raises(ConfigurationError, match="cannot run over secure sums"):
        secured(AROUND[kind](FedAvg()))


def test_two_nodes_are_refused_with_what_to_set() -> None:
    grid = Grids(nodes=2)
    with pytest.raises(ConfigurationError) as refused:
        secured(FedAvg()).start(grid, model(), num_rounds=1)
    assert grid.asked == 0
    for word in (
        "a cohort of 2 is below the floor of 3",
        "set min_train_nodes=3 and min_evaluate_nodes=3",
        "fraction_train is 1.0",
        "fraction_evaluate is 1.0",
        "only 2 nodes are connected, and a secure sum needs at least 3: start more SuperNodes, in a simulation by",
        '`flwr run . --federation-config "num-supernodes=5',
    ):
        assert word in str(refused.value)


def test_half_of_four_in_training_is_refused_before_the_first_round() -> None:
    grid = Grids(nodes=4)
    with pytest.raises(
        ConfigurationError, match=r"FedAvg asks 2 clients to train, .* raise fraction_train .*; 4 nodes are"
    ):
        secured(FedAvg(fraction_train=0.5)).start(grid, model(), num_rounds=1)
    assert grid.asked == 0


def test_an_evaluation_of_too_few_is_skipped_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    secure = secured(FedAvg(fraction_evaluate=0.5))
    result = secure.start(Grids(nodes=4), model(), num_rounds=2)
    assert np.allclose(result.arrays["w"].numpy(), 2, atol=1e-3)
    assert [(outcome.stage, outcome.failure) for outcome in secure.rounds] == [("train", "")] * 2
    told = [
        one.getMessage() for one in caplog.records if one.levelno == logging.WARNING and "skipped" in one.getMessage()
    ]
    assert len(told) == 2 and all(
        "asks 2 clients to evaluate" in line and "min_evaluate_nodes=3" in line for line in told
    )


def test_too_few_after_a_round_that_succeeded_make_a_round_void() -> None:
    grid = Grids(nodes=4)

    class Shrinking(FedAvg):
        def configure_train(
            self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
        ) -> Iterable[Message]:
            self.fraction_train = 1.0 if server_round < 3 else 0.5
            return super().configure_train(server_round, arrays, config, grid)

    secure = secured(Shrinking(fraction_evaluate=0.0))
    result = secure.start(grid, model(), num_rounds=3)
    assert np.allclose(result.arrays["w"].numpy(), 2, atol=1e-3)
    assert "a cohort of 2 is below the floor of 3" in secure.rounds[2].failure


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_is_above_0(timeout: float) -> None:
    with pytest.raises(ConfigurationError, match=f"timeout is {timeout}; a number of seconds above 0"):
        secured(Patient()).start(Grids(), model(), num_rounds=1, timeout=timeout)


def values(replies: list[RecordDict], key: str) -> list[float]:
    return [float(reply["metrics"][key]) for reply in replies]


NEED_SINGLES: dict[str, tuple[Aggregate, str]] = {
    "max": (lambda replies, key: MetricRecord({"top": max(values(replies, "loss"))}), "gives 'top' = .* weighted mean"),
    "stdev": (
        lambda replies, key: MetricRecord({"spread": statistics.stdev(values(replies, "loss"))}),
        r"raises StatisticsError \(.*\) over their one weighted mean",
    ),
    "count": (lambda replies, key: MetricRecord({"clients": len(replies)}), "gives 'clients' = 4 .* and 1 over"),
    "unweighted": (
        lambda replies, key: MetricRecord({"loss": statistics.fmean(values(replies, "loss"))}),
        "gives 'loss' = ",
    ),
    "root": (
        lambda replies, key: MetricRecord({"root": statistics.fmean(map(math.sqrt, values(replies, "loss")))}),
        "gives 'root' = ",
    ),
    "weighted root": (
        lambda replies, key: MetricRecord(
            {"root": float(np.average(np.sqrt(values(replies, "loss")), weights=values(replies, key)))}
        ),
        "gives 'root' = ",
    ),
    "a key that counts": (
        lambda replies, key: MetricRecord({f"loss of {len(replies)}": 1.0}),
        "gives 'loss of 1' over their one weighted mean only",
    ),
    "longest list": (
        lambda replies, key: MetricRecord({"all": values(replies, "loss")}),
        "gives 'all' = a list of 4 over 4 made-up replies and a list of 1",
    ),
    "another record": (
        lambda replies, key: MetricRecord({"loss": float(replies[0]["mine"]["loss"])}),
        r"raises KeyError \(.*\) over 4 made-up replies\. The one reply has its metrics in the record \"metrics\"",
    ),
    "text": (lambda replies, key: "none", "returns a str"),  # type: ignore[return-value, dict-item]
}


@pytest.mark.parametrize("kind", ["text", *slow(kind for kind in NEED_SINGLES if kind != "text")])
def test_a_function_that_needs_single_replies_ends_the_run_before_its_result_is_used(kind: str) -> None:
    function, text = NEED_SINGLES[kind]
    used: list[int] = []

    class Watched(Patient):
        def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
            used.append(server_round)
            return super().aggregate_evaluate(server_round, replies)

    settings = {"fraction_evaluate": 1.0, "min_evaluate_nodes": 5, "evaluate_metrics_aggr_fn": function}
    with pytest.raises(ConfigurationError, match=rf"Watched\.evaluate_metrics_aggr_fn {text}"):
        secured(Watched(**settings)).start(Grids(), model(), num_rounds=1)
    assert not used
    if kind in ("max", "count"):
        result = secured(Watched(**settings), linear=True).start(Grids(), model(), num_rounds=1)
        assert used == [1] and result.evaluate_metrics_clientapp[1]


def test_one_for_training_is_tried_too() -> None:
    function = NEED_SINGLES["count"][0]
    with pytest.raises(ConfigurationError, match=r"Patient\.train_metrics_aggr_fn gives 'clients'"):
        secured(Patient(train_metrics_aggr_fn=function)).start(Grids(), model(), num_rounds=1)


@pytest.mark.parametrize("secure", [False, True])
def test_a_function_that_returns_nothing_adds_nothing(secure: bool) -> None:
    settings = {
        "fraction_evaluate": 1.0,
        "min_evaluate_nodes": 5,
        "evaluate_metrics_aggr_fn": lambda replies, key: None,
    }
    grid = ProcessGrid(app)
    if not secure:
        grid.mod = lambda message, context, last: last(message, context)
    strategy = secured(Patient(**settings)) if secure else Patient(**settings)
    result = strategy.start(grid, model(), num_rounds=1)
    assert result.evaluate_metrics_clientapp == {} and result.arrays


def test_a_method_called_outside_of_start_is_refused_with_start() -> None:
    secure, grid = secured(Patient()), Grids()
    with pytest.raises(ConfigurationError, match=r"configure_\.\.\. methods was called directly: .* its `start`"):
        secure.configure_train(1, model(), ConfigRecord(), grid)
    assert grid.asked == 0


def test_a_configuration_of_each_client_is_refused_with_the_cure() -> None:
    class Each(Patient):
        def configure_train(
            self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
        ) -> Iterable[Message]:
            for node in grid.get_node_ids():
                content = RecordDict({"arrays": arrays, "config": ConfigRecord({"rate": 0.1 * node})})
                yield Message(content, dst_node_id=node, message_type="train")

    grid = Grids()
    with pytest.raises(ConfigurationError, match=r"Each sends clients different models .* its node id \(context"):
        secured(Each()).start(grid, model(), num_rounds=1)
    assert grid.asked == 0


class Copying(Patient):
    """Copies and pickles itself where it aggregates, as one that keeps checkpoints does."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        for one in (copy.deepcopy(self), pickle.loads(pickle.dumps(self))):  # noqa: S301 - its own pickle
            assert one.fraction_train == self.fraction_train and vars(one).keys() == vars(self).keys()
            assert one.aggregate_evaluate.__self__ is one
        return super().aggregate_train(server_round, replies)


def test_a_strategy_may_copy_and_pickle_itself_while_it_aggregates() -> None:
    secure = secured(Copying())
    assert np.allclose(secure.start(Grids(), model(), num_rounds=2).arrays["w"].numpy(), 2, atol=1e-3)
    assert secure.trained and not any(one.failure for one in secure.rounds)
    assert "aggregate_train" not in vars(secure.inner)


def test_a_subclass_that_reads_records_by_name_is_told_which_there_are() -> None:
    class Reading(Patient):
        def aggregate_train(
            self, server_round: int, replies: Iterable[Message]
        ) -> tuple[ArrayRecord | None, MetricRecord | None]:
            replies = list(replies)
            _ = [reply.content["train_metrics"] for reply in replies]
            return super().aggregate_train(server_round, replies)

    with pytest.raises(RunFailed, match=r"KeyError.*the metrics .*, in the record 'metrics', and arrays in 'arrays'"):
        secured(Reading()).start(Grids(), model(), num_rounds=1)


@pytest.mark.parametrize(("name", "value"), [("ledger", 3), ("on_round", "log"), ("sessions", None), ("ledger", [])])
def test_an_option_of_a_wrong_type_is_refused_when_constructed(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name} is .* expected$"):
        secured(Patient(), **{name: value})


class Named(Patient):
    """A strategy whose clients register their functions under a name: `@app.train("fit")`."""

    def _construct_messages(self, record: RecordDict, node_ids: list[int], message_type: str) -> Iterable[Message]:
        return super()._construct_messages(record, node_ids, f"{message_type}.fit")


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_functions_of_stages_with_a_name_are_tried_too(stage: str) -> None:
    def named(message: Message, context: Context) -> Message:
        kind, _, name = message.metadata.message_type.partition(".")
        assert name == "fit"
        return add_one(message, context) if kind == "train" else app(message, context)

    settings = {f"{stage}_metrics_aggr_fn": NEED_SINGLES["count"][0], "fraction_evaluate": 1.0, "min_evaluate_nodes": 5}
    with pytest.raises(ConfigurationError, match=rf"Named\.{stage}_metrics_aggr_fn gives 'clients'"):
        secured(Named(**settings)).start(ProcessGrid(named), model(), num_rounds=1)
    result = secured(Named(fraction_evaluate=1.0)).start(ProcessGrid(named), model(), num_rounds=2)
    assert np.allclose(result.arrays["w"].numpy(), 2, atol=1e-3) and len(result.evaluate_metrics_clientapp) == 2


def test_a_metric_that_comes_later_is_tried_when_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[set[str]] = []
    check = linearity.check

    def counted(name: str, function: Aggregate, metrics: Any, weight_key: str) -> None:
        tried.append(set(metrics))
        check(name, function, metrics, weight_key)

    monkeypatch.setattr(linearity, "check", counted)

    def later(message: Message, context: Context) -> Message:
        reply = app(message, context)
        config: Any = message.content["config"]
        if message.metadata.message_type == "evaluate" and config["server-round"] > 2:
            reply.content["metrics"]["auc"] = 0.1 * (context.node_id - 99)  # type: ignore[index]
        return reply

    def function(replies: list[RecordDict], key: str) -> MetricRecord:
        mean = aggregate_metricrecords(replies, key)
        if "auc" in mean:
            mean["auc"] = max(values(replies, "auc"))
        return mean

    def values(replies: list[RecordDict], name: str) -> list[float]:
        return [float(reply["metrics"][name]) for reply in replies]  # type: ignore[arg-type]

    settings = {"fraction_evaluate": 1.0, "min_evaluate_nodes": 5, "evaluate_metrics_aggr_fn": function}
    secure = secured(Patient(**settings))
    with pytest.raises(ConfigurationError, match="gives 'auc' ="):
        secure.start(ProcessGrid(later), model(), num_rounds=3)
    assert [one.stage for one in secure.rounds].count("evaluate") == 2
    known = {"loss", "squares", "bins"}
    # Once for Flower's own function of training, and once for each set of names that an evaluation brings.
    assert [one for one in tried if "loss" in one and "squares" in one] == [known, {*known, "auc"}]


def deviation(replies: list[RecordDict], key: str) -> MetricRecord:
    """A deviation from means of squares, which one weighted mean gives as well as many replies."""
    mean = aggregate_metricrecords(replies, key)
    total = sum(float(reply["metrics"][key]) for reply in replies)
    loss, squares = float(mean["loss"]), float(mean["squares"])  # type: ignore[arg-type]
    spread = math.sqrt(squares - loss**2)
    return MetricRecord({"loss": loss, "spread": spread, "examples": total, "bins": mean["bins"]})


def test_a_function_of_means_and_totals_is_used_as_it_is() -> None:
    settings = {"fraction_evaluate": 1.0, "min_evaluate_nodes": 5, "evaluate_metrics_aggr_fn": deviation}
    result = secured(Patient(**settings)).start(Grids(), model(), num_rounds=2)
    weights = np.array([10, 20, 30, 40, 50])
    places = np.arange(1.0, 6.0)
    loss, squares = np.average(places, weights=weights), np.average(places**2, weights=weights)
    for got in result.evaluate_metrics_clientapp.values():
        assert got["examples"] == 150
        assert np.allclose([got["loss"], got["spread"]], [loss, np.sqrt(squares - loss**2)], rtol=1e-6)  # type: ignore[list-item]


def test_a_set_up_that_fails_is_a_failed_run() -> None:
    grid = ProcessGrid(app, **{"fedsec-floor": 6})
    with pytest.raises(RunFailed, match=r"the set-up failed: phase Enrol: 0 of 5 .* PolicyError: floor is 3"):
        secured(Patient()).start(grid, model(), num_rounds=1)


@pytest.mark.parametrize("share", [0.4, 0.75])
def test_a_function_with_a_threshold_is_found_wherever_the_mean_lies(share: float) -> None:
    """Replies that lie close together would all be on the threshold's same side."""

    def above(replies: list[RecordDict], weight_key: str) -> MetricRecord:
        values = [float(reply["metrics"]["auc"]) for reply in replies]  # type: ignore[arg-type]
        return MetricRecord({"share": sum(value > 0.8 for value in values) / len(values)})

    with pytest.raises(ConfigurationError, match="gives 'share'"):
        linearity.check("a function", above, {"auc": share}, "num-examples")

"""What users' apps do, as one table: each case gives over secure sums what plain FedAvg gives. docs/compatibility.md.

Clients reply with arrays that depend on client, round and the model received; the run is made twice, with the mod and
without. What the two may differ by is computed: half a step of the fixed point for each client and round, and the
roundings of the arrays' own dtype. Strategies sum integers exactly, which their conformance suite tests: `plain`
stands for all of them here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy import FedAvg, Result

from fedsec import strategy
from fedsec.flower import SecureAggregation
from fedsec.flower.server import RunSessions
from tests.flower.process_grid import ProcessGrid

pytestmark = pytest.mark.usefixtures("simulated")
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "compatibility.md"
PROTOCOL = "plain"
BITS = strategy(PROTOCOL)().value_bits
Arrays = dict[str, np.ndarray[Any, Any]]
Reply = Callable[[Arrays, int, int], Mapping[str, Any]]


def draws(place: int, number: int, name: str = "") -> np.random.Generator:
    """The chance of one client in one round, for one array."""
    return np.random.default_rng([place, number, *name.encode()])


def drift(received: Arrays, place: int, number: int, size: float = 0.1) -> Arrays:
    """Every array moves by about `size`, or a whole number, and keeps its dtype."""
    moved = {}
    for name, old in received.items():
        change = draws(place, number, name).normal(0, size, old.shape) if old.dtype.kind == "f" else 7
        moved[name] = np.asarray(old + change).astype(old.dtype)
    return moved


@dataclass(frozen=True)
class Case:
    """An app: the model to start from, what clients reply, and by how much more than it rounding may grow."""

    model: Arrays
    reply: Reply = drift
    inner: Callable[..., FedAvg] = FedAvg
    weight: Callable[[int], float] = lambda place: 10 + 7 * place
    metrics: Callable[[int], Mapping[str, Any]] = lambda place: {"loss": 0.5 + place}
    options: Mapping[str, Any] = field(default_factory=dict)
    growth: float = 1.0
    off: float = 0.0
    """What else the two may differ by, in each round."""
    same_dtype: bool = True
    nodes: int = 4
    rounds: int = 2


def net(dtype: Any = np.float32) -> Arrays:
    rng = np.random.default_rng(5)
    return {"w": rng.normal(0, 1, (4, 3)).astype(dtype), "b": rng.normal(0, 1, 3).astype(dtype)}


def batch_norm(received: Arrays, place: int, number: int) -> Arrays:
    """Running statistics of raw measurements, some near a hundred thousand and some near zero."""
    rng, moved = draws(place, number), drift({"w": received["w"]}, place, number)
    seen = {"n.running_mean": rng.normal(800, 300, 4), "n.running_var": np.array([3e5, 1.0, 1e-6, 1e-12])}
    for name, values in seen.items():
        moved[name] = (0.9 * received[name] + 0.1 * values * (1 + place)).astype(np.float32)
    moved["n.num_batches_tracked"] = np.asarray(received["n.num_batches_tracked"] + 28)
    return moved


def embedding(received: Arrays, place: int, number: int) -> Arrays:
    """Each client has seen two words of two hundred."""
    table = received["e"].copy()
    table[[place, 50 + number]] += draws(place, number).normal(0, 0.3, (2, 4)).astype(np.float32)
    return {"e": table}


def as_dtype(dtype: str, place: int | None = None) -> Reply:
    """Replies in another dtype, at one client or at all."""

    def reply(received: Arrays, at: int, number: int) -> Arrays:
        moved = drift(received, at, number)
        return {name: values.astype(dtype) if place in (None, at) else values for name, values in moved.items()}

    return reply


def scaled(factor: float) -> Reply:
    """Updates of another size."""

    return lambda received, place, number: drift(received, place, number, factor)


def counts(received: Arrays, place: int, number: int) -> Arrays:
    """A counter that grows by another number at each client."""
    return {**drift({"w": received["w"]}, place, number), "seen": np.asarray(received["seen"] + 3 * place)}


class OneRound(FedAvg):
    """A subclass that looks at the aggregate, and needs no single reply."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        arrays, metrics = super().aggregate_train(server_round, replies)
        assert arrays is not None
        return ArrayRecord({name: Array(array.numpy() * np.float32(0.5)) for name, array in arrays.items()}), metrics


def zero_d() -> Arrays:
    return {"w": np.ones(2, np.float32), "scale": np.array(0.25, np.float64), "none": np.zeros((0, 3), np.float32)}


NORM = {
    "w": np.ones((4, 2), np.float32),
    "n.running_mean": np.zeros(4, np.float32),
    "n.running_var": np.ones(4, np.float32),
    "n.num_batches_tracked": np.array(0),
}
ADAPTIVE = {"growth": 200.0}
"""eta / tau is 50: by so much, adaptive strategies amplify what two means differ by where second moments are small."""
CASES: dict[str, Case] = {
    "batch-norm": Case(NORM, batch_norm),
    "layer-norm": Case({"ln.weight": np.ones(8, np.float32), "ln.bias": np.zeros(8, np.float32), **net()}),
    "group-norm": Case({"gn.weight": np.ones((4, 1, 1), np.float32), "gn.bias": np.zeros((4, 1, 1), np.float32)}),
    "embedding": Case({"e": np.zeros((200, 4), np.float32)}, embedding),
    "equal-counters": Case({**net(), "steps": np.array([7, 0])}),
    "unequal-counters": Case({**net(), "seen": np.array(0)}, counts, off=0.5),
    "whole-model-replied-as-floats": Case({"w": np.arange(6)}, as_dtype("f8"), off=0.5),
    "float64": Case(net(np.float64)),
    "float16": Case(net(np.float16)),
    "server-float64-replies-float32": Case(net(np.float64), as_dtype("f4"), same_dtype=False),
    "server-float32-replies-float64": Case(net(), as_dtype("f8"), same_dtype=False),
    "without-dimensions-and-empty": Case(zero_d()),
    "big-endian": Case(net(), as_dtype(">f4", place=1)),
    "fortran-order": Case(
        {"w": np.asfortranarray(net()["w"])},
        lambda received, *at: {name: np.asfortranarray(array) for name, array in drift(received, *at).items()},
    ),
    "from-nothing": Case({}, lambda received, *at: drift(received or net(), *at)),
    "a-subset": Case(
        {**net(), "own": np.full(2, 3.0)},
        lambda received, *at: drift({name: received[name] for name in ("w", "b")}, *at),
    ),
    "fractional-weights": Case(net(), weight=lambda place: 12.5 + place / 4),
    "one-large-hospital": Case(net(), weight=lambda place: 12_000 if place == 1 else 100),
    "tiny-updates": Case(net(np.float64), scaled(1e-7)),
    "huge-updates": Case(net(), scaled(1e4)),
    "unequal-updates": Case(net(), lambda received, place, number: drift(received, place, number, 10.0**-place)),
    "metric-lists": Case(net(), metrics=lambda place: {"loss": 0.1 * place, "bins": [0.25 * place, 3.0, -1e-3]}),
    "summed-loss": Case(net(), metrics=lambda place: {"loss": 3.2e6 + place}),
    "FedAvgM": Case(net(), inner=lambda **kw: flower.FedAvgM(server_learning_rate=0.7, server_momentum=0.9, **kw)),
    "FedProx": Case(net(), inner=lambda **kw: flower.FedProx(proximal_mu=0.5, **kw)),
    "FedAdam": Case(net(), inner=lambda **kw: flower.FedAdam(eta=0.05, **kw), **ADAPTIVE),
    "FedYogi": Case(net(), inner=lambda **kw: flower.FedYogi(eta=0.05, **kw), **ADAPTIVE),
    "FedAdagrad": Case(net(), inner=lambda **kw: flower.FedAdagrad(eta=0.05, **kw), **ADAPTIVE),
    "FedAdam-replies-float32": Case(
        net(), as_dtype("f4"), inner=lambda **kw: flower.FedAdam(eta=0.05, **kw), **ADAPTIVE
    ),
    "a-subclass": Case(net(), inner=OneRound),
    "several-rounds": Case(net(), rounds=6),
}


class Nodes(ProcessGrid):
    """The clients of a case; `largest` is the largest change and the largest value that any of them replied."""

    def __init__(self, case: Case, secure: bool) -> None:
        super().__init__(self.answer, case.nodes)
        self.case, self.largest = case, (0.0, 0.0)
        if not secure:
            self.mod = lambda message, context, app: app(message, context)

    def answer(self, message: Message, context: Context) -> Message:
        place, number = context.node_id - 100, int(message.content["config"]["server-round"])
        weights = {"num-examples": self.case.weight(place)}
        if message.metadata.message_type == "evaluate":
            return Message(RecordDict({"m": MetricRecord({**self.case.metrics(place), **weights})}), reply_to=message)
        received = {name: array.numpy() for name, array in message.content["arrays"].items()}
        replied = {name: np.asarray(values) for name, values in self.case.reply(received, place, number).items()}
        for name, values in replied.items():
            if values.size:
                change = float(np.abs(values - np.asarray(received.get(name, 0.0), np.float64)).max())
                self.largest = max(self.largest[0], change), max(self.largest[1], float(np.abs(values).max()))
        content = {
            "arrays": ArrayRecord({name: Array(values) for name, values in replied.items()}),
            "metrics": MetricRecord({**self.case.metrics(place), **weights}),
        }
        return Message(RecordDict(content), reply_to=message)


def run(case: Case, secure: bool) -> tuple[Result, Nodes, Any]:
    """A case from start to end, over secure sums or in plain Flower."""
    least = ("min_train_nodes", "min_evaluate_nodes", "min_available_nodes")
    inner: Any = case.inner(**dict.fromkeys(least, case.nodes))
    made = SecureAggregation(inner, PROTOCOL, sessions=RunSessions(), **case.options) if secure else inner
    grid = Nodes(case, secure)
    start = ArrayRecord({name: Array(values) for name, values in case.model.items()})
    return made.start(grid, start, num_rounds=case.rounds), grid, made


FAST = ("batch-norm", "float16", "server-float64-replies-float32", "big-endian", "a-subset", "FedAdam")
"""Cases of the fast tier."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else pytest.mark.versions) for name in CASES]
)
def test_as_plain(name: str) -> None:
    case = CASES[name]
    plain, clients, _ = run(case, secure=False)
    found, _, secure = run(case, secure=True)
    assert [(one.included, one.unusable, one.clipped, one.failure) for one in secure.rounds] == [
        (case.nodes, 0, 0, "")
    ] * (2 * case.rounds)
    change, value = clients.largest
    assert change > 0
    # A step is at most the scale over 2^(bits - 1), and the scale at most 64 times the largest weighted change.
    steps = case.nodes / 2 * 64 * change / 2 ** (BITS - 1)
    assert plain.arrays.keys() <= found.arrays.keys()
    for key, array in plain.arrays.items():
        expected, got = array.numpy(), found.arrays[key].numpy()
        assert got.shape == expected.shape and (got.dtype == expected.dtype or not case.same_dtype), key
        kind = min(expected.dtype, got.dtype, key=lambda each: each.itemsize)
        rounding = 2 * case.nodes * float(np.finfo(kind if kind.kind == "f" else np.float64).eps) * value
        allowed = case.rounds * (case.growth * (steps + rounding) + case.off)
        assert expected.size == 0 or np.abs(got.astype(np.float64) - expected).max() <= allowed, key
        assert "running_var" not in key or got.min() >= 0
    for side in ("train_metrics_clientapp", "evaluate_metrics_clientapp"):
        for number, metrics in getattr(plain, side).items():
            for key, metric in metrics.items():
                assert getattr(found, side)[number][key] == pytest.approx(metric, rel=1e-9, abs=1e-9), (side, key)


def test_a_list_of_arrays_that_starts_from_nothing_keeps_its_order() -> None:
    """Flower names them "0", "1", ... "11", and gives them back in the order in which they stand."""
    case = Case({}, lambda received, *at: received or {str(n): np.full(n + 1, float(n)) for n in range(12)}, rounds=2)
    found, _, _ = run(case, secure=True)
    arrays = found.arrays.to_numpy_ndarrays()
    assert [array.shape for array in arrays] == [(n + 1,) for n in range(12)]
    assert np.allclose([array[0] for array in arrays], range(12), atol=1e-4)


def test_what_no_client_touched_keeps_its_bits() -> None:
    found, _, _ = run(CASES["embedding"], secure=True)
    table = found.arrays["e"].numpy()
    touched = [0, 1, 2, 3, 51, 52]
    assert np.all(np.abs(table[touched]).max(axis=1) > 0.01)
    assert not np.any(np.delete(table, touched, axis=0))
    kept, _, _ = run(CASES["a-subset"], secure=True)
    assert kept.arrays["own"].numpy().tolist() == [3.0, 3.0]


def grows(received: Arrays, place: int, number: int) -> Arrays:
    """A counter without dimensions, under a name that says nothing, that grows by 28 beside small changes."""
    return {**drift({"w": received["w"]}, place, number), "count[0]": np.asarray(received["count[0]"] + 28)}


@pytest.mark.parametrize("clip", [None, 4.0])
def test_a_counter_of_any_name_counts_in_every_round(clip: float | None) -> None:
    """Flower hands it out as a float from the second round on; it is a value still, and no change to be clipped."""
    start = {**net(), "count[0]": np.array(0)}
    found, _, secure = run(Case(start, grows, options={"clip": clip, "buffers": ["b"]}, rounds=3), secure=True)
    assert float(found.arrays["count[0]"].numpy()) == 84.0
    assert [one.clipped for one in secure.rounds] == [0] * 6


def test_a_counter_counts_in_a_model_that_starts_from_nothing() -> None:
    """Its first replies say that it holds integers; every later round sends it as a value."""

    def reply(received: Arrays, place: int, number: int) -> Mapping[str, Any]:
        steps, w = received.get("steps", np.array(0)), received.get("w", np.zeros(2))
        return {"steps": np.asarray(steps + 28).astype(np.int64), "w": w + 0.1 * place}

    case = Case({}, reply, rounds=4, nodes=5)
    found, _, secure = run(case, secure=True)
    assert not any(one.failure or one.clipped for one in secure.rounds)
    assert float(found.arrays["steps"].numpy()) == 4 * 28
    assert [one.included for one in secure.rounds] == [5] * 8


def test_a_model_from_nothing_has_the_dtype_of_the_majority() -> None:
    """Nobody has said what it is yet, so whose arrays are of another dtype is left out once, and named."""

    def reply(received: Arrays, place: int, number: int) -> Mapping[str, Any]:
        return {"w": received.get("w", np.zeros(2)).astype(np.float64 if place == 2 else np.float32) + 1}

    found, _, secure = run(Case({}, reply, rounds=2, nodes=5), secure=True)
    assert [one.included for one in secure.rounds if one.stage == "train"] == [4, 5]
    assert any("'w'" in reason for one in secure.rounds for _, _, reason in one.incidents)
    assert np.allclose(found.arrays["w"].numpy(), 2) and found.arrays["w"].dtype == "float32"


def test_a_model_with_integers_after_a_question_without_a_model() -> None:
    case = Case({**net(), "count[0]": np.array(0)}, grows, metrics=lambda place: {})
    inner = FedAvg(min_train_nodes=4, min_available_nodes=4, fraction_evaluate=0.0)
    secure, grid = SecureAggregation(inner, PROTOCOL, sessions=RunSessions()), Nodes(case, secure=True)
    grid.app = lambda message, context: (
        Message(RecordDict({"m": MetricRecord({"num-examples": 10, "age": 60.0})}), reply_to=message)
        if message.metadata.message_type == "query"
        else grid.answer(message, context)
    )
    assert secure.collect(grid, "query") == ({"age": 60.0}, 40)
    start = ArrayRecord({name: Array(values) for name, values in case.model.items()})
    assert float(secure.start(grid, start, num_rounds=2).arrays["count[0]"].numpy()) == 56.0


def test_an_integer_model_is_rounded_where_plain_fedavg_makes_floats_of_it() -> None:
    case = Case({"seen": np.array(0)}, lambda received, place, number: {"seen": np.array(3 * place)}, rounds=1)
    plain, _, _ = run(case, secure=False)
    found, _, _ = run(case, secure=True)
    exact = np.average([0, 3, 6, 9], weights=[10, 17, 24, 31])
    assert float(plain.arrays["seen"].numpy()) == pytest.approx(exact)
    assert float(found.arrays["seen"].numpy()) == round(exact)


@pytest.mark.parametrize(("value", "text"), [(1e6, "raise"), (4.5, "raise")])
def test_a_clip_that_is_named_scales_larger_updates_down_and_says_so(value: float, text: str) -> None:
    model = {"w": np.zeros(3)}
    case = Case(model, lambda received, *at: {"w": received["w"] + value}, options={"clip": 4.0}, rounds=1)
    found, _, secure = run(case, secure=True)
    assert np.allclose(found.arrays["w"].numpy(), 4, rtol=1e-4)
    assert f"4 of 4 hospitals' updates were scaled down: {text} clip" in secure.rounds[0].warnings[0]


@pytest.mark.parametrize("kind", ["nan", "missing"])
def test_a_metric_that_one_client_has_not(kind: str) -> None:
    """Plain FedAvg's mean is NaN, or there is none; here the others' updates are not lost for it."""

    def metrics(place: int) -> Mapping[str, Any]:
        if place == 2:
            return {"loss": 1.0, "auc": float("nan")} if kind == "nan" else {"loss": 1.0}
        return {"loss": 1.0, "auc": 0.75}

    case = Case(net(), metrics=metrics, options={"metric_ranges": {"auc": (0.0, 1.0)}}, nodes=5)
    found, _, secure = run(case, secure=True)
    assert all(not one.failure for one in secure.rounds)
    if kind == "missing":
        assert {one.included for one in secure.rounds} == {4}
        assert "auc" in str(secure.rounds[0].incidents)
        assert all(metrics["auc"] == pytest.approx(0.75) for metrics in found.train_metrics_clientapp.values())
    else:
        assert {one.included for one in secure.rounds} == {5}
        weights = np.array([10 + 7 * place for place in range(5)])
        expected = float(np.average([0.75, 0.75, 0.5, 0.75, 0.75], weights=weights))
        assert found.train_metrics_clientapp[1]["auc"] == pytest.approx(expected)
        assert any("'auc' could not be computed by 1 of 5" in text for text in secure.rounds[0].warnings)


def test_a_metric_that_one_client_lacks_once_costs_that_client_this_mean_alone() -> None:
    asked: list[int] = []

    def metrics(place: int) -> Mapping[str, Any]:
        asked.extend([place] * (place == 2))
        return {"loss": 1.0} if place == 2 and len(asked) == 1 else {"loss": 1.0, "auc": 0.75}

    _, _, secure = run(Case(net(), metrics=metrics, nodes=5, rounds=3), secure=True)
    assert [one.included for one in secure.rounds] == [4, 5, 5, 5, 5, 5]
    ((_, party, reason),) = secure.rounds[0].incidents
    assert party == 3 and "metrics missing: 'auc'" in reason
    assert not any(one.incidents for one in secure.rounds[1:])


@pytest.mark.parametrize("dtype", ["bfloat16", "posit16"])
def test_a_dtype_that_numpy_does_not_know_costs_its_hospital_alone(dtype: str) -> None:
    """NumPy knows bfloat16 where another package, such as ONNX, has told it of it."""
    grid = ProcessGrid(lambda message, context: Message(RecordDict(), reply_to=message))

    def app(message: Message, context: Context) -> Message:
        values = Array(np.ones(3, np.float32))
        if context.node_id == 102:
            values = Array(dtype, (3,), "numpy.ndarray", values.data)
        metrics = MetricRecord({"num-examples": 10})
        return Message(RecordDict({"a": ArrayRecord({"w": values}), "m": metrics}), reply_to=message)

    grid.app = app
    inner = FedAvg(min_train_nodes=5, min_available_nodes=5, fraction_evaluate=0.0)
    secure = SecureAggregation(inner, PROTOCOL, sessions=RunSessions())
    secure.start(grid, ArrayRecord({"w": Array(np.zeros(3, np.float32))}), num_rounds=1)
    assert secure.rounds[0].included == 4
    told = f"array 'w' has dtype {dtype}, which NumPy does not know"
    assert dtype == "bfloat16" or any(told in reason for reason in grid.reasons)


@pytest.mark.slow
def test_flower_itself_makes_no_array_of_bfloat16() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="BFloat16"):
        Array(torch.zeros(3, dtype=torch.bfloat16))


def test_flower_itself_drops_the_mask_of_an_array() -> None:
    masked = np.ma.array([0.5, 4000.0], mask=[False, True])
    assert Array(masked).numpy().tolist() == [0.5, 4000.0]
    assert not isinstance(Array(masked).numpy(), np.ma.MaskedArray)


ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<outcome>[^|]+) \| (?P<tests>[^|]+) \|$", re.MULTILINE)
NODE = re.compile(r"`([\w/]+\.py::[\w\[\]. -]+)`")


def rows() -> dict[str, list[str]]:
    """Of each row of the page's tables, the tests that it names."""
    found = {row["what"]: NODE.findall(row["tests"]) for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))}
    return {what: tests for what, tests in found.items() if what not in ("Your app", "---")}


def test_every_row_of_the_page_names_a_test_and_every_case_has_a_row() -> None:
    assert len(rows()) > 40
    assert [what for what, tests in rows().items() if not tests] == []
    named = {test for tests in rows().values() for test in tests}
    assert {f"flower/test_compatibility.py::test_as_plain[{name}]" for name in CASES} <= named


@pytest.mark.slow
def test_every_test_that_the_page_names_is_collected() -> None:
    named = {f"tests/{test}" for tests in rows().values() for test in tests}
    files = sorted({test.partition("::")[0] for test in named})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-m", "", "-p", "no:cacheprovider"]
    result = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    collected = set(result.stdout.splitlines())
    collected |= {line.partition("[")[0] for line in collected}
    assert result.returncode == 0, result.stdout[-2000:]
    assert sorted(named - collected) == []

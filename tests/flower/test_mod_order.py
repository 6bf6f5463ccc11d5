"""Mods before ours see no arrays, so they are refused by name before a row is read; those after it do their work."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

import flwr.client.mod.utils
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod, adaptiveclipping_mod, arrays_size_mod, fixedclipping_mod, message_size_mod
from flwr.serverapp.strategy import FedAvg

from fedsec.errors import RunFailed
from fedsec.flower import SecureAggregation, mod_order, secure_aggregation
from fedsec.flower.server import RunSessions
from tests.flower.process_grid import ProcessGrid
from tests.flower.test_flower_glue import add_one

pytestmark = pytest.mark.usefixtures("simulated")


def halve(message: Message, context: Context, call_next: Any, factor: float = 0.5) -> Message:
    """A hospital's own mod: halves every array of a reply, and does nothing where there is none."""
    reply: Message = call_next(message, context)
    for record in reply.content.array_records.values() if reply.has_content() else ():
        for name, array in record.items():
            record[name] = Array(factor * array.numpy())
    return reply


class Halving:
    """The same, as an object and as its method."""

    def __call__(self, message: Message, context: Context, call_next: Any) -> Message:
        return halve(message, context, call_next)

    def halve(self, message: Message, context: Context, call_next: Any) -> Message:
        return halve(message, context, call_next)


def timed(message: Message, context: Context, call_next: Any) -> Message:
    """A mod that needs no arrays."""
    reply: Message = call_next(message, context)
    return reply


def logged(level: int, message: Message, context: Context, call_next: Any) -> Message:
    """One that says so of itself."""
    reply: Message = call_next(message, context)
    return reply


logged.needs_arrays = False  # type: ignore[attr-defined]


def sent(function: Any) -> Any:
    """A chain of mods as Ray sends it to a worker: nested functions are copies, whose code is another object."""
    if not isinstance(function, FunctionType) or "<locals>" not in function.__qualname__:
        return function
    cells = tuple(CellType(sent(cell.cell_contents)) for cell in function.__closure__ or ())
    return FunctionType(function.__code__.replace(), function.__globals__, closure=cells)


def trained(everywhere: list[Any], training: list[Any]) -> tuple[float, int]:
    """What one round makes of a model of zeros to which each client adds one, and how often clients were called."""
    called: list[int] = []
    client = ClientApp(mods=everywhere)

    @client.train(mods=training)
    def train(message: Message, context: Context) -> Message:
        called.append(context.node_id)
        return add_one(message, context)

    grid, copied = ProcessGrid(add_one, nodes=4), sent(client._registered_funcs["train.default"])
    assert copied.__code__ is not client._registered_funcs["train.default"].__code__
    turns = itertools.cycle((client, copied))
    grid.mod = lambda message, context, _: next(turns)(message, context)
    secure = SecureAggregation(FedAvg(fraction_evaluate=0.0), "plain", sessions=RunSessions())
    try:
        result = secure.start(grid, ArrayRecord({"w": Array(np.zeros(3))}), num_rounds=1)
    except RunFailed:
        assert not called, "rows were read"
        raise
    return float(result.arrays["w"].numpy()[0]), len(called)


NOISE = LocalDpMod(clipping_norm=1.0, sensitivity=1.0, epsilon=1.0, delta=0.5)
SILENT: list[tuple[str, Any]] = [
    ("halve", halve),
    ("partial(halve, ...)", functools.partial(halve, factor=0.25)),
    ("Halving(...)", Halving()),
    ("halve", Halving().halve),
    ("<lambda>", lambda message, context, call_next: halve(message, context, call_next)),
]


@pytest.mark.parametrize(("name", "mod"), SILENT)
@pytest.mark.parametrize("of_function", [False, True])
def test_a_mod_before_ours_is_refused_by_name_before_a_row_is_read(name: str, mod: Any, of_function: bool) -> None:
    before = [mod, secure_aggregation]
    with pytest.raises(RunFailed) as failed:
        trained(*([], before) if of_function else (before, []))
    assert f"ModOrderError: before secure_aggregation among this client's mods: {name}. Replies" in str(failed.value)
    assert f"Write mods=[secure_aggregation, {name}];" in str(failed.value)


@pytest.mark.parametrize("mod", [fixedclipping_mod, adaptiveclipping_mod, NOISE])
def test_a_mod_of_flower_that_answers_in_our_place_is_refused_with_the_order(mod: Any) -> None:
    with pytest.raises(RunFailed, match=r"put secure_aggregation first") as failed:
        trained([mod, secure_aggregation], [])
    assert (getattr(mod, "__name__", "") or "LocalDpMod") in str(failed.value)


def test_several_are_named_in_their_order_and_those_after_ours_are_not() -> None:
    with pytest.raises(
        RunFailed, match=r"mods: Halving\(\.\.\.\), halve\. .* Write mods=\[secure_aggregation, Halving"
    ):
        trained([Halving(), functools.partial(logged, 1), halve, secure_aggregation], [timed])


@pytest.mark.parametrize(("name", "mod"), SILENT)
def test_a_mod_after_ours_does_its_work(name: str, mod: Any) -> None:
    expected = pytest.approx(0.25 if name.startswith("partial") else 0.5, abs=1e-3)
    assert trained([secure_aggregation, mod], []) == (expected, 4)
    assert trained([secure_aggregation], [mod]) == (expected, 4)


@pytest.mark.parametrize("mod", [message_size_mod, arrays_size_mod, functools.partial(arrays_size_mod)])
def test_mods_that_log_sizes_may_stand_in_front(mod: Any) -> None:
    assert trained([mod, secure_aggregation], []) == (pytest.approx(1.0, abs=1e-3), 4)


def test_a_mod_that_says_it_needs_no_arrays_may_stand_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunFailed, match="needs_arrays = False"):
        trained([timed, secure_aggregation], [])
    monkeypatch.setattr(timed, mod_order.ALLOWED, False, raising=False)
    for mod in (timed, functools.partial(timed)):
        assert trained([mod, secure_aggregation], [halve]) == (pytest.approx(0.5, abs=1e-3), 4)
    monkeypatch.setattr(timed, mod_order.ALLOWED, True)
    with pytest.raises(RunFailed, match="before secure_aggregation among this client's mods: timed"):
        trained([timed, secure_aggregation], [])


def test_a_switch_around_ours_is_as_ours() -> None:
    def switch(message: Message, context: Context, call_next: Any) -> Message:
        return secure_aggregation(message, context, call_next)

    assert trained([switch, halve], []) == (pytest.approx(0.5, abs=1e-3), 4)
    with pytest.raises(RunFailed, match="mods: halve"):
        trained([halve, switch], [])


def test_ours_twice_is_said_so() -> None:
    with pytest.raises(RunFailed, match="secure_aggregation is twice among this client's mods; once is enough"):
        trained([secure_aggregation], [secure_aggregation])


@pytest.mark.parametrize("link", [None, lambda ffn, mods: ffn, lambda ffn, mods: 1 / 0])
def test_another_way_of_flower_to_call_mods_costs_the_check_alone(
    link: Callable[..., Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [halve, secure_aggregation]
    monkeypatch.setattr(flwr.client.mod.utils, "make_ffn", link)
    mod_order._link.cache_clear()
    try:
        assert trained(before, []) == (pytest.approx(1.0, abs=1e-3), 4)
    finally:
        monkeypatch.undo()
        mod_order._link.cache_clear()
    with pytest.raises(RunFailed, match="mods: halve"):
        trained(before, [])

"""Layouts: which arrays are buffers, what has no place in a mean, and whose layout is not the majority's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedsec.encoding.layout import ArraySpec, Layout, array_layout, difference, majority
from fedsec.errors import BadMessage, LayoutError

MODEL = {"b": np.zeros((2, 3), np.float32), "a": np.linspace(-1, 1, 4)}


@pytest.mark.parametrize(
    ("name", "dtype", "buffer", "never_negative"),
    [
        ("layer.0.weight", "float32", False, False),
        ("bn.weight", "float32", False, False),
        ("bn.running_mean", "float32", True, False),
        ("features.bn.running_var", "float64", True, True),
        ("num_batches_tracked", "int64", True, True),
        ("counter", "uint8", True, True),
        ("position_ids", "int64", True, False),
        ("ema.shadow", "float32", True, False),  # a pattern of the app
    ],
)
def test_buffers(name: str, dtype: str, buffer: bool, never_negative: bool) -> None:
    spec = ArraySpec(name, (2, 3), dtype)
    assert (spec.is_buffer(["ema.*"]), spec.never_negative, spec.size) == (buffer, never_negative, 6)
    layout = Layout((spec,), {})
    assert (layout.parameters(["ema.*"]), layout.buffers(["ema.*"])) == (((), (spec,)) if buffer else ((spec,), ()))


def test_the_layout_is_the_models_whatever_the_updates_dtype() -> None:
    expected = array_layout(MODEL, MODEL)
    assert [spec.name for spec in expected] == ["a", "b"]
    for dtype in ("float16", "float64", ">f4", "<f8", "int64", "uint8"):
        update = {name: np.asfortranarray(array.astype(dtype)) for name, array in MODEL.items()}
        assert array_layout(update, MODEL) == expected
    assert array_layout({"a": MODEL["a"]}, MODEL) == expected[:1]
    assert array_layout({"new": np.zeros(2, ">f4")}, {}) == (ArraySpec("new", (2,), "float32"),)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"a": np.zeros((4, 1))}, r"'a' of shape \(4, 1\); shape \(4,\) was expected"),
        ({"a": np.ones(())}, r"'a' of shape \(\); shape \(4,\)"),  # it would broadcast
        ({"c": np.zeros(1), "a": MODEL["a"]}, r"arrays \['c'\] are in the update and not in the model"),
        ({"a": np.zeros(4, bool)}, "'a' has dtype bool"),
        ({"a": np.zeros(4, complex)}, "'a' has dtype complex128"),
        ({"a": np.zeros(4, np.longdouble)}, "at most 64 bits"),
        ({"a": np.array(["x"] * 4)}, "'a' has dtype <U1"),
        ({"a": np.array([object()] * 4)}, "'a' has dtype object"),
        ({"a": np.ma.array(np.zeros(4), mask=[False, True, False, False])}, "'a' is masked"),
        ({"a": np.ma.array(np.zeros(4))}, "'a' is masked"),
    ],
)
def test_arrays_without_a_place_in_a_mean(arrays: dict[str, Any], text: str) -> None:
    with pytest.raises(LayoutError, match=text):
        array_layout(arrays, MODEL)


def layout(**changed: Any) -> Layout:
    return Layout(array_layout({**MODEL, **changed.get("arrays", {})}, {}), changed.get("metrics", {"auc": 0}))


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        (layout(metrics={}), "metrics missing: 'auc'"),
        (layout(metrics={"auc": 0, "loss": 0}), "metrics not expected: 'loss'"),
        (layout(metrics={"auc": 2}), "metrics of another length: 'auc'"),
        (layout(arrays={"c": np.zeros(1)}), "arrays not expected: 'c'"),
        (layout(arrays={"a": np.zeros(5)}), "arrays of another shape or dtype: 'a'"),
        (layout(arrays={"a": np.zeros(4, np.float32)}), "arrays of another shape or dtype: 'a'"),
        (Layout(array_layout({"a": MODEL["a"]}, {}), {"auc": 0}), "arrays missing: 'b'"),
    ],
)
def test_the_majority_stays_and_the_others_are_named_with_what_differs(odd: Layout, text: str) -> None:
    common, others = majority({1: layout(), 2: odd, 3: layout(), 4: layout()})
    assert (common, others) == (layout(), {2: text})
    assert difference(layout(), layout()) == "no difference"


def test_no_majority() -> None:
    sent = {1: layout(), 2: layout(metrics={}), 3: layout(), 4: layout(metrics={})}
    with pytest.raises(BadMessage, match=r"none has a majority: \[\[1, 3\], \[2, 4\]\]; metrics missing: 'auc'"):
        majority(sent)

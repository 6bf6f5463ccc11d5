"""A model as ONNX gives, in ONNX's own runtime, what it gives here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsec.data import preparation
from fedsec.data.label import Label
from fedsec.data.new_rows import new_rows
from fedsec.data.schema import Category, Number, Schema
from fedsec.data.table_columns import of_columns
from fedsec.errors import ConfigurationError
from fedsec.learning.models import build
from fedsec.learning.onnx_export import to_onnx
from fedsec.learning.trained_model import TrainedModel

onnx = pytest.importorskip("onnx")

COLUMNS = (
    Number("age", 0.0, 120.0),
    Category("ward", ("icu", "medicine", "other")),
    Number("lactate", 0.0, 30.0),
    Number("nothing", 0.0, 1.0),
    Category("sex", ("f", "m")),
)
DIED, STAY = Label("died", "classification", positive="yes"), Label("stay", "regression", 0.0, 400.0)
FALLS, GRADE = Label("falls", "count", 0.0, 100.0), Label("grade", "multiclass", classes=("I", "II", "III"))
TIME = Label("stay", "survival", 0.0, 400.0, "yes", event="died", intervals=4)


def rows(number: int, seed: int) -> dict[str, list[Any]]:
    """Raw columns with gaps, and words that the schema does not name."""
    rng = np.random.default_rng(seed)
    return {
        "age": [None if rng.random() < 0.005 else float(value) for value in rng.normal(60, 12, number).clip(18, 100)],
        "ward": [str(rng.choice(["icu", "medicine", "surgery", "other", ""])) for _ in range(number)],
        "lactate": [None if row % 5 == 0 else float(value) for row, value in enumerate(rng.gamma(2.0, 1.0, number))],
        "nothing": [None] * number,
        "sex": [str(rng.choice(["f", "m", ""])) for _ in range(number)],
        "died": ["yes" if value else "no" for value in rng.random(number) < 0.3],
        "stay": [float(value) for value in rng.gamma(3.0, 4.0, number)],
        "falls": [int(value) for value in rng.poisson(1.5, number)],
        "grade": [str(rng.choice(["I", "II", "III"])) for _ in range(number)],
    }


def trained(label: Label, name: str, threshold: float = 0.5) -> TrainedModel:
    """A model with random parameters, prepared on random rows."""
    schema = Schema(COLUMNS, label)
    prepared = preparation.pooled(of_columns("rows", rows(400, 0), schema, ""))
    model, rng = build(name, label.task, label.outputs), np.random.default_rng(1)
    parameters = {
        key: values + rng.normal(0, 0.5, values.shape)
        for key, values in model.initial(len(prepared.features()), 1).items()
    }
    return TrainedModel(model.name, schema, prepared, parameters, threshold, {"strategy": "shamir"})


CASES = [(DIED, "auto", 0.5), (DIED, "mlp", 0.3), (STAY, "auto", 0.5), (STAY, "mlp", 0.5)]
CASES += [(label, name, 0.5) for label in (FALLS, GRADE, TIME) for name in ("auto", "mlp")]


@pytest.mark.parametrize(("label", "name", "threshold"), CASES)
def test_a_runtime_gives_what_the_model_gives(label: Label, name: str, threshold: float) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model, raw = trained(label, name, threshold), rows(60, 7)
    assert "lactate missing" in model.features and "ward = other" in model.features
    session = runtime.InferenceSession(to_onnx(model).SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {
        column.name: np.array(
            [[np.nan if value is None else value] for value in raw[column.name]],
            np.float64 if isinstance(column, Number) else object,
        )
        for column in COLUMNS
    }
    outputs = dict(zip([one.name for one in session.get_outputs()], session.run(None, feeds), strict=True))
    found = new_rows("new", raw, model.schema)
    expected = model.predict(found.numbers, found.levels)
    assert not found.refused
    if label.outputs > 1:
        several = outputs["survival" if label.event else "probability"]
        assert several.shape == (60, label.outputs) and np.allclose(several, expected, rtol=1e-12)
        assert label.event or np.array_equal(outputs["predicted"][:, 0], expected.argmax(axis=1))
        return
    if label in (STAY, FALLS):
        assert np.allclose(outputs["predicted"][:, 0], expected, rtol=1e-12)
    else:
        assert np.allclose(outputs["probability"][:, 0], expected, rtol=1e-12)
        assert np.array_equal(outputs["predicted"][:, 0], expected >= threshold)
        assert 0 < outputs["predicted"].sum() < 60


def test_the_graph_says_what_it_is() -> None:
    model = to_onnx(trained(DIED, "auto", 0.25))
    about = {one.key: one.value for one in model.metadata_props}
    assert about["label"] == "died" and about["positive"] == "yes" and float(about["threshold"]) == 0.25
    assert "[columns.ward]" in about["schema"] and "no medical device" in model.doc_string
    assert [one.name for one in model.graph.input] == [column.name for column in COLUMNS]
    again = to_onnx(trained(DIED, "auto", 0.25))
    assert model.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)


@pytest.mark.slow
def test_the_command_writes_it_beside_the_model(fed: Any, tmp_path: Path) -> None:
    trained(DIED, "auto").write(tmp_path / "model.safetensors")
    code, out, err = fed("export", str(tmp_path))
    assert code == 0 and "model.onnx" in out and "No range is checked" in out, err
    onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"))
    code, _, err = fed("export", str(tmp_path / "model.safetensors"))
    assert code == 2 and "exists already" in err
    assert fed("export", "model.safetensors", "--force")[0] == 0
    code, _, err = fed("export", "nowhere")
    assert code == 2 and "there is no model at nowhere" in err


def test_a_torch_model_is_refused_in_words() -> None:
    pytest.importorskip("torch")
    with pytest.raises(ConfigurationError, match="torch exports its own"):
        to_onnx(trained(DIED, "torch-mlp"))

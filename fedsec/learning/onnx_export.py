"""A trained model as an ONNX graph: from a patient's columns to the probability, preparation included.

ONNX (Open Neural Network Exchange) is read by runtimes of many languages. The graph computes in float64 what
`TrainedModel.predict` computes. It checks no ranges: a value that `fedsec predict` refuses is scored by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import fedsec
from fedsec.data.bundled import Floats
from fedsec.data.schema import OTHER, Category, Number
from fedsec.errors import ConfigurationError
from fedsec.learning.outcomes.outcome import STEEPEST
from fedsec.learning.trained_model import TrainedModel

if TYPE_CHECKING:
    import onnx

OPSET, OPSET_ML, IR = 17, 3, 9
"""Versions of the operators and of the file, which runtimes of 2023 and newer read."""
PREDICTED = "predicted"
NOTE = (
    "A number that is missing is NaN; a word that is missing, an empty text. Words must be written as the schema has "
    "them: `fedsec predict` reads ICU as icu, and this does not. No range is checked here: rows that `fedsec predict` "
    "refuses are scored. Research software, no medical device."
)


def to_onnx(trained: TrainedModel) -> onnx.ModelProto:
    """The model as a checked graph.

    Inputs, by the names of the columns: double[rows, 1] for a number, string[rows, 1] for a word. Outputs: double
    [rows, 1] named `probability`, and int64[rows, 1] named `predicted`, 1 from the threshold on; of a regression,
    `predicted` is double[rows, 1] in the label's units, and so is what is expected of a count. Of several classes
    `probability` is double[rows, classes], and `predicted` the place of the likeliest; of a survival time `survival` is
    double[rows, intervals]. Metadata: label, threshold, schema, versions.

    Raises ConfigurationError for a model that is not linear or a perceptron of this package.
    """
    import onnx

    graph = _Graph()
    score = _score(graph, trained, _features(graph, trained))
    if trained.task == "classification":
        chance = graph.add("Sigmoid", [score], "probability")
        above = graph.add("GreaterOrEqual", [chance, graph.constant(trained.threshold)])
        graph.add("Cast", [above], PREDICTED, to=onnx.TensorProto.INT64)
        outputs = {"probability": onnx.TensorProto.DOUBLE, PREDICTED: onnx.TensorProto.INT64}
    elif trained.task == "multiclass":
        graph.add("Softmax", [score], "probability", axis=1)
        graph.add("ArgMax", ["probability"], PREDICTED, axis=1)
        outputs = {"probability": onnx.TensorProto.DOUBLE, PREDICTED: onnx.TensorProto.INT64}
    elif trained.task == "survival":
        hazard = graph.add("Exp", [graph.add("Min", [score, graph.constant(STEEPEST)])])
        summed = graph.add("CumSum", [hazard, graph.constant(np.array(1))])
        graph.add("Exp", [graph.add("Neg", [summed])], "survival")
        outputs = {"survival": onnx.TensorProto.DOUBLE}
    elif trained.task == "count":
        times = graph.add("Exp", [graph.add("Min", [score, graph.constant(STEEPEST)])])
        graph.add("Mul", [times, graph.constant(trained.preparation.target_mean)], PREDICTED)
        outputs = {PREDICTED: onnx.TensorProto.DOUBLE}
    else:
        scaled = graph.add("Mul", [score, graph.constant(trained.preparation.target_deviation)])
        graph.add("Add", [scaled, graph.constant(trained.preparation.target_mean)], PREDICTED)
        outputs = {PREDICTED: onnx.TensorProto.DOUBLE}
    return _model(graph, trained, outputs)


def _features(graph: _Graph, trained: TrainedModel) -> str:
    """The prepared features, as `Preparation.matrix` makes them."""
    import onnx

    made, rest, levels = list[str](), list[str](), list[str]()
    for one in trained.preparation.numbers:
        if not one.present:
            continue
        gap = graph.add("IsNaN", [one.name])
        centred = graph.add("Sub", [one.name, graph.constant(one.mean)])
        scaled = graph.add("Div", [centred, graph.constant(one.deviation or 1.0)])
        made.append(graph.add("Where", [gap, graph.constant(0.0), scaled]))
        if f"{one.name} missing" in trained.features:
            rest.append(graph.add("Cast", [gap], to=onnx.TensorProto.DOUBLE))
    levels += [_levels(graph, column) for column in trained.schema.categories]
    return graph.add("Concat", [*made, *rest, *levels], axis=1)


def _levels(graph: _Graph, column: Category) -> str:
    """A feature for each level; `other` is 1 for every word that is none of them."""
    import onnx

    named = [level for level in column.levels if level != OTHER]
    encoded = graph.add("OneHotEncoder", [column.name], domain="ai.onnx.ml", cats_strings=[*named, ""], zeros=1)
    flat = graph.add("Reshape", [encoded, graph.constant(np.array([-1, len(named) + 1]))])
    known = graph.add("Cast", [flat], to=onnx.TensorProto.DOUBLE)
    there = graph.add("ReduceSum", [known, graph.constant(np.array([1]))], keepdims=1)
    everything = graph.add("Concat", [known, graph.add("Sub", [graph.constant(1.0), there])], axis=1)
    places = [len(named) + 1 if level == OTHER else named.index(level) for level in column.levels]
    return graph.add("Gather", [everything, graph.constant(np.array(places))], axis=1)


def _score(graph: _Graph, trained: TrainedModel, features: str) -> str:
    values = trained.parameters
    if values.keys() == {"weights", "bias"}:
        return graph.layer(features, _columns(values["weights"]), values["bias"])
    if trained.model == "mlp":
        hidden = graph.add("Tanh", [graph.layer(features, values["hidden.weights"], values["hidden.bias"])])
        return graph.layer(hidden, _columns(values["output.weights"]), values["output.bias"])
    raise ConfigurationError(
        f"model {trained.model!r} cannot be written as ONNX; linear models and mlp can; torch exports its own"
    )


def _columns(weights: Floats) -> Floats:
    """float64[inputs, scores]"""
    return weights if weights.ndim == 2 else weights[:, None]


def _model(graph: _Graph, trained: TrainedModel, outputs: Mapping[str, int]) -> onnx.ModelProto:
    import onnx
    from onnx import helper

    label = trained.schema.label
    inputs = [
        helper.make_tensor_value_info(
            column.name,
            onnx.TensorProto.DOUBLE if isinstance(column, Number) else onnx.TensorProto.STRING,
            ["rows", 1],
            doc_string=str(column),
        )
        for column in trained.schema.columns
    ]
    made = helper.make_graph(
        graph.nodes,
        f"fedsec {trained.model}",
        inputs,
        [
            helper.make_tensor_value_info(name, kind, ["rows", 1 if name == PREDICTED else label.outputs])
            for name, kind in outputs.items()
        ],
        graph.constants,
    )
    model = helper.make_model(
        made,
        producer_name="fedsec",
        producer_version=fedsec.__version__,
        ir_version=IR,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", OPSET_ML)],
        doc_string=NOTE,
    )
    about: dict[str, Any] = {
        "label": label.name,
        "task": trained.task,
        "schema": trained.schema.to_toml(),
        "about": json.dumps(dict(trained.about)),
    }
    if trained.task == "classification":
        about |= {"positive": str(label.positive), "threshold": repr(trained.threshold)}
    if label.classes or label.event:
        about |= {"classes": json.dumps(label.classes)} if label.classes else {"times": json.dumps(label.edges[1:])}
    helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Nodes and constants as they are added, each result under a name of its own."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        """A node; returns the name of its result, which no column has."""
        from onnx import helper

        name = name or f"#{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, value: Any) -> str:
        from onnx import numpy_helper

        name = f"#c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def layer(self, features: str, weights: Floats, bias: Floats) -> str:
        """features @ weights + bias."""
        return self.add("Add", [self.add("MatMul", [features, self.constant(weights)]), self.constant(bias)])

"""What a hospital's app replies, and how it becomes the hospital's contribution to a sum.

The app is called once for each model that it is sent: where a session measures the scale first, its reply is kept in
the context, and the session that follows sums it. The app's own code never sees what is kept.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from logging import WARNING
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.supercore import log

from fedsec.agreement.agreement_file import trains
from fedsec.encoding import mean
from fedsec.encoding.ladder import Plan
from fedsec.encoding.layout import Arrays, Layout, difference
from fedsec.encoding.mean import Contribution
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import AuthenticationError, BadMessage, FedsecError, LayoutError
from fedsec.flower.records import content_hash, model_arrays
from fedsec.wire import codec
from fedsec.wire.envelope import Session

KEPT = "fedsec-reply"
"""The record that says which model a kept reply is to; the reply's own records follow under names that begin so."""


class ClientAppError(FedsecError):
    """The app's own function raised, or returned no reply; the text names a class and nothing else."""


COARSE_WEIGHT = 1e-6
"""The relative error of a weight's rounding from which on a hospital's own log says so."""


@dataclass(frozen=True)
class Agreed:
    """What an agreement says of a session of one stage: the reply's layout, this hospital's weight where that was
    agreed on, and `admit`, which raises PolicyError on a model that was not."""

    layout: Layout
    weight: int | None
    admit: Callable[[Arrays], None]

    def cast(self, model: Arrays) -> Arrays:
        """A model in the agreed dtypes: Flower makes floats of integers when it averages."""
        dtypes = {each.name: each.dtype for each in self.layout.arrays}
        return {name: array.astype(dtypes.get(name, array.dtype), copy=False) for name, array in model.items()}


@dataclass(frozen=True)
class Asked:
    """One call of an app: the message with the model, the node's context, and the app itself."""

    message: Message
    context: Context
    call: ClientAppCallable

    @property
    def trains(self) -> bool:
        """Whether the reply's arrays are averaged: those of other stages are not."""
        return trains(self.message.metadata.message_type)


def contribution(
    asked: Asked, session: Session, plan: Plan | None, spec: MeanSpec, bits: int, agreed: Agreed | None = None
) -> Contribution:
    """What the app's reply adds to the sum of this session.

    agreed: what an agreement says of the reply. Whatever the app does, the contribution has that layout: a reply with
    another one counts as no usable update, for whether a hospital answers must not depend on its rows.

    Raises AuthenticationError where model or stage are not the session's, and, without an agreement, LayoutError where
    the reply has no place in a mean, and ClientAppError where the app failed and nobody knows yet what its reply would
    have held.
    """
    if plan is None:
        raise BadMessage("a request for an input without a plan of its encoding")
    if plan.model != content_hash(asked.message.content):
        raise AuthenticationError("the model received is not the one that the session is bound to")
    if session.stage != asked.message.metadata.message_type:
        raise AuthenticationError(f"stage {session.stage} in a message of type {asked.message.metadata.message_type}")
    reference: Arrays = model_arrays(asked.message.content) if asked.trains or agreed else {}
    if agreed:
        agreed.admit(reference)
        reference = agreed.cast(reference) if asked.trains else {}
    layout = agreed.layout if agreed else codec.decode(plan.layout, Layout) if plan.layout else None
    fixed_weight = agreed.weight if agreed else None
    try:
        reply = _kept_reply(asked, plan.model) or _called(asked)
    except ClientAppError as error:
        if plan.measuring:
            _keep_failure(asked, error, plan.model)
        if layout is None and not plan.measuring:
            raise
        cause = f": {error.__cause__}" if error.__cause__ else ""  # for this hospital's own log
        reason = f"the app failed: {error}{cause}"
        return mean.neutral(layout or Layout((), {}), reference, fixed_weight, spec, bits, plan, reason)
    if plan.measuring:
        _keep_reply(asked, reply, plan.model)
    try:
        arrays, metrics, weight = _parts(asked, reply, reference, spec.weight_key)
        if agreed and (found := mean.layout_of(arrays, reference, metrics)) != agreed.layout:
            raise LayoutError(f"the reply is not what was agreed on: {difference(found, agreed.layout)}")
    except LayoutError as error:
        if not agreed:
            raise
        return mean.neutral(agreed.layout, reference, fixed_weight, spec, bits, plan, str(error))
    if spec.weights == "exact" and (off := mean.weight_error(weight)) > COARSE_WEIGHT:
        log(
            WARNING,
            "secure aggregation: %s is %g, and weights are multiples of 2^-32: it counts with an error of %.1g of it; "
            "let all clients send larger weights, such as numbers of rows",
            spec.weight_key,
            weight,
            off,
        )
    return mean.contribution(arrays, reference, metrics, fixed_weight or weight, spec, bits, plan)


def _called(asked: Asked) -> RecordDict:
    try:
        reply = asked.call(asked.message, asked.context)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        log(WARNING, "the client app failed:\n%s", traceback.format_exc())
        raise ClientAppError(type(error).__name__) from error
    if not isinstance(reply, Message):
        returned = "None" if reply is None else f"a value of type {type(reply).__name__}"
        log(WARNING, "the client app returned %s; a Message was expected", returned)
        raise ClientAppError(f"the app returned {returned}; a Message was expected")
    if reply.has_error():
        reason = str(reply.error.reason or f"error {reply.error.code}")
        log(WARNING, "the client app returned an error: %s", reason)
        raise ClientAppError("the app returned an error") from RuntimeError(reason)
    return reply.content


def _kept_reply(asked: Asked, model: bytes) -> RecordDict | None:
    """The reply that was kept when the stage was measured, if it is to this model; it is kept no longer.

    Raises ClientAppError where what was kept is that the app failed.
    """
    state = asked.context.state
    kept = state.config_records.get(KEPT)
    records = {name: state.pop(name) for name in list(state) if name.startswith(KEPT)}
    if kept is None or (kept["model"], kept["stage"]) != (model, asked.message.metadata.message_type):
        return None
    if "failed" in kept:
        raise ClientAppError(str(kept["failed"])) from RuntimeError(str(kept["cause"]))
    return RecordDict({name[len(KEPT) + 1 :]: record for name, record in records.items() if name != KEPT})


def _keep_reply(asked: Asked, reply: RecordDict, model: bytes) -> None:
    asked.context.state[KEPT] = ConfigRecord({"model": model, "stage": asked.message.metadata.message_type})
    for name, record in reply.items():
        asked.context.state[f"{KEPT} {name}"] = record


def _keep_failure(asked: Asked, error: ClientAppError, model: bytes) -> None:
    """That the app failed, so that it is not called twice for one model; the text stays in this hospital's state."""
    cause = str(error.__cause__ or "").encode("utf-8", "replace").decode("utf-8")
    said: dict[str, bytes | str] = {"failed": str(error), "cause": cause}
    asked.context.state[KEPT] = ConfigRecord({"model": model, "stage": asked.message.metadata.message_type, **said})


def _parts(asked: Asked, reply: RecordDict, reference: Arrays, weight_key: str) -> tuple[Arrays, mean.Metrics, Any]:
    """The reply's arrays, its metrics, and its number of examples; `reference` is the model that was answered."""
    arrays: Mapping[str, np.ndarray[Any, Any]] = {}
    if asked.trains:
        arrays = model_arrays(reply, asked.message.content)
        if not arrays:
            raise LayoutError("the app's reply to training holds no arrays")
        arrays = {name: array for name, array in arrays.items() if not _stays_infinite(array, reference.get(name))}
    elif reply.array_records:
        log(WARNING, "secure aggregation: the arrays of a reply that is no training are not averaged; ignored")
    if reply.config_records:
        names = ", ".join(map(repr, reply.config_records))
        log(WARNING, "secure aggregation: only arrays and metrics are averaged; config records ignored: %s", names)
    records = list(reply.metric_records.values())
    if len(records) != 1:
        raise LayoutError(f"{len(records)} metric records in the app's reply; exactly one was expected")
    if not isinstance(weight := records[0].get(weight_key), int | float):
        raise LayoutError(f"the app's metrics have no number under {weight_key!r}, the weight of its update")
    return arrays, {key: value for key, value in records[0].items() if key != weight_key}, weight


def _stays_infinite(array: np.ndarray[Any, Any], model: np.ndarray[Any, Any] | None) -> bool:
    """Whether an array equals the model's, infinities included, as a mask of -inf does: it has no part in the sum.

    What no hospital sends keeps the model's values.
    """
    if model is None or (array.dtype.kind, model.dtype.kind) != ("f", "f"):
        return False
    return bool(np.isinf(model).any()) and np.array_equal(array, model)

"""What the server's log says of an error that Flower made: the exception, and what may be wrong with the mods."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest
from flwr.app import Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.client_app import ClientAppException
from flwr.common.constant import ErrorCode

from fedsec.errors import Stale
from fedsec.flower import incidents, secure_aggregation

pytestmark = pytest.mark.usefixtures("simulated")
CURE = "(is secure_aggregation among this client's mods, and a function registered for this message? If another mod"


def message(message_type: str = "train") -> Message:
    return Message(RecordDict(), dst_node_id=1, message_type=message_type)


def reported(error: BaseException) -> str:
    """As Flower's SuperNode and its simulation write an exception."""
    return str(type(error)) + ":<'" + str(error) + "'>"


def over_ray(error: Exception) -> str:
    """The same where the app ran in an actor of Ray: the text is a traceback, in colours."""
    from ray.exceptions import RayTaskError

    try:
        try:
            raise error
        except Exception as raised:
            raise ClientAppException(str(raised)) from raised
    except ClientAppException as wrapped:
        text = traceback.format_exc()
        task = RayTaskError(
            "run", text, wrapped, "ray::ClientAppActor.run", 2115, "192.0.2.2", "<actor at 0x7f>", "31883b"
        )
        return reported(task.as_instanceof_cause())


def told(reason: str) -> str:
    return incidents.refusal(Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message())).reason


def raised(app: ClientApp, message_type: str) -> Exception:
    asked = message(message_type)
    with pytest.raises(Exception) as failed:
        app(asked, Context(1, 1, {}, RecordDict(), {}))
    assert isinstance(failed.value, Exception)
    return failed.value


def without_a_function() -> Exception:
    app = ClientApp(mods=[secure_aggregation])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1})}), reply_to=message)

    return raised(app, "evaluate")


def without_the_mod() -> Exception:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return Message(RecordDict({"metrics": MetricRecord(message.content["arrays"])}), reply_to=message)  # type: ignore[arg-type]

    return raised(app, "train")


ERRORS: dict[str, tuple[Callable[[], Exception], str]] = {
    "no function": (without_a_function, "ValueError: No evaluate function registered with name 'default'"),
    "no mod": (without_the_mod, "KeyError: 'arrays'"),
    "no text": (lambda: RuntimeError(), "RuntimeError"),
    "lines": (lambda: ValueError("one: 1\n  two"), "ValueError: one: 1 two"),
}


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("report", [reported, pytest.param(over_ray, marks=pytest.mark.slow)])
def test_the_cause_is_named_and_the_mods_asked_for(kind: str, report: Callable[[Exception], str]) -> None:
    made, said = ERRORS[kind]
    reason = told(report(made()))
    assert reason.startswith(f"{said} {CURE}") and "put secure_aggregation first" in reason


@pytest.mark.parametrize("report", [reported, pytest.param(over_ray, marks=pytest.mark.slow)])
def test_what_our_own_mod_raised_is_not_laid_at_the_mods(report: Callable[[Exception], str]) -> None:
    reason = told(report(Stale("the phase closed after 3 s, before this party had finished")))
    assert reason == "Stale: the phase closed after 3 s, before this party had finished"
    assert "phase_timeout says how long" in incidents.cured(reason)


@pytest.mark.parametrize("reason", ["no class", "<class 'A'>:<'", "<class 'A'>:<''>", "", "\n\n", " a\nb: c"])
def test_a_reason_of_any_form_is_told(reason: str) -> None:
    assert CURE in told(reason)

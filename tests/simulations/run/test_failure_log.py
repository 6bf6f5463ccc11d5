"""Why a run failed, from the log that it left."""

from __future__ import annotations

import textwrap

import pytest

from fedsec.errors import RunFailed
from fedsec.simulations.run.engine_failure import EngineFailed
from fedsec.simulations.run.failure_log import failure

LAST = """
Traceback (most recent call last):
  File "a.py", line 1, in f
KeyError: 'first'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 1, in g
    raise TooFewParties(
fedsec.errors.TooFewParties: phase Unmask: 2 of 3
parties answered
\x1b[91mERROR\x1b[0m:     Exit Code: 700
"""
RAY = """
ERROR :     Simulation raised an exception
Traceback (most recent call last):
  File "/venv/flwr/server/superlink/fleet/vce/vce_api.py", line 310, in run_api
    backend = backend_fn()
  File "/venv/flwr/server/superlink/fleet/vce/backend/raybackend.py", line 98, in init_ray
    ray.init(
  File "/venv/ray/_private/node.py", line 423, in __init__
    raise Exception(
Exception: The current node timed out during startup. This could happen because some of the raylet failed to startup.

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/venv/flwr/simulation/run_simulation.py", line 320, in _main_loop
    vce.start_vce(
RuntimeError: Simulation Runtime crashed.

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/venv/flwr/simulation/run_simulation.py", line 347, in _main_loop
    raise RuntimeError("An error was encountered. Ending simulation.") from ex
RuntimeError: An error was encountered. Ending simulation.
INFO :      Exit Code: 700
"""
OURS = """
Traceback (most recent call last):
  File "/venv/fedsec/data/files.py", line 30, in read
    text = path.read_text()
FileNotFoundError: [Errno 2] No such file or directory: 'a.csv'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/venv/fedsec/data/files.py", line 32, in read
    raise DataError("a.csv cannot be read") from error
fedsec.errors.DataError: a.csv cannot be read
"""
CLIENT = """
Exception ClientAppException occurred. Message: division by zero'>
Traceback (most recent call last):
  File "/venv/fedsec/app/server_app.py", line 1, in main
fedsec.errors.RunFailed: no round of training succeeded
"""


def failed(log: str, details: str = "") -> RunFailed:
    return failure("failed", textwrap.dedent(log), details)


def test_the_last_exception_not_what_it_was_raised_beside() -> None:
    error = failed(LAST)
    assert str(error) == "the run failed: phase Unmask: 2 of 3 parties answered"
    assert not isinstance(error, EngineFailed)


def test_ray_s_own_exception_and_not_what_flower_made_of_it() -> None:
    error = failed(RAY)
    assert isinstance(error, EngineFailed)
    assert str(error).startswith("Ray failed: Exception: The current node timed out during startup. This could happen")
    assert "Ending simulation" not in str(error) and "try again" in str(error)


def test_an_error_in_the_user_s_words_is_not_replaced_by_its_cause() -> None:
    assert str(failed(OURS)) == "the run failed: a.csv cannot be read"


def test_what_a_hospital_s_app_raised_is_added() -> None:
    assert str(failed(CLIENT)) == (
        "the run failed: no round of training succeeded (before that, the app of a hospital failed: division by zero)"
    )


@pytest.mark.parametrize(("log", "details", "text"), [("", "No heartbeat", "No heartbeat"), ("a\nb\n", "", "b")])
def test_without_an_exception_what_the_superlink_says_or_the_last_line(log: str, details: str, text: str) -> None:
    assert str(failed(log, details)) == f"the run failed: {text}"

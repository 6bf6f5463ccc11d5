"""Why a run failed, from its log: the innermost cause, without a traceback."""

from __future__ import annotations

import re
from typing import NamedTuple

from fedsec.errors import RunFailed
from fedsec.simulations.run.engine_failure import ray_failed
from fedsec.simulations.run.flower_cli import last_line, plain

_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) *:")
_TRACEBACK = "Traceback (most recent call last):"
_CAUSED = "The above exception was the direct cause of the following exception:"
_OURS = re.compile(r"^fedsec\.[\w.]+: ")
_RAY = re.compile(r'^\s+File ".*[/\\]ray[/\\].*", line \d+')
_CLIENT_FAILED = re.compile(r"^Exception ClientAppException occurred\. Message: (.*?)(?:'>)?$", re.MULTILINE)


class Raised(NamedTuple):
    """One traceback of a log.

    text    the exception, with its class
    in_ray  whether it came out of Ray's code
    caused  whether it was raised `from` the one before
    """

    text: str
    in_ray: bool
    caused: bool


def failure(status: str, log: str, details: str = "") -> RunFailed:
    """The error for a run that ended with this status; EngineFailed where Ray is the cause.

    log: of the run. details: what the SuperLink says of it, for a log without an exception.
    """
    found = innermost(plain(log))
    if found is not None and found.in_ray and not _OURS.match(found.text):
        return ray_failed(found.text)
    text = _OURS.sub("", found.text) if found else details or last_line(log)
    if clients := _CLIENT_FAILED.findall(plain(log)):
        text += f" (before that, the app of a hospital failed: {clients[-1]})"
    return RunFailed(f"the run {status}: {text}")


def innermost(log: str) -> Raised | None:
    """The last exception of a log, or what caused it; one of fedsec's own says it in the user's words already."""
    raised = _tracebacks(log.splitlines())
    while raised and raised[-1].caused and not _OURS.match(raised[-1].text) and len(raised) > 1:
        raised.pop()
    return raised[-1] if raised else None


def _tracebacks(lines: list[str]) -> list[Raised]:
    starts = [number for number, line in enumerate(lines) if line.strip() == _TRACEBACK]
    return [_read(lines, start) for start in starts]


def _read(lines: list[str], start: int) -> Raised:
    """The traceback whose first line is `lines[start]`."""
    before = next((line.strip() for line in reversed(lines[:start]) if line.strip()), "")
    in_ray, said = False, list[str]()
    for line in lines[start + 1 :]:
        if said and (not line.strip() or _LEVEL.match(line)):
            break
        in_ray = in_ray or bool(_RAY.match(line))
        if said or (line.strip() and not line.startswith(" ")):
            said.append(line.strip())
    return Raised(" ".join(said), in_ray, before == _CAUSED)

"""A run's figures by round, taken from its events while it runs: what TensorBoard and MLflow are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fedsec.learning import outcomes

Listen = Callable[[Mapping[str, Any]], None]
"""Called with each event of a run, as fedsec/app/progress.py writes them."""
Write = Callable[[int, Mapping[str, float]], None]
"""Takes a round and its figures by name."""


class Scalars:
    """Turns events into figures.

    `test/...` on the common test rows, `hospitals/...` from the secure sums, `round/hospitals` and `round/scaled_down`,
    and `cost/...`, bytes and the busiest hospital's CPU seconds so far.
    """

    def __init__(self, write: Write) -> None:
        self._write, self._bytes, self._cpu = write, 0, 0.0

    def __call__(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "phase":
            self._bytes += event["bytes_up"] + event["bytes_down"]
            self._cpu += event["cpu_seconds_max"]
        elif kind == "tested":
            cost = {"bytes": self._bytes, "hospital_cpu_seconds": self._cpu}
            figures = {key: event[key] for key in event if key not in ("event", "round")}
            self._add(event["round"], {"test": figures, "cost": cost})
        elif kind == "round" and event["stage"] in ("train", "evaluate") and not event["failure"]:
            metrics = dict(event["metrics"] or {})
            counts = {"hospitals": event["included"], "scaled_down": event["clipped"]}
            groups = {"hospitals": metrics | outcomes.measured(metrics)}
            groups |= {"round": counts} if event["stage"] == "train" else {}
            self._add(event["round"], groups)

    def _add(self, step: int, groups: Mapping[str, Mapping[str, Any]]) -> None:
        self._write(
            step,
            {
                f"{group}/{name}": value
                for group, figures in groups.items()
                for name, value in figures.items()
                if isinstance(value, int | float)
            },
        )

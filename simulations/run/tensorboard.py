"""A run's figures as TensorBoard event files, while it runs. tensorboard is an extra."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedsec.errors import ConfigurationError
from fedsec.learning.auc import POSITIVE, auc_of_histogram

Listen = Callable[[Mapping[str, Any]], None]
"""Called with each event of a run, as fedsec/app/progress.py writes them."""


@contextmanager
def tensorboard_writer(folder: Path | None) -> Iterator[Listen]:
    """Yields what writes events into `folder`, and ignores them where that is None.

    Scalars, by round: `test/...` on the common test rows, `hospitals/...` from the secure sums, `round/hospitals` and
    `round/scaled_down`, and `cost/...`, bytes and the busiest hospital's CPU seconds so far.
    """
    if folder is None:
        yield lambda event: None
        return
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigurationError("tensorboard is not installed; run: pip install 'fedsec[tensorboard]'")
    from tensorboard.summary import Writer

    try:
        folder.mkdir(parents=True, exist_ok=True)
        writer = Writer(str(folder))
    except OSError as error:
        raise ConfigurationError(f"tensorboard {folder} cannot be written: {error.strerror}") from error
    try:
        yield _Scalars(writer)
    finally:
        writer.close()


class _Scalars:
    """Turns events into scalars."""

    def __init__(self, writer: Any) -> None:
        self._writer, self._bytes, self._cpu = writer, 0, 0.0

    def __call__(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "phase":
            self._bytes += event["bytes_up"] + event["bytes_down"]
            self._cpu += event["cpu_seconds_max"]
        elif kind == "tested":
            self._add(event["round"], "test", {key: event[key] for key in event if key not in ("event", "round")})
            self._add(event["round"], "cost", {"bytes": self._bytes, "hospital_cpu_seconds": self._cpu})
            self._writer.flush()
        elif kind == "round" and event["stage"] in ("train", "evaluate") and not event["failure"]:
            metrics = dict(event["metrics"] or {})
            auc = {"auc": auc_of_histogram(metrics)[0]} if POSITIVE in metrics else {}
            self._add(event["round"], "hospitals", metrics | auc)
            if event["stage"] == "train":
                counts = {"hospitals": event["included"], "scaled_down": event["clipped"]}
                self._add(event["round"], "round", counts)

    def _add(self, step: int, group: str, figures: Mapping[str, Any]) -> None:
        for name, value in figures.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(f"{group}/{name}", value, step)

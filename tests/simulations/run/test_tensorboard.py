"""TensorBoard event files of a run; with tensorboard installed, as its extra does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from fedsec.errors import ConfigurationError
from fedsec.simulations.run.tensorboard import tensorboard_writer

pytestmark = pytest.mark.slow

EVENTS: list[dict[str, Any]] = [
    {"event": "phase", "bytes_up": 100, "bytes_down": 20, "cpu_seconds_max": 0.5},
    {
        "event": "round",
        "round": 1,
        "stage": "train",
        "failure": "",
        "included": 5,
        "clipped": 2,
        "metrics": {"train_loss": 0.4},
    },
    {
        "event": "round",
        "round": 1,
        "stage": "evaluate",
        "failure": "",
        "included": 5,
        "clipped": 0,
        "metrics": {"loss": 0.3, "scores.positive": [0.0, 0.5], "scores.negative": [0.5, 0.0]},
    },
    {"event": "tested", "round": 1, "loss": 0.25, "auc": None},
    {
        "event": "round",
        "round": 2,
        "stage": "train",
        "failure": "TooFewParties",
        "included": 0,
        "clipped": 0,
        "metrics": None,
    },
    {"event": "done"},
]


def test_no_folder_no_files(tmp_path: Path) -> None:
    with tensorboard_writer(None) as listen:
        listen(EVENTS[0])
    assert not list(tmp_path.iterdir())


def test_without_tensorboard_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"fedsec\[tensorboard\]"), tensorboard_writer(tmp_path):
        pass


def test_a_run_is_written_and_read_back(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tensorboard_writer(tmp_path / "runs" / "one") as listen:
        for event in EVENTS:
            listen(event)
    found = accumulator.EventAccumulator(str(tmp_path / "runs" / "one"))
    found.Reload()
    scalars = {
        tag: [(one.step, one.tensor_proto.float_val[0]) for one in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
    }
    assert scalars == {
        "hospitals/train_loss": [(1, pytest.approx(0.4))],
        "round/hospitals": [(1, 5.0)],
        "round/scaled_down": [(1, 2.0)],
        "hospitals/loss": [(1, pytest.approx(0.3))],
        "hospitals/auc": [(1, 1.0)],
        "test/loss": [(1, 0.25)],
        "cost/bytes": [(1, 120.0)],
        "cost/hospital_cpu_seconds": [(1, 0.5)],
    }

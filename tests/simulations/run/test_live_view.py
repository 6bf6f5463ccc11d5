"""What a run prints when it is over, in 80 columns."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from fedsec.report.run_document import RunDocument
from fedsec.simulations.run import live_view

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "result-1.json"


def test_long_names_of_hospitals_leave_every_figure_whole() -> None:
    document = RunDocument.model_validate_json(GOLDEN.read_bytes())
    names = tuple(f"hospital_{number}_of_the_sisters_of_mercy_in_the_city" for number in document.hospital_names)
    text = io.StringIO()
    live_view.summary(Console(file=text, width=80), document.model_copy(update={"hospitals": names}), Path("out"))
    table = text.getvalue().split("Dropouts tolerated")[0]
    assert max(map(len, table.splitlines())) <= 80 and "\N{HORIZONTAL ELLIPSIS}" not in table
    for model in document.quality.alone:
        assert all(f"{value:.4f}" in table for value in model.values() if value is not None)
    assert all(name.replace("_", "")[:8] in table.replace("_", "") for name in names)

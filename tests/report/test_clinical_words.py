"""What the page and the terminal say of a sensitivity or a specificity of 0.00."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedsec.report import run_page
from fedsec.report.clinical_words import one_sided, warned
from fedsec.report.run_document import RunDocument
from tests.report.test_report_command import result


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "said"),
    [
        (0.0, 1.0, "At a threshold of 0.5 the model predicts nobody as positive; 9% are positive."),
        (0.0, 0.98, "the model finds almost none of the positives"),
        (0.004, 1.0, "the model finds almost none of the positives"),
        (1.0, 0.0, "the model predicts everybody as positive"),
        (0.9, 0.001, "the model takes almost every negative as positive"),
        (0.006, 1.0, ""),
        (None, 1.0, ""),
        (None, None, ""),
    ],
)
def test_a_headline_that_nobody_wants_is_said_in_words(
    sensitivity: float | None, specificity: float | None, said: str
) -> None:
    text = one_sided(sensitivity, specificity, 0.5, 0.09)
    assert said in text and bool(text) == bool(said)
    assert not text or "Choose another threshold: --decision-threshold youden" in text


def test_a_document_of_an_earlier_release_is_warned_of_too(tmp_path: Path) -> None:
    old: dict[str, Any] = result()
    old["quality"]["federated"] = {"loss": 0.3, "accuracy": 0.91, "sensitivity": 0.0, "specificity": 1.0}
    assert warned(RunDocument.model_validate(old)).startswith("At a threshold of 0.5 the model predicts nobody")
    (tmp_path / "result.json").write_text(json.dumps(old), encoding="utf-8")
    run_page.write(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "predicts nobody as positive." in page and "Clinical evaluation" not in page

"""The clinical evaluation in words: what its measures are called, and what a threshold does that nobody wants."""

from __future__ import annotations

from collections.abc import Mapping

from fedsec.report.clinical_document import Clinical, Evaluation
from fedsec.report.run_document import RunDocument

CURE = "Choose another threshold: --decision-threshold youden, or --decision-threshold sensitivity=0.9."
MEASURES: Mapping[str, str] = {
    "auc": "AUC",
    "average_precision": "PR-AUC (average precision)",
    "brier": "Brier score (0 is best)",
    "calibration_slope": "Calibration slope (1 is best)",
    "calibration_in_the_large": "Calibration in the large (0 is best)",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "Positive predictive value",
    "npv": "Negative predictive value",
    "predicted_positive": "Predicted positive, of all rows",
}
"""What each measure is called."""
THRESHOLD = 0.5
"""The threshold of documents that name none."""


def off_text(found: Evaluation, name: str) -> str:
    """How far bins may put a measure off."""
    if found.measures.get(name) is None:
        return ""
    off = found.off.get(name)
    return "not bounded" if off is None else "0" if off < 5e-5 else f"{off:.3f}" if off >= 1e-3 else f"{off:.4f}"


def one_sided(sensitivity: float | None, specificity: float | None, threshold: float, prevalence: float | None) -> str:
    """What a sensitivity or specificity of 0.00 means, as sentences; empty where neither is."""
    share = "" if prevalence is None else f"; {100 * prevalence:.3g}% are positive"
    if sensitivity is not None and sensitivity < 0.005:
        nobody = specificity is not None and sensitivity == 0.0 and specificity == 1.0
        what = "predicts nobody as positive" if nobody else "finds almost none of the positives"
    elif specificity is not None and specificity < 0.005:
        everybody = sensitivity == 1.0 and specificity == 0.0
        what = "predicts everybody as positive" if everybody else "takes almost every negative as positive"
    else:
        return ""
    return f"At a threshold of {threshold:.3g} the model {what}{share}. {CURE}"


def warned(document: RunDocument) -> str:
    """The same of a run's headline, its figures on the common test rows."""
    found, known = document.clinical, document.quality.federated
    threshold, prevalence = THRESHOLD, None if document.statistics is None else document.statistics.target_mean
    if found is not None and found.test is not None:
        known, threshold, prevalence = found.test.measures, found.threshold, found.test.prevalence
    return one_sided(known.get("sensitivity"), known.get("specificity"), threshold, prevalence)


def treat_all(prevalence: float, threshold: float) -> float:
    """The net benefit of taking everybody as positive (Vickers and Elkin, Medical Decision Making 26, 2006)."""
    return prevalence - (1.0 - prevalence) * threshold / (1.0 - threshold)


def threshold_text(found: Clinical) -> str:
    """The threshold, and how it was found."""
    return (
        f"A row counts as {found.label} = {found.positive} from a probability of {found.threshold:.3g} on: {found.how}."
    )

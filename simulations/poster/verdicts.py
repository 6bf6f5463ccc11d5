"""The words of a verdict on a claim of the poster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]
"""What an experiment measured, as its JSON file has it."""
Verdict = tuple[str, str]
"""A word, and what was measured."""
HOLDS, PARTLY, REFUTED, FAILS = "holds", "in part", "refuted", "does not hold"
MISSING = "not measured"
SHORT = "short run"
"""The verdict where a short run leaves out what would decide."""

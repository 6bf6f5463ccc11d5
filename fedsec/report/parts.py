"""What the parts of result.json have in common: immutable, read leniently, and without NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: both are written as null."""
    return None if isinstance(value, float | np.floating) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
Measures = Mapping[str, Number]
"""Measures of quality, by name; None where one is not defined."""
Interval = tuple[Number, Number]


class Part(BaseModel):
    """Base of all parts: immutable, and what a later release adds is skipped."""

    model_config = ConfigDict(extra="ignore", frozen=True)

"""The error where Flower or Ray failed, and not the study that they ran."""

from __future__ import annotations

import tempfile

from fedsec.errors import RunFailed


class EngineFailed(RunFailed):
    """Flower's SuperLink or Ray did not start, or broke: the same run may succeed at another time, or without them."""


def ray_failed(cause: str) -> EngineFailed:
    """The error for a Ray that did not start, or broke: its cause, and what to check."""
    return EngineFailed(
        f"Ray failed: {cause.rstrip('. ')}. Ray needs free memory and free space in {tempfile.gettempdir()}: check "
        "both, and try again"
    )

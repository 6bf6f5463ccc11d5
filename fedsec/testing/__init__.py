"""What a strategy is tested by: `class TestMine(Conformance): strategy = "mine.py"`."""

from fedsec.testing.conformance import Conformance

__all__ = ["Conformance"]

"""Numbers for people."""

from __future__ import annotations

import math

import pytest

from fedsec.report import units

NB = units.SPACE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1e-12, "< 0.001 µs"),
        (2.5e-8, "0.0250 µs"),
        (1.5e-6, "1.50 µs"),
        (0.0123, "12.3 ms"),
        (0.99949, "999 ms"),
        (0.9996, "1.00 s"),
        (59.9, "59.9 s"),
        (60, "1.00 min"),
        (5400, "1.50 h"),
        (3.6e7, "10,000 h"),
        (None, "–"),
        (math.inf, "–"),
        (math.nan, "–"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert units.seconds(value) == text.replace(" ", NB)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1 B"),
        (312, "312 B"),
        (312.4, "312 B"),
        (12.34, "12.3 B"),
        (999, "999 B"),
        (1125, "1.13 kB"),
        (999_600, "1.00 MB"),
        (12_345_678, "12.3 MB"),
        (1e9, "1.00 GB"),
        (5e15, "5,000 TB"),
    ],
)
def test_bytes(value: float, text: str) -> None:
    assert units.size(value) == text.replace(" ", NB)


def test_other_words() -> None:
    assert units.speed(12.5e6) == f"100{NB}Mbit/s" and units.speed(0.125e6 * 1.5) == f"1.5{NB}Mbit/s"
    assert units.times(1.0) == f"1.00{NB}×" and units.times(12_345) == f"12,300{NB}×" and units.times(math.inf) == "–"
    assert units.small(1.23e-7) == f"1.2{NB}×{NB}10⁻⁷" and units.small(0) == "0" and units.small(None) == "–"
    assert units.words(["a"]) == "a" and units.words(["a", "b", "c"]) == "a, b and c" and units.words([]) == ""
    assert units.plural(1, "hospital") == "1 hospital" and units.plural(2, "strategy", "strategies") == "2 strategies"
    assert units.count(1_000_000) == "1,000,000" and units.percent(0.2) == f"20{NB}%"


def test_in_a_terminal_spaces_are_plain_and_zeros_say_something() -> None:
    assert units.plain_seconds(2.5e-3) == "2.5 ms" and units.plain_seconds(1230) == "20.5 min"
    assert units.plain_size(6_000_000) == "6 MB" and units.plain_size(136_900) == "137 kB"
    assert units.plain_size(312) == "312 B" and units.plain_seconds(None) == "–"


def test_never_more_than_three_digits() -> None:
    for power in range(-7, 6):
        for step in range(1, 100):
            text = units.seconds(step / 7 * 10.0**power).split(NB)[0].replace(",", "")
            assert len(text.replace(".", "").lstrip("0").rstrip()) <= 3 or text.endswith("0"), text

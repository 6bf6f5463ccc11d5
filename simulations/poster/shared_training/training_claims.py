"""The poster's claims on training with shared data, judged by what `fedsec poster shared-training` left."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from fedsec.simulations.poster.verdicts import FAILS, HOLDS, MISSING, PARTLY, Facts, Verdict

FITS = {"fit-10": "fit of degree 10 on ±10", "fit-3": "fit of degree 3 on ±5"}
LONG = 15_000
"""Fewer iterations than these say nothing about a collapse near 10,000."""


def works(facts: Facts) -> Verdict:
    """Two layers on shares reach what plain training of the same network does."""
    one = next((row for row in facts.get("accuracy", []) if row["layers"] == 2), None)
    if one is None:
        return MISSING, "this run compared no splits"
    if one["iterations"] < 1000:
        return MISSING, f"this run trained for {one['iterations']} iterations only"
    ours, plain = (one[name] for name in one if name in ("clipped-5", "exact"))
    off = one["difference"]
    shares = next((row["accuracy"] for row in facts["table"] if row["family"] == "shares"), None)
    measured = (
        f"{one['layers']} layers, {one['splits']} splits: accuracy {ours[0]:.3f} ± {ours[1]:.3f}, in plain "
        f"training {plain[0]:.3f} ± {plain[1]:.3f}, difference per split {off[0]:+.3f} ± {off[1]:.3f}"
    )
    measured += f"; on real shares, one split: {shares:.3f}" if shares is not None else ""
    return HOLDS if abs(off[0]) < 0.02 and ours[0] > 0.65 else FAILS, measured


def explodes(facts: Facts) -> Verdict:
    """Three layers collapse near 10,000 iterations; whether two do as well."""
    at, count = _collapsed(facts, "maclaurin-5")
    if facts["sizes"]["iterations"] < LONG:
        return MISSING, f"this run trained for {facts['sizes']['iterations']:,} iterations only"
    if not at:
        return FAILS, f"three layers with Maclaurin 5: no collapse in {facts['sizes']['iterations']:,} iterations"
    measured = f"three layers with Maclaurin 5: {len(at)} of {count} collapse, at {min(at):,} to {max(at):,}"
    two = [one["iterations"] for one in facts["deeper"] if one["collapsed"]]
    measured += (
        f"; two layers collapse too, at {min(two):,} to {max(two):,}, so depth is not the only cause" if two else ""
    )
    near = len(at) == count and 5_000 <= statistics.median(at) <= 20_000
    return (PARTLY if two else HOLDS) if near else FAILS, measured


def degree(facts: Facts) -> Verdict:
    """A higher degree of the series at 0 collapses as well."""
    if facts["sizes"]["iterations"] < LONG:
        return MISSING, f"this run trained for {facts['sizes']['iterations']:,} iterations only"
    (five, _), (nine, count) = (_collapsed(facts, name) for name in ("maclaurin-5", "maclaurin-9"))
    measured = f"Maclaurin 9: {len(nine)} of {count} collapse"
    if nine and five:
        measured += f", the first at {min(nine):,} (degree 5: {min(five):,})"
    return HOLDS if len(nine) == count else FAILS, measured


def interpolation(facts: Facts) -> Verdict:
    """Fits over an interval train, and err outside of it; a clip is what bounds."""
    if facts["sizes"]["iterations"] < LONG:
        return MISSING, f"this run trained for {facts['sizes']['iterations']:,} iterations only"
    fits = {name: _collapsed(facts, name) for name in FITS}
    worst = {one["name"]: one["worst_16"] for one in facts["polynomials"]}
    bounded = facts["bounded"]
    measured = ", ".join(f"{FITS[name]}: {len(at)} of {count} collapse" for name, (at, count) in fits.items())
    measured += (
        f"; but on ±16 their errors reach {worst['fit-10']:,.0f} and {worst['fit-3']:,.0f}. Only clipping bounds the "
        f"error: {'collapse' if bounded['collapsed'] else 'no collapse'} in {bounded['iterations']:,} iterations"
    )
    return PARTLY if not any(at for at, _ in fits.values()) else FAILS, measured


def interacts(facts: Facts) -> Verdict:
    """HE computes more, SMPC exchanges more: the rows of the one table."""
    rows = {row["name"]: row for row in facts["table"]}
    he = [row for row in rows.values() if row["family"] == "he" and row["name"].startswith("federated")]
    smpc = [row for row in rows.values() if row["family"] == "smpc"]
    if not he or not smpc:
        return MISSING, "the table has no rows of both"
    ways = [f"{row['name']}: {row['cpu_seconds']:.1f} s of CPU, {row['rounds']:,} rounds" for row in (*he, *smpc)]
    heavier = min(row["cpu_seconds"] for row in he) > max(row["cpu_seconds"] for row in smpc)
    fewer = max(row["rounds"] for row in he) < min(row["rounds"] for row in smpc)
    shares = next((row for row in rows.values() if row["family"] == "shares"), None)
    ways += [f"training on shares: {shares['rounds']:,} rounds"] if shares else []
    return HOLDS if heavier and fewer else PARTLY if heavier or fewer else FAILS, "; ".join(ways)


def _collapsed(facts: Facts, activation: str) -> tuple[list[int], int]:
    """At which iterations an activation collapsed, and of how many starts."""
    cells: list[Mapping[str, Any]] = next(
        (row["cells"] for row in facts["collapses"] if row["activation"] == activation), []
    )
    return [cell["iterations"] for cell in cells if cell["collapsed"]], len(cells)

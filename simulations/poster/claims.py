"""The poster's claims, each with what it says, what was measured here, and a verdict that follows from the numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fedsec.simulations.poster.shared_training import training_claims
from fedsec.simulations.poster.verdicts import FAILS, HOLDS, MISSING, PARTLY, REFUTED, SHORT, Facts, Verdict


@dataclass(frozen=True)
class Claim:
    """`judge` reads the facts of one experiment; `part` is what of the experiment it needs."""

    number: str
    claim: str
    experiment: str
    part: str
    judge: Callable[[Facts], Verdict]

    def row(self, found: Mapping[str, Facts], short: Collection[str] = ()) -> dict[str, str]:
        """The claim's line of the page; short: the experiments that were run in their short form."""
        facts, brief = found.get(self.experiment, {}), self.experiment in short
        command = "fedsec poster all" if brief else f"fedsec poster {self.experiment}"
        if self.part in facts:
            verdict, measured = self.judge(facts)
        else:
            verdict, measured = MISSING, "left out of the short run" if brief else f"run {command}"
        if brief and verdict == MISSING:
            verdict = SHORT
        run = SHORT if brief else ""
        return {**self._head(), "verdict": verdict, "measured": measured, "command": command, "run": run}

    def _head(self) -> dict[str, str]:
        return {"number": self.number, "claim": self.claim}


def _exact_sums(facts: Facts) -> Verdict:
    one = facts["sums"]
    measured = f"{one['wrong']} of {one['values']:,} sums of {one['hospitals']} values differ from plain addition"
    return HOLDS if not one["wrong"] else FAILS, measured


def _fresh(facts: Facts) -> Verdict:
    one = facts["ciphertexts"]
    every = one["different"] == one["right"] == one["encryptions"]
    measured = (
        f"{one['encryptions']:,} encryptions of one message gave {one['different']:,} different ciphertexts; "
        f"{one['right']:,} decrypt to it"
    )
    return HOLDS if every else FAILS, measured


def _table(wanted: Callable[[Facts], bool], misprints: bool = False) -> Callable[[Facts], Verdict]:
    """misprints: whether the notes are about this table's own cells, which then holds in part."""

    def judge(facts: Facts) -> Verdict:
        cells = [value for value in facts["values"] if value["poster"] is not None and wanted(value)]
        if not cells:
            return MISSING, "this run has none of the poster's settings"
        worst = max(abs(value["deviation"]) for value in cells)
        notes = "; ".join(value["note"] for value in cells if value["note"])
        measured = f"{len(cells)} values agree within {worst:.2f}, by the poster's definition" + (
            f"; {notes}" if notes else ""
        )
        within = PARTLY if misprints and notes else HOLDS
        return within if worst <= facts["tolerance"] else FAILS, measured

    return judge


def _over(facts: Facts, eta: float | None, iterations: int | None) -> list[tuple[float, Sequence[float]]]:
    rows = {
        (row["iterations"] if iterations is None else row["eta"]): row["gains"]
        for row in facts["trends"]
        if eta in (None, row["eta"]) and iterations in (None, row["iterations"])
    }
    return sorted(rows.items())


def _grows(facts: Facts) -> Verdict:
    gains = _over(facts, 0.001, None)
    seen = [min(b - a for a, b in zip(x, y, strict=True)) > 0 for (_, x), (_, y) in _inside(gains, 50, 200)]
    turned = next((count for count, gain in gains if count >= 50 and min(gain) < 0), None)
    measured = (
        f"it {'grows' if all(seen) else 'does not always grow'} from 50 to 200 iterations; by {turned} it is negative "
        "for a hospital"
    )
    if turned is None:
        if all(seen):
            return HOLDS, "it grows as far as was measured"
        return FAILS, "it does not always grow from 50 to 200 iterations"
    return PARTLY if all(seen) else FAILS, measured


def _falls(facts: Facts) -> Verdict:
    gains = dict(_over(facts, None, 100))
    if not {0.0005, 0.001, 0.002, 0.01} <= gains.keys():
        return MISSING, "the training diverges at one of the rates"
    fell = all(b < a for a, b in zip(gains[0.001], gains[0.01], strict=True))
    rose = all(b > a for a, b in zip(gains[0.0005], gains[0.002], strict=True))
    measured = (
        f"it {'falls' if fell else 'does not fall'} from 0.001 to 0.01 and {'rises' if rose else 'does not rise'} from "
        "0.0005 to 0.002; this and the trend over iterations are one trend, over eta times iterations"
    )
    return (PARTLY if fell and rose else HOLDS if fell else FAILS), measured


def _inside(gains: Sequence[tuple[float, Any]], low: float, high: float) -> list[tuple[Any, Any]]:
    inside = [one for one in gains if low <= one[0] <= high]
    return list(pairwise(inside))


def _accurate(facts: Facts) -> Verdict:
    one = facts["cancer"]
    measured = (
        f"breast cancer, 3-4-1 network: accuracy {one['accuracy']:.3f} encrypted, {one['accuracy_plain']:.3f} in the "
        f"clear (always the larger class: {one['accuracy_majority']:.3f}); weights within "
        f"{one['largest_difference']:.0e}"
    )
    return HOLDS if one["accuracy"] == one["accuracy_plain"] else FAILS, measured


def _right(facts: Facts) -> Verdict:
    one = facts["xor"]
    measured = ", ".join(f"{x:.3f}" for x in one["outputs"])
    return (
        HOLDS if one["solved"] else FAILS,
        f"outputs {measured} where 0, 1, 1, 0 is right; weights within {one['largest_difference']:.0e} of plain ones",
    )


def _slow(facts: Facts) -> Verdict:
    one = facts["xor"]
    measured = f"{one['seconds_per_iteration']:.2f} s an iteration, {one['slower']:,.0f} times as long as in the clear"
    return HOLDS if one["slower"] > 10 else FAILS, measured


def _noise(facts: Facts) -> Verdict:
    rows = facts["precision"]
    wrong = max((row["precision"] for row in rows if not row["solved"]), default=0)
    least = min((row["precision"] for row in rows if row["precision"] > wrong), default=None)
    best = min(row["difference"] for row in rows if row["difference"] is not None)
    overflow = "; ".join(
        f"a key of {one['key_bits']} bits overflows in iteration {one['wrong_from_iteration']}"
        for one in facts.get("overflow", [])
    )
    measured = (
        f"Paillier decrypts exactly, without noise; XOR is solved with {least} bits after the point or more, and "
        f"weights come within {best:.0e} of floating point"
    )
    return REFUTED if best < 1e-9 else FAILS, measured + (
        f". Overflow is real: without a refresh, {overflow}" if overflow else ""
    )


def _shared(facts: Facts) -> Verdict:
    one = facts["shares"]
    measured = (
        f"{one['right']} of {one['groups']} groups of {one['known'] + 1} give the secret; {one['refused']} of "
        f"{one['small_groups']} groups of {one['known']} are refused, and the smallest p of {one['tests']} "
        f"tests that their shares are uniform is {one['least_p']:.2g}, corrected"
    )
    whole = one["right"] == one["groups"] and one["refused"] == one["small_groups"]
    return HOLDS if whole and one["least_p"] > 1e-6 else FAILS, measured


def _horner(facts: Facts) -> Verdict:
    rows = {row["degree"]: row["products"] for row in facts["sigmoids"]}
    measured = "; ".join(
        f"degree {degree}: " + ", ".join(f"{way} {count}" for way, count in rows[degree].items())
        for degree in sorted(rows)
    )
    saves = all(min(one.values()) == one["Horner in x²"] for one in rows.values())
    return HOLDS if saves else FAILS, f"products of two secrets: {measured}"


def _helped(facts: Facts) -> Verdict:
    one = facts["xor"]
    each = one["exchanges"] / one["iterations"]
    moved = (one["bytes_to_key_holder"] + one["bytes_back"]) / one["exchanges"]
    measured = (
        f"{one['iterations']} iterations need {one['exchanges']:,} exchanges with the key holder, {each:.0f} in each, "
        f"of {moved / 1000:.0f} kB"
    )
    wrong = [row["wrong_from_iteration"] for row in facts.get("overflow", [])]
    measured += (
        f"; without exchanges, the affine model overflows in iteration {min(wrong)}" if wrong and all(wrong) else ""
    )
    return HOLDS if one["exchanges"] else FAILS, measured


def _both(value: Facts) -> bool:
    return bool(value["iterations"] == 100)


CLAIMS = (
    Claim("C1", "Multiplying ciphertexts adds the messages", "basics", "sums", _exact_sums),
    Claim("C2", "One message has many ciphertexts, because of a random r", "basics", "ciphertexts", _fresh),
    Claim("C3", "Table 1.0: differences when changing eta", "tables", "values", _table(_both, True)),
    Claim(
        "C4",
        "Table 2.0: differences when changing the iterations",
        "tables",
        "values",
        _table(lambda value: bool(value["eta"] == 0.001)),
    ),
    Claim("C5", "The difference grows with the iterations", "tables", "trends", _grows),
    Claim("C6", "The difference falls with eta", "tables", "trends", _falls),
    Claim("C7", "Encryption keeps the accuracy", "network", "cancer", _accurate),
    Claim("C8", "The prediction of the encrypted XOR network was accurate", "network", "xor", _right),
    Claim("C9", "The training was so slow", "network", "xor", _slow),
    Claim("C10", "Noise in the decryption and low precision made tuning tricky", "network", "precision", _noise),
    Claim("C11", "k + 1 shares reconstruct the secret; k reveal nothing about it", "basics", "shares", _shared),
    Claim(
        "C12",
        "A two-layer network trains on shared diabetes data",
        "shared-training",
        "accuracy",
        training_claims.works,
    ),
    Claim(
        "C13",
        "With more layers it explodes after some 10,000 iterations",
        "shared-training",
        "collapses",
        training_claims.explodes,
    ),
    Claim("C14", "Increasing the degree was not enough", "shared-training", "collapses", training_claims.degree),
    Claim(
        "C15",
        "Interpolation is better, and a low degree suffices",
        "shared-training",
        "collapses",
        training_claims.interpolation,
    ),
    Claim("C16", "Horner's method reduces the multiplications", "network", "sigmoids", _horner),
    Claim(
        "C17",
        "HE: hard computation, few interactions; SMPC: more interactions, less computation",
        "shared-training",
        "table",
        training_claims.interacts,
    ),
    Claim("C18", "HE alone is not sufficient", "network", "xor", _helped),
)


def rows(
    found: Mapping[str, Facts], short: Collection[str] = (), claims: Sequence[Claim] = CLAIMS
) -> list[dict[str, str]]:
    """Every claim with its verdict, by the facts of each experiment; where they are missing, what to run.

    short: the experiments that were run in their short form, which cannot decide all that a full run does.
    """
    return [claim.row(found, short) for claim in claims]

"""The whole transport interface: one exchange of requests and answers, and an answer that is a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fedsec.errors import FedsecError
from fedsec.protocol import PartyId

Incident = tuple[str, PartyId, str]
"""One answer that was not accepted: phase, party and reason."""
NO_ANSWER = "no answer in time"
"""The reason of an incident where nothing came back."""
NOT_ENROLLED = "this party has not enrolled"
"""What a party says, as OutOfPhase, that is asked by an epoch and remembers none: it lost its state."""


@dataclass(frozen=True)
class Phase:
    """One exchange: what it belongs to, and whether it asks for inputs (and so must bring the model)."""

    stage: str
    round: int
    name: str
    asks_input: bool = False


@dataclass(frozen=True)
class Refusal:
    """A party's answer that it does not answer: the error's class, and of its text what may leave the party."""

    reason: str

    @classmethod
    def of(cls, error: Exception, whole: bool = False) -> Refusal:
        """What may be sent of an error that was raised at a party.

        whole: everything, with the error that caused it, as only a simulation may.
        """
        kind = type(error).__name__
        if whole:
            cause = f": {error.__cause__}" if error.__cause__ is not None and str(error.__cause__) else ""
            return cls(f"{kind}: {error}{cause}" if str(error) else kind)
        text = error.public_text if isinstance(error, FedsecError) else ""
        return cls(f"{kind}: {text}" if text else kind)


Exchange = Callable[[Phase, Mapping[PartyId, bytes]], Iterable[tuple[PartyId, "bytes | Refusal"]]]
"""The whole transport interface: requests out, whatever answers came back, in any order and number."""

"""One exception family, in the words of the user: what was expected, what came, from whom, and what to do.

Whether an error's text may leave the party that raised it is a property of its class. A text about a party's own
data never does: the server receives the class alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self


class FedsecError(Exception):
    """Base of every error that fedsec raises on purpose.

    public: what may leave the party in place of the text, where the text names files of its machine.
    """

    speaks_of_data: ClassVar[bool] = False
    """True where the text may reveal a party's private data, so that only the class name may be sent."""
    false: frozenset[int] = frozenset()
    """At the server, the parties that the failed step proved false."""

    def __init__(self, *arguments: object, public: str | None = None) -> None:
        super().__init__(*arguments)
        self._public = public

    def proving(self, false: Iterable[int]) -> Self:
        """The same error, with the parties that are proven false."""
        self.false = frozenset(false)
        return self

    @property
    def public_text(self) -> str:
        """What a party may tell the server beside the class.

        Empty where the text speaks of data, or repeats what an error that is not fedsec's says: such texts name files,
        and may quote rows.
        """
        if self.speaks_of_data:
            return ""
        if self._public is not None:
            return self._public
        text = str(self)
        return "" if any(said in text for said in _foreign_texts(self)) else text


def _foreign_texts(error: BaseException) -> Iterator[str]:
    """What the errors behind this one say, and the files that they name, as far as fedsec did not raise them."""
    behind = error.__cause__ or error.__context__
    while behind is not None:
        if not isinstance(behind, FedsecError):
            words = [each for each in behind.args if isinstance(each, str | Path)]
            files = [getattr(behind, name, None) or "" for name in ("filename", "filename2")]
            yield from filter(None, map(str, (behind, *words, *files)))
        behind = behind.__cause__ or behind.__context__


class ConfigurationError(FedsecError):
    """An option, name, threshold or parameter that cannot work."""


class HeadroomError(ConfigurationError):
    """The integer sum would not be exact: too few bits for these values and parties."""


class DataError(FedsecError):
    """A hospital's data, update or metric is not usable."""

    speaks_of_data = True


class LayoutError(FedsecError):
    """An update's arrays or metrics are not those of the model, or not those that the other hospitals sent."""


class BadMessage(FedsecError):
    """A received value has the wrong form, type, range or size."""


class AuthenticationError(FedsecError):
    """A signature, a sealed envelope or an identity does not hold."""


class Stale(FedsecError):
    """A message from another session, epoch or run, or one that was already answered."""


class PolicyError(FedsecError):
    """The request asks for something that this party does not allow."""


class OutOfPhase(FedsecError):
    """A request that the protocol does not allow at this point."""


class RunFailed(FedsecError):
    """A whole run failed. `result` is what it has all the same, such as Flower's Result; None where it has nothing."""

    def __init__(self, text: str, result: object = None) -> None:
        super().__init__(text)
        self.result = result


class TooFewParties(FedsecError):
    """Fewer parties answered a phase than the protocol needs.

    alike: how many of the answers are for the same sum, where these are too few and nothing proves the others false.
    """

    def __init__(
        self, phase: str, needed: int, answered: Iterable[int], asked: Iterable[int], *, alike: int | None = None
    ) -> None:
        self.phase, self.needed = phase, needed
        self.answered, self.asked = frozenset(answered), frozenset(asked)
        dropped = sorted(self.asked - self.answered)
        same = "" if alike is None else f", at most {alike} of them for the same sum,"
        missing = f"; no usable answer from {', '.join(map(str, dropped)) or 'nobody'}"
        super().__init__(
            f"phase {phase}: {len(self.answered)} of {len(self.asked)} parties answered{same} and {needed} are needed"
            f"{missing if dropped or not same else ''}"
        )

    def because(self, reasons: Mapping[int, str]) -> TooFewParties:
        """The same error, its text completed with why parties gave no usable answer, each reason once."""
        if reasons:
            self.args = (f"{self.args[0]} ({by_reason(reasons)})",)
        return self


def by_reason(reasons: Mapping[int, str]) -> str:
    """Why parties gave nothing usable, each reason once with the parties that gave it."""
    grouped: dict[str, list[str]] = {}
    for party, reason in sorted(reasons.items()):
        grouped.setdefault(reason, []).append(str(party))
    return "; ".join(f"party {', '.join(parties)}: {reason}" for reason, parties in grouped.items())


def unknown(kind: str, name: str, choices: Iterable[str]) -> ConfigurationError:
    """The error for a name that is not among `choices`, with the nearest one."""
    known, name = sorted(choices), str(name)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ConfigurationError(f"unknown {kind} {name!r}{hint} (choose from {', '.join(known)})")


LONGEST_SHOWN = 200


def expect(name: str, value: object, kinds: type[Any] | tuple[type[Any], ...], what: str) -> None:
    """Raise ConfigurationError, with `what` was expected, unless `value` is of these types; True is no number."""
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    if isinstance(value, wanted) and not (isinstance(value, bool) and bool not in wanted):
        return
    raise ConfigurationError(f"{name} is {shown(value)}; {what} was expected")


def shown(value: object) -> str:
    """A value in an error: as Python writes it, cut after LONGEST_SHOWN characters."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**LONGEST_SHOWN else "an integer"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def expect_path(name: str, value: object) -> Path:
    """A path that came as text or as a Path; raises ConfigurationError for anything else."""
    expect(name, value, (str, Path), "a path")
    if not str(value) or "\0" in str(value):
        raise ConfigurationError(f"{name} is {str(value)!r}; a path was expected", public=f"{name} is not a path")
    return Path(str(value))


def expect_new(name: str, path: Path, force: bool = False) -> None:
    """Raise ConfigurationError where something is at the path already that may not be replaced."""
    if path.exists() and not force:
        raise ConfigurationError(
            f"{name} {path} exists already; choose another, or replace it with --force", public=f"{name} exists already"
        )


def home_expanded(name: str, path: Path) -> Path:
    """The path with ~ for a home folder written out; raises ConfigurationError where there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ConfigurationError(
            f"{name} {path}: there is no home folder of that name", public=f"{name}: there is no such home folder"
        ) from error

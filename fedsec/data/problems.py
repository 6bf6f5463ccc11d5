"""What is wrong with a file, collected, so that one message says all of it, each problem with its cure."""

from __future__ import annotations

from dataclasses import dataclass, field

from fedsec.errors import DataError

MOST = 40


@dataclass
class Problems:
    """Problems of one file: whole sentences without its name, which is said once."""

    name: str
    found: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """One more, unless it is known."""
        if text not in self.found:
            self.found.append(text)

    def check(self) -> None:
        """Raise `error`, if there is any problem."""
        if self.found:
            raise self.error()

    def error(self) -> DataError:
        """All of them in one message, numbered where they are several."""
        if len(self.found) == 1:
            return DataError(f"{self.name}: {self.found[0]}")
        lines = [f"  {number}. {text}" for number, text in enumerate(self.found[:MOST], start=1)]
        more = [f"  and {len(self.found) - MOST} more"] if len(self.found) > MOST else []
        return DataError("\n".join([f"{self.name} has {len(self.found)} problems:", *lines, *more]))

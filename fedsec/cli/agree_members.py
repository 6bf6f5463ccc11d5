"""Who takes part in an agreement, as the command line names them: hospitals, the server and their public keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedsec.agreement.agreement_file import Hospital
from fedsec.errors import ConfigurationError, home_expanded
from fedsec.party.identity import public_key


def read_hospitals(texts: Sequence[str], file: Path | None) -> list[Hospital]:
    """The hospitals of the command line and of the file, in that order: each NAME=KEY, or NAME=KEY,WEIGHT.

    Raises ConfigurationError naming the text, or the file.
    """
    lines = list(texts)
    if file is not None:
        try:
            read = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise ConfigurationError(f"hospitals {file} cannot be read: {reason}") from error
        lines += [line.strip() for line in read if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise ConfigurationError("no hospital is named: give --hospital NAME=KEY for each, or --hospitals FILE")
    return [_hospital(line) for line in lines]


def _hospital(text: str) -> Hospital:
    name, equals, rest = text.partition("=")
    key, comma, weight = rest.partition(",")
    if not (name.strip() and equals) or (comma and not weight.strip().strip("0").isdecimal()):
        raise ConfigurationError(
            f"hospital is {text!r}; NAME=KEY was expected, or NAME=KEY,WEIGHT with a weight above 0"
        )
    found = read_key(f"hospital {name.strip()!r}", key.strip())
    return Hospital(name=name.strip(), key=found.hex(), weight=int(weight) if comma else None)


def read_key(who: str, text: str) -> bytes:
    """A public key, or that of a file which holds one; raises ConfigurationError naming `who`."""
    try:
        path = home_expanded(who, Path(text))
        return public_key(path.read_text(encoding="utf-8") if path.is_file() else text)
    except (ConfigurationError, OSError, UnicodeDecodeError) as error:
        why = error if isinstance(error, ConfigurationError) else f"{text} cannot be read"
        raise ConfigurationError(f"{who}: {why}; `fedsec agree identity FILE` prints a public key") from error

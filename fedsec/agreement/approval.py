"""A hospital's approval: its signature on the agreement's hash, kept beside the agreement at the hospital."""

from __future__ import annotations

import json
from pathlib import Path

from fedsec import atomic
from fedsec.agreement.agreement_file import Agreement, trains
from fedsec.errors import AuthenticationError, ConfigurationError, PolicyError
from fedsec.primitives.signing import SigningKey, verify

SUFFIX = ".approved"
_STATEMENT = b"fedsec approval"


def path_beside(agreement: Path) -> Path:
    """Where the approval of an agreement's file lies."""
    return agreement.with_name(agreement.name + SUFFIX)


def approve(agreement: Agreement, key: SigningKey, path: Path) -> None:
    """Sign the agreement's hash with a hospital's identity, and write that to `path`.

    Raises PolicyError where the identity is not one of the agreement's hospitals, or the agreement leaves the scale of
    updates to be measured, and ConfigurationError where the file cannot be written.
    """
    check_named(agreement, key)
    check_scale(agreement)
    approval = {
        "agreement": agreement.hash.hex(),
        "identity": key.public.hex(),
        "signature": key.sign(_STATEMENT + agreement.hash).hex(),
    }
    try:
        atomic.write(path, json.dumps(approval, indent=1).encode() + b"\n")
    except OSError as error:
        raise ConfigurationError(f"the approval {path} cannot be written: {error.strerror}") from error


def check(agreement: Agreement, key: SigningKey, path: Path) -> None:
    """Raise PolicyError unless this hospital itself approved this very agreement."""
    check_named(agreement, key)
    check_scale(agreement)
    cure = "read it (`fedsec agree show`), then `fedsec agree approve`"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        approved, identity, signature = (bytes.fromhex(found[name]) for name in ("agreement", "identity", "signature"))
    except FileNotFoundError:
        raise PolicyError(f"this hospital has not approved the agreement: {cure}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"the approval {path} cannot be read: {error}", public="the approval cannot be read"
        ) from error
    if approved != agreement.hash:
        raise PolicyError(f"this hospital approved another agreement than the one that is configured: {cure}")
    try:
        if identity != key.public:
            raise AuthenticationError("another identity")
        verify(identity, signature, _STATEMENT + approved)
    except AuthenticationError as error:
        raise PolicyError(f"the approval of the agreement was not signed by this hospital: {cure}") from error


def check_named(agreement: Agreement, key: SigningKey) -> None:
    """Raise PolicyError unless this identity is that of one of the agreement's hospitals."""
    if key.public not in agreement.keys:
        raise PolicyError(
            f"this hospital's public key, {key.public.hex()}, is none of the agreement's {len(agreement.hospitals)}: "
            "add it under [[hospitals]], and let all approve again"
        )


def check_scale(agreement: Agreement) -> None:
    """Raise PolicyError where the scale of updates would be measured.

    What was measured, the server alone has seen: one that invents it chooses the scale of each session, and sums under
    many scales tell each hospital's update.
    """
    if agreement.encoding.spec.measured and any(map(trains, agreement.stages)):
        raise PolicyError(
            "the agreement names no scale of updates, and a server could choose a measured one: set clip under "
            "[encoding], and largest_weight unless weights are equal, and let all approve again"
        )

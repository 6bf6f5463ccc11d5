"""What a hospital allows, whatever the server asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass
from types import NoneType
from typing import Any

from fedsec.agreement import admission
from fedsec.agreement.agreement_file import Agreement
from fedsec.errors import ConfigurationError, PolicyError, expect
from fedsec.primitives.signing import KEY_BYTES
from fedsec.protocol import PartyId, SecureSum
from fedsec.wire.membership import Member


@dataclass(frozen=True)
class Policy:
    """What a party allows, whatever the server asks for. It is fixed where the party lives.

    floor           the fewest contributors in any sum it takes part in (at least 3)
    threshold       the fewest hospitals that may be able to open an input, together and with the server's help: it
                    refuses strategies with `withstands(cohort) + 1` below it (at least 1)
    trusts_server   believe that the server is semi-honest, and so take strategies that promise nothing against a
                    malicious one; None means in simulation only
    simulation      allow strategies that hide nothing, and trust identities on first use
    server          the server's pinned Ed25519 public key
    hospitals       the pinned public keys of all who may be on the roster
    agreement       what all agreed on: a request that differs is refused (fedsec/agreement). It pins the server and
                    the hospitals too
    """

    floor: int = 3
    threshold: int = 1
    simulation: bool = False
    trusts_server: bool | None = None
    server: bytes | None = None
    hospitals: frozenset[bytes] = frozenset()
    agreement: Agreement | None = None

    def __post_init__(self) -> None:
        for name, value in (("floor", self.floor), ("threshold", self.threshold)):
            expect(name, value, int, "a whole number")
        expect("simulation", self.simulation, bool, "true or false")
        expect("trusts_server", self.trusts_server, (bool, NoneType), "true, false or None")
        expect("hospitals", self.hospitals, Set, "a set of public keys")
        expect("agreement", self.agreement, (Agreement, NoneType), "an Agreement or None")
        if self.agreement is not None:
            server, hospitals = bytes.fromhex(self.agreement.server), self.agreement.keys
            if (self.server or server) != server or (self.hospitals or hospitals) != hospitals:
                raise ConfigurationError(
                    "the server or the hospitals pinned here are not those of the agreement: the agreement pins both"
                )
            object.__setattr__(self, "server", server)
            object.__setattr__(self, "hospitals", hospitals)
        for key in self.hospitals if self.server is None else (self.server, *self.hospitals):
            if not isinstance(key, bytes) or len(key) != KEY_BYTES:
                raise ConfigurationError(f"a pinned key is {key!r}; {KEY_BYTES} bytes of a public key were expected")
        if self.floor < 3:
            raise ConfigurationError(f"floor is {self.floor}; a party never helps to open fewer than 3 inputs")
        if self.threshold < 1:
            raise ConfigurationError(f"threshold is {self.threshold}; it takes at least 1 hospital to open an input")

    def admit_collusion(self, protocol: SecureSum[Any, Any], cohort: Collection[PartyId], floor: int) -> None:
        """Raise PolicyError where too few of this cohort could open an input under `protocol`.

        A malicious server chooses whose sum is opened, so `floor` - 1 helpers always single one out.
        """
        trusted = self.simulation if self.trusts_server is None else self.trusts_server
        promised = protocol.withstands(cohort) if trusted else min(protocol.withstands(cohort, True), floor - 2)
        if promised < 0:
            raise PolicyError(
                f"strategy {protocol.name} with these parameters promises nothing for a cohort of {len(cohort)} "
                "against a malicious server, and this party does not trust the server (fedsec-trusts-server)"
            )
        if promised + 1 < self.threshold:
            doubt = "" if trusted else f" if the server is malicious, with a floor of {floor}"
            raise PolicyError(
                f"{promised + 1} of these {len(cohort)} hospitals may open an input under {protocol.name} with the "
                f"server's help{doubt}; this party's threshold is {self.threshold}"
            )

    def admit_server(self, identity: bytes) -> None:
        """Raise PolicyError unless `identity` may lead a run."""
        if self.server is None and not self.simulation:
            raise PolicyError("no server key is pinned here; trust on first use is for simulation alone")
        if self.server is not None and identity != self.server:
            raise PolicyError("the server's identity is not the pinned one")

    def admit_roster(self, roster: Mapping[PartyId, Member]) -> None:
        """Raise PolicyError unless these parties may form a federation."""
        if len(roster) < self.floor:
            raise PolicyError(f"a roster of {len(roster)} is below this party's floor of {self.floor}")
        if len({member.identity for member in roster.values()}) < len(roster):
            raise PolicyError("two parties of the roster have the same identity")
        if not self.hospitals and not self.simulation:
            raise PolicyError("no hospitals are pinned here; trust on first use is for simulation alone")
        if self.agreement is not None:
            admission.admit_roster(self.agreement, roster)
        strangers = [party for party, member in sorted(roster.items()) if member.identity not in self.hospitals]
        if self.hospitals and strangers:
            raise PolicyError(f"parties {strangers} of the roster are not pinned here")

"""What a party's step knows of itself in one session, and how what it signs and seals is bound to that session.

Members of the roster are believed when they are first used, not when the roster is adopted: among 1,000 parties a step
may need thirty, and each would check a thousand signatures. Nothing is lost by waiting. A member's keys, and its name
as a sender, reach a step through the methods below alone, and each of them checks first that this member itself joined
this epoch, under these terms, with this key. So under a forged member nothing verifies, nothing unseals, nothing is
sealed and no key is agreed on: to this party that member has dropped out, and a server can drop any member anyway.
Only its presence counts, in the size of roster and cohort. That size proves nobody's presence, so strategies
count towards a floor only those whose messages they unsealed or verified. Pins are checked for the whole roster, when
it is adopted. One thing comes later than it could: a party adopts a roster with a forged member, and refuses at the
first step that uses it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping

from fedsec.errors import AuthenticationError
from fedsec.primitives.key_agreement import AgreementKey, derive, shared_secret
from fedsec.primitives.randomness import Random
from fedsec.primitives.sealing import seal, unseal
from fedsec.primitives.signing import SigningKey, verify
from fedsec.protocol import Message, PartyContext, PartyId
from fedsec.wire import codec, envelope
from fedsec.wire.envelope import Session
from fedsec.wire.membership import Epoch, Member


@functools.lru_cache(maxsize=1 << 18)
def _believe(verifier: bytes, party: PartyId, member: Member, epoch: Epoch) -> None:
    """Raise AuthenticationError unless `member` itself joined this epoch as `party`.

    What held once holds again (errors are not kept). `verifier`, the identity of who checks, is part of the key only
    so that in a simulation each party pays for its own checks, as it would by itself.
    """
    try:
        member.check(party, epoch)
    except AuthenticationError as error:
        raise AuthenticationError(f"party {party} of the roster did not join this epoch itself: {error}") from error


class SessionContext(PartyContext):
    """A party's view of one session; all it signs and seals is bound to the session."""

    def __init__(
        self,
        party: PartyId,
        identity: SigningKey,
        agreement: AgreementKey,
        members: Mapping[PartyId, Member],
        session: Session,
        server: bytes,
        phase: str,
        floor: int,
    ) -> None:
        self._identity, self._agreement, self._session = identity, agreement, session
        self._members, self._epoch, self._phase = members, Epoch.of(session, server), phase
        self._secrets: dict[PartyId, bytes] = {}
        self.id, self.floor = party, floor
        self.context = hashlib.sha256(b"fedsec context" + session.binding).digest()
        self.cohort, self.roster = frozenset(session.cohort), frozenset(self._members)

    def __repr__(self) -> str:
        return f"<party {self.id}>"

    def _member(self, party: PartyId) -> Member:
        if party not in self._members:
            raise AuthenticationError(f"party {party} is not on the roster")
        member = self._members[party]
        if party != self.id:  # its own entry was compared with its own keys when it adopted the roster
            _believe(self._members[self.id].identity, party, member, self._epoch)
        return member

    def identity(self, party: PartyId) -> bytes:
        return self._member(party).identity

    def sign(self, statement: Message) -> bytes:
        return self._identity.sign(envelope.statement(self._session, self.id, statement))

    def verify(self, sender: PartyId, statement: Message, signature: bytes) -> None:
        verify(self._member(sender).identity, signature, envelope.statement(self._session, sender, statement))

    def pairwise_key(self, other: PartyId, label: str) -> bytes:
        theirs = self._member(other).agreement
        if other not in self._secrets:  # X25519 costs a hundred times what a derivation does
            self._secrets[other] = shared_secret(self._agreement, theirs)
        info = b"fedsec pairwise" + codec.pack([*sorted((self.id, other)), label])
        return derive(self._secrets[other], self._members[self.id].agreement, theirs, info, self._session.binding)

    def _associated(self, sender: PartyId, receiver: PartyId, phase: str, kind: str) -> bytes:
        return b"fedsec sealed" + codec.pack([self._session.binding, sender, receiver, phase, kind])

    def seal(self, receiver: PartyId, plaintext: bytes, kind: str, rng: Random) -> bytes:
        key = self.pairwise_key(receiver, f"seal from {self.id}")
        return seal(key, plaintext, self._associated(self.id, receiver, self._phase, kind), rng)

    def unseal(self, sender: PartyId, sealed: bytes, step: type[Message], kind: str) -> bytes:
        key = self.pairwise_key(sender, f"seal from {sender}")
        return unseal(key, sealed, self._associated(sender, self.id, step.tag, kind))

    def unseal_own(self, receiver: PartyId, sealed: bytes, step: type[Message], kind: str) -> bytes:
        key = self.pairwise_key(receiver, f"seal from {self.id}")
        return unseal(key, sealed, self._associated(self.id, receiver, step.tag, kind))

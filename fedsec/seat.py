"""What a party's step knows of itself in one session, and how what it signs and seals is bound to that session."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from fedsec import codec
from fedsec.envelope import Member, Session
from fedsec.errors import AuthenticationError
from fedsec.primitives.key_agreement import AgreementKey, agree
from fedsec.primitives.randomness import Random
from fedsec.primitives.sealing import seal, unseal
from fedsec.primitives.signing import SigningKey, verify
from fedsec.protocol import Me, Message, PartyId


class Seat(Me):
    """A party's view of one session; all it signs and seals is bound to the session."""

    def __init__(
        self,
        party: PartyId,
        identity: SigningKey,
        agreement: AgreementKey,
        members: Mapping[PartyId, Member],
        session: Session,
        floor: int,
    ) -> None:
        self._identity, self._agreement, self._session = identity, agreement, session
        self._members = dict(members)
        self.id, self.floor = party, floor
        self.context = hashlib.sha256(b"fedsec context" + session.binding).digest()
        self.cohort, self.roster = frozenset(session.cohort), frozenset(self._members)

    def __repr__(self) -> str:
        return f"<party {self.id}>"

    def _member(self, party: PartyId) -> Member:
        if party not in self._members:
            raise AuthenticationError(f"party {party} is not on the roster")
        return self._members[party]

    def identity(self, party: PartyId) -> bytes:
        return self._member(party).identity

    def _statement(self, sender: PartyId, statement: Message) -> bytes:
        body = hashlib.sha256(codec.encode(statement)).digest()
        return b"fedsec statement" + codec.pack([self._session.binding, sender, statement.tag, body])

    def sign(self, statement: Message) -> bytes:
        return self._identity.sign(self._statement(self.id, statement))

    def verify(self, sender: PartyId, statement: Message, signature: bytes) -> None:
        verify(self._member(sender).identity, signature, self._statement(sender, statement))

    def pairwise_key(self, other: PartyId, label: str) -> bytes:
        info = b"fedsec pairwise" + codec.pack([*sorted((self.id, other)), label])
        return agree(self._agreement, self._member(other).agreement, info, salt=self._session.binding)

    def _associated(self, sender: PartyId, receiver: PartyId) -> bytes:
        return b"fedsec sealed" + codec.pack([self._session.binding, sender, receiver])

    def seal(self, receiver: PartyId, plaintext: bytes, rng: Random) -> bytes:
        key = self.pairwise_key(receiver, f"seal from {self.id}")
        return seal(key, plaintext, self._associated(self.id, receiver), rng)

    def unseal(self, sender: PartyId, sealed: bytes) -> bytes:
        return unseal(self.pairwise_key(sender, f"seal from {sender}"), sealed, self._associated(sender, self.id))

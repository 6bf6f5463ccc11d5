"""What the tests share: a hypothesis profile, the command line, and a server that keeps no rule."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from fedsec import catalog
from fedsec.local import LocalFederation
from fedsec.party.context import SessionContext
from fedsec.party.party import Party, PartyState
from fedsec.party.policy import Policy
from fedsec.primitives.key_agreement import AgreementKey
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import SERVER, Flow, Message, PartyId, Replies, Requests, SecureSum, run
from fedsec.server.coordinator import Channel
from fedsec.strategies.paillier import Paillier
from fedsec.strategies.shamir import Shamir
from fedsec.wire import codec, envelope
from fedsec.wire.envelope import SETUP, Header, Session
from fedsec.wire.membership import Adopt, Enrol, Member, read_roster, roster_hash

pytest_plugins = ["tests.leftovers", "tests.tiers"]

# Tests start some hundred programs, each of which would compile this checkout anew; so would each session its tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile("fedsec", print_blob=True, deadline=None)
settings.load_profile("fedsec")

TEXTBOOK = "paillier_textbook"
"""The strategy that takes tens of milliseconds for each value: tests give it keys that protect nothing."""


@pytest.fixture(autouse=True)
def _no_strategy_file_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is given a file allows it in this process, and so in every test that follows."""
    before = os.environ.get(catalog.FILES_VARIABLE)
    monkeypatch.setenv(catalog.FILES_VARIABLE, before or "")
    if before is None:
        monkeypatch.delenv(catalog.FILES_VARIABLE)


@pytest.fixture(scope="session", autouse=True)
def _small_textbook_keys() -> Iterator[int]:
    """The smallest key that it takes otherwise."""
    kind: Any = catalog.strategy(TEXTBOOK)
    least, kind.minimum_key_bits = kind.minimum_key_bits, 256
    yield least
    kind.minimum_key_bits = least


def keys_of(name: str) -> int | None:
    """Bits of the keys that a strategy has in a test, or None."""
    takes = any(item.name == "key_bits" for item in fields(catalog.strategy(name)))
    return None if not takes else 256 if name == TEXTBOOK else 2048


class DishonestServer:
    """Signs what it likes with the key that the parties believe, and hands it to them past the coordinator.

    `ask` returns a party's answer, or raises what the party raised. `inputs` are what parties contribute when they
    are asked, and `contributed` is who was.
    """

    def __init__(self, protocol: SecureSum[Any, Any], hospitals: int = 5, policy: Policy | None = None) -> None:
        self.federation = LocalFederation(protocol, hospitals, policy=policy or Policy(simulation=True))
        self.coordinator, self.protocol = self.federation.coordinator, protocol
        self.key = self.coordinator.sessions.identity
        self.inputs = {party: np.array([party, 10 ** (party % 8)], np.uint64) for party in self.federation.states}
        self.contributed: list[PartyId] = []
        self.federation._inputs = {party: lambda _, p=party: self._contribute(p) for party in self.inputs}  # type: ignore[misc]

    def _contribute(self, party: PartyId) -> tuple[Any, bytes]:
        self.contributed.append(party)
        return self.inputs[party], b""

    def state(self, party: PartyId) -> PartyState:
        return codec.decode(self.federation.states[party], PartyState)

    def identity(self, party: PartyId) -> SigningKey:
        return SigningKey(self.state(party).identity)

    def context_of(
        self, party: PartyId, session: Session, step: type[Message] | None = None, server: bytes = b""
    ) -> SessionContext:
        """What `party` itself can sign, seal and open in a session, where it answers `step` or the input phase."""
        state = self.state(party)
        keys = SigningKey(state.identity), AgreementKey(state.agreement)
        members = read_roster(state.roster).members if state.roster else {}
        phase = (step or self.protocol.input_phase).tag
        return SessionContext(party, *keys, members, session, server or self.key.public, phase, floor=3)

    def session(self, cohort: Collection[PartyId] = (), stage: str = "train", **changes: Any) -> Session:
        """A new session of the coordinator's, as it would be but for `changes`."""
        channel = self.coordinator.channel(cohort or sorted(self.inputs), stage=stage)
        return replace(channel._session, **changes)

    def request(self, party: PartyId, message: Message, session: Session, **changes: Any) -> bytes:
        """The signed bytes of a request; `changes` are of its header, or the `key` that signs."""
        key = changes.pop("key", self.key)
        header = replace(Header(session, message.tag, SERVER, party), **changes)
        return envelope.write(header, codec.encode(message), key)

    def send(self, party: PartyId, data: bytes) -> Any:
        federation = self.federation
        actor = Party(self.state(party), federation.policy, federation.build, federation.rng, federation.journal)
        try:
            answer = actor.respond(data, lambda *_: federation._inputs[party](None))
        finally:
            federation.states[party] = codec.encode(actor.state)
        return codec.decode(envelope.read(answer).body, Message)

    def ask(self, party: PartyId, message: Message, session: Session, **changes: Any) -> Any:
        return self.send(party, self.request(party, message, session, **changes))

    def run(self, flow: Flow[Any], sessions: Mapping[PartyId, Session]) -> Any:
        """The protocol's own server side, with each party in a session of its own; refusals count as silence.

        What counts as signed is what is signed in the session that most are in.
        """
        common, _ = Counter(sessions.values()).most_common(1)[0]
        channel = Channel(self.coordinator, common, 0)

        def deliver(requests: Requests) -> Replies:
            answers: dict[PartyId, Message] = {}
            for party, request in requests.items():
                answer = self.federation.ask(party, self.request(party, request, sessions[party]))
                if isinstance(answer, bytes):
                    answers[party] = codec.decode(envelope.read(answer).body, Message)
            return answers

        return run(flow, deliver, verify=channel.signed)

    def enrol(self, **changes: Any) -> dict[PartyId, Member]:
        """All parties enrol into a new epoch, and are shown no roster yet."""
        self.coordinator.roster = {}
        self.coordinator.sessions.epoch += 1
        session, offer = self.session(stage=SETUP, **changes), Enrol(self.key.public, self.coordinator.terms)
        return {party: self.ask(party, offer, session).member for party in session.cohort}

    def adopt(self, party: PartyId, members: Mapping[PartyId, Member], **changes: Any) -> Any:
        """Show a party this roster, in a session that is bound to it but for `changes`."""
        session = self.session(stage=SETUP, **{"roster": roster_hash(members), **changes})
        return self.ask(party, Adopt(members), session)

    def found(self) -> DishonestServer:
        """An epoch with all parties, whatever the coordinator would say to it."""
        members = self.enrol()
        for party in members:
            self.adopt(party, members)
        self.coordinator.roster = members
        return self


@pytest.fixture
def dishonest() -> Callable[..., DishonestServer]:
    """Makes a dishonest server before parties that have not enrolled; arguments as of DishonestServer."""
    return DishonestServer


@pytest.fixture
def server() -> DishonestServer:
    """Before five hospitals that have adopted a roster, under shamir."""
    return DishonestServer(Shamir()).found()


@pytest.fixture(scope="session")
def _paillier() -> DishonestServer:
    made = DishonestServer(Paillier(key_bits=2048, policy="fast"))
    made.federation.enrol()
    return made


@pytest.fixture
def paillier(_paillier: DishonestServer) -> Iterator[DishonestServer]:
    """Before five hospitals with a Paillier key of 2048 bits, made once: party 1 holds it, party 2 is the witness."""
    inputs = dict(_paillier.federation._inputs)
    yield _paillier
    _paillier.federation._inputs, _paillier.federation.faults, _paillier.federation.tap = inputs, (), None


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without what takes longest in it: the figures of its page, and most resamples of its intervals."""
    from fedsec.learning import auc
    from fedsec.report import run_page

    monkeypatch.setattr(auc, "RESAMPLES", 20)
    monkeypatch.setattr(run_page, "draw", lambda document, rows: [])


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Runs the command line in this process and in an empty folder: exit status, standard output, standard error."""
    from fedsec import cli

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["fedsec", *words])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
        return code, *capfd.readouterr()

    return call

"""The waist: `SecureSum` is what a strategy implements, and `PartyContext` is what its step at a party is given.

The server's side of a protocol is a generator (a flow) that yields requests and receives replies, so it reads like
the paper; a party's side is a pure step. Transport, metering, Flower and floating point are elsewhere.
"""

from __future__ import annotations

import inspect
from abc import ABC, ABCMeta, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

from fedsec.errors import ConfigurationError, unknown
from fedsec.primitives.randomness import Random
from fedsec.protocol.coalitions import Coalition, Role
from fedsec.protocol.flow import Flow, Sum
from fedsec.protocol.messages import Message, PartyId, State, Vector
from fedsec.protocol.parameters import parameter, parameters_of, plain

Public = TypeVar("Public")


StateT = TypeVar("StateT", bound=State)


class PartyContext(ABC):
    """What a party's step knows of itself. Everything it signs, seals or agrees on is bound to the session."""

    id: PartyId
    cohort: frozenset[PartyId]
    """The round's contributors."""
    roster: frozenset[PartyId]
    """All parties of the set-up."""
    floor: int
    """The fewest contributors in any sum that this party helps to open."""
    context: bytes
    """32 bytes that name this session, no secret: a hash of run, epoch, cohort, roster, model and configuration."""

    @abstractmethod
    def identity(self, party: PartyId) -> bytes:
        """The Ed25519 public key of a party of the roster."""

    @abstractmethod
    def sign(self, statement: Message) -> bytes:
        """A signature on `statement` that other parties can check after the server relayed it."""

    @abstractmethod
    def verify(self, sender: PartyId, statement: Message, signature: bytes) -> None:
        """Check what `sender` signed in this session; raises AuthenticationError."""

    @abstractmethod
    def seal(self, receiver: PartyId, plaintext: bytes, kind: str, rng: Random) -> bytes:
        """Encrypt to one party of the roster, end to end, bound to the phase that is answered and to what it is."""

    @abstractmethod
    def unseal(self, sender: PartyId, sealed: bytes, step: type[Message], kind: str) -> bytes:
        """Open what `sender` sealed to me in this session, in answer to `step`, as this kind.

        Raises AuthenticationError, also where it was sealed in another step or as another kind.
        """

    @abstractmethod
    def unseal_own(self, receiver: PartyId, sealed: bytes, step: type[Message], kind: str) -> bytes:
        """Open what I sealed to `receiver` in this session, in answer to `step`, as this kind.

        Raises AuthenticationError for what was sealed by another, to another, in another step or as another kind. The
        receiver has the key, too: it can make such a seal, of what it knows.
        """

    @abstractmethod
    def pairwise_key(self, other: PartyId, label: str) -> bytes:
        """32 secret bytes that only `other` and I can compute, new in each session and for each label."""


class _Parameterised(ABCMeta):
    """Builds a strategy; a parameter that it lacks is a ConfigurationError, as a value out of range is."""

    def __call__(cls, *values: Any, **parameters: Any) -> Any:
        known = [each.name for each in parameters_of(cls)]
        name = cls.__module__.rpartition(".")[2]
        for each in parameters:
            if each not in known:
                raise unknown(f"parameter of strategy {name!r}", each, known)
        if len(values) > len(known) or parameters.keys() & known[: len(values)]:
            raise ConfigurationError(f"strategy {name!r} takes each of {', '.join(known)} once, by its name")
        return super().__call__(*values, **parameters)


@dataclass(frozen=True)
class SecureSum(Generic[StateT, Public], metaclass=_Parameterised):
    """A way to sum vectors. Its dataclass fields are its public parameters, which every party sees.

    A field states with `parameter` what it may be, and is checked here when an object is made; relations between
    parameters are checked in the strategy's own `__post_init__`, and what depends on the cohort in `check`.
    """

    private: ClassVar[bool] = True
    """False where the server reads every input: such a strategy runs in simulation only."""
    homomorphic: ClassVar[bool] = False
    """True where ciphertexts of one key are added, false where masks cancel or shares are: tables tell them apart."""
    costly: ClassVar[bool] = False
    """True where each value of a sum takes a public-key operation of its own: a study leaves out what it can."""
    setup_phases: ClassVar[tuple[type[Message], ...]] = ()
    """The requests of the set-up, in the only order that a party accepts."""
    phases: ClassVar[tuple[type[Message], ...]]
    """The requests of a round where no parameter changes them; otherwise `rounds` is overridden."""
    dispute_phases: ClassVar[tuple[type[Message], ...]] = ()
    """Requests that are asked only where a party complains, in their order."""
    input_phase: ClassVar[type[Message]]
    """The request that a contributor answers with its input."""

    value_bits: int = parameter(24, "Bits of an input value, which is below 2^value_bits", low=1, high=60, unit="bits")
    floor: int = parameter(
        3,
        "Fewest contributors in any sum that is released",
        low=3,
        unit="hospitals",
        because="a sum of fewer than 3 inputs is never released",
    )

    def __post_init__(self) -> None:
        for declared in parameters_of(type(self)):  # parameters may come as JSON, from a user or from the server
            value = getattr(self, declared.name)
            if (kept := declared.checked(value)) is not value:
                object.__setattr__(self, declared.name, kept)

    @property
    def name(self) -> str:
        """The strategy's name: that of the file it lives in."""
        return type(self).__module__.rpartition(".")[2]

    def parameters(self) -> dict[str, int | float | str | bool | None]:
        """The public parameters, from which `type(self)(**parameters)` is built again at each party."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}

    def rounds(self) -> tuple[type[Message], ...]:
        """The requests of a round with these parameters, in the only order that a party accepts.

        The default is `phases`. A strategy whose parameters add or drop a phase overrides this.
        """
        return self.phases

    def requests(self) -> tuple[type[Message], ...]:
        """The requests of a round and of its disputes, in the only order that a party accepts.

        The default is `rounds`, then `dispute_phases`. A strategy that settles complaints earlier overrides this. A
        party refuses every request that is not listed, before the strategy sees it.
        """
        return (*self.rounds(), *self.dispute_phases)

    def check(self, clients: Collection[PartyId]) -> None:
        """Raise ConfigurationError where these contributors cannot run the protocol; parties call it too."""
        if len(clients) < self.floor:
            raise ConfigurationError(f"a cohort of {len(clients)} is below the floor of {self.floor} contributors")

    @abstractmethod
    def capacity(self, clients: Collection[PartyId]) -> int:
        """The largest sum that is exact with these contributors."""

    @abstractmethod
    def tolerance(self, clients: Collection[PartyId]) -> Mapping[type[Message], int]:
        """How many of the parties asked may drop out in each phase of a round."""

    def withstands(self, clients: Collection[PartyId], malicious: bool = False) -> int:
        """How many colluding parties, with the server's help, learn no more than one sum of the others' inputs.

        The server is semi-honest or, if `malicious`, does as it likes: it then chooses of whom the sum is,
        above the floor. -1 where the server learns more even alone. The default promises nothing: 0 says no more than
        that the server alone must follow the protocol, and where the strategy is not `private`, not even that.
        """
        return -1 if malicious else 0

    def coalitions(self, clients: Collection[PartyId], malicious: bool = False) -> tuple[Coalition, ...]:
        """The smallest groups that could open one hospital's input; the server as in `withstands`.

        The default is one hospital more than the strategy withstands, with the server, which is alone where the
        strategy promises nothing. Overridden where some hospitals are worth more than others, or need no server.
        That all but one of a sum's hospitals know the last one's input is true of every sum, and not repeated.
        """
        count = self.withstands(clients, malicious) + 1 if self.private else 0
        return (Coalition(frozenset(clients), count),)

    def roles(self, clients: Collection[PartyId]) -> tuple[Role, ...]:
        """The tasks that some parties have beside contributing. The default is none."""
        return ()

    def statistical_bits(self, clients: Collection[PartyId]) -> int | None:
        """s where `withstands` may fail by chance, with probability 2^-s at most; None where it does not."""
        return None

    def corrects(self, clients: Collection[PartyId], answers: int) -> int:
        """How many false answers, of so many that help to open a sum, do not change it. The default is none."""
        return 0

    def columns(self, clients: Collection[PartyId], values: int) -> int:
        """How many numbers a message carries for so many values: fewer where several are packed. For planning."""
        return values

    def message_bytes(self, clients: Collection[PartyId], values: int) -> int:
        """The most bytes of a message over these clients whose inputs have so many values; with 0, of one without any.

        A longer message is refused before it is read. The default allows, for each client, 4 KiB for its keys,
        signatures and shares of secrets, and 24 bytes a value.
        """
        return len(clients) * (4096 + 24 * values)

    def peers(self, clients: Collection[PartyId]) -> int:
        """With how many others each of these contributors has to do, at most. For planning."""
        return len(clients) - 1

    def setup(self, clients: Collection[PartyId]) -> Flow[Public]:
        """The server's side, once per epoch: returns what the rounds need. The default asks nothing."""
        return _nothing()

    @abstractmethod
    def aggregate(self, clients: Collection[PartyId], public: Public) -> Flow[Sum]:
        """The server's side of one sum over `clients`, the round's contributors."""

    @abstractmethod
    def respond(
        self, me: PartyContext, state: StateT | None, request: Message, x: Vector | None, rng: Random
    ) -> tuple[StateT | None, Message]:
        """A party's step. `x` is its input in the input phase and None elsewhere; pure but for `rng`.

        The state that a set-up phase returns is where every round starts; a round's own state ends with it.
        """


def _nothing() -> Flow[Any]:
    return None
    yield {}


HEADINGS = ("Reference", "Server learns", "Trusts", "Tolerates", "Costs")


def headings(strategy: type[SecureSum[Any, Any]]) -> dict[str, str]:
    """The five lines that open a strategy's file, by heading; raises ConfigurationError where one is missing."""
    module = inspect.getmodule(strategy)
    lines = [line.strip() for line in (inspect.getdoc(module) or "").splitlines()]
    texts = {}
    for heading in HEADINGS:
        value = next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{heading}:")), "")
        if not value:
            raise ConfigurationError(f"strategy {strategy.__name__}: its file does not open with a {heading!r} line")
        texts[heading] = value
    return texts

"""The Flower mod for hospitals: the app's own function is called only when its contribution is asked for."""

from __future__ import annotations

import functools
import json
import os
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from logging import WARNING
from pathlib import Path
from typing import Any, cast

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode
from flwr.supercore import log

from fedsec import catalog
from fedsec.agreement import admission, agreement_file, approval
from fedsec.agreement.agreement_file import Agreement
from fedsec.encoding.ladder import Plan
from fedsec.encoding.layout import Layout
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import AuthenticationError, ConfigurationError, FedsecError, PolicyError, Stale
from fedsec.flower import app_reply, bundle, mod_order
from fedsec.flower.records import NOTE, RECORD
from fedsec.flower.simulation import in_simulation
from fedsec.party.identity import public_key, read_identity, read_public_keys
from fedsec.party.journal import Journal
from fedsec.party.party import Party, PartyState
from fedsec.party.policy import Policy
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import SecureSum, Vector
from fedsec.trail import Trail, TrailError
from fedsec.wire import codec, envelope
from fedsec.wire.envelope import Session
from fedsec.wire.exchange import Refusal

CONFIGURED = ("server", "hospitals", "identity", "agreement")
"""Keys of a node's configuration that make it a deployed one, wherever it runs."""


def secure_aggregation(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """The Flower mod for clients: the app's function is called only when its contribution is asked for.

    What this hospital allows comes from its own node configuration (`flower-supernode --node-config`):
    fedsec-agreement (the agreement that this hospital approved, see `fedsec agree`), fedsec-identity (a key file),
    fedsec-journal (the file that remembers what was answered; beside it lies the trail of what was answered and
    refused, FILE.trail, or where fedsec-trail says), fedsec-floor, fedsec-threshold, fedsec-trusts-server,
    fedsec-strategy-files. In simulation nothing is needed, and keys are trusted on first use. An error tells the
    server its class, and its text only where that says nothing of data; in simulation, all of it.

    Put it first, `mods=[secure_aggregation, ...]`: a mod before it would see no arrays, and is refused unless it has
    the attribute `needs_arrays = False`.
    """
    started = time.monotonic()
    trail, request = _trail(context), _request(message)
    try:
        reply = _respond(message, context, call_next, trail)
    except Exception as error:
        log(WARNING, "secure aggregation: this party does not answer: %s: %s", type(error).__name__, error)
        if not isinstance(error, FedsecError):
            log(WARNING, traceback.format_exc())
        refusal = Refusal.of(error, whole=_simulated(context))
        if trail is not None and not isinstance(error, TrailError):
            _refused(trail, context, None if isinstance(error, AuthenticationError) else request, error)
        reply = Message(Error(ErrorCode.MOD_FAILED_PRECONDITION, refusal.reason), reply_to=message)
    if time.monotonic() - started > message.metadata.ttl:
        # Returning would let a state from before the timeout overwrite a newer one.
        late = Stale(f"the phase closed after {message.metadata.ttl:.0f} s, before this party had finished")
        if trail is not None:
            _refused(trail, context, request, late)
        raise late
    return reply


def _respond(message: Message, context: Context, call_next: ClientAppCallable, trail: Trail | None) -> Message:
    mod_order.check(secure_aggregation)
    request = _request(message)
    if request is None:
        raise PolicyError("a message without a protocol request; this client answers secure aggregation only")
    message.content = RecordDict({name: value for name, value in message.content.items() if name != RECORD})
    fresh = RECORD not in context.state.config_records
    party = _load_party(context)
    context.state.pop(RECORD, None)  # it holds secret keys: the app's own code never sees them

    asked, notes = app_reply.Asked(message, context, call_next), dict[str, str]()
    agreement = party.policy.agreement
    if trail is not None:
        trail.ready()  # before rows are read
    if agreement is not None:
        admission.admit_configuration(agreement, context.run_config)

    def contribute(session: Session, plan: Plan | None, spec: MeanSpec, bits: int) -> tuple[Vector, bytes]:
        agreed = None
        if agreement is not None:
            weight = admission.weight_of(agreement, SigningKey(party.state.identity).public)
            admit = functools.partial(admission.admit_model, agreement, session.stage)
            agreed = app_reply.Agreed(agreement.layout(session.stage), weight, admit)
        made = app_reply.contribution(asked, session, plan, spec, bits, agreed)
        if made.unusable:
            log(WARNING, "secure aggregation: no usable update; it counts as no change: %s", made.unusable)
            notes[NOTE] = made.unusable
        return made.vector, codec.encode(made.layout) if agreed or made.layout != Layout((), {}) else b""

    try:
        reply = party.respond(request, contribute)
    finally:
        context.state[RECORD] = ConfigRecord({"party": codec.encode(party.state)})
    if trail is not None:
        trail.add("answered", **_asked(request), state="new" if fresh else "kept", **_under(agreement))
    # In a deployment the server learns of an update that is not usable by a count in the sum alone.
    said = notes if party.policy.simulation else {}
    return Message(RecordDict({RECORD: ConfigRecord({"reply": reply, **said})}), reply_to=message)


def _request(message: Message) -> bytes | None:
    """The protocol's request in a message; None in one without."""
    record = message.content.config_records.get(RECORD)
    request = record.get("request") if record is not None else None
    return request if isinstance(request, bytes) else None


def _trail(context: Context) -> Trail | None:
    """Where this hospital keeps its trail: in a deployment, beside its journal, or where it is configured."""
    config = context.node_config
    journal, path = (str(config.get(key, "")) for key in ("fedsec-journal", "fedsec-trail"))
    if not (journal or path):
        return None
    return Trail(Path(path or f"{journal}.trail"), _named(context))


def _named(context: Context) -> str:
    """What the agreement calls this hospital; `hospital` where it names none."""
    agreement, identity = _agreed(context), str(context.node_config.get("fedsec-identity", ""))
    try:
        return (agreement and agreement.name_of(read_identity(Path(identity)).public)) or "hospital"
    except FedsecError:
        return "hospital"


def _agreed(context: Context) -> Agreement | None:
    """The agreement that is configured here; None without one, and where it cannot be read."""
    path = str(context.node_config.get("fedsec-agreement", ""))
    try:
        return _agreement(Path(path)) if path else None
    except FedsecError:
        return None


def _asked(request: bytes) -> dict[str, str | int]:
    """What a request is about, as it says itself."""
    header = envelope.read(request).header
    session = header.session
    return {
        "run": session.run.hex(),
        "stage": session.stage,
        "epoch": session.epoch,
        "session": session.counter,
        "phase": header.phase,
        "parties": len(session.cohort),
    }


def _under(agreement: Agreement | None) -> dict[str, str]:
    return {} if agreement is None else {"agreement": agreement.hash.hex()}


def _refused(trail: Trail, context: Context, request: bytes | None, error: Exception) -> None:
    """Note what was not answered and why, in the words that leave the hospital; where that fails, its log says so.

    request: None where nobody signed what it says it is about.
    """
    asked: dict[str, str | int] = {}
    with suppress(FedsecError):
        asked = {} if request is None else _asked(request)
    try:
        trail.add("refused", **asked, reason=Refusal.of(error).reason, **_under(_agreed(context)))
    except TrailError as failed:
        log(WARNING, "secure aggregation: %s", failed)


def _simulated(context: Context) -> bool:
    """Whether this party is a simulated one, with nothing of a deployment configured."""
    config = context.node_config
    return in_simulation() and not any(config.get(f"fedsec-{key}") for key in CONFIGURED)


def _yes(config: Mapping[str, Any], key: str) -> bool | None:
    value = config.get(key)
    if value is not None and not isinstance(value, bool):
        raise _not_a(key, value, "true or false")
    return value


def _load_party(context: Context) -> Party:
    config = context.node_config
    server, hospitals = str(config.get("fedsec-server", "")), str(config.get("fedsec-hospitals", ""))
    agreement_file = str(config.get("fedsec-agreement", ""))
    agreement = _agreement(Path(agreement_file)) if agreement_file else None
    policy = Policy(
        floor=_whole(config, "fedsec-floor", 3),
        threshold=_whole(config, "fedsec-threshold", 1),
        trusts_server=_yes(config, "fedsec-trusts-server"),
        simulation=_simulated(context),
        server=public_key(server) if server else None,
        hospitals=read_public_keys(Path(hospitals)) if hospitals else frozenset(),
        agreement=agreement,
    )
    if agreement is None and not policy.simulation:
        raise PolicyError(
            "no agreement is configured here (fedsec-agreement, the file that this hospital approved): without one the "
            "server would choose what leaves this hospital; only simulations do without"
        )
    files = str(config.get("fedsec-strategy-files", ""))

    def build(name: str, parameters: Mapping[str, Any]) -> SecureSum[Any, Any]:
        return _built(name, json.dumps(parameters, sort_keys=True), files, os.environ.get(catalog.FILES_VARIABLE, ""))

    remembers = str(config.get("fedsec-journal", ""))
    if not remembers and not policy.simulation:
        raise PolicyError(
            "no journal is configured here (fedsec-journal, an absolute path): what Flower keeps of a party can be "
            "rolled back, and it would then answer twice; only simulations do without"
        )
    journal = Journal(Path(remembers)) if remembers else None
    kept = context.state.config_records.get(RECORD)
    if kept is not None:
        party = Party(codec.decode(cast(bytes, kept["party"]), PartyState), policy, build, os.urandom, journal)
    else:
        path = str(config.get("fedsec-identity", ""))
        identity = read_identity(Path(path)) if path else None
        if identity is None and not policy.simulation:
            raise PolicyError("no identity is configured here (fedsec-identity); new ones are for simulation alone")
        party = Party.fresh(policy, build, os.urandom, identity, journal)
    if agreement is not None:
        admission.admit_software(agreement)
        admission.admit_bundle(agreement, bundle.installed())
        approval.check(agreement, SigningKey(party.state.identity), approval.path_beside(Path(agreement_file)))
    return party


def _agreement(path: Path) -> Agreement:
    try:
        about = path.stat()
    except OSError as error:
        raise ConfigurationError(
            f"the agreement {path} cannot be read: {error.strerror}", public="the agreement cannot be read"
        ) from error
    return _read_agreement(path, about.st_ino, about.st_ctime_ns, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=4)
def _read_agreement(path: Path, file: int, changed: int, written: int, size: int) -> Agreement:
    """The file at this path as it was last changed: read once for all messages."""
    return agreement_file.read(path)


@functools.lru_cache(maxsize=64)
def _built(name: str, parameters: str, files: str, variable: str) -> SecureSum[Any, Any]:
    """The strategy that these words mean here. To search the catalogue takes 13 ms, for each message; this, once."""
    return catalog.build(name, json.loads(parameters), [text for text in files.split(os.pathsep) if text])


def _whole(config: Mapping[str, Any], key: str, default: int) -> int:
    """A whole number of the node configuration; raises ConfigurationError, for 4.9 is not 4."""
    value = config.get(key, default)
    if isinstance(value, bool) or not str(value).isdecimal():
        raise _not_a(key, value, "a whole number")
    return int(value)


def _not_a(key: str, value: object, what: str) -> ConfigurationError:
    """For this hospital's own log, with the value; the server is not told what is configured here."""
    expected = f"in this node's configuration; {what} was expected"
    return ConfigurationError(f"{key} is {value!r} {expected}", public=f"{key} has another value {expected}")

"""A hospital that keeps no rule: what it can do to a mean, and with a key that it makes.

Its inputs are secret too, so what it does is noticed in the sum, and named only where it is proven.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message

from fedsec.encoding import mean, plausible
from fedsec.errors import RunFailed
from fedsec.primitives import paillier
from fedsec.primitives.paillier import PublicKey
from fedsec.strategies._key_holder import GeneratedKey, Key
from fedsec.strategies.paillier import Paillier
from tests.disclosure.attacked import FIRST, Real, Server, deployed

pytestmark = pytest.mark.slow  # whole federations are attacked

HOSPITALS = 8
MODEL = np.zeros(4)
EQUAL: dict[str, Any] = {"weights": "equal", "clip": 4.0}
EXACT: dict[str, Any] = {"weights": "exact", "clip": 4.0, "largest_weight": 1000}


def train(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
    """Every hospital agrees on a step of a half."""
    return model + 0.5, {"loss": 0.5, "num-examples": 2}


def hospitals(folder: Path, count: int = HOSPITALS, protocol: str = "shamir", **options: Any) -> Server:
    return deployed(folder, train, count, {"train": 4}, MODEL, protocol, **(options or EQUAL))


def corrupt(server: Server, place: int, target: Any, name: str, false: Callable[..., Any]) -> None:
    """Let one hospital's own code be another, which calls the true one as its first argument."""
    honest, true = server.grid.mod, getattr(target, name)

    def mod(message: Message, context: Context, app: Any) -> Message:
        if context.node_id != FIRST + place:
            return honest(message, context, app)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(target, name, lambda *given, **named: false(true, *given, **named))
            return honest(message, context, app)

    server.grid.mod = mod


def replacing(true: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """The largest change that the integers can say, whatever the weight: the first four are the parameters."""
    made = true(*given, **named)
    made.vector[:4] = (1 << 24) - 1
    return made


def beyond(true: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """A hundred times more than the integers can say."""
    made = true(*given, **named)
    made.vector[:4] += np.uint64(100 << 24)
    return made


@pytest.mark.parametrize(
    ("options", "false", "text"),
    [
        (EXACT, replacing, "the mean of the change of array 'w' is .*, beyond its limit of 4"),
        (EQUAL, beyond, r"a coordinate of the sum is \d+, and 8 values of 24 bits come to \d+ at most"),
    ],
    ids=["small weight", "beyond its bits"],
)
def test_one_hospital_does_not_replace_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], false: Any, text: str
) -> None:
    server = hospitals(tmp_path, **options)
    corrupt(server, 2, mean, "contribution", false)
    secure = server.founds()
    with pytest.raises(RunFailed, match=text):
        server.asks(secure, MODEL)
    assert secure.rounds[-1].incidents == ()  # nobody can tell whose input it was
    for name in ("check_sums", "check_within"):  # the rule taken out
        monkeypatch.setattr(plausible, name, lambda *_: None)
    assert server.asks(secure, MODEL + 1)[0].min() > 1 + 4.0


def test_within_its_bound_one_hospital_moves_the_mean_by_its_share(tmp_path: Path) -> None:
    """The most that it can do unnoticed: from the others' half, towards the clip of 4, by an eighth of the way."""
    server = hospitals(tmp_path)
    corrupt(server, 2, mean, "contribution", replacing)
    assert np.allclose(server.asks(server.founds(), MODEL)[0], (7 * 0.5 + 4.0) / 8, atol=1e-5)


def weak(true: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """A key with an h of the key holder's choice beside the modulus: 1, whose powers hide nothing."""
    state, reply = true(*given, **named)
    if isinstance(reply, GeneratedKey):
        key = Key(reply.key.public + (1).to_bytes(512, "big"))
        reply = GeneratedKey(key, reply.proof, given[1].sign(key))
    return state, reply


def test_a_key_holder_chooses_no_noise(tmp_path: Path) -> None:
    """With h = 1 whoever sees a ciphertext reads it. A key that brings an h is refused before anybody encrypts."""
    n = (2**127 - 1) * (2**107 - 1)
    for public, readable in ((PublicKey(n, 1), True), (PublicKey(n, paillier.noise_base(n)), False)):
        (ciphertext,) = paillier.encrypt(public, [4711], os.urandom, "fast")
        assert ((ciphertext - 1) // n == 4711) is readable
    server = hospitals(tmp_path, 3, "paillier:key_bits=2048:policy=fast")
    read = len(server.app.read)
    corrupt(server, 0, Paillier, "respond", weak)
    with pytest.raises(RunFailed, match=r"the set-up failed: .*768 bytes came and 256 were expected, those of n alone"):
        server.asks(server.founds(), MODEL)
    assert len(server.app.read) == read

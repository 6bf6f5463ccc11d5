"""Flower without its runtime: a grid whose nodes answer in this process, through the real mod."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid

from fedsec.flower import secure_aggregation
from fedsec.party.identity import read_public_keys, write_identity
from fedsec.primitives.signing import SigningKey

App = Callable[[Message, Context], Message]


class ProcessGrid(Grid):
    """Five nodes that answer at once, or as many as `nodes`, numbered from `first` on."""

    def __init__(self, app: App, nodes: int = 5, first: int = 100, **node_config: Any) -> None:
        self.app = app
        self.contexts = {first + n: Context(1, first + n, dict(node_config), RecordDict(), {}) for n in range(nodes)}
        self.reasons: list[str] = []
        self.mod = secure_aggregation

    run: Any = SimpleNamespace(run_id=77)

    def set_run(self, run: Any) -> None: ...

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise AssertionError

    def get_node_ids(self) -> Iterable[int]:
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise AssertionError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise AssertionError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        replies = []
        for message in messages:
            reply = self.mod(message, self.contexts[message.metadata.dst_node_id], self.app)
            if reply.has_error():
                self.reasons.append(str(reply.error.reason))
            replies.append(reply)
        return replies


def pinned(
    folder: Path, app: App, nodes: int = 5, first: int = 100, **config: Any
) -> tuple[ProcessGrid, frozenset[bytes], SigningKey]:
    """Nodes as a deployment sets them up, but for `config`: a grid, the hospitals' public keys, and the server's key.

    `folder` holds each node's key and journal, hospitals.txt and server.key.
    """
    server = write_identity(folder / "server.key", lambda size: bytes(range(size)))
    hospitals = [write_identity(folder / f"{n}.key") for n in range(nodes)]
    (folder / "hospitals.txt").write_text("".join(f"{key.public.hex()}\n" for key in hospitals))
    grid = ProcessGrid(app, nodes, first)
    for n, context in enumerate(grid.contexts.values()):
        context.node_config = {
            "fedsec-server": server.public.hex(),
            "fedsec-hospitals": str(folder / "hospitals.txt"),
            "fedsec-identity": str(folder / f"{n}.key"),
            "fedsec-journal": str(folder / f"{n}.journal"),
            **config,
        }
        context.node_config = {key: value for key, value in context.node_config.items() if value is not None}
    return grid, read_public_keys(folder / "hospitals.txt"), server

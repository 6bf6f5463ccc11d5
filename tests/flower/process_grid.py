"""Flower without its runtime: a grid whose nodes answer in this process, through the real mod."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid

from fedsec.agreement import approval
from fedsec.agreement.agreement_file import Agreement, validated
from fedsec.flower import SecureAggregation, secure_aggregation
from fedsec.flower.simulation import simulating
from fedsec.party.identity import write_identity
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
    folder: Path,
    app: App,
    nodes: int = 5,
    first: int = 100,
    *,
    rehearsal: Callable[[], SecureAggregation],
    configuration: Mapping[str, Any] = MappingProxyType({}),
    changes: Mapping[str, Any] = MappingProxyType({}),
    **config: Any,
) -> tuple[ProcessGrid, Agreement, SigningKey]:
    """Nodes as a deployment sets them up, but for `config`: a grid, the agreement, and the server's key.

    The agreement is the one of what `rehearsal` did in a simulation, but for `changes`, and every node has approved it.
    `folder` holds each node's key and journal, its agreement under its number, hospitals.txt and server.key.
    """
    server = write_identity(folder / "server.key", lambda size: bytes(range(size)))
    hospitals = [write_identity(folder / f"{n}.key") for n in range(nodes)]
    (folder / "hospitals.txt").write_text("".join(f"{key.public.hex()}\n" for key in hospitals))
    with simulating():
        drafted = rehearsal().agreement_of_run(configuration)
    keys = [{"name": f"H{n}", "key": key.public.hex()} for n, key in enumerate(hospitals)]
    agreed = drafted.model_dump(mode="json")
    if drafted.encoding.spec.measured:  # a deployment names the scale
        agreed["encoding"] |= {"clip": 4.0, "largest_weight": 1000}
    agreement = validated({**agreed, "server": server.public.hex(), "hospitals": keys, **changes}, "of a test")
    grid = ProcessGrid(app, nodes, first)
    for n, (context, key) in enumerate(zip(grid.contexts.values(), hospitals, strict=True)):
        path = folder / f"{n}.toml"
        agreement.write(path)
        approval.approve(agreement, key, approval.path_beside(path))
        context.node_config = {
            "fedsec-agreement": str(path),
            "fedsec-identity": str(folder / f"{n}.key"),
            "fedsec-journal": str(folder / f"{n}.journal"),
            **config,
        }
        context.node_config = {key: value for key, value in context.node_config.items() if value is not None}
    return grid, agreement, server

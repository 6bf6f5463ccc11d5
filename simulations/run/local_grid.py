"""Flower's Grid in this process: the real ClientApp answers each message at once, one hospital after another."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from logging import ERROR
from typing import Any, NoReturn

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore import log
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedsec.errors import ConfigurationError

SERVER = 1
"""The server's node id, as Flower has it."""
FIRST = 1001
"""The node id of the first hospital."""


class LocalGrid(Grid):
    """`hospitals` nodes, each with a Context that it keeps from message to message.

    client  a ClientApp, mods included
    config  the run configuration that each hospital reads
    nodes   what each hospital's node configuration holds beside its place; none by default

    As under Flower, a hospital whose app raises answers an error, and one whose answer comes after the timeout is
    absent.
    """

    def __init__(
        self,
        client: Callable[[Message, Context], Message],
        config: Mapping[str, Any],
        hospitals: int,
        run_id: int,
        nodes: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._client, self._run = client, Run.create_empty(run_id)
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run_id, SERVER, 1  # whose messages these are
        places = [{"partition-id": place, "num-partitions": hospitals} for place in range(hospitals)]
        self._contexts = {
            FIRST + number: Context(run_id, FIRST + number, {**place, **node}, RecordDict(), dict(config))
            for number, (place, node) in enumerate(zip(places, nodes or [{}] * hospitals, strict=True))
        }

    def set_run(self, run: Run) -> None:
        """Of which run messages are."""
        self._run = run

    @property
    def run(self) -> Run:
        """Of which run messages are."""
        return self._run

    def create_message(self, *arguments: Any, **keywords: Any) -> NoReturn:
        """Refused, for Flower has deprecated it."""
        raise ConfigurationError("create_message is deprecated by Flower; make a Message")

    def get_node_ids(self) -> Iterable[int]:
        """All hospitals."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> NoReturn:
        """Refused: nobody would answer between a push and a pull."""
        raise ConfigurationError("push_messages needs Flower's processes; use send_and_receive, or --engine flower")

    def pull_messages(self, message_ids: Iterable[str]) -> NoReturn:
        """Refused: nobody would answer between a push and a pull."""
        raise ConfigurationError("pull_messages needs Flower's processes; use send_and_receive, or --engine flower")

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Each hospital's answer, in turn; none from those that did not answer within `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        replies = []
        for message in messages:
            reply = self._answer(message)
            if deadline is not None and time.monotonic() > deadline:
                break
            replies.append(reply)
        return replies

    def _answer(self, message: Message) -> Message:
        try:
            return self._client(message, self._contexts[message.metadata.dst_node_id])
        except Exception as error:
            log(ERROR, traceback.format_exc())
            reason = f"{type(error)}:<'{error}'>"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)

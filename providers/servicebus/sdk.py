"""What is done with the SDK behind its public surface, in one place, with the reason for each.

The public surface asks about a message through the object that was received, over the link that received it; a lock has
to be renewed from another thread, and a journaled receipt settled by another process. The service takes both by lock
token over `$management`, and the SDK has everything for it but public names. The tests of this provider hold them
against the SDK that is installed: a later one that moves them fails there, not in production.
"""

# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingParameterType=false
# ruff: noqa: SLF001

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import cast
from uuid import UUID

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus._common import mgmt_handlers
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

__all__ = ["Management", "end_credit", "hurry", "note_lock", "note_session_lock", "release"]

FURTHER_S = 0.02


class Management:
    """Requests to `$management` of one queue, over a connection without another link. One at a time.

    The SDK numbers concurrent requests twice, which a stricter peer than the service may refuse.
    """

    def __init__(self, client: ServiceBusClient, path: str) -> None:
        self._handler = client._create_session_browser(path)
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Close the connection."""
        await self._handler.close()

    async def _ask(
        self, operation: bytes, body: dict[str, object], handle: Callable[..., object], timeout_s: float
    ) -> object:
        async with self._turn, asyncio.timeout(timeout_s):
            return await self._handler._mgmt_request_response_with_retry(
                b"com.microsoft:" + operation, body, handle, timeout=timeout_s, keep_alive_associated_link=False
            )

    def _array(self, values: Sequence[object]) -> object:
        return self._handler._amqp_transport.AMQP_ARRAY_VALUE(list(values))

    async def renew(self, tokens: Sequence[UUID], timeout_s: float) -> list[int]:
        """Renew locks; all of them or none. Returns their ends, in milliseconds since the epoch."""
        body: dict[str, object] = {"lock-tokens": self._array(tokens)}
        answer = await self._ask(b"renew-lock", body, mgmt_handlers.message_lock_renew_op, timeout_s)
        return [int(end) for end in cast("dict[bytes, list[int]]", answer)[b"expirations"]]

    async def renew_session(self, session_id: str, timeout_s: float) -> int:
        """Renew the lock of a session, whoever's connection holds it. Returns its end, in ms since the epoch."""
        body: dict[str, object] = {"session-id": session_id}
        answer = await self._ask(b"renew-session-lock", body, mgmt_handlers.session_lock_renew_op, timeout_s)
        return int(cast("dict[bytes, int]", answer)[b"expiration"])

    async def settle(
        self,
        token: UUID,
        status: str,
        timeout_s: float,
        *,
        reason: str = "",
        description: str = "",
        properties: Sequence[tuple[str, str]] = (),
        session_id: str | None = None,
    ) -> None:
        """Settle by lock token. `status` is the protocol's word, with its own spelling of deferred."""
        body: dict[str, object] = {"disposition-status": status, "lock-tokens": self._array([token])}
        if status == "suspended":
            body |= {"deadletter-reason": reason, "deadletter-description": description}
        if properties:
            body["properties-to-modify"] = dict(properties)
        if session_id is not None:
            body["session-id"] = session_id
        await self._ask(b"update-disposition", body, mgmt_handlers.default, timeout_s)

    async def peek(self, after_sequence: int, most: int, timeout_s: float) -> list[ServiceBusReceivedMessage]:
        """Look at messages, of all sessions if there are any."""
        handle = partial(mgmt_handlers.peek_op, receiver=self._handler, amqp_transport=self._handler._amqp_transport)
        number = self._handler._amqp_transport.AMQP_LONG_VALUE(after_sequence + 1)
        body: dict[str, object] = {"from-sequence-number": number, "message-count": most}
        return cast("list[ServiceBusReceivedMessage]", await self._ask(b"peek-message", body, handle, timeout_s))


def hurry(receiver: ServiceBusReceiver) -> None:
    """Have a receive end sooner when fewer messages are there than it asked for.

    The SDK waits 0.2 s for more after the first: on a queue that is not full that is the latency of every message.
    """
    receiver._further_pull_receive_timeout = FURTHER_S


async def end_credit(receiver: ServiceBusReceiver) -> None:
    """Take back what credit is left of a receive: the next message is for somebody who asks for it.

    The SDK leaves it with the service, and hands back what comes by it every five seconds.
    """
    link = getattr(receiver._handler, "_link", None)
    if link is not None and not link._is_closed:
        await link.flow(link_credit=0)


async def release(receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> None:
    """Give a message back that nobody waits for any more, uncounted."""
    await receiver._handler.settle_messages_async(message._delivery_id, message._delivery_tag, "released")


def note_lock(message: ServiceBusReceivedMessage, until: datetime) -> None:
    """Tell the SDK that a lock was renewed elsewhere: it refuses to settle by what it knows."""
    message._expiry = until


def note_session_lock(receiver: ServiceBusReceiver, until: datetime) -> None:
    """Tell the SDK that a session's lock was renewed elsewhere."""
    receiver.session._locked_until_utc = until

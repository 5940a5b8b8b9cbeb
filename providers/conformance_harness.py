"""What a provider brings to the conformance suite, and what the suite's tests hold it with."""

# ruff: noqa: S101 - the suite asserts

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Protocol, TypeVar, runtime_checkable

import pytest

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import QueueError, SessionLockLost
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt, SessionId
from queue_runtime.providers.port import (
    Address,
    Capabilities,
    HeldSession,
    Provider,
    Sent,
    SettleKind,
    Settlement,
)

__all__ = ["LINK", "CutsTheLink", "Desk", "Harness", "QueueRules", "features", "needs"]

SuiteT = TypeVar("SuiteT")
LINK = "a harness that cuts the link"


@dataclass(frozen=True, slots=True)
class QueueRules:
    """What a test needs of a queue. A harness makes one that keeps them, of whichever kind it is for."""

    max_deliveries: int = 10


class Harness(Protocol):
    """A broker under test, through one provider. One object a test; `patience_s`: how long what was sent may take."""

    patience_s: float

    async def open(self) -> Provider:
        """Return a new provider to the harness's broker, opened. The suite closes it."""
        ...

    async def make_queue(self, rules: QueueRules) -> QueueName:
        """Make an empty queue that no other test uses."""
        ...

    async def pass_time(self, seconds: float) -> None:
        """Return when the broker's clock has moved by `seconds`: at once where the clock is the test's."""
        ...


@runtime_checkable
class CutsTheLink(Protocol):
    """What a harness is as well, if it can take the broker away from its providers and bring it back."""

    async def cut(self) -> None:
        """Make the broker unreachable; it keeps what it has, and its clock goes on."""
        ...

    async def mend(self) -> None:
        """Make the broker reachable again, under the same address."""
        ...


class Desk:
    """A queue in the hands of one consumer. Every message is of a session, so that the tests are the same everywhere.

    Where the queue has native sessions it holds one of them at a time, and accepts it again after its lock was lost.
    """

    def __init__(self, harness: Harness, provider: Provider, queue: QueueName, capabilities: Capabilities) -> None:
        self.harness = harness
        self.provider = provider
        self.queue = queue
        self.capabilities = capabilities
        self.source = Address(queue)
        self.dead_letters = Address(queue, dead_letters=True)
        self.session: HeldSession | None = None

    async def send(self, *messages: Message) -> list[Sent]:
        """Send, and have every message accepted."""
        answers = await self.provider.send(self.queue, messages)
        refused = [answer for answer in answers if isinstance(answer, QueueError)]
        assert not refused, refused
        return [answer for answer in answers if isinstance(answer, Sent)]

    async def receive(self, max_messages: int = 1, wait_s: float | None = None) -> list[Delivery]:
        """Receive what there is, within the harness's patience; in a native session, through its lock."""
        wait_s = self.harness.patience_s if wait_s is None else wait_s
        if not self.capabilities.native_sessions:
            return await self.provider.receive(self.source, max_messages, wait_s)
        for _ in range(2):
            self.session = self.session or await self.provider.accept_session(self.queue, A, wait_s)
            assert self.session is not None, "a session that is named is granted, or refused with SessionLocked"
            try:
                return await self.session.receive(max_messages, wait_s)
            except SessionLockLost:
                self.session = None
        return []

    async def one(self) -> Delivery:
        """Receive one message that is there."""
        (delivery,) = await self.receive()
        return delivery

    async def several(self, count: int) -> list[Delivery]:
        """Receive `count` messages that are there, in as many calls as the broker needs."""
        deliveries: list[Delivery] = []
        while len(deliveries) < count and (more := await self.receive(count - len(deliveries))):
            deliveries += more
        return deliveries

    async def drained(self, count: int) -> list[Delivery]:
        """Receive and complete `count` messages that are there."""
        deliveries: list[Delivery] = []
        while len(deliveries) < count and (more := await self.receive(count - len(deliveries))):
            await self.complete(*more)
            deliveries += more
        return deliveries

    async def nothing(self) -> None:
        """Find that nothing can be received."""
        assert await self.receive(wait_s=0) == []

    async def settle(self, kind: SettleKind, *deliveries: Delivery) -> list[QueueError | None]:
        """Settle deliveries of the queue itself."""
        return await self.provider.settle(
            self.source, [Settlement(kind, d.receipt, message=d.message) for d in deliveries]
        )

    async def complete(self, *deliveries: Delivery) -> None:
        """Complete, and have every delivery accepted."""
        assert await self.settle(SettleKind.COMPLETE, *deliveries) == [None] * len(deliveries)

    async def abandon(self, *deliveries: Delivery) -> None:
        """Abandon, and have every delivery accepted."""
        assert await self.settle(SettleKind.ABANDON, *deliveries) == [None] * len(deliveries)

    async def buried(self, max_messages: int = 10) -> list[Delivery]:
        """Receive dead letters."""
        return await self.provider.receive(self.dead_letters, max_messages, self.harness.patience_s)

    async def renew(self, *receipts: Receipt) -> Sequence[Timestamp | QueueError]:
        """Renew locks."""
        return await self.provider.renew(self.source, receipts)

    async def lapse(self) -> None:
        """Let the locks that were taken now end."""
        await self.harness.pass_time(self.capabilities.lock_s * 1.05)


A = SessionId("octo/repo/pull/17")
B = SessionId("octo/repo/pull/18")


def message(body: bytes = b"body", message_id: str | None = None, session_id: str = A) -> Message:
    """Make a message of session `A`."""
    return Message(body, message_id=message_id, session_id=session_id)


def complete(delivery: Delivery) -> Settlement:
    """Make the settlement that completes a delivery."""
    return Settlement(SettleKind.COMPLETE, delivery.receipt)


def features(desk: Desk) -> dict[str, object]:
    """Say what the queue declares, and what its harness can do: what a test may need."""
    declared = {name: getattr(desk.capabilities, name) for name in Capabilities.__dataclass_fields__}
    return {**declared, LINK: isinstance(desk.harness, CutsTheLink)}


def needs(
    *any_of: str,
) -> Callable[[Callable[[SuiteT, Desk], Awaitable[None]]], Callable[[SuiteT, Desk], Coroutine[None, None, None]]]:
    """Skip a test, with the reason, where none of these features is declared. `features` names them."""

    def with_need(
        test: Callable[[SuiteT, Desk], Awaitable[None]],
    ) -> Callable[[SuiteT, Desk], Coroutine[None, None, None]]:
        @wraps(test)
        async def where_it_can_be_seen(suite: SuiteT, desk: Desk) -> None:
            there = features(desk)
            if not any(there[feature] for feature in any_of):
                pytest.skip(f"this queue has not: {' or '.join(any_of)}")
            await test(suite, desk)

        vars(where_it_can_be_seen)["needs"] = any_of
        return where_it_can_be_seen

    return with_need

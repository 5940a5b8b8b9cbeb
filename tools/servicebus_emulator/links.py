"""The links of a queue: what clients send comes in on an intake, what they receive goes out on an outlet."""

from __future__ import annotations

from collections.abc import Mapping

from queue_runtime.tools.servicebus_emulator.amqp.codec import CodecError, decoded, is_true, items, pairs
from queue_runtime.tools.servicebus_emulator.amqp.encode import FALSE, NULL, TRUE, described, list_of, uint
from queue_runtime.tools.servicebus_emulator.amqp.frames import ACCEPTED, rejected
from queue_runtime.tools.servicebus_emulator.amqp.sections import contents_of, message
from queue_runtime.tools.servicebus_emulator.broker.message import Stored
from queue_runtime.tools.servicebus_emulator.broker.queue import Outcome, Queue, Settlement
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused
from queue_runtime.tools.servicebus_emulator.broker.sessions import Session
from queue_runtime.tools.servicebus_emulator.channel import Incoming, SessionChannel
from queue_runtime.tools.servicebus_emulator.faults import Faults
from queue_runtime.tools.servicebus_emulator.host import Host

__all__ = ["Intake", "Outlet", "settlement"]

CREDIT = 1_000
"""Messages that a sender may have under way; as the service grants."""
U32 = 0xFFFF_FFFF
COMPLETE = Settlement(Outcome.COMPLETE)
ACCEPTED_STATES = frozenset({ACCEPTED, b"\x00\x53\x24\xc0\x01\x00", b"\x00\x80" + (0x24).to_bytes(8, "big") + b"\x45"})
REJECTED = described(0x25, list_of([]))
"""The answer to a dead letter: with an error in it, it would say that settling failed."""
REASON, DESCRIPTION = "DeadLetterReason", "DeadLetterErrorDescription"


def settlement(state: bytes) -> Settlement | None:
    """Return what a delivery state of a receiver means, or None if it is no outcome.

    Source: Service Bus, "AMQP 1.0 in Azure Service Bus protocol guide", and "Message transfers, locks, and settlement".
    `modified` is an abandon whether or not it says that the delivery failed: azure-servicebus says so, JavaScript's
    client does not.

    Raises:
        CodecError: it is not what it says.
    """
    if state in ACCEPTED_STATES:
        return COMPLETE
    if state[:2] != b"\x00\x53":
        return None
    fields = items(state, 3)
    if state[2] == 0x24:
        return COMPLETE
    if state[2] == 0x26:
        return Settlement(Outcome.RELEASE)
    if state[2] == 0x27:
        is_deferred = len(fields) > 1 and is_true(fields[1])
        changes = _changes(pairs(fields[2])) if len(fields) > 2 else {}
        return Settlement(Outcome.DEFER if is_deferred else Outcome.ABANDON, changes=changes)
    if state[2] == 0x25:
        return _dead_letter(items(fields[0], 3) if fields and fields[0] != NULL else [])
    return None


def _dead_letter(fields: list[bytes]) -> Settlement:
    """Reason and description come in the error's info map; what else is in it are properties to set."""
    info = pairs(fields[2]) if len(fields) > 2 else {}
    stated = {
        name: str(decoded(value) or "")
        for key, value in info.items()
        if (name := decoded(key)) in {REASON, DESCRIPTION}
    }
    rest = {key: value for key, value in info.items() if decoded(key) not in {REASON, DESCRIPTION}}
    return Settlement(Outcome.DEAD_LETTER, stated.get(REASON, ""), stated.get(DESCRIPTION, ""), _changes(rest))


def _changes(entries: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return entries as application properties have them: under texts, where a client may have used symbols."""
    return {(b"\xa1" + key[1:] if key[:1] == b"\xa3" else key): value for key, value in entries.items()}


class Intake:
    """A link on which a client sends to a queue.

    Args:
        host: serves the queue.
        faults: what is to go wrong.
        channel: carries it.
        handle: its number.
        queue: where messages go.
        path: of the queue, for its claims.
    """

    def __init__(
        self, host: Host, faults: Faults, channel: SessionChannel, handle: int, queue: Queue, path: str
    ) -> None:
        self.path = path
        self._host = host
        self._faults = faults
        self._channel = channel
        self._handle = handle
        self._queue = queue
        self._count = 0
        self._credit = 0

    def open(self) -> None:
        """Let the client send."""
        self._grant()

    def _grant(self) -> None:
        self._credit = CREDIT
        self._channel.flow(uint(self._handle), uint(self._count), uint(CREDIT), uint(0), FALSE)

    def on_transfer(self, incoming: Incoming) -> None:
        """Put a message or a batch into the queue, and say whether it is there."""
        self._count = (self._count + 1) & U32
        self._credit -= 1
        try:
            self._send(incoming)
            state = ACCEPTED
        except Refused as refused:
            state = rejected(refused.condition, refused.text)
        except CodecError as broken:
            state = rejected(Condition.INVALID, f"the message cannot be read: {broken}")
        if not incoming.is_settled:
            self._channel.settle(incoming.delivery_id, state, from_receiver=True)
        if self._credit < CREDIT // 2:
            self._grant()

    def _send(self, incoming: Incoming) -> None:
        self._faults.check_busy()
        size, most = len(incoming.payload), self._queue.settings.max_message_bytes
        if size > most:
            text = f"a message of {size} bytes is too large: queue {self._queue.name} takes {most}; send less"
            raise Refused(Condition.TOO_LARGE, text)
        contents = contents_of(incoming.payload, incoming.message_format)
        self._host.namespace.send(self._host.namespace.find(self.path), contents, self._host.now())
        self._host.changed(self._queue)

    def on_flow(self, count: int | None, credit: int, *, is_drain: bool) -> None:
        """Nothing follows: a sender's flow tells what it has."""

    def on_outcome(self, tag: bytes, state: bytes) -> bytes | None:
        """Nothing was delivered."""

    def on_closed(self) -> None:
        """Nothing is held."""


class Outlet:
    """A link on which a client receives.

    Args:
        host: serves the queue.
        faults: what is to go wrong.
        channel: carries it.
        handle: its number.
        queue: where messages come from.
        session: that it holds, on a queue with sessions.
    """

    def __init__(
        self, host: Host, faults: Faults, channel: SessionChannel, handle: int, queue: Queue, session: Session | None
    ) -> None:
        self.path = queue.name.lower()
        self.session = session
        self.holder = session.holder or 0 if session is not None else 0
        self.deletes = False
        self._host = host
        self._faults = faults
        self._channel = channel
        self._handle = handle
        self._queue = queue
        self._count = 0
        self._credit = 0

    def has_room(self) -> bool:
        """Return whether there is credit, and room in the client's window."""
        return self._credit > 0 and self._channel.has_room()

    def deliver(self, stored: Stored) -> None:
        """Send a message. Its tag is its lock token as .NET writes it, which SDKs read it back from."""
        self._credit -= 1
        self._count = (self._count + 1) & U32
        token = stored.token or stored.sequence.to_bytes(16, "big")
        self._channel.deliver(self, self._handle, swapped(token), message(stored), settled=self.deletes)

    def on_flow(self, count: int | None, credit: int, *, is_drain: bool) -> None:
        """Take credit; with `drain` what there is goes out now, and the rest of the credit is gone."""
        granted = ((count or 0) + credit - self._count) & U32
        self._credit = granted if granted < 1 << 31 else 0
        if not is_drain:
            self._host.changed(self._queue)
            return
        self._host.pump(self._queue)
        self._count = (self._count + self._credit) & U32
        self._credit = 0
        self._channel.flow(uint(self._handle), uint(self._count), uint(0), uint(0), TRUE)

    def on_outcome(self, tag: bytes, state: bytes) -> bytes | None:
        """Settle a message, and answer as asked, or why not."""
        try:
            wanted = settlement(state)
            if wanted is not None:
                self._queue.settle(swapped(tag), wanted, self._host.now())
        except Refused as refused:
            return rejected(refused.condition, refused.text)
        if wanted is not COMPLETE:
            self._host.changed(self._queue)
        if self._faults.loses_settlement():
            self._channel.connection.abort()
            return None
        return REJECTED if wanted is not None and wanted.outcome is Outcome.DEAD_LETTER else state

    def on_transfer(self, incoming: Incoming) -> None:
        """Nothing comes in here."""

    def on_closed(self) -> None:
        """Leave the queue. Locks of messages stay; a session is free."""
        self._host.leave(self._queue, self)

    def lose_session(self) -> None:
        """Detach: the lock of the session has ended."""
        name = self.session.name if self.session is not None else ""
        text = f"the lock of session {name!r} of queue {self._queue.name} has ended; accept the session again"
        self._channel.refuse(self._handle, Condition.SESSION_LOST, text)


def swapped(token: bytes) -> bytes:
    """Return a UUID's bytes in the order of .NET, or back."""
    return token[3::-1] + token[5:3:-1] + token[7:5:-1] + token[8:]

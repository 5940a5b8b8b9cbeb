"""One session of AMQP: windows, links by handle, and what was delivered and not settled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from queue_runtime.tools.servicebus_emulator.amqp.codec import decoded, is_true
from queue_runtime.tools.servicebus_emulator.amqp.encode import NULL, boolean, uint
from queue_runtime.tools.servicebus_emulator.amqp.frames import (
    ATTACH,
    BEGIN,
    DETACH,
    DISPOSITION,
    FLOW,
    TRANSFER,
    disposition,
    error,
    frame,
    transfer,
)
from queue_runtime.tools.servicebus_emulator.connection import Connection

__all__ = ["Incoming", "Link", "SessionChannel"]

WINDOW = 5_000
"""Transfers that a client may send before it hears of a new window; as the service announces."""
FRAME_OVERHEAD = 64
"""More than the bytes of a transfer frame around its payload."""
HANDLE_MAX = 255
U32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Incoming:
    """A delivery of a client.

    Args:
        delivery_id: by which it is answered.
        message_format: 0, or that of a batch.
        is_settled: it wants no answer.
        payload: the message.
    """

    delivery_id: int
    message_format: int
    is_settled: bool
    payload: bytes


class Link(Protocol):
    """One end of a link."""

    path: str

    def on_transfer(self, incoming: Incoming) -> None:
        """Take a delivery."""
        ...

    def on_flow(self, count: int | None, credit: int, *, is_drain: bool) -> None:
        """Be given credit from a delivery count on."""
        ...

    def on_outcome(self, tag: bytes, state: bytes) -> bytes | None:
        """Settle a delivery of its own, and return the state to answer with, or None for no answer at all."""
        ...

    def on_closed(self) -> None:
        """Let go of everything: the link is gone."""
        ...


@dataclass(slots=True)
class _Begun:
    """A delivery of which more is to come."""

    delivery_id: int
    message_format: int
    parts: list[bytes]


class SessionChannel:
    """A session of AMQP. Our handles are the client's, since each side has its own numbers.

    Args:
        connection: carries it.
        number: of the channel, ours and the client's.
        fields: of the client's `begin`.
        attach: makes the link that a client's `attach` asks for, or none if it is refused or has to wait.
    """

    def __init__(
        self,
        connection: Connection,
        number: int,
        fields: list[bytes],
        attach: Callable[[SessionChannel, list[bytes]], None],
    ) -> None:
        self.connection = connection
        self.number = number
        self.links: dict[int, Link] = {}
        self._attach = attach
        self._unsettled: dict[int, tuple[Link, bytes]] = {}
        self._begun: dict[int, _Begun] = {}
        self._next_incoming = _number(fields[1])
        self._incoming_window = WINDOW
        self._next_outgoing = 1
        self._delivery_id = 0
        self._client_window = _number(fields[2])
        began = [b"\x60" + number.to_bytes(2, "big"), uint(1), uint(WINDOW), uint(WINDOW), uint(HANDLE_MAX)]
        connection.send(frame(number, BEGIN, began))

    # --- what a client says -------------------------------------------------------------------------------------

    def receive(self, code: int, fields: list[bytes], payload: bytes) -> None:
        """Take a frame."""
        if code == TRANSFER:
            self._on_transfer(fields, payload)
        elif code == DISPOSITION:
            self._on_disposition(fields)
        elif code == FLOW:
            self._on_flow(fields)
        elif code == ATTACH:
            self._attach(self, fields)
        elif code == DETACH:
            handle = _number(fields[0])
            if self._forget(handle):
                self.send(DETACH, [uint(handle), boolean(True)])  # noqa: FBT003 - closed

    def _on_transfer(self, fields: list[bytes], payload: bytes) -> None:
        handle = _number(fields[0])
        self._next_incoming = (self._next_incoming + 1) & U32
        self._incoming_window -= 1
        if self._incoming_window < WINDOW // 2:
            self._incoming_window = WINDOW
            self.flow()
        begun = self._begun.pop(handle, None)
        if begun is None:
            begun = _Begun(_number(fields[1]), _number(fields[3]), [])
        begun.parts.append(payload)
        if is_true(fields[5]):
            self._begun[handle] = begun
            return
        link = self.links.get(handle)
        is_aborted = is_true(fields[9])
        if link is not None and not is_aborted:
            whole = b"".join(begun.parts) if len(begun.parts) > 1 else payload
            link.on_transfer(Incoming(begun.delivery_id, begun.message_format, is_true(fields[4]), whole))

    def _on_flow(self, fields: list[bytes]) -> None:
        first = decoded(fields[0])
        expected = first if isinstance(first, int) else 1
        self._client_window = (expected + _number(fields[1]) - self._next_outgoing) & U32
        handle = decoded(fields[4])
        if not isinstance(handle, int):
            if is_true(fields[9]):
                self.flow()
            return
        link = self.links.get(handle)
        if link is not None:
            count = decoded(fields[5])
            link.on_flow(count if isinstance(count, int) else None, _number(fields[6]), is_drain=is_true(fields[8]))

    def _on_disposition(self, fields: list[bytes]) -> None:
        """Settle what a receiver settles. Dispositions of a sender ask for nothing: all that it sent was answered."""
        if not is_true(fields[0]):
            return
        first = _number(fields[1])
        last = first if fields[2] == NULL else _number(fields[2])
        for delivery_id in [known for known in self._covered(first, last) if known in self._unsettled]:
            link, tag = self._unsettled.pop(delivery_id)
            answer = link.on_outcome(tag, fields[4])
            if answer is not None and not is_true(fields[3]):
                self.settle(delivery_id, answer, from_receiver=False)

    def _covered(self, first: int, last: int) -> list[int] | range:
        """Return the smaller of a range, whose ends are the client's to choose, and what there is."""
        span = range(first, last + 1)
        return span if len(span) <= len(self._unsettled) + 1 else [known for known in self._unsettled if known in span]

    # --- what it is told ----------------------------------------------------------------------------------------

    def send(self, code: int, fields: list[bytes]) -> None:
        """Send a frame."""
        self.connection.send(frame(self.number, code, fields))

    def flow(self, *link: bytes) -> None:
        """Tell the windows, and of a link its handle, delivery count, credit, available and drain."""
        windows = [uint(self._next_incoming), uint(self._incoming_window), uint(self._next_outgoing), uint(WINDOW)]
        self.send(FLOW, [*windows, *link])

    def settle(self, delivery_id: int, state: bytes, *, from_receiver: bool) -> None:
        """Tell the state of a delivery, and that it is settled."""
        self.connection.send(
            disposition(self.number, from_receiver=from_receiver, first=delivery_id, last=delivery_id, state=state)
        )

    def has_room(self) -> bool:
        """Return whether the client takes a transfer."""
        return 0 < self._client_window < 1 << 31

    def deliver(self, link: Link, handle: int, tag: bytes, payload: bytes, *, settled: bool) -> None:
        """Send a message, in as many frames as the client needs."""
        delivery_id = self._delivery_id
        self._delivery_id = (delivery_id + 1) & U32
        head = b"".join((uint(handle), uint(delivery_id), b"\xa0", bytes((len(tag),)), tag, b"\x43", boolean(settled)))
        most = self.connection.max_frame_bytes - FRAME_OVERHEAD
        at = 0
        while len(payload) - at > most:
            self._transfer(head, payload[at : at + most], more=True)
            at += most
        self._transfer(head, payload[at:] if at else payload, more=False)
        if not settled:
            self._unsettled[delivery_id] = (link, tag)

    def _transfer(self, head: bytes, payload: bytes, *, more: bool) -> None:
        self.connection.send(transfer(self.number, head, more=more, payload=payload))
        self._next_outgoing = (self._next_outgoing + 1) & U32
        self._client_window -= 1

    def refuse(self, handle: int, condition: str, text: str) -> None:
        """Detach a link with an error."""
        self._forget(handle)
        self.send(DETACH, [uint(handle), boolean(True), error(condition, text)])  # noqa: FBT003 - closed

    def _forget(self, handle: int) -> bool:
        link = self.links.pop(handle, None)
        self._begun.pop(handle, None)
        if link is None:
            return False
        self._unsettled = {known: held for known, held in self._unsettled.items() if held[0] is not link}
        link.on_closed()
        return True

    def close(self) -> None:
        """Let go of every link."""
        for handle in list(self.links):
            self._forget(handle)


def _number(field: bytes) -> int:
    """Return a number of the protocol, 0 for none."""
    if field[0] == 0x52:
        return field[1]
    value = decoded(field)
    return value if isinstance(value, int) else 0

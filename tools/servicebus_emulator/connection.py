"""One connection: the security layer, then frames to its channels. Nothing here knows of queues."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from queue_runtime.tools.servicebus_emulator.amqp.codec import CodecError, decoded
from queue_runtime.tools.servicebus_emulator.amqp.encode import NULL, array, string, ubyte, uint, ushort
from queue_runtime.tools.servicebus_emulator.amqp.frames import (
    BEGIN,
    CLOSE,
    EMPTY_FRAME,
    END,
    OPEN,
    SASL_INIT,
    SASL_MECHANISMS,
    SASL_OUTCOME,
    error,
    frame,
    performative,
    sasl_frame,
)
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition
from queue_runtime.tools.servicebus_emulator.faults import Faults
from queue_runtime.tools.servicebus_emulator.outbox import Outbox

__all__ = ["MAX_FRAME_BYTES", "Channel", "Connection"]

logger = logging.getLogger(__name__)

MAX_FRAME_BYTES = 1 << 20
"""As azure-servicebus proposes. The service answers 64 KiB, and cuts what is larger."""
CHANNEL_MAX = 255
AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
MECHANISMS = ("MSSBCBS", "ANONYMOUS", "EXTERNAL", "PLAIN")
FIELDS = 15
"""More fields than this no performative has."""


class Channel(Protocol):
    """A session of AMQP on a connection."""

    def receive(self, code: int, fields: list[bytes], payload: bytes) -> None:
        """Take a frame."""
        ...

    def close(self) -> None:
        """Let go of everything, since its connection is gone."""
        ...


class Connection(asyncio.Protocol):
    """A client's connection.

    Args:
        faults: what is to go wrong.
        begin: makes the channel of a number.
        login: answers whether a user with a password may come in; for SASL PLAIN.
        on_lost: is called once when it is gone.
    """

    def __init__(
        self,
        faults: Faults,
        begin: Callable[[int, list[bytes]], Channel],
        login: Callable[[str, str], bool],
        on_lost: Callable[[], None],
    ) -> None:
        self.channels: dict[int, Channel] = {}
        self.max_frame_bytes = 512
        self._faults = faults
        self._begin = begin
        self._login = login
        self._on_lost = on_lost
        self._outbox = Outbox(faults)
        self._buffer = b""
        self._heartbeat: asyncio.TimerHandle | None = None
        self._is_authenticating = False

    # --- asyncio ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if isinstance(transport, asyncio.Transport):
            self._outbox.open(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: what the channels hold is let go of."""
        del exc
        self._outbox.open(None)
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        channels, self.channels = self.channels, {}
        for channel in channels.values():
            channel.close()
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        """Take what has come, frame by frame; what is no AMQP ends the connection."""
        if self._faults.is_silent:
            return
        self._buffer = self._buffer + data if self._buffer else data
        try:
            self._read()
        except CodecError as broken:
            logger.warning("a client's connection is closed: %s", broken)
            self.close(Condition.INVALID, str(broken))

    def _read(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 8:
            if buffer[at : at + 4] == b"AMQP":
                self._greet(buffer[at : at + 8])
                at += 8
                continue
            size = int.from_bytes(buffer[at : at + 4], "big")
            if not 8 <= size <= MAX_FRAME_BYTES:
                msg = f"a frame of {size} bytes was announced, and {MAX_FRAME_BYTES} are allowed"
                raise CodecError(msg)
            if len(buffer) - at < size:
                break
            start = at + 4 * buffer[at + 4]
            if start < at + size:
                code, fields, payload = performative(buffer[start : at + size], FIELDS)
                self._take(int.from_bytes(buffer[at + 6 : at + 8], "big"), code, fields, payload)
            at += size
        self._buffer = buffer[at:]

    # --- what a client says -------------------------------------------------------------------------------------

    def _greet(self, header: bytes) -> None:
        if header == SASL_HEADER:
            self._is_authenticating = True
            names = [bytes((len(name),)) + name.encode() for name in MECHANISMS]
            self.send(SASL_HEADER + sasl_frame(SASL_MECHANISMS, [array(0xA3, names)]))
        elif header == AMQP_HEADER:
            self._is_authenticating = False
            self.send(AMQP_HEADER)
        else:
            self.send(AMQP_HEADER)
            msg = "the protocol asked for is not AMQP 1.0 without TLS: connect with UseDevelopmentEmulator=true"
            raise CodecError(msg)

    def _take(self, number: int, code: int, fields: list[bytes], payload: bytes) -> None:
        if self._is_authenticating:
            if code == SASL_INIT:
                self._authenticate(str(decoded(fields[0])), decoded(fields[1]))
        elif code == OPEN:
            self._open(fields)
        elif code == BEGIN:
            self.channels[number] = self._begin(number, fields)
        elif code == CLOSE:
            self.send(frame(0, CLOSE, []))
            self._outbox.close()
        elif code == END:
            channel = self.channels.pop(number, None)
            if channel is not None:
                channel.close()
            self.send(frame(number, END, []))
        elif number in self.channels:
            self.channels[number].receive(code, fields, payload)

    def _authenticate(self, mechanism: str, response: object) -> None:
        """Let in whoever names a mechanism: rights come by claims. PLAIN brings a key, which is checked."""
        is_known = mechanism in MECHANISMS
        if mechanism == "PLAIN":
            parts = (response if isinstance(response, bytes) else b"").decode(errors="replace").split("\0")
            is_known = len(parts) == 3 and self._login(parts[1], parts[2])
        self.send(sasl_frame(SASL_OUTCOME, [ubyte(0 if is_known else 1), NULL]))

    def _open(self, fields: list[bytes]) -> None:
        largest, idle_ms = decoded(fields[2]), decoded(fields[4])
        self.max_frame_bytes = min(largest if isinstance(largest, int) else MAX_FRAME_BYTES, MAX_FRAME_BYTES)
        opened = [string("servicebus-emulator"), NULL, uint(MAX_FRAME_BYTES), ushort(CHANNEL_MAX)]
        self.send(frame(0, OPEN, opened))
        if isinstance(idle_ms, int) and idle_ms > 0:
            self._beat(idle_ms / 2_000)

    def _beat(self, every_s: float) -> None:
        """Send an empty frame often enough for a client that closes silent connections."""
        self.send(EMPTY_FRAME)
        self._heartbeat = asyncio.get_running_loop().call_later(every_s, self._beat, every_s)

    # --- what it is told ----------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send bytes, together with all else that is sent in this turn of the loop."""
        self._outbox.put(data)

    def close(self, condition: str, text: str) -> None:
        """Close it with an error."""
        self.send(frame(0, CLOSE, [error(condition, text)]))
        self._outbox.close()

    def abort(self) -> None:
        """Cut it without a word."""
        self._outbox.abort()

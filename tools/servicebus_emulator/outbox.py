"""What a connection sends: together what belongs together, and as late as a fault says."""

from __future__ import annotations

import asyncio
from collections import deque

from queue_runtime.tools.servicebus_emulator.faults import Faults

__all__ = ["Outbox"]


class Outbox:
    """The sending side of a socket. All that is put in one turn of the loop is sent in one piece.

    Args:
        faults: what is to go wrong.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._transport: asyncio.Transport | None = None
        self._put: list[bytes] = []
        self._late: deque[tuple[float, bytes]] = deque()

    def open(self, transport: asyncio.Transport | None) -> None:
        """Send to a socket, or with None to none any more."""
        self._transport = transport

    def put(self, data: bytes) -> None:
        """Send bytes."""
        if not self._put:
            asyncio.get_running_loop().call_soon(self._flush)
        self._put.append(data)

    def _flush(self) -> None:
        if not self._put:
            return
        data, self._put = b"".join(self._put), []
        if not self._faults.answer_delay_s and not self._late:
            self._write(data)
            return
        loop = asyncio.get_running_loop()
        self._late.append((loop.time() + self._faults.answer_delay_s, data))
        if len(self._late) == 1:
            loop.call_at(self._late[0][0], self._send_late)

    def _send_late(self) -> None:
        loop = asyncio.get_running_loop()
        while self._late and self._late[0][0] <= loop.time():
            self._write(self._late.popleft()[1])
        if self._late:
            loop.call_at(self._late[0][0], self._send_late)

    def _write(self, data: bytes) -> None:
        """Write bytes; none at all stand for the end."""
        if self._transport is None or self._faults.is_silent:
            return
        if data:
            self._transport.write(data)
        else:
            self._transport.close()

    def close(self) -> None:
        """Close the socket behind what is still to be sent."""
        self._flush()
        if self._late:
            self._late.append((self._late[-1][0], b""))
        else:
            self._write(b"")

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

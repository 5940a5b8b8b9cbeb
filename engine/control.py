"""The operators' door to a live engine: a Unix socket in the journal's folder, for its owner alone.

One request a line, one answer a line, both JSON. `{"op": "status"}` asks; the others act, and need `who` and `why`,
which the journal keeps: `resume` and `release` (with `queue` and `session`), `reset` (with `route`), `dead-letter`
(with `key`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from queue_runtime.engine.core import Core
from queue_runtime.engine.operators import Operators, Refused, Request
from queue_runtime.engine.status import status_of
from queue_runtime.journal.errors import JournalUnavailable

__all__ = ["Control", "ask"]

logger = logging.getLogger("queue_runtime.engine")

SOCKET_NAME = "control.sock"
_MAX_LINE = 64 * 1024
_MAX_PATH = 100  # of the 108 bytes that Linux has for the name of a socket


class Control:
    """Serves the socket while an engine runs."""

    def __init__(self, core: Core, folder: Path) -> None:
        self._core = core
        self._path = folder / SOCKET_NAME
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._operators = Operators(core)

    async def start(self) -> None:
        """Open the socket, mode 0600. A path that is too long for a socket is reported, and done without."""
        if len(str(self._path).encode()) > _MAX_PATH:
            logger.warning("no control socket: %s is too long for a socket's name; use a shorter path", self._path)
            return
        await asyncio.to_thread(self._path.unlink, missing_ok=True)  # left by a kill; the journal's lock is ours
        self._server = await asyncio.start_unix_server(self._connected, self._path, limit=_MAX_LINE)
        await asyncio.to_thread(self._path.chmod, 0o600)

    async def stop(self) -> None:
        """Close the socket and remove it; who is connected is cut off."""
        if self._server is not None:
            self._server.close()
            await asyncio.to_thread(self._path.unlink, missing_ok=True)
        clients = set(self._clients)
        for client in clients:
            client.cancel()
        if clients:
            await asyncio.wait(clients)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="queue-runtime control")
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, ValueError):  # a client that goes, or sends a line without end
                while line := await reader.readline():
                    writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                    await writer.drain()
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = Request.model_validate_json(line)
            if request.op == "status":
                return {"ok": True, "status": asdict(status_of(self._core))}
            if self._core.outage.error is not None:
                return {"ok": False, "error": f"the journal cannot be written: {self._core.outage.error}; try again"}
            self._operators.act(request)
            self._core.pump()
            await self._core.journal.wait(self._core.journal.position)  # "done" is said of what will be done
        except JournalUnavailable as error:
            return {"ok": False, "error": f"the journal cannot be written: {error}; try again"}
        except (Refused, ValidationError) as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True}


async def ask(folder: Path, request: dict[str, str]) -> dict[str, object]:
    """Send one request to the engine whose journal is in `folder`, and return its answer.

    Raises:
        ConnectionError: no engine runs there.
        FileNotFoundError: no engine runs there.
    """
    reader, writer = await asyncio.open_unix_connection(folder / SOCKET_NAME, limit=16 * _MAX_LINE)
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        await writer.drain()
        answer: dict[str, object] = json.loads(await reader.readline())
    finally:
        writer.close()
    return answer

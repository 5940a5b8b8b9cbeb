"""Commands to an emulator in another process: a line of JSON each, and a line of JSON back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Self, cast

from queue_runtime.tools.servicebus_emulator.broker.refusal import Refused
from queue_runtime.tools.servicebus_emulator.server import ServiceBusEmulator

__all__ = ["Control"]

Arguments = Mapping[str, object]


class Control:
    """Listens for commands; an asynchronous context manager.

    A command is an object with `do` and its arguments: `{"do": "busy", "operations": 3}`. The answer is
    `{"ok": true, "result": ...}` or `{"ok": false, "error": "..."}`. Whoever reaches the port may give commands.

    Args:
        emulator: takes them.
        port: on the emulator's address; 0 for one that is free, its number after the start.
    """

    def __init__(self, emulator: ServiceBusEmulator, *, port: int = 0) -> None:
        self.port = port
        self._emulator = emulator
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        faults = emulator.faults
        self._commands: dict[str, Callable[[Arguments], object]] = {
            "add-queue": lambda given: emulator.add_queue(_text(given, "queue")),
            "remove-queue": lambda given: emulator.remove_queue(_text(given, "queue")),
            "count": lambda given: asdict(emulator.count(_text(given, "queue"))),
            "busy": lambda given: faults.busy(int(_number(given, "operations"))),
            "lose-settlements": lambda given: faults.lose_settlements(int(_number(given, "settlements"))),
            "delay": self._delay,
            "silence": self._silence,
            "detach": lambda given: faults.detach(_text(given, "queue") if "queue" in given else None),
            "drop-connections": lambda _: faults.drop_connections(),
            "close-idle": lambda _: faults.close_idle(),
            "expire-tokens": lambda _: faults.expire_tokens(),
            "expire-locks": lambda given: faults.expire_locks(_text(given, "queue")),
            "disable": lambda given: faults.disable(_text(given, "queue")),
            "enable": lambda given: faults.enable(_text(given, "queue")),
        }

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._emulator.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self.perform(line)).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # whoever asked is gone
        finally:
            self._writers.discard(writer)
            writer.close()

    def perform(self, line: bytes) -> dict[str, object]:
        """Do what a line says, and return the answer to it."""
        try:
            decoded: object = json.loads(line)
            if not isinstance(decoded, dict):
                msg = "a command is an object with `do`"
                raise ValueError(msg)  # noqa: TRY004, TRY301 - what cannot be done is one kind of failure here
            given = cast("dict[str, object]", decoded)
            name = given.get("do")
            if not isinstance(name, str) or name not in self._commands:
                msg = f"there is no command {name!r}: there are {', '.join(self._commands)}"
                raise ValueError(msg)  # noqa: TRY301
            return {"ok": True, "result": self._commands[name](given)}
        except (ValueError, Refused) as error:
            return {"ok": False, "error": str(error)}

    def _delay(self, given: Arguments) -> None:
        self._emulator.faults.answer_delay_s = _number(given, "seconds")

    def _silence(self, given: Arguments) -> None:
        self._emulator.faults.is_silent = given.get("on") is True


def _text(given: Arguments, name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        msg = f"{given.get('do')} needs {name}, a text"
        raise ValueError(msg)  # noqa: TRY004 - as above
    return value


def _number(given: Arguments, name: str) -> float:
    value = given.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        msg = f"{given.get('do')} needs {name}, a number of at least 0"
        raise ValueError(msg)
    return value

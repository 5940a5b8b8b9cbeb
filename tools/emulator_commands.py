"""`queue-runtime emulator`: brokers for tests and development, which need no container."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from typing import Annotated

import typer

__all__ = ["emulator_app"]

AMQP_PORT = 5672

emulator_app = typer.Typer(no_args_is_help=True, help="Run a broker for tests and development.")


@emulator_app.callback()
def group() -> None:
    """Run a broker for tests and development."""


@emulator_app.command()
def servicebus(
    queue: Annotated[list[str], typer.Option(help="A queue: NAME,OPTION,...; repeatable. pulls,sessions,lock=30")],
    port: Annotated[int, typer.Option(help="Where to listen; 0 for any that is free.")] = AMQP_PORT,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    control_port: Annotated[int | None, typer.Option(help="Take commands as lines of JSON on this port.")] = None,
) -> None:
    """Run a Service Bus until SIGTERM or Ctrl-C, and print what clients connect with."""
    asyncio.run(_serve(queue, host, port, control_port))


async def _serve(queues: Sequence[str], host: str, port: int, control_port: int | None) -> None:
    from queue_runtime.tools.servicebus_emulator import Control, ServiceBusEmulator  # noqa: PLC0415 - `version` is quick

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with contextlib.AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(ServiceBusEmulator(queues, host=host, port=port))
        if control_port is not None:
            control = await stack.enter_async_context(Control(emulator, port=control_port))
            print(f"control on {host}:{control.port}", flush=True)
        print(emulator.connection_string(), flush=True)
        await stopped.wait()

"""Commands from another process, and the command line."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from azure.servicebus.aio import ServiceBusClient

from queue_runtime.tools.servicebus_emulator import Control, ServiceBusEmulator
from tests.emulator.sdk import receive, send


async def ask(port: int, **command: object) -> dict[str, object]:
    """Give one command over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(json.dumps(command).encode() + b"\n")
    answer: dict[str, object] = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answer


async def test_every_command_does_what_python_does() -> None:
    """A line of JSON adds queues, counts, and plants every fault; a wrong one is answered with what is wrong."""
    async with ServiceBusEmulator(["orders"]) as emulator, Control(emulator) as control:
        port = control.port
        done = {"ok": True, "result": None}
        assert await ask(port, do="add-queue", queue="pulls,sessions") == done
        assert emulator.count("pulls").active == 0
        assert await ask(port, do="delay", seconds=0.5) == done
        assert emulator.faults.answer_delay_s == 0.5
        assert await ask(port, do="silence", on=True) == done
        assert emulator.faults.is_silent
        assert await ask(port, do="count", queue="orders") == {
            "ok": True,
            "result": {"active": 0, "locked": 0, "deferred": 0, "scheduled": 0, "dead_lettered": 0},
        }
        for name, given in [("busy", {"operations": 1}), ("lose-settlements", {"settlements": 1})]:
            assert await ask(port, do=name, **given) == done
        for name in ("disable", "enable", "expire-locks", "remove-queue"):
            assert await ask(port, do=name, queue="pulls") == done
        for name in ("detach", "drop-connections", "close-idle"):
            assert await ask(port, do=name) == {"ok": True, "result": 0}
        assert await ask(port, do="expire-tokens") == done
        for wrong in ({"do": "count", "queue": "pulls"}, {"do": "nothing"}, {"do": "delay"}, {"do": "count"}):
            answer = await ask(port, **wrong)
            assert (answer["ok"], bool(answer["error"])) == (False, True)
        assert control.perform(b"no json\n")["ok"] is False
        assert control.perform(b"[]\n")["ok"] is False


async def test_the_command_line_serves_until_it_is_told_to_stop() -> None:
    """`queue-runtime emulator servicebus` prints a connection string that works, and SIGTERM ends it well."""
    arguments = ["emulator", "servicebus", "--queue", "orders,lock=30", "--port", "0", "--control-port", "0"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "queue_runtime.tools.cli", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    control = (await process.stdout.readline()).decode()
    connection_string = (await process.stdout.readline()).decode().strip()
    async with ServiceBusClient.from_connection_string(connection_string) as client:
        await send(client, "orders", "a")
        async with client.get_queue_receiver("orders") as receiver:
            await receive(receiver, 1)
    counted = await ask(int(control.rpartition(":")[2]), do="count", queue="orders")
    assert counted == {
        "ok": True,
        "result": {"active": 0, "locked": 1, "deferred": 0, "scheduled": 0, "dead_lettered": 0},
    }
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_a_queue_comes_and_goes_while_it_runs(emulator: ServiceBusEmulator, client: ServiceBusClient) -> None:
    """A queue that is removed is gone with its messages, and a new one of its name is empty."""
    await send(client, "orders", "a")
    emulator.remove_queue("orders")
    emulator.add_queue("orders")
    assert emulator.count("orders").active == 0
    await send(client, "orders", "b")
    assert emulator.count("orders").active == 1

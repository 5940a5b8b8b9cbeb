"""The served broker: it outlives its clients, and clients outlive it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from queue_runtime.providers.errors import ConnectionFailed, QueueNotFound, UnsupportedOperation
from queue_runtime.providers.memory import (
    MemoryBroker,
    MemoryBrokerServer,
    MemoryProvider,
    QueueKind,
    QueueSettings,
    RemoteMemoryProvider,
)
from queue_runtime.providers.memory.link import Link
from queue_runtime.providers.message import Message, QueueName, SessionId
from queue_runtime.providers.port import Address, QueueCounts, SettleKind, Settlement
from tests.providers.fake_clock import FakeClock

PULLS = Address(QueueName("pulls"))

CONSUMER = """
import asyncio, sys
from queue_runtime.providers.memory import RemoteMemoryProvider
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.port import Address

async def main():
    provider = RemoteMemoryProvider(sys.argv[1])
    await provider.open()
    deliveries = await provider.receive(Address(QueueName("pulls")), 1, 20)
    print(deliveries[0].receipt.handle, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def broker(kind: QueueKind = QueueKind.STANDARD, clock: FakeClock | None = None) -> MemoryBroker:
    return MemoryBroker({"pulls": QueueSettings(kind=kind)}, clock=clock)


async def connected(address: str) -> RemoteMemoryProvider:
    provider = RemoteMemoryProvider(address)
    await provider.open()
    return provider


async def test_K02_a_killed_consumer_gets_no_credit(tmp_path: Path) -> None:
    """What it held stays locked until the lock ends, and its journaled receipt still settles from another process."""
    async with MemoryBrokerServer(broker(), tmp_path / "broker.sock") as server:
        provider = await connected(server.address)
        await provider.send(PULLS.queue, [Message(b"x")])
        arguments = ("-c", CONSUMER, server.address)
        consumer = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        assert consumer.stdout is not None
        handle = (await consumer.stdout.readline()).decode().strip()
        os.kill(consumer.pid, signal.SIGKILL)
        await consumer.wait()

        assert await provider.counts(PULLS.queue) == QueueCounts(0, 1, 0, 0)
        assert await provider.receive(PULLS, 1, 0) == []
        (seen,) = await provider.peek(PULLS, 1)
        kept = type(seen.receipt)(handle, seen.receipt.provider_id, seen.delivered_at, "memory")
        assert await provider.settle(PULLS, [Settlement(SettleKind.COMPLETE, kept)]) == [None]
        await provider.close()


async def test_a_broken_link_is_told_in_words(tmp_path: Path) -> None:
    """Who waited hears that the broker went away, and who calls later that none answers."""
    place = tmp_path / "broker.sock"
    async with MemoryBrokerServer(broker(), place) as server:
        provider = await connected(server.address)
        waiting = asyncio.ensure_future(provider.receive(PULLS, 1, 20))
        await provider.counts(PULLS.queue)
    with pytest.raises(ConnectionFailed, match="went away"):
        await waiting
    with pytest.raises(ConnectionFailed, match="no memory broker answers"):
        await provider.receive(PULLS, 1, 0)
    await provider.close()


async def test_a_socket_file_is_for_its_user_alone_and_leaves_with_its_server(tmp_path: Path) -> None:
    """Nobody else may connect, and nothing is left behind."""
    place = tmp_path / "broker.sock"
    async with MemoryBrokerServer(broker(), place):
        assert place.stat().st_mode & 0o777 == 0o600
    assert not place.exists()


async def test_errors_keep_their_kind_over_the_wire() -> None:
    """What the broker raises arrives as the same class with the same text and context."""
    async with MemoryBrokerServer(broker(), 0) as server:
        provider = await connected(server.address)
        with pytest.raises(QueueNotFound, match="'missing' does not exist") as refused:
            await provider.capabilities(QueueName("missing"))
        assert refused.value.context.queue == "missing"
        await provider.close()


@pytest.mark.parametrize("steps", range(12))
async def test_a_delivery_nobody_waits_for_any_more_is_given_back(steps: int) -> None:
    """A receive that is cancelled at any step of its answer's way does not leave the message locked."""
    clock = FakeClock()
    served = broker(clock=clock)
    async with MemoryBrokerServer(served, 0) as server:
        provider, other = await connected(server.address), await connected(server.address)
        await provider.capabilities(PULLS.queue)
        receiving = asyncio.ensure_future(provider.receive(PULLS, 1, 20))
        await other.capabilities(PULLS.queue)
        await _send_directly(served, Message(b"x"))
        for _ in range(steps):
            await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.wait({receiving})

        is_lost = receiving.cancelled()
        (delivery,) = await other.receive(PULLS, 1, 20) if is_lost else receiving.result()
        assert delivery.message.body == b"x"
        await provider.close()
        await other.close()


async def _send_directly(served: MemoryBroker, message: Message) -> None:
    direct = MemoryProvider(served)
    await direct.open()
    await direct.send(PULLS.queue, [message])


async def test_calls_that_are_not_offered_are_refused() -> None:
    """The other end can call the port's methods, and nothing else of the object behind it."""
    async with MemoryBrokerServer(broker(), 0) as server:
        link = Link(server.address)
        link.is_open = True
        for method in ("open", "__init__", "_calls", "session.renew", "nonsense"):
            arguments = (PULLS.queue, (SessionId("s"), "t", FakeClock().now())) if "." in method else ()
            with pytest.raises(UnsupportedOperation):
                await link.call(method, *arguments)
        await link.close()


async def test_a_stranger_on_the_port_disturbs_nobody() -> None:
    """Bytes that are no frame end their own connection only."""
    async with MemoryBrokerServer(broker(), 0) as server:
        provider = await connected(server.address)
        host, _, port = server.address.rpartition(":")
        for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x01\x05"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(noise)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()

        assert await provider.receive(PULLS, 1, 0) == []
        await provider.close()


async def test_sessions_are_renewed_beside_those_of_other_providers() -> None:
    """A session that another kind of provider made is lost as far as this one can tell; its own is renewed."""
    served = broker(QueueKind.SESSIONS)
    direct = MemoryProvider(served)
    await direct.open()
    async with MemoryBrokerServer(served, 0) as server:
        provider = await connected(server.address)
        ours = await provider.accept_session(PULLS.queue, SessionId("a"), 0)
        foreign = await direct.accept_session(PULLS.queue, SessionId("b"), 0)
        assert ours is not None
        assert foreign is not None

        lost, end = await provider.renew_sessions(PULLS.queue, [foreign, ours])

        assert type(lost).__name__ == "SessionLockLost"
        assert end == ours.locked_until
        await provider.close()

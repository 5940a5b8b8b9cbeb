"""Credentials that expire while an engine runs: read anew once, told if that does not help, and found again."""

import asyncio
from collections.abc import Callable

import pytest

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.journal import MemoryJournal
from queue_runtime.plugins import Router
from queue_runtime.providers.errors import AuthenticationFailed
from queue_runtime.providers.message import Message
from queue_runtime.providers.port import Address
from queue_runtime.providers.sqs import SqsProvider, clients
from tests.sqs.servers import SqsHarness
from tests.sqs.strict import Fault, StrictServer

CODES = ["ExpiredToken", "ExpiredTokenException"]
POLL_S = 0.005


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have credentials read anew as soon as they are refused."""
    monkeypatch.setattr(clients, "RENEWAL_PAUSE_S", 0.0)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - the stub's state is what is waited for
            await asyncio.sleep(POLL_S)


@pytest.mark.parametrize("code", CODES)
async def test_K11_D46_an_expired_token_is_read_anew_once(
    strict: StrictServer, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is made again with what is found by then; if that is refused too it fails, and is not repeated."""
    harness = SqsHarness(strict, is_fifo=False)
    provider = await harness.open()
    queue = await harness.make()
    await provider.capabilities(queue)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "RENEWED")

    strict.fail("ReceiveMessage", Fault(code))
    assert await provider.receive(Address(queue), 1, 0) == []
    assert [key for key, (action, _) in zip(strict.keys, strict.asked, strict=True) if action == "ReceiveMessage"] == [
        "test",
        "RENEWED",
    ]

    strict.fail("ReceiveMessage", Fault(code), Fault(code))
    with pytest.raises(AuthenticationFailed):
        await provider.receive(Address(queue), 1, 0)
    assert len(strict.calls("ReceiveMessage")) == 4
    assert await provider.receive(Address(queue), 1, 0) == []
    await provider.close()


async def test_a_poll_that_is_under_way_is_not_cut_off_by_a_renewal(strict: StrictServer) -> None:
    """What it brings is delivered: its connection is closed when it has ended, not before."""
    harness = SqsHarness(strict, is_fifo=False)
    provider, queue = await harness.open(), await harness.make()
    polling = asyncio.ensure_future(provider.receive(Address(queue), 1, 20))
    await strict.called("ReceiveMessage")
    strict.fail("SendMessageBatch", Fault("ExpiredToken"))

    await provider.send(queue, [Message(b"news")])

    assert [delivery.message.body for delivery in await polling] == [b"news"]
    await provider.close()


async def test_credentials_are_not_read_anew_at_every_refusal(
    strict: StrictServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the service refuses whatever is found, clients are made now and then and not with every call."""
    monkeypatch.setattr(clients, "RENEWAL_PAUSE_S", 3_600.0)
    harness = SqsHarness(strict, is_fifo=False)
    provider, queue = await harness.open(), await harness.make()
    await provider.capabilities(queue)
    strict.fail("ReceiveMessage", Fault("ExpiredToken"))

    with pytest.raises(AuthenticationFailed):
        await provider.receive(Address(queue), 1, 0)

    assert len(strict.calls("ReceiveMessage")) == 1
    await provider.close()


async def test_K11_an_engine_goes_on_when_credentials_return(strict: StrictServer) -> None:
    """An outage of credentials stops the receiving and nothing else; no message is lost or run twice."""
    harness = SqsHarness(strict, is_fifo=True)
    queue = await harness.make()
    sender = await harness.open()
    router, done = Router(), list[str]()

    @router.on("*")
    async def handle(ctx: Context) -> None:
        await asyncio.sleep(0)
        done.append(ctx.delivery.message.message_id)

    settings = EngineSettings(queues=(str(queue),), receive_wait_s=0.05)
    provider = SqsProvider(harness.settings(), strict.clock)
    async with Engine(settings, provider, MemoryJournal(), [router], strict.clock) as engine:
        running = asyncio.create_task(engine.run(handle_signals=False))
        await sender.send(queue, [Message(b"", message_id="1", session_id="s")])
        await until(lambda: not strict.queues[queue].held)
        refused = [Fault("ExpiredToken")] * 6
        strict.fail("ReceiveMessage", *refused)
        asked = len(strict.calls("ReceiveMessage"))
        await sender.send(queue, [Message(b"", message_id="2", session_id="s")])
        await until(lambda: not strict.queues[queue].held)
        assert len(strict.calls("ReceiveMessage")) > asked + len(refused)
        await engine.drain()
        await running

    assert done == ["1", "2"]
    await sender.close()

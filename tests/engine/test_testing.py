"""What users test their bots with."""

import asyncio
import importlib.util
import sys
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from queue_runtime.engine import Context
from queue_runtime.engine.testing import FakeClock, capture
from queue_runtime.journal.invariants import violations
from queue_runtime.plugins import PluginError, Router
from queue_runtime.providers.errors import MessageTooLarge
from queue_runtime.providers.message import Message

DOCS = Path(__file__).parents[2] / "docs"


def _tests_in(name: str) -> list[Callable[[], Awaitable[None]]]:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = [value for key, value in vars(module).items() if key.startswith("test_")]
    return cast("list[Callable[[], Awaitable[None]]]", tests)


@pytest.mark.parametrize("name", ["test_first_bot", "test_back_off"])
async def test_the_tests_on_the_page_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `docs/testing.md` shows works as it is shown."""
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    tests = _tests_in(name)
    for test in tests:
        await test()

    assert tests


def _failing(times: int) -> Router:
    router = Router()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        await ctx.step("seen", lambda: ctx.attempt)
        await ctx.send("out", event)
        if ctx.attempt <= times:
            msg = "not yet"
            raise ConnectionError(msg)

    return router


async def test_capture_tells_what_completed_what_failed_and_what_was_sent() -> None:
    """A failed attempt sends nothing; a step keeps the result of the attempt that ran it."""
    messages = [Message(b"a", message_id="a", session_id="s"), Message(b"b", message_id="b", session_id="s")]
    happened = await capture([_failing(1)], messages, max_attempts=2)

    assert happened.completed == ("a", "b")
    assert [(one.message_id, one.attempt, one.error_kind, one.is_retried) for one in happened.failed] == [
        ("a", 1, "ConnectionError", True),
        ("b", 1, "ConnectionError", True),
    ]
    assert [(one.queue, one.message.body) for one in happened.sent] == [("out", b"a"), ("out", b"b")]
    assert happened.steps == {"a": {"seen": 1}, "b": {"seen": 1}}
    assert happened.dead_letters == ()
    assert violations(list(enumerate(happened.events, 1))) == []


async def test_capture_tells_what_was_given_up_and_why() -> None:
    """Also what no plugin handles."""
    happened = await capture([_failing(5)], [Message(b"a", message_id="a")], max_attempts=2)
    unhandled = await capture([Router()], [Message(b"b", message_id="b")])

    assert [(one.message_id, one.reason) for one in happened.dead_letters] == [("a", "MaxAttemptsExceeded")]
    assert [one.is_retried for one in happened.failed] == [True, False]
    assert [(one.message_id, one.error_kind) for one in unhandled.dead_letters] == [("b", "NoHandler")]
    assert happened.sent == unhandled.sent == ()


async def test_capture_takes_any_number_of_messages_none_included() -> None:
    """Nothing in, nothing out; and many failures open no breaker."""
    nothing = await capture([_failing(0)], [])
    many = await capture([_failing(1)], [Message(b"%d" % n) for n in range(50)])

    assert nothing.completed == nothing.sent == ()
    assert len(many.dead_letters) == 50


async def test_capture_ends_when_a_handler_hangs() -> None:
    """After `timeout_s`, and with what hangs cancelled."""
    router = Router()
    begun: list[bool] = []
    ended: list[bool] = []

    @router.on("*")
    async def handle(event: bytes) -> None:
        del event
        begun.append(True)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    timeout_s = 0.1
    while not begun:  # on a machine that is busy enough the time is up before the handler begins
        with pytest.raises(TimeoutError):
            await capture([router], [Message(b"x")], timeout_s=timeout_s)
        timeout_s *= 4

    assert ended == begun == [True]


async def test_capture_says_what_is_wrong_with_plugins_and_messages() -> None:
    """A class instead of an object, a body beyond what a queue takes."""
    with pytest.raises(PluginError):
        await capture([Router], [Message(b"x")])
    with pytest.raises(MessageTooLarge):
        await capture([_failing(0)], [Message(bytes(20 * 1024 * 1024))])


async def test_a_fake_clock_wakes_each_sleeper_at_its_own_instant() -> None:
    """In the order of their instants, whatever the order in which they began."""
    clock = FakeClock(datetime(2030, 1, 1, tzinfo=UTC))
    woken: list[tuple[float, datetime]] = []

    async def sleeps(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.now().to_datetime()))

    tasks = [asyncio.create_task(sleeps(seconds)) for seconds in (3.0, 1.0, 0.0, 10.0)]
    await clock.advance(5.0)

    start = datetime(2030, 1, 1, tzinfo=UTC)
    assert woken == [(seconds, start + timedelta(seconds=seconds)) for seconds in (0.0, 1.0, 3.0)]
    assert clock.now().to_datetime() == start + timedelta(seconds=5)
    tasks[-1].cancel()
    await clock.advance(5.0)
    assert len(woken) == 3


async def test_a_fake_clock_wakes_a_sleeper_on_another_thread() -> None:
    """One clock for the engine's loop and for the thread that keeps its locks."""
    clock = FakeClock()
    waits, woke = threading.Event(), threading.Event()

    async def sleeps() -> None:
        asyncio.get_running_loop().call_soon(waits.set)
        await clock.sleep(7.0)
        woke.set()

    thread = threading.Thread(target=lambda: asyncio.run(sleeps()))
    thread.start()
    await asyncio.to_thread(waits.wait)
    await clock.advance(7.0)
    await asyncio.to_thread(thread.join, 5.0)

    assert woke.is_set()

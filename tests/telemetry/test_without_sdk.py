"""Telemetry that is on where nothing records it, and where OpenTelemetry is not installed. Processes of their own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PASSES_ON = """
import asyncio
from opentelemetry import trace
from queue_runtime.providers.message import Message
from queue_runtime.providers import QueueClient
from queue_runtime.providers.memory import MemoryProvider
from queue_runtime.journal.events import AttemptStarted
from tests.telemetry.recorded import Site, until

GIVEN = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"

async def main():
    site, seen = Site(), []
    async def forwards(ctx):
        seen.append(trace.get_current_span().get_span_context().trace_id)
        await ctx.send(site.other, b"on")
    async def ends(ctx):
        seen.append(ctx.delivery.message.attributes.get("traceparent"))
    async with QueueClient(MemoryProvider(site.broker)) as client:
        await client.send(site.queue, Message(b"{}", attributes={"traceparent": GIVEN}))
        await client.send(site.queue, Message(b"{}"))
    async with site.engine(forwards, ends, concurrency=1):
        await until(lambda: len(seen) == 4 and site.is_empty())
    print(sorted(map(str, seen)) == sorted(map(str, [int("a" * 32, 16), 0, GIVEN, None])))
    print({event.trace_parent for _, event in site.of(AttemptStarted)})

asyncio.run(main())
"""

MISSING = """
import sys
sys.modules["opentelemetry"] = None
from queue_runtime.engine import Engine, EngineSettings
from queue_runtime.journal import MemoryJournal
from queue_runtime.providers import QueueClient
from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider
for make in (
    lambda: Engine(EngineSettings(telemetry=True), MemoryProvider(MemoryBroker({})), MemoryJournal(), []),
    lambda: QueueClient.from_settings(provider="memory", memory_queues=("q",), telemetry=True),
):
    try:
        make()
    except ConfigurationError as error:
        print(error)
Engine(EngineSettings(), MemoryProvider(MemoryBroker({})), MemoryJournal(), [])
"""


def _output(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    return done.stdout.splitlines()


def test_L21_without_an_sdk_a_context_goes_through_a_handler_all_the_same() -> None:
    """What the handler sends is in the sender's trace; the journal names no span, for there is none."""
    assert _output(PASSES_ON) == ["True", "{None}"]


def test_h14_without_the_api_telemetry_says_what_to_install() -> None:
    """Engine and client say so, before anything is opened; an engine without telemetry needs none of it."""
    first, second = _output(MISSING)

    assert "pip install 'queue-runtime[otel]'" in first
    assert first == second

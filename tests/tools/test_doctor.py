"""`doctor` and `queues`: what a broker says of queues, for people and programs, with an exit code that can be used."""

import json
from pathlib import Path

from queue_runtime.providers.client import QueueClient
from queue_runtime.providers.memory import MemoryBroker, MemoryProvider, QueueSettings
from queue_runtime.providers.memory.server import MemoryBrokerServer
from queue_runtime.providers.message import Message
from tests.tools.site import QUEUE, Site


async def test_doctor_reports_every_queue_and_exits_by_what_cannot_work(tmp_path: Path) -> None:
    """A narrow queue is warned of and a hopeless or missing one exits with 1; the others are reported all the same."""
    narrow, hopeless = QueueSettings(max_deliveries=6), QueueSettings(max_deliveries=1)
    broker = MemoryBroker({QUEUE: narrow, "hopeless": hopeless})
    async with MemoryBrokerServer(broker, 0) as server:
        site = Site(tmp_path, broker, server.address)
        good, out, errors = await site.call("doctor", "--json")
        bad, told, _ = await site.call(
            "doctor", "--queue", QUEUE, "--queue", "hopeless", "--queue", "missing", "--json"
        )
        _, for_people, _ = await site.call("doctor", "--queue", "hopeless")

    assert good == 0, errors
    found = {(each["queue"], each["what"]): each["level"] for each in json.loads(out)}
    assert found[QUEUE, "deliveries"] == "warning"
    assert found[QUEUE, "dead letters"] == "good"
    assert bad == 1
    refused = {(each["queue"], each["what"]) for each in json.loads(told) if each["level"] == "cannot work"}
    assert refused == {("hopeless", "deliveries"), ("missing", "access")}
    assert "cannot work" in for_people


async def test_doctor_compares_a_bots_queue_with_what_it_asks_for(tmp_path: Path) -> None:
    """The queue of the convention is looked at; another number of deliveries than the bot's is a warning."""
    broker = MemoryBroker({"prod-warden": QueueSettings(max_deliveries=10)})
    config = tmp_path / "bot.toml"
    bot = "[[provider.bots]]\nname = 'warden'\nmax_delivery_count = 12\n"
    config.write_text(f"[provider]\nenvironment = 'prod'\nbot = 'warden'\n{bot}")
    async with MemoryBrokerServer(broker, 0) as server:
        site = Site(tmp_path, broker, server.address, QUEUE_CONFIG=str(config))
        del site.environment["QUEUE_NAME"]
        code, out, errors = await site.call("doctor", "--json")

    assert code == 0, errors
    found = {each["what"]: each for each in json.loads(out)}
    assert {each["queue"] for each in found.values()} == {"prod-warden"}
    assert found["convention"]["level"] == "warning"
    assert found["sessions"]["level"] == "warning"


async def test_M11_queues_counts_what_each_queue_holds(tmp_path: Path) -> None:
    """Ready, in flight, scheduled and dead-lettered messages are told apart."""
    broker = MemoryBroker({QUEUE: QueueSettings()})
    async with QueueClient(MemoryProvider(broker)) as client:
        for _ in range(3):
            await client.send(QUEUE, Message(b"x"))
        assert await client.receive(QUEUE) is not None
        async with MemoryBrokerServer(broker, 0) as server:
            site = Site(tmp_path, broker, server.address)
            code, out, errors = await site.call("queues", "--json")
            _, for_people, _ = await site.call("queues")

    assert code == 0, errors
    assert json.loads(out) == {str(QUEUE): {"active": 2, "in_flight": 1, "scheduled": 0, "dead_letters": 0}}
    assert "in flight" in for_people

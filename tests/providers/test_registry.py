"""Providers are found by name, from settings that fail before anything is opened."""

import sys
from pathlib import Path

import pytest

from queue_runtime.providers.client import QueueClient
from queue_runtime.providers.errors import ConfigurationError, UnsupportedProvider
from queue_runtime.providers.memory import MemoryProvider, RemoteMemoryProvider
from queue_runtime.providers.message import Message, QueueName
from queue_runtime.providers.registry import provider_from_settings, provider_names
from queue_runtime.providers.settings import ProviderSettings

PLUGIN = """
class Mine:
    name = "mine"

def make(settings):
    return Mine()
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROVIDER", "NAME", "MEMORY_QUEUES", "MEMORY_ADDRESS", "MEMORY_KIND", "RECEIVE_TIMEOUT_SECONDS"):
        monkeypatch.delenv(f"QUEUE_{name}", raising=False)


def installed(tmp_path: Path, distribution: str, entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a distribution on the path that registers one provider."""
    about = tmp_path / f"{distribution.replace('-', '_')}-99.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 99\n")
    (about / "entry_points.txt").write_text(f"[queue_runtime.providers]\n{entry}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


def test_L15_our_provider_is_registered_like_anybodys() -> None:
    """The in-memory one is found through the entry point group."""
    assert "memory" in provider_names()
    assert isinstance(provider_from_settings(ProviderSettings(provider="memory")), MemoryProvider)


def test_L15_a_provider_of_somebody_else_needs_no_change_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution that registers a name can be chosen by it."""
    (tmp_path / "their_provider.py").write_text(PLUGIN)
    installed(tmp_path, "their-provider", "mine = their_provider:make", monkeypatch)

    assert provider_from_settings(ProviderSettings(provider="mine")).name == "mine"


def test_L15_an_unknown_provider_is_an_error_that_lists_the_known_ones() -> None:
    """A misspelt name never falls back to another provider."""
    with pytest.raises(UnsupportedProvider, match=r"'memroy' is not known here: use one of .*memory"):
        provider_from_settings(ProviderSettings(provider="memroy"))


def test_L39_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where our own adapter lacks its packages the text says which extra to install."""
    installed(tmp_path, "queue-runtime", "aws = package_that_is_not_there.sqs:make", monkeypatch)

    with pytest.raises(UnsupportedProvider, match=r"pip install queue-runtime\[aws\]"):
        provider_from_settings(ProviderSettings(provider="aws"))


def test_f6_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the names that operators know; what is passed wins."""
    monkeypatch.setenv("QUEUE_PROVIDER", "inmemory")
    monkeypatch.setenv("QUEUE_NAME", "pulls")
    monkeypatch.setenv("QUEUE_MEMORY_QUEUES", "labels, reviews")
    monkeypatch.setenv("QUEUE_RECEIVE_TIMEOUT_SECONDS", "2.5")

    settings = ProviderSettings(memory_kind="fifo")  # pyright: ignore[reportCallIssue]

    assert (settings.provider, settings.queue_name) == ("memory", "pulls")
    assert (settings.memory_queues, settings.receive_timeout_s) == (("labels", "reviews"), 2.5)
    assert settings.memory_kind == "fifo"


def test_K16_there_is_no_default_provider() -> None:
    """A provider that forgets everything is chosen on purpose or not at all."""
    with pytest.raises(ConfigurationError, match="QUEUE_PROVIDER: Field required"):
        QueueClient.from_settings()


@pytest.mark.parametrize(
    ("field", "value"),
    [("receive_timeout_s", 0.0), ("queue_name", "no--name"), ("memory_kind", "lifo"), ("memory_queues", ("a b",))],
)
def test_K16_L16_a_bad_setting_is_named_and_nothing_is_started(field: str, value: object) -> None:
    """The client is not made, and the text names the field."""
    overrides = {"provider": "memory", field: value}

    with pytest.raises(ConfigurationError, match=field):
        QueueClient.from_settings(**overrides)  # pyright: ignore[reportArgumentType]


async def test_an_address_means_a_broker_elsewhere() -> None:
    """With an address the broker of another process is used; nothing is connected yet."""
    settings = ProviderSettings(provider="memory", memory_address="127.0.0.1:1")

    assert isinstance(provider_from_settings(settings), RemoteMemoryProvider)


async def test_a_client_from_settings_works_at_once() -> None:
    """The queues that settings name exist, and no others."""
    settings = {"queue_name": "pulls", "memory_queues": ("labels",)}
    async with QueueClient.from_settings(provider="memory", **settings) as client:  # pyright: ignore[reportArgumentType]
        for queue in ("pulls", "labels"):
            await client.send(QueueName(queue), Message(b"x"))
            assert await client.receive(queue) is not None

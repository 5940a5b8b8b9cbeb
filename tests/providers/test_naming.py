"""A bot's queues are called by one convention, and a name that breaks a rule is refused before anything connects."""

import json

import pytest

from queue_runtime.engine.loading import load_settings
from queue_runtime.providers import BotQueues, NamingError, NamingProblem, QueueRegistry
from queue_runtime.providers.errors import InvalidSettings
from queue_runtime.providers.memory import MemoryProvider
from queue_runtime.providers.message import QueueName
from queue_runtime.providers.registry import provider_from_settings
from queue_runtime.providers.settings import ProviderSettings
from queue_runtime.providers.sqs.factory import sqs_settings

# The eight bots that the requirements name as examples.
BOTS = (
    "task-tactician",
    "merge-warden",
    "spec-sentinel",
    "security-scanner",
    "dependency-updater",
    "build-orchestrator",
    "release-manager",
    "docs-generator",
)


def registry(
    *bots: BotQueues, provider: str = "aws", environment: str = "prod", prefix: str | None = None
) -> QueueRegistry:
    return QueueRegistry(provider, environment, bots, prefix)


def test_a25_a30_names_follow_the_convention() -> None:
    """`[prefix-]environment-bot[-suffix]`, with `.fifo` last where the queue is one; all of them can be listed."""
    made = registry(
        BotQueues(name="merge-warden", fifo=True, retry_queue=True),
        BotQueues(name="docs-generator", dead_letter=False),
        prefix="acme",
    )

    assert made.main("merge-warden") == "acme-prod-merge-warden.fifo"
    assert made.dead_letters("merge-warden") == "acme-prod-merge-warden-dlq.fifo"
    assert made.retry("merge-warden") == "acme-prod-merge-warden-retry.fifo"
    assert made.strategy("merge-warden", "branch") == "acme-prod-merge-warden-branch.fifo"
    assert (made.dead_letters("docs-generator"), made.retry("docs-generator")) == (None, None)
    assert [str(name) for name in made.names()] == [
        "acme-prod-merge-warden.fifo",
        "acme-prod-merge-warden-dlq.fifo",
        "acme-prod-merge-warden-retry.fifo",
        "acme-prod-docs-generator",
    ]


@pytest.mark.parametrize("provider", ["aws", "azure", "memory"])
def test_a31_the_example_bots_have_names_everywhere(provider: str) -> None:
    """Each provider takes them; where the broker keeps dead letters itself there is no queue for them."""
    made = registry(*(BotQueues(name=name) for name in BOTS), provider=provider)

    assert [made.main(name) for name in BOTS] == [f"prod-{name}" for name in BOTS]
    assert (made.dead_letters(BOTS[0]) is not None) is (provider == "aws")
    assert all(isinstance(name, QueueName) for name in made.names())


def bot(name: str, *, fifo: bool = False) -> BotQueues:
    return BotQueues(name=name, fifo=fifo)


@pytest.mark.parametrize(
    ("provider", "environment", "prefix", "bots", "problem"),
    [
        ("aws", "prod", None, (bot("merge_warden"),), NamingProblem.INVALID_CHARACTER),
        ("aws", "prod", None, (bot("bot2"),), NamingProblem.INVALID_CHARACTER),
        ("aws", "prod", None, (bot("-warden"),), NamingProblem.INVALID_FORMAT),
        ("aws", "prod", None, (bot("merge--warden"),), NamingProblem.INVALID_FORMAT),
        ("aws", "", None, (bot("warden"),), NamingProblem.EMPTY),
        ("aws", "Prod", None, (bot("warden"),), NamingProblem.INVALID_CHARACTER),
        ("aws", "prod", "p" * 31, (bot("warden"),), NamingProblem.TOO_LONG),
        ("azure", "e" * 20, None, (bot("b" * 30),), NamingProblem.TOO_LONG),
        ("aws", "e" * 20, "p" * 30, (bot("b" * 25, fifo=True),), NamingProblem.TOO_LONG),
        ("azure", "prod", None, (bot("warden", fifo=True),), NamingProblem.UNSUPPORTED_PROVIDER),
        ("aws", "prod", None, (bot("warden"), bot("warden")), NamingProblem.DUPLICATE_NAME),
        ("aws", "prod", None, (bot("warden"), bot("warden-dlq")), NamingProblem.DUPLICATE_NAME),
    ],
)
def test_a26_a29_a_bad_name_says_what_is_wrong(
    provider: str, environment: str, prefix: str | None, bots: tuple[BotQueues, ...], problem: NamingProblem
) -> None:
    """Every kind of rule has its own kind of error, found when the registry is made."""
    with pytest.raises(NamingError) as raised:
        QueueRegistry(provider, environment, bots, prefix)

    assert raised.value.problem is problem


def test_a27_a_name_at_the_limit_is_taken() -> None:
    """80 characters with `.fifo` and the suffix of the dead letters are allowed on SQS, 50 on Service Bus."""
    at_limit = registry(bot("b" * 29, fifo=True), environment="e" * 10, prefix="p" * 30)
    assert len(at_limit.dead_letters("b" * 29) or "") == 80
    assert len(registry(bot("b" * 30), provider="azure", environment="e" * 19).main("b" * 30)) == 50


def test_an_unknown_bot_is_an_error_that_lists_the_known_ones() -> None:
    """A misspelt bot is not given a queue."""
    with pytest.raises(NamingError, match="'warden' is none of the bots: merge-warden") as raised:
        registry(bot("merge-warden")).main("warden")
    assert raised.value.problem is NamingProblem.BOT_NOT_FOUND


async def test_f20_a_bot_of_the_settings_receives_from_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """`QUEUE_BOT` is enough for an engine: its queue follows unless one is named, and memory has all of them."""
    monkeypatch.setenv("QUEUE_ENVIRONMENT", "prod")
    monkeypatch.setenv("QUEUE_BOTS", json.dumps([{"name": name} for name in BOTS]))
    monkeypatch.setenv("QUEUE_BOT", "merge-warden")

    loaded = load_settings(provider={"provider": "memory"})
    assert loaded.engine.queues == ("prod-merge-warden",)
    assert load_settings(provider={"provider": "memory", "queue_name": "mine"}).engine.queues == ("mine",)

    provider = provider_from_settings(loaded.provider)
    assert isinstance(provider, MemoryProvider)
    await provider.open()
    assert [(await provider.counts(QueueName(f"prod-{name}"))).active for name in BOTS] == [0] * 8


def test_a_bots_dead_letters_are_known_to_sqs() -> None:
    """The adapter is told the queue of the convention, unless the settings name another."""
    given = {"provider": "aws", "environment": "prod", "bots": [{"name": "warden"}], "bot": "warden"}

    assert sqs_settings(ProviderSettings.load(**given)).dead_letter_queue == "prod-warden-dlq"
    assert sqs_settings(ProviderSettings.load(**given, sqs_dead_letter_queue="mine")).dead_letter_queue == "mine"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"bots": [{"name": "warden"}]}, "bots: need an environment"),
        ({"environment": "prod", "bots": [{"name": "WARDEN"}]}, "bots 'WARDEN' holds 'W'"),
        ({"environment": "prod", "bots": [{"name": "warden", "fifo": True}]}, "FIFO"),
        ({"environment": "prod", "bots": [{"name": "warden", "sesions": True}]}, "bots.0.sesions: Extra inputs"),
        ({"environment": "prod", "bots": [{"name": "warden"}], "bot": "warder"}, "bot: 'warder' is none of the bots"),
    ],
)
def test_bad_bots_in_settings_are_named(settings: dict[str, object], problem: str) -> None:
    """They are refused with every other setting, before anything connects."""
    with pytest.raises(InvalidSettings, match=problem):
        ProviderSettings.load(provider="memory", **settings)

"""The SDK's clients: made off the loop, three of them, and every failure of theirs in our words.

Polls have connections of their own: a long poll holds one for as long as it lasts, and whoever waits behind it for a
connection waits without a time-out. Sends alone are repeated by the SDK: a poll that is repeated after a lost answer
hides the messages of that answer, and settlements are repeated by whoever asked.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# The SDK has no types. What comes out of it is narrowed here, and nowhere else.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from enum import StrEnum
from functools import cache
from typing import cast

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from queue_runtime.providers.errors import ProviderClosed
from queue_runtime.providers.sqs.answers import AnswerParserFactory
from queue_runtime.providers.sqs.errors import About, error_of_exception
from queue_runtime.providers.sqs.settings import PROVIDER, SqsSettings

__all__ = ["Clients", "Use", "client_config", "new_session"]

CONNECT_S = 10.0
ANSWER_S = 10.0
POLL_MARGIN_S = 10.0  # a poll that is cut off before its answer may swallow the next message
CONNECTIONS = 100  # opened as they are needed: every poll, settlement and renewal that may be under way at one time


class Use(StrEnum):
    """What a call is for: it decides which client makes it."""

    POLL = "poll"
    CALL = "call"
    SEND = "send"


class Clients:
    """One session of the SDK, and its clients. For the loop that opens it."""

    def __init__(self, settings: SqsSettings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._clients: dict[Use, object] = {}

    @property
    def is_open(self) -> bool:
        """True between `open` and `close`."""
        return bool(self._clients)

    async def open(self) -> None:
        """Make the clients; sends nothing, but the SDK may ask the host's role for credentials.

        Raises:
            QueueError: the SDK finds no region or no credentials.
        """
        session = new_session()
        opened: dict[Use, object] = {}
        try:
            for use in Use:
                client = session.create_client(
                    "sqs",
                    region_name=self._settings.region,
                    endpoint_url=self._settings.endpoint_url,
                    config=client_config(session, use, self._settings.longest_poll_s),
                )
                opened[use] = await self._stack.enter_async_context(client)
        except Exception as error:
            await self._stack.aclose()
            raise error_of_exception(About("open", None), error) from error
        self._clients = opened

    async def close(self) -> None:
        """Drop every connection. Twice is harmless."""
        self._clients = {}
        await self._stack.aclose()

    async def call(self, use: Use, method: str, about: About, **parameters: object) -> Mapping[str, object]:
        """Make one call and return its answer.

        Raises:
            ProviderClosed: the clients are not open.
            QueueError: whatever the service or the SDK says, in our words.
        """
        client = self._clients.get(use)
        if client is None:
            raise ProviderClosed(PROVIDER)
        function = cast("Callable[..., Awaitable[Mapping[str, object]]]", getattr(client, method))
        try:
            return await function(**parameters)
        except Exception as error:
            if not self._clients:
                raise ProviderClosed(PROVIDER) from error
            raise error_of_exception(about, error) from error


def new_session() -> AioSession:
    """Return a session whose clients start and read answers faster than the SDK's own."""
    session = AioSession()
    session.register_component("data_loader", _loader())
    session.register_component("response_parser_factory", AnswerParserFactory())
    return session


@cache
def _loader() -> object:
    """Return what reads the SDK's own data files, shared so that a second session does not read them again."""
    return AioSession().get_component("data_loader")


def client_config(session: AioSession, use: Use, longest_poll_s: int) -> AioConfig:
    """Return the settings of one client.

    Parameters are checked by us and by the service; checking them a third time costs 4 % of a call. The user agent is
    what the SDK calls itself: one that is given is not put together anew twice a call, which is 14 % of it. Credentials
    and regions may come from the environment, endpoints may not: a bot must not send elsewhere by accident.
    """
    return AioConfig(
        connect_timeout=CONNECT_S,
        read_timeout=longest_poll_s + POLL_MARGIN_S if use is Use.POLL else ANSWER_S,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": 3 if use is Use.SEND else 1},
        parameter_validation=False,
        user_agent=session.user_agent().removesuffix(f" {session.user_agent_extra}"),  # it is added to any
        ignore_configured_endpoint_urls=True,
        tcp_keepalive=True,
        warm_up_loader_caches=True,
    )

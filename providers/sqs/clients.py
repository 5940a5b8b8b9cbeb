"""The SDK's clients: made off the loop, three of them, and every failure of theirs in our words.

Polls have connections of their own: a long poll holds one for as long as it lasts, and whoever waits behind it for a
connection waits without a time-out. Sends alone are repeated by the SDK: a poll that is repeated after a lost answer
hides the messages of that answer, and settlements are repeated by whoever asked.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# The SDK has no types. What comes out of it is narrowed here, and nowhere else.

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from enum import StrEnum
from functools import cache
from typing import cast

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from queue_runtime.providers.errors import ProviderClosed, QueueError
from queue_runtime.providers.sqs.answers import AnswerParserFactory
from queue_runtime.providers.sqs.errors import About, error_of_exception, says_expired
from queue_runtime.providers.sqs.settings import PROVIDER, SqsSettings

__all__ = ["Clients", "Use", "client_config", "new_session"]

CONNECT_S = 10.0
ANSWER_S = 10.0
POLL_MARGIN_S = 10.0  # a poll that is cut off before its answer may swallow the next message
RENEWAL_PAUSE_S = 5.0  # between two readings of credentials, while the service refuses what is found
CONNECTIONS = 100  # opened as they are needed: every poll, settlement and renewal that may be under way at one time


class Use(StrEnum):
    """What a call is for: it decides which client makes it."""

    POLL = "poll"
    CALL = "call"
    SEND = "send"


class _Set:
    """A session of the SDK, its clients, and how many calls of theirs are under way."""

    def __init__(self) -> None:
        self.stack = AsyncExitStack()
        self.clients: dict[Use, object] = {}
        self.calls = 0
        self.made_at = time.monotonic()

    async def open(self, settings: SqsSettings) -> None:
        """Make the clients."""
        session = new_session()
        try:
            for use in Use:
                client = session.create_client(
                    "sqs",
                    region_name=settings.region,
                    endpoint_url=settings.endpoint_url,
                    config=client_config(session, use, settings.longest_poll_s),
                )
                self.clients[use] = await self.stack.enter_async_context(client)
        except Exception as error:
            await self.stack.aclose()
            raise error_of_exception(About("open", None), error) from error


class Clients:
    """One session of the SDK, and its clients; another when its credentials are over. For the loop that opens it.

    The SDK renews what it knows to expire. Credentials that it read from the environment or a profile it keeps, and the
    service may say earlier than it that a token is over: then everything is read anew, once, and the call made again.
    """

    def __init__(self, settings: SqsSettings) -> None:
        self._settings = settings
        self._set: _Set | None = None
        self._retired: set[_Set] = set()
        self._renewing = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """True between `open` and `close`."""
        return self._set is not None

    async def open(self) -> None:
        """Make the clients; sends nothing, but the SDK may ask the host's role for credentials.

        Raises:
            QueueError: the SDK finds no region or no credentials.
        """
        opened = _Set()
        await opened.open(self._settings)
        self._set = opened

    async def close(self) -> None:
        """Drop every connection. Twice is harmless."""
        ending, self._set = self._set, None
        for each in (*self._retired, *([] if ending is None else [ending])):
            await each.stack.aclose()
        self._retired.clear()

    async def call(self, use: Use, method: str, about: About, **parameters: object) -> Mapping[str, object]:
        """Make one call and return its answer.

        Raises:
            ProviderClosed: the clients are not open.
            QueueError: whatever the service or the SDK says, in our words.
        """
        for is_again in (False, True):
            made_by = self._set
            if made_by is None:
                break
            try:
                return await self._call(made_by, use, method, parameters)
            except Exception as error:
                if self._set is None:
                    raise ProviderClosed(PROVIDER) from error
                if is_again or not (says_expired(error) and await self._renewed(made_by)):
                    raise error_of_exception(about, error) from error
        raise ProviderClosed(PROVIDER)

    async def _call(
        self, made_by: _Set, use: Use, method: str, parameters: Mapping[str, object]
    ) -> Mapping[str, object]:
        function = cast("Callable[..., Awaitable[Mapping[str, object]]]", getattr(made_by.clients[use], method))
        made_by.calls += 1
        try:
            return await function(**parameters)
        finally:
            made_by.calls -= 1
            if not made_by.calls and made_by in self._retired:
                self._retired.discard(made_by)
                await made_by.stack.aclose()

    async def _renewed(self, refused: _Set) -> bool:
        """Say whether there are clients by now whose credentials were read after those that were refused."""
        async with self._renewing:
            if self._set is refused and time.monotonic() - refused.made_at >= RENEWAL_PAUSE_S:
                opened = _Set()
                try:
                    await opened.open(self._settings)
                except QueueError:
                    return False  # what was refused says more
                self._set = opened
                self._retired.add(refused)  # its polls are not cut off: the last call closes it
        return self._set is not refused


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

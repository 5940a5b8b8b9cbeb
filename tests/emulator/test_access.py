"""Who may do what, as the real SDK is told."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator

import pytest
from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusAuthenticationError, ServiceBusAuthorizationError

from queue_runtime.tools.servicebus_emulator import AccessKey, Right, ServiceBusEmulator
from tests.emulator.sdk import receive, send

pytestmark = pytest.mark.heavy  # the SDK takes a second for each link that it opens and closes


@pytest.fixture
async def guarded() -> AsyncIterator[ServiceBusEmulator]:
    """Run an emulator with a policy that sends and one that listens."""
    keys = {"sender": AccessKey("s", Right.SEND), "listener": AccessKey("l", Right.LISTEN)}
    async with ServiceBusEmulator(["orders"], keys=keys) as running:
        yield running


async def test_a_policy_allows_what_it_says(guarded: ServiceBusEmulator) -> None:
    """A sender's key sends and does not listen, a listener's the reverse."""
    async with (
        ServiceBusClient.from_connection_string(guarded.connection_string("sender"), retry_total=0) as sending,
        ServiceBusClient.from_connection_string(guarded.connection_string("listener"), retry_total=0) as listening,
    ):
        await send(sending, "orders", "a")
        with pytest.raises(ServiceBusAuthorizationError):
            await send(listening, "orders", "b")
        async with listening.get_queue_receiver("orders") as receiver:
            await receive(receiver, 1)
        with pytest.raises(ServiceBusAuthorizationError):
            async with sending.get_queue_receiver("orders"):
                pass


@pytest.mark.parametrize("change", [("SharedAccessKey=s", "SharedAccessKey=t"), ("Name=sender", "Name=nobody")])
async def test_a_wrong_signature_is_no_claim(guarded: ServiceBusEmulator, change: tuple[str, str]) -> None:
    """A key that is not the policy's, and a policy that there is none of, are refused with the token."""
    text = guarded.connection_string("sender").replace(*change)
    async with ServiceBusClient.from_connection_string(text, retry_total=0) as client:
        with pytest.raises(ServiceBusAuthenticationError):
            await send(client, "orders", "a")
    assert guarded.count("orders").active == 0


async def test_an_unknown_queue_is_refused_with_the_token(guarded: ServiceBusEmulator) -> None:
    """A token for a queue that does not exist is refused, as the service does, before a link is."""
    async with ServiceBusClient.from_connection_string(guarded.connection_string(), retry_total=0) as client:
        with pytest.raises(ServiceBusAuthenticationError):
            await send(client, "nowhere", "a")


class Jwt(AsyncTokenCredential):
    """Issues tokens that nobody signed."""

    def __init__(self, **claims: object) -> None:
        self._claims = claims
        self.issued = 0

    async def get_token(self, *scopes: str, **_: object) -> AccessToken:
        """Issue one for an hour."""
        del scopes
        self.issued += 1
        expires = int(time.time()) + 3_600
        payload = base64.urlsafe_b64encode(json.dumps({"exp": expires, **self._claims}).encode()).rstrip(b"=")
        return AccessToken(f"e30.{payload.decode()}.e30", expires)

    async def close(self) -> None:
        """Hold nothing."""

    async def __aenter__(self) -> AsyncTokenCredential:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


async def test_a_jwt_is_a_claim_too(guarded: ServiceBusEmulator) -> None:
    """A token credential sends with a JWT, as far as the token's rights go; an expired one opens nothing."""
    address = f"{guarded.host}:{guarded.port}"
    credential = Jwt(rights=["Send"])
    async with ServiceBusClient(address, credential, use_tls=False, retry_total=0) as client:
        await send(client, "orders", "a")
        with pytest.raises(ServiceBusAuthorizationError):
            async with client.get_queue_receiver("orders"):
                pass
    assert credential.issued > 0
    async with ServiceBusClient(address, Jwt(exp=1), use_tls=False, retry_total=0) as client:
        with pytest.raises(ServiceBusAuthenticationError):
            await send(client, "orders", "a")
    assert guarded.count("orders").active == 1

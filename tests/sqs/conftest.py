"""Servers that the tests of a worker share: starting one takes seconds, and queues keep tests apart."""

from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from tests.sqs.servers import CREDENTIALS, LocalServer, local_server
from tests.sqs.strict import StrictServer, strict_server


@pytest.fixture(scope="session")
def moto() -> Iterator[LocalServer]:
    """Moto: right for standard queues, misleading for FIFO ones."""
    with local_server("moto") as server:
        yield server


@pytest.fixture(scope="session")
def ministack() -> Iterator[LocalServer]:
    """MiniStack: holds groups and their order, duplicates, and dead letters."""
    with local_server("ministack") as server:
        yield server


@pytest.fixture
async def strict() -> AsyncIterator[StrictServer]:
    """A stub with the service's recorded rules, of this test's own."""
    async with strict_server() as server:
        yield server


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the SDK find credentials that open nothing, and none of this machine's."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, on a server, what its adoption says that it does otherwise than the service."""
    for item in items:
        if isinstance(item, pytest.Function):
            departures: Mapping[str, str] = getattr(item.cls, "departures", {})
            if item.originalname in departures:
                item.add_marker(pytest.mark.skipif(condition=True, reason=departures[item.originalname]))

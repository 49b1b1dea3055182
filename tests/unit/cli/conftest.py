"""The stand-in API, in the process and on a port."""

import threading
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
import uvicorn

from cli.client import ApiClient, open_client
from cli.connection import Connection
from tests.unit.cli.fake_api import KEY, FakeApi


@pytest.fixture
def fake() -> FakeApi:
    return FakeApi()


@pytest.fixture
async def client(fake: FakeApi) -> AsyncIterator[ApiClient]:
    transport = httpx2.ASGITransport(fake.app())
    async with open_client(Connection("http://api", KEY), transport) as opened:
        yield opened


@pytest.fixture
def url(fake: FakeApi) -> Iterator[str]:
    """The stand-in on a port, for whole commands."""
    server = uvicorn.Server(uvicorn.Config(fake.app(), port=0, log_level="error", ws="none"))
    listener = uvicorn.Config(fake.app(), port=0, log_level="error").bind_socket()
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=5)
    listener.close()

"""The fake API in the process and on a port, and commands with scripted responses."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import httpx2
import pytest
import typer
import uvicorn
from typer.testing import CliRunner, Result

from cli import command
from cli.client import ApiClient, open_client
from cli.connection import Connection
from cli.terminal import console
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
    """The URL of the fake API on a port."""
    server = uvicorn.Server(uvicorn.Config(fake.app(), port=0, log_level="error", ws="none"))
    listener = uvicorn.Config(fake.app(), port=0, log_level="error").bind_socket()
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=5)
    listener.close()


class Commands:
    """Runs commands whose requests are handled by a function."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(console, "width", 200)

    def run(
        self,
        app: typer.Typer,
        answer: Callable[[httpx2.Request], httpx2.Response],
        *arguments: str,
        typed: str = "",
    ) -> Result:
        """Run one command with these arguments."""
        transport = httpx2.MockTransport(answer)
        self._monkeypatch.setattr(command, "open_client", partial(open_client, transport=transport))
        access = ("--url", "http://api", "--key", KEY)
        return CliRunner().invoke(app, [*arguments, *access], input=typed)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(monkeypatch)

"""Readiness: each part is checked separately and in bounded time."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import httpx2
import pytest
from pydantic import SecretStr
from temporalio.client import Client

from api import health
from api.app import create_app
from autos.records.database import Database
from autos.settings import Settings
from tests.integration.api_parts import ADMIN_KEY, FakeStore, opener


@dataclasses.dataclass
class Ready:
    """The API and the store of one test."""

    api: httpx2.AsyncClient
    store: FakeStore

    async def ask(self) -> tuple[int, dict[str, dict[str, object]]]:
        answer = await self.api.get("/health/ready")
        return answer.status_code, answer.json()["parts"]


@pytest.fixture
async def ready(database: Database, temporal: Client) -> AsyncIterator[Ready]:
    store = FakeStore()
    settings = Settings(admin_key=SecretStr(ADMIN_KEY))
    app = create_app(settings, opener(database, temporal, store))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://api") as api,
    ):
        yield Ready(api, store)


async def test_full_bucket_is_not_ready(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """(S43) A bucket that accepts no objects is not ready; the detail has the reason."""
    ready.store.full = True
    status, parts = await ready.ask()
    assert (status, parts["store"]["ok"]) == (503, False)
    assert "accepts no objects" in str(parts["store"]["detail"])
    assert parts["records"] == parts["engine"] == {"ok": True}
    ready.store.full = False
    assert (await ready.ask())[0] == 200


async def test_bucket_is_probed_once_a_minute(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S43) Whether the store responds is checked every time."""
    for _ in range(5):
        assert (await ready.ask())[0] == 200
    assert ready.store.probes == 1
    ready.store.unavailable = True
    assert (await ready.ask())[0] == 503
    ready.store.unavailable = False
    monkeypatch.setattr(health, "PROBED_FOR_SECONDS", -1.0)
    ready.store.full = True
    assert (await ready.ask())[0] == 200


async def test_hanging_part_does_not_delay_the_others(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S43) Readiness returns in bounded time."""
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.2)

    async def hang() -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(ready.store, "reachable", hang)
    async with asyncio.timeout(30):
        status, parts = await ready.ask()
    assert (status, parts["store"]["ok"]) == (503, False)
    assert parts["records"] == {"ok": True}

"""Readiness: each part by itself, in bounded time, and the store as it is to be used."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import httpx2
import pytest
from pydantic import SecretStr
from temporalio.client import Client

from api import health
from api import object_store as api_store
from api.app import create_app
from autos.records.database import Database
from autos.settings import Settings
from tests.integration.api_parts import ADMIN_KEY, FakeStore, opener


@dataclasses.dataclass
class Ready:
    """An API of its own, and its store."""

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


async def test_a_full_bucket_is_told(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """(S43) A bucket that is there and takes nothing is not ready, and says why."""
    ready.store.full = True
    status, parts = await ready.ask()
    assert (status, parts["store"]["ok"]) == (503, False)
    assert "takes no objects" in str(parts["store"]["detail"])
    assert parts["records"] == parts["engine"] == {"ok": True}
    ready.store.full = False
    assert (await ready.ask())[0] == 200


async def test_the_bucket_is_not_written_to_at_every_question(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S43) Once a minute will do; whether the store answers at all is asked each time."""
    for _ in range(5):
        assert (await ready.ask())[0] == 200
    assert ready.store.probes == 1
    ready.store.away = True
    assert (await ready.ask())[0] == 503
    ready.store.away = False
    monkeypatch.setattr(api_store, "PROBED_FOR_SECONDS", -1.0)
    ready.store.full = True
    assert (await ready.ask())[0] == 200


async def test_a_part_that_hangs_holds_up_nobody(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S43) Readiness answers in bounded time, whichever part does not."""
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.2)

    async def hang() -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(ready.store, "reachable", hang)
    async with asyncio.timeout(30):
        status, parts = await ready.ask()
    assert (status, parts["store"]["ok"]) == (503, False)
    assert parts["records"] == {"ok": True}

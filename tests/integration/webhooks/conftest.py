"""Fixtures of the webhook tests."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from temporalio.client import Client

from api.app import create_app
from api.http.parameters import PREFIX
from autos.records.database import Database
from tests.integration.api_parts import FakeStore, opener
from tests.integration.webhooks.parts import Owner, new_owner, settings


@pytest.fixture
async def owner(database: Database) -> Owner:
    """An owner of an API key."""
    return await new_owner(database)


@pytest.fixture(scope="session")
async def webhooks_api(
    database: Database, temporal: Client, store: FakeStore
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the webhook routes, without a key."""
    app = create_app(settings(), opener(database, temporal, store))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url=f"http://api{PREFIX}/webhooks"
        ) as client,
    ):
        yield client

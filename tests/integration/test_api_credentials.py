"""The source's credential over REST: write-only, administrators only."""

import httpx2
import pytest
from sqlalchemy import text

from autos.records.database import Database
from tests.integration.api_parts import problem

PATH = "/api/v1/credentials/pdpj"


@pytest.fixture(autouse=True)
async def no_credential(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM credentials"))


async def test_a_credential_is_set_and_never_shown(api: httpx2.AsyncClient) -> None:
    assert (await api.get(PATH)).json()["is_set"] is False
    body = {"access_token": "synthetic-token-1", "refresh_token": "synthetic-token-2"}
    reply = await api.put(PATH, json=body)
    assert (reply.status_code, reply.json()) == (200, {"woken_jobs": 0})
    state = await api.get(PATH)
    assert state.json() == {"is_set": True, "refreshable": True, "expires_at": None}
    assert "synthetic-token" not in reply.text + state.text


async def test_clients_may_not_set_it(api: httpx2.AsyncClient) -> None:
    created = await api.post("/api/v1/api-keys", json={"name": "a client", "role": "client"})
    headers = {"Authorization": f"Bearer {created.json()['key']}"}
    reply = await api.put(PATH, json={"access_token": "x"}, headers=headers)
    problem(reply, 403, "forbidden")

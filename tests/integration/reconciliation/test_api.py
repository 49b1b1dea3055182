"""Reconciliations started by REST."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import httpx2
import pytest
from pydantic import SecretStr
from temporalio.client import Client

from api.app import create_app
from api.http.parameters import PREFIX
from autos.cnj import CaseNumber
from autos.contracts.temporal_names import reconciliation_workflow_id
from autos.records.database import Database
from autos.settings import Settings
from tests.integration.api_parts import ADMIN_KEY, FakeStore, opener, problem
from tests.integration.reconciliation.world import World

PATH = "/reconciliations"
WAIT = {"Prefer": "wait=20"}


@pytest.fixture
async def own_api(
    own_database: Database, own_temporal: Client
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with an admin key, of an API on these tests' servers."""
    app = create_app(
        Settings(admin_key=SecretStr(ADMIN_KEY)), opener(own_database, own_temporal, FakeStore())
    )
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app),
            base_url=f"http://api{PREFIX}",
            headers={"Authorization": f"Bearer {ADMIN_KEY}"},
        ) as client,
    ):
        yield client


async def test_report_is_returned_by_waiting_or_polling(
    world: World, own_api: httpx2.AsyncClient, case: CaseNumber
) -> None:
    world.metadata_available.clear()
    await world.process(case, "p")
    job_id, _ = await world.accept(case)
    await world.job(case).terminate()
    await world.make_older("jobs", "created_at", "1 hour")
    dry = await own_api.post(PATH, json={"dry_run": True}, headers=WAIT)
    assert (dry.status_code, dry.headers["preference-applied"]) == (200, "wait=20")
    assert (dry.json()["status"], dry.json()["dry_run"]) == ("completed", True)
    # The job closed within the grace period, so nothing is found yet.
    assert (dry.json()["left"], dry.json()["findings"]) == (0, [])
    unknown = CaseNumber.build(3, case.year, 8, 26, 100)
    await world.process(unknown, "p")
    lost = await world.row(unknown)
    await world.make_older("jobs", "created_at", "1 hour")
    begun = await own_api.post(PATH)
    assert begun.status_code in (200, 202)
    report = await own_api.get(begun.headers["location"].removeprefix(PREFIX), headers=WAIT)
    assert report.json()["id"] == begun.json()["id"]
    assert report.json()["left"] == 0
    (found,) = report.json()["findings"]
    assert (found["kind"], found["found"], found["mended"]) == ("job_unknown", 1, 1)
    assert found["first"] == [{"id": lost, "process_number": unknown.masked, "mended": True}]
    assert job_id not in report.text


async def test_second_request_joins_a_waiting_reconciliation(
    own_database: Database, own_temporal: Client, own_api: httpx2.AsyncClient
) -> None:
    first, second = await asyncio.gather(own_api.post(PATH), own_api.post(PATH))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert first.json()["status"] == "pending"
    assert int(first.headers["retry-after"]) > 0
    await own_temporal.get_workflow_handle(reconciliation_workflow_id(dry_run=False)).terminate()
    ended = await own_api.get(f"{PATH}/{first.json()['id']}")
    assert (ended.status_code, ended.json()["status"]) == (200, "failed")


async def test_reconciliations_are_for_admins_and_unknown_ids_return_404(
    own_api: httpx2.AsyncClient,
) -> None:
    problem(await own_api.get(f"{PATH}/{uuid.uuid4()}"), 404, "reconciliation-unknown")
    problem(await own_api.post(PATH, json={"dry": True}), 422, "invalid-request")
    key = (await own_api.post("/api-keys", json={"name": "client"})).json()["key"]
    client = {"Authorization": f"Bearer {key}"}
    problem(await own_api.post(PATH, headers=client), 403, "forbidden")
    problem(await own_api.get(f"{PATH}/{uuid.uuid4()}", headers=client), 403, "forbidden")

"""The source's credential over REST: write-only, administrators only."""

import httpx2
import pytest
from sqlalchemy import text
from temporalio.client import Client

from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus, WaitReason
from autos.records import downloads
from autos.records.database import Database
from autos.records.models import now
from tests.integration.api_parts import job_of, path, problem

PATH = "/api/v1/credentials/pdpj"


@pytest.fixture(autouse=True)
async def no_credential(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM credentials"))


async def wait_for(database: Database, job_id: str, reason: WaitReason) -> None:
    """Write that the job waits, as its workflow has it written."""
    async with database.transaction() as session:
        await downloads.record_status(session, job_id, JobStatus.PROCESSING, reason, now())


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


@pytest.mark.usefixtures("worker")
async def test_a_new_credential_wakes_every_job_that_waits_for_one_and_no_other(
    api: httpx2.AsyncClient, temporal: Client, database: Database
) -> None:
    """By the records, which know of a wait at once; lists of workflows lag behind."""
    cases = [CaseNumber.build(9_997_000 + number, 2024, 8, 26, 100) for number in range(40)]
    for number, case in enumerate(cases):
        job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
        wait = WaitReason.CREDENTIAL if number < 30 else WaitReason.SOURCE
        await wait_for(database, job_id, wait)
    # A row that outlived its job must keep nobody from being woken.
    await job_of(temporal, cases[0]).terminate()
    reply = await api.put(PATH, json={"access_token": "synthetic-token-3"})
    assert (reply.status_code, reply.json()) == (200, {"woken_jobs": 29})
    woken = [await job_of(temporal, case).query("woken", result_type=int) for case in cases[1:]]
    assert woken == [1] * 29 + [0] * 10
    for case in cases[1:]:
        await job_of(temporal, case).terminate()

"""Documents, their content, the manifest, the lists, and the purge."""

import asyncio

import httpx2
import pytest
from sqlalchemy import func, select, update
from temporalio.client import Client
from temporalio.worker import Worker

from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from autos.records.database import Database
from autos.records.models import Document, Process, Subscription
from autos.store import document_key, manifest_key
from tests.integration.api_parts import (
    SHA256,
    FakeStore,
    end,
    job_of,
    path,
    problem,
    write_job,
    write_rows,
)

NO_DOCUMENT = "/documents/00000000-0000-4000-8000-000000000000"


async def test_documents_are_listed_by_page_and_state(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    await write_rows(database, case, "afafa")
    query: dict[str, str | int] = {"state": "available", "limit": 2}
    first = (await api.get(path(case, "/documents"), params=query)).json()
    assert [item["position"] for item in first["items"]] == [0, 2]
    rest = await api.get(path(case, "/documents"), params={**query, "cursor": first["next"]})
    assert [item["position"] for item in rest.json()["items"]] == [4]
    assert rest.json()["next"] is None


async def test_document_is_returned_by_either_id(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    await write_rows(database, case, "a")
    listed = (await api.get(path(case, "/documents"))).json()["items"][0]
    for identity in (listed["id"], listed["uuid"]):
        one = (await api.get(path(case, f"/documents/{identity}"))).json()
        assert (one["id"], one["sha256"], one["size"]) == (listed["id"], SHA256, 1000)
    problem(await api.get(path(case, NO_DOCUMENT)), 404, "document-unknown")


async def test_content_redirects_to_a_new_link(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    await write_rows(database, case, "a")
    listed = (await api.get(path(case, "/documents"))).json()["items"][0]
    response = await api.get(listed["content_url"])
    assert response.status_code == 307
    assert response.headers["cache-control"] == "no-store"
    assert document_key(case.digits, SHA256) in response.headers["location"]


async def test_missing_content_returns_the_reason(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    await write_rows(database, case, "fpp")
    async with database.transaction() as session:
        await session.execute(
            update(Document)
            .where(Document.process_number == case.digits, Document.position == 2)
            .values(vanished_at=func.now())
        )
    failed, pending, gone = [
        item["content_url"] for item in (await api.get(path(case, "/documents"))).json()["items"]
    ]
    answer = problem(await api.get(failed), 404, "document-failed")
    assert (answer["reason"], "secret" in str(answer["detail"])) == ("secret", True)
    response = await api.get(pending)
    problem(response, 409, "document-pending")
    assert response.headers["retry-after"]
    problem(await api.get(gone), 410, "document-gone")
    problem(await api.get(path(case, f"{NO_DOCUMENT}/content")), 404, "document-unknown")


async def test_manifest_redirects_to_its_object(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database, store: FakeStore
) -> None:
    """(S29) No part of it passes through the API."""
    problem(await api.get(path(case, "/manifest")), 404, "process-unknown")
    await write_rows(database, case, "a")
    problem(await api.get(path(case, "/manifest")), 404, "manifest-missing")
    store.objects[manifest_key(case.digits)] = b'{"documents": []}'
    response = await api.get(path(case, "/manifest"))
    assert (response.status_code, response.content) == (307, b"")
    assert manifest_key(case.digits) in response.headers["location"]
    assert response.headers["cache-control"] == "no-store"


async def test_unavailable_store_returns_503(
    api: httpx2.AsyncClient,
    case: CaseNumber,
    database: Database,
    store: FakeStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await write_rows(database, case, "a")
    monkeypatch.setattr(store, "unavailable", True)
    problem(await api.get(path(case, "/manifest")), 503, "store-unavailable")
    problem(await api.delete(path(case)), 503, "store-unavailable")
    ready = await api.get("/health/ready")
    assert (ready.status_code, ready.json()["parts"]["store"]["ok"]) == (503, False)
    # No document was deleted.
    assert (await api.get(path(case, "/documents"))).json()["items"]


async def test_list_of_processes_is_small_filtered_and_paged(
    api: httpx2.AsyncClient, database: Database
) -> None:
    """F47."""
    cases = [CaseNumber.build(number, 2020, 8, 7, 1) for number in (1, 2, 3)]
    for case in cases:
        await write_rows(database, case, "a")
        await write_job(database, case, JobStatus.COMPLETED)
    async with database.transaction() as session:
        await session.execute(
            update(Process)
            .where(Process.number == cases[0].digits)
            .values(details={"parties": ["Maria da Silva"] * 1000})
        )
    query: dict[str, str | int] = {"court": "TJDFT", "status": "completed", "limit": 2}
    first = await api.get("/api/v1/processes", params=query)
    assert "Maria" not in first.text
    assert "details" not in first.json()["items"][0]
    rest = await api.get("/api/v1/processes", params={**query, "cursor": first.json()["next"]})
    assert "Maria" not in rest.text
    numbers = [item["process_number"] for item in first.json()["items"] + rest.json()["items"]]
    assert numbers == [case.masked for case in reversed(cases)]
    assert rest.json()["next"] is None
    empty = await api.get("/api/v1/processes", params={"court": "TJDFT", "status": "failed"})
    assert empty.json() == {"items": [], "next": None}


async def test_purge_deletes_rows_and_objects(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database, store: FakeStore
) -> None:
    await write_rows(database, case, "af")
    await write_job(database, case, JobStatus.COMPLETED)
    store.objects[document_key(case.digits, SHA256)] = b"%PDF"
    assert (await api.delete(path(case))).status_code == 204
    assert not [key for key in store.objects if case.digits in key]
    async with database.transaction() as session:
        left = select(func.count()).where(Document.process_number == case.digits)
        assert await session.scalar(left) == 0
    problem(await api.get(path(case, "/status")), 404, "process-unknown")
    problem(await api.delete(path(case)), 404, "process-unknown")


async def test_process_with_a_running_job_is_not_purged(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database, worker: Worker
) -> None:
    await api.post(path(case, "/downloads"))
    problem(await api.delete(path(case)), 409, "job-running")
    await end(temporal, database, case)
    assert (await api.delete(path(case))).status_code == 204


@pytest.mark.usefixtures("worker")
async def test_webhook_accepted_during_a_purge_is_kept(
    api: httpx2.AsyncClient,
    case: CaseNumber,
    temporal: Client,
    database: Database,
    store: FakeStore,
) -> None:
    """F11: its subscription survives the purge and is notified of its job."""
    await write_rows(database, case, "a")
    await write_job(database, case, JobStatus.COMPLETED)

    async def start_download() -> None:
        body = {"webhook_url": "https://receiver.example/"}
        assert (await api.post(path(case, "/downloads"), json=body)).status_code == 202

    store.meanwhile = start_download
    problem(await api.delete(path(case)), 409, "job-running")
    async with database.transaction() as session:
        left = select(func.count()).where(Document.process_number == case.digits)
        assert await session.scalar(left) == 0
        query = select(func.count()).where(Subscription.process_number == case.digits)
        assert await session.scalar(query) == 1
    await end(temporal, database, case)
    store.meanwhile = None
    mine = Subscription.process_number == case.digits
    async with database.transaction() as session:
        await session.execute(update(Subscription).where(mine).values(job_id="claimed"))
    assert (await api.delete(path(case))).status_code == 204


async def test_jobs_are_listed_newest_first(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    ids = [await write_job(database, case, JobStatus.COMPLETED) for _ in range(3)]
    query: dict[str, str | int] = {"process_number": case.masked, "limit": 2}
    first = (await api.get("/api/v1/jobs", params=query)).json()
    rest = (await api.get("/api/v1/jobs", params={**query, "cursor": first["next"]})).json()
    assert [job["id"] for job in first["items"] + rest["items"]] == ids[::-1]
    failed = {"process_number": case.digits, "status": "failed"}
    assert (await api.get("/api/v1/jobs", params=failed)).json()["items"] == []
    wrong = {"process_number": "123"}
    problem(await api.get("/api/v1/jobs", params=wrong), 400, "invalid-case-number")
    unknown = "00000000-0000-4000-8000-000000000000"
    problem(await api.get(f"/api/v1/jobs/{unknown}"), 404, "job-unknown")


async def test_job_is_cancelled_once(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, worker: Worker
) -> None:
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    response = await api.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (response.status_code, response.json()["id"]) == (202, job_id)
    with pytest.raises(Exception, match="Workflow execution failed"):
        await job_of(temporal, case).result()
    # The fake leaves its row active, as a lost job does: the end is read from Temporal.
    for verb in ("cancel", "pause", "resume"):
        problem(await api.post(f"/api/v1/jobs/{job_id}/{verb}"), 409, "job-ended")
    async with asyncio.timeout(60):
        # A response is cached for a moment, and a lost job sends no notification.
        while (await api.get(path(case, "/status"))).json()["status"] != "cancelled":
            await asyncio.sleep(0.05)
    problem(await api.post(f"/api/v1/jobs/{job_id}/cancel"), 409, "job-ended")


async def test_steering_an_old_job_does_not_touch_the_new_one(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database, worker: Worker
) -> None:
    old = await write_job(database, case, JobStatus.PENDING)
    new = (await api.post(path(case, "/downloads"))).json()["job_id"]
    for verb in ("cancel", "pause"):
        problem(await api.post(f"/api/v1/jobs/{old}/{verb}"), 409, "job-ended")
    status = (await api.get(path(case, "/status"))).json()
    assert (status["job_id"], status["waiting_for"]) == (new, None)

"""The status of a process: from its running job, and from its rows."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx2
from sqlalchemy import select
from temporalio.client import Client
from temporalio.worker import Worker

from api.app import create_app
from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import JOBS_QUEUE
from autos.records.database import Database
from autos.records.models import Subscription
from autos.settings import Settings
from tests.integration.api_parts import (
    SHA256,
    FakeStore,
    end,
    job_of,
    opener,
    path,
    problem,
    show,
    write_job,
    write_rows,
)
from tests.integration.fake_job import FakeJob, progress_queries


def parts(status: dict[str, Any]) -> tuple[int, ...]:
    """The counters completed, failed, pending and processing."""
    names = ("completed", "failed", "pending", "processing")
    return tuple(status[f"{name}_documents"] for name in names)


async def test_unknown_process_has_no_status(api: httpx2.AsyncClient, case: CaseNumber) -> None:
    problem(await api.get(path(case, "/status")), 404, "process-unknown")


async def test_running_job_reports_its_progress(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database, worker: Worker
) -> None:
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    await show(temporal, database, case, "aafdp")
    response = await api.get(path(case, "/status"))
    assert response.headers["retry-after"] in {"1", "2", "3", "4", "5"}
    status = response.json()
    assert (status["live"], status["status"], status["job_id"]) == (True, "processing", job_id)
    assert parts(status) == (2, 1, 1, 1)
    assert status["progress_percentage"] == 60.0
    states = [document["status"] for document in status["documents"]]
    assert states == ["available", "available", "failed", "processing", "pending"]
    stored, _, failed, *_ = status["documents"]
    assert stored["sha256"] == SHA256
    assert stored["download_url"].startswith(f"https://store.example/processes/{case.digits}/")
    assert (failed["reason"], failed["download_url"]) == ("secret", None)
    assert failed["error_message"]


async def test_stored_documents_count_before_the_job_knows_them(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database, worker: Worker
) -> None:
    """The job defines the list of documents, the rows which of them have ended."""
    await api.post(path(case, "/downloads"))
    await show(temporal, database, case, "add")
    await write_rows(database, case, "aqpa")
    status = (await api.get(path(case, "/status"))).json()
    assert parts(status) == (2, 0, 0, 1)
    assert (status["doubtful_documents"], status["bytes_stored"]) == (1, 3000)
    states = [document["status"] for document in status["documents"]]
    assert states == ["available", "available", "processing"]
    assert status["documents"][1]["sha256"] == SHA256


async def test_ended_job_is_shown_from_the_records(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database, worker: Worker
) -> None:
    await api.post(path(case, "/downloads"))
    await write_rows(database, case, "aaf")
    await end(temporal, database, case, JobStatus.COMPLETED_WITH_FAILURES)
    response = await api.get(path(case, "/status"))
    assert "retry-after" not in response.headers
    status = response.json()
    assert (status["live"], status["status"]) == (True, "completed_with_failures")
    assert (parts(status), status["progress_percentage"]) == ((2, 1, 0, 0), 100.0)
    assert status["bytes_stored"] == 2000
    assert status["completed_at"]


async def test_process_without_a_job_is_pending(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    await write_rows(database, case, "ap")
    status = (await api.get(path(case, "/status"))).json()
    assert (status["status"], status["job_id"], status["live"]) == ("pending", None, True)


async def test_job_without_a_row_is_shown(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """The API crashed after it had started the workflow; no worker runs."""
    await write_rows(database, case, "pp")
    handle = await temporal.start_workflow(
        "DownloadProcessWorkflow",
        {"process_number": case.digits, "court": "TJSP"},
        id=f"download-process/{case.digits}",
        task_queue=JOBS_QUEUE,
    )
    status = (await asyncio.wait_for(api.get(path(case, "/status")), 6)).json()
    assert (status["status"], status["live"]) == ("pending", False)
    assert status["job_id"] == handle.first_execution_run_id
    await handle.terminate()


async def test_job_unknown_to_temporal_has_not_ended(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    """Reconciliation starts it again, so it must not be reported as ended."""
    job_id = await write_job(database, case, JobStatus.PROCESSING)
    await write_rows(database, case, "ap")
    status = (await api.get(path(case, "/status"))).json()
    assert (status["status"], status["live"], status["job_id"]) == ("processing", False, job_id)
    assert (await api.get(f"/api/v1/jobs/{job_id}")).json()["status"] == "processing"


async def test_job_that_ended_without_recording_it_is_shown_as_ended(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """F15: polling can stop. The request writes nothing; reconciliation notifies subscribers."""
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    await write_rows(database, case, "ap")
    await job_of(temporal, case).terminate()
    status = (await api.get(path(case, "/status"))).json()
    assert (status["status"], status["live"], parts(status)) == ("cancelled", True, (1, 0, 1, 0))
    assert (await api.get(f"/api/v1/jobs/{job_id}")).json()["status"] == "cancelled"


async def test_status_without_a_worker_comes_from_the_records(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    async with Worker(temporal, task_queue=JOBS_QUEUE, workflows=[FakeJob]):
        await api.post(path(case, "/downloads"))
        await show(temporal, database, case, "aafdpp")
        before = (await api.get(path(case, "/status"))).json()
        assert before["live"] is True
    # The rows are ahead of the job: one more document is stored and one more has failed.
    await write_rows(database, case, "aafaff")
    await job_of(temporal, case).signal("show", "aafddp")
    # A cached response may be older; the next one comes from the records.
    async with asyncio.timeout(30):
        while (during := (await api.get(path(case, "/status"))).json())["live"]:
            await asyncio.sleep(0.05)
    assert parts(during) == (3, 3, 0, 0)
    async with asyncio.timeout(60), Worker(temporal, task_queue=JOBS_QUEUE, workflows=[FakeJob]):
        while not (after := (await api.get(path(case, "/status"))).json())["live"]:
            await asyncio.sleep(0.1)
        # A document that is pending in the job will be retried, even if its row is failed.
        assert parts(after) == (3, 2, 1, 0)
        await end(temporal, database, case)


async def test_fifty_pollers_share_one_query(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database, worker: Worker
) -> None:
    await api.post(path(case, "/downloads"))
    await show(temporal, database, case, "adp")
    before = progress_queries.get(case.digits, 0)
    answers = await asyncio.gather(*(api.get(path(case, "/status")) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert progress_queries[case.digits] - before == 1


async def test_cached_status_is_dropped_when_the_job_changes(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database, worker: Worker
) -> None:
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    await show(temporal, database, case, "dp")
    assert (await api.get(path(case, "/status"))).json()["waiting_for"] is None
    assert (await api.post(f"/api/v1/jobs/{job_id}/pause")).status_code == 202
    assert (await api.get(path(case, "/status"))).json()["waiting_for"] == "operator"
    assert (await api.post(f"/api/v1/jobs/{job_id}/resume")).status_code == 202
    assert (await api.get(path(case, "/status"))).json()["waiting_for"] is None


async def test_unchanged_status_returns_304(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    await write_rows(database, case, "aa")
    await write_job(database, case, JobStatus.COMPLETED)
    first = await api.get(path(case, "/status"))
    again = await api.get(path(case, "/status"))
    assert (
        again.json()["documents"][0]["download_url"]
        != (first.json()["documents"][0]["download_url"])
    )
    assert again.headers["etag"] == first.headers["etag"]
    held = {"If-None-Match": first.headers["etag"]}
    unchanged = await api.get(path(case, "/status"), headers=held)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    await write_rows(database, case, "af")
    assert (await api.get(path(case, "/status"), headers=held)).status_code == 200


async def test_prefer_wait_returns_on_a_change(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database, worker: Worker
) -> None:
    await api.post(path(case, "/downloads"))
    await show(temporal, database, case, "dp")
    etag = (await api.get(path(case, "/status"))).headers["etag"]
    headers = {"If-None-Match": etag, "Prefer": "wait=30"}
    waiting = asyncio.create_task(api.get(path(case, "/status"), headers=headers))
    await show(temporal, database, case, "ad")
    response = await asyncio.wait_for(waiting, 20)
    assert response.status_code == 200
    assert response.headers["preference-applied"] == "wait=30"
    assert response.json()["completed_documents"] == 1
    unchanged = {"If-None-Match": response.headers["etag"], "Prefer": "wait=1"}
    assert (await api.get(path(case, "/status"), headers=unchanged)).status_code == 304


async def test_long_list_is_paged(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    await write_rows(database, case, "a" * 2500)
    await write_job(database, case, JobStatus.COMPLETED)
    seen: list[str] = []
    query: dict[str, str] = {}
    for _ in range(3):
        status = (await api.get(path(case, "/status"), params=query)).json()
        assert parts(status) == (2500, 0, 0, 0)
        seen += [document["name"] for document in status["documents"]]
        query = {"cursor": status["documents_next"]}
    assert query == {"cursor": None}
    assert seen == [f"Petição {number}" for number in range(2500)]
    without = (await api.get(path(case, "/status"), params={"documents": "none"})).json()
    assert (without["documents"], without["total_documents"]) == (None, 2500)


async def test_webhook_url_is_shown_to_its_owner_only(
    api: httpx2.AsyncClient, case: CaseNumber, worker: Worker
) -> None:
    """F35."""
    keys = [
        (await api.post("/api/v1/api-keys", json={"name": name})).json()["key"]
        for name in ("a", "b")
    ]
    owner, other = ({"Authorization": f"Bearer {key}"} for key in keys)
    hook = "https://receiver.example/?token=secret"
    body = {"webhook_url": hook}
    assert (await api.post(path(case, "/downloads"), json=body, headers=owner)).status_code == 202
    shown = await api.get(path(case, "/status"), headers=owner)
    assert shown.json()["webhook_url"] == hook
    assert (shown.json()["webhook_sent"], shown.json()["webhook_attempts"]) == (False, 0)
    for headers in (other, {}):
        hidden = await api.get(path(case, "/status"), headers=headers)
        assert hidden.json()["webhook_url"] is None
        assert hidden.headers["etag"] != shown.headers["etag"]
        assert "receiver" not in hidden.text


async def test_counters_sum_to_the_total_at_every_read(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database, worker: Worker
) -> None:
    await api.post(path(case, "/downloads"))
    done = asyncio.Event()

    async def work() -> None:
        for stage in ("pppppp", "dddppp", "aafddd", "aafaaf"):
            await show(temporal, database, case, stage)
            await asyncio.sleep(0.3)
        await end(temporal, database, case, JobStatus.COMPLETED_WITH_FAILURES)
        done.set()

    async def poll() -> None:
        percentage = 0.0
        while not done.is_set():
            status = (await api.get(path(case, "/status"))).json()
            assert sum(parts(status)) == status["total_documents"]
            listed = Counter(document["status"] for document in status["documents"])
            assert listed["available"] == status["completed_documents"]
            assert status["progress_percentage"] >= percentage
            percentage = status["progress_percentage"]
            await asyncio.sleep(0.02)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(work())
        for _ in range(4):
            group.create_task(poll())


async def test_unreachable_temporal_serves_status_and_accepts_no_job(
    database: Database, case: CaseNumber, store: FakeStore, admin: dict[str, str]
) -> None:
    unreachable = await Client.connect("127.0.0.1:1", lazy=True)
    app = create_app(Settings(), opener(database, unreachable, store))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://api", headers=admin
        ) as api,
    ):
        body, key = {"webhook_url": "https://receiver.example/"}, {"Idempotency-Key": str(uuid4())}
        for _ in range(2):
            start = api.post(path(case, "/downloads"), json=body, headers=key)
            refused = await asyncio.wait_for(start, 8)
            problem(refused, 503, "engine-unavailable")
            assert int(refused.headers["retry-after"]) > 0
        # A request that is repeated until it is accepted creates only one subscription.
        mine = Subscription.process_number == case.digits
        async with database.transaction() as session:
            assert len((await session.scalars(select(Subscription).where(mine))).all()) == 1
        # The failure is an earlier job's; the active job will retry that document.
        await write_job(database, case, JobStatus.PENDING)
        await write_rows(database, case, "af", job_id="an earlier one")
        status = await asyncio.wait_for(api.get(path(case, "/status")), 8)
        assert (status.status_code, status.json()["live"]) == (200, False)
        assert parts(status.json()) == (1, 0, 1, 0)
        health = await api.get("/health/ready")
        assert health.status_code == 503
        found = {name: part["ok"] for name, part in health.json()["parts"].items()}
        assert found == {"records": True, "engine": False, "store": True}

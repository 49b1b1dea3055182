"""Starting jobs by POST and by GET, alone and concurrently."""

import asyncio
from collections import Counter
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import func, select
from temporalio.client import Client

from api.downloads import start as downloads
from autos.cnj import CaseNumber
from autos.contracts.download import Attach
from autos.contracts.reasons import Reason
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import COURT
from autos.records.database import Database
from autos.records.models import Job, Subscription
from tests.integration.api_parts import (
    end,
    end_row,
    job_of,
    job_started,
    path,
    problem,
    show,
    write_rows,
)

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(autouse=True)
def short_metadata_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduces the three seconds for which a GET waits for metadata."""
    monkeypatch.setattr(downloads, "METADATA_PATIENCE_SECONDS", 0.5)


async def test_post_starts_one_job(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    response = await api.post(path(case, "/downloads"))
    assert response.status_code == 202
    assert response.headers["location"] == path(case, "/status")
    assert int(response.headers["retry-after"]) >= 1
    body = response.json()
    assert body["process_number"] == case.masked
    assert body["status"] == "pending"
    description = await job_of(temporal, case).describe()
    assert description.raw_description.workflow_execution_info.first_run_id == body["job_id"]
    assert description.typed_search_attributes[COURT] == "TJSP"


async def test_job_has_no_time_limit(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    """F20: neither for a run nor for the whole execution."""
    await api.post(path(case, "/downloads"))
    configuration = (await job_of(temporal, case).describe()).raw_description.execution_config
    assert configuration.workflow_execution_timeout.ToTimedelta() == timedelta(0)
    assert configuration.workflow_run_timeout.ToTimedelta() == timedelta(0)


async def test_concurrent_requests_share_one_job_and_keep_their_webhooks(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """F6, F11."""
    hooks = [f"https://receiver.example/{number}" for number in range(20)]
    answers = await asyncio.gather(
        *(api.post(path(case, "/downloads"), json={"webhook_url": hook}) for hook in hooks),
        *(api.get(path(case), params={"webhook_url": f"{hooks[0]}/get"}) for _ in range(5)),
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    async with database.transaction() as session:
        rows = await session.scalar(
            select(func.count()).select_from(Job).where(Job.process_number == case.digits)
        )
        subscriptions = (
            await session.scalars(
                select(Subscription).where(Subscription.process_number == case.digits)
            )
        ).all()
    assert rows == 1
    attached = await job_of(temporal, case).query("attached", result_type=list[Attach])
    assert {attach.subscription_id for attach in attached} == {str(row.id) for row in subscriptions}
    # The five requests with the same URL may share a subscription.
    addresses = Counter(row.url for row in subscriptions)
    assert {url: addresses[url] for url in hooks} == dict.fromkeys(hooks, 1)
    assert 1 <= addresses[f"{hooks[0]}/get"] <= 5


async def test_max_age_and_force_refresh_reach_the_job(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    await api.post(path(case, "/downloads"), json={"max_age": 60})
    await api.post(path(case, "/downloads"), json={"force_refresh": True})
    attached = await job_of(temporal, case).query("attached", result_type=list[Attach])
    assert [attach.max_age_seconds for attach in attached] == [60, 0]


@pytest.mark.parametrize(
    "body",
    [
        {"webhook_url": "ftp://receiver.example/"},
        {"webhook_url": "not an address"},
        {"payload": "fat"},
        {"max_age": -1},
        {"webhok_url": "https://receiver.example/"},
    ],
)
async def test_invalid_request_is_rejected_with_the_field(
    api: httpx2.AsyncClient, case: CaseNumber, body: dict[str, object]
) -> None:
    answer = problem(await api.post(path(case, "/downloads"), json=body), 422, "invalid-request")
    assert f"body.{next(iter(body))}" in str(answer["errors"])


async def test_wrong_check_digits_are_rejected(
    api: httpx2.AsyncClient,
) -> None:
    """F38."""
    wrong = "99900029920248260100"
    answer = problem(await api.get(f"/api/v1/processes/{wrong}"), 400, "invalid-case-number")
    assert "check digits" in str(answer["detail"])
    problem(await api.post(f"/api/v1/processes/{wrong}/downloads"), 400, "invalid-case-number")


async def test_prefer_wait_returns_at_the_jobs_end(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    waiting = asyncio.create_task(
        api.post(path(case, "/downloads"), headers={"Prefer": "respond-async, wait=30"})
    )
    # If the job ended before the request arrived, the request would start another one.
    await job_started(api, case)
    await end(temporal, database, case, JobStatus.COMPLETED_WITH_FAILURES)
    response = await asyncio.wait_for(waiting, 20)
    assert response.status_code == 200
    assert response.headers["preference-applied"] == "wait=30"
    assert response.json()["status"] == "completed_with_failures"


async def test_prefer_wait_is_bounded(api: httpx2.AsyncClient, case: CaseNumber) -> None:
    response = await asyncio.wait_for(
        api.post(path(case, "/downloads"), headers={"Prefer": "wait=1"}), 3
    )
    assert response.status_code == 202


@pytest.mark.parametrize(
    ("reason", "status", "name"),
    [(Reason.NOT_FOUND, 404, "process-not-found"), (Reason.NO_ACCESS, 403, "no-access")],
)
async def test_refusal_of_the_source_is_a_problem_document(
    api: httpx2.AsyncClient,
    case: CaseNumber,
    temporal: Client,
    database: Database,
    reason: Reason,
    status: int,
    name: str,
) -> None:
    waiting = asyncio.create_task(api.get(path(case)))
    await job_started(api, case)
    await end(temporal, database, case, JobStatus.FAILED, reason)
    problem(await waiting, status, name)
    # A second request within a minute is answered from the records.
    problem(await api.get(path(case)), status, name)
    jobs = await api.get("/api/v1/jobs", params={"process_number": case.masked})
    assert len(jobs.json()["items"]) == 1


async def test_get_of_an_unknown_process_starts_its_job(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """F13."""
    waiting = asyncio.create_task(api.get(path(case)))
    await job_started(api, case)
    await show(temporal, database, case, "ddp")
    response = await waiting
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["court"] == "TJSP"
    assert body["documents"]["total_documents"] == 3
    assert body["documents"]["processing_documents"] == 2


async def test_get_without_metadata_returns_202(api: httpx2.AsyncClient, case: CaseNumber) -> None:
    response = await asyncio.wait_for(api.get(path(case)), 5)
    assert response.status_code == 202
    assert response.headers["location"] == path(case, "/status")
    assert response.json()["status"] == "pending"


async def test_get_of_a_complete_and_fresh_process_starts_no_job(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    await write_rows(database, case, "aaf")
    response = await api.get(path(case))
    assert response.status_code == 200
    assert response.json()["job_id"] is None


@pytest.mark.parametrize(
    ("states", "query"),
    [
        ("aap", {}),
        ("aaa", {"force_refresh": True}),
        ("aaa", {"webhook_url": "https://receiver.example/"}),
    ],
)
async def test_missing_documents_or_a_webhook_start_a_job(
    api: httpx2.AsyncClient,
    case: CaseNumber,
    database: Database,
    states: str,
    query: dict[str, str],
) -> None:
    await write_rows(database, case, states)
    response = await api.get(path(case), params=query)
    assert response.status_code == 200
    assert response.json()["job_id"] is not None


async def test_get_without_auto_download_starts_no_job(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    query = {"auto_download": False}
    problem(await api.get(path(case), params=query), 404, "process-unknown")
    await write_rows(database, case, "pp")
    response = await api.get(path(case), params=query)
    assert (response.status_code, response.json()["job_id"]) == (200, None)


async def test_active_row_of_a_terminated_job_blocks_no_new_job(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    """F1: a terminated job does not record its end."""
    lost = (await api.post(path(case, "/downloads"))).json()["job_id"]
    await job_of(temporal, case).terminate()
    assert (await api.get(path(case, "/status"))).json()["status"] == "cancelled"
    started = (await api.get(path(case))).json()["job_id"]
    assert started != lost
    assert (await api.get(path(case, "/status"))).json()["status"] == "pending"


async def test_retry_failed_follows_an_ended_job_with_a_new_one(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    first = (await api.post(path(case, "/downloads"))).json()["job_id"]
    await end(temporal, database, case, JobStatus.COMPLETED_WITH_FAILURES)
    response = await api.post(f"/api/v1/jobs/{first}/retry-failed")
    assert response.status_code == 202
    second = response.json()["job_id"]
    assert second != first
    assert (await api.get(path(case, "/status"))).json()["job_id"] == second
    # Only failed documents are retried: the stored list counts as fresh at any age.
    (attach,) = await job_of(temporal, case).query("attached", result_type=list[Attach])
    assert attach.max_age_seconds >= 31_536_000
    problem(await api.post(f"/api/v1/jobs/{first}/retry-failed"), 409, "job-running")
    await end_row(database, second, JobStatus.COMPLETED)


async def test_retry_failed_of_a_running_job_uses_the_same_job(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    response = await api.post(f"/api/v1/jobs/{job_id}/retry-failed")
    assert (response.status_code, response.json()["job_id"]) == (202, job_id)
    assert await job_of(temporal, case).query("retried", result_type=int) == 1

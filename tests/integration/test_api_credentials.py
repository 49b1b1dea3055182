"""The source's credential over REST: write-only, for admins only."""

from collections import Counter
from datetime import datetime
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from temporalio.client import Client

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.states import JobStatus
from autos.records import jobs
from autos.records.credentials import DatabaseCredentialStore
from autos.records.database import Database
from autos.records.models import Job, now
from autos.settings import Settings
from autos.source import Credential
from tests.integration.api_parts import job_of, path, problem

PATH = "/api/v1/credentials/pdpj"
SETTINGS = Settings(secret_key=SecretStr("k" * 32))
"""The settings of the API under test."""


@pytest.fixture(autouse=True)
async def no_credential(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM credentials"))


async def wait_for(database: Database, job_id: str, reason: WaitReason) -> None:
    """Record that the job waits, as its workflow does."""
    async with database.transaction() as session:
        await jobs.record_status(session, job_id, JobStatus.PROCESSING, reason, now())


async def test_credential_is_set_and_never_returned(api: httpx2.AsyncClient) -> None:
    assert (await api.get(PATH)).json()["is_set"] is False
    body = {"access_token": "synthetic-token-1", "refresh_token": "synthetic-token-2"}
    reply = await api.put(PATH, json=body)
    assert (reply.status_code, reply.json()) == (200, {"woken_jobs": 0})
    state = await api.get(PATH)
    shown = state.json()
    assert {name: shown[name] for name in ("is_set", "refreshable", "expires_at")} == {
        "is_set": True,
        "refreshable": True,
        "expires_at": None,
    }
    assert "synthetic-token" not in reply.text + state.text


async def test_credential_encrypted_with_another_key_returns_503(
    api: httpx2.AsyncClient, database: Database
) -> None:
    """(S37) The detail names AUTOS_SECRET_KEY."""
    other = Settings(secret_key=SecretStr("o" * 32))
    await DatabaseCredentialStore(database, other).put(Credential("synthetic-token-1"))
    refused = problem(await api.get(PATH), 503, "records-unavailable")
    assert "AUTOS_SECRET_KEY" in str(refused["detail"])


@pytest.mark.parametrize(
    "token",
    ["", " \n", "two words", "Bearer abc", "line\nbreak", "nul\x00", "tökén", "\ufefftoken"],
)
@pytest.mark.parametrize("member", ["access_token", "refresh_token"])
async def test_token_that_no_header_can_carry_is_rejected(
    api: httpx2.AsyncClient, member: str, token: str
) -> None:
    """(S39) When it is set, not as an outage of the source in every job."""
    body = {"access_token": "good-token", "refresh_token": "good-token"} | {member: token}
    reply = await api.put(PATH, json=body)
    problem(reply, 422, "invalid-request")
    assert token.strip() == "" or token.strip() not in reply.text
    assert (await api.get(PATH)).json()["is_set"] is False


async def test_white_space_around_a_token_is_removed(
    api: httpx2.AsyncClient, database: Database
) -> None:
    """(S39) It occurs in pasted tokens and files."""
    body = {"access_token": " access-token\n", "refresh_token": "\trefresh-token\r\n"}
    assert (await api.put(PATH, json=body)).status_code == 200
    stored = await DatabaseCredentialStore(database, SETTINGS).load()
    assert stored == Credential("access-token", "refresh-token")


async def test_refused_credential_is_reported(api: httpx2.AsyncClient, database: Database) -> None:
    """(S34) With `refused_since`, until another credential is set."""
    assert (await api.get(PATH)).json()["refused_since"] is None
    await api.put(PATH, json={"access_token": "revoked"})
    store = DatabaseCredentialStore(database, SETTINGS)
    await store.note("revoked", refused=True)
    state = (await api.get(PATH)).json()
    assert state["is_set"]
    assert datetime.fromisoformat(state["refused_since"]) <= now()
    await api.put(PATH, json={"access_token": "new"})
    assert (await api.get(PATH)).json()["refused_since"] is None


async def waiting_for_source(api: httpx2.AsyncClient) -> float:
    """The number of jobs that wait for the source, from the metrics."""
    page = (await api.get("/metrics")).text
    (line,) = (
        line
        for line in page.splitlines()
        if line.startswith('autos_jobs_waiting{waiting_for="source"}')
    )
    return float(line.rpartition(" ")[2])


async def test_waiting_jobs_are_counted_by_reason(
    api: httpx2.AsyncClient, database: Database
) -> None:
    """(S34) A rate-limiting source and a missing credential are both visible."""
    before = (await api.get(PATH)).json()
    limited_before = await waiting_for_source(api)
    waits = [
        *((WaitReason.CREDENTIAL, Reason.CREDENTIAL) for _ in range(2)),
        *((WaitReason.SOURCE, Reason.RATE_LIMITED) for _ in range(3)),
        (WaitReason.OPERATOR, None),
    ]
    since = now()
    job_ids = []
    async with database.transaction() as session:
        for number, (waiting_for, reason) in enumerate(waits):
            case = CaseNumber.build(9_998_000 + number, 2024, 8, 26, 100)
            await jobs.open_job(session, job_id := f"wait-{number}", case)
            job_ids.append(job_id)
            job = await session.get_one(Job, job_id)
            job.waiting_for, job.waiting_since, job.reason = waiting_for, since, reason
        ended = await session.get_one(Job, job_ids[0])
        ended.status = JobStatus.FAILED
    state = (await api.get(PATH)).json()
    assert state["waiting_jobs"] == before["waiting_jobs"] + 1
    assert counted(state) - counted(before) == Counter(
        {("credential", "credential"): 1, ("source", "rate_limited"): 3, ("operator", None): 1}
    )
    (limited,) = (wait for wait in state["waits"] if wait["reason"] == "rate_limited")
    assert datetime.fromisoformat(limited["since"]) <= since
    assert await waiting_for_source(api) == limited_before + 3
    async with database.transaction() as session:
        for job_id in job_ids:
            (await session.get_one(Job, job_id)).status = JobStatus.CANCELLED


def counted(state: dict[str, Any]) -> Counter[tuple[str, str | None]]:
    """Waiting jobs by what they wait for and why."""
    return Counter({(wait["waiting_for"], wait["reason"]): wait["jobs"] for wait in state["waits"]})


async def test_client_key_cannot_set_the_credential(api: httpx2.AsyncClient) -> None:
    created = await api.post("/api/v1/api-keys", json={"name": "a client", "role": "client"})
    headers = {"Authorization": f"Bearer {created.json()['key']}"}
    reply = await api.put(PATH, json={"access_token": "x"}, headers=headers)
    problem(reply, 403, "forbidden")


@pytest.mark.usefixtures("worker")
async def test_new_credential_wakes_only_jobs_that_wait_for_one(
    api: httpx2.AsyncClient, temporal: Client, database: Database
) -> None:
    """The jobs are found in the records, because Temporal's lists lag behind."""
    cases = [CaseNumber.build(9_997_000 + number, 2024, 8, 26, 100) for number in range(40)]
    for number, case in enumerate(cases):
        job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
        wait = WaitReason.CREDENTIAL if number < 30 else WaitReason.SOURCE
        await wait_for(database, job_id, wait)
    # A row without a running job must not prevent the others from being woken.
    await job_of(temporal, cases[0]).terminate()
    reply = await api.put(PATH, json={"access_token": "synthetic-token-3"})
    assert (reply.status_code, reply.json()) == (200, {"woken_jobs": 29})
    woken = [await job_of(temporal, case).query("woken", result_type=int) for case in cases[1:]]
    assert woken == [1] * 29 + [0] * 10
    for case in cases[1:]:
        await job_of(temporal, case).terminate()

"""The diagnosis over REST: each failing part is reported with advice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from temporalio.client import Client

from api.app import create_app
from api.diagnosis import checks as diagnosis
from autos.cnj import CaseNumber
from autos.contracts.reasons import WaitReason
from autos.contracts.states import JobStatus
from autos.records import database as records_database
from autos.records import jobs, migrate
from autos.records.credentials import DatabaseCredentialStore
from autos.records.database import Database
from autos.settings import Settings
from tests.integration.api_parts import ADMIN_KEY, FakeStore, opener, path, problem

PATH = "/api/v1/diagnosis"


class Source:
    """Returns the same response to every request and keeps the last request."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
        self.request = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(self.answer)
        await writer.drain()
        writer.close()

    def refuse(self, status: str) -> None:
        self.answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.fixture
async def source() -> Source:
    return Source()


@pytest.fixture
async def doctor(
    database: Database, temporal: Client, store: FakeStore, admin: dict[str, str], source: Source
) -> AsyncIterator[httpx2.AsyncClient]:
    """The API with a source and a credential for it."""
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM credentials"))
    async with await asyncio.start_server(source.serve, "127.0.0.1", 0) as server:
        settings = Settings(
            admin_key=SecretStr(ADMIN_KEY),
            secret_key=SecretStr("k" * 32),
            pdpj_base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            pdpj_token=SecretStr("synthetic-token"),
        )
        app = create_app(settings, opener(database, temporal, store))
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app), base_url="http://api", headers=admin
            ) as client,
        ):
            yield client


async def checks(api: httpx2.AsyncClient) -> dict[str, dict[str, Any]]:
    reply = await api.get(PATH)
    assert reply.status_code == 200, reply.text
    assert "synthetic-token" not in reply.text
    return {check["name"]: check for check in reply.json()["checks"]}


@pytest.mark.usefixtures("worker")
async def test_every_part_is_checked(doctor: httpx2.AsyncClient, source: Source) -> None:
    """(S34) Source, credential, store, Temporal, records, clock, disk, jobs, workers."""
    found = await checks(doctor)
    assert list(found) == list(diagnosis.CHECKS)
    well = {"records", "engine", "store", "source", "credential", "clock"}
    assert {name: found[name]["detail"] for name in well if found[name]["ok"] is not True} == {}
    assert "authorization: bearer synthetic-token" in source.request.lower()


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("401 Unauthorized", "autos credentials set"),
        ("429 Too Many Requests", "AUTOS_SOURCE_MAX_IN_FLIGHT"),
        ("503 Service Unavailable", "jobs wait"),
    ],
)
async def test_refusing_source_is_reported(
    doctor: httpx2.AsyncClient, source: Source, status: str, advice: str
) -> None:
    """(S34) With advice for a revoked token, a rate limit and an outage."""
    source.refuse(status)
    found = (await checks(doctor))["source"]
    assert found["ok"] is False
    assert advice in found["advice"]


async def test_source_without_an_address_is_not_checked(api: httpx2.AsyncClient) -> None:
    """(S34) The API does not need the address in production."""
    assert (await checks(api))["source"]["ok"] is None


async def test_expired_token_is_reported(doctor: httpx2.AsyncClient) -> None:
    """(S34)"""
    expired = "e30.eyJleHAiOjE3MDAwMDAwMDB9.x"
    reply = await doctor.put("/api/v1/credentials/pdpj", json={"access_token": expired})
    assert reply.status_code == 200
    found = (await checks(doctor))["credential"]
    assert found["ok"] is False
    assert "expired 2023-11-14" in found["detail"]


async def test_refused_token_is_reported_without_a_request(
    doctor: httpx2.AsyncClient, database: Database
) -> None:
    """(S34) The workers have recorded that the source refuses it."""
    settings = Settings(secret_key=SecretStr("k" * 32), pdpj_token=SecretStr("synthetic-token"))
    await DatabaseCredentialStore(database, settings).note("synthetic-token", refused=True)
    found = (await checks(doctor))["credential"]
    assert found["ok"] is False
    assert "refuses it since 20" in found["detail"]


@pytest.mark.usefixtures("worker")
async def test_waiting_jobs_are_reported(
    doctor: httpx2.AsyncClient, database: Database, case: CaseNumber
) -> None:
    """(S34)"""
    job_id = (await doctor.post(path(case, "/downloads"))).json()["job_id"]
    since = datetime(2026, 1, 31, 12, tzinfo=UTC)
    async with database.transaction() as session:
        await jobs.record_status(
            session, job_id, JobStatus.PROCESSING, WaitReason.CREDENTIAL, since
        )
    found = (await checks(doctor))["jobs"]
    assert found["ok"] is False
    assert "wait for credential since 2026-01-31 12:00 UTC" in found["detail"]
    assert "autos credentials set" in found["advice"]
    async with database.transaction() as session:
        await jobs.record_status(session, job_id, JobStatus.PROCESSING, None, None)


async def test_store_that_accepts_no_objects_is_reported(
    doctor: httpx2.AsyncClient, store: FakeStore
) -> None:
    """(S34) The check writes an object and removes it."""
    before = dict(store.objects)
    assert (await checks(doctor))["store"]["ok"] is True
    assert store.objects == before
    store.unavailable = True
    try:
        found = await checks(doctor)
    finally:
        store.unavailable = False
    assert found["store"]["ok"] is False
    assert "AUTOS_S3_BUCKET" in found["store"]["advice"]
    assert found["records"]["ok"] is True


async def test_old_schema_wrong_clock_and_full_disk_are_reported(
    doctor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S34)"""

    async def tomorrow(_: object) -> datetime:
        return datetime.now(UTC) + timedelta(days=1)

    monkeypatch.setattr(migrate, "newest_schema", lambda: "9999")
    monkeypatch.setattr(records_database, "clock", tomorrow)
    monkeypatch.setattr(diagnosis, "_usage", lambda _: (10**12, 10**8))
    found = await checks(doctor)
    assert "autos migrate" in found["records"]["advice"]
    assert "the database" in found["clock"]["detail"]
    assert "0.1 GB free" in found["disk"]["detail"]
    assert [found[name]["ok"] for name in ("records", "clock", "disk")] == [False] * 3


async def test_hanging_check_does_not_prevent_the_others(
    doctor: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S34)"""

    async def hangs(_: object) -> diagnosis.CheckResult:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(diagnosis, "CHECK_SECONDS", 0.5)
    monkeypatch.setitem(diagnosis.CHECKS, "engine", hangs)
    found = await checks(doctor)
    assert found["engine"]["ok"] is False
    assert "No answer" in found["engine"]["detail"]
    assert found["credential"]["ok"] is True


async def test_client_key_cannot_run_the_diagnosis(api: httpx2.AsyncClient) -> None:
    created = await api.post("/api/v1/api-keys", json={"name": "a client", "role": "client"})
    headers = {"Authorization": f"Bearer {created.json()['key']}"}
    problem(await api.get(PATH, headers=headers), 403, "forbidden")

"""Long polls of a status end with a change and do not wait for a silent Temporal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from pydantic import SecretStr
from sqlalchemy import text
from temporalio.client import Client
from temporalio.worker import Worker

from api.app import create_app
from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from autos.records.database import Database
from autos.settings import Settings
from tests.integration.api_parts import (
    ADMIN_KEY,
    FakeStore,
    end_row,
    opener,
    path,
    show,
    write_job,
    write_rows,
)
from tests.integration.fake_job import progress_queries
from tests.integration.test_status_costs import counted_statements

_LISTENERS = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE application_name = 'autos changes'"
)


async def waiting_clients(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database, number: int
) -> list[asyncio.Task[httpx2.Response]]:
    """Clients that have the current version and wait for the next one."""
    etag = (await api.get(path(case, "/status"))).headers["etag"]
    headers = {"If-None-Match": etag, "Prefer": "wait=30"}
    with counted_statements(database) as statements:
        waiting = [
            asyncio.create_task(api.get(path(case, "/status"), headers=headers))
            for _ in range(number)
        ]
        # Each has found that nothing is new when a second passes without a statement.
        seen = -1
        while seen != len(statements):
            seen = len(statements)
            await asyncio.sleep(1)
    assert not any(task.done() for task in waiting)
    return waiting


async def test_waiting_clients_share_the_cost_of_a_change(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database, worker: Worker
) -> None:
    """(S28) Nothing is read without a change; then one response serves all clients."""
    await api.post(path(case, "/downloads"))
    await show(temporal, database, case, "dp")
    waiting = await waiting_clients(api, case, database, 30)
    before = progress_queries[case.digits]
    with counted_statements(database) as statements:
        # Shows the absence of statements, so it has to wait.
        await asyncio.sleep(1)
        assert (len(statements), progress_queries[case.digits] - before) == (0, 0)
        await write_rows(database, case, "ap")
        statements.clear()
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*waiting)
    assert {answer.json()["completed_documents"] for answer in answers} == {1}
    assert len(statements) <= 8
    assert progress_queries[case.digits] - before == 1


async def test_many_changes_cost_few_responses(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    """(S28) A busy job causes no more reads than polling would."""
    await write_job(database, case, JobStatus.PROCESSING)
    await write_rows(database, case, "p" * 30)

    async def follow() -> None:
        held: dict[str, str] = {}
        while True:
            answer = await api.get(path(case, "/status"), headers={"Prefer": "wait=30", **held})
            held = {"If-None-Match": answer.headers["etag"]}
            if answer.json()["completed_documents"] == 30:
                return

    async with asyncio.timeout(20):
        followers = [asyncio.create_task(follow()) for _ in range(10)]
        with counted_statements(database) as statements:
            for number in range(1, 31):
                await write_rows(database, case, "a" * number + "p" * (30 - number))
            await asyncio.gather(*followers)
    reads = sum("string_agg" in statement for statement in statements)
    assert reads < 30


async def test_change_is_noticed_after_the_listening_connection_was_lost(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    """(S28) Missed changes are read when the connection is back."""
    job_id = await write_job(database, case, JobStatus.PROCESSING)
    await write_rows(database, case, "ap")
    waiting = await waiting_clients(api, case, database, 3)
    async with database.transaction() as session:
        assert await session.scalar(_LISTENERS)
        # Committed together with the loss, so its notification is lost.
        await session.execute(
            text("UPDATE documents SET name = 'new' WHERE process_number = :n"), {"n": case.digits}
        )
    async with asyncio.timeout(20):
        for answer in await asyncio.gather(*waiting):
            assert answer.json()["documents"][0]["name"] == "new"
    await end_row(database, job_id, JobStatus.COMPLETED)


@asynccontextmanager
async def silent_temporal() -> AsyncIterator[str]:
    """The address of a server that accepts connections and never responds."""
    stopping = asyncio.Event()

    async def swallow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stopping.wait()
        writer.transport.abort()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"{host}:{port}"
    finally:
        stopping.set()
        server.close()
        await server.wait_closed()


async def test_status_comes_from_the_rows_while_temporal_is_silent(
    database: Database, case: CaseNumber, store: FakeStore, admin: dict[str, str]
) -> None:
    """(S26) The first poll waits for a second; later ones share its result."""
    job_id = await write_job(database, case, JobStatus.PROCESSING)
    await write_rows(database, case, "aaqfp", job_id)
    async with silent_temporal() as address:
        client = await Client.connect(address, lazy=True)
        app = create_app(Settings(admin_key=SecretStr(ADMIN_KEY)), opener(database, client, store))
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app), base_url="http://api", headers=admin
            ) as api,
            # Twenty timeouts one after the other would take far longer.
            asyncio.timeout(20),
        ):
            for _ in range(20):
                answers = await asyncio.gather(*(api.get(path(case, "/status")) for _ in range(5)))
                for answer in answers:
                    status = answer.json()
                    assert (status["live"], status["status"]) == (False, "processing")
                    assert (status["completed_documents"], status["failed_documents"]) == (3, 1)
                await asyncio.sleep(0.25)

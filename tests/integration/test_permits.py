"""F45: the bound towards the source holds over all workers; a dead worker's permits come back."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text

from autos.records.database import Database
from autos.records.permits import DatabasePermits
from autos.settings import Settings

BOUND = 20


@pytest.fixture
async def other_database(database_url: str) -> Database:
    """A second worker's own pool."""
    return Database.open(Settings(database_url=database_url))


async def test_two_workers_together_never_hold_more_than_the_bound(
    database: Database, other_database: Database
) -> None:
    """F45."""
    workers = [DatabasePermits(database, 4), DatabasePermits(other_database, 4)]
    at_once = most = 0

    async def request(permits: DatabasePermits) -> None:
        nonlocal at_once, most
        async with permits.permit("TRF3"):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.002)
            at_once -= 1

    async with asyncio.timeout(BOUND):
        await asyncio.gather(*(request(workers[number % 2]) for number in range(200)))
    for permits in workers:
        await permits.close()
    await other_database.close()
    assert most == 4


async def test_the_permits_of_a_killed_worker_are_free_at_once(
    database: Database, other_database: Database
) -> None:
    killed, living = DatabasePermits(other_database, 3), DatabasePermits(database, 3)
    async with AsyncExitStack() as held:
        for _ in range(3):
            await held.enter_async_context(killed.permit("TRF3"))
        async with database.transaction() as session:
            # What the server does with the session of a process that is gone.
            await session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks "
                    "WHERE locktype = 'advisory' AND classid = 7239002"
                )
            )
        async with asyncio.timeout(BOUND):
            async with living.permit("TRF3"):
                pass
    await killed.close()
    await living.close()
    await other_database.close()


async def test_a_cancelled_wait_leaves_no_permit_behind(database: Database) -> None:
    permits = DatabasePermits(database, 1)
    async with permits.permit("TRF3"):
        waiting = asyncio.create_task(permits.permit("TRF3").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(BOUND):
        async with permits.permit("TRF3"):
            pass
    await permits.close()


async def test_a_busy_worker_shares_with_one_that_comes_later(
    database: Database, other_database: Database
) -> None:
    """U3: a worker with endless work does not starve another one."""
    busy, late = DatabasePermits(database, 4), DatabasePermits(other_database, 4)
    served = asyncio.Event()

    async def endless() -> None:
        while not served.is_set():
            async with busy.permit("TRF3"):
                await asyncio.sleep(0.01)

    async with asyncio.timeout(BOUND):
        lanes = [asyncio.create_task(endless()) for _ in range(10)]
        async with late.permit("TJSP"):
            served.set()
        await asyncio.gather(*lanes)
    await busy.close()
    await late.close()
    await other_database.close()

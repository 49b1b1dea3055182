"""F45: the limit of requests holds over all workers; a dead worker's permits are released."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from sqlalchemy import text

from autos.records import permits as records_permits
from autos.records.database import Database, DatabaseUnreachable, is_outage
from autos.records.permits import DatabasePermits
from autos.settings import Settings
from tests.integration.busy_source import BusySource, keep_busy
from tests.integration.conftest import postgres
from tests.integration.database_proxy import DatabaseProxy

SECONDS = 25
_LOCKS = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7239002 AND granted"
)
_DROP_ALL = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


@pytest.fixture(scope="module")
def own_url() -> Iterator[str]:
    """The URL of a PostgreSQL server for these tests only."""
    with postgres() as server:
        url: str = server.get_uri()
        yield url


@pytest.fixture
async def watcher(own_url: str) -> AsyncIterator[Database]:
    """A separate connection to that server."""
    database = Database.open(Settings(database_url=own_url))
    yield database
    await database.close()


@asynccontextmanager
async def worker(url: str, most: int, **settings: float) -> AsyncIterator[DatabasePermits]:
    """One worker's permits, with a separate pool."""
    database = Database.open(Settings.model_validate({"database_url": url, **settings}))
    permits = DatabasePermits(database, most)
    try:
        yield permits
    finally:
        await permits.close()
        await database.close()


async def locks(watcher: Database) -> int:
    """The number of permits held, according to the server."""
    async with watcher.engine.connect() as connection:
        return int(await connection.scalar(_LOCKS) or 0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition in bounded time."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def until_held(watcher: Database, number: int) -> None:
    """Wait until the server counts exactly this many permits."""
    async with asyncio.timeout(SECONDS):
        while await locks(watcher) != number:
            await asyncio.sleep(0.02)


async def test_two_workers_never_exceed_the_limit(own_url: str) -> None:
    """F45."""
    at_once = most = 0

    async def request(permits: DatabasePermits) -> None:
        nonlocal at_once, most
        async with permits.permit():
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.002)
            at_once -= 1

    async with asyncio.timeout(SECONDS), worker(own_url, 4) as one, worker(own_url, 4) as other:
        await asyncio.gather(*(request((one, other)[number % 2]) for number in range(200)))
    assert most == 4


async def test_server_and_workers_agree_on_held_permits(own_url: str, watcher: Database) -> None:
    """(S17) After growing demand, all permits are released."""
    async with asyncio.timeout(SECONDS), worker(own_url, 20) as one, worker(own_url, 20) as other:
        for permits in (one, other):
            async with AsyncExitStack() as held:
                for number in (3, 4, 5):
                    await asyncio.gather(
                        *(held.enter_async_context(permits.permit()) for _ in range(number))
                    )
                assert await locks(watcher) == 12
            # The worker still runs and needs no permits.
            await until_held(watcher, 0)
        async with AsyncExitStack() as held:
            for _ in range(20):
                await held.enter_async_context(other.permit())
            assert await locks(watcher) == 20


@pytest.mark.parametrize("number", [1, 2, 5])
async def test_busy_idle_and_killed_workers_reach_and_keep_the_limit(
    own_url: str, watcher: Database, number: int
) -> None:
    """(S17) Counted at the source and in the server's list of locks."""
    bound = 20

    async def start(port: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.busy_source",
            own_url,
            f"{bound}",
            f"{port}",
            "25",
        )

    async with BusySource(0.1).running() as source:
        processes = [await start(source.port) for _ in range(number)]
        try:
            await until(lambda: source.most == bound)
            # They share the permits, and all permits stay in use.
            seen = source.served
            await until(lambda: source.served > seen + 10 * bound)
            assert source.most == bound
            for killed in processes[:-1]:
                killed.kill()
                await killed.wait()
            seen = source.served
            await until(lambda: source.served > seen + 5 * bound)
            await until(lambda: source.in_flight == bound)
            assert await locks(watcher) == bound
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        assert source.most == bound
        await until_held(watcher, 0)


async def test_permits_of_a_killed_worker_are_free_at_once(own_url: str, watcher: Database) -> None:
    async with AsyncExitStack() as held, worker(own_url, 3) as killed, worker(own_url, 3) as living:
        for _ in range(3):
            await held.enter_async_context(killed.permit())
        await killed.close()
        async with asyncio.timeout(SECONDS):
            async with living.permit():
                pass


async def test_cancelled_wait_holds_no_permit(own_url: str) -> None:
    async with worker(own_url, 1) as permits:
        async with permits.permit():
            waiting = asyncio.create_task(permits.permit().__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with asyncio.timeout(SECONDS):
            async with permits.permit():
                pass


@pytest.mark.parametrize("most", [1, 2, 4])
async def test_busy_workers_share_with_later_ones(own_url: str, most: int) -> None:
    """U3: busy workers do not starve another one, even with one permit."""
    served = asyncio.Event()

    async def endless(permits: DatabasePermits) -> None:
        while not served.is_set():
            async with permits.permit():
                await asyncio.sleep(0.01)

    async with (
        asyncio.timeout(2 * SECONDS),
        worker(own_url, most) as one,
        worker(own_url, most) as other,
        worker(own_url, most) as late,
    ):
        lanes = [asyncio.create_task(endless(busy)) for busy in (one, other) for _ in range(10)]
        async with late.permit():
            served.set()
        await asyncio.gather(*lanes)


async def test_permits_do_not_wait_for_the_pool(own_url: str) -> None:
    """(S18) Permits use a separate connection."""
    settings = Settings(database_url=own_url, database_pool_size=1, database_pool_timeout=0.1)
    database = Database.open(settings)
    permits = DatabasePermits(database, 4)
    async with asyncio.timeout(SECONDS), database.engine.connect(), permits.permit():
        pass
    await permits.close()
    await database.close()


@pytest.mark.parametrize("outage", ["refuse", "swallow"])
async def test_waiting_requests_are_served_after_an_outage(own_url: str, outage: str) -> None:
    """(S18) After refused connections and after missing responses."""
    async with (
        DatabaseProxy(own_url).running() as proxy,
        worker(proxy.url, 2, database_connect_timeout=0.3) as permits,
        asyncio.timeout(SECONDS),
        permits.permit(),
    ):
        getattr(proxy, outage)()

        async def request() -> None:
            async with permits.permit():
                pass

        waiting = [asyncio.create_task(request()) for _ in range(5)]
        await asyncio.sleep(1)
        proxy.restore()
        await asyncio.gather(*waiting)


@pytest.mark.parametrize("number", [1, 2])
async def test_limit_holds_when_every_connection_is_dropped(
    own_url: str, watcher: Database, number: int
) -> None:
    """(S40) Requests in flight keep their place; new ones wait until those are counted."""
    bound = 5
    async with AsyncExitStack() as running:
        source = await running.enter_async_context(BusySource(0.3).running())
        group = await running.enter_async_context(asyncio.TaskGroup())
        workers = [await running.enter_async_context(worker(own_url, bound)) for _ in range(number)]
        lanes = [group.create_task(keep_busy(one, source.port, 10)) for one in workers]
        await until(lambda: source.most == bound)
        for _ in range(3):
            async with watcher.engine.connect() as connection:
                await connection.execute(_DROP_ALL)
            seen = source.served
            await until(lambda seen=seen: source.served > seen + 4 * bound)  # type: ignore[misc]  # bound to this turn
            await until(lambda: source.in_flight == bound)
        for lane in lanes:
            lane.cancel()
        assert source.most == bound


@pytest.mark.parametrize("outage", ["refuse", "swallow"])
async def test_waiting_requests_fail_in_a_long_outage(
    own_url: str, monkeypatch: pytest.MonkeyPatch, outage: str
) -> None:
    """(S16) The job then shows a wait for records; requests in flight continue."""
    monkeypatch.setattr(records_permits, "OUTAGE_SECONDS", 0.5, raising=False)
    async with (
        DatabaseProxy(own_url).running() as proxy,
        worker(proxy.url, 1, database_connect_timeout=0.3) as permits,
        asyncio.timeout(SECONDS),
    ):

        async def request() -> None:
            async with permits.permit():
                pass

        async with permits.permit():
            getattr(proxy, outage)()
            waiting = [asyncio.create_task(request()) for _ in range(3)]
            ended = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(error, Exception) and is_outage(error) for error in ended)
            # Later requests in the same outage fail, too.
            with pytest.raises(DatabaseUnreachable):
                await request()
            proxy.restore()
        await until_served(request)


async def until_served(request: Callable[[], Awaitable[None]]) -> None:
    """Repeat the request until the records are back."""
    while True:
        try:
            return await request()
        except DatabaseUnreachable:
            await asyncio.sleep(0.05)

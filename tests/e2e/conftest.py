"""The embedded stack as real processes, one per test process (tests/conftest.py)."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from cli.stack import Stack
from tests.e2e.clients import BOUND, Api, Sandbox
from tests.integration.test_entry_points import free_port

FAST = {
    # Delays between attempts are 200 times shorter; the schedule is otherwise the same.
    "AUTOS_RETRY_UNIT_SECONDS": "0.01",
    "AUTOS_SOURCE_MAX_IN_FLIGHT": "12",
}


@pytest.fixture(scope="package")
async def stack() -> AsyncIterator[Stack]:
    """PostgreSQL, Temporal, S3, sandbox, worker and API."""
    # Not pytest's tmp_path: as root, PostgreSQL runs as another user, whose access a second pytest
    # session would revoke.
    with tempfile.TemporaryDirectory() as folder:
        # No test waits for this timeout: a stalled body stays in flight until its job ends.
        given = FAST | {"AUTOS_SOURCE_IDLE_TIMEOUT": str(BOUND)}
        async with Stack(Path(folder), ports="free", extra_environment=given) as running:
            yield running


@pytest.fixture(scope="package")
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    """A plain HTTP client."""
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
async def strict_api(stack: Stack, http: httpx2.AsyncClient) -> AsyncIterator[Api]:
    """A second API process that rejects private webhook URLs, as in production."""
    port = free_port()
    environment = {
        **os.environ,
        **stack.settings_environment(),
        "AUTOS_API_PORT": str(port),
        "AUTOS_WEBHOOK_ALLOW_PRIVATE": "false",
    }
    log = await asyncio.to_thread((stack.data_dir / "logs" / "strict-api.log").open, "wb")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api"), env=environment, stdout=log, stderr=log
    )
    api = Api(http, f"http://127.0.0.1:{port}", environment["AUTOS_ADMIN_KEY"])
    try:
        async with asyncio.timeout(BOUND):
            while not await api.is_alive():
                assert process.returncode is None
                # The API is another process and sets no event here.
                await asyncio.sleep(0.05)
        yield api
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        log.close()

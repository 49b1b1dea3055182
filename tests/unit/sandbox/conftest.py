"""One stand-in for all tests; each finds it as it was at its start."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.unit.sandbox.driver import Sandbox, started


@pytest_asyncio.fixture(scope="session")
async def running() -> AsyncIterator[Sandbox]:
    """The process."""
    async with started() as sandbox:
        yield sandbox


@pytest_asyncio.fixture
async def sandbox(running: Sandbox) -> Sandbox:
    """The process after a reset."""
    await running.control("reset", {})
    return running

"""One sandbox for all tests, reset before each one."""

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

"""Serves the API with its real server on a local port."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI

from api.http.server import options
from autos.settings import Settings


@contextlib.asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[int]:
    """Serve the app with production's options; yields the port."""
    given = options(Settings()) | {"host": "127.0.0.1", "port": 0}
    server = uvicorn.Server(uvicorn.Config(app, **given))
    # `_serve` installs no signal handlers in the tests' process.
    running = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(60):
            while not server.started:
                assert not running.done()
                await asyncio.sleep(0.01)
        port: int = server.servers[0].sockets[0].getsockname()[1]
        yield port
    finally:
        server.should_exit = True
        await running

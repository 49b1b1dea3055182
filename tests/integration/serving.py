"""The API behind its real server, on a port of this machine."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI

from api.http.server import options
from autos.settings import Settings


@contextlib.asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[int]:
    """Serve the app as production does; the port."""
    given = options(Settings()) | {"host": "127.0.0.1", "port": 0}
    server = uvicorn.Server(uvicorn.Config(app, **given))
    # Without the signal handlers, which belong to the tests' own process.
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

"""Serves an alternative to Autos as a process, so that its CPU can be measured like Autos'.

`POST /` with `{case number: callback address}` starts all these jobs and answers at once. A job
ends with a POST to its callback address.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

AT_ONCE: Final = 5
"""Documents that one job downloads concurrently, as a job of Autos does."""

Download = Callable[[str, str], Awaitable[object]]
"""Downloads the case of the number, then calls the address."""


class PeerServer:
    """The HTTP front of a peer.

    Args:
        opened: opens the peer's connections and gives its download function.
    """

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[Download]]) -> None:
        self._open = opened
        self._download: Download
        self._running: set[asyncio.Task[Any]] = set()

    def serve(self, port: int) -> None:
        """Serve until SIGTERM."""
        app = Starlette(
            routes=[Route("/", self._start, methods=["POST"]), Route("/", self._show)],
            lifespan=self._lifespan,
        )
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._open() as self._download:
            yield

    async def _show(self, _: Request) -> Response:
        return Response()

    async def _start(self, request: Request) -> Response:
        for number, address in (await request.json()).items():
            # A failed job is logged by asyncio when its task is discarded; no callback follows.
            task = asyncio.ensure_future(self._download(number, address))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return Response(status_code=202)

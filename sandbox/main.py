"""Starts the stand-in: `python -m sandbox --host 127.0.0.1 --port 8700`.

Once it listens, one line of JSON on standard output says where: `{"url": "http://…"}`.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox import control, lake, portal
from sandbox.counters import Recorder
from sandbox.tokens import DEMO_TOKEN
from sandbox.world import World

_SHUTDOWN_SECONDS: Final = 1
_KEEP_ALIVE_SECONDS: Final = 75


class Application:
    """The stand-in over a world: the portal, which is counted, receivers and controls."""

    def __init__(self, world: World) -> None:
        self._control = control.make_app(world)
        shown = Starlette(routes=[*lake.ROUTES, *portal.ROUTES])
        shown.state.world = world
        self._portal = Recorder(shown, lambda: world.counters)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        own = scope["path"] == "/control" or scope["path"].startswith(("/control/", "/receiver/"))
        await (self._control if own else self._portal)(scope, receive, send)


class Connection(H11Protocol):
    """The server's side of one connection; lets a reply break it, by naming the transport to it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Remember the transport for the requests of this connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Server(uvicorn.Server):
    """uvicorn's server, which says where it listens and ends without delay."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in good order at SIGTERM and SIGINT; the base class would send itself the signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then print the URL."""
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(json.dumps({"url": f"http://{shown}:{port}"}) + "\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut the answers under way: one that hangs by design would never end."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.transport.abort()
        await super().shutdown(sockets)


def run(
    host: str = "127.0.0.1",
    port: int = 8700,
    *,
    latency_ms: float = 0.0,
    token: str = DEMO_TOKEN,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        host: address to listen at.
        port: 0 for any free one.
        latency_ms: delay before the first byte of every document.
        token: one that is always valid.
    """
    config = uvicorn.Config(
        Application(World(token, latency_ms)),
        host=host,
        port=port,
        http=Connection,
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        backlog=4096,
    )
    asyncio.run(Server(config).serve())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8700, help="0 for any free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="per document")
    parser.add_argument("--token", default=DEMO_TOKEN, help="one that is always valid")
    arguments = parser.parse_args()
    run(
        arguments.host,
        arguments.port,
        latency_ms=arguments.latency_ms,
        token=arguments.token,
    )

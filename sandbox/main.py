"""Starts the sandbox: `python -m sandbox --host 127.0.0.1 --port 8700`.

Once it listens, it prints its URL as one line of JSON: `{"url": "http://…"}`.
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

from sandbox import control, routes
from sandbox.request_log import LoggingMiddleware
from sandbox.state import SandboxState
from sandbox.tokens import DEMO_TOKEN

_SHUTDOWN_SECONDS: Final = 1
_KEEP_ALIVE_SECONDS: Final = 75


class Application:
    """The source, whose requests are logged, beside the control API and the receivers."""

    def __init__(self, state: SandboxState) -> None:
        self._control = control.make_app(state)
        source = Starlette(routes=routes.ROUTES)
        source.state.sandbox = state
        self._source = LoggingMiddleware(source, lambda: state.request_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        own = scope["path"] == "/control" or scope["path"].startswith(("/control/", "/receiver/"))
        await (self._control if own else self._source)(scope, receive, send)


class Connection(H11Protocol):
    """The server's side of a connection; gives replies its transport, so that they can break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Remember the transport for the requests of this connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Server(uvicorn.Server):
    """uvicorn's server; prints its URL and ends without delay."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Shut down at SIGTERM and SIGINT; the base class raises the signal again afterwards."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then print the URL."""
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        sys.stdout.write(json.dumps({"url": f"http://{name}:{port}"}) + "\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Abort all answers, because some never end by design."""
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
        token: the one that does not expire.
    """
    config = uvicorn.Config(
        Application(SandboxState(token, latency_ms)),
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

"""Starts the sandbox: `python -m sandbox --host 127.0.0.1 --port 8700`.

When it listens, it prints its URL as one line of JSON: `{"url": "http://…"}`.
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
    """Combines the source, whose requests are logged, with the control API and the receivers."""

    def __init__(self, state: SandboxState) -> None:
        self._control = control.create_app(state)
        source = Starlette(routes=routes.ROUTES)
        source.state.sandbox = state
        self._source = LoggingMiddleware(source, lambda: state.request_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch a request by its path."""
        path = scope["path"]
        is_control = path == "/control" or path.startswith(("/control/", "/receiver/"))
        await (self._control if is_control else self._source)(scope, receive, send)


class Connection(H11Protocol):
    """The server's side of a connection. Replies can access its transport, to break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Make the transport available to the requests of this connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Server(uvicorn.Server):
    """uvicorn's server; prints its URL and shuts down without delay."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Shut down on SIGTERM and SIGINT; unlike the base class, do not raise the signal again."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then print the URL."""
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        sys.stdout.write(json.dumps({"url": f"http://{name}:{port}"}) + "\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Abort all connections, because some replies never end."""
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
        host: the address to listen on.
        port: the port to listen on; 0 for any free port.
        latency_ms: delay before the first byte of every document.
        token: an access token that does not expire.
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
    """Parse the command line and run the sandbox."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8700, help="0 for any free port")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="delay of each document")
    parser.add_argument("--token", default=DEMO_TOKEN, help="a token that does not expire")
    arguments = parser.parse_args()
    run(
        arguments.host,
        arguments.port,
        latency_ms=arguments.latency_ms,
        token=arguments.token,
    )

"""A TCP proxy in front of PostgreSQL that can stop responding, drop connections, or use TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from urllib.parse import parse_qs, urlsplit

_TLS_REQUEST = 8
"""Length in bytes of a client's request for TLS."""


class Mode(Enum):
    """How the proxy handles connections."""

    FORWARD = "forward"
    SWALLOW = "swallow"
    """Connections stay open, but nothing is forwarded."""
    REFUSE = "refuse"
    """Connections are closed at once."""


class DatabaseProxy:
    """Forwards a TCP port to PostgreSQL's Unix socket."""

    def __init__(self, database_url: str, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        folder = parse_qs(urlsplit(database_url).query)["host"][0]
        self._upstream = f"{folder}/.s.PGSQL.5432"
        self._mode = Mode.FORWARD
        self._forwarding = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """The URL of the database through the proxy."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def swallow(self) -> None:
        """Behave like a server that no longer responds."""
        self._mode = Mode.SWALLOW
        self._forwarding.clear()

    def refuse(self) -> None:
        """Behave like a server that is down: drop open connections and refuse new ones."""
        self._mode = Mode.REFUSE
        for writer in self._open:
            writer.transport.abort()

    def restore(self) -> None:
        """Drop open connections and forward new ones again."""
        self._mode = Mode.FORWARD
        for writer in self._open:
            writer.transport.abort()
        self._forwarding.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["DatabaseProxy"]:
        """Listen for the duration of the block."""
        self._forwarding.set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.refuse()
            self._forwarding.set()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode is Mode.REFUSE:
            writer.transport.abort()
            return
        if self._tls is not None:
            await reader.readexactly(_TLS_REQUEST)
            writer.write(b"S")
            try:
                await writer.start_tls(self._tls)
            except (OSError, ssl.SSLError):
                writer.transport.abort()
                return
        there, back = await asyncio.open_unix_connection(self._upstream)
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        finally:
            self._open -= {writer, back}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._forwarding.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

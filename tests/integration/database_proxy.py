"""A TCP proxy before a test's PostgreSQL that can go silent, drop connections, or speak TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from urllib.parse import parse_qs, urlsplit

_TLS_REQUEST = 8
"""Bytes by which a client asks for TLS."""


class Mode(Enum):
    """What the proxy does with what comes."""

    FORWARD = "forward"
    SWALLOW = "swallow"
    """Connections stay open, and nothing is passed on any more."""
    REFUSE = "refuse"
    """Connections are closed at once."""


class DatabaseProxy:
    """Between a pool and PostgreSQL's socket."""

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
        """The database by way of the proxy."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def swallow(self) -> None:
        """Be a server that no longer answers."""
        self._mode = Mode.SWALLOW
        self._forwarding.clear()

    def refuse(self) -> None:
        """Be a server that is down: drop what is open, and let nobody in."""
        self._mode = Mode.REFUSE
        for writer in self._open:
            writer.transport.abort()

    def restore(self) -> None:
        """Be a good server again for new connections."""
        self._mode = Mode.FORWARD
        for writer in self._open:
            writer.transport.abort()
        self._forwarding.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["DatabaseProxy"]:
        """Listen while the block lasts."""
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

"""A minimal HTTP/1.1 client and a receiver of callbacks.

The measuring process shares the machine with what it measures, so both cost little CPU. They
understand the messages of the measured servers only: bodies with `Content-Length`.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer."""

    first_line: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def status(self) -> int:
        """The status code of an answer."""
        return int(self.first_line.split(" ", 2)[1])

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


async def read_message(reader: asyncio.StreamReader) -> Message:
    """The next message of a connection.

    Raises:
        asyncio.IncompleteReadError: the peer closed the connection.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first_line, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Message(first_line, headers, body)


class Connection:
    """A keep-alive connection to the API. Use it as `async with Connection(...) as connection:`.

    Args:
        port: of the API, on this machine.
        key: an API key.
    """

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._head = f"host: {HOST}:{port}\r\nauthorization: Bearer {key}\r\n"
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(HOST, self._port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        """Send a request, with a body of JSON, and read its answer."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1\r\n", self._head]
        lines += [f"{name}: {value}\r\n" for name, value in (headers or {}).items()]
        lines.append(f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n")
        self._writer.write("".join(lines).encode() + content)
        return await read_message(self._reader)


@dataclass(frozen=True, slots=True)
class Callback:
    """One received callback."""

    at: float
    """`time.perf_counter()` at its arrival."""
    body: bytes


class Receiver:
    """An HTTP server for the callbacks of jobs, one per case number.

    Use it as `async with Receiver() as receiver:`.
    """

    def __init__(self) -> None:
        self._expected: dict[str, asyncio.Future[Callback]] = {}
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0, backlog=4096)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()

    def expect(self, numbers: Iterable[str]) -> dict[str, asyncio.Future[Callback]]:
        """Futures of the next callback of each case."""
        loop = asyncio.get_running_loop()
        expected = {number: loop.create_future() for number in numbers}
        self._expected |= expected
        return expected

    def url(self, number: str) -> str:
        """Where the callback of a case is to be sent."""
        port = self._server.sockets[0].getsockname()[1]
        return f"http://{HOST}:{port}/{number}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await read_message(reader)
                arrived = time.perf_counter()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                number = request.first_line.split(" ", 2)[1].removeprefix("/")
                future = self._expected.pop(number, None)
                if future is not None and not future.done():
                    future.set_result(Callback(arrived, request.body))
        writer.close()

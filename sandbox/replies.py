"""Replies that can be sent correctly or with faults: slow, truncated, reset, hanging.

A reply is an ASGI application. To break its connection it uses the transport that
`main.Connection` adds to the scope.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.types import Receive, Scope, Send

from sandbox.files import Content
from sandbox.response_bodies import encoded

JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
XML: Final = "application/xml"

_NO_LINGER: Final = struct.pack("ii", 1, 0)
_TICKS_PER_SECOND: Final = 10


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response. By default `content` is sent completely and without delay."""

    content: Content
    status: int = 200
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    announce_length: bool = True
    announced: int | None = None
    """A wrong Content-Length to send; the connection is closed after the body."""
    first_byte_after: float = 0.0
    """Delay of the first byte in seconds."""
    bytes_per_second: float | None = None
    """The speed of the body; None for no limit."""
    after_bytes: int | None = None
    """Bytes of the body to send before the connection is reset (`reset`), hangs (`hang`) or is
    closed; None for the whole body."""
    reset: bool = False
    """Close the connection with RST; before the first byte if `after_bytes` is None."""
    hang: bool = False
    """Send nothing more until the client disconnects; nothing at all if `after_bytes` is None."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply."""
        if self.first_byte_after and await _client_disconnected(receive, self.first_byte_after):
            return
        if self.after_bytes is None and (self.reset or self.hang):
            await self._break(scope, receive)
            return
        if self.announced is not None:
            await self._send_raw(scope, receive, self.announced)
            return
        await send(
            {"type": "http.response.start", "status": self.status, "headers": self._headers()}
        )
        for chunk in self._chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if self.bytes_per_second and await _client_disconnected(receive, self._tick()):
                return
        if self.after_bytes is not None:
            await self._break(scope, receive)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = [(name.encode(), value.encode()) for name, value in self.headers]
        if self.content_type is not None:
            headers.append((b"content-type", self.content_type.encode()))
        if self.announce_length and self.announced is None:
            headers.append((b"content-length", str(self.content.size).encode()))
        return headers

    def _tick(self) -> float:
        """Seconds between two chunks of a slow body."""
        return max(1 / _TICKS_PER_SECOND, 1 / (self.bytes_per_second or 1))

    async def _send_raw(self, scope: Scope, receive: Receive, announced: int) -> None:
        # uvicorn does not send more bytes than the announced length.
        transport: asyncio.Transport = scope["state"]["transport"]
        head = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}".encode()]
        head += [name + b": " + value for name, value in self._headers()]
        head += [b"content-length: %d" % announced, b"connection: close", b"", b""]
        transport.write(b"\r\n".join(head) + self.content.read())
        await self._break(scope, receive)

    def _chunks(self) -> Iterator[bytes]:
        left = self.content.size if self.after_bytes is None else self.after_bytes
        for chunk in self.content.chunks():
            part = chunk[:left]
            if self.bytes_per_second is None:
                yield part
            else:
                step = max(1, int(self.bytes_per_second * self._tick()))
                for start in range(0, len(part), step):
                    yield part[start : start + step]
            left -= len(part)
            if left == 0:
                return

    async def _break(self, scope: Scope, receive: Receive) -> None:
        transport: asyncio.Transport = scope["state"]["transport"]
        if self.reset:
            connection = transport.get_extra_info("socket")
            # Without this option the connection is closed with FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()
        elif not self.hang:
            transport.close()
        # uvicorn logs an error if the application returns before the client disconnects.
        await _client_disconnected(receive, None)


def json_reply(value: object, status: int = 200) -> Reply:
    """A reply with JSON."""
    return body_reply(encoded(value), JSON, status)


def body_reply(body: bytes, content_type: str | None, status: int = 200) -> Reply:
    """A reply with the given bytes."""
    return Reply(Content(content_type or "", body), status, content_type)


async def _client_disconnected(receive: Receive, seconds: float | None) -> bool:
    """Wait up to `seconds`; True as soon as the client has disconnected."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
            return True
    return False

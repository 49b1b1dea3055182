"""The HTTP server: uvicorn, with a bound for headers and with problem documents.

Without this, uvicorn waits for a request's headers without a limit, and answers invalid HTTP in
plain text. Does not limit the number of connections; use a proxy for that.
"""

import asyncio
import json
import uuid
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.problems import (
    MEDIA_TYPE,
    REQUEST_TOO_SLOW,
    UNREADABLE_REQUEST,
    Problem,
    ProblemType,
    document,
)
from autos.settings import Settings

HEADER_SECONDS: Final = 15.0
"""For all headers of a request, from the connection or the request's first byte."""
SHUTDOWN_SECONDS: Final = 20
"""For requests in flight on SIGTERM; a client repeats a long poll that was cut."""


def options(settings: Settings) -> dict[str, Any]:
    """The options of uvicorn."""
    return {
        "host": settings.api_host,
        "port": settings.api_port,
        "http": Protocol,
        "log_config": None,
        "access_log": False,
        "timeout_graceful_shutdown": SHUTDOWN_SECONDS,
        "server_header": False,
    }


class Protocol(H11Protocol):
    """One connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Read what the client sends, and start or end the deadline."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the deadline."""
        self._forget()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - a problem is sent instead
        """Answer bytes that are not HTTP, and close the connection."""
        self._refuse(UNREADABLE_REQUEST)

    def _watch(self) -> None:
        """Hold a deadline exactly while the headers of a request are awaited."""
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self._too_slow)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._refuse(REQUEST_TOO_SLOW)

    def _refuse(self, kind: ProblemType) -> None:
        """Answer with a problem, unless another answer has begun, and close the connection."""
        # None before the first request, whatever its annotation says.
        if self.cycle and not self.cycle.response_complete:  # type: ignore[truthy-bool]
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps(document(Problem(kind), "", uuid.uuid4().hex)).encode()
            headers = [
                ("content-type", MEDIA_TYPE),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            for event in (
                h11.Response(status_code=kind.status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
        self.transport.close()

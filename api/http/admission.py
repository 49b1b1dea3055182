"""Admission of requests before their body is read: a valid key, and a body within bounds.

Plain ASGI around the routes, because FastAPI reads a body before it looks at anything else. A
caller without a key costs no memory; a caller with one costs a bounded amount for a bounded time.
Roles are not checked here but by `api.http.auth`.
"""

import asyncio
from typing import Final, NoReturn

import structlog
from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.auth import authenticate
from api.http.errors import as_problem
from api.http.parameters import PREFIX, SIGNED_RECEIVER
from api.problems import (
    BODY_ENCODED,
    BODY_TOO_LARGE,
    BODY_TOO_SLOW,
    Problem,
    respond,
)

BODY_SECONDS: Final = 30.0
"""For the whole body, from the moment its headers are read."""


class Admission:
    """Middleware that reads the whole body of a request it admits, and refuses the others.

    Args:
        app: serves the admitted requests.
        longest: bytes of a body.
    """

    def __init__(self, app: ASGIApp, longest: int) -> None:
        self._app = app
        self._longest = longest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        whole = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
        try:
            if _needs_key(scope["path"]):
                scope["caller"] = await authenticate(scope["app"].state.services.keys, headers)
            body = await self._body(headers, receive)
        except Exception as error:
            problem = as_problem(error)
            if problem is None:
                raise
            if not whole:
                # The rest of the body is not waited for; the server closes the connection.
                problem.headers["Connection"] = "close"
            await respond(Request(scope), problem)(scope, receive, send)
            return
        if body is None:
            return
        first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def read() -> Message:
            return first.pop() if first else await receive()

        await self._app(scope, read, send)

    async def _body(self, headers: Headers, receive: Receive) -> bytes | None:
        """The whole body; None when the client has gone."""
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Problem(BODY_ENCODED)
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._longest:
            self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        structlog.contextvars.bind_contextvars(disconnected=True)
                        return None
                    body += message.get("body", b"")
                    if len(body) > self._longest:
                        self._too_large()
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise Problem(BODY_TOO_SLOW) from None

    def _too_large(self) -> NoReturn:
        raise Problem(BODY_TOO_LARGE, f"Send {self._longest} bytes at most.")


def _needs_key(path: str) -> bool:
    return path.startswith(f"{PREFIX}/") and not path.startswith(SIGNED_RECEIVER)

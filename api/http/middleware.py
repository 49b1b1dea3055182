"""Middleware: a request id, a log line and metrics for every request, and a 500 for any exception.

Plain ASGI around everything else, so that every exception of an inner layer is caught here. The
query is never logged: it may hold a webhook URL.
"""

import time
from typing import Final

import structlog
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.metrics import Metrics
from api.problems import INTERNAL_ERROR, Problem, respond
from autos import telemetry

log = structlog.get_logger(__name__)

_QUIET: Final = ("/health/", "/metrics")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMiddleware:
    """Serves requests; see the module."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = telemetry.request_id(Headers(scope=scope).get("x-request-id"))
        scope["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, answer)
        except Exception:
            log.exception("request_failed", method=scope["method"], path=scope["path"])
            if status:
                # The answer has begun; only breaking the connection shows that it is not whole.
                raise
            problem = respond(Request(scope), Problem(INTERNAL_ERROR))
            await problem(scope, receive, answer)
        finally:
            self._record(scope, status, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.observe(method, route, status, seconds)
        if not scope["path"].startswith(_QUIET):
            log.info(
                "request",
                method=method,
                path=scope["path"],
                status=status,
                milliseconds=round(seconds * 1000, 1),
            )

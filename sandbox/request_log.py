"""Counts and logs the requests to the portal, for tests to read.

Tokens are kept as the first digits of their hash only.
"""

import hashlib
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG_LENGTH: Final = 20_000
"""Requests that are kept."""

_NAMED: Final = re.compile(
    r"(?:/api/v2|/processo-api/api/v1)/processos/(?P<number>[\d.-]+)"
    r"(?:/documentos/(?P<document>[^/]+)/(?:binario|texto))?"
)


@dataclass(slots=True)
class LoggedRequest:
    """One request in the log."""

    id: int
    method: str
    path: str
    process: str | None
    document: str | None
    token: str | None
    """The first 12 hexadecimal digits of the SHA-256 of the token."""
    at: float
    """Arrival, seconds since 1970."""
    started: float
    status: int | None = None
    """None until the answer begins; stays None if the connection ends before."""
    sent_bytes: int = 0
    seconds: float | None = None
    """None while it is in flight."""
    faults: list[str] = field(default_factory=list)
    """The faults that were applied."""


@dataclass(slots=True)
class RequestLog:
    """Counts and the log; in flight are requests for documents until the end of the body."""

    requests_total: int = 0
    requests_by_path: Counter[str] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)
    by_status: Counter[str] = field(default_factory=Counter)
    in_flight: Counter[str] = field(default_factory=Counter)
    in_flight_now: int = 0
    in_flight_max: int = 0
    in_flight_max_by_process: dict[str, int] = field(default_factory=dict)
    tokens_seen: set[str] = field(default_factory=set)
    log: deque[LoggedRequest] = field(default_factory=lambda: deque(maxlen=LOG_LENGTH))

    def begin(
        self,
        method: str,
        path: str,
        process: str | None,
        document: str | None,
        token: str | None,
    ) -> LoggedRequest:
        """Log a request that arrives; `process` is digits, `token` the plain token."""
        self.requests_total += 1
        self.requests_by_path[path] += 1
        seen = _fingerprint(token) if token is not None else None
        if seen is not None:
            self.tokens_seen.add(seen)
        request = LoggedRequest(
            self.requests_total,
            method,
            path,
            process,
            document,
            seen,
            time.time(),
            time.perf_counter(),
        )
        self.log.append(request)
        if process is not None and document is not None:
            self.documents[document] += 1
            self.in_flight_now += 1
            self.in_flight_max = max(self.in_flight_max, self.in_flight_now)
            self.in_flight[process] += 1
            most = max(self.in_flight_max_by_process.get(process, 0), self.in_flight[process])
            self.in_flight_max_by_process[process] = most
        return request

    def end(self, request: LoggedRequest) -> None:
        """Log the end of the body or of the connection."""
        request.seconds = time.perf_counter() - request.started
        self.by_status[str(request.status)] += 1
        if request.process is not None and request.document is not None:
            self.in_flight_now -= 1
            self.in_flight[request.process] -= 1

    def counts(self) -> dict[str, object]:
        """The counts as JSON."""
        return {
            "requests_total": self.requests_total,
            "requests_by_path": dict(self.requests_by_path),
            "documents": dict(self.documents),
            "in_flight_now": self.in_flight_now,
            "in_flight_max": self.in_flight_max,
            "in_flight_max_by_process": self.in_flight_max_by_process,
            "tokens_seen": sorted(self.tokens_seen),
            "by_status": dict(self.by_status),
        }

    def requests(self, after: int) -> list[dict[str, object]]:
        """The logged requests with an id above `after`."""
        return [
            {key: value for key, value in asdict(request).items() if key != "started"}
            for request in self.log
            if request.id > after
        ]


def _fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:12]


class LoggingMiddleware:
    """Logs every request to an application, from its arrival to the end of its answer.

    Args:
        app: the application.
        current: returns the present log; a request ends in the log in which it began.
    """

    def __init__(self, app: ASGIApp, current: Callable[[], RequestLog]) -> None:
        self._app = app
        self._current = current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and log it."""
        named = _NAMED.fullmatch(scope["path"])
        token = Headers(scope=scope).get("authorization")
        log = self._current()
        request = log.begin(
            scope["method"],
            scope["path"],
            re.sub(r"\D", "", named["number"]) if named else None,
            named["document"].lower() if named and named["document"] else None,
            token.partition(" ")[2] if token else None,
        )
        # The routes add the faults.
        scope["logged"] = request

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            elif message["type"] == "http.response.body":
                request.sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:
            log.end(request)

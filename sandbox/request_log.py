"""Counts and logs the requests to the source, for tests.

The log contains only the first digits of each token's hash.
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
"""The number of requests that are kept."""

_CASE_PATH: Final = re.compile(
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
    """Time of arrival, in seconds since 1970."""
    started: float
    """Time of arrival by the performance counter."""
    status: int | None = None
    """None until the response starts; stays None if the connection ends earlier."""
    sent_bytes: int = 0
    seconds: float | None = None
    """Duration; None while the request is in flight."""
    faults: list[str] = field(default_factory=list)
    """The faults that were applied."""


@dataclass(slots=True)
class RequestLog:
    """The log and its counters. The in-flight counters include requests for documents only."""

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
        """Log the arrival of a request; `process` is 20 digits, `token` the token itself."""
        self.requests_total += 1
        self.requests_by_path[path] += 1
        fingerprint = _fingerprint(token) if token is not None else None
        if fingerprint is not None:
            self.tokens_seen.add(fingerprint)
        request = LoggedRequest(
            self.requests_total,
            method,
            path,
            process,
            document,
            fingerprint,
            time.time(),
            time.perf_counter(),
        )
        self.log.append(request)
        if process is not None and document is not None:
            self.documents[document] += 1
            self.in_flight_now += 1
            self.in_flight_max = max(self.in_flight_max, self.in_flight_now)
            self.in_flight[process] += 1
            maximum = max(self.in_flight_max_by_process.get(process, 0), self.in_flight[process])
            self.in_flight_max_by_process[process] = maximum
        return request

    def end(self, request: LoggedRequest) -> None:
        """Log the end of the response or of the connection."""
        request.seconds = time.perf_counter() - request.started
        self.by_status[str(request.status)] += 1
        if request.process is not None and request.document is not None:
            self.in_flight_now -= 1
            self.in_flight[request.process] -= 1

    def counts(self) -> dict[str, object]:
        """The counters as JSON."""
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
        """The logged requests with an id greater than `after`."""
        return [
            {key: value for key, value in asdict(request).items() if key != "started"}
            for request in self.log
            if request.id > after
        ]


def _fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:12]


class LoggingMiddleware:
    """Logs every request to an application, from its arrival to the end of its response.

    Args:
        app: the application.
        current: returns the current log. A request stays in the log that was current at its start.
    """

    def __init__(self, app: ASGIApp, current: Callable[[], RequestLog]) -> None:
        self._app = app
        self._current = current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request and log it."""
        match = _CASE_PATH.fullmatch(scope["path"])
        token = Headers(scope=scope).get("authorization")
        log = self._current()
        request = log.begin(
            scope["method"],
            scope["path"],
            re.sub(r"\D", "", match["number"]) if match else None,
            match["document"].lower() if match and match["document"] else None,
            token.partition(" ")[2] if token else None,
        )
        # The route adds the faults that it applies.
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

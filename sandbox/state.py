"""The state of a sandbox: cases, faults, tokens, counters, webhook receivers and switches.

A switch applies to all requests. A fault applies to the requests that it matches.
"""

from collections import deque
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from sandbox.cases.known import KnownCases
from sandbox.fault_schedule import FaultSchedule
from sandbox.request_log import RequestLog
from sandbox.tokens import DEMO_TOKEN, TokenIssuer
from sandbox.webhook_receiver import Receivers


class Unauthorized(StrEnum):
    """The body of a 401 for a missing or invalid token."""

    EMPTY = "empty"
    JSON = "json"


class Unknown(StrEnum):
    """The response for an unknown case number."""

    NOT_FOUND = "not_found"
    EMPTY = "empty"
    CODEX_500 = "codex_500"


class Firewall(StrEnum):
    """The response to requests that do not look like a browser's."""

    OFF = "off"
    HTML = "html"
    RESET = "reset"


class TextForm(StrEnum):
    """The format of `/texto`."""

    PLAIN = "plain"
    JSON = "json"


class Switches(BaseModel):
    """Settings for all requests, changed by the control API."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    latency_ms: float = Field(default=0.0, ge=0)
    """Delay before the first byte of every document."""
    unauthorized: Unauthorized = Unauthorized.EMPTY
    unknown: Unknown = Unknown.NOT_FOUND
    firewall: Firewall = Firewall.OFF
    text_form: TextForm = TextForm.PLAIN
    session_cookie: bool = False
    """Send `Set-Cookie: JSESSIONID`, which no request needs."""


class BurstLimit:
    """Limits the requests in any period of one second."""

    def __init__(self) -> None:
        self.max_per_second: int | None = None
        self._times: deque[float] = deque()

    def passes(self, now: float) -> bool:
        """Count a request at `now`, in monotonic seconds; False if it is over the limit."""
        if self.max_per_second is None:
            return True
        while self._times and self._times[0] <= now - 1:
            self._times.popleft()
        if len(self._times) >= self.max_per_second:
            return False
        self._times.append(now)
        return True

    def limit(self, max_per_second: int | None) -> None:
        """Set the limit; None removes it."""
        self.max_per_second = max_per_second
        self._times.clear()


class SandboxState:
    """The state of one sandbox."""

    def __init__(self, token: str = DEMO_TOKEN, latency_ms: float = 0.0) -> None:
        self._latency_ms = latency_ms
        self.cases = KnownCases()
        self.faults = FaultSchedule()
        self.tokens = TokenIssuer(token)
        self.request_log = RequestLog()
        self.switches = Switches(latency_ms=latency_ms)
        self.burst = BurstLimit()
        self.receivers = Receivers()
        self.prepared: set[str] = set()
        """UUIDs of the documents whose signed URL the data lake has prepared."""

    def reset(self) -> None:
        """Restore the initial state; created cases and issued tokens are kept.

        Requests in flight stay in the old log.
        """
        self.cases.restore()
        self.faults.clear()
        self.tokens.restore()
        self.request_log = RequestLog()
        self.switches = Switches(latency_ms=self._latency_ms)
        self.burst.limit(None)
        self.receivers.clear()
        self.prepared.clear()

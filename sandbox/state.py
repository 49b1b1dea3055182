"""The state of one sandbox: cases, faults, tokens, counters, receivers, and its switches.

A switch applies to all requests; a fault applies to the requests that it names.
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
    """The form of a 401 for a token that is missing or wrong."""

    EMPTY = "empty"
    JSON = "json"


class Unknown(StrEnum):
    """The answer for a number that is unknown."""

    NOT_FOUND = "not_found"
    EMPTY = "empty"
    CODEX_500 = "codex_500"


class Firewall(StrEnum):
    """The answer to requests that do not look like a browser's."""

    OFF = "off"
    HTML = "html"
    RESET = "reset"


class TextForm(StrEnum):
    """The form of `/texto`."""

    PLAIN = "plain"
    JSON = "json"


class Switches(BaseModel):
    """Settings for all requests, changed by the control API."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    latency_ms: float = Field(default=0.0, ge=0)
    """Before the first byte of every document."""
    unauthorized: Unauthorized = Unauthorized.EMPTY
    unknown: Unknown = Unknown.NOT_FOUND
    firewall: Firewall = Firewall.OFF
    text_form: TextForm = TextForm.PLAIN
    session_cookie: bool = False
    """Send `Set-Cookie: JSESSIONID`, which no request needs."""


class BurstLimit:
    """Limits the requests in any second."""

    def __init__(self) -> None:
        self.max_per_second: int | None = None
        self._passed: deque[float] = deque()

    def passes(self, now: float) -> bool:
        """Count a request at `now`, in monotonic seconds; False if it is over the limit."""
        if self.max_per_second is None:
            return True
        while self._passed and self._passed[0] <= now - 1:
            self._passed.popleft()
        if len(self._passed) >= self.max_per_second:
            return False
        self._passed.append(now)
        return True

    def limit(self, max_per_second: int | None) -> None:
        """Set the limit; None removes it."""
        self.max_per_second = max_per_second
        self._passed.clear()


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
        self.fetched: set[str] = set()
        """UUIDs of the documents whose signed URL the data lake has ready."""

    def reset(self) -> None:
        """Restore the state at the start, except for made cases and issued tokens.

        Requests in flight stay in the log in which they began.
        """
        self.cases.restore()
        self.faults.clear()
        self.tokens.restore()
        self.request_log = RequestLog()
        self.switches = Switches(latency_ms=self._latency_ms)
        self.burst.limit(None)
        self.receivers.clear()
        self.fetched.clear()

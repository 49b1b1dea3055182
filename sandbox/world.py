"""Everything the stand-in knows and remembers, and what is set for all of it.

Unlike a switch, a fault (`faults`) has an address.
"""

from collections import deque
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from sandbox.catalogue import Catalogue
from sandbox.counters import Counters
from sandbox.faults import FaultBook
from sandbox.receiver import Receivers
from sandbox.tokens import DEMO_TOKEN, TokenOffice


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
    """What meets requests that do not look like a browser's."""

    OFF = "off"
    HTML = "html"
    RESET = "reset"


class TextForm(StrEnum):
    """The form of `/texto`."""

    PLAIN = "plain"
    JSON = "json"


class Switches(BaseModel):
    """The settings; a control route changes them."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    latency_ms: float = Field(default=0.0, ge=0)
    """Before the first byte of every document."""
    unauthorized: Unauthorized = Unauthorized.EMPTY
    unknown: Unknown = Unknown.NOT_FOUND
    firewall: Firewall = Firewall.OFF
    text_form: TextForm = TextForm.PLAIN
    session_cookie: bool = False
    """Send `Set-Cookie: JSESSIONID`, which no request needs."""


class Burst:
    """Lets so many requests pass in any second."""

    def __init__(self) -> None:
        self.max_per_second: int | None = None
        self._passed: deque[float] = deque()

    def passes(self, now: float) -> bool:
        """Count a request at `now`, in seconds of a clock that only goes forward."""
        if self.max_per_second is None:
            return True
        while self._passed and self._passed[0] <= now - 1:
            self._passed.popleft()
        if len(self._passed) >= self.max_per_second:
            return False
        self._passed.append(now)
        return True

    def limit(self, max_per_second: int | None) -> None:
        """Set the limit; None lifts it."""
        self.max_per_second = max_per_second
        self._passed.clear()


class World:
    """The state of one stand-in."""

    def __init__(self, token: str = DEMO_TOKEN, latency_ms: float = 0.0) -> None:
        self._latency_ms = latency_ms
        self.catalogue = Catalogue()
        self.faults = FaultBook()
        self.tokens = TokenOffice(token)
        self.counters = Counters()
        self.switches = Switches(latency_ms=latency_ms)
        self.burst = Burst()
        self.receivers = Receivers()
        self.fetched: set[str] = set()
        """Documents that the data lake has brought near, so that it hands out their addresses."""

    def reset(self) -> None:
        """As it was at the start, but for the cases that were made and the tokens issued.

        Requests in flight end in the counters they began in.
        """
        self.catalogue.restore()
        self.faults.clear()
        self.tokens.restore()
        self.counters = Counters()
        self.switches = Switches(latency_ms=self._latency_ms)
        self.burst.limit(None)
        self.receivers.clear()
        self.fetched.clear()

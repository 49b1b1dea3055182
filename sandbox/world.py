"""Everything the stand-in knows and remembers, in one place for its routes."""

from sandbox.catalogue import Catalogue
from sandbox.counters import Counters
from sandbox.faults import FaultBook
from sandbox.receiver import Receivers
from sandbox.switches import Burst, Switches
from sandbox.tokens import DEMO_TOKEN, TokenOffice


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

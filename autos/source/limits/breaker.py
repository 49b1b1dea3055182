"""The circuit breaker of one court: after many consecutive failures, only single trial requests.

It opens after `FAILURES_TO_OPEN` failures in a row that show an outage of the court's system, and
immediately when such a failure carries a `Retry-After`. While it is open, requests are rejected
unsent. Afterwards one request is sent as a trial: an answer closes the breaker, a failure opens it
for longer. A refusal of one document (secret, not found, a stub) counts as an answer: the court
works.
"""

from collections.abc import Callable
from typing import Final

from autos.contracts.reasons import Reason
from autos.contracts.retries import RetryRule
from autos.source.replies.judge import Refused

OUTAGE: Final = frozenset({Reason.UNAVAILABLE, Reason.TIMEOUT, Reason.BLOCKED})
"""Reasons that indicate an outage of the court, not a fault of one document."""
OVERLOAD: Final = OUTAGE | {Reason.RATE_LIMITED}
"""Signs of overload; a `Retry-After` with one of them applies to the whole court."""

FAILURES_TO_OPEN: Final = 10
"""Two batches: what a worker has of one job at a time."""
OPEN_DELAYS: Final = RetryRule(0, (2.5, 5, 10, 20, 30))
"""Retry units it stays open: 5 s at first, 1 min at most. Jobs probe less often (OUTAGE_DELAYS)."""
TRIAL_DELAY: Final = 2.5
"""Retry units: the shortest delay of a request that is rejected because of a trial."""


class Breaker:
    """A circuit breaker: closed, open until a time, or half-open during a trial request.

    Args:
        clock: seconds.
        jitter: about 1; the time it stays open is multiplied by it.
        unit: seconds of a retry unit.
    """

    def __init__(
        self, clock: Callable[[], float], jitter: Callable[[], float], unit: float
    ) -> None:
        self._clock = clock
        self._unit = unit
        self._jitter = jitter
        self._failures = 0
        self._openings = 0
        self._reason: Reason | None = None
        self._until = 0.0
        self._on_trial = False

    @property
    def reason(self) -> Reason | None:
        """Why it is open; None while it is closed."""
        return self._reason

    @property
    def seconds_left(self) -> float:
        """How long it stays open before the next trial."""
        return max(0.0, self._until - self._clock())

    def reject(self, *, urgent: bool = False) -> Refused | None:
        """The refusal of a request that must not be sent now, or None.

        None from an open breaker makes the request the trial: report its end with `trial=True`.
        An urgent request is the trial before the time is over, but never beside another trial.
        """
        if self._reason is None:
            return None
        if self._on_trial:
            return self.refusal(max(self.seconds_left, TRIAL_DELAY * self._unit))
        if self.seconds_left and not urgent:
            return self.refusal(self.seconds_left)
        self._on_trial = True
        return None

    def refusal(self, seconds: float) -> Refused:
        """The refusal of a request that is not sent."""
        return Refused(self._reason or Reason.UNAVAILABLE, retry_after=seconds, unsent=True)

    def record(self, refused: Refused | None, *, trial: bool) -> None:
        """Record how a request ended; None for an answer."""
        if trial:
            self._on_trial = False
        if refused is not None and refused.reason not in OVERLOAD:
            refused = None
        if not trial and self._reason is not None and not (refused and refused.retry_after):
            # It was sent before the breaker opened, so it is no new evidence.
            return
        if refused is None or not (refused.reason in OUTAGE or refused.retry_after):
            self._failures, self._openings, self._reason = 0, 0, None
            return
        self._failures += 1
        if refused.retry_after:
            self._open(refused.reason, refused.retry_after)
        elif trial or self._failures >= FAILURES_TO_OPEN:
            self._openings += 1
            units = OPEN_DELAYS.delay_after(self._openings) * self._jitter()
            self._open(refused.reason, units * self._unit)

    def abandon_trial(self) -> None:
        """The trial was cancelled: the next request is the trial."""
        self._on_trial = False

    def _open(self, reason: Reason, seconds: float) -> None:
        self._reason = reason
        self._until = max(self._until, self._clock() + seconds)

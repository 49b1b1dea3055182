"""The breaker of one court: after many failures in a row nobody asks it, but one at a time.

It opens after `FAILURES` requests in a row with a sign that the court's system (or what is before
it) is out of order, and at once when such a reply says by `Retry-After` when to come back. While it
is open requests are held back, unsent. Afterwards one request at a time is let through, as a trial;
an answer closes the breaker, another failure opens it for longer.

A refusal that concerns one document (secret, not found, a stub) is an answer: the court works.
"""

from collections.abc import Callable
from typing import Final

from autos.contracts.retries import RetryRule
from autos.contracts.states import Reason
from autos.source.replies.judge import Refused

SIGNS: Final = frozenset({Reason.UNAVAILABLE, Reason.TIMEOUT, Reason.BLOCKED})
"""Reasons that speak against the court and not against one document."""
OVERLOAD: Final = SIGNS | {Reason.RATE_LIMITED}
"""Reasons that ask for fewer requests; of these a `Retry-After` is meant for the whole court."""

FAILURES: Final = 10
"""Two whole batches: what one job has in the worker's hands."""
OPEN: Final = RetryRule(0, (2.5, 5, 10, 20, 30))
"""Retry units it stays open: 5 s at first, 1 min at last. Jobs look less often (OUTAGE_DELAYS)."""
TRIAL: Final = 2.5
"""Retry units that whoever meets a trial under way is told to stay away, at least."""


class Breaker:
    """Closed, open until a moment, or on trial.

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

    def hold_back(self, *, urgent: bool = False) -> Refused | None:
        """The refusal of a request that must not be sent now, or None.

        None from an open breaker means that the request is the trial; its end must be reported
        with `trial=True`. An urgent one need not await the time, only a trial under way.
        """
        if self._reason is None:
            return None
        if self._on_trial:
            return self.refusal(max(self.seconds_left, TRIAL * self._unit))
        if self.seconds_left and not urgent:
            return self.refusal(self.seconds_left)
        self._on_trial = True
        return None

    def refusal(self, seconds: float) -> Refused:
        """What somebody hears whose request is not sent."""
        return Refused(self._reason or Reason.UNAVAILABLE, retry_after=seconds, unsent=True)

    def learn(self, refused: Refused | None, *, trial: bool) -> None:
        """Take in how a request ended; None is what was asked for."""
        if trial:
            self._on_trial = False
        if refused is not None and refused.reason not in OVERLOAD:
            refused = None
        if not trial and self._reason is not None and not (refused and refused.retry_after):
            # Sent before it opened, and so nothing new.
            return
        if refused is None or not (refused.reason in SIGNS or refused.retry_after):
            self._failures, self._openings, self._reason = 0, 0, None
            return
        self._failures += 1
        if refused.retry_after:
            self._open(refused.reason, refused.retry_after)
        elif trial or self._failures >= FAILURES:
            self._openings += 1
            units = OPEN.delay_after(self._openings) * self._jitter()
            self._open(refused.reason, units * self._unit)

    def trial_ended_without_answer(self) -> None:
        """The trial was cancelled: the next request is the trial."""
        self._on_trial = False

    def _open(self, reason: Reason, seconds: float) -> None:
        self._reason = reason
        self._until = max(self._until, self._clock() + seconds)

"""Every retry schedule: of documents, of the source, of activities and of webhooks.

Delays of documents and of the source are in retry units (`AUTOS_RETRY_UNIT_SECONDS`, 2 s by
default), which lets tests and demos run the same schedule in less time. The breaker's schedule is
in `autos.source.limits.breaker`.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.common import RetryPolicy

from autos.contracts.reasons import Reason
from autos.contracts.temporal_names import INTERNAL_ERROR, RECORDS, STORAGE


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How many attempts are made, and the delays between them.

    Args:
        attempts: in all; 0 where time is the only bound.
        delays: before the second attempt, the third, and so on; the last one repeats.
    """

    attempts: int
    delays: tuple[float, ...]

    def delay_after(self, attempt: int) -> float:
        """The delay after the given attempt (from 1)."""
        return self.delays[min(attempt, len(self.delays)) - 1]


# ------------------------------------------------------------------ documents and metadata

ONCE: Final = RetryRule(1, (1,))

RETRIES: Final[dict[Reason, RetryRule]] = {
    Reason.UNAVAILABLE: RetryRule(6, (1, 4, 15, 60, 300)),
    Reason.TIMEOUT: RetryRule(5, (1, 10, 60, 300)),
    Reason.RATE_LIMITED: RetryRule(10, (5, 15, 30, 60)),
    Reason.BLOCKED: RetryRule(6, (15, 60, 300)),
    Reason.DOCUMENT_ERROR: RetryRule(4, (2, 10, 30)),
    Reason.STUB: RetryRule(6, (2, 10, 60, 300, 900)),
    Reason.EMPTY: RetryRule(4, (2, 10, 30)),
    Reason.ERROR_BODY: RetryRule(4, (2, 10, 60)),
    Reason.SHELL: RetryRule(3, (2, 30)),
    Reason.TRUNCATED: RetryRule(5, (1, 4, 15, 60)),
    # A file that arrives again with the same bytes is stored, and marked as doubtful.
    Reason.SIZE_MISMATCH: RetryRule(3, (1, 5)),
    # For a document that is refused although the source accepts the credential for others.
    Reason.CREDENTIAL: RetryRule(3, (1, 10)),
    Reason.TOO_SLOW: RetryRule(3, (5, 60)),
    Reason.REDIRECTED: RetryRule(3, (5, 60)),
    # A gateway's 404 is temporary. One with the source's own body is final at once.
    Reason.NOT_FOUND: RetryRule(3, (5, 30)),
    Reason.UNREADABLE_LISTING: RetryRule(6, (5, 30, 150, 450, 900)),
    # An outage of our own store ends eventually: days of attempts, five minutes apart.
    Reason.STORAGE: RetryRule(2000, (1, 5, 15, 60, 150)),
}
"""Reasons that are not in the table are final after the first attempt.

A `Retry-After` from the source replaces a shorter delay. An outage uses no attempts: the workflow
detects it by a check of the source, and waits.
"""


def retry_rule(reason: Reason) -> RetryRule:
    """The rule for a reason; `ONCE` where another attempt cannot help."""
    return RETRIES.get(reason, ONCE)


# ------------------------------------------------------------------ outages of the source

OUTAGES: Final = frozenset(
    {Reason.UNAVAILABLE, Reason.TIMEOUT, Reason.RATE_LIMITED, Reason.BLOCKED, Reason.STUB}
)
"""A batch with no other outcomes than these may indicate an outage of the source itself."""

OUTAGE_DELAYS: Final = RetryRule(0, (2, 5, 15, 30, 60, 150))
"""Between two checks of a source that does not work: 4 s at first, 5 min at last."""

PATIENCE: Final = timedelta(days=7)
"""How long a job waits for source, credential, records or store before it fails."""

# ------------------------------------------------------------------ activities

QUICK: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_attempts=4
)
"""The first attempts at every activity."""
QUICK_ROUNDS: Final = 5
"""Rounds of quick attempts: a new round starts after an outage, or when workers died."""
DURING_OUTAGE: Final = RetryPolicy(
    initial_interval=timedelta(seconds=5),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(minutes=2),
    # The quick attempts decide whether an error is a defect.
    non_retryable_error_types=[INTERNAL_ERROR],
)
"""While records or store are not available, for as long as the activity's patience."""
UNTIL_SOURCE_WORKS: Final = RetryPolicy(
    # The activity returns the delay before each attempt; this is only the upper bound.
    maximum_interval=timedelta(minutes=5),
    non_retryable_error_types=[RECORDS, STORAGE, INTERNAL_ERROR],
)
"""Of `await_source`, which the server runs until the source works."""

# ------------------------------------------------------------------ webhooks

WEBHOOK_DELAYS: Final = RetryRule(0, (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800))
"""Seconds between two attempts to deliver an event; the first attempt is immediate."""
WEBHOOK_PATIENCE_SECONDS: Final = 259_200
"""Three days from the first attempt to the last."""
WEBHOOK_JITTER: Final = 0.1
"""Relative jitter of a delay, which spreads the load on receivers."""
WEBHOOK_MAX_RETRY_AFTER: Final = 28_800
"""Seconds up to which a receiver's `Retry-After` is obeyed; it never shortens a delay."""


def webhook_delay(delay: float, longest: float, retry_after: float | None) -> float:
    """Seconds before the next attempt, with the receiver's `Retry-After` taken into account.

    Args:
        delay: the schedule's, in seconds.
        longest: seconds that must not be exceeded.
        retry_after: what the receiver requested, in seconds, if anything.
    """
    return min(max(delay, min(retry_after or 0.0, WEBHOOK_MAX_RETRY_AFTER)), longest)

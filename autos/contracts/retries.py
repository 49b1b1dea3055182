"""How often and after what time a document is asked for again, by the reason it failed.

Delays are in retry units (`AUTOS_RETRY_UNIT_SECONDS`, 2 s by default) so that tests and demos run
the same schedule in less time. A `Retry-After` from the source replaces a shorter delay. What is
final at the source is never asked for again by the same job. An outage uses no attempts at all:
the workflow finds it out by a probe and waits (DESIGN §5.4, §5.7).
"""

from dataclasses import dataclass
from typing import Final

from autos.contracts.states import Reason


@dataclass(frozen=True, slots=True)
class RetryRule:
    """`attempts` in all; `delays` before the second, the third …, the last one repeating."""

    attempts: int
    delays: tuple[float, ...]

    def delay_after(self, attempt: int) -> float:
        """Retry units to wait after the given attempt (from 1)."""
        return self.delays[min(attempt, len(self.delays)) - 1]


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
    # The second answer of the same length is kept and marked (facts/pdpj-api.md §9).
    Reason.SIZE_MISMATCH: RetryRule(3, (1, 5)),
    # Asked again although the source takes the credential for other calls.
    Reason.CREDENTIAL: RetryRule(3, (1, 10)),
    Reason.TOO_SLOW: RetryRule(3, (5, 60)),
    Reason.REDIRECTED: RetryRule(3, (5, 60)),
    # A gateway's 404 passes; one in the source's own words is final at once.
    Reason.NOT_FOUND: RetryRule(3, (5, 30)),
    Reason.UNREADABLE_LISTING: RetryRule(6, (5, 30, 150, 450, 900)),
    # Our own store comes back: days of patience, five minutes apart.
    Reason.STORAGE: RetryRule(2000, (1, 5, 15, 60, 150)),
}
"""Every reason that is not in the table is final at the first answer."""

OUTAGES: Final = frozenset(
    {Reason.UNAVAILABLE, Reason.TIMEOUT, Reason.RATE_LIMITED, Reason.BLOCKED, Reason.STUB}
)
"""Reasons that, when a whole batch has nothing else, put the source itself in doubt."""

OUTAGE_DELAYS: Final = RetryRule(0, (2, 5, 15, 30, 60, 150))
"""Between two probes of a source that is out of order: 4 s at first, 5 min at last."""

PATIENCE_DAYS: Final = 7
"""A job that has waited this long for source or credential gives up and says so."""


def retry_rule(reason: Reason) -> RetryRule:
    """The rule for a reason; `ONCE` for those that asking again cannot change."""
    return RETRIES.get(reason, ONCE)

"""What `DeliverWebhookWorkflow` and its activity say to each other, and when to try again.

Only the event's id, numbers and outcomes: no address, secret, signature or link of a webhook ever
enters a workflow's history (F32). Everything else is in the records.

The delays follow DESIGN §11: at once, 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 4 h, then every
8 h; the last attempt is made three days after the first.
"""

from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime, BaseModel

DELAYS: Final = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800)
"""Seconds between an attempt and the next, by the attempt's number; the last one repeats."""

PATIENCE_SECONDS: Final = 259_200
"""Three days from the first attempt to the last."""

JITTER: Final = 0.1
"""A delay is drawn within this share of itself, so that receivers do not get all at once."""

LONGEST_RETRY_AFTER: Final = 28_800
"""Seconds: a receiver's `Retry-After` is obeyed up to 8 h, and never below the schedule's delay."""

TIMEOUT_SECONDS: Final = 15.0
"""For one attempt in all: name, connection, request and the answer's status line."""

OVERLAP_SECONDS: Final = 86_400
"""A rotated secret goes on signing for a day beside the new one."""


class DeliveryOutcome(StrEnum):
    """What came of one attempt."""

    DELIVERED = "delivered"
    """The receiver answered 2xx."""
    FAILED = "failed"
    """Anything else; worth another attempt."""
    GONE = "gone"
    """The receiver answered 410: it wants no more of this."""
    PURGED = "purged"
    """The records hold no such event any more; its process was purged."""


class DeliverWebhook(BaseModel):
    """Input of `DeliverWebhookWorkflow`; but for the event, what a run leaves to the next one."""

    event_id: str
    attempts: int = 0
    """Made so far."""
    step: int = 0
    """The place in the schedule."""
    began: AwareDatetime | None = None
    """When the schedule began; None for now."""
    asked_for: bool = False
    """True if a redelivery is due."""
    continue_as_new_after: int = 0
    """Events of history; 0 leaves it to the server."""


class AttemptDelivery(BaseModel):
    """Input of `attempt_delivery`: one attempt, and when the next may come if it fails."""

    event_id: str
    number: int
    """From 1, counted over all runs of the delivery."""
    delay_seconds: float | None = None
    """The schedule's delay before the next attempt; None when this is the last."""
    longest_delay_seconds: float | None = None
    """What `Retry-After` may stretch it to; None when this is the last."""


class AttemptedDelivery(BaseModel):
    """Output of `attempt_delivery`."""

    outcome: DeliveryOutcome
    status_code: int | None = None
    retry_in_seconds: float | None = None
    """None when there is nothing more to try."""


class AbandonDelivery(BaseModel):
    """Input of `abandon_delivery`: no further attempt is made, for a defect of ours."""

    event_id: str
    number: int
    """Of the attempt that could not be made."""


class DeliveryResult(BaseModel):
    """Result of `DeliverWebhookWorkflow`."""

    event_id: str
    outcome: DeliveryOutcome
    attempts: int


def scheduled_delay(number: int) -> float:
    """Seconds between the attempt with this number (from 1) and the next, before jitter."""
    return float(DELAYS[min(number, len(DELAYS)) - 1])


def bounded_delay(delay: float, longest: float, retry_after: float | None) -> float:
    """The delay a receiver's `Retry-After` leads to: no shorter than ours, no longer than bounds.

    Args:
        delay: the schedule's own, in seconds.
        longest: seconds that must not be exceeded, whoever asks.
        retry_after: what the receiver asked for, in seconds, if anything.
    """
    return min(max(delay, min(retry_after or 0.0, LONGEST_RETRY_AFTER)), longest)

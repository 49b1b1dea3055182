"""Messages between `DeliverWebhookWorkflow` and its activities.

They carry the event's id, numbers and outcomes only. A webhook's URL, secret, signature and links
never enter a workflow's history; they are in the records. The schedule is in
`autos.contracts.retries`.
"""

from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime, BaseModel

TIMEOUT_SECONDS: Final = 15.0
"""For one whole attempt: name resolution, connection, request and the response's status line."""

OVERLAP_SECONDS: Final = 86_400
"""How long a rotated secret still signs beside the new one."""


class DeliveryOutcome(StrEnum):
    """How one attempt ended."""

    DELIVERED = "delivered"
    """The receiver answered 2xx."""
    FAILED = "failed"
    """Anything else; worth another attempt."""
    GONE = "gone"
    """The receiver answered 410: no further attempts for this event."""
    PURGED = "purged"
    """The records no longer hold the event, because its process was purged."""


class DeliverWebhook(BaseModel):
    """Input of `DeliverWebhookWorkflow`, and its state when it continues as new."""

    event_id: str
    attempts: int = 0
    """Made so far."""
    step: int = 0
    """The place in the schedule."""
    began: AwareDatetime | None = None
    """When the schedule began; None means now."""
    asked_for: bool = False
    """True if a redelivery was requested."""
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
    """The bound up to which `Retry-After` may extend it; None when this is the last."""


class AttemptedDelivery(BaseModel):
    """Output of `attempt_delivery`."""

    outcome: DeliveryOutcome
    status_code: int | None = None
    retry_in_seconds: float | None = None
    """None when no further attempt follows."""


class AbandonDelivery(BaseModel):
    """Input of `abandon_delivery`: no further attempt is made, because of an internal error."""

    event_id: str
    number: int
    """Of the attempt that could not be made."""


class DeliveryResult(BaseModel):
    """Result of `DeliverWebhookWorkflow`."""

    event_id: str
    outcome: DeliveryOutcome
    attempts: int

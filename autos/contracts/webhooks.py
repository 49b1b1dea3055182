"""What the delivery of a webhook is told: an id; everything else is in the records."""

from pydantic import BaseModel


class DeliverWebhook(BaseModel):
    """Input of `DeliverWebhookWorkflow`."""

    event_id: str

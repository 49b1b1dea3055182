"""What the webhook routes work with: the sender, the vault, and how they show what they hold."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends, Path

from api.problems import ProblemType
from api.services import ServicesDependency
from api.webhooks.redeliveries import MOST_PER_HOUR
from api.webhooks.schemas import EVENT_EXAMPLE, SecretState, SigningSecret, Tried
from autos.contracts.webhooks import OVERLAP_SECONDS
from autos.vault import Vault
from autos.webhooks.guard import Resolver, resolve
from autos.webhooks.secrets import Scheme, Secrets
from autos.webhooks.sender import Reply, Sender

DELIVERY_UNKNOWN: Final = ProblemType(
    "delivery-unknown",
    404,
    "There is no such delivery",
    "Take an id from GET /api/v1/webhooks/deliveries.",
)
REDELIVERED_TOO_OFTEN: Final = ProblemType(
    "redelivered-too-often",
    429,
    "The event was delivered again too often",
    f"An event is delivered again {MOST_PER_HOUR} times an hour by request; ask after "
    "`Retry-After` seconds.",
)
WEBHOOK_SECRET_TOLD: Final = ProblemType(
    "webhook-secret-told",
    409,
    "The secret has been told already",
    "Rotate it to get a new one: the old one signs on for a day.",
)
WEBHOOK_TOO_LARGE: Final = ProblemType(
    "webhook-too-large", 413, "The body is too large for the test receiver", "Send 64 KiB at most."
)
SIGNATURE_WRONG: Final = ProblemType(
    "webhook-signature-wrong",
    401,
    "The signature does not fit",
    "Sign the bytes as they are sent, with the secret of the key in the address.",
)


async def _sender(services: ServicesDependency) -> AsyncIterator[Sender]:
    sender = Sender.open(services.settings)
    try:
        yield sender
    finally:
        await sender.close()


async def _vault(services: ServicesDependency) -> Vault:
    return Vault(services.settings.secret_key)


async def name_service() -> Resolver:
    """Who resolves host names for the tools; tests put another in its place."""
    return resolve


SenderDependency = Annotated[Sender, Depends(_sender)]
VaultDependency = Annotated[Vault, Depends(_vault)]
ResolverDependency = Annotated[Resolver, Depends(name_service)]
EventId = Annotated[str, Path(pattern="^evt_[0-9a-f]{32}$", examples=[EVENT_EXAMPLE])]


def tried(reply: Reply) -> Tried:
    """A reply as the tools tell it."""
    return Tried(
        accepted=reply.accepted,
        status_code=reply.status_code,
        milliseconds=reply.milliseconds,
        response_length=reply.length,
        error=reply.failure,
        detail=reply.failure.text if reply.failure else None,
    )


def secret_state(secrets: Secrets, vault: Vault, at: datetime) -> SecretState:
    """What signs at a moment, without the secrets."""
    return SecretState(
        secrets=[
            SigningSecret(
                scheme=secret.scheme.value,
                created_at=secret.created_at,
                expires_at=secret.expires_at,
            )
            for scheme in Scheme
            for secret in secrets.in_force(scheme, at)
        ],
        public_keys=secrets.public_keys(vault, at),
        overlap_seconds=OVERLAP_SECONDS,
    )

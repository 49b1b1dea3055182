"""Signs and verifies by Standard Webhooks 1.0: `v1` (HMAC-SHA256) and `v1a` (Ed25519).

The `standardwebhooks` package does `v1`; it lacks `v1a`, which signs the same text with another
key. The signed text is `{id}.{timestamp}.{body}`, so the body must be sent exactly as signed.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from standardwebhooks import Webhook, WebhookVerificationError

SECRET_PREFIX: Final = "whsec_"
PRIVATE_PREFIX: Final = "whsk_"
PUBLIC_PREFIX: Final = "whpk_"


class Signer(Protocol):
    """Signs one webhook."""

    def sign(self, webhook_id: str, at: datetime, body: str) -> str:
        """The signature with its version in front, such as `v1,K5oZ…`."""
        ...


class SymmetricSigner:
    """`v1`: HMAC-SHA256 with a shared secret, written `whsec_…`."""

    def __init__(self, secret: str) -> None:
        self._webhook = Webhook(secret)

    def sign(self, webhook_id: str, at: datetime, body: str) -> str:
        """See `Signer`."""
        return self._webhook.sign(webhook_id, at.astimezone(UTC), body)


class AsymmetricSigner:
    """`v1a`: Ed25519; the receiver knows only the public key, written `whpk_…`."""

    def __init__(self, private_key: str) -> None:
        raw = base64.b64decode(private_key.removeprefix(PRIVATE_PREFIX))
        self._key = Ed25519PrivateKey.from_private_bytes(raw)

    def sign(self, webhook_id: str, at: datetime, body: str) -> str:
        """See `Signer`."""
        signed = f"{webhook_id}.{int(at.timestamp())}.{body}".encode()
        return f"v1a,{base64.b64encode(self._key.sign(signed)).decode()}"

    @property
    def public_key(self) -> str:
        """The key that receivers verify with, written `whpk_…`."""
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return PUBLIC_PREFIX + base64.b64encode(raw).decode()


def headers(signers: Sequence[Signer], webhook_id: str, at: datetime, body: str) -> dict[str, str]:
    """The three headers of Standard Webhooks, with one signature for each signer.

    Args:
        webhook_id: the event's id, the same over attempts and replays.
        at: time of this attempt.
        body: exactly as it will be sent.
    """
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signer.sign(webhook_id, at, body) for signer in signers),
    }


def verified(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> bool:
    """True if one of the `whsec_…` secrets signed these headers and bytes within five minutes."""
    return any(_verified(secret, headers, body) for secret in secrets)


def _verified(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError, binascii.Error):
        # The package raises plain ValueErrors for some malformed headers.
        return False
    return True

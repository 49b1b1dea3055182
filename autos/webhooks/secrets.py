"""The signing secrets of an API key: created, encrypted, rotated, decrypted.

They are stored encrypted in `api_keys.webhook_secrets`. Every event is signed with all secrets in
force: a rotated one stays in force for a day (`OVERLAP_SECONDS`) beside the new one, but only the
newest few of each scheme do. A symmetric secret is shown once; a private key is never shown.
"""

import base64
import secrets
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from pydantic import AliasChoices, BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from autos.contracts.deliveries import OVERLAP_SECONDS
from autos.records import api_keys
from autos.records.models import now
from autos.vault import Vault
from autos.webhooks.signing import (
    PRIVATE_PREFIX,
    SECRET_PREFIX,
    AsymmetricSigner,
    Signer,
    SymmetricSigner,
)

_RANDOM_BYTES: Final = 32
"""For both schemes: Standard Webhooks asks for 24 to 64, Ed25519's seed has 32."""
_MOST_IN_FORCE: Final = 5
_PREFIXES: Final = {"v1": SECRET_PREFIX, "v1a": PRIVATE_PREFIX}


class Scheme(StrEnum):
    """A signature scheme, by its version in the signature header."""

    SYMMETRIC = "v1"
    ASYMMETRIC = "v1a"


class Secret(BaseModel):
    """One secret, encrypted."""

    scheme: Scheme
    sealed: str
    created_at: datetime
    expires_at: datetime | None = None
    """When it stops signing; None until it is rotated."""
    # The second name is the one in secrets that were stored before version 1.0.
    shown: bool = Field(False, validation_alias=AliasChoices("shown", "told"))
    """True once it was shown to its owner."""


class Secrets(BaseModel):
    """All secrets of an API key, newest first. Methods return a changed copy."""

    secrets: list[Secret] = Field(default_factory=list)

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Self:
        """Read the column."""
        return cls.model_validate(stored)

    def stored(self) -> dict[str, Any]:
        """The column's value."""
        return self.model_dump(mode="json")

    def current(self, scheme: Scheme) -> Secret | None:
        """The secret of this scheme that has not been rotated."""
        of_scheme = (one for one in self.secrets if one.scheme is scheme)
        return next((one for one in of_scheme if not one.expires_at), None)

    def in_force(self, scheme: Scheme, at: datetime) -> list[Secret]:
        """The secrets of this scheme that sign at that time, newest first."""
        return [
            secret
            for secret in self.secrets
            if secret.scheme is scheme and (secret.expires_at is None or secret.expires_at > at)
        ][:_MOST_IN_FORCE]

    def with_new(self, scheme: Scheme, vault: Vault, at: datetime) -> Self:
        """With a new secret; the one before expires after the overlap, expired ones are dropped."""
        text = _PREFIXES[scheme] + base64.b64encode(secrets.token_bytes(_RANDOM_BYTES)).decode()
        new = Secret(scheme=scheme, sealed=vault.seal(text).decode(), created_at=at)
        ends = at + timedelta(seconds=OVERLAP_SECONDS)
        kept = [
            secret.model_copy(update={"expires_at": secret.expires_at or ends})
            if secret.scheme is scheme
            else secret
            for kind in Scheme
            for secret in self.in_force(kind, at)
        ]
        return self.model_copy(update={"secrets": [new, *kept]})

    def without(self, scheme: Scheme) -> Self:
        """With no secret of this scheme."""
        kept = [one for one in self.secrets if one.scheme is not scheme]
        return self.model_copy(update={"secrets": kept})

    def marked_shown(self) -> Self:
        """With the current symmetric secret marked as shown to its owner."""
        current = self.current(Scheme.SYMMETRIC)
        secrets = [
            one.model_copy(update={"shown": True}) if one is current else one
            for one in self.secrets
        ]
        return self.model_copy(update={"secrets": secrets})

    def signers(self, vault: Vault, at: datetime) -> list[Signer]:
        """The signers of a webhook sent at that time.

        Raises:
            DecryptionFailed: `AUTOS_SECRET_KEY` does not contain the key that encrypted them.
        """
        symmetric = self._open(self.in_force(Scheme.SYMMETRIC, at), vault)
        asymmetric = self._open(self.in_force(Scheme.ASYMMETRIC, at), vault)
        return [*map(SymmetricSigner, symmetric), *map(AsymmetricSigner, asymmetric)]

    def opened(self, vault: Vault, at: datetime) -> list[str]:
        """The symmetric secrets in plain text, newest first; raises like `signers`."""
        return list(self._open(self.in_force(Scheme.SYMMETRIC, at), vault))

    def public_keys(self, vault: Vault, at: datetime) -> list[str]:
        """The `whpk_…` keys a receiver may verify with, newest first; raises like `signers`."""
        pairs = self._open(self.in_force(Scheme.ASYMMETRIC, at), vault)
        return [AsymmetricSigner(private).public_key for private in pairs]

    def _open(self, sealed: Iterable[Secret], vault: Vault) -> Iterable[str]:
        return (vault.open(secret.sealed.encode()) for secret in sealed)


async def secrets_of(session: AsyncSession, api_key_id: uuid.UUID, vault: Vault) -> Secrets:
    """The secrets of an API key; creates and stores a symmetric one if there is none."""
    secrets = Secrets.load(await api_keys.webhook_secrets(session, api_key_id))
    if secrets.current(Scheme.SYMMETRIC) is not None:
        return secrets
    row = await api_keys.lock(session, api_key_id)
    secrets = Secrets.load(row.webhook_secrets)
    # Another transaction may have created one while this one waited for the row's lock.
    if secrets.current(Scheme.SYMMETRIC) is None:
        secrets = secrets.with_new(Scheme.SYMMETRIC, vault, now())
        row.webhook_secrets = secrets.stored()
    return secrets

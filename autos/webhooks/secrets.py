"""The signing secrets of an API key: made, sealed, rotated, opened.

They lie sealed in `api_keys.webhook_secrets`. Every event is signed with all that are in force:
a rotated secret stays so for a day (`OVERLAP_SECONDS`), beside the new one. A symmetric secret is
told once; the private half of a pair is never told at all.

Not promised: that more than the newest few of each kind stay in force when somebody rotates often.
"""

import base64
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from pydantic import BaseModel, Field

from autos.contracts.webhooks import OVERLAP_SECONDS
from autos.vault import Vault
from autos.webhooks.signing import (
    PRIVATE_PREFIX,
    SECRET_PREFIX,
    AsymmetricSigner,
    Signer,
    SymmetricSigner,
)

_RANDOM_BYTES: Final = 32
"""For both kinds: within the 24 to 64 bytes of the specification, and Ed25519's seed."""
_MOST_IN_FORCE: Final = 5
_PREFIXES: Final = {"v1": SECRET_PREFIX, "v1a": PRIVATE_PREFIX}


class Scheme(StrEnum):
    """How a secret signs, by its version in the signature header."""

    SYMMETRIC = "v1"
    ASYMMETRIC = "v1a"


class Secret(BaseModel):
    """One sealed secret."""

    scheme: Scheme
    sealed: str
    created_at: datetime
    expires_at: datetime | None = None
    """When it stops signing; None for the one that is not rotated yet."""
    told: bool = False
    """True once its owner has been shown it."""


class Secrets(BaseModel):
    """All of a key's secrets, newest first. Methods answer with a changed copy."""

    secrets: list[Secret] = Field(default_factory=list)

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Self:
        """Read the column."""
        return cls.model_validate(stored)

    def stored(self) -> dict[str, Any]:
        """What the column holds."""
        return self.model_dump(mode="json")

    def current(self, scheme: Scheme) -> Secret | None:
        """The secret of this scheme that has not been rotated."""
        return next(
            (
                secret
                for secret in self.secrets
                if secret.scheme is scheme and not secret.expires_at
            ),
            None,
        )

    def in_force(self, scheme: Scheme, at: datetime) -> list[Secret]:
        """The secrets of this scheme that sign at that moment, newest first."""
        return [
            secret
            for secret in self.secrets
            if secret.scheme is scheme and (secret.expires_at is None or secret.expires_at > at)
        ][:_MOST_IN_FORCE]

    def with_new(self, scheme: Scheme, vault: Vault, at: datetime) -> Self:
        """With a new secret; the one so far signs on for the overlap, the expired are dropped."""
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
        return self.model_copy(
            update={"secrets": [one for one in self.secrets if one.scheme is not scheme]}
        )

    def told(self) -> Self:
        """With the symmetric secret marked as shown to its owner."""
        shown = self.current(Scheme.SYMMETRIC)
        return self.model_copy(
            update={
                "secrets": [
                    one.model_copy(update={"told": True}) if one is shown else one
                    for one in self.secrets
                ]
            }
        )

    def signers(self, vault: Vault, at: datetime) -> list[Signer]:
        """What signs a webhook at that moment.

        Raises:
            SealBroken: `AUTOS_SECRET_KEY` is another than when they were sealed.
        """
        symmetric = self._open(self.in_force(Scheme.SYMMETRIC, at), vault)
        asymmetric = self._open(self.in_force(Scheme.ASYMMETRIC, at), vault)
        return [*map(SymmetricSigner, symmetric), *map(AsymmetricSigner, asymmetric)]

    def opened(self, vault: Vault, at: datetime) -> list[str]:
        """The symmetric secrets themselves, newest first; raises as `signers` does."""
        return list(self._open(self.in_force(Scheme.SYMMETRIC, at), vault))

    def public_keys(self, vault: Vault, at: datetime) -> list[str]:
        """The `whpk_…` keys a receiver may verify with, newest first; raises as `signers` does."""
        pairs = self._open(self.in_force(Scheme.ASYMMETRIC, at), vault)
        return [AsymmetricSigner(private).public_key for private in pairs]

    def _open(self, sealed: Iterable[Secret], vault: Vault) -> Iterable[str]:
        return (vault.open(secret.sealed.encode()) for secret in sealed)

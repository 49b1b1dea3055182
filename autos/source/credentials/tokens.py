"""The credential as a value, the form of a token, and the protocol of the credential's store.

Tokens come from a person's login or a refresh. Of a JWT only `exp` is read; the source checks the
signature (docs/source.md#tokens).
"""

import base64
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from autos.settings import Settings

_SENDABLE: Final = re.compile(r"[!-~]+")


class UnusableToken(ValueError):
    """The text cannot be sent in an `Authorization` header; the message does not contain it."""


def read_token(text: str) -> str:
    """Strip white space around a token, and check that a header can carry it.

    Raises:
        UnusableToken: it is empty, or cannot be sent.
    """
    token = text.strip()
    if not token:
        raise UnusableToken("the token is empty")
    if not _SENDABLE.fullmatch(token):
        raise UnusableToken(
            "the token holds white space, a control character or a letter outside ASCII: "
            "give the token alone, without `Bearer` and without line breaks"
        )
    return token


@dataclass(frozen=True, slots=True)
class Credential:
    """An access token and the refresh token for the next one. Its `repr` shows no secret."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    claimed_until: datetime | None = None
    """A process refreshes it, and holds the claim until this time."""
    after_refusal: bool = field(default=False, compare=False)
    """The previous token was refused, and the source has not accepted this one yet."""
    refused_since: datetime | None = field(default=None, compare=False)
    """Time of the source's first refusal, as stored; None while it is accepted."""

    @classmethod
    def of(cls, settings: Settings) -> "Credential | None":
        """The tokens of `AUTOS_PDPJ_TOKEN` and `AUTOS_PDPJ_REFRESH_TOKEN`, if there is one.

        A token that cannot be sent is kept: `Credentials` logs it when it is used.
        """
        token = settings.pdpj_token.get_secret_value().strip()
        refresh_token = settings.pdpj_refresh_token.get_secret_value().strip()
        return cls(token, refresh_token or None) if token or refresh_token else None

    @property
    def is_sendable(self) -> bool:
        """True if a header can carry the access token."""
        return _SENDABLE.fullmatch(self.access_token) is not None

    @property
    def expires_at(self) -> datetime | None:
        """The token's `exp`, unverified; None for an opaque token."""
        try:
            payload = self.access_token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            return datetime.fromtimestamp(claims["exp"], UTC)
        except (LookupError, TypeError, ValueError, OverflowError, OSError, RecursionError):
            return None


class CredentialStore(Protocol):
    """Where the credential is kept, shared by all processes."""

    async def load(self) -> Credential | None:
        """Return the current credential, if one is set."""
        ...

    async def replace(self, old: Credential, new: Credential) -> bool:
        """Replace `old` by `new`, durably; False, and no change, if `old` is not present."""
        ...

    async def note(self, token: str, *, refused: bool) -> None:
        """Record that the source refuses this access token, or accepts it again.

        Nothing changes if another one is set. The time of the first refusal is kept.
        """
        ...

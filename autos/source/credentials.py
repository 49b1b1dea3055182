"""The token the source is asked with: held, refreshed in time, never shown.

Tokens are inputs (facts/pdpj-api.md §4.1): this module never logs in. It refreshes about five
minutes before the token's own end (`exp`; a life of 8 h is never assumed) and after a refusal, by
one refresher at a time. Refresh tokens rotate (§4.3), so a new one is stored before it is used,
and a refused one (`invalid_grant`) is dropped: repeated attempts can lock the account.

Over several processes the store's compare-and-replace decides: a refresher first stores a claim
that runs out by itself, so that its death costs nothing but the claim's time. Nothing here logs;
no error carries a token or a claim of one.
"""

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import httpx2

from autos.settings import Settings

REFRESH_BEFORE: Final = timedelta(minutes=5)
CLAIM_TIME: Final = timedelta(seconds=30)
"""The longest a refresh takes; afterwards another process may try."""
HELD_FOR: Final = timedelta(seconds=15)
"""After this time the store is asked whether someone has set another credential."""
REFUSED_FOR: Final = timedelta(seconds=10)
"""A refused token is not shown to the source for this long; then one asks whether it still is. A
source that refuses everybody for a moment must not keep every job waiting for a person."""
_CLAIM_POLL_SECONDS: Final = 0.25


class CredentialRefused(Exception):
    """There is no credential that the source accepts, and none to be had without a person."""


@dataclass(frozen=True, slots=True)
class Credential:
    """An access token, and what it takes to get the next one. Its `repr` shows no secret."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    claimed_until: datetime | None = None
    """Somebody is refreshing it and has said so until this moment."""

    @property
    def expires_at(self) -> datetime | None:
        """The end the token itself gives (`exp`, unverified); None for an opaque token."""
        try:
            payload = self.access_token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            return datetime.fromtimestamp(claims["exp"], UTC)
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError):
            return None


class CredentialStore(Protocol):
    """Where the credential is kept, shared by all processes."""

    async def load(self) -> Credential | None:
        """The present credential, if one is set."""
        ...

    async def replace(self, old: Credential, new: Credential) -> bool:
        """Put `new` in place of `old`, durably; False, and no change, if `old` is not there."""
        ...


class StaticCredentialStore:
    """The credential of the settings, kept in this process only."""

    def __init__(self, credential: Credential | None) -> None:
        self._credential = credential

    @classmethod
    def of(cls, settings: Settings) -> "StaticCredentialStore":
        """What `AUTOS_PDPJ_TOKEN` and `AUTOS_PDPJ_REFRESH_TOKEN` say."""
        token = settings.pdpj_token.get_secret_value()
        refresh_token = settings.pdpj_refresh_token.get_secret_value()
        return cls(Credential(token, refresh_token or None) if token or refresh_token else None)

    async def load(self) -> Credential | None:
        """The present credential."""
        return self._credential

    async def replace(self, old: Credential, new: Credential) -> bool:
        """Compare and replace."""
        if self._credential != old:
            return False
        self._credential = new
        return True


class Credentials:
    """Hands out the token to ask with. One per process."""

    def __init__(
        self,
        store: CredentialStore,
        http: httpx2.AsyncClient,
        settings: Settings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._http = http
        self._token_url = settings.pdpj_token_url
        self._client_id = settings.pdpj_client_id
        self._now = now
        self._lock = asyncio.Lock()
        self._held: Credential | None = None
        self._good_until = datetime.min.replace(tzinfo=UTC)
        self._no_refresh_before = self._good_until
        self._refreshing: asyncio.Task[Credential | None] | None = None
        self._refused_token: str | None = None
        self._refused_until = self._good_until

    async def token(self) -> str:
        """The access token to ask with, refreshed where that is due.

        Raises:
            CredentialRefused: there is none, or it is at its end and cannot be refreshed.
        """
        if self._held is not None and self._now() < self._good_until:
            return self._held.access_token
        async with self._lock:
            if self._held is None or self._now() >= self._good_until:
                await self._renew()
            if self._held is None:
                raise CredentialRefused(
                    "The source needs a credential that works: set one with "
                    "PUT /api/v1/credentials/pdpj or AUTOS_PDPJ_TOKEN."
                )
            return self._held.access_token

    async def refused(self, token: str) -> bool:
        """The source did not accept `token`. True if there is now another one to ask with."""
        async with self._lock:
            if self._held is not None and self._held.access_token == token:
                self._held = None
                self._refused_token = token
                self._refused_until = self._now() + REFUSED_FOR
        try:
            return await self.token() != token
        except CredentialRefused:
            return False

    async def _renew(self) -> None:
        """Load, refresh if due, and hold the result with the time it may be held for."""
        self._held = None
        credential = await self._store.load()
        if credential is not None and self._is_due(credential):
            # A caller may be cancelled at any moment; a rotated token must be stored all the same.
            self._refreshing = asyncio.create_task(self._refresh(credential))
            credential = await asyncio.shield(self._refreshing)
        if credential is None or not self._is_usable(credential):
            return
        self._held = credential
        self._good_until = self._now() + HELD_FOR
        if credential.expires_at is not None:
            self._good_until = min(self._good_until, credential.expires_at)

    def _is_usable(self, credential: Credential) -> bool:
        refused = credential.access_token == self._refused_token
        if not credential.access_token or (refused and self._now() < self._refused_until):
            return False
        return credential.expires_at is None or credential.expires_at > self._now()

    def _is_due(self, credential: Credential) -> bool:
        if not credential.refresh_token or not self._token_url:
            return False
        if self._now() < self._no_refresh_before:
            return False
        if not self._is_usable(credential):
            return True
        return credential.expires_at is not None and (
            credential.expires_at - self._now() <= REFRESH_BEFORE
        )

    async def _refresh(self, credential: Credential) -> Credential | None:
        """The next credential, or the best there is if it cannot be had now."""
        while credential.claimed_until is not None and credential.claimed_until > self._now():
            if self._is_usable(credential):
                return credential
            await asyncio.sleep(_CLAIM_POLL_SECONDS)
            loaded = await self._store.load()
            if loaded is None or not self._is_due(loaded):
                return loaded
            credential = loaded
        claimed = replace(credential, claimed_until=self._now() + CLAIM_TIME)
        if not await self._store.replace(credential, claimed):
            return await self._store.load()
        following = await self._ask_for_next(claimed)
        if following.access_token == claimed.access_token:
            self._no_refresh_before = self._now() + HELD_FOR
        if await self._store.replace(claimed, following):
            return following
        return await self._store.load()

    async def _ask_for_next(self, claimed: Credential) -> Credential:
        released = replace(claimed, claimed_until=None)
        try:
            reply = await self._http.post(
                self._token_url,
                data={
                    "grant_type": "refresh_token",
                    "client_id": self._client_id,
                    "refresh_token": claimed.refresh_token or "",
                },
                timeout=CLAIM_TIME.total_seconds() / 2,
            )
            answer = reply.json()
        except (httpx2.RequestError, ValueError):
            return released
        if not isinstance(answer, dict):
            return released
        if answer.get("error") == "invalid_grant":
            return replace(released, refresh_token=None)
        token, refresh_token = answer.get("access_token"), answer.get("refresh_token")
        if reply.status_code != 200 or not isinstance(token, str) or not token:
            return released
        rotated = refresh_token if isinstance(refresh_token, str) and refresh_token else None
        return Credential(token, rotated or claimed.refresh_token)

"""The token the source is asked with: held, refreshed in time, never shown.

Tokens are inputs: this module never logs in. It refreshes about five minutes before the token's
own end (a life of 8 h is never assumed), and once after the source has refused it, by one refresher
at a time. Refresh tokens rotate, so a new one is stored before it is used, and a refused one
(`invalid_grant`) is dropped: repeated attempts can lock the account. For the same reason a token
that came by a refresh after a refusal, and is refused as well, is not refreshed for that again.

Over several processes the store's compare-and-replace decides: a refresher first stores a claim
that runs out by itself, so that its death costs nothing but the claim's time. Whether a refusal
meant the token at all is not decided here (`autos.source.credentials.trust`). No error and no
line of the log carries a token or a claim of one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx2
import structlog

from autos.settings import Settings
from autos.source.credentials.refresh import Refresher
from autos.source.credentials.tokens import Credential, CredentialStore

log = structlog.get_logger(__name__)

REFRESH_BEFORE: Final = timedelta(minutes=5)
CLAIM_TIME: Final = timedelta(seconds=30)
"""The longest a refresh takes; afterwards another process may try."""
HELD_FOR: Final = timedelta(seconds=15)
"""After this time the store is asked whether someone has set another credential."""
REFUSED_FOR: Final = timedelta(seconds=10)
"""A refused token is not shown to the source for this long; then one request asks whether it still
is. A source that refuses everybody for a moment must not keep every job waiting for a person."""
URGENT_AFTER: Final = timedelta(seconds=1)
"""The same for a request that somebody has asked for."""
_CLAIM_POLL_SECONDS: Final = 0.25
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


class CredentialRefused(Exception):
    """There is no credential to ask with, and none to be had without a person."""


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
        self._refresher = Refresher(http, settings.pdpj_token_url, settings.pdpj_client_id)
        self._now = now
        self._lock = asyncio.Lock()
        self._held: Credential | None = None
        self._good_until = _LONG_AGO
        self._no_refresh_before = _LONG_AGO
        self._refreshing: asyncio.Task[Credential | None] | None = None
        self._refused: str | None = None
        self._is_noted = False
        self._looked_at = _LONG_AGO
        self._unusable: str | None = None

    async def token(self) -> str:
        """The access token to ask with, refreshed where that is due.

        It may be one that the source refuses (`is_refused`): then the store is read each time,
        since somebody may have set another.

        Raises:
            CredentialRefused: there is none, or it is at its end and cannot be refreshed.
        """
        if self._held is not None and self._now() < self._good_until:
            return self._held.access_token
        async with self._lock:
            credential = self._held
            if credential is None or self._now() >= self._good_until:
                credential = await self._renew()
            if credential is None:
                raise CredentialRefused(
                    "The source needs a credential that works: set one with "
                    "PUT /api/v1/credentials/pdpj or AUTOS_PDPJ_TOKEN."
                )
            return credential.access_token

    def is_refused(self, token: str) -> bool:
        """True while the source is known to refuse this token."""
        return token == self._refused

    def claim_look(self, *, urgent: bool) -> bool:
        """True for the one who may now ask whether the refused token still is."""
        pause = URGENT_AFTER if urgent else REFUSED_FOR
        if self._now() < self._looked_at + pause:
            return False
        self._looked_at = self._now()
        return True

    async def accepted(self, token: str) -> None:
        """The source took the token: a refusal, of whatever process, is over."""
        held, recovered = self._held, self.is_refused(token)
        if recovered:
            self._refused = None
            log.info("credential_accepted_again")
        if held is not None and held.access_token == token and _in_doubt(held):
            self._held = replace(held, after_refusal=False, refused_since=None)
            recovered = True
        if recovered:
            await self._store.note(token, refused=False)

    async def refused(self, token: str) -> bool:
        """The source does not accept `token`. True if there is now another one to ask with."""
        async with self._lock:
            if self._held is None or self._held.access_token == token:
                self._held = None
                self._looked_at = self._now()
                known = self.is_refused(token)
                self._refused = token
                if not known:
                    log.warning("credential_refused", advice="set a new one if this does not pass")
                if not known or not self._is_noted:
                    await self._store.note(token, refused=True)
                    self._is_noted = True
        try:
            return await self.token() != token
        except CredentialRefused:
            return False

    async def _renew(self) -> Credential | None:
        """Load, refresh if due, and hold the result with the time it may be held for."""
        self._held = None
        credential = await self._store.load()
        if credential is not None and self._is_due(credential):
            # A caller may be cancelled at any moment; a rotated token must be stored all the same.
            self._refreshing = asyncio.create_task(self._refresh(credential))
            credential = await asyncio.shield(self._refreshing)
        if credential is None or not self._is_alive(credential):
            return None
        # The same token may have been set anew, which takes the note of its refusal away.
        self._is_noted = credential.refused_since is not None
        if not self.is_refused(credential.access_token):
            self._held = credential
            self._good_until = self._now() + HELD_FOR
            if credential.expires_at is not None:
                self._good_until = min(self._good_until, credential.expires_at)
        return credential

    def _is_alive(self, credential: Credential) -> bool:
        if not credential.access_token:
            return False
        if not credential.is_sendable:
            if self._unusable != credential.access_token:
                self._unusable = credential.access_token
                log.error(
                    "credential_unusable",
                    reason="the token holds white space, a control character or a letter outside "
                    "ASCII, so no request can carry it",
                    advice="set it anew: PUT /api/v1/credentials/pdpj or AUTOS_PDPJ_TOKEN",
                )
            return False
        return credential.expires_at is None or credential.expires_at > self._now()

    def _works(self, credential: Credential) -> bool:
        return self._is_alive(credential) and not self.is_refused(credential.access_token)

    def _is_due(self, credential: Credential) -> bool:
        if not self._refresher.can_refresh(credential) or self._now() < self._no_refresh_before:
            return False
        if not self._is_alive(credential):
            return True
        if self.is_refused(credential.access_token) and not credential.after_refusal:
            return True
        return credential.expires_at is not None and (
            credential.expires_at - self._now() <= REFRESH_BEFORE
        )

    async def _refresh(self, credential: Credential) -> Credential | None:
        """The next credential, or the best there is if it cannot be had now."""
        while credential.claimed_until is not None and credential.claimed_until > self._now():
            if self._works(credential):
                return credential
            await asyncio.sleep(_CLAIM_POLL_SECONDS)
            loaded = await self._store.load()
            if loaded is None or not self._is_due(loaded):
                return loaded
            credential = loaded
        claimed = replace(credential, claimed_until=self._now() + CLAIM_TIME)
        if not await self._store.replace(credential, claimed):
            return await self._store.load()
        following = await self._refresher.next_of(claimed, CLAIM_TIME / 2)
        following = replace(
            following,
            claimed_until=None,
            after_refusal=claimed.after_refusal or self.is_refused(claimed.access_token),
        )
        if following.access_token == claimed.access_token:
            self._no_refresh_before = self._now() + HELD_FOR
            following = replace(following, after_refusal=claimed.after_refusal)
        if await self._store.replace(claimed, following):
            return following
        return await self._store.load()


def _in_doubt(credential: Credential) -> bool:
    return credential.after_refusal or credential.refused_since is not None

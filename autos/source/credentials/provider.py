"""Provides the access token for requests, and refreshes it before it expires.

Tokens are inputs: this module never logs in. It refreshes five minutes before the token's `exp`
(docs/source.md#tokens), and once after the source has refused the token. Refresh tokens rotate, so
a new one is stored before it is used, and one that is refused (`invalid_grant`) is dropped:
repeated attempts can lock the account. For the same reason, a token from a refresh after a refusal
that is refused as well is not refreshed again for that.

Over several processes the store's compare-and-replace decides who refreshes: the refresher first
stores a claim, which expires, so a crash delays the refresh by no more than the claim's lifetime.
No error and no log line carries a token or a claim of one.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import aiohttp
import structlog

from autos.settings import Settings
from autos.source.credentials.tokens import Credential, CredentialStore, read_token

log = structlog.get_logger(__name__)

REFRESH_BEFORE: Final = timedelta(minutes=5)
CLAIM_TIME: Final = timedelta(seconds=30)
"""The longest a refresh takes; afterwards another process may try."""
HELD_FOR: Final = timedelta(seconds=15)
"""After this time the store is read again: another credential may have been set."""
REFUSED_FOR: Final = timedelta(seconds=10)
"""A refused token is not sent for this long; then one request probes whether it still is refused.
After a short failure of the source, jobs must not wait for a person."""
URGENT_AFTER: Final = timedelta(seconds=1)
"""The same for an urgent request."""
_CLAIM_POLL_SECONDS: Final = 0.25
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_MAX_REPLY_BYTES: Final = 1024 * 1024
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
_NO_REPLY: Final = (
    aiohttp.ClientError,
    OSError,
    ValueError,
    RecursionError,
)
"""Errors of a request to the token endpoint and of its reply (`UnusableToken` too)."""


class CredentialRefused(Exception):
    """There is no usable credential; a person must set one."""


class Credentials:
    """Provides the access token. One per OS process.

    Args:
        store: stores the credential.
        http: shared, not closed.
        settings: the token endpoint, and the public client that tokens are issued to.
        now: the clock, in UTC.
    """

    def __init__(
        self,
        store: CredentialStore,
        http: aiohttp.ClientSession,
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
        self._good_until = _LONG_AGO
        self._no_refresh_before = _LONG_AGO
        self._refreshing: asyncio.Task[Credential | None] | None = None
        self._refused: str | None = None
        self._is_refusal_stored = False
        self._probed_at = _LONG_AGO
        self._unusable: str | None = None

    async def token(self) -> str:
        """The access token, refreshed if that is due.

        It may be refused by the source (`is_refused`); then the store is read each time, since
        another token may have been set.

        Raises:
            CredentialRefused: there is none, or it has expired and cannot be refreshed.
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

    def claim_probe(self, *, urgent: bool) -> bool:
        """True for the one caller who may now probe whether the token still is refused."""
        pause = URGENT_AFTER if urgent else REFUSED_FOR
        if self._now() < self._probed_at + pause:
            return False
        self._probed_at = self._now()
        return True

    async def accepted(self, token: str) -> None:
        """Record that the source accepts the token; ends a recorded refusal."""
        held, recovered = self._held, self.is_refused(token)
        if recovered:
            self._refused = None
            log.info("credential_accepted_again")
        in_doubt = held is not None and (held.after_refusal or held.refused_since is not None)
        if held is not None and held.access_token == token and in_doubt:
            self._held = replace(held, after_refusal=False, refused_since=None)
            recovered = True
        if recovered:
            await self._store.note(token, refused=False)

    async def refused(self, token: str) -> bool:
        """Record that the source refuses the token; return True if there is another one now."""
        async with self._lock:
            if self._held is None or self._held.access_token == token:
                self._held = None
                self._probed_at = self._now()
                known = self.is_refused(token)
                self._refused = token
                if not known:
                    log.warning("credential_refused", advice="set a new one if this does not pass")
                if not known or not self._is_refusal_stored:
                    await self._store.note(token, refused=True)
                    self._is_refusal_stored = True
        try:
            return await self.token() != token
        except CredentialRefused:
            return False

    async def _renew(self) -> Credential | None:
        """Load, refresh if due, and hold the result; None if it cannot be sent or has expired."""
        self._held = None
        credential = await self._store.load()
        if credential is not None and self._is_due(credential):
            # Even if the caller is cancelled, a rotated token must be stored.
            self._refreshing = asyncio.create_task(self._refresh(credential))
            credential = await asyncio.shield(self._refreshing)
        if credential is None or not self._is_alive(credential):
            return None
        # The same token may have been set again, which removes the stored refusal.
        self._is_refusal_stored = credential.refused_since is not None
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

    def _is_due(self, credential: Credential) -> bool:
        can_refresh = credential.refresh_token and self._token_url
        if not can_refresh or self._now() < self._no_refresh_before:
            return False
        if not self._is_alive(credential):
            return True
        if self.is_refused(credential.access_token) and not credential.after_refusal:
            return True
        return credential.expires_at is not None and (
            credential.expires_at - self._now() <= REFRESH_BEFORE
        )

    async def _refresh(self, credential: Credential) -> Credential | None:
        """Refresh under an exclusive claim; return the best available credential if that fails."""
        while credential.claimed_until is not None and credential.claimed_until > self._now():
            if self._is_alive(credential) and not self.is_refused(credential.access_token):
                return credential
            await asyncio.sleep(_CLAIM_POLL_SECONDS)
            loaded = await self._store.load()
            if loaded is None or not self._is_due(loaded):
                return loaded
            credential = loaded
        claimed = replace(credential, claimed_until=self._now() + CLAIM_TIME)
        if not await self._store.replace(credential, claimed):
            return await self._store.load()
        following = await self._next_of(claimed)
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

    async def _next_of(self, credential: Credential) -> Credential:
        """Request the next credential from the token endpoint; return the given one on failure.

        A refresh token that the endpoint refuses for good is dropped.
        """
        try:
            async with asyncio.timeout(CLAIM_TIME.total_seconds() / 2):
                status, answer = await self._request_token(credential.refresh_token or "")
            if not isinstance(answer, dict):
                return credential
            if answer.get("error") == "invalid_grant":
                return replace(credential, refresh_token=None)
            token = read_token(str(answer.get("access_token") or ""))
        except _NO_REPLY:
            return credential
        if status != 200:
            return credential
        rotated = answer.get("refresh_token")
        return replace(
            credential,
            access_token=token,
            refresh_token=(rotated if isinstance(rotated, str) else "") or credential.refresh_token,
        )

    async def _request_token(self, refresh_token: str) -> tuple[int, object]:
        body = bytearray()
        form = {
            "grant_type": "refresh_token",
            "client_id": self._client_id,
            "refresh_token": refresh_token,
        }
        async with self._http.post(
            self._token_url, data=form, headers=_HEADERS, allow_redirects=False
        ) as reply:
            async for chunk in reply.content.iter_any():
                body += chunk
                if len(body) > _MAX_REPLY_BYTES:
                    raise ValueError("The token endpoint's reply is too large.")
        return reply.status, json.loads(body)

"""The access keys that sign requests to S3: from the settings, else from boto3's provider chain.

The chain (environment, shared files, the role of a container or an instance) may call the network,
so it runs in a thread, and again before temporary keys expire. Signing never waits for it. A link
does not outlive the temporary keys that signed it.
"""

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

import boto3
import structlog
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError

from autos.settings import Settings
from autos.store.errors import StoreUnavailable

log = structlog.get_logger(__name__)

_LOOKUP_TIMEOUT_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 5.0
"""Delay between two lookups while the chain finds nothing."""
_MAX_CONNECTIONS: Final = 10
"""Time-outs of the boto3 client, which does not transfer documents."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key of S3."""

    id: str
    secret: str
    token: str | None = None
    """The session token of a temporary key."""


class AccessKeyProvider:
    """Holds the current access key of this process.

    Args:
        settings: `s3_access_key_id` and `s3_secret_access_key`; if empty, boto3's chain is used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: Any = boto3.Session(
            aws_access_key_id=settings.s3_access_key_id or None,
            aws_secret_access_key=settings.s3_secret_access_key.get_secret_value() or None,
            region_name=settings.s3_region,
        )
        # A session may be used by one thread at a time.
        self._lock = threading.Lock()
        self._credentials: Any = None
        self._key: AccessKey | None = None
        if settings.s3_access_key_id:
            self._look_up()
        self._lookup: asyncio.Task[None] | None = None
        self._lookup_at = -_RETRY_SECONDS

    def current(self) -> AccessKey:
        """Return the current key without waiting; start a lookup in the background when one is due.

        Raises:
            StoreUnavailable: no key was found yet, or it has expired.
        """
        if self._is_due():
            self._start_lookup()
        if self._key is None or self._expires_within(0):
            raise self._no_keys()
        return self._key

    async def wait(self) -> AccessKey:
        """Return the key, after a lookup if one is due (at most 10 s); raises like `current`."""
        if self._is_due() and (lookup := self._start_lookup()) is not None:
            await asyncio.wait([lookup], timeout=_LOOKUP_TIMEOUT_SECONDS)
        return self.current()

    def open_client(self) -> Any:
        """A boto3 client with these keys. Call this in a thread, as it may use the network.

        Raises:
            StoreUnavailable: there are no keys.
        """
        options = client_options(
            self._settings,
            self._settings.s3_endpoint,
            signature_version="s3v4",
            # Compatible stores reject the checksums that boto3 adds by default.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=_MAX_CONNECTIONS,
            connect_timeout=10,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 3},
        )
        with self._lock:
            if self._session.get_credentials() is None:
                raise self._no_keys()
            return self._session.client("s3", **options)

    def _is_due(self) -> bool:
        if self._key is None:
            return True
        # True from 15 minutes before temporary keys expire.
        return (
            isinstance(self._credentials, RefreshableCredentials)
            and self._credentials.refresh_needed()
        )

    def _expires_within(self, seconds: int) -> bool:
        return isinstance(
            self._credentials, RefreshableCredentials
        ) and self._credentials.refresh_needed(refresh_in=seconds)

    def _no_keys(self) -> StoreUnavailable:
        return StoreUnavailable(
            "There are no access keys: set AUTOS_S3_ACCESS_KEY_ID and AUTOS_S3_SECRET_ACCESS_KEY, "
            "or give this machine a role",
            self._settings.s3_bucket,
            "",
        )

    def _start_lookup(self) -> asyncio.Task[None] | None:
        """The lookup under way; None if the last one ended less than `_RETRY_SECONDS` ago."""
        if self._lookup is not None and not self._lookup.done():
            return self._lookup
        if time.monotonic() - self._lookup_at < _RETRY_SECONDS:
            return None
        self._lookup_at = time.monotonic()
        self._lookup = asyncio.get_running_loop().create_task(self._look_up_in_thread())
        return self._lookup

    async def _look_up_in_thread(self) -> None:
        try:
            await asyncio.to_thread(self._look_up)
        except (BotoCoreError, RuntimeError, OSError) as error:
            # botocore raises RuntimeError when refreshed keys have expired already.
            log.warning("store_keys_not_found", error=type(error).__name__)

    def _look_up(self) -> None:
        with self._lock:
            credentials = self._session.get_credentials()
            if credentials is None:
                return
            frozen = credentials.get_frozen_credentials()
        self._credentials = credentials
        self._key = AccessKey(frozen.access_key, frozen.secret_key, frozen.token)


def client_options(settings: Settings, endpoint: str, **config: Any) -> dict[str, Any]:
    """boto3 client options: path style at an endpoint, host style at AWS (empty endpoint)."""
    # AWS redirects requests to new buckets unless the host name contains the region.
    address = endpoint or f"https://s3.{settings.s3_region}.amazonaws.com"
    style = "path" if endpoint else "virtual"
    return {
        "endpoint_url": address,
        "region_name": settings.s3_region,
        "config": Config(s3={"addressing_style": style}, **config),
    }

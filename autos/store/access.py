"""The store's access keys: those of the settings, else those that boto3's own chain finds.

The chain (environment, shared files, the role of a container or an instance) may ask the network,
so it is asked in a thread, and asked again before the keys it gave end. Signing never waits for it.
Not promised: that a link outlives the temporary keys it was signed with.
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

_PATIENCE_SECONDS: Final = 10.0
"""For the chain's answer."""
_PAUSE_SECONDS: Final = 5.0
"""Between two questions to a chain that has no answer."""
_CONTROL_CONNECTIONS: Final = 10


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs a request."""

    id: str
    secret: str
    token: str | None = None
    """Of temporary keys."""


class Access:
    """The access keys of one process.

    Args:
        settings: `s3_access_key_id` and `s3_secret_access_key`; empty ones leave it to the chain.
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
        self._source: Any = None
        self._keys: Keys | None = None
        if settings.s3_access_key_id:
            self._look()
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = -_PAUSE_SECONDS

    def held(self) -> Keys:
        """The keys as they are, at once; new ones are asked for in good time.

        Raises:
            StoreUnavailable: none have been found yet, or they have ended.
        """
        if self._is_due():
            self._ask()
        if self._keys is None or self._ends_within(0):
            raise self._none_held()
        return self._keys

    async def fresh(self) -> Keys:
        """The keys; waits for them where none are held. Raises as `held`."""
        if self._is_due() and (asking := self._ask()) is not None:
            await asyncio.wait([asking], timeout=_PATIENCE_SECONDS)
        return self.held()

    def open_client(self) -> Any:
        """A boto3 client with these keys. It may ask the network, so call it in a thread.

        Raises:
            StoreUnavailable: there are no keys.
        """
        options = client_options(
            self._settings,
            self._settings.s3_endpoint,
            signature_version="s3v4",
            # Compatible stores trip over the checksums that boto3 adds by itself.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=_CONTROL_CONNECTIONS,
            connect_timeout=10,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 3},
        )
        with self._lock:
            if self._session.get_credentials() is None:
                raise self._none_held()
            return self._session.client("s3", **options)

    def _is_due(self) -> bool:
        if self._keys is None:
            return True
        # Temporary keys say so a quarter of an hour before they end.
        return isinstance(self._source, RefreshableCredentials) and self._source.refresh_needed()

    def _ends_within(self, seconds: int) -> bool:
        return isinstance(self._source, RefreshableCredentials) and self._source.refresh_needed(
            refresh_in=seconds
        )

    def _none_held(self) -> StoreUnavailable:
        return StoreUnavailable(
            "There are no access keys: set AUTOS_S3_ACCESS_KEY_ID and AUTOS_S3_SECRET_ACCESS_KEY, "
            "or give this machine a role",
            self._settings.s3_bucket,
            "",
        )

    def _ask(self) -> asyncio.Task[None] | None:
        """The question that is under way; None when the last one was just now."""
        if self._asking is not None and not self._asking.done():
            return self._asking
        if time.monotonic() - self._asked_at < _PAUSE_SECONDS:
            return None
        self._asked_at = time.monotonic()
        self._asking = asyncio.get_running_loop().create_task(self._ask_in_a_thread())
        return self._asking

    async def _ask_in_a_thread(self) -> None:
        try:
            await asyncio.to_thread(self._look)
        except (BotoCoreError, RuntimeError, OSError) as error:
            # botocore says by a RuntimeError that renewed keys have ended already.
            log.warning("store_keys_not_found", error=type(error).__name__)

    def _look(self) -> None:
        with self._lock:
            source = self._session.get_credentials()
            if source is None:
                return
            frozen = source.get_frozen_credentials()
        self._source = source
        self._keys = Keys(frozen.access_key, frozen.secret_key, frozen.token)


def client_options(settings: Settings, endpoint: str, **config: Any) -> dict[str, Any]:
    """How boto3 finds the bucket: by path at an endpoint, by host name at AWS (an empty one)."""
    # Without a region in the host name AWS answers requests to young buckets with a redirect.
    address = endpoint or f"https://s3.{settings.s3_region}.amazonaws.com"
    style = "path" if endpoint else "virtual"
    return {
        "endpoint_url": address,
        "region_name": settings.s3_region,
        "config": Config(s3={"addressing_style": style}, **config),
    }

"""The object store: puts, gets and heads objects, and makes links to them.

The async HTTP client sends the bytes to presigned URLs, with a known length and without a second
copy. When an object counts as stored depends on the store (measured):

- AWS checks `x-amz-checksum-sha256`, refuses other bytes, and returns the checksum. It honours
  `If-None-Match: *` (412 if the key exists).
- `rclone serve s3` honours neither: it overwrites, and keeps the checksum as plain metadata. moto
  honours the condition, not the checksum. Both return the MD5 of the received bytes as the ETag,
  which is compared with the MD5 of the sent bytes.
- If a store returns neither, the size of the object is read back.
"""

import asyncio
import base64
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp
from aiohttp import ClientResponse, ClientTimeout
from yarl import URL

from autos.settings import Settings
from autos.store.bucket import Bucket
from autos.store.errors import (
    ObjectMissing,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from autos.store.links import LinkCache
from autos.store.object_keys import PROBE_KEY
from autos.store.signing import SIGNED_FOR_SECONDS, UrlSigner

_TRIES: Final = 3
_PAUSE_SECONDS: Final = 0.2
_MAX_GET_BYTES: Final = 64 * 1024 * 1024
_CONNECT_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 60.0
"""Maximum wait for a free connection, for a piece to be sent, and for the reply."""
_TIMEOUT: Final = ClientTimeout(
    connect=_CONNECT_SECONDS + _IDLE_SECONDS,
    sock_connect=_CONNECT_SECONDS,
    sock_read=_IDLE_SECONDS,
)
_FAILED: Final = (aiohttp.ClientError, OSError)
"""What the HTTP client raises when there is no reply, `TimeoutError` included."""
_MD5: Final = re.compile(r'"?([0-9a-f]{32})"?', re.ASCII)
_PROBE: Final = b"ok"


class Readable(Protocol):
    """Bytes that can be read several times."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The same bytes, from the start at every call."""
        ...


class Body(Readable, Protocol):
    """Bytes of a known size, such as a spooled document."""

    @property
    def size(self) -> int:
        """Bytes in total."""
        ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The metadata that the store reports for an object."""

    size: int
    sha256: str | None
    """Base64, if the store keeps it. Only AWS has checked it against the bytes."""


@dataclass(frozen=True, slots=True)
class _Bytes:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    async def pieces(self) -> AsyncIterator[bytes]:
        yield self.data


@dataclass(frozen=True, slots=True)
class _Measured:
    size: int
    body: Readable

    def pieces(self) -> AsyncIterator[bytes]:
        return self.body.pieces()


class _Upload:
    """Sends a body: each piece, and then the reply, must come within `_IDLE_SECONDS`.

    The HTTP client has no time-out for sending, and turns an error of reading the body into one of
    the connection.
    """

    def __init__(self, body: Readable, bound: asyncio.Timeout) -> None:
        self._body = body
        self._bound = bound
        self._clock = asyncio.get_running_loop().time
        self.failure: Exception | None = None
        """The error that reading the body raised."""

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body."""
        try:
            async for piece in self._body.pieces():
                self._bound.reschedule(self._clock() + _IDLE_SECONDS)
                yield piece
        except Exception as error:
            self.failure = error
            raise
        self._bound.reschedule(self._clock() + _IDLE_SECONDS)


class Store(Bucket):
    """The objects of one bucket. Open one per process; `http` is shared and not closed here.

    Args:
        settings: endpoint, bucket, access keys, region, `link_ttl`.
        http: sends the requests; `autos.source.open_http` makes a suitable one.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        http: aiohttp.ClientSession,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(settings)
        self._http = http
        self._now = now
        self._signer = UrlSigner(settings, self._access_keys, settings.s3_endpoint)
        public = settings.s3_public_endpoint
        for_links = UrlSigner(settings, self._access_keys, public) if public else self._signer
        self._links = LinkCache(for_links, settings.link_ttl, now)

    async def open(self) -> None:
        """Look up the access keys before the first request; a failed lookup is retried later."""
        with contextlib.suppress(StoreUnavailable):
            await self._access_keys.wait()

    async def put(self, key: str, body: Body, sha256: str, content_type: str) -> bool:
        """Store a document under its content-addressed key, verified.

        Args:
            key: from `document_key`; an existing object is not overwritten.
            body: read from the start in every try.
            sha256: of the body, hexadecimal.
            content_type: stored with the object.

        Returns:
            True if it was written, False if the store already had it.

        Raises:
            StoreUnavailable: three tries failed.
            StoreRefused: bucket, access keys or rights are wrong.
        """
        return await self._put(key, body, bytes.fromhex(sha256), content_type, overwrite=False)

    async def put_json(self, key: str, data: bytes | Readable) -> None:
        """Store a JSON text; an existing object is overwritten.

        Args:
            key: from `manifest_key`.
            data: read once for its size and digest, and once per try; never held in memory whole.

        Raises:
            StoreUnavailable, StoreRefused: like `put`.
        """
        body = _Bytes(data) if isinstance(data, bytes) else data
        digest, size = hashlib.sha256(), 0
        async for piece in body.pieces():
            digest.update(piece)
            size += len(piece)
        measured = _Measured(size, body)
        await self._put(key, measured, digest.digest(), "application/json", overwrite=True)

    async def get(self, key: str) -> bytes:
        """The bytes of a small object (up to 64 MiB).

        Raises:
            ObjectMissing: no object exists under the key.
            StoreUnavailable, StoreRefused: the store did not return it.
        """
        data = bytearray()
        url = await self._url("GET", key)
        try:
            async with self._http.get(url, timeout=_TIMEOUT, allow_redirects=False) as reply:
                self._check(reply, key)
                async for chunk in reply.content.iter_any():
                    data += chunk
                    if len(data) > _MAX_GET_BYTES:
                        raise StoreRefused("The object is larger than 64 MiB", self._bucket, key)
        except _FAILED as error:
            raise self._unavailable(error, key) from None
        return bytes(data)

    async def head(self, key: str) -> StoredObject | None:
        """The metadata of the object under the key; None if there is none.

        Raises:
            StoreUnavailable, StoreRefused: the call failed.
        """
        headers = {"x-amz-checksum-mode": "ENABLED"}
        url = await self._url("HEAD", key, headers)
        try:
            async with self._http.head(
                url, headers=headers, timeout=_TIMEOUT, allow_redirects=False
            ) as reply:
                self._check(reply, key)
                return StoredObject(
                    size=int(reply.headers.get("content-length", "0")),
                    sha256=reply.headers.get("x-amz-checksum-sha256"),
                )
        except ObjectMissing:
            return None
        except _FAILED as error:
            raise self._unavailable(error, key) from None

    def link(self, key: str, filename: str, content_type: str) -> str:
        """A presigned URL that opens the object for at least `settings.link_ttl` seconds.

        A browser saves the file under `filename` (RFC 6266) and with this type. Raises
        StoreUnavailable if there are no access keys.
        """
        return self._links.link(key, filename, content_type)

    async def ready(self) -> bool:
        """True if the bucket accepts an object now; writes a few bytes to `PROBE_KEY`."""
        checksum = base64.b64encode(hashlib.sha256(_PROBE).digest()).decode()
        try:
            reply = await self._try_put(
                PROBE_KEY, _Bytes(_PROBE), checksum, "text/plain", overwrite=True
            )
        except StoreError:
            return False
        return reply is not None

    async def _put(
        self, key: str, body: Body, sha256: bytes, content_type: str, *, overwrite: bool
    ) -> bool:
        checksum = base64.b64encode(sha256).decode()
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS * attempt)
            reply = await self._try_put(key, body, checksum, content_type, overwrite=overwrite)
            if reply is None:
                continue
            if reply.status == 412:
                held = await self.head(key)
                if held is not None and held.size == body.size and held.sha256 in (None, checksum):
                    return False
                # The stored object is incomplete: a write was interrupted. Overwrite it.
                overwrite = True
            elif await self._is_stored(key, body, checksum, reply):
                return True
        raise StoreUnavailable(
            f"The store did not accept the object in {_TRIES} attempts", self._bucket, key
        )

    async def _try_put(
        self, key: str, body: Body, checksum: str, content_type: str, *, overwrite: bool
    ) -> ClientResponse | None:
        """PUT once; None if a retry may succeed. All headers but the length are signed."""
        headers = {"content-type": content_type, "x-amz-checksum-sha256": checksum}
        if not overwrite:
            headers["if-none-match"] = "*"
        url = await self._url("PUT", key, headers)
        headers["content-length"] = str(body.size)
        bound = asyncio.timeout(_CONNECT_SECONDS + _IDLE_SECONDS)
        upload = _Upload(body, bound)
        try:
            async with (
                bound,
                self._http.put(
                    url,
                    headers=headers,
                    data=upload.pieces(),
                    timeout=_TIMEOUT,
                    allow_redirects=False,
                ) as reply,
            ):
                # A connection whose reply was not read to its end is not used again.
                await reply.content.readany()
        except _FAILED:
            if upload.failure is not None:
                raise upload.failure from None
            return None
        # 409: two writers at once; 400: bytes damaged in transit. A retry may succeed.
        if reply.status in (400, 409) or reply.status >= 500:
            return None
        if reply.status != 412 and not _is_success(reply):
            raise self._refused(reply.status, key)
        return reply

    async def _is_stored(self, key: str, body: Body, checksum: str, reply: ClientResponse) -> bool:
        returned = reply.headers.get("x-amz-checksum-sha256")
        if returned is not None:
            return bool(returned == checksum)
        etag = _MD5.fullmatch(reply.headers.get("etag", ""))
        # With a KMS key or a customer's key the ETag is no MD5 (S3 API reference, Object).
        encrypted = reply.headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
        if etag is not None and not encrypted:
            digest = hashlib.md5(usedforsecurity=False)
            async for piece in body.pieces():
                digest.update(piece)
            return digest.hexdigest() == etag[1]
        held = await self.head(key)
        return held is not None and held.size == body.size

    async def _url(self, method: str, key: str, headers: Mapping[str, str] | None = None) -> URL:
        """The presigned URL of a request with these headers."""
        await self._access_keys.wait()
        url = self._signer.url(method, key, SIGNED_FOR_SECONDS, self._now(), headers=headers)
        return URL(url, encoded=True)

    def _check(self, reply: ClientResponse, key: str) -> None:
        if reply.status == 404:
            raise ObjectMissing("The store has no such object", self._bucket, key)
        if reply.status >= 500:
            raise StoreUnavailable(f"The store answered HTTP {reply.status}", self._bucket, key)
        if not _is_success(reply):
            raise self._refused(reply.status, key)

    def _refused(self, status: int, key: str) -> StoreRefused:
        return StoreRefused(
            f"The store refused with HTTP {status}: check AUTOS_S3_BUCKET, the access keys and "
            "their rights, and this machine's clock",
            self._bucket,
            key,
        )

    def _unavailable(self, error: Exception, key: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"The store did not answer ({type(error).__name__}); is AUTOS_S3_ENDPOINT up?",
            self._bucket,
            key,
        )


def _is_success(reply: ClientResponse) -> bool:
    return 200 <= reply.status < 300

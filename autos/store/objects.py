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
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import httpx2

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
_TIMEOUT: Final = {"connect": 10.0, "read": 60.0, "write": 60.0, "pool": 60.0}
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
        http: httpx2.AsyncClient,
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
        request = await self._request("GET", key)
        try:
            response = await self._http.send(request, stream=True)
            try:
                self._check(response, key)
                async for chunk in response.aiter_raw():
                    data += chunk
                    if len(data) > _MAX_GET_BYTES:
                        raise StoreRefused("The object is larger than 64 MiB", self._bucket, key)
            finally:
                await response.aclose()
        except httpx2.RequestError as error:
            raise self._unavailable(error, key) from None
        return bytes(data)

    async def head(self, key: str) -> StoredObject | None:
        """The metadata of the object under the key; None if there is none.

        Raises:
            StoreUnavailable, StoreRefused: the call failed.
        """
        request = await self._request("HEAD", key, {"x-amz-checksum-mode": "ENABLED"})
        try:
            response = await self._http.send(request)
            self._check(response, key)
        except ObjectMissing:
            return None
        except httpx2.RequestError as error:
            raise self._unavailable(error, key) from None
        return StoredObject(
            size=int(response.headers.get("content-length", "0")),
            sha256=response.headers.get("x-amz-checksum-sha256"),
        )

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
            if reply.status_code == 412:
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
    ) -> httpx2.Response | None:
        """PUT once; None if a retry may succeed. A header added here is also signed."""
        headers = {"content-type": content_type, "x-amz-checksum-sha256": checksum}
        if not overwrite:
            headers["if-none-match"] = "*"
        request = await self._request("PUT", key, headers, body)
        try:
            reply = await self._http.send(request)
        except httpx2.RequestError:
            return None
        # 409: two writers at once; 400: bytes damaged in transit. A retry may succeed.
        if reply.status_code in (400, 409) or reply.status_code >= 500:
            return None
        if reply.status_code != 412 and not reply.is_success:
            raise self._refused(reply.status_code, key)
        return reply

    async def _is_stored(self, key: str, body: Body, checksum: str, reply: httpx2.Response) -> bool:
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

    async def _request(
        self,
        method: str,
        key: str,
        headers: dict[str, str] | None = None,
        body: Body | None = None,
    ) -> httpx2.Request:
        """A request with these headers, all of them signed."""
        await self._access_keys.wait()
        url = self._signer.url(method, key, SIGNED_FOR_SECONDS, self._now(), headers=headers)
        length = {} if body is None else {"content-length": str(body.size)}
        return httpx2.Request(
            method,
            url,
            headers={**(headers or {}), **length},
            content=None if body is None else body.pieces(),
            extensions={"timeout": _TIMEOUT},
        )

    def _check(self, response: httpx2.Response, key: str) -> None:
        if response.status_code == 404:
            raise ObjectMissing("The store has no such object", self._bucket, key)
        if response.status_code >= 500:
            raise StoreUnavailable(
                f"The store answered HTTP {response.status_code}", self._bucket, key
            )
        if not response.is_success:
            raise self._refused(response.status_code, key)

    def _refused(self, status: int, key: str) -> StoreRefused:
        return StoreRefused(
            f"The store refused with HTTP {status}: check AUTOS_S3_BUCKET, the access keys and "
            "their rights, and this machine's clock",
            self._bucket,
            key,
        )

    def _unavailable(self, error: httpx2.RequestError, key: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"The store did not answer ({type(error).__name__}); is AUTOS_S3_ENDPOINT up?",
            self._bucket,
            key,
        )

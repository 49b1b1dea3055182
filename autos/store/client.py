"""The object store: documents in, links out (DESIGN §7).

The async HTTP client carries the bytes to signed addresses, with a known length and without a
second copy. What "stored" means, as measured with the stores in use:

- AWS checks `x-amz-checksum-sha256` itself, refuses other bytes, and answers with the checksum;
  `If-None-Match: *` is kept (412 if the key is there).
- `rclone serve s3` (the embedded store) keeps neither: it writes over, and takes the checksum as
  mere metadata. moto keeps the condition, not the checksum. Both answer with the MD5 of what they
  received as the ETag, which is compared with the MD5 of what was sent.
- A store that answers with neither is asked for the object's size.

So an object counts as stored only when the store itself has told what it holds.
"""

import asyncio
import base64
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import httpx2

from autos.settings import Settings
from autos.store.access import Access
from autos.store.bucket import Control, Listed
from autos.store.errors import (
    ObjectMissing,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from autos.store.keys import PROBE_KEY, PROCESSES_PREFIX, process_prefix
from autos.store.links import Links
from autos.store.signing import SIGNED_FOR_SECONDS, Signer

__all__ = [
    "Body",
    "Held",
    "Listed",
    "ObjectMissing",
    "Readable",
    "Store",
    "StoreError",
    "StoreRefused",
    "StoreUnavailable",
]

_TRIES: Final = 3
_PAUSE_SECONDS: Final = 0.2
_LARGEST_GET: Final = 64 * 1024 * 1024
_TIMEOUT: Final = {"connect": 10.0, "read": 60.0, "write": 60.0, "pool": 60.0}
_MD5: Final = re.compile(r'"?([0-9a-f]{32})"?', re.ASCII)


class Readable(Protocol):
    """Bytes that can be read again from the start, the same at every call."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The bytes, from the start at every call."""
        ...


class Body(Readable, Protocol):
    """Bytes of a known size, such as a source's spool."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """What the store says of an object it holds."""

    size: int
    sha256: str | None
    """Base64, where the store keeps it; only AWS has checked it against the bytes."""


@dataclass(frozen=True, slots=True)
class _Bytes:
    data: bytes

    async def pieces(self) -> AsyncIterator[bytes]:
        yield self.data


@dataclass(frozen=True, slots=True)
class _Measured:
    size: int
    body: Readable

    def pieces(self) -> AsyncIterator[bytes]:
        return self.body.pieces()


_PROBE: Final = b"ok"


class Store:
    """One bucket. One per process; `http` is shared and not closed here.

    Args:
        settings: endpoint, bucket, keys, region, `link_ttl`.
        http: carries the bytes; `autos.source.open_http` makes a fitting one.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        http: httpx2.AsyncClient,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self._bucket = settings.s3_bucket
        self._now = now
        self._access = Access(settings)
        self._signer = Signer(settings, self._access, settings.s3_endpoint)
        self._control = Control(self._access.open_client, settings.s3_bucket, settings.s3_region)
        public = settings.s3_public_endpoint
        for_links = Signer(settings, self._access, public) if public else self._signer
        self._links = Links(for_links, settings.link_ttl, now)

    async def put(self, key: str, body: Body, sha256: str, content_type: str) -> bool:
        """Store a document under its content's key, verified.

        Args:
            key: from `document_key`; it names the content, so what is there already stays.
            body: read again from the start at every try.
            sha256: of the body, hexadecimal.
            content_type: stored with the object.

        Returns:
            True if it was written, False if the store held it already.

        Raises:
            StoreUnavailable: three quick tries did not do it.
            StoreRefused: the store refuses the call as it is.
        """
        return await self._store(key, body, bytes.fromhex(sha256), content_type, once=True)

    async def put_json(self, key: str, data: bytes | Readable) -> None:
        """Store a JSON text, in place of what is there.

        Args:
            key: from `manifest_key`.
            data: read once to be measured, and again at every try; never whole in memory.

        Raises:
            StoreUnavailable, StoreRefused: as `put`.
        """
        body = _Bytes(data) if isinstance(data, bytes) else data
        digest, size = hashlib.sha256(), 0
        async for piece in body.pieces():
            digest.update(piece)
            size += len(piece)
        measured = _Measured(size, body)
        await self._store(key, measured, digest.digest(), "application/json", once=False)

    async def get(self, key: str) -> bytes:
        """The bytes of a small object (up to 64 MiB).

        Raises:
            ObjectMissing: there is none.
            StoreUnavailable, StoreRefused: the store did not give it.
        """
        data = bytearray()
        request = await self._request("GET", key)
        try:
            response = await self._http.send(request, stream=True)
            try:
                self._check(response, key)
                async for chunk in response.aiter_raw():
                    data += chunk
                    if len(data) > _LARGEST_GET:
                        raise StoreRefused("The object is too large for this", self._bucket, key)
            finally:
                await response.aclose()
        except httpx2.RequestError as error:
            raise self._unavailable(error, key) from None
        return bytes(data)

    async def head(self, key: str) -> Held | None:
        """What the store holds under the key; None if nothing.

        Raises:
            StoreUnavailable, StoreRefused: the store does not say.
        """
        request = await self._request("HEAD", key, {"x-amz-checksum-mode": "ENABLED"})
        try:
            response = await self._http.send(request)
            self._check(response, key)
        except ObjectMissing:
            return None
        except httpx2.RequestError as error:
            raise self._unavailable(error, key) from None
        return Held(
            size=int(response.headers.get("content-length", "0")),
            sha256=response.headers.get("x-amz-checksum-sha256"),
        )

    def link(self, key: str, filename: str, content_type: str) -> str:
        """An address that opens the object for at least `settings.link_ttl` seconds.

        Whoever opens it gets the file under `filename` (RFC 6266) and with this type.
        """
        return self._links.link(key, filename, content_type)

    def list_keys(self, prefix: str) -> AsyncIterator[str]:
        """The keys that begin with `prefix`; raises as `head` does."""
        return self._control.list_keys(prefix)

    async def list_page(self, after: str, limit: int) -> tuple[list[Listed], bool]:
        """At most `limit` objects (and 1,000) of all processes, by key, and whether more follow.

        Args:
            after: the key that the page before this one ended with; empty for the first.
            limit: of the page.

        Raises:
            StoreUnavailable, StoreRefused: the store does not say.
        """
        return await self._control.list_page(PROCESSES_PREFIX, after, limit)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete these objects; one that is not there is deleted already."""
        await self._control.delete(keys)

    async def delete_prefix(self, digits: str) -> int:
        """Delete all that is kept of a process; answers how many objects there were."""
        return await self._control.delete_prefix(process_prefix(digits))

    async def ensure_bucket(self) -> None:
        """Find the keys, and make the bucket unless it is there; raises as `head` does."""
        await self._access.fresh()
        await self._control.ensure_bucket()

    async def open(self) -> None:
        """Find the access keys before the first link is asked for; what fails is tried again."""
        with contextlib.suppress(StoreUnavailable):
            await self._access.fresh()

    async def reachable(self) -> bool:
        """True if the store answers and the bucket is there and open to these keys."""
        try:
            return await self._control.has_bucket()
        except StoreError:
            return False

    async def ready(self) -> bool:
        """True if the bucket takes an object just now; puts a tiny one, always the same."""
        checksum = base64.b64encode(hashlib.sha256(_PROBE).digest()).decode()
        body = _Measured(len(_PROBE), _Bytes(_PROBE))
        try:
            reply = await self._put(PROBE_KEY, body, checksum, "text/plain", once=False)
        except StoreError:
            return False
        return reply is not None

    async def _store(
        self, key: str, body: Body, sha256: bytes, content_type: str, *, once: bool
    ) -> bool:
        """Put until it is stored or has been tried enough; `once` leaves what is there alone."""
        checksum = base64.b64encode(sha256).decode()
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS * attempt)
            reply = await self._put(key, body, checksum, content_type, once=once)
            if reply is None:
                continue
            if reply.status_code == 412:
                held = await self.head(key)
                if held is not None and held.size == body.size and held.sha256 in (None, checksum):
                    return False
                # Not what its key says: a torn write of a lesser store. It is written over.
                once = False
            elif await self._is_stored(key, body, checksum, reply):
                return True
        raise StoreUnavailable(
            f"The store did not take the object in {_TRIES} tries", self._bucket, key
        )

    async def _put(
        self, key: str, body: Body, checksum: str, content_type: str, *, once: bool
    ) -> httpx2.Response | None:
        """One try; None if another may do better."""
        headers = {"content-type": content_type, "x-amz-checksum-sha256": checksum}
        if once:
            headers["if-none-match"] = "*"
        request = await self._request("PUT", key, headers, body)
        try:
            reply = await self._http.send(request)
        except httpx2.RequestError:
            return None
        # 409: two writers at once; 400: the bytes were damaged on the way. Both are tried again.
        if reply.status_code in (400, 409) or reply.status_code >= 500:
            return None
        if reply.status_code != 412 and not reply.is_success:
            raise self._refused(reply.status_code, key)
        return reply

    async def _is_stored(self, key: str, body: Body, checksum: str, reply: httpx2.Response) -> bool:
        told = reply.headers.get("x-amz-checksum-sha256")
        if told is not None:
            return bool(told == checksum)
        etag = _MD5.fullmatch(reply.headers.get("etag", ""))
        # With a key of KMS or of the client the ETag is no MD5 (AWS API_Object).
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
        await self._access.fresh()
        url = self._signer.url(method, key, SIGNED_FOR_SECONDS, self._now(), headers=headers)
        given = dict(headers or {})
        if body is not None:
            given["content-length"] = str(body.size)
        return httpx2.Request(
            method,
            url,
            headers=given,
            content=None if body is None else body.pieces(),
            extensions={"timeout": _TIMEOUT},
        )

    def _check(self, response: httpx2.Response, key: str) -> None:
        if response.status_code == 404:
            raise ObjectMissing("The store holds no such object", self._bucket, key)
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

"""Sends one request to a receiver and reports the outcome as a status code and a reason.

The status code alone decides. The body is read for the log only, within limits of size and time, so
a slow or huge one does not delay the delivery.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import httpx2

from autos.contracts.deliveries import TIMEOUT_SECONDS
from autos.retry_after import parse_retry_after
from autos.settings import Settings
from autos.webhooks.address_guard import Blocked, GuardedTransport

EXCERPT_BYTES: Final = 2048
_MAX_BODY_BYTES: Final = 65_536
_BODY_SECONDS: Final = 2.0
_GONE: Final = 410
_HEADERS: Final = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "User-Agent": "Autos-Webhooks/1",
}


class Failure(StrEnum):
    """Why an attempt failed."""

    STATUS = "status"
    REDIRECT = "redirect"
    GONE = "gone"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    PROTOCOL = "protocol"
    BLOCKED = "blocked"
    INTERNAL_ERROR = "internal_error"
    """No attempt could be made."""

    @property
    def text(self) -> str:
        """One sentence for people."""
        return _TEXTS[self]


_TEXTS: Final = {
    Failure.STATUS: "The receiver answered with another status than 2xx.",
    Failure.REDIRECT: "The receiver redirects; redirects are not followed, register the final URL.",
    Failure.GONE: "The receiver answered 410 Gone: it does not accept further deliveries.",
    Failure.TIMEOUT: f"The receiver did not answer within {TIMEOUT_SECONDS:.0f} seconds.",
    Failure.CONNECTION: "The connection to the receiver failed or broke.",
    Failure.PROTOCOL: "The receiver closed the connection early, or did not answer in HTTP.",
    Failure.BLOCKED: "The URL may not be used for webhooks; webhook-validate says why.",
    Failure.INTERNAL_ERROR: "An internal error of Autos; see the worker's log.",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcome of one request."""

    milliseconds: int
    failure: Failure | None
    """None for a 2xx."""
    status_code: int | None = None
    """None without an answer."""
    retry_after: float | None = None
    """Seconds, from a failed answer's `Retry-After`."""
    length: int | None = None
    """Bytes of the body that were read, at most 64 KiB."""
    excerpt: bytes | None = None
    """The first 2 KiB of the body."""

    @property
    def accepted(self) -> bool:
        """True for a 2xx."""
        return self.failure is None


class Sender:
    """Sends requests to receivers; requests share no state.

    Args:
        transport: `GuardedTransport`, closed with `close`.
        timeout: seconds for one whole request.
    """

    def __init__(
        self, transport: httpx2.AsyncBaseTransport, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        self._transport = transport
        self._timeout = timeout

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """A sender guarded as the settings say."""
        return cls(GuardedTransport(allow_private=settings.webhook_allow_private))

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """POST a webhook. Failures of the receiver are in the reply, not raised."""
        return await self._send("POST", url, {"Content-Type": "application/json", **headers}, body)

    async def probe(self, url: str) -> Reply:
        """Send a HEAD request, to check that the receiver answers."""
        return await self._send("HEAD", url, {}, b"")

    async def close(self) -> None:
        """Close the transport."""
        await self._transport.aclose()

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        start = time.monotonic()
        response: httpx2.Response | None = None
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            async with asyncio.timeout_at(deadline):
                request = httpx2.Request(method, url, headers={**_HEADERS, **headers}, content=body)
                response = await self._transport.handle_async_request(request)
            milliseconds = _since(start)
            length, excerpt = await _read(response, deadline)
        except (Blocked, httpx2.InvalidURL):
            return Reply(_since(start), Failure.BLOCKED)
        except (TimeoutError, httpx2.TimeoutException):
            return Reply(_since(start), Failure.TIMEOUT)
        except httpx2.ProtocolError:
            return Reply(_since(start), Failure.PROTOCOL)
        except (httpx2.TransportError, OSError):
            return Reply(_since(start), Failure.CONNECTION)
        finally:
            if response is not None:
                await response.aclose()
        failure = judge(response.status_code)
        return Reply(
            milliseconds,
            failure,
            response.status_code,
            parse_retry_after(response.headers.get("retry-after")) if failure else None,
            length,
            excerpt,
        )


def judge(status_code: int) -> Failure | None:
    """The failure that a status code means; None for 2xx (Standard Webhooks)."""
    if 200 <= status_code < 300:
        return None
    if 300 <= status_code < 400:
        return Failure.REDIRECT
    return Failure.GONE if status_code == _GONE else Failure.STATUS


async def _read(response: httpx2.Response, deadline: float) -> tuple[int, bytes]:
    """Read up to 64 KiB for the log, for up to 2 s; errors while reading are ignored."""
    body = bytearray()
    enough = asyncio.get_running_loop().time() + _BODY_SECONDS
    with contextlib.suppress(TimeoutError, httpx2.TransportError):
        async with asyncio.timeout_at(min(enough, deadline)):
            async for piece in response.aiter_raw():
                body += piece
                if len(body) >= _MAX_BODY_BYTES:
                    break
    return min(len(body), _MAX_BODY_BYTES), bytes(body[:EXCERPT_BYTES])


def _since(start: float) -> int:
    return round((time.monotonic() - start) * 1000)

"""Sends one request to a receiver and says what came back, in numbers and one word.

An answer in time is decided by its status alone. Its body is read only for the log, as far as that
needs and time allows: a receiver that drips, or sends gigabytes, holds nobody up.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import httpx2

from autos.contracts.webhooks import TIMEOUT_SECONDS
from autos.retry_after import parse_retry_after
from autos.settings import Settings
from autos.webhooks.guard import Blocked
from autos.webhooks.transport import GuardedTransport

EXCERPT_BYTES: Final = 2048
_LONGEST_BODY: Final = 65_536
_BODY_SECONDS: Final = 2.0
_GONE: Final = 410
_HEADERS: Final = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "User-Agent": "Autos-Webhooks/1",
}


class Failure(StrEnum):
    """Why an attempt did not count."""

    STATUS = "status"
    REDIRECT = "redirect"
    GONE = "gone"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    PROTOCOL = "protocol"
    BLOCKED = "blocked"
    INTERNAL_ERROR = "internal_error"
    """Not of an attempt, but of a delivery for which none could be made."""

    @property
    def text(self) -> str:
        """One sentence for a person who reads the log."""
        return _TEXTS[self]


_TEXTS: Final = {
    Failure.STATUS: "The receiver answered with another status than 2xx.",
    Failure.REDIRECT: "The receiver redirects, which is not followed; give its final address.",
    Failure.GONE: "The receiver answered 410: it wants no more of this.",
    Failure.TIMEOUT: f"The receiver did not answer within {TIMEOUT_SECONDS:.0f} seconds.",
    Failure.CONNECTION: "There was no connection to the receiver, or it broke.",
    Failure.PROTOCOL: "The receiver broke the connection off, or sent something that is not HTTP.",
    Failure.BLOCKED: "The address may not be used for webhooks; see webhook-validate for why.",
    Failure.INTERNAL_ERROR: "Autos failed on this by a defect of its own; see the worker's log.",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one request."""

    milliseconds: int
    failure: Failure | None
    """None for a 2xx."""
    status_code: int | None = None
    """None when there was no answer."""
    retry_after: float | None = None
    """Seconds, if a failing answer asks for some."""
    length: int | None = None
    """Bytes of the answer's body, as far as it was read (64 KiB at most)."""
    excerpt: bytes | None = None
    """The first 2 KiB of it."""

    @property
    def accepted(self) -> bool:
        """True for a 2xx."""
        return self.failure is None


class Sender:
    """Sends to receivers; nothing of one request is kept for the next.

    Args:
        transport: `GuardedTransport`, closed with `close`.
        timeout: seconds for one request in all.
    """

    def __init__(
        self, transport: httpx2.AsyncBaseTransport, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        self._transport = transport
        self._timeout = timeout

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """A sender with the guard that the settings ask for."""
        return cls(GuardedTransport(allow_private=settings.webhook_allow_private))

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """POST a webhook's body. Never raises for the receiver's sake."""
        return await self._send("POST", url, {"Content-Type": "application/json", **headers}, body)

    async def probe(self, url: str) -> Reply:
        """Ask the receiver for headers only (HEAD), to see whether it answers at all."""
        return await self._send("HEAD", url, {}, b"")

    async def close(self) -> None:
        """Close the transport."""
        await self._transport.aclose()

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        began = time.monotonic()

        def failed(failure: Failure) -> Reply:
            return Reply(_since(began), failure)

        response: httpx2.Response | None = None
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            async with asyncio.timeout_at(deadline):
                request = httpx2.Request(method, url, headers={**_HEADERS, **headers}, content=body)
                response = await self._transport.handle_async_request(request)
            milliseconds = _since(began)
            length, excerpt = await _read(response, deadline)
        except (Blocked, httpx2.InvalidURL):
            return failed(Failure.BLOCKED)
        except (TimeoutError, httpx2.TimeoutException):
            return failed(Failure.TIMEOUT)
        except httpx2.ProtocolError:
            return failed(Failure.PROTOCOL)
        except (httpx2.TransportError, OSError):
            return failed(Failure.CONNECTION)
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
    """What an answer's status means (Standard Webhooks: 2xx is success, 410 the end of it)."""
    if 200 <= status_code < 300:
        return None
    if 300 <= status_code < 400:
        return Failure.REDIRECT
    return Failure.GONE if status_code == _GONE else Failure.STATUS


async def _read(response: httpx2.Response, deadline: float) -> tuple[int, bytes]:
    """As much of a body as the log wants; what is wrong with the rest is nobody's business."""
    body = bytearray()
    enough = asyncio.get_running_loop().time() + _BODY_SECONDS
    with contextlib.suppress(TimeoutError, httpx2.TransportError):
        async with asyncio.timeout_at(min(enough, deadline)):
            async for piece in response.aiter_raw():
                body += piece
                if len(body) >= _LONGEST_BODY:
                    break
    return min(len(body), _LONGEST_BODY), bytes(body[:EXCERPT_BYTES])


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)

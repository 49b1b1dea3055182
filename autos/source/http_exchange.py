"""One HTTP request to the source and its reply; the only user of the HTTP library for the source.

The outcome is always a `Reply` to be judged, or `NoReply` with its reason, in bounded time: the
head and each piece of the body must come within the idle time, and a body below the minimum
throughput for a whole window is ended. A redirect is followed once if the settings allow it;
otherwise the reply is the redirect itself.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx2
import structlog

from autos.contracts.reasons import Reason
from autos.settings import Settings
from autos.source.redirects import STATUSES, Redirects, Target
from autos.source.replies.encodings import BrokenStream, UnknownCoding, decoder
from autos.source.replies.judge import Refused

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 15.0
WINDOW_SECONDS: Final = 60.0
"""A body may be below the minimum throughput for this long."""

_HEADERS_FOR_OTHER_HOSTS: Final = ("User-Agent", "Accept", "Accept-Encoding")

# The library lets TLS errors in mid-stream through.
_BROKEN: Final = (httpx2.RequestError, httpx2.InvalidURL, ssl.SSLError)


class NoReply(Exception):
    """The request got no usable reply; `refused` has the reason."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.reason.text)
        self.refused = refused


class MinimumThroughput:
    """Measures whether a body arrives fast enough; time taken by the reader is not counted.

    Args:
        bytes_per_minute: the minimum over a whole window; 0 for none.
        window: seconds.
    """

    def __init__(self, bytes_per_minute: int, window: float) -> None:
        self._least = bytes_per_minute * window / 60
        self._window = window
        self._seconds = 0.0
        self._bytes = 0

    def is_missed_by(self, size: int, seconds: float) -> bool:
        """Record a piece and the seconds it took; True if a window ends with too little."""
        self._seconds += seconds
        self._bytes += size
        if self._seconds < self._window:
            return False
        slow = self._bytes < self._least
        self._seconds, self._bytes = 0.0, 0
        return slow


class Reply:
    """A reply whose headers have arrived; its body is read once, by `chunks` or by `head`."""

    def __init__(
        self,
        response: httpx2.Response,
        idle: float,
        minimum: MinimumThroughput,
        *,
        from_other_host: bool,
    ) -> None:
        self._response = response
        self._idle = idle
        self._minimum = minimum
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.from_other_host = from_other_host
        """It comes from a host that a redirect led to."""

    @property
    def declared_length(self) -> int:
        """Bytes of the encoded body, as the head declares; 0 if it does not."""
        declared = self.headers.get("content-length", "")
        # Converting a very long number would take long.
        return int(declared[:20]) if declared.isascii() and declared.isdigit() else 0

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The decoded body, in pieces.

        Raises:
            NoReply: it was cut, too slow, or in an unknown coding.
        """
        try:
            coding = decoder(self.headers.get("content-encoding", ""))
        except UnknownCoding:
            raise NoReply(Refused(Reason.ERROR_BODY)) from None
        try:
            async with aclosing(self._pieces()) as pieces:
                async for data in pieces:
                    for piece in coding.decode(data):
                        yield piece
        except BrokenStream:
            raise NoReply(Refused(Reason.TRUNCATED)) from None
        if not coding.whole:
            raise NoReply(Refused(Reason.TRUNCATED))

    async def head(self, limit: int) -> bytes:
        """The beginning of the body, or the part that arrived before the connection was lost."""
        head = b""
        with contextlib.suppress(NoReply):
            async with aclosing(self.chunks()) as chunks:
                async for chunk in chunks:
                    head += chunk[: limit - len(head)]
                    if len(head) == limit:
                        break
        return head

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        clock = asyncio.get_running_loop().time
        async with aclosing(self._response.aiter_raw()) as body:
            while True:
                began = clock()
                try:
                    async with asyncio.timeout(self._idle):
                        data = await anext(body, None)
                except TimeoutError:
                    raise NoReply(Refused(Reason.TIMEOUT)) from None
                except _BROKEN as error:
                    timed_out = isinstance(error, httpx2.TimeoutException)
                    reason = Reason.TIMEOUT if timed_out else Reason.TRUNCATED
                    raise NoReply(Refused(reason)) from None
                if data is None:
                    return
                if self._minimum.is_missed_by(len(data), clock() - began):
                    raise NoReply(Refused(Reason.TOO_SLOW))
                yield data


class Exchange:
    """Sends requests to the source.

    Args:
        settings: the source's address and time-outs.
        http: shared, not closed.
        window: seconds; see `WINDOW_SECONDS`.
    """

    def __init__(
        self, settings: Settings, http: httpx2.AsyncClient, window: float = WINDOW_SECONDS
    ) -> None:
        self.origin = settings.pdpj_base_url.rstrip("/")
        self._http = http
        self._window = window
        self._bytes_per_minute = settings.source_min_bytes_per_minute
        self._redirects = Redirects(self.origin, settings.source_redirect_hosts)

    @asynccontextmanager
    async def get(
        self, path: str, token: str, headers: Mapping[str, str], idle: float
    ) -> AsyncIterator[Reply]:
        """Request a path.

        Args:
            path: on the source's host, encoded.
            token: goes to the source's own origin only.
            headers: of the request.
            idle: seconds without a byte.

        Raises:
            NoReply: there is no reply to judge.
        """
        url, from_other_host = self.origin + path, False
        response = await self._send(url, headers, token, idle)
        try:
            if response.status_code in STATUSES:
                target = self._redirects.target(url, response.headers.get("location", ""))
                if target is not None:
                    await _close(response)
                    from_other_host = not target.own
                    response = await self._follow(target, headers, token, idle)
            minimum = MinimumThroughput(self._bytes_per_minute, self._window)
            yield Reply(response, idle, minimum, from_other_host=from_other_host)
        finally:
            await _close(response)

    async def _follow(
        self, target: Target, headers: Mapping[str, str], token: str, idle: float
    ) -> httpx2.Response:
        if target.own:
            return await self._send(target.url, headers, token, idle)
        shown = {name: headers[name] for name in _HEADERS_FOR_OTHER_HOSTS if name in headers}
        return await self._send(target.url, shown, None, idle)

    async def _send(
        self, url: str, headers: Mapping[str, str], token: str | None, idle: float
    ) -> httpx2.Response:
        authorization = {"Authorization": f"Bearer {token}"} if token is not None else {}
        timeouts = {"connect": CONNECT_SECONDS, "read": idle, "write": idle, "pool": idle}
        try:
            request = httpx2.Request(
                "GET", url, headers={**headers, **authorization}, extensions={"timeout": timeouts}
            )
            # No other time-out ends a head that arrives byte by byte, or after endless 1xx replies.
            async with asyncio.timeout(CONNECT_SECONDS + 2 * idle):
                return await self._http.send(request, stream=True)
        except (TimeoutError, httpx2.TimeoutException):
            raise NoReply(Refused(Reason.TIMEOUT)) from None
        except (httpx2.LocalProtocolError, UnicodeEncodeError):
            # The request was never sent, so this is no evidence about the source.
            log.error("request_not_sendable", advice="check AUTOS_PDPJ_USER_AGENT")  # noqa: TRY400 - the traceback holds the address
            raise NoReply(Refused(Reason.INTERNAL_ERROR)) from None
        except _BROKEN:
            raise NoReply(Refused(Reason.UNAVAILABLE)) from None


def open_http(settings: Settings) -> httpx2.AsyncClient:
    """An HTTP client for source or store; one of each per process, closed by the caller.

    HTTP/1.1 only: HTTP/2 costs twice the CPU here (measured). Proxies and credentials of the
    environment are not used, and no cookie is kept. The library's logs are turned down: they log
    each request again, with its full URL, and signed URLs are secrets.
    """
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # A few more than requests at once, for token requests.
    connections = settings.source_max_in_flight + 8
    return httpx2.AsyncClient(
        verify=_tls_context(),
        http2=False,
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        timeout=httpx2.Timeout(settings.source_idle_timeout, connect=CONNECT_SECONDS),
    )


@cache
def _tls_context() -> ssl.SSLContext:
    # Loading the certificates takes 20 ms, and a process has several clients.
    return httpx2.create_ssl_context(trust_env=False)


async def _close(response: httpx2.Response) -> None:
    # An error while closing does not affect what was received.
    with contextlib.suppress(httpx2.HTTPError, OSError):
        await response.aclose()

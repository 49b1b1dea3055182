"""One request to the source and the bytes of its reply: all that touches the HTTP library.

Whatever the other side sends, or leaves unsent, is a `Reply` to be judged or an `Unanswered` with
its reason, in bounded time: the head has to come, then every piece within the idle time, and a body
that trickles for a whole window is ended. Redirects are followed once, where the settings allow it;
the reply to others is the redirect itself.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx2
import structlog

from autos.contracts.states import Reason
from autos.settings import Settings
from autos.source.redirects import STATUSES, Redirects, Target
from autos.source.replies.encodings import BrokenStream, UnknownCoding, decoder
from autos.source.replies.judge import Refused

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 15.0
WINDOW_SECONDS: Final = 60.0
"""So long a body may come slower than the configured floor."""

_SHOWN_ELSEWHERE: Final = ("User-Agent", "Accept", "Accept-Encoding")

# Beyond the library's own: TLS errors in mid-stream get through it.
_BROKEN: Final = (httpx2.RequestError, httpx2.InvalidURL, ssl.SSLError)


class Unanswered(Exception):
    """There is no reply to judge; `refused` says why."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.reason.text)
        self.refused = refused


class Floor:
    """Measures whether a body comes fast enough; time that the reader takes is not counted.

    Args:
        bytes_per_minute: fewer over a whole window are too few; 0 for none.
        window: seconds.
    """

    def __init__(self, bytes_per_minute: int, window: float) -> None:
        self._least = bytes_per_minute * window / 60
        self._window = window
        self._seconds = 0.0
        self._bytes = 0

    def is_broken_by(self, size: int, seconds: float) -> bool:
        """Take in a piece and how long it took; True if a window ends with too little."""
        self._seconds += seconds
        self._bytes += size
        if self._seconds < self._window:
            return False
        slow = self._bytes < self._least
        self._seconds, self._bytes = 0.0, 0
        return slow


class Reply:
    """A reply whose head has come; its body is read once, by `chunks` or by `head`."""

    def __init__(
        self, response: httpx2.Response, idle: float, floor: Floor, *, elsewhere: bool
    ) -> None:
        self._response = response
        self._idle = idle
        self._floor = floor
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.elsewhere = elsewhere
        """It comes from a host that a redirect has led to, which knows nothing of the source."""

    @property
    def declared_length(self) -> int:
        """Bytes of the body as it is sent, as the head says; 0 if it does not."""
        declared = self.headers.get("content-length", "")
        # Longer than any number that an int is read from for free.
        return int(declared[:20]) if declared.isascii() and declared.isdigit() else 0

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body, in pieces of some size.

        Raises:
            Unanswered: it did not come whole, in time, or in a coding that is understood.
        """
        try:
            coding = decoder(self.headers.get("content-encoding", ""))
        except UnknownCoding:
            raise Unanswered(Refused(Reason.ERROR_BODY)) from None
        try:
            async with aclosing(self._pieces()) as pieces:
                async for data in pieces:
                    for piece in coding.decode(data):
                        yield piece
        except BrokenStream:
            raise Unanswered(Refused(Reason.TRUNCATED)) from None
        if not coding.whole:
            raise Unanswered(Refused(Reason.TRUNCATED))

    async def head(self, limit: int) -> bytes:
        """The beginning of the body, or what has come of it before it broke off."""
        head = b""
        with contextlib.suppress(Unanswered):
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
                    raise Unanswered(Refused(Reason.TIMEOUT)) from None
                except _BROKEN as error:
                    timed_out = isinstance(error, httpx2.TimeoutException)
                    reason = Reason.TIMEOUT if timed_out else Reason.TRUNCATED
                    raise Unanswered(Refused(reason)) from None
                if data is None:
                    return
                if self._floor.is_broken_by(len(data), clock() - began):
                    raise Unanswered(Refused(Reason.TOO_SLOW))
                yield data


class Exchange:
    """Sends requests to the source.

    Args:
        settings: where the source is, and how patient to be with it.
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
        """Ask for a path.

        Args:
            path: on the source's host, as it is to be sent.
            token: goes to the source's own origin only.
            headers: of the request.
            idle: seconds without a sign of life.

        Raises:
            Unanswered: there is no reply to judge.
        """
        url, elsewhere = self.origin + path, False
        response = await self._send(url, headers, token, idle)
        try:
            if response.status_code in STATUSES:
                target = self._redirects.target(url, response.headers.get("location", ""))
                if target is not None:
                    await _close(response)
                    elsewhere = not target.own
                    response = await self._follow(target, headers, token, idle)
            floor = Floor(self._bytes_per_minute, self._window)
            yield Reply(response, idle, floor, elsewhere=elsewhere)
        finally:
            await _close(response)

    async def _follow(
        self, target: Target, headers: Mapping[str, str], token: str, idle: float
    ) -> httpx2.Response:
        if target.own:
            return await self._send(target.url, headers, token, idle)
        shown = {name: headers[name] for name in _SHOWN_ELSEWHERE if name in headers}
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
            # A head that dribbles, or is announced again and again (1xx), is ended by this alone.
            async with asyncio.timeout(CONNECT_SECONDS + 2 * idle):
                return await self._http.send(request, stream=True)
        except (TimeoutError, httpx2.TimeoutException):
            raise Unanswered(Refused(Reason.TIMEOUT)) from None
        except (httpx2.LocalProtocolError, UnicodeEncodeError):
            # It did not leave this process: no sign of the source.
            log.error("request_not_sendable", advice="check AUTOS_PDPJ_USER_AGENT")  # noqa: TRY400 - the traceback holds the address
            raise Unanswered(Refused(Reason.INTERNAL_ERROR)) from None
        except _BROKEN:
            raise Unanswered(Refused(Reason.UNAVAILABLE)) from None


def open_http(settings: Settings) -> httpx2.AsyncClient:
    """An HTTP client for source or store; one of each per process, closed by who opened it.

    HTTP/1.1 only: HTTP/2 costs twice the CPU here (measured). Proxies and credentials of the
    environment are not used, and no cookie is kept. Its logs are turned down, since they hold
    whole addresses, and signed ones are secrets.
    """
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # A few more than requests at once, for tokens and probes.
    connections = settings.source_max_in_flight + 8
    return httpx2.AsyncClient(
        http2=False,
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        timeout=httpx2.Timeout(settings.source_idle_timeout, connect=CONNECT_SECONDS),
    )


async def _close(response: httpx2.Response) -> None:
    # What goes wrong in hanging up changes nothing in what was received.
    with contextlib.suppress(httpx2.HTTPError, OSError):
        await response.aclose()

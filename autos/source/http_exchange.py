"""One HTTP request to the source and its reply; the only user of the HTTP library for the source.

The outcome is always a `Reply` to be judged, or `NoReply` with its reason, in bounded time: the
head and each piece of the body must come within the idle time, and a body below the minimum
throughput for a whole window is ended. A redirect is followed once if the settings allow it;
otherwise the reply is the redirect itself.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import cache
from typing import Final

import aiohttp
import httpx2
import structlog
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientTimeout
from yarl import URL

from autos.contracts.reasons import Reason
from autos.settings import Settings
from autos.source.redirects import STATUSES, Redirects, Target
from autos.source.replies.encodings import BrokenStream, UnknownCoding, decoder
from autos.source.replies.judge import Refused

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 15.0
WINDOW_SECONDS: Final = 60.0
"""A body may be below the minimum throughput for this long."""

KEEP_ALIVE_SECONDS: Final = 5.0
"""How long an unused connection is kept. Servers that close one sooner or later are common, and a
request on a connection that is being closed fails."""
HEADER_BYTES: Final = 64 * 1024
"""Maximum size of one header. There may be 128 headers."""
_BUFFER_BYTES: Final = 256 * 1024
"""Reading pauses while twice as much of a body waits to be processed."""

_HEADERS_FOR_OTHER_HOSTS: Final = ("User-Agent", "Accept", "Accept-Encoding")

_BROKEN: Final = (aiohttp.ClientError, OSError)


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
        response: ClientResponse,
        idle: float,
        minimum: MinimumThroughput,
        *,
        from_other_host: bool,
    ) -> None:
        self._response = response
        self._idle = idle
        self._minimum = minimum
        self.status = response.status
        self.headers = _by_name(response.raw_headers)
        """By lower-case name."""
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
        body = self._response.content
        while True:
            began = clock()
            try:
                async with asyncio.timeout(self._idle):
                    data = await body.readany()
            except TimeoutError:
                raise NoReply(Refused(Reason.TIMEOUT)) from None
            except _BROKEN:
                raise NoReply(Refused(Reason.TRUNCATED)) from None
            if not data:
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
        self, settings: Settings, http: aiohttp.ClientSession, window: float = WINDOW_SECONDS
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
            if response.status in STATUSES:
                location = _by_name(response.raw_headers).get("location", "")
                target = self._redirects.target(url, location)
                if target is not None:
                    response.close()
                    from_other_host = not target.own
                    response = await self._follow(target, headers, token, idle)
            minimum = MinimumThroughput(self._bytes_per_minute, self._window)
            yield Reply(response, idle, minimum, from_other_host=from_other_host)
        finally:
            # The connection of a body that was read to its end is back in the pool already.
            response.close()

    async def _follow(
        self, target: Target, headers: Mapping[str, str], token: str, idle: float
    ) -> ClientResponse:
        if target.own:
            return await self._send(target.url, headers, token, idle)
        shown = {name: headers[name] for name in _HEADERS_FOR_OTHER_HOSTS if name in headers}
        return await self._send(target.url, shown, None, idle)

    async def _send(
        self, url: str, headers: Mapping[str, str], token: str | None, idle: float
    ) -> ClientResponse:
        authorization = {"Authorization": f"Bearer {token}"} if token is not None else {}
        timeout = ClientTimeout(
            connect=CONNECT_SECONDS + idle, sock_connect=CONNECT_SECONDS, sock_read=idle
        )
        try:
            # No other time-out ends a head that arrives byte by byte, or after endless 1xx replies.
            async with asyncio.timeout(CONNECT_SECONDS + 2 * idle):
                return await self._http.get(
                    _as_is(url),
                    headers={**headers, **authorization},
                    timeout=timeout,
                    allow_redirects=False,
                )
        except TimeoutError:
            raise NoReply(Refused(Reason.TIMEOUT)) from None
        except _BROKEN:
            raise NoReply(Refused(Reason.UNAVAILABLE)) from None
        except ValueError:
            # The request was never sent, so this is no evidence about the source.
            log.error("request_not_sendable", advice="check AUTOS_PDPJ_USER_AGENT")  # noqa: TRY400 - the traceback holds the address
            raise NoReply(Refused(Reason.INTERNAL_ERROR)) from None


class ConnectionLost(aiohttp.ClientConnectionError):
    """There was no connection, or it was lost before the head of the reply had arrived."""


def open_http(settings: Settings, connections: int | None = None) -> aiohttp.ClientSession:
    """An HTTP client for source or store; one of each per process, closed by the caller.

    It sends each request once, does not decompress bodies, and keeps no cookie. Proxies and
    credentials of the environment are not used. Callers pass time-outs and turn redirects off.

    Args:
        settings: limits and default time-outs.
        connections: at most; by default a few more than requests at once, for token requests.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=connections or settings.source_max_in_flight + 8,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            ssl=_tls_context(),
        ),
        timeout=ClientTimeout(
            connect=CONNECT_SECONDS + settings.source_idle_timeout,
            sock_connect=CONNECT_SECONDS,
            sock_read=settings.source_idle_timeout,
        ),
        middlewares=(_send_once,),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=_BUFFER_BYTES,
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
    )


async def _send_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Raise an error that the library does not handle by sending the request again."""
    # The event loop handles waiting events in this time: a kept connection that the server has
    # closed leaves the pool, and the request is not lost on it.
    for _ in range(2):
        await asyncio.sleep(0)
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionLost from error


@cache
def _tls_context() -> ssl.SSLContext:
    # Loading the certificates takes 20 ms, and a process has several clients.
    context = httpx2.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _as_is(url: str) -> URL:
    try:
        return URL(url, encoded=True)
    except ValueError:
        raise aiohttp.InvalidURL(url) from None


def _by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; values of repeated ones are joined (RFC 9110 §5.3)."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined

"""Carries guarded requests: httpx2's transport interface over httpcore2's connection pool.

Every request gets a connection of its own, so that the guard looks at every one. There is no
client in between: no redirect is followed, no cookie kept, no proxy taken from the environment.
"""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from functools import cache
from typing import Final

import httpcore2
import httpx2

from autos.webhooks.guard import GuardedBackend, check_url

_TRANSLATED: Final[tuple[tuple[type[Exception], type[httpx2.TransportError]], ...]] = (
    (httpcore2.ConnectTimeout, httpx2.ConnectTimeout),
    (httpcore2.TimeoutException, httpx2.ReadTimeout),
    (httpcore2.ConnectError, httpx2.ConnectError),
    (httpcore2.NetworkError, httpx2.ReadError),
    (httpcore2.ProtocolError, httpx2.RemoteProtocolError),
)


@cache
def _usual_authorities() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends requests where the guard lets them go.

    Args:
        allow_private: `AUTOS_WEBHOOK_ALLOW_PRIVATE`.
        backend: opens the connections; a plain `GuardedBackend` by default.
        ssl_context: whom to trust; the usual authorities by default.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        backend: GuardedBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context or _usual_authorities(),
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=backend or GuardedBackend(allow_private=allow_private),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request.

        Raises:
            Blocked: the guard refuses the address.
            httpx2.TransportError: no connection, or no answer.
        """
        check_url(str(request.url), allow_private=self._allow_private)
        assert isinstance(request.stream, httpx2.AsyncByteStream)  # noqa: S101 - an async transport
        with _translated():
            response = await self._pool.handle_async_request(
                httpcore2.Request(
                    method=request.method,
                    url=httpcore2.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx2.Response(
            response.status, headers=response.headers, stream=_Stream(response), request=request
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            async with aclosing(self._response.aiter_stream()) as pieces:
                async for piece in pieces:
                    yield piece

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        for theirs, ours in _TRANSLATED:
            if isinstance(error, theirs):
                raise ours(type(error).__name__) from error
        raise

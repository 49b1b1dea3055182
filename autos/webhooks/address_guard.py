"""Prevents server-side request forgery (SSRF): webhooks are sent to public addresses only.

`check_url` checks a URL as it is written. `GuardedTransport` checks every request: it resolves the
host once per connection, refuses it if any of its addresses is not public, and connects to one of
the addresses it has checked, which defeats DNS rebinding. TLS and the `Host` header still use the
name. Does not verify the receiver's identity; TLS and signatures do.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from functools import cache, partial
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

import httpcore2
import httpx2

Address: TypeAlias = IPv4Address | IPv6Address
Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]
"""The addresses of a host and port; raises OSError when it has none."""

HTTPS_PORT: Final = 443
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*")
"""With a last label like this, software reads the whole host as an IPv4 address (WHATWG URL)."""
_CONNECT_SECONDS: Final = 4.0
"""Connect time-out for each address but the last, so that an unresponsive one does not use up the
attempt."""
_LOOKUPS: Final = ThreadPoolExecutor(400, "name-lookup")
"""Threads for name lookups. If name servers do not answer, a lookup holds one for up to 30 s,
longer than its attempt (15 s). Its pool has twice as many threads as a worker has attempts: in the
event loop's own small pool, hanging names would delay all other names and all documents."""

# From the IANA special-purpose address registries (RFC 6890), not Python's `is_global`, which
# changes between versions and calls multicast, 6to4 and NAT64 global.
_REFUSED: Final[dict[IPv4Network | IPv6Network, str]] = {
    ip_network(network): kind
    for network, kind in {
        "0.0.0.0/8": "this network",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "carrier-grade NAT",
        "127.0.0.0/8": "loopback",
        "168.63.129.16/32": "a cloud platform's own",
        "169.254.0.0/16": "link-local",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "reserved for protocols",
        "192.0.2.0/24": "documentation",
        "192.88.99.0/24": "a 6to4 relay",
        "192.168.0.0/16": "private",
        "198.18.0.0/15": "benchmarking",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        "::/128": "unspecified",
        "::1/128": "loopback",
        "::ffff:0:0/96": "IPv4 written as IPv6",
        "64:ff9b::/96": "NAT64",
        "64:ff9b:1::/48": "NAT64",
        "100::/64": "discard-only",
        "2001::/23": "reserved for protocols",
        "2001:db8::/32": "documentation",
        "2002::/16": "6to4",
        "3fff::/20": "documentation",
        "5f00::/16": "segment routing",
        "fc00::/7": "private",
        "fe80::/10": "link-local",
        "ff00::/8": "multicast",
    }.items()
}
_PUBLIC_IPV6: Final = IPv6Network("2000::/3")
"""IPv6 addresses outside of it are refused, as are those inside that contain an IPv4 address."""


class BlockedFor(StrEnum):
    """Why the guard refused an address."""

    SHAPE = "shape"
    SCHEME = "scheme"
    USER = "user"
    HOST = "host"
    PORT = "port"
    ADDRESS = "address"


class Blocked(Exception):
    """The guard refused an address; the message tells the webhook's owner why and what to do."""

    def __init__(self, reason: BlockedFor, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def why_refused(address: Address) -> str | None:
    """The kind of a non-public address; None if the address is public."""
    for network, kind in _REFUSED.items():
        if address.version == network.version and address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
        return "not public"
    return None


def check_url(text: str, *, allow_private: bool) -> httpx2.URL:
    """Check a webhook's URL as it is written, including an IP address in it.

    A host name is only resolved and checked when a request is sent.

    Args:
        text: the URL as its owner gave it.
        allow_private: also accept http, any port and any IP address, for demos and tests.

    Raises:
        Blocked: the URL may not be used; the message says what to write instead.
    """
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        raise Blocked(
            BlockedFor.SHAPE, "This is not a web address; give one like https://example.org/hook."
        ) from None
    if url.scheme != "https" and not (allow_private and url.scheme == "http"):
        raise Blocked(BlockedFor.SCHEME, "Webhooks go to https addresses only.")
    if url.userinfo:
        raise Blocked(
            BlockedFor.USER,
            "Leave user name and password out of the address: webhooks are signed instead.",
        )
    host = url.raw_host.decode("ascii")
    _check_host(host)
    if not allow_private:
        _check_public(host)
    if url.port not in (None, HTTPS_PORT) and not allow_private:
        raise Blocked(BlockedFor.PORT, f"Webhooks go to port {HTTPS_PORT} only.")
    return url


def host_of(text: str) -> str:
    """The host of a URL, for logs, without path and query; empty if there is none."""
    try:
        return httpx2.URL(text).host
    except httpx2.InvalidURL:
        return ""


def _check_host(host: str) -> None:
    if ":" in host:
        if _literal(host) is None:
            raise Blocked(BlockedFor.HOST, "This is not an IPv6 address without a zone.")
        return
    if host.endswith("."):
        raise Blocked(BlockedFor.HOST, "Leave out the dot at the end of the host's name.")
    if _NUMBER.fullmatch(host.rpartition(".")[2]) and _literal(host) is None:
        raise Blocked(
            BlockedFor.HOST, "Write an IPv4 address as four decimal numbers, or use a name."
        )
    if not _NAME.fullmatch(host):
        raise Blocked(
            BlockedFor.HOST, "This is not a valid host name; international names are accepted."
        )


def _check_public(host: str) -> None:
    literal = _literal(host)
    kind = why_refused(literal) if literal else None
    if host == "localhost" or host.endswith(".localhost"):
        kind = "loopback"
    if kind is not None:
        raise _not_public(kind)


def _not_public(kind: str) -> Blocked:
    return Blocked(
        BlockedFor.ADDRESS,
        f"The host leads to an address that is not public ({kind}); "
        "webhooks go to public addresses only.",
    )


def _literal(host: str) -> Address | None:
    """The host as an IP address in canonical form; None if it is a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    scoped = isinstance(address, IPv6Address) and address.scope_id is not None
    return None if scoped else address


async def resolve(host: str, port: int) -> Sequence[Address]:
    """The addresses of a host by the system's resolver.

    Raises:
        OSError: the host has none, or the name service does not answer.
    """
    look_up = partial(
        socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, look_up)
    return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


async def screen(
    host: str, port: int, resolver: Resolver, *, allow_private: bool
) -> Sequence[Address]:
    """Resolve a host and check all of its addresses.

    Raises:
        Blocked: one of them is not public; no legitimate host mixes public and private ones.
        OSError: the host has no address.
    """
    literal = _literal(host)
    addresses = [literal] if literal else await resolver(host, port)
    if not addresses:
        raise OSError("The host name has no address.")
    for address in addresses:
        kind = why_refused(address)
        if kind is not None and not allow_private:
            raise _not_public(kind)
    return addresses


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to checked addresses only.

    Args:
        allow_private: accept every address and port, for demos and tests.
        resolver: called once per connection.
        dialler: connects to a checked address; replaced in tests.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        resolver: Resolver = resolve,
        dialler: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._resolver = resolver
        self._dialler = dialler or httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - part of the interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, check, connect; see the base class for the arguments.

        Raises:
            Blocked: the host may not be connected to.
            httpcore2.ConnectError, httpcore2.ConnectTimeout: none of its addresses answers.
        """
        if port != HTTPS_PORT and not self._allow_private:
            raise Blocked(BlockedFor.PORT, f"Webhooks go to port {HTTPS_PORT} only.")
        try:
            addresses = await screen(host, port, self._resolver, allow_private=self._allow_private)
        except OSError as error:
            raise httpcore2.ConnectError("The host's name could not be resolved.") from error
        *others, last = addresses
        for address in others:
            try:
                return await self._dialler.connect_tcp(
                    str(address),
                    port,
                    min(timeout or _CONNECT_SECONDS, _CONNECT_SECONDS),
                    local_address,
                    socket_options,
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._dialler.connect_tcp(
            str(last), port, timeout, local_address, socket_options
        )


@cache
def _default_ssl_context() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """Sends requests to public addresses only, each over a new connection that is checked.

    Use it without a client: redirects are not followed, cookies not kept, proxies not used.

    Args:
        allow_private: `AUTOS_WEBHOOK_ALLOW_PRIVATE`.
        backend: opens the connections; a plain `GuardedBackend` by default.
        ssl_context: the trusted authorities; the usual ones by default.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        backend: GuardedBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        ssl_context = ssl_context or _default_ssl_context()
        super().__init__(verify=ssl_context, trust_env=False)
        self._allow_private = allow_private
        # httpx2 has no argument for a network backend.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=backend or GuardedBackend(allow_private=allow_private),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request.

        Raises:
            Blocked: the guard refuses the URL or an address of its host.
            httpx2.TransportError: no connection, or no answer.
        """
        check_url(str(request.url), allow_private=self._allow_private)
        return await super().handle_async_request(request)

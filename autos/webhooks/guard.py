"""Keeps webhooks out of our own network (DESIGN §11, failure F8).

Two gates. `check_url` looks at the address as it is written. `GuardedBackend` looks at where the
name leads, at the moment of connecting: it resolves once, refuses if any of the addresses is not
public, and dials one of those it has looked at, so that a name which changes its answer gains
nothing. TLS and the `Host` header still use the name.

Not promised: that the receiver is the one its owner meant; that is what TLS and signatures are for.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import Final, TypeAlias

import httpcore2
import httpx2

from autos.webhooks.addresses import Address, why_refused

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]
"""The addresses of a host name; raises OSError when it has none."""

HTTPS_PORT: Final = 443
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*")
"""A last label like this makes software read the whole host as an IPv4 address (WHATWG URL)."""
_DIAL_SECONDS: Final = 4.0
"""For each address but the last: one that swallows all packets must not use up the attempt."""
_LOOKUPS: Final = ThreadPoolExecutor(400, "name-lookup")
"""Looking a name up holds a thread, for half a minute if its name servers are silent, even when its
attempt has given up after 15 s. So they have threads of their own, twice as many as a worker's
attempts: in the loop's few, names that hang would hold up all other names, and all documents."""


class BlockedFor(StrEnum):
    """Why the guard does not let a webhook go."""

    SHAPE = "shape"
    SCHEME = "scheme"
    USER = "user"
    HOST = "host"
    PORT = "port"
    ADDRESS = "address"


class Blocked(Exception):
    """The guard refused; the message tells the webhook's owner why and what to do."""

    def __init__(self, reason: BlockedFor, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def check_url(text: str, *, allow_private: bool) -> httpx2.URL:
    """Check a webhook's address as it is written, before anybody resolves or dials it.

    An IP address in it is screened here already; a name, when it is used.

    Args:
        text: the address as its owner gave it.
        allow_private: also let http, any port and any IP address pass, for demos and tests.

    Raises:
        Blocked: it may not be used; the message says what to write instead.
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
    """The host of an address, for logs: never the path or the query; empty if there is none."""
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
        raise Blocked(BlockedFor.HOST, "This is not a host name; international ones are welcome.")


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
    """The address that the host spells out in its one canonical form; None for anything else."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    scoped = isinstance(address, IPv6Address) and address.scope_id is not None
    return None if scoped else address


async def resolve(host: str, port: int) -> Sequence[Address]:
    """Ask the system for the addresses of a host.

    Raises:
        OSError: it has none, or the name service does not answer.
    """
    look_up = partial(
        socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, look_up)
    return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


async def screen(
    host: str, port: int, resolver: Resolver, *, allow_private: bool
) -> Sequence[Address]:
    """The addresses of a host, all of them fit to be dialled.

    Raises:
        Blocked: one of them is not public. One is enough: no honest name mixes them.
        OSError: the host has no address.
    """
    literal = _literal(host)
    addresses = [literal] if literal else await resolver(host, port)
    if not addresses:
        raise OSError("The name service knows no address of the host.")
    for address in addresses:
        kind = why_refused(address)
        if kind is not None and not allow_private:
            raise _not_public(kind)
    return addresses


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to screened addresses only.

    Args:
        allow_private: let every address and port pass, for demos and tests.
        resolver: asked once per connection.
        dialler: opens a connection to an address that was screened; tests put their own here.
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
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's own
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, screen, dial; see the base class for the arguments.

        Raises:
            Blocked: the host may not be dialled.
            httpcore2.ConnectError, httpcore2.ConnectTimeout: none of its addresses answers.
        """
        if port != HTTPS_PORT and not self._allow_private:
            raise Blocked(BlockedFor.PORT, f"Webhooks go to port {HTTPS_PORT} only.")
        try:
            addresses = await screen(host, port, self._resolver, allow_private=self._allow_private)
        except OSError as error:
            raise httpcore2.ConnectError("The host's name could not be resolved.") from error
        failure: httpcore2.ConnectError | httpcore2.ConnectTimeout | None = None
        for address in addresses:
            last = address is addresses[-1]
            patience = timeout if last else min(timeout or _DIAL_SECONDS, _DIAL_SECONDS)
            try:
                return await self._dialler.connect_tcp(
                    str(address), port, patience, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        assert failure is not None  # noqa: S101 - there was an address, and it failed
        raise failure

"""The guard: checks of URLs, and of resolved addresses at the time of the connection."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any

import httpcore2
import httpx2
import pytest

from autos.contracts.deliveries import TIMEOUT_SECONDS
from autos.webhooks.address_guard import (
    Address,
    Blocked,
    BlockedFor,
    GuardedBackend,
    GuardedTransport,
    check_url,
    resolve,
)
from tests.unit.webhooks.certificates import certificate
from tests.unit.webhooks.receiver import drop, receiver, status
from tests.unit.webhooks.test_addresses import PUBLIC, REFUSED

REFUSED_URLS = {
    "http://example.org/": BlockedFor.SCHEME,
    "ftp://example.org/": BlockedFor.SCHEME,
    "file:///etc/passwd": BlockedFor.SCHEME,
    "gopher://example.org/": BlockedFor.SCHEME,
    "//example.org/": BlockedFor.SCHEME,
    "example.org": BlockedFor.SCHEME,
    "": BlockedFor.SCHEME,
    "https://": BlockedFor.HOST,
    "https:///hook": BlockedFor.HOST,
    "https://user:pass@example.org/": BlockedFor.USER,
    "https://user@example.org/": BlockedFor.USER,
    "https://1.1.1.1\\@example.org/": BlockedFor.USER,
    "https://example.org@127.0.0.1/": BlockedFor.USER,
    "https://example.org:80/": BlockedFor.PORT,
    "https://example.org:22/": BlockedFor.PORT,
    "https://example.org:8443/": BlockedFor.PORT,
    "https://2130706433/": BlockedFor.HOST,
    "https://0x7f000001/": BlockedFor.HOST,
    "https://017700000001/": BlockedFor.HOST,
    "https://0177.0.0.1/": BlockedFor.SHAPE,
    "https://0x7f.0.0.1/": BlockedFor.HOST,
    "https://127.0.0.0x1/": BlockedFor.HOST,
    "https://127.1/": BlockedFor.HOST,
    "https://127.0.1/": BlockedFor.HOST,
    "https://0/": BlockedFor.HOST,
    "https://256.256.256.256/": BlockedFor.SHAPE,
    "https://127.0.0.1./": BlockedFor.HOST,
    "https://example.org./": BlockedFor.HOST,
    "https://127%2e0.0.1/": BlockedFor.HOST,
    "https://ex ample.org/": BlockedFor.HOST,
    "https://example..org/": BlockedFor.HOST,
    "https://-example.org/": BlockedFor.HOST,
    f"https://{'a' * 64}.example/": BlockedFor.HOST,
    f"https://{'a.' * 130}example/": BlockedFor.HOST,
    "https://127。0。0。0x1/": BlockedFor.HOST,
    "https://example.org:0/": BlockedFor.PORT,
    "https://[fe80::1%25eth0]/": BlockedFor.HOST,
    "https://①②⑦.0.0.1/": BlockedFor.SHAPE,
    "https://[not-an-address]/": BlockedFor.SHAPE,
    "https://example.org:99999/": BlockedFor.PORT,
    "https://exa\nmple.org/": BlockedFor.SHAPE,
    "https://10.0.0.1/": BlockedFor.ADDRESS,
    "https://[::1]/": BlockedFor.ADDRESS,
    "https://[::ffff:10.0.0.1]/": BlockedFor.ADDRESS,
    "https://169.254.169.254/": BlockedFor.ADDRESS,
    "https://localhost/": BlockedFor.ADDRESS,
    "https://LOCALHOST/": BlockedFor.ADDRESS,
    "https://hooks.localhost/": BlockedFor.ADDRESS,
}
ACCEPTED_URLS = {
    "https://example.org/hook?token=1": "example.org",
    "https://EXAMPLE.org:443/": "example.org",
    "https://exämple.org/": "xn--exmple-cua.org",
    "https://hooks.x1.internal-name_1.example/": "hooks.x1.internal-name_1.example",
    f"https://{'a' * 63}.example/": f"{'a' * 63}.example",
    "https://93.184.216.34/": "93.184.216.34",
    "https://[2606:4700:4700::1111]/": "2606:4700:4700::1111",
}


@pytest.mark.parametrize(("url", "reason"), REFUSED_URLS.items())
def test_invalid_url_is_rejected(url: str, reason: BlockedFor) -> None:
    with pytest.raises(Blocked) as blocked:
        check_url(url, allow_private=False)
    assert blocked.value.reason is reason
    assert str(blocked.value).endswith((".", "hook."))


@pytest.mark.parametrize(("url", "host"), ACCEPTED_URLS.items())
def test_valid_url_is_accepted(url: str, host: str) -> None:
    assert check_url(url, allow_private=False).raw_host.decode() == host


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000/", "http://localhost/", "https://receiver:8443/"]
)
def test_demos_may_use_http_and_any_port(url: str) -> None:
    check_url(url, allow_private=True)


@pytest.mark.parametrize(
    "url", ["https://user:pass@receiver/", "http://0x7f.1/", "ftp://receiver/", "https://a./"]
)
def test_malformed_url_is_rejected_in_demos(url: str) -> None:
    with pytest.raises(Blocked):
        check_url(url, allow_private=True)


class Names:
    """A resolver with scripted answers; each lookup takes the next one."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        return [ip_address(text) for text in self.answers.pop(0)]


class Dialler(httpcore2.AsyncNetworkBackend):
    """Records each address and connects to a receiver on loopback instead."""

    def __init__(
        self, *, port: int = 0, refused: Sequence[str] = (), silent: Sequence[str] = ()
    ) -> None:
        self.dialled: list[tuple[str, int]] = []
        self.patience: list[float | None] = []
        self._port = port
        self._refused = refused
        self._silent = silent

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.dialled.append((host, port))
        self.patience.append(timeout)
        if host in self._silent:
            raise httpcore2.ConnectTimeout("no answer")
        if host in self._refused:
            raise httpcore2.ConnectError("refused")
        return await httpcore2.AnyIOBackend().connect_tcp("127.0.0.1", self._port)


@pytest.mark.parametrize(("address", "kind"), REFUSED.items())
async def test_name_with_a_non_public_address_is_blocked(address: str, kind: str) -> None:
    dialler = Dialler()
    backend = GuardedBackend(allow_private=False, resolver=Names([address]), dialler=dialler)
    with pytest.raises(Blocked) as blocked:
        await backend.connect_tcp("harmless.example", 443)
    assert blocked.value.reason is BlockedFor.ADDRESS
    assert kind in str(blocked.value)
    assert address not in str(blocked.value)
    assert dialler.dialled == []


@pytest.mark.parametrize("address", [*REFUSED])
async def test_non_public_address_literal_is_blocked(address: str) -> None:
    names, dialler = Names(), Dialler()
    backend = GuardedBackend(allow_private=False, resolver=names, dialler=dialler)
    with pytest.raises(Blocked):
        await backend.connect_tcp(address, 443)
    assert names.asked == []
    assert dialler.dialled == []


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "::1"])
async def test_one_non_public_address_among_public_ones_blocks(address: str) -> None:
    dialler = Dialler()
    names = Names([*PUBLIC, address])
    backend = GuardedBackend(allow_private=False, resolver=names, dialler=dialler)
    with pytest.raises(Blocked):
        await backend.connect_tcp("mixed.example", 443)
    assert dialler.dialled == []


async def test_another_port_is_blocked_at_the_connection_too() -> None:
    backend = GuardedBackend(allow_private=False, resolver=Names(["1.1.1.1"]), dialler=Dialler())
    with pytest.raises(Blocked) as blocked:
        await backend.connect_tcp("harmless.example", 6379)
    assert blocked.value.reason is BlockedFor.PORT


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS contexts for `hooks.example`: of the server, and of a client that trusts it."""
    path = certificate(tmp_path_factory.mktemp("tls"), "hooks.example")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=path)


def transport(names: Names, dialler: Dialler, trust: ssl.SSLContext) -> GuardedTransport:
    backend = GuardedBackend(allow_private=False, resolver=names, dialler=dialler)
    return GuardedTransport(allow_private=False, backend=backend, ssl_context=trust)


def post(url: str = "https://hooks.example/hook") -> httpx2.Request:
    return httpx2.Request("POST", url, content=b"{}")


async def answered(carrier: GuardedTransport, request: httpx2.Request) -> int:
    response = await carrier.handle_async_request(request)
    await response.aread()
    await response.aclose()
    return response.status_code


async def test_checked_address_is_used_with_the_host_name(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, trust = contexts
    async with receiver(tls=server) as up:
        names = Names(["93.184.216.34", "1.1.1.1"])
        dialler = Dialler(port=up.port, refused=["93.184.216.34"])
        async with transport(names, dialler, trust) as carrier:
            assert await answered(carrier, post()) == 204
    assert names.asked == ["hooks.example"]
    assert dialler.dialled == [("93.184.216.34", 443), ("1.1.1.1", 443)]
    assert up.server_names == ["hooks.example"]
    assert up.requests[0].headers["host"] == "hooks.example"


async def test_silent_address_leaves_time_for_the_next(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, trust = contexts
    async with receiver(tls=server) as up:
        names = Names(["2606:4700:4700::1111", "1.1.1.1"])
        dialler = Dialler(port=up.port, silent=["2606:4700:4700::1111"])
        async with transport(names, dialler, trust) as carrier:
            assert await answered(carrier, post()) == 204
    first, last = dialler.patience
    assert first is not None
    assert first < TIMEOUT_SECONDS / 2
    assert last is None


async def test_hanging_lookups_block_neither_other_names_nor_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silence = threading.Event()
    system = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any, **options: Any) -> Any:
        if host.endswith(".silent.example"):
            silence.wait(30)
            raise socket.gaierror
        return system(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    hanging = [asyncio.create_task(resolve(f"{n}.silent.example", 443)) for n in range(100)]
    try:
        async with asyncio.timeout(25):
            assert await resolve("127.0.0.1", 443) == [ip_address("127.0.0.1")]
            await asyncio.to_thread(lambda: None)
        assert not any(task.done() for task in hanging)
    finally:
        silence.set()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_untrusted_certificate_is_rejected(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """With the default authorities, as in production: the certificate is self-signed."""
    async with receiver(tls=contexts[0]) as up:
        backend = GuardedBackend(
            allow_private=False, resolver=Names(["1.1.1.1"]), dialler=Dialler(port=up.port)
        )
        async with GuardedTransport(allow_private=False, backend=backend) as carrier:
            with pytest.raises(httpx2.ConnectError):
                await carrier.handle_async_request(post())
    assert up.requests == []


async def test_name_that_changes_to_a_private_address_is_blocked(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """F8."""
    server, trust = contexts
    async with receiver(tls=server) as up:
        names = Names(["93.184.216.34"], ["127.0.0.1"])
        dialler = Dialler(port=up.port)
        async with transport(names, dialler, trust) as carrier:
            assert await answered(carrier, post()) == 204
            # A new connection makes a new lookup, whose address is blocked.
            with pytest.raises(Blocked):
                await carrier.handle_async_request(post())
    assert dialler.dialled == [("93.184.216.34", 443)]
    assert len(up.requests) == 1


async def test_international_name_with_a_private_address_is_blocked(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    names = Names(["192.168.1.1"])
    async with transport(names, Dialler(), contexts[1]) as carrier:
        with pytest.raises(Blocked):
            await carrier.handle_async_request(post("https://exämple.org/"))
    assert names.asked == ["xn--exmple-cua.org"]


async def test_certificate_of_another_name_is_rejected(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, trust = contexts
    async with receiver(tls=server) as up:
        dialler = Dialler(port=up.port)
        async with transport(Names(["1.1.1.1"]), dialler, trust) as carrier:
            with pytest.raises(httpx2.ConnectError):
                await carrier.handle_async_request(post("https://other.example/"))
    assert up.requests == []


async def test_redirect_to_a_private_address_is_not_followed(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """F8."""
    server, trust = contexts
    async with receiver(status(302, Location="http://169.254.169.254/"), tls=server) as up:
        names, dialler = Names(["1.1.1.1"]), Dialler(port=up.port)
        async with transport(names, dialler, trust) as carrier:
            assert await answered(carrier, post()) == 302
    assert dialler.dialled == [("1.1.1.1", 443)]


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment with a proxy that does not exist."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.mark.usefixtures("proxies")
async def test_proxy_of_the_environment_is_not_used(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, trust = contexts
    async with receiver(tls=server) as up:
        names, dialler = Names(["1.1.1.1"]), Dialler(port=up.port)
        async with transport(names, dialler, trust) as carrier:
            assert await answered(carrier, post()) == 204
    assert dialler.dialled == [("1.1.1.1", 443)]


async def test_broken_connection_raises_httpx2s_error() -> None:
    async with receiver(drop) as up, GuardedTransport(allow_private=True) as carrier:
        with pytest.raises(httpx2.TransportError):
            await carrier.handle_async_request(post(up.url))


async def test_loopback_is_accepted_only_if_allowed() -> None:
    async with receiver() as up:
        async with GuardedTransport(allow_private=False) as carrier:
            with pytest.raises(Blocked):
                await carrier.handle_async_request(post(up.url))
        async with GuardedTransport(allow_private=True) as carrier:
            assert await answered(carrier, post(up.url)) == 204

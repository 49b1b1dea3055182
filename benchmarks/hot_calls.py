"""CPU of the two hot calls: the GET of a document from the source, and its PUT into the store.

`python -m benchmarks.hot_calls` runs both through `SourceClient` and `Store` against a server that
costs this process nothing, and prints the CPU time of one call. `--profile FILE` also writes a
cProfile of all calls. `--serve` is the server.
"""

import argparse
import asyncio
import cProfile
import hashlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Final

from autos.cnj import CaseNumber
from autos.settings import Settings
from autos.source import (
    Credential,
    Credentials,
    Downloaded,
    Limiter,
    SourceClient,
    Spool,
    open_http,
)
from autos.store import Store, document_key
from benchmarks.wire import HOST

CASE: Final = CaseNumber.parse("9990001-21.2024.4.03.6100")
ADDRESS: Final = (
    f"/api/v2/processos/{CASE.masked}/documentos/0f5c8f6e-1111-5222-8333-{{:012d}}/binario"
)


class HotServer(asyncio.Protocol):
    """Answers a GET with a PDF whose size is the document's number, and a PUT with its MD5.

    Each answer comes after `seconds`, like those of a real network.
    """

    seconds = 0.0
    _bodies: Final[dict[int, bytes]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._head = b""
        self._expected = -1
        self._digest = hashlib.md5(usedforsecurity=False)

    def data_received(self, data: bytes) -> None:
        """Read one request; clients of this server do not pipeline."""
        if self._expected < 0:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = head.lower()
            _, _, length = self._head.partition(b"\r\ncontent-length: ")
            self._expected = int(length.split(b"\r\n", 1)[0] or 0)
            self._digest = hashlib.md5(usedforsecurity=False)
        self._digest.update(data)
        self._expected -= len(data)
        if self._expected == 0:
            reply = self._reply()
            self._expected, self._head = -1, b""
            asyncio.get_running_loop().call_later(self.seconds, self._send, reply)

    def _send(self, reply: bytes) -> None:
        self._transport.write(reply)

    def _reply(self) -> bytes:
        if self._head.startswith(b"get"):
            size = int(self._head.split(b"/binario", 1)[0][-12:])
            if size not in self._bodies:
                body = b"%PDF-1.4 " + bytes(size - 15) + b"%%EOF\n"
                self._bodies[size] = (
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/pdf\r\n"
                    b"content-length: %d\r\n\r\n" % size
                ) + body
            return self._bodies[size]
        etag = self._digest.hexdigest().encode()
        return b'HTTP/1.1 200 OK\r\netag: "%s"\r\ncontent-length: 0\r\n\r\n' % etag


class LocalPermits:
    """Permits of this process; never waits, as the number of tasks is bounded."""

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """A permit for one request."""
        yield


class FixedCredential:
    """A `CredentialStore` with one token."""

    async def load(self) -> Credential | None:
        """The token."""
        return Credential("token")

    async def replace(self, *_: Credential) -> bool:
        """Refuse: the token is never refreshed."""
        return False

    async def note(self, token: str, *, refused: bool) -> None:
        """Ignore: the server refuses nothing."""


async def cpu_per_call(call: Callable[[], Awaitable[None]], calls: int, at_once: int) -> float:
    """Milliseconds of CPU of this process for one call."""
    left = calls

    async def lane() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await call()

    before = time.process_time()
    await asyncio.gather(*(lane() for _ in range(at_once)))
    return (time.process_time() - before) * 1000 / calls


async def measure(port: int, sizes: list[int], calls: int, at_once: int) -> None:
    """Print the CPU of GET and PUT for each size."""
    origin = f"http://{HOST}:{port}"
    settings = Settings.model_validate(
        {
            "pdpj_base_url": origin,
            "source_max_in_flight": max(at_once, 50),
            "s3_endpoint": origin,
            "s3_bucket": "autos",
            "s3_access_key_id": "AKIDFORTESTS0000",
            "s3_secret_access_key": "secret-for-tests-0000",
        }
    )
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory()))
        http = await opened.enter_async_context(open_http(settings))
        store_http = await opened.enter_async_context(open_http(settings))
        limiter = Limiter(LocalPermits())
        source = SourceClient(
            settings, http, Credentials(FixedCredential(), http, settings), limiter
        )
        store = Store(settings, store_http)
        for size in sizes:
            address = ADDRESS.format(size)

            async def get(address: str = address, size: int = size) -> None:
                reply = await source.document(CASE, address, size, folder, "application/pdf")
                assert isinstance(reply, Downloaded), reply
                reply.close()

            spool = opened.enter_context(Spool(folder))
            data = bytes(size)
            for start in range(0, size, 65536):
                await spool.write(data[start : start + 65536])
            sha256 = hashlib.sha256(data).hexdigest()
            key = document_key(CASE.digits, sha256)

            async def put(spool: Spool = spool, key: str = key, sha256: str = sha256) -> None:
                assert await store.put(key, spool, sha256, "application/pdf")

            for call in (get, put):
                await cpu_per_call(call, 2 * at_once, at_once)
            found = [await cpu_per_call(call, calls, at_once) for call in (get, put)]
            print(f"{size:>9,} bytes: GET {found[0]:.3f} ms, PUT {found[1]:.3f} ms", flush=True)


async def serve(port: int, seconds: float) -> None:
    """Serve until the process is ended."""
    HotServer.seconds = seconds
    server = await asyncio.get_running_loop().create_server(HotServer, HOST, port)
    await server.serve_forever()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_calls")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 50_000, 200_000])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds of each answer")
    parser.add_argument("--profile", help="write a cProfile here")
    parser.add_argument("--serve", type=int, help="only serve, on this port")
    given = parser.parse_args()
    if given.serve:
        with suppress(KeyboardInterrupt):
            asyncio.run(serve(given.serve, given.latency))
        return
    with closing(socket()) as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.hot_calls", "--serve", str(port)]
    server = subprocess.Popen([*command, "--latency", str(given.latency)])
    try:
        _await_port(port)
        profile = cProfile.Profile()
        if given.profile:
            profile.enable()
        asyncio.run(measure(port, given.sizes, given.calls, given.at_once))
        if given.profile:
            profile.disable()
            profile.dump_stats(given.profile)
    finally:
        server.terminate()
        server.wait()


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with closing(socket()) as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("The server did not start")


if __name__ == "__main__":
    main()

"""Two real S3 servers: rclone (the embedded one) and moto (with conditional writes)."""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection, socket
from typing import cast
from urllib.parse import unquote

import aiohttp
import pytest
from moto.server import ThreadedMotoServer

from autos.settings import Settings
from autos.source import open_http
from autos.store import Store

ACCESS_KEY = "AKIDFORTESTS0000"
SECRET_KEY = "secret-for-tests-0000"


@dataclass(frozen=True, slots=True)
class Endpoint:
    kind: str
    address: str

    def settings(self, **changes: object) -> Settings:
        return Settings.model_validate(
            {
                "s3_endpoint": self.address,
                "s3_bucket": "autos-tests",
                "s3_access_key_id": ACCESS_KEY,
                "s3_secret_access_key": SECRET_KEY,
            }
            | changes
        )


def _free_port() -> int:
    with closing(socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _rclone(folder: Path) -> Iterator[Endpoint]:
    binary = shutil.which("rclone", path=str(Path(sys.executable).parent))
    if binary is None:
        pytest.skip("rclone is not installed (the extra `embedded` has it)")
    port = _free_port()
    process = subprocess.Popen(
        [
            binary,
            "serve",
            "s3",
            str(folder),
            "--addr",
            f"127.0.0.1:{port}",
            "--auth-key",
            f"{ACCESS_KEY},{SECRET_KEY}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_port(port, process)
        yield Endpoint("rclone", f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(10)


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert process.poll() is None, "rclone ended at once"
        try:
            create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            asyncio.run(asyncio.sleep(0.05))
        else:
            return
    pytest.fail("rclone did not begin to listen")


def _moto() -> Iterator[Endpoint]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=_free_port(), verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Endpoint("moto", f"http://{host}:{port}")
    finally:
        server.stop()


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    yield from _rclone(tmp_path_factory.mktemp("rclone"))


@pytest.fixture(scope="session")
def moto() -> Iterator[Endpoint]:
    yield from _moto()


@pytest.fixture(params=["rclone", "moto"])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    found: Endpoint = request.getfixturevalue(request.param)
    return found


UNUSED_HTTP = cast("aiohttp.ClientSession", None)
"""For stores that send no request."""


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_http(Settings()) as client:
        yield client


@pytest.fixture
async def store(endpoint: Endpoint, http: aiohttp.ClientSession) -> Store:
    opened = Store(endpoint.settings(), http)
    await opened.ensure_bucket()
    return opened


def saved_name(disposition: str) -> str:
    """The name that a browser uses: `filename*` takes precedence (RFC 6266 §4.3)."""
    match = re.fullmatch(
        r"attachment; filename=\"[^\"\\]*\"; filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]*)",
        disposition,
    )
    assert match is not None, disposition
    return unquote(match[1], errors="strict")

"""The API's HTTP layer against hostile clients: real server, raw bytes."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
import pytest
from pydantic import SecretStr
from temporalio.client import Client

from api.app import create_app
from api.http import admission, server
from autos.records.database import Database
from autos.settings import Settings
from tests.integration.api_parts import ADMIN_KEY, FakeStore, opener, problem
from tests.integration.serving import serving

KEY: Final = f"Authorization: Bearer {ADMIN_KEY}\r\n"
LONGEST: Final = 100_000
ENDLESS: Final = 200_000_000


@pytest.fixture(scope="module")
async def port(database: Database, temporal: Client, store: FakeStore) -> AsyncIterator[int]:
    settings = Settings(
        admin_key=SecretStr(ADMIN_KEY),
        secret_key=SecretStr("k" * 32),
        api_max_body_bytes=LONGEST,
    )
    async with serving(create_app(settings, opener(database, temporal, store))) as port:
        yield port


@pytest.fixture
async def client(port: int, admin: dict[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with a key."""
    address = f"http://127.0.0.1:{port}"
    async with httpx2.AsyncClient(base_url=address, headers=admin, trust_env=False) as client:
        yield client


async def answer_to(port: int, *pieces: str | bytes) -> bytes:
    """Send the pieces and return all bytes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(60):
            for piece in pieces:
                writer.write(piece.encode() if isinstance(piece, str) else piece)
            await writer.drain()
            return await reader.read()
    finally:
        writer.close()


def first(answer: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers and JSON of the first response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, json.loads(body[: int(headers["content-length"])])


def is_problem(answer: bytes, status: int, name: str) -> None:
    code, headers, body = first(answer)
    assert (code, body["status"], body["type"]) == (status, status, f"urn:autos:problem:{name}")
    assert headers["content-type"] == "application/problem+json"
    assert body["request_id"]


@pytest.mark.parametrize(
    ("key", "status"), [("", 401), (KEY, 413)], ids=["without a key", "with a key"]
)
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_endless_body_is_cut_off(port: int, key: str, status: int, framing: str) -> None:
    """(S22) The server reads neither 200 MB without a key nor more than the bound with one."""
    piece = b"x" * 65_536
    lengths = {"length": f"Content-Length: {ENDLESS}", "chunks": "Transfer-Encoding: chunked"}
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST /api/v1/webhooks/webhook-validate HTTP/1.1\r\nHost: api\r\n{key}"
        f"Content-Type: application/json\r\n{lengths[framing]}\r\n\r\n".encode()
    )
    sent = 0
    try:
        async with asyncio.timeout(60):
            while sent < ENDLESS:
                writer.write(piece if framing == "length" else b"10000\r\n" + piece + b"\r\n")
                await writer.drain()
                sent += len(piece)
    except ConnectionError:
        pass
    finally:
        writer.close()
    # At most the sockets' buffers were filled.
    assert sent < ENDLESS / 10
    # A client that waits for the response before it sends the body gets it.
    head = (
        f"POST /api/v1/webhooks/webhook-validate HTTP/1.1\r\nHost: api\r\n{key}"
        "Content-Type: application/json\r\nExpect: 100-continue\r\n"
        f"Content-Length: {ENDLESS}\r\n\r\n"
    )
    answer = await answer_to(port, head)
    is_problem(answer, status, {401: "unauthorized", 413: "body-too-large"}[status])
    assert b"100 Continue" not in answer


async def test_body_up_to_the_limit_is_read(client: httpx2.AsyncClient) -> None:
    """(S22) The limit is exact and applies to the body only."""
    body = b'{"url": "https://example.org/"' + b" " * LONGEST + b"}"
    headers = {"Content-Type": "application/json"}
    path = "/api/v1/webhooks/webhook-test-receiver"
    fits, longer = body[: LONGEST - 1] + b"}", body[:LONGEST] + b"}"
    assert len(fits) == LONGEST
    # The test receiver has a lower limit.
    answer = await client.post(path, content=fits, headers=headers)
    problem(answer, 413, "webhook-too-large")
    problem(await client.post(path, content=longer, headers=headers), 413, "body-too-large")


async def test_compressed_body_is_rejected(client: httpx2.AsyncClient) -> None:
    """(S22) The body is not decompressed."""
    bomb = gzip.compress(b'{"url": "' + b"x" * 10_000_000 + b'"}')
    answer = await client.post(
        "/api/v1/webhooks/webhook-validate",
        content=bomb,
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )
    problem(answer, 415, "body-encoded")


async def test_request_without_a_key_reveals_no_paths_or_validation(
    client: httpx2.AsyncClient,
) -> None:
    """(S22) Unknown paths, methods and invalid bodies all return 401."""
    del client.headers["authorization"]
    for method, path in (
        ("POST", "/api/v1/webhooks/webhook-validate"),
        ("GET", "/api/v1/nowhere"),
        ("PATCH", "/api/v1/jobs"),
    ):
        answer = await client.request(method, path, content=b"{")
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_slow_body_times_out(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """(S22) A slow body holds a request for a bounded time."""
    monkeypatch.setattr(admission, "BODY_SECONDS", 0.2)
    head = f"POST /api/v1/api-keys HTTP/1.1\r\nHost: api\r\n{KEY}Content-Length: 10\r\n\r\n"
    is_problem(await answer_to(port, head, "{"), 408, "body-too-slow")


@pytest.mark.parametrize("begun", ["", "GET / HT", "GET /health/live HTTP/1.1\r\nX-Slow: "])
async def test_slow_headers_time_out(
    port: int, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    """(S22) A connection without a request is closed after a bounded time."""
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    is_problem(await answer_to(port, begun), 408, "request-too-slow")


async def test_slow_headers_of_a_second_request_time_out(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S22) Also on a connection that has served a request."""
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(60):
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: api\r\n\r\n")
            whole = await reader.readuntil(b"}}")
            assert first(whole)[0] == 200
            writer.write(b"GET /health/li")
            is_problem(await reader.read(), 408, "request-too-slow")
    finally:
        writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /health/live HTTP/1.1\r\nHost: a\r\n" + b"X-Long: " + b"x" * 70_000,
        b"GET /health/live HTTP/1.1\r\nHost: a\r\n" + b"X-Many: y\r\n" * 10_000,
        b"GET /health/live HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /h\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9" + b"9" * 40 + b"\r\n\r\n",
        b"POST /health/live HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET  /health/live HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_invalid_http_returns_a_problem_document(port: int, request_bytes: bytes) -> None:
    """(S41) Requests that never reach the application get one, too."""
    is_problem(await answer_to(port, request_bytes), 400, "unreadable-request")


async def test_body_with_both_framings_smuggles_no_request(port: int) -> None:
    """(S22) `Content-Length` with chunks is rejected or ignored."""
    smuggled = (
        f"POST /api/v1/webhooks/webhook-validate HTTP/1.1\r\nHost: api\r\n{KEY}"
        "Content-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        '5\r\n{"a":\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n'
    )
    answer = await answer_to(port, smuggled)
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert b"HTTP/1.1 5" not in answer


async def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    """(S41) Bodies in one packet are separated, also after a rejected request."""
    body = '{"url": "https://example.org:99999999/"}'
    one = (
        f"POST /api/v1/webhooks/webhook-test-connectivity HTTP/1.1\r\nHost: api\r\n{KEY}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    last = f"GET /api/v1/nowhere HTTP/1.1\r\nHost: api\r\n{KEY}Connection: close\r\n\r\n"
    answer = await answer_to(port, one, one, last)
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert len(statuses) == 3
    assert statuses[2] == 404
    assert all(status < 500 for status in statuses)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("OPTIONS", "/api/v1/api-keys", "GET, POST"),
        ("HEAD", "/api/v1/webhooks/secret", "GET, POST"),
        ("PUT", "/api/v1/processes/99900028620248260100", "GET, DELETE"),
        ("DELETE", "/health/live", "GET"),
        ("BREW", "/api/v1/credentials/pdpj", "GET, PUT"),
    ],
)
async def test_allow_lists_every_method_of_a_path(
    client: httpx2.AsyncClient, method: str, path: str, allow: str
) -> None:
    """(S41) Not only the methods of the first matching route."""
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    if method != "HEAD":
        problem(answer, 405, "method-not-allowed")


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "image/png"},
        {"Accept": ";;q=x,,*/"},
        {"Accept-Encoding": "zstd;q=1"},
        {"Prefer": "wait=99999999999999999999, return=minimal"},
        {"Prefer": "wait=-1"},
        {"If-None-Match": 'W/"' + "x" * 8000},
        {"Range": "bytes=0-1"},
        {"X-Request-ID": "\x7f\x01"},
        {"Authorization": "Bearer é"},
        {"Upgrade": "websocket", "Connection": "Upgrade"},
        {"Content-Type": "application/json; charset=utf-7"},
    ],
)
async def test_unusual_headers_cause_no_server_error(
    client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    """(S41) The status is below 500 and the content type is one of two."""
    sent = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    for path in ("/api/v1/processes/99900028620248260100/status", "/health/live"):
        answer = await client.get(path, headers=sent)
        assert answer.status_code < 500
        assert answer.headers["content-type"] in ("application/json", "application/problem+json")


@pytest.mark.parametrize(
    "body",
    [b"{", b"not json", b'{"url": "\xff"}', b"[" * 20_000, b'{"attempts": ' + b"9" * 5000 + b"}"],
)
async def test_body_that_is_not_utf_8_json_is_unreadable(
    client: httpx2.AsyncClient, body: bytes
) -> None:
    """(S38) As docs/reference/api.md describes `unreadable-body`."""
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/api/v1/webhooks/webhook-send-test", content=body, headers=headers)
    problem(answer, 400, "unreadable-body")


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b"3", b'{"url": "\\ud800"}', b'{"url": NaN}', b'{"uri": "x"}', b""]
)
async def test_json_body_that_does_not_match_the_schema_is_invalid(
    client: httpx2.AsyncClient, body: bytes
) -> None:
    """(S38) As docs/reference/api.md describes `invalid-request`."""
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/api/v1/webhooks/webhook-send-test", content=body, headers=headers)
    assert problem(answer, 422, "invalid-request")["errors"]


@pytest.mark.parametrize("path", ["/api/v1/jobs/", "/health/live/", "/docs/"])
async def test_host_header_causes_no_redirect(client: httpx2.AsyncClient, path: str) -> None:
    """(S41) Behind a proxy, a redirect from https to http would expose the key."""
    problem(await client.get(path, headers={"Host": "evil.example"}), 404, "not-found")

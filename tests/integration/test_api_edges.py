"""The API's outer edge, as a hostile client meets it: real server, raw bytes."""

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
    """All that the server answers until it closes the connection."""
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
    """Status, headers and JSON of the first answer."""
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
async def test_an_endless_body_is_cut_off(port: int, key: str, status: int, framing: str) -> None:
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
    # What the sockets' own buffers take, and no more.
    assert sent < ENDLESS / 10
    # A client that waits for the answer before it sends on gets it.
    head = (
        f"POST /api/v1/webhooks/webhook-validate HTTP/1.1\r\nHost: api\r\n{key}"
        "Content-Type: application/json\r\nExpect: 100-continue\r\n"
        f"Content-Length: {ENDLESS}\r\n\r\n"
    )
    answer = await answer_to(port, head)
    is_problem(answer, status, {401: "unauthorized", 413: "body-too-large"}[status])
    assert b"100 Continue" not in answer


async def test_a_body_within_the_bound_is_read(client: httpx2.AsyncClient) -> None:
    """(S22) The bound holds for the body alone, and to the byte."""
    body = b'{"url": "https://example.org/"' + b" " * LONGEST + b"}"
    headers = {"Content-Type": "application/json"}
    path = "/api/v1/webhooks/webhook-test-receiver"
    fits, longer = body[: LONGEST - 1] + b"}", body[:LONGEST] + b"}"
    assert len(fits) == LONGEST
    # The receiver has a lower bound.
    answer = await client.post(path, content=fits, headers=headers)
    problem(answer, 413, "webhook-too-large")
    problem(await client.post(path, content=longer, headers=headers), 413, "body-too-large")


async def test_a_compressed_body_is_refused(client: httpx2.AsyncClient) -> None:
    """(S22) A few bytes that would become many are not unpacked."""
    bomb = gzip.compress(b'{"url": "' + b"x" * 10_000_000 + b'"}')
    answer = await client.post(
        "/api/v1/webhooks/webhook-validate",
        content=bomb,
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )
    problem(answer, 415, "body-encoded")


async def test_without_a_key_nothing_is_shown_of_paths_and_bodies(
    client: httpx2.AsyncClient,
) -> None:
    """(S22) A client without a key learns neither which paths there are nor whether a body fits."""
    del client.headers["authorization"]
    for method, path in (
        ("POST", "/api/v1/webhooks/webhook-validate"),
        ("GET", "/api/v1/nowhere"),
        ("PATCH", "/api/v1/jobs"),
    ):
        answer = await client.request(method, path, content=b"{")
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_body_that_does_not_come_is_not_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S22) A body that drips holds a request for a bounded time."""
    monkeypatch.setattr(admission, "BODY_SECONDS", 0.2)
    head = f"POST /api/v1/api-keys HTTP/1.1\r\nHost: api\r\n{KEY}Content-Length: 10\r\n\r\n"
    is_problem(await answer_to(port, head, "{"), 408, "body-too-slow")


@pytest.mark.parametrize("begun", ["", "GET / HT", "GET /health/live HTTP/1.1\r\nX-Slow: "])
async def test_headers_that_do_not_come_are_not_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    """(S22) A connection without a request is closed after a bounded time."""
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    is_problem(await answer_to(port, begun), 408, "request-too-slow")


async def test_headers_that_do_not_come_after_a_first_request_are_not_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S22) Nor is the second request of a connection."""
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
async def test_what_is_not_http_is_a_problem_too(port: int, request_bytes: bytes) -> None:
    """(S41) Also what never reaches the application is answered by a problem document."""
    is_problem(await answer_to(port, request_bytes), 400, "unreadable-request")


async def test_a_body_of_both_framings_smuggles_nothing(port: int) -> None:
    """(S22) `Content-Length` beside chunks is refused or ignored, never a second request."""
    smuggled = (
        f"POST /api/v1/webhooks/webhook-validate HTTP/1.1\r\nHost: api\r\n{KEY}"
        "Content-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        '5\r\n{"a":\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n'
    )
    answer = await answer_to(port, smuggled)
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert b"HTTP/1.1 5" not in answer


async def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    """(S41) Bodies in one packet stay apart, and a refused one does not swallow the next."""
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
async def test_allow_names_every_method_of_a_path(
    client: httpx2.AsyncClient, method: str, path: str, allow: str
) -> None:
    """(S41) All of them, not those of the first route alone."""
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
async def test_odd_headers_break_nothing(
    client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    """(S41) Whatever a header says, an answer is below 500 and has one of our two types."""
    sent = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    for path in ("/api/v1/processes/99900028620248260100/status", "/health/live"):
        answer = await client.get(path, headers=sent)
        assert answer.status_code < 500
        assert answer.headers["content-type"] in ("application/json", "application/problem+json")


@pytest.mark.parametrize(
    "body",
    [b"{", b"not json", b'{"url": "\xff"}', b"[" * 20_000, b'{"attempts": ' + b"9" * 5000 + b"}"],
)
async def test_a_body_that_is_no_json_in_utf_8_is_unreadable(
    client: httpx2.AsyncClient, body: bytes
) -> None:
    """(S38) As docs/reference/api.md says of `unreadable-body`."""
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/api/v1/webhooks/webhook-send-test", content=body, headers=headers)
    problem(answer, 400, "unreadable-body")


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b"3", b'{"url": "\\ud800"}', b'{"url": NaN}', b'{"uri": "x"}', b""]
)
async def test_a_body_that_is_json_and_does_not_fit_is_invalid(
    client: httpx2.AsyncClient, body: bytes
) -> None:
    """(S38) The other of the two."""
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/api/v1/webhooks/webhook-send-test", content=body, headers=headers)
    assert problem(answer, 422, "invalid-request")["errors"]


@pytest.mark.parametrize("path", ["/api/v1/jobs/", "/health/live/", "/docs/"])
async def test_no_redirect_leads_where_the_host_header_says(
    client: httpx2.AsyncClient, path: str
) -> None:
    """(S41) Behind a proxy it would lead from https to http, and the key would follow."""
    problem(await client.get(path, headers={"Host": "evil.example"}), 404, "not-found")

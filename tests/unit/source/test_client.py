"""The client of the source against a fake server: outcomes, limits and cancellation."""

import asyncio
import gzip
import hashlib
import json
import random
from pathlib import Path

import pytest

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason
from autos.source import Credential, Downloaded, Refused, SourceClient, SourceRefused
from autos.source.limits.breaker import FAILURES_TO_OPEN
from tests.unit.source.clients import (
    ADDRESS,
    CODEX_ERROR,
    DETAIL,
    HIT,
    MISS,
    NO_ACCESS,
    NUMBER,
    PDF,
    SEARCH,
    UNKNOWN,
    client_of,
    fetch,
)
from tests.unit.source.server import Request, Script, always, by_path, reply, running


async def test_document_is_downloaded_with_its_hash(tmp_path: Path) -> None:
    async with running(always(reply(200, PDF))) as server, client_of(server) as client:
        outcome = await client.document(NUMBER, ADDRESS, len(PDF), tmp_path)
    assert isinstance(outcome, Downloaded)
    with outcome:
        assert outcome.size == len(PDF)
        assert outcome.sha256 == hashlib.sha256(PDF).hexdigest()
        assert outcome.content_type == "application/pdf"
        assert b"".join([piece async for piece in outcome.spool.pieces()]) == PDF
    (request,) = server.requests
    assert request.path == ADDRESS
    assert request.headers["authorization"] == "Bearer token"
    assert request.headers["user-agent"].startswith("Mozilla/5.0")
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["origin"] == server.origin
    assert request.headers["referer"].startswith(f"{server.origin}/consulta")
    assert "cookie" not in request.headers


async def test_large_document_is_spooled_and_removed(tmp_path: Path) -> None:
    body = b"%PDF-1.4" + bytes(20 * 1024 * 1024) + b"%%EOF"
    outcome = await fetch(always(reply(200, body)), tmp_path)
    assert isinstance(outcome, Downloaded)
    with outcome:
        assert outcome.spool.on_disk
        assert outcome.sha256 == hashlib.sha256(body).hexdigest()
    assert list(tmp_path.iterdir()) == []


async def test_chunked_and_compressed_replies_are_understood(tmp_path: Path) -> None:
    packed = gzip.compress(PDF)
    headers = {"content-encoding": "gzip"}
    outcome = await fetch(always(reply(200, packed, headers)), tmp_path, len(PDF))
    assert isinstance(outcome, Downloaded)
    chunked = b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    outcome = await fetch(always(chunked), tmp_path)
    assert isinstance(outcome, Downloaded)
    assert outcome.size == 3


async def hang(_: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def stall(_: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(200, PDF)[:-500])
    await writer.drain()
    await asyncio.sleep(60)


async def reset(_: Request, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@pytest.mark.parametrize(
    ("script", "reason", "final"),
    [
        (hang, Reason.TIMEOUT, False),
        (stall, Reason.TIMEOUT, False),
        (reset, Reason.UNAVAILABLE, False),
        (always(reply(200, PDF)[:-1], then_close=True), Reason.TRUNCATED, False),
        (
            always(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab", then_close=True),
            Reason.TRUNCATED,
            False,
        ),
        (always(b"nonsense\r\n\r\n", then_close=True), Reason.UNAVAILABLE, False),
        (always(reply(403, b"{}")), Reason.SECRET, True),
        (always(reply(401, NO_ACCESS)), Reason.NO_ACCESS, True),
        (always(reply(302, b"", {"location": "http://127.0.0.1:1/x"})), Reason.REDIRECTED, False),
        (always(reply(500, CODEX_ERROR)), Reason.DOCUMENT_ERROR, False),
        (always(reply(500, b"x" * 50_000)), Reason.UNAVAILABLE, False),
    ],
)
async def test_failed_request_has_a_reason(
    script: Script, reason: Reason, final: bool, tmp_path: Path
) -> None:
    outcome = await fetch(script, tmp_path, source_idle_timeout=0.3)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.final) == (reason, final)


async def test_missing_server_is_unavailable(tmp_path: Path) -> None:
    async with running(hang) as server:
        pass
    async with client_of(server) as client:
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(Reason.UNAVAILABLE)


async def test_too_large_document_is_refused_by_its_declared_length(tmp_path: Path) -> None:
    async def only_the_head(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, b"", {"content-length": str(10**12)}))

    async with running(only_the_head) as server, client_of(server, connections=1) as client:
        # Twice over one connection, which is reused.
        for _ in range(2):
            outcome = await client.document(NUMBER, ADDRESS, None, tmp_path)
            assert outcome == Refused(Reason.TOO_LARGE, final=True)


async def test_too_large_document_is_dropped_during_the_download(tmp_path: Path) -> None:
    sent = 0

    async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(reply(200, b"%PDF-1", {"content-length": ""}))
        while True:
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536

    outcome = await fetch(endless, tmp_path, source_max_document_bytes=1_000_000)
    assert outcome == Refused(Reason.TOO_LARGE, final=True)
    assert sent < 30_000_000


async def test_error_is_judged_by_its_beginning(tmp_path: Path) -> None:
    async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(503, b"", {"content-length": ""}))
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    outcome = await asyncio.wait_for(fetch(endless, tmp_path), 20)
    assert outcome == Refused(Reason.UNAVAILABLE)


async def test_foreign_address_is_not_requested(tmp_path: Path) -> None:
    async with running(always(reply())) as server, client_of(server) as client:
        for address in ("/api/v2/admin", OTHER_ADDRESS):
            outcome = await client.document(NUMBER, address, None, tmp_path)
            assert outcome == Refused(Reason.NO_ADDRESS, final=True)
    assert server.requests == []


async def test_expired_token_is_refreshed_and_the_request_repeated(tmp_path: Path) -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path == "/token":
            body = json.dumps({"access_token": "new", "refresh_token": "r2"}).encode()
            writer.write(reply(200, body))
        elif request.headers["authorization"] == "Bearer new":
            writer.write(reply(200, PDF))
        else:
            writer.write(reply(401))

    async with (
        running(script) as server,
        client_of(server, Credential("old", "r1")) as client,
    ):
        outcomes = await asyncio.gather(
            *(client.document(NUMBER, ADDRESS, None, tmp_path) for _ in range(5))
        )
    assert all(isinstance(outcome, Downloaded) for outcome in outcomes)
    assert [request.path for request in server.requests].count("/token") == 1


async def test_expired_token_without_a_refresh_is_sent_once(tmp_path: Path) -> None:
    async with running(always(reply(401))) as server, client_of(server) as client:
        outcomes = [await client.document(NUMBER, ADDRESS, None, tmp_path) for _ in range(3)]
        assert await client.probe(NUMBER) == Refused(Reason.CREDENTIAL, unsent=True)
    # The document and the check of the token.
    assert [request.path for request in server.requests] == [ADDRESS, SEARCH]
    # None of them concerns the document, so none counts as an attempt.
    assert outcomes == [Refused(Reason.CREDENTIAL, unsent=True)] * 3


async def test_concurrent_requests_stay_within_the_limit(tmp_path: Path) -> None:
    async def slow(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        writer.write(reply(200, PDF))

    async with running(slow) as server, client_of(server, at_once=4) as client:
        await asyncio.gather(*(client.document(NUMBER, ADDRESS, None, tmp_path) for _ in range(30)))
    assert server.most_at_once == 4


async def test_process_is_fetched() -> None:
    async with running(always(reply(200, DETAIL))) as server, client_of(server) as client:
        process = await client.process(NUMBER)
    assert process.number == NUMBER
    assert [request.path for request in server.requests] == [f"/api/v2/processos/{NUMBER.masked}"]


OTHER_ADDRESS = ADDRESS.replace(NUMBER.masked, "9990002-86.2024.8.26.0100")
OTHER_HIT = HIT.replace(NUMBER.masked.encode(), b"9990002-86.2024.8.26.0100")
NESTED = DETAIL.replace(b"{}", b'{"a":' * 600 + b"1" + b"}" * 600)


@pytest.mark.parametrize(
    ("detail", "search", "reason", "final"),
    [
        (reply(200, b"[]"), reply(200, MISS), Reason.NOT_FOUND, True),
        (reply(404, UNKNOWN), reply(404, UNKNOWN), Reason.NOT_FOUND, True),
        # A gateway's 404 is less certain.
        (reply(404, UNKNOWN), reply(404, b"{}"), Reason.NOT_FOUND, False),
        (reply(500, CODEX_ERROR), reply(404, UNKNOWN), Reason.NOT_FOUND, True),
        (reply(404, b"{}"), reply(503), Reason.UNAVAILABLE, False),
        (reply(200, b"[{}]"), reply(200, MISS), Reason.UNREADABLE_LISTING, False),
        (reply(401, NO_ACCESS), reply(), Reason.NO_ACCESS, True),
        (reply(403, NO_ACCESS), reply(), Reason.NO_ACCESS, True),
        (reply(401), reply(), Reason.CREDENTIAL, False),
        (reply(403, b"<html>403 Forbidden</html>"), reply(), Reason.BLOCKED, False),
        (reply(429, b"", {"retry-after": "9"}), reply(), Reason.RATE_LIMITED, False),
        (reply(200, b"<html><app-root></app-root>"), reply(), Reason.SHELL, False),
        # The search finds the case: its detail is broken, and the source works.
        (reply(500, CODEX_ERROR), reply(200, HIT), Reason.DOCUMENT_ERROR, False),
        (reply(404, b"{}"), reply(200, HIT), Reason.UNREADABLE_LISTING, False),
        (reply(200, b"[]"), reply(200, HIT), Reason.UNREADABLE_LISTING, False),
        # A hit with another number confirms nothing: retried before it is final.
        (reply(404, b"{}"), reply(200, OTHER_HIT), Reason.NOT_FOUND, False),
        (reply(500, CODEX_ERROR), reply(200, OTHER_HIT), Reason.NOT_FOUND, False),
        (reply(404, b"{}"), reply(200, b'{"content":[{}]}'), Reason.NOT_FOUND, False),
        # An unreadable detail does not mean that the case does not exist.
        (reply(200, b'[{"a":1}]'), reply(200, MISS), Reason.UNREADABLE_LISTING, False),
        (reply(200, OTHER_HIT), reply(200, MISS), Reason.UNREADABLE_LISTING, False),
        # It can be decoded but is nested too deep.
        (reply(200, NESTED), reply(200, NESTED), Reason.UNREADABLE_LISTING, False),
    ],
)
async def test_refused_process_has_its_reason(
    detail: bytes, search: bytes, reason: Reason, final: bool
) -> None:
    """(S5, S13) Neither an outage nor an unconfirmed absence is reported."""
    async with running(by_path(detail, search)) as server, client_of(server) as client:
        with pytest.raises(SourceRefused) as refused:
            await client.process(NUMBER)
    assert (refused.value.reason, refused.value.final) == (reason, final)
    assert refused.value.retry_after == (9.0 if reason is Reason.RATE_LIMITED else None)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (reply(200, HIT), None),
        (reply(200, MISS), None),
        (reply(403, NO_ACCESS), None),
        (reply(503), Refused(Reason.UNAVAILABLE)),
        (reply(401), Refused(Reason.CREDENTIAL, unsent=True)),
    ],
)
async def test_probe_reports_the_source(answer: bytes, outcome: Refused | None) -> None:
    async with running(always(answer)) as server, client_of(server) as client:
        assert await client.probe(NUMBER) == outcome


async def test_truncated_detail_is_not_read() -> None:
    script = always(reply(200, DETAIL)[:-5], then_close=True)
    async with running(script) as server, client_of(server) as client:
        with pytest.raises(SourceRefused) as refused:
            await client.process(NUMBER)
    assert refused.value.reason is Reason.TRUNCATED


async def test_cancelled_requests_release_their_connections(tmp_path: Path) -> None:
    """httpx 0.28 does not recover from many cancelled requests."""
    chance = random.Random(7)

    async def slow(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(chance.uniform(0, 0.01))
        writer.write(reply(200, PDF))

    async def churn(client: SourceClient, rounds: int) -> None:
        for _ in range(rounds):
            task = asyncio.create_task(client.document(NUMBER, ADDRESS, None, tmp_path))
            await asyncio.sleep(chance.uniform(0, 0.02))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async with running(slow) as server, client_of(server, connections=10) as client:
        await asyncio.gather(*(churn(client, 40) for _ in range(20)))
        async with asyncio.timeout(30):
            outcomes = await asyncio.gather(
                *(client.document(NUMBER, ADDRESS, len(PDF), tmp_path) for _ in range(20))
            )
    assert [type(outcome) for outcome in outcomes] == [Downloaded] * 20


async def test_retry_after_of_one_document_applies_to_the_whole_court(tmp_path: Path) -> None:
    script = always(reply(429, headers={"retry-after": "30"}))
    async with running(script) as server, client_of(server) as client:
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(
            Reason.RATE_LIMITED, retry_after=30
        )
        held = await client.document(NUMBER, ADDRESS, None, tmp_path)
        assert isinstance(held, Refused)
        assert held.unsent
        assert 25 < (held.retry_after or 0) <= 30
        with pytest.raises(SourceRefused) as refused:
            await client.process(NUMBER)
        assert refused.value.reason is Reason.RATE_LIMITED
        assert 25 < (refused.value.retry_after or 0) <= 30
        assert (await client.probe(NUMBER)) is not None
        assert len(server.requests) == 1
        # An urgent request is sent, once.
        assert await client.probe(NUMBER, urgent=True) == Refused(
            Reason.RATE_LIMITED, retry_after=30
        )
        assert len(server.requests) == 2
    assert list(tmp_path.iterdir()) == []


async def test_court_that_is_down_gets_no_requests_and_others_do(tmp_path: Path) -> None:
    other = CaseNumber.parse("9990002-86.2024.8.26.0100")

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, HIT) if other.masked in request.path else reply(503))

    async with running(script) as server, client_of(server) as client:
        for _ in range(40):
            assert isinstance(await client.document(NUMBER, ADDRESS, None, tmp_path), Refused)
        assert len(server.requests) == FAILURES_TO_OPEN
        assert await client.probe(other) is None


async def test_refusals_of_single_documents_never_stop_a_court(
    tmp_path: Path,
) -> None:
    script = always(reply(404, UNKNOWN))
    async with running(script) as server, client_of(server) as client:
        for _ in range(40):
            assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(
                Reason.NOT_FOUND, final=True
            )
        assert len(server.requests) == 40

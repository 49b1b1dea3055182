"""The client against a server in this process: outcomes, bounds, cancellation."""

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
from autos.source.courtesy.breaker import FAILURES_TO_OPEN
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


async def test_a_document_arrives_with_its_hash(tmp_path: Path) -> None:
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


async def test_a_large_document_is_spooled_and_leaves_nothing(tmp_path: Path) -> None:
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
async def test_what_goes_wrong_has_a_reason(
    script: Script, reason: Reason, final: bool, tmp_path: Path
) -> None:
    outcome = await fetch(script, tmp_path, source_idle_timeout=0.3)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.final) == (reason, final)


async def test_no_server_listens(tmp_path: Path) -> None:
    async with running(hang) as server:
        pass
    async with client_of(server) as client:
        assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(Reason.UNAVAILABLE)


async def test_too_large_is_refused_by_its_declared_length(tmp_path: Path) -> None:
    async def only_the_head(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, b"", {"content-length": str(10**12)}))

    async with running(only_the_head) as server, client_of(server, connections=1) as client:
        # Twice, over one connection: the first is given back.
        for _ in range(2):
            outcome = await client.document(NUMBER, ADDRESS, None, tmp_path)
            assert outcome == Refused(Reason.TOO_LARGE, final=True)


async def test_too_large_is_dropped_on_the_way(tmp_path: Path) -> None:
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


async def test_an_error_is_judged_by_its_beginning(tmp_path: Path) -> None:
    async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(503, b"", {"content-length": ""}))
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    outcome = await asyncio.wait_for(fetch(endless, tmp_path), 20)
    assert outcome == Refused(Reason.UNAVAILABLE)


async def test_another_address_is_not_requested(tmp_path: Path) -> None:
    async with running(always(reply())) as server, client_of(server) as client:
        for address in ("/api/v2/admin", OTHER_ADDRESS):
            outcome = await client.document(NUMBER, address, None, tmp_path)
            assert outcome == Refused(Reason.NO_ADDRESS, final=True)
    assert server.requests == []


async def test_a_dead_token_is_refreshed_and_the_request_is_sent_again(tmp_path: Path) -> None:
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


async def test_a_dead_token_without_a_refresh_is_sent_once(tmp_path: Path) -> None:
    async with running(always(reply(401))) as server, client_of(server) as client:
        outcomes = [await client.document(NUMBER, ADDRESS, None, tmp_path) for _ in range(3)]
        assert await client.probe(NUMBER) == Refused(Reason.CREDENTIAL, unsent=True)
    # The document, and whether it is the token.
    assert [request.path for request in server.requests] == [ADDRESS, SEARCH]
    # None of them says anything of the document, so none may count as an attempt.
    assert outcomes == [Refused(Reason.CREDENTIAL, unsent=True)] * 3


async def test_never_more_at_once_than_allowed(tmp_path: Path) -> None:
    async def slow(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        writer.write(reply(200, PDF))

    async with running(slow) as server, client_of(server, at_once=4) as client:
        await asyncio.gather(*(client.document(NUMBER, ADDRESS, None, tmp_path) for _ in range(30)))
    assert server.most_at_once == 4


async def test_a_process_is_read() -> None:
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
        # A gateway's 404 says less.
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
        # Known to the search: the case is broken and not absent, and the source is in order.
        (reply(500, CODEX_ERROR), reply(200, HIT), Reason.DOCUMENT_ERROR, False),
        (reply(404, b"{}"), reply(200, HIT), Reason.UNREADABLE_LISTING, False),
        (reply(200, b"[]"), reply(200, HIT), Reason.UNREADABLE_LISTING, False),
        # A hit of another number confirms nothing: retried before it is final.
        (reply(404, b"{}"), reply(200, OTHER_HIT), Reason.NOT_FOUND, False),
        (reply(500, CODEX_ERROR), reply(200, OTHER_HIT), Reason.NOT_FOUND, False),
        (reply(404, b"{}"), reply(200, b'{"content":[{}]}'), Reason.NOT_FOUND, False),
        # A detail that cannot be read is not an absent one, whatever the search says.
        (reply(200, b'[{"a":1}]'), reply(200, MISS), Reason.UNREADABLE_LISTING, False),
        (reply(200, OTHER_HIT), reply(200, MISS), Reason.UNREADABLE_LISTING, False),
        # It can be decoded, and is nested too deep to be read.
        (reply(200, NESTED), reply(200, NESTED), Reason.UNREADABLE_LISTING, False),
    ],
)
async def test_a_process_refused_has_its_reason(
    detail: bytes, search: bytes, reason: Reason, final: bool
) -> None:
    """(S5, S13) Not an outage of the source, and not an absence without confirmation."""
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
async def test_the_probe(answer: bytes, outcome: Refused | None) -> None:
    async with running(always(answer)) as server, client_of(server) as client:
        assert await client.probe(NUMBER) == outcome


async def test_a_detail_that_is_cut_short_is_not_read() -> None:
    script = always(reply(200, DETAIL)[:-5], then_close=True)
    async with running(script) as server, client_of(server) as client:
        with pytest.raises(SourceRefused) as refused:
            await client.process(NUMBER)
    assert refused.value.reason is Reason.TRUNCATED


async def test_cancelled_requests_give_their_connections_back(tmp_path: Path) -> None:
    """The churn of many cancelled requests, of which httpx 0.28 never recovers."""
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
        async with asyncio.timeout(10):
            outcomes = await asyncio.gather(
                *(client.document(NUMBER, ADDRESS, len(PDF), tmp_path) for _ in range(20))
            )
    assert [type(outcome) for outcome in outcomes] == [Downloaded] * 20


async def test_a_retry_after_of_one_document_holds_for_the_whole_court(tmp_path: Path) -> None:
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


async def test_a_court_that_is_down_gets_no_more_requests_and_another_does(tmp_path: Path) -> None:
    other = CaseNumber.parse("9990002-86.2024.8.26.0100")

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, HIT) if other.masked in request.path else reply(503))

    async with running(script) as server, client_of(server) as client:
        for _ in range(40):
            assert isinstance(await client.document(NUMBER, ADDRESS, None, tmp_path), Refused)
        assert len(server.requests) == FAILURES_TO_OPEN
        assert await client.probe(other) is None


async def test_documents_that_are_refused_for_their_own_sake_never_stop_a_court(
    tmp_path: Path,
) -> None:
    script = always(reply(404, UNKNOWN))
    async with running(script) as server, client_of(server) as client:
        for _ in range(40):
            assert await client.document(NUMBER, ADDRESS, None, tmp_path) == Refused(
                Reason.NOT_FOUND, final=True
            )
        assert len(server.requests) == 40

"""Faulty stores: an object counts as stored only if the store confirms it."""

import asyncio
import base64
import errno
import hashlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from autos.settings import Settings
from autos.store import (
    ObjectMissing,
    Store,
    StoreRefused,
    StoreUnavailable,
    document_key,
    objects,
)
from tests.unit.source.server import FakeServer, Request, Script, always, reply, running

DATA = b"%PDF-1.4 a piece"
SHA256 = hashlib.sha256(DATA).hexdigest()
CHECKSUM = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
KEY = document_key("1" * 20, SHA256)


class Piece:
    size = len(DATA)

    async def pieces(self) -> AsyncIterator[bytes]:
        yield DATA


def store(server: FakeServer, http: aiohttp.ClientSession) -> Store:
    settings = Settings.model_validate(
        {
            "s3_endpoint": server.origin,
            "s3_bucket": "autos",
            "s3_access_key_id": "AKIDFORTESTS",
            "s3_secret_access_key": "hidden-secret",
        }
    )
    return Store(settings, http)


def in_turn(*answers: bytes) -> Script:
    """Replies in order; an empty one drops the connection."""
    left = list(answers)

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        answer = left.pop(0)
        if answer:
            writer.write(answer)
        else:
            writer.transport.abort()

    return script


GOOD = reply(200, b"", {"etag": f'"{MD5}"'})
BAD = reply(200, b"", {"etag": f'"{"0" * 32}"'})


async def put(script: Script, http: aiohttp.ClientSession) -> tuple[bool, list[Request]]:
    async with running(script) as server:
        return await store(server, http).put(
            KEY, Piece(), SHA256, "application/pdf"
        ), server.requests


async def test_put_sends_checksum_and_condition(http: aiohttp.ClientSession) -> None:
    written, (asked,) = await put(always(GOOD), http)
    assert written
    assert asked.method == "PUT"
    assert asked.body == DATA
    assert asked.headers["content-length"] == str(len(DATA))
    assert asked.headers["if-none-match"] == "*"
    assert asked.headers["x-amz-checksum-sha256"] == CHECKSUM
    assert asked.headers["content-type"] == "application/pdf"
    assert "transfer-encoding" not in asked.headers
    signed = "content-type%3Bhost%3Bif-none-match%3Bx-amz-checksum-sha256"
    assert f"X-Amz-SignedHeaders={signed}" in asked.path


@pytest.mark.parametrize(
    "answers",
    [
        (reply(200, b"", {"x-amz-checksum-sha256": CHECKSUM}),),
        (reply(503), GOOD),
        (b"", reply(500), GOOD),
        (reply(409), GOOD),
        (reply(400), GOOD),
        (BAD, GOOD),
        # The ETag is no MD5: the size is requested.
        (reply(200), reply(200, b"", {"content-length": str(len(DATA))})),
        (
            reply(200, b"", {"etag": f'"{"0" * 32}"', "x-amz-server-side-encryption": "aws:kms"}),
            reply(200, b"", {"content-length": str(len(DATA))}),
        ),
    ],
)
async def test_transient_failures_are_retried(
    answers: tuple[bytes, ...], http: aiohttp.ClientSession
) -> None:
    written, asked = await put(in_turn(*answers), http)
    assert written
    assert len(asked) == len(answers)
    assert all(one.body == DATA for one in asked if one.method == "PUT")


@pytest.mark.parametrize(
    "answers",
    [
        (reply(503),) * 3,
        (b"",) * 3,
        (BAD,) * 3,
        (reply(200, b"", {"x-amz-checksum-sha256": "AAAA"}),) * 3,
    ],
)
async def test_put_makes_at_most_three_attempts(
    answers: tuple[bytes, ...], http: aiohttp.ClientSession
) -> None:
    with pytest.raises(StoreUnavailable) as failed:
        await put(in_turn(*answers), http)
    assert failed.value.key == KEY


async def test_existing_object_is_not_overwritten(http: aiohttp.ClientSession) -> None:
    head = reply(200, b"", {"content-length": str(len(DATA))})
    written, asked = await put(in_turn(reply(412), head), http)
    assert not written
    assert [one.method for one in asked] == ["PUT", "HEAD"]


@pytest.mark.parametrize(
    "head",
    [
        reply(200, b"", {"content-length": "5"}),
        reply(200, b"", {"content-length": str(len(DATA)), "x-amz-checksum-sha256": "AAAA"}),
        reply(404),
    ],
)
async def test_different_object_is_overwritten(head: bytes, http: aiohttp.ClientSession) -> None:
    written, asked = await put(in_turn(reply(412), head, GOOD), http)
    assert written
    assert "if-none-match" not in asked[-1].headers


async def test_refusal_is_not_retried_and_shows_no_secret(http: aiohttp.ClientSession) -> None:
    async with running(always(reply(403))) as server:
        with pytest.raises(StoreRefused) as refused:
            await store(server, http).put(KEY, Piece(), SHA256, "application/pdf")
    assert len(server.requests) == 1
    text = f"{refused.value} {refused.value!r} {refused.value.__cause__}"
    assert KEY in text
    assert "'autos'" in text
    assert "Signature" not in text
    assert "AKIDFORTESTS" not in text


async def test_read_errors_are_reported(http: aiohttp.ClientSession) -> None:
    script = in_turn(reply(200, b"{}"), reply(404), reply(500), b"")
    async with running(script) as server:
        opened = store(server, http)
        assert await opened.get(KEY) == b"{}"
        with pytest.raises(ObjectMissing):
            await opened.get(KEY)
        with pytest.raises(StoreUnavailable):
            await opened.get(KEY)
        with pytest.raises(StoreUnavailable) as lost:
            await opened.head(KEY)
    assert "Signature" not in str(lost.value)


@pytest.mark.parametrize(
    ("answer", "ready"), [(GOOD, True), (reply(507), False), (reply(403), False), (b"", False)]
)
async def test_bucket_is_ready_when_it_accepts_an_object(
    http: aiohttp.ClientSession, answer: bytes, ready: bool
) -> None:
    """(S43) A full store responds to requests but accepts no object; a PUT detects it."""
    async with running(in_turn(answer)) as server:
        assert await store(server, http).ready() is ready
        (asked,) = server.requests
    assert (asked.method, asked.body) == ("PUT", b"ok")
    # Outside the prefix of documents, which reconciliation cleans up.
    assert asked.path.startswith("/autos/health/probe?")


async def test_store_that_does_not_read_the_body_is_unavailable(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The HTTP library has no time-out for sending."""
    monkeypatch.setattr(objects, "_IDLE_SECONDS", 0.2)
    connections: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The reader's buffer is bounded, so the client's pieces wait.
        connections.append(writer)

    class Large:
        size = 64 * 2**20

        async def pieces(self) -> AsyncIterator[bytes]:
            for _ in range(64):
                yield bytes(2**20)

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        silent = FakeServer(always(GOOD), f"http://{host}:{port}")
        try:
            async with asyncio.timeout(30):
                with pytest.raises(StoreUnavailable):
                    await store(silent, http).put(KEY, Large(), SHA256, "application/pdf")
        finally:
            for connection in connections:
                connection.transport.abort()
    assert len(connections) == 3


async def test_error_of_the_body_is_raised_unchanged(http: aiohttp.ClientSession) -> None:
    """A spool that cannot be read is no fault of the store."""

    class Broken:
        size = len(DATA)

        async def pieces(self) -> AsyncIterator[bytes]:
            yield DATA[:4]
            raise OSError(errno.EIO, "The disk is broken")

    async with running(always(GOOD)) as server:
        with pytest.raises(OSError, match="The disk is broken"):
            await store(server, http).put(KEY, Broken(), SHA256, "application/pdf")
    assert server.requests == []

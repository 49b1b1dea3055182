"""Batches whose spool is on a small disk that is full."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from activities.documents import DocumentActivities
from autos.contracts.download import DocumentOutcome
from autos.contracts.reasons import Reason
from autos.contracts.retries import retry_rule
from tests.integration.test_activities import PDF, UUIDS, Parts, outcomes, parts
from tests.unit.source.clients import client_of
from tests.unit.source.server import Request, reply

__all__ = ["parts"]

MEBIBYTE: Final = 1024 * 1024
DISK: Final = 16 * MEBIBYTE
LARGE: Final = 40 * MEBIBYTE
MEDIUM: Final = 12 * MEBIBYTE


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB in memory."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(tmp_path)],
        check=False,
        capture_output=True,
        timeout=10,
    )
    if mounted.returncode:
        pytest.skip("A small disk can be mounted by root only.")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True, timeout=10)


@pytest.fixture
async def batches(parts: Parts, small_disk: Path) -> AsyncIterator[DocumentActivities]:
    async with client_of(parts.server) as source:
        yield DocumentActivities(parts.database, source, parts.store, small_disk)


async def test_document_without_space_is_refused_before_its_body_is_read(
    parts: Parts, batches: DocumentActivities
) -> None:
    """(S20, S43) By its declared length; other documents continue, and its row has the reason."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if UUIDS[0] not in request.path:
            writer.write(reply(body=PDF))
            return
        writer.write(reply(headers={"content-length": str(LARGE)}))
        await writer.drain()
        # The body never arrives: waiting for it would not end.
        await writer.wait_closed()

    parts.server.script = script
    await parts.begin(parts.listed(UUIDS[0], expected_size=LARGE), parts.listed(UUIDS[1]))
    async with asyncio.timeout(120):
        refused, stored = await outcomes(batches, parts.batch(0, 1))
    assert (refused.reason, refused.final) == (Reason.STORAGE, False)
    assert stored == DocumentOutcome(position=1, size=len(PDF))
    first, _ = await parts.rows()
    assert (first.state, first.reason) == ("pending", "storage")


async def test_disk_that_fills_up_fails_only_the_document(
    parts: Parts, batches: DocumentActivities, small_disk: Path
) -> None:
    """(S20) The length of the body is unknown; the partial file is removed."""
    full = asyncio.Event()

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if UUIDS[0] not in request.path:
            await full.wait()
            writer.write(reply(body=PDF))
            return
        writer.write(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n%PDF-1.4 ")
        try:
            for _ in range(LARGE // MEBIBYTE):
                writer.write(bytes(MEBIBYTE))
                await writer.drain()
        finally:
            full.set()
            writer.close()

    parts.server.script = script
    await parts.begin(parts.listed(UUIDS[0]), parts.listed(UUIDS[1]))
    async with asyncio.timeout(120):
        refused, stored = await outcomes(batches, parts.batch(0, 1))
    assert (refused.reason, refused.final) == (Reason.STORAGE, False)
    assert stored == DocumentOutcome(position=1, size=len(PDF))
    assert [request.path.count(UUIDS[0]) for request in parts.server.requests].count(1) == 1
    assert list(small_disk.iterdir()) == []


async def test_declared_lengths_reserve_space(parts: Parts, batches: DocumentActivities) -> None:
    """(S20) Two documents of 12 MiB do not fit into 16 MiB: one is stored, the other retried."""
    body = PDF + bytes(MEDIUM)
    refused = asyncio.Event()

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(body=body)[: -len(body)])
        await writer.drain()
        if len(parts.server.requests) == 2:
            refused.set()
        # No body is sent before both responses have started.
        await refused.wait()
        writer.write(body)

    parts.server.script = script
    await parts.begin(*(parts.listed(uuid, expected_size=len(body)) for uuid in UUIDS[:2]))
    async with asyncio.timeout(120):
        ended = await outcomes(batches, parts.batch(0, 1))
    assert {outcome.reason for outcome in ended} == {None, Reason.STORAGE}


def test_documents_refused_for_space_are_retried_with_growing_delays() -> None:
    """(S20) By the retry rule of `storage`."""
    rule = retry_rule(Reason.STORAGE)
    assert list(rule.delays) == sorted(rule.delays)
    assert rule.delay_after(100) >= 100

"""Copies of a document: which are requested, which is kept, and what the row shows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from activities.documents import DocumentActivities
from autos.cnj import CaseNumber
from autos.contracts.download import DocumentOutcome
from autos.contracts.reasons import Doubt, Reason
from autos.contracts.retries import retry_rule
from autos.records.database import Database, DatabaseUnreachable
from autos.source import Downloaded, Refused, SourceClient
from tests.integration.test_activities import (
    PDF,
    UUIDS,
    Parts,
    batches,
    outcomes,
    parts,
)
from tests.unit.source.clients import client_of
from tests.unit.source.server import Request, reply

__all__ = ["batches", "parts"]

OTHER: Final = b"%PDF-1.4 other " + bytes(50) + b"%%EOF"
SHELL: Final = b"<!doctype html><html><body><app-root></app-root></body></html>"


def attempts_of(reason: Reason) -> int:
    return retry_rule(reason).attempts


def answers(parts: Parts, **replies: bytes | list[bytes]) -> None:
    """Set the server's replies by a part of the path; a list has one reply per request."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        for part, given in replies.items():
            if part.replace("_", "-") in request.path:
                writer.write(given.pop(0) if isinstance(given, list) else given)
                return
        writer.write(reply(body=PDF))

    parts.server.script = script


FIRST, SECOND = (uuid.rpartition("-")[2] for uuid in UUIDS[:2])


async def test_body_of_another_size_is_not_kept_at_first(
    parts: Parts, batches: DocumentActivities
) -> None:
    """(S2) Regardless of earlier attempts that failed for other reasons."""
    await parts.begin(parts.listed(UUIDS[0]))
    answers(parts, **{FIRST: [reply(503), reply(503), reply(body=OTHER)]})
    for number, reason in enumerate((Reason.UNAVAILABLE, Reason.UNAVAILABLE, Reason.SIZE_MISMATCH)):
        tried = {Reason.UNAVAILABLE: number} if number else {}
        (refused,) = await outcomes(batches, parts.batch(0, tried=tried))
        assert (refused.reason, refused.final) == (reason, False)
    assert parts.store.objects == {}
    (row,) = await parts.rows()
    assert (row.state, row.reason, row.sha256) == ("pending", "size_mismatch", None)


async def test_repeated_body_of_another_size_is_kept_with_a_doubt(
    parts: Parts, batches: DocumentActivities
) -> None:
    """(S2) The listed size is wrong then."""
    await parts.begin(parts.listed(UUIDS[0]))
    answers(parts, **{FIRST: reply(body=OTHER)})
    await outcomes(batches, parts.batch(0))
    assert await outcomes(batches, parts.batch(0, tried={Reason.SIZE_MISMATCH: 1})) == [
        DocumentOutcome(position=0, size=len(OTHER), doubt=Doubt.SIZE_MISMATCH)
    ]
    (row,) = await parts.rows()
    assert (row.state, row.reason, row.doubt) == ("available", None, "size_mismatch")
    assert list(parts.store.objects.values()) == [OTHER]


async def test_body_that_differs_each_time_is_never_kept(
    parts: Parts, batches: DocumentActivities
) -> None:
    """(S2) For example pages that contain the time."""
    await parts.begin(parts.listed(UUIDS[0]))
    attempts = attempts_of(Reason.SIZE_MISMATCH)
    answers(parts, **{FIRST: [reply(body=OTHER + b"%d" % n) for n in range(attempts)]})
    for number in range(attempts):
        (refused,) = await outcomes(batches, parts.batch(0, tried={Reason.SIZE_MISMATCH: number}))
        assert refused.reason is Reason.SIZE_MISMATCH
    assert parts.store.objects == {}
    (row,) = await parts.rows()
    assert (row.state, row.reason) == ("failed", "size_mismatch")


async def test_first_of_two_copies_of_another_size_is_kept_when_repeated(
    parts: Parts, batches: DocumentActivities
) -> None:
    """(S2)"""
    await parts.begin(parts.listed(UUIDS[0], UUIDS[1]))
    answers(parts, **{FIRST: reply(body=OTHER), SECOND: reply(body=OTHER * 2)})
    await outcomes(batches, parts.batch(0))
    (kept,) = await outcomes(batches, parts.batch(0, tried={Reason.SIZE_MISMATCH: 1}))
    assert (kept.size, kept.doubt) == (len(OTHER), Doubt.SIZE_MISMATCH)
    assert len(parts.server.requests) == 3


async def test_doubtful_document_is_requested_again(
    parts: Parts, batches: DocumentActivities
) -> None:
    """(S2) It is kept until the source returns the listed size."""
    await parts.begin(parts.listed(UUIDS[0]))
    answers(parts, **{FIRST: [reply(body=OTHER)] * 2 + [reply(404), reply(body=PDF)]})
    held = DocumentOutcome(position=0, size=len(OTHER), doubt=Doubt.SIZE_MISMATCH)
    await outcomes(batches, parts.batch(0))
    assert await outcomes(batches, parts.batch(0, tried={Reason.SIZE_MISMATCH: 1})) == [held]
    tried = {Reason.NOT_FOUND: attempts_of(Reason.NOT_FOUND) - 1}
    assert await outcomes(batches, parts.batch(0, tried=tried)) == [held]
    (row,) = await parts.rows()
    assert (row.state, row.doubt, row.size) == ("available", "size_mismatch", len(OTHER))
    assert await outcomes(batches, parts.batch(0)) == [DocumentOutcome(position=0, size=len(PDF))]
    (row,) = await parts.rows()
    assert (row.state, row.doubt, row.size) == ("available", None, len(PDF))


async def test_text_in_place_of_a_file_is_marked(parts: Parts, batches: DocumentActivities) -> None:
    """(S12) The listed size is the file's and does not apply."""
    listed = parts.listed(UUIDS[0])
    address = listed.addresses[0].replace("/binario", "/texto")
    await parts.begin(replace(listed, addresses=(address,)))
    answers(parts, texto=reply(body=b"Vistos. Defiro.", headers={"content-type": "text/plain"}))
    assert await outcomes(batches, parts.batch(0)) == [
        DocumentOutcome(position=0, size=15, doubt=Doubt.TEXT_ONLY)
    ]
    (row,) = await parts.rows()
    assert (row.state, row.reason, row.doubt) == ("available", None, "text_only")


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(reply(500, b"Internal Server Error"), id="plain 500"),
        pytest.param(reply(200, b""), id="empty"),
        pytest.param(
            reply(200, b'{"error":"x"}', {"content-type": "application/json"}), id="error_body"
        ),
        pytest.param(reply(200, SHELL, {"content-type": "text/html"}), id="shell"),
        pytest.param(reply(200, PDF, {"content-length": "5000"}), id="truncated"),
        pytest.param(
            reply(401, '{"message":"Usuário não possui acesso ao processo"}'.encode()),
            id="no_access",
        ),
        pytest.param(reply(403, b'{"message":"sigiloso"}'), id="secret"),
        pytest.param(reply(404), id="not_found"),
        pytest.param(reply(200, OTHER), id="size_mismatch"),
    ],
)
async def test_refused_copy_is_downloaded_from_the_other_address(
    parts: Parts, batches: DocumentActivities, refusal: bytes
) -> None:
    """(S10) At once, because the refusal concerns one copy."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(refusal if UUIDS[0] in request.path else reply(body=PDF))
        if UUIDS[0] in request.path:
            await writer.drain()
            writer.close()

    parts.server.script = script
    await parts.begin(parts.listed(UUIDS[0], UUIDS[1]))
    assert await outcomes(batches, parts.batch(0)) == [DocumentOutcome(position=0, size=len(PDF))]
    assert len(parts.server.requests) == 2


@pytest.mark.parametrize("last", [False, True])
async def test_source_wide_refusal_requests_the_other_copy_on_the_last_attempt(
    parts: Parts, batches: DocumentActivities, last: bool
) -> None:
    """(S10) Not before, because the other copy would be refused as well."""
    await parts.begin(parts.listed(UUIDS[0], UUIDS[1]))
    answers(parts, **{FIRST: reply(429)})
    tried = {Reason.RATE_LIMITED: attempts_of(Reason.RATE_LIMITED) - 1} if last else {}
    (outcome,) = await outcomes(batches, parts.batch(0, tried=tried))
    assert outcome.reason is (None if last else Reason.RATE_LIMITED)


async def test_document_is_not_final_while_one_copy_may_be_available(
    parts: Parts, batches: DocumentActivities
) -> None:
    """(S10) A final refusal of the first copy is not final for the document."""
    await parts.begin(parts.listed(UUIDS[0], UUIDS[1]))
    answers(parts, **{FIRST: reply(403, b'{"message":"sigiloso"}'), SECOND: reply(503)})
    (outcome,) = await outcomes(batches, parts.batch(0))
    assert (outcome.reason, outcome.final) == (Reason.UNAVAILABLE, False)


@pytest.mark.parametrize(("last", "state"), [(False, "pending"), (True, "failed")])
async def test_last_attempt_is_recorded_as_failed(
    parts: Parts, batches: DocumentActivities, last: bool, state: str
) -> None:
    await parts.begin(parts.listed(UUIDS[0]))
    answers(parts, **{FIRST: reply(503)})
    tried = {Reason.UNAVAILABLE: attempts_of(Reason.UNAVAILABLE) - 1 - (not last)}
    await outcomes(batches, parts.batch(0, tried=tried))
    (row,) = await parts.rows()
    assert (row.state, row.reason) == (state, "unavailable")


class Defective:
    """A source client that raises an error for one document."""

    def __init__(self, source: SourceClient, broken: str, error: Exception) -> None:
        self._source, self._broken, self._error = source, broken, error

    async def document(
        self,
        number: CaseNumber,
        address: str,
        expected_size: int | None,
        folder: Path,
        listed_type: str | None,
    ) -> Downloaded | Refused:
        if self._broken in address:
            raise self._error
        return await self._source.document(number, address, expected_size, folder, listed_type)


async def test_defect_at_one_document_does_not_affect_the_others(
    parts: Parts, tmp_path: Path
) -> None:
    """(S16) It fails as internal_error, without the text of the exception."""
    await parts.begin(*(parts.listed(uuid) for uuid in UUIDS[:3]))
    async with client_of(parts.server) as client:
        source = Defective(client, UUIDS[1], RecursionError("https://secret"))
        activities = DocumentActivities(
            parts.database, cast(SourceClient, source), parts.store, tmp_path
        )
        ended = await outcomes(activities, parts.batch(0, 1, 2))
    assert [outcome.reason for outcome in ended] == [None, Reason.INTERNAL_ERROR, None]
    assert "secret" not in repr(ended)
    rows = [(row.state, row.reason) for row in await parts.rows()]
    assert rows == [("available", None), ("failed", "internal_error"), ("available", None)]


class CutOff(Database):
    """Loses the connection at the first write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._transactions = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        self._transactions += 1
        if self._transactions == 2:
            raise DatabaseUnreachable
        async with self._database.transaction() as session:
            yield session


async def test_outage_of_the_records_fails_the_batch_after_its_documents(
    parts: Parts, tmp_path: Path
) -> None:
    """(S16) The other documents are stored."""
    await parts.begin(*(parts.listed(uuid) for uuid in UUIDS[:3]))
    first = asyncio.Event()

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if UUIDS[0] not in request.path:
            await first.wait()
        writer.write(reply(body=PDF))

    class Signalling(CutOff):
        @asynccontextmanager
        async def transaction(self) -> AsyncIterator[AsyncSession]:
            try:
                async with super().transaction() as session:
                    yield session
            except DatabaseUnreachable:
                first.set()
                raise

    parts.server.script = script
    async with client_of(parts.server) as source, asyncio.timeout(60):
        activities = DocumentActivities(Signalling(parts.database), source, parts.store, tmp_path)
        with pytest.raises(DatabaseUnreachable):
            await outcomes(activities, parts.batch(0, 1, 2))
    states = [row.state for row in await parts.rows()]
    assert states == ["pending", "available", "available"]

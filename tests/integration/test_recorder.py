"""Rows written in one transaction: a row that cannot be written fails alone."""

import asyncio
import uuid
from dataclasses import replace

import pytest
from sqlalchemy.exc import SQLAlchemyError

from activities.documents import Recorder
from autos.cnj import CaseNumber
from autos.contracts.states import DocumentState
from autos.records.database import Database
from autos.records.documents import DocumentRecord
from tests.integration.test_downloads import EARLIER, document, read, rows, stored
from tests.integration.test_status_costs import counted_statements


async def test_row_that_cannot_be_written_fails_no_other(
    database: Database, case: CaseNumber
) -> None:
    """(S16) A defect at one document fails only that document."""
    job = f"1-{case}"
    await read(database, case, job, document("a"), document("b"), document("c"))
    good = [stored(row, job) for row in await rows(database, case)]
    # PostgreSQL accepts no NUL in text.
    records = [good[0], replace(good[1], content_type="a\x00b"), good[2]]
    recorder = Recorder(database)
    ends = await asyncio.gather(*map(recorder.record, records), return_exceptions=True)
    assert [isinstance(end, SQLAlchemyError) for end in ends] == [False, True, False]
    states = [row.state for row in await rows(database, case)]
    assert states == ["available", "pending", "available"]


async def test_outage_of_the_records_fails_all_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S16) Records are not retried one by one while the database is unreachable."""
    tries = 0

    def unreachable() -> None:
        nonlocal tries
        tries += 1
        raise ConnectionRefusedError

    monkeypatch.setattr("activities.documents.is_outage", lambda _: True)
    monkeypatch.setattr(database, "transaction", unreachable)
    record = DocumentRecord(
        document_id=uuid.uuid4(),
        job_id="job",
        state=DocumentState.PENDING,
        reason=None,
        started_at=EARLIER,
    )
    recorder = Recorder(database)
    ends = await asyncio.gather(
        *(recorder.record(record) for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(end, ConnectionRefusedError) for end in ends)
    assert tries == 1


async def test_results_that_can_wait_are_written_with_the_last(
    database: Database, case: CaseNumber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documents of a batch cost one transaction."""
    monkeypatch.setattr("activities.documents.COLLECT_SECONDS", 60.0)
    job = f"1-{case}"
    await read(database, case, job, document("a"), document("b"), document("c"))
    records = [stored(row, job) for row in await rows(database, case)]
    with counted_statements(database) as statements:
        recorder = Recorder(database)
        waiting = [asyncio.create_task(recorder.record(one, can_wait=True)) for one in records[:2]]
        await asyncio.sleep(0)
        await recorder.record(records[2])
        await asyncio.gather(*waiting)
    assert [row.state for row in await rows(database, case)] == ["available"] * 3
    assert sum("UPDATE" in statement for statement in statements) == 1


async def test_result_that_can_wait_is_written_soon(database: Database, case: CaseNumber) -> None:
    """A slow document does not delay the results of the others."""
    job = f"1-{case}"
    await read(database, case, job, document("a"))
    (row,) = await rows(database, case)
    async with asyncio.timeout(30):
        await Recorder(database).record(stored(row, job), can_wait=True)
    assert [row.state for row in await rows(database, case)] == ["available"]

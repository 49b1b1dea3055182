"""What the activities write: positions that never move, states that are never undone."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from autos.cnj import CaseNumber
from autos.contracts.states import DocumentState, JobStatus, Reason
from autos.records import downloads, events
from autos.records.database import Database
from autos.records.downloads import DocumentRecord
from autos.records.models import ApiKey, Delivery, Document, Job, Subscription
from autos.source import ListedDocument, ListedProcess

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def document(source_id: str, *alternate_ids: str, refusal: Reason | None = None) -> ListedDocument:
    return ListedDocument(
        source_id=source_id,
        alternate_ids=alternate_ids,
        addresses=() if refusal else (f"/processos/x/documentos/{source_id}/binario",),
        refusal=refusal,
        origin_id="1",
        instance="G1",
        sequence=1,
        name=f"{source_id}.pdf",
        kind="Petição",
        kind_code=None,
        secrecy="PUBLICO",
        filed_at=MOMENT,
        declared_type="application/pdf",
        expected_size=100,
    )


def listing(case: CaseNumber, *documents: ListedDocument) -> ListedProcess:
    return ListedProcess(
        number=case,
        court=case.court,
        secrecy_level=0,
        class_name="Procedimento Comum",
        subjects=("Dano",),
        judging_body="1ª Vara",
        filed_at=MOMENT,
        metadata={"siglaTribunal": case.court},
        documents=documents,
    )


async def read(database: Database, case: CaseNumber, job: str, *documents: ListedDocument) -> str:
    """Save a listing and begin a job on it; the states."""
    async with database.transaction() as session:
        await downloads.open_job(session, job, case)
        await downloads.save_listing(session, listing(case, *documents))
        return (await downloads.begin_documents(session, job, case.digits)).states


def stored(case: CaseNumber, position: int, job: str) -> DocumentRecord:
    return DocumentRecord(
        process_number=case.digits,
        position=position,
        job_id=job,
        state=DocumentState.AVAILABLE,
        reason=None,
        started_at=MOMENT,
        completed_at=MOMENT,
        sha256="a" * 64,
        size=100,
        content_type="application/pdf",
    )


async def rows(database: Database, case: CaseNumber) -> list[Document]:
    async with database.transaction() as session:
        query = select(Document).filter_by(process_number=case.digits).order_by(Document.position)
        return list((await session.scalars(query)).all())


async def test_new_documents_get_new_positions_and_known_ones_keep_theirs(
    database: Database, case: CaseNumber
) -> None:
    await read(database, case, f"1-{case}", document("a"), document("b"))
    states = await read(database, case, f"2-{case}", document("new"), document("b"), document("a"))
    assert states == "ppp"
    assert [row.source_id for row in await rows(database, case)] == ["a", "b", "new"]


async def test_a_second_run_wants_only_what_is_missing(
    database: Database, case: CaseNumber
) -> None:
    """F4: what is available is never turned into something else."""
    first, second = f"1-{case}", f"2-{case}"
    await read(database, case, first, document("a"), document("b"))
    failed = replace(stored(case, 1, first), state=DocumentState.FAILED, reason=Reason.SECRET)
    async with database.transaction() as session:
        await downloads.record_attempts(session, [stored(case, 0, first), failed])
    assert await read(database, case, second, document("a"), document("b")) == "ap"
    late = replace(stored(case, 0, first), state=DocumentState.FAILED, reason=Reason.TIMEOUT)
    async with database.transaction() as session:
        await downloads.record_attempts(session, [late])
    available, pending = await rows(database, case)
    assert (available.state, available.attempts) == ("available", 1)
    assert (pending.state, pending.attempts, pending.reason) == ("pending", 0, None)


async def test_an_activity_that_runs_twice_keeps_what_its_job_found_out(
    database: Database, case: CaseNumber
) -> None:
    job = f"1-{case}"
    await read(database, case, job, document("a"), document("b"))
    failed = replace(stored(case, 1, job), state=DocumentState.FAILED, reason=Reason.SECRET)
    async with database.transaction() as session:
        await downloads.record_attempts(session, [failed])
    assert await read(database, case, job, document("a"), document("b")) == "pf"


async def test_a_document_known_by_its_other_copy_is_the_same_document(
    database: Database, case: CaseNumber
) -> None:
    """F28: one row per document, whichever copy is preferred today."""
    await read(database, case, f"1-{case}", document("a", "b"))
    assert await read(database, case, f"2-{case}", document("b", "a")) == "p"


async def test_the_same_source_id_in_two_processes_is_two_documents(
    database: Database, case: CaseNumber
) -> None:
    """F19."""
    other = CaseNumber.build(int(case.digits[:7]), case.year + 1, 8, 26, 1)
    assert await read(database, case, f"1-{case}", document("same")) == "p"
    assert await read(database, other, f"1-{other}", document("same")) == "p"


async def test_a_vanished_document_is_marked_and_kept(database: Database, case: CaseNumber) -> None:
    first = f"1-{case}"
    await read(database, case, first, document("a"), document("b"), document("c"))
    async with database.transaction() as session:
        await downloads.record_attempts(session, [stored(case, 0, first)])
    assert await read(database, case, f"2-{case}", document("c")) == "afp"
    kept, missed, _ = await rows(database, case)
    assert kept.vanished_at is not None
    assert (missed.state, missed.reason) == ("failed", "not_found")
    assert await read(database, case, f"3-{case}", document("b"), document("a")) == "apf"


async def test_what_has_no_address_is_counted_and_says_why(
    database: Database, case: CaseNumber
) -> None:
    """U5: nothing that the source lists is silently missing."""
    states = await read(
        database, case, f"1-{case}", document("a", refusal=Reason.NO_ADDRESS), document("b")
    )
    assert states == "fp"
    refused, _ = await rows(database, case)
    assert refused.reason == "no_address"


async def test_freshness_is_the_age_of_the_last_reading(
    database: Database, case: CaseNumber
) -> None:
    async with database.transaction() as session:
        await downloads.open_job(session, f"1-{case}", case)
        hour = timedelta(hours=1)
        assert not await downloads.metadata_is_fresh(session, case.digits, hour)
        await downloads.save_listing(session, listing(case))
        assert await downloads.metadata_is_fresh(session, case.digits, hour)
        assert not await downloads.metadata_is_fresh(session, case.digits, timedelta(0))


async def test_the_end_is_written_from_the_documents_and_events_are_made_once(
    database: Database, case: CaseNumber
) -> None:
    """F15, F22: ended status, counters and times; F11: one event per subscription."""
    job = f"1-{case}"
    await read(database, case, job, document("a"), document("b"), document("c"))
    key = ApiKey(name="test", prefix="autos_x", sha256=uuid.uuid4().hex * 2)
    async with database.transaction() as session:
        session.add(key)
        await session.flush()
        subscription = Subscription(
            process_number=case.digits, api_key_id=key.id, url="https://receiver.example/hook"
        )
        session.add(subscription)
        await downloads.record_attempts(session, [stored(case, 0, job)])
    for _ in range(2):
        async with database.transaction() as session:
            documents = await downloads.settle_documents(
                session, job, case.digits, "aff", Reason.TIMEOUT, all_of_them=False
            )
            status = JobStatus.COMPLETED_WITH_FAILURES
            await downloads.end_job(session, job, status, None, documents)
            made = await events.take_up_subscriptions(
                session, job, status, [str(subscription.id), str(uuid.uuid4())]
            )
    assert downloads.state_string(documents) == "aff"
    assert {row.reason for row in documents} == {None, "timeout"}
    async with database.transaction() as session:
        row = await session.get_one(Job, job)
        deliveries = (await session.scalars(select(Delivery).filter_by(job_id=job))).all()
    assert (row.status, row.available_documents, row.failed_documents) == (status, 1, 2)
    assert row.started_at is not None
    assert row.completed_at is not None
    assert [delivery.id for delivery in deliveries] == made
    await read(database, case, f"2-{case}")
    async with database.transaction() as session:
        later = await events.take_up_subscriptions(
            session, f"2-{case}", status, [str(subscription.id)]
        )
        assert later == []
        # The row above was written by another session.
        assert (await session.get_one(Subscription, subscription.id)).job_id == job

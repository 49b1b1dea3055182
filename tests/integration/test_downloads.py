"""The rows that activities write: stable positions and states."""

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from autos.cnj import CaseNumber
from autos.contracts.reasons import Doubt, Reason, WaitReason
from autos.contracts.states import DocumentState, JobStatus
from autos.records import documents, jobs, listings, processes, subscriptions
from autos.records.database import Database
from autos.records.documents import DocumentRecord
from autos.records.models import ApiKey, Delivery, Document, Job, Subscription, now
from autos.source import ListedDocument, ListedProcess

EARLIER = datetime(2026, 1, 1, tzinfo=UTC)


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
        filed_at=EARLIER,
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
        filed_at=EARLIER,
        metadata={"siglaTribunal": case.court},
        documents=documents,
    )


async def read(database: Database, case: CaseNumber, job: str, *listed: ListedDocument) -> str:
    """Save a listing and start a job on it; returns the states."""
    async with database.transaction() as session:
        await jobs.open_job(session, job, case)
        await listings.save_listing(session, listing(case, *listed))
        return (await documents.start_documents(session, job, case.digits)).states


def stored(row: Document, job: str) -> DocumentRecord:
    return DocumentRecord(
        document_id=row.id,
        job_id=job,
        state=DocumentState.AVAILABLE,
        reason=None,
        started_at=EARLIER,
        completed_at=EARLIER,
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


async def test_listed_fields_are_stored(database: Database, case: CaseNumber) -> None:
    listed = document("a", "other")
    await read(database, case, f"1-{case}", listed)
    (row,) = await rows(database, case)
    for name in listings.DOCUMENT_FIELDS - {"addresses"}:
        assert getattr(row, name) == getattr(listed, name), name
    assert (row.addresses, row.alternate_ids) == ([*listed.addresses], ["other"])


async def test_second_job_requests_only_missing_documents(
    database: Database, case: CaseNumber
) -> None:
    """F4: an available document stays available."""
    first, second = f"1-{case}", f"2-{case}"
    await read(database, case, first, document("a"), document("b"))
    a, b = await rows(database, case)
    failed = replace(stored(b, first), state=DocumentState.FAILED, reason=Reason.SECRET)
    async with database.transaction() as session:
        await documents.record_attempts(session, [stored(a, first), failed])
    assert await read(database, case, second, document("a"), document("b")) == "ap"
    late = replace(stored(a, first), state=DocumentState.FAILED, reason=Reason.TIMEOUT)
    async with database.transaction() as session:
        await documents.record_attempts(session, [late])
    available, pending = await rows(database, case)
    assert (available.state, available.attempts) == ("available", 1)
    assert (pending.state, pending.attempts, pending.reason) == ("pending", 0, None)


async def test_changed_document_is_requested_and_its_old_version_kept(
    database: Database, case: CaseNumber
) -> None:
    first, second = f"1-{case}", f"2-{case}"
    old = [document("a"), document("b"), document("c")]
    larger, unlisted = replace(old[1], expected_size=101), replace(old[2], expected_size=None)
    await read(database, case, first, *old)
    records = [stored(row, first) for row in await rows(database, case)]
    async with database.transaction() as session:
        await documents.record_attempts(session, records)
    # Twice: the activity may run again after it has written.
    for _ in range(2):
        assert await read(database, case, second, old[0], larger, unlisted) == "apa"
    failed = replace(
        stored((await rows(database, case))[1], second),
        state=DocumentState.FAILED,
        reason=Reason.SECRET,
        sha256=None,
        size=None,
        content_type=None,
    )
    async with database.transaction() as session:
        await documents.record_attempts(session, [failed])
    row = (await rows(database, case))[1]
    assert (row.state, row.reason, row.attempts) == ("failed", "secret", 1)
    # A failure removes nothing that is stored.
    assert (row.sha256, row.size, row.content_type) == ("a" * 64, 100, "application/pdf")
    assert (row.is_stored, row.is_available) == (True, False)
    third = f"3-{case}"
    assert await read(database, case, third, old[0], larger, old[2]) == "apa"
    newer = replace(stored(row, third), sha256="b" * 64, size=101)
    async with database.transaction() as session:
        await documents.record_attempts(session, [newer])
    row = (await rows(database, case))[1]
    assert (row.state, row.sha256, row.size) == ("available", "b" * 64, 101)
    assert await read(database, case, f"4-{case}", old[0], larger, old[2]) == "aaa"


async def test_wrong_listed_size_is_not_a_change_at_every_fetch(
    database: Database, case: CaseNumber
) -> None:
    """Only a change of the listed size counts, not a difference from the stored size."""
    job = f"1-{case}"
    await read(database, case, job, document("a"))
    (row,) = await rows(database, case)
    kept = replace(stored(row, job), size=90, reason=Reason.SIZE_MISMATCH)
    async with database.transaction() as session:
        await documents.record_attempts(session, [kept])
    assert await read(database, case, f"2-{case}", document("a")) == "a"


async def test_repeated_activity_keeps_the_failures_of_its_job(
    database: Database, case: CaseNumber
) -> None:
    job = f"1-{case}"
    await read(database, case, job, document("a"), document("b"))
    _, b = await rows(database, case)
    failed = replace(stored(b, job), state=DocumentState.FAILED, reason=Reason.SECRET)
    async with database.transaction() as session:
        await documents.record_attempts(session, [failed])
    assert await read(database, case, job, document("a"), document("b")) == "pf"


async def test_late_attempt_does_not_reopen_a_failed_document(
    database: Database, case: CaseNumber
) -> None:
    """A frozen or disconnected worker may write after the job has ended."""
    job = f"1-{case}"
    await read(database, case, job, document("a"))
    (row,) = await rows(database, case)
    failed = replace(stored(row, job), state=DocumentState.FAILED, reason=Reason.SECRET)
    late = replace(failed, state=DocumentState.PENDING, reason=Reason.TIMEOUT)
    async with database.transaction() as session:
        await documents.record_attempts(session, [failed, late])
    (row,) = await rows(database, case)
    assert (row.state, row.reason, row.attempts) == ("failed", "secret", 1)
    async with database.transaction() as session:
        await documents.record_attempts(session, [stored(row, job)])
    (row,) = await rows(database, case)
    assert row.state == "available"


async def test_retried_document_is_pending_again(database: Database, case: CaseNumber) -> None:
    """`retry-failed` of a running job: further attempts are counted."""
    job = f"1-{case}"
    await read(database, case, job, document("a"))
    (row,) = await rows(database, case)
    failed = replace(stored(row, job), state=DocumentState.FAILED, reason=Reason.SECRET)
    async with database.transaction() as session:
        await documents.record_attempts(session, [failed])
    async with database.transaction() as session:
        await documents.wanted_documents(session, case.digits, [0])
    again = replace(failed, state=DocumentState.PENDING, reason=Reason.TIMEOUT)
    async with database.transaction() as session:
        await documents.record_attempts(session, [again])
    (row,) = await rows(database, case)
    assert (row.state, row.reason, row.attempts) == ("pending", "timeout", 2)


async def test_attempt_from_before_a_purge_does_not_change_later_rows(
    database: Database, case: CaseNumber
) -> None:
    """The position may belong to another document by now."""
    before = f"1-{case}"
    await read(database, case, before, document("a"), document("b"))
    a, _ = await rows(database, case)
    async with database.transaction() as session:
        await processes.purge(
            session, case.digits, await processes.unfinished(session, case.digits)
        )
    assert await read(database, case, f"2-{case}", document("b"), document("a")) == "pp"
    async with database.transaction() as session:
        await documents.record_attempts(session, [stored(a, before)])
    assert {row.state for row in await rows(database, case)} == {"pending"}


@pytest.mark.parametrize("turn", [1, -1])
async def test_merged_copies_that_become_two_documents_get_two_rows(
    database: Database, case: CaseNumber, turn: int
) -> None:
    """U5: in either order, no document is lost."""
    await read(database, case, f"1-{case}", document("a", "b"))
    later = (document("a"), document("b"))[::turn]
    assert await read(database, case, f"2-{case}", *later) == "pp"
    assert [row.source_id for row in await rows(database, case)] == ["a", "b"]
    # Merged again: the preferred copy keeps its row, the other one has vanished.
    assert await read(database, case, f"3-{case}", document("b", "a")) == "fp"


async def test_document_listed_by_its_other_copy_keeps_its_row(
    database: Database, case: CaseNumber
) -> None:
    """F28: one row per document, whichever copy is preferred."""
    await read(database, case, f"1-{case}", document("a", "b"))
    assert await read(database, case, f"2-{case}", document("b", "a")) == "p"


async def test_same_source_id_in_two_processes_is_two_documents(
    database: Database, case: CaseNumber
) -> None:
    """F19."""
    other = CaseNumber.build(int(case.digits[:7]), case.year + 1, 8, 26, 1)
    assert await read(database, case, f"1-{case}", document("same")) == "p"
    assert await read(database, other, f"1-{other}", document("same")) == "p"


async def test_vanished_document_is_marked_and_kept(database: Database, case: CaseNumber) -> None:
    first = f"1-{case}"
    await read(database, case, first, document("a"), document("b"), document("c"))
    a, *_ = await rows(database, case)
    async with database.transaction() as session:
        await documents.record_attempts(session, [stored(a, first)])
    assert await read(database, case, f"2-{case}", document("c")) == "afp"
    kept, missed, _ = await rows(database, case)
    assert kept.vanished_at is not None
    assert (missed.state, missed.reason) == ("failed", "not_found")
    await read(database, case, f"2-{case}", document("c"))
    assert (await rows(database, case))[0].vanished_at == kept.vanished_at
    assert await read(database, case, f"3-{case}", document("b"), document("a")) == "apf"


async def test_document_without_an_address_is_failed_with_the_reason(
    database: Database, case: CaseNumber
) -> None:
    """U5: every listed document has a row."""
    states = await read(
        database, case, f"1-{case}", document("a", refusal=Reason.NO_ADDRESS), document("b")
    )
    assert states == "fp"
    refused, _ = await rows(database, case)
    assert refused.reason == "no_address"


async def test_concurrent_fetches_assign_each_position_once(
    database: Database, case: CaseNumber
) -> None:
    """The first attempt of a frozen worker may still be running."""
    job = f"1-{case}"
    await read(database, case, job, document("a"))
    listed = [document(name) for name in "abcdefgh"]
    await asyncio.gather(*(read(database, case, job, *listed) for _ in range(4)))
    assert [row.position for row in await rows(database, case)] == list(range(8))


async def test_freshness_is_the_age_of_the_last_fetch(database: Database, case: CaseNumber) -> None:
    async with database.transaction() as session:
        await jobs.open_job(session, f"1-{case}", case)
        hour = timedelta(hours=1)
        assert not processes.is_fresh(await processes.fetched_at(session, case.digits), hour)
        await listings.save_listing(session, listing(case))
        read_at = await processes.fetched_at(session, case.digits)
        assert processes.is_fresh(read_at, hour)
        assert not processes.is_fresh(read_at, timedelta(0))


async def test_job_end_is_derived_from_documents_and_events_are_created_once(
    database: Database, case: CaseNumber
) -> None:
    """F15, F22: ended status, counters and times; F11: one event per subscription."""
    job = f"1-{case}"
    await read(database, case, job, document("a"), document("b"), document("c"))
    a, *_ = await rows(database, case)
    key = ApiKey(name="test", prefix="autos_x", sha256=uuid.uuid4().hex * 2)
    async with database.transaction() as session:
        session.add(key)
        await session.flush()
        subscription = Subscription(
            process_number=case.digits, api_key_id=key.id, url="https://receiver.example/hook"
        )
        session.add(subscription)
        await documents.record_attempts(session, [stored(a, job)])
    for _ in range(2):
        async with database.transaction() as session:
            settled = await documents.settle_documents(
                session, job, case.digits, "aff", Reason.TIMEOUT, all_of_them=False
            )
            status = JobStatus.COMPLETED_WITH_FAILURES
            await jobs.end_job(session, job, status, None, settled)
            made = await subscriptions.claim(
                session, job, status, [str(subscription.id), str(uuid.uuid4())]
            )
    assert documents.state_string(settled) == "aff"
    assert {row.reason for row in settled} == {None, "timeout"}
    async with database.transaction() as session:
        row = await session.get_one(Job, job)
        deliveries = (await session.scalars(select(Delivery).filter_by(job_id=job))).all()
    assert (row.status, row.available_documents, row.failed_documents) == (status, 1, 2)
    assert row.started_at is not None
    assert row.completed_at is not None
    assert {delivery.id: str(key.id) for delivery in deliveries} == made
    await read(database, case, f"2-{case}")
    async with database.transaction() as session:
        later = await subscriptions.claim(session, f"2-{case}", status, [str(subscription.id)])
        assert later == {}
        # The row above was written by another session.
        assert (await session.get_one(Subscription, subscription.id)).job_id == job


async def test_equal_subscriptions_get_one_event(database: Database, case: CaseNumber) -> None:
    """F11: another caller, URL or payload gets an event of its own."""
    job, later = f"1-{case}", f"2-{case}"
    async with database.transaction() as session:
        await jobs.open_job(session, job, case)
        await jobs.open_job(session, later, case)
        keys = [ApiKey(name="test", prefix="autos_x", sha256=uuid.uuid4().hex * 2) for _ in "ab"]
        session.add_all(keys)
        await session.flush()
        one, other = (key.id for key in keys)

        async def give(owner: uuid.UUID, path: str = "a", payload: str = "full") -> str:
            url = f"https://receiver.example/{path}"
            subscription = await subscriptions.add(
                session,
                process_number=case.digits,
                api_key_id=owner,
                url=url,
                payload=payload,
            )
            return str(subscription.id)

        given = [await give(one) for _ in range(3)]
        distinct = [await give(other), await give(one, "b"), await give(one, payload="thin")]
    made = []
    for ending in (job, job, later):
        async with database.transaction() as session:
            events_made = await subscriptions.claim(
                session, ending, JobStatus.COMPLETED, [*given, *distinct]
            )
            made.append(sorted(events_made))
    expected = [subscriptions.event_id(job, uuid.UUID(each)) for each in (given[-1], *distinct)]
    # A repetition creates the same events, and no other job claims them.
    assert made == [sorted(expected), sorted(expected), []]
    async with database.transaction() as session:
        kept = await session.scalars(select(Subscription).filter_by(process_number=case.digits))
        assert {(str(each.id), each.job_id) for each in kept} == {
            (subscription_id, job) for subscription_id in (*given, *distinct)
        }


def doubtful(row: Document, job: str, doubt: Doubt = Doubt.SIZE_MISMATCH) -> DocumentRecord:
    return replace(stored(row, job), doubt=doubt, sha256="d" * 64, size=99)


async def record(database: Database, *records: DocumentRecord) -> None:
    async with database.transaction() as session:
        await documents.record_attempts(session, records)


async def test_doubtful_document_is_kept_until_a_better_version_is_stored(
    database: Database, case: CaseNumber
) -> None:
    """(S2) It counts as available, and a refusal removes nothing."""
    first, second = f"1-{case}", f"2-{case}"
    await read(database, case, first, document("a"), document("b"))
    a, b = await rows(database, case)
    await record(database, doubtful(a, first), stored(b, first))
    assert documents.state_string(await rows(database, case)) == "qa"
    async with database.transaction() as session:
        held = await documents.held(session, case.digits, None)
    assert (held.states, held.settled, held.bytes_stored) == ("qa", True, 199)
    # Twice, as a repeated activity does.
    for _ in range(2):
        assert await read(database, case, second, document("a"), document("b")) == "pa"
    for state in (DocumentState.FAILED, DocumentState.PENDING):
        refused = replace(doubtful(a, second), state=state, reason=Reason.TIMEOUT, sha256=None)
        await record(database, replace(refused, doubt=None, size=None))
    kept = (await rows(database, case))[0]
    assert (kept.state, kept.doubt, kept.sha256) == ("available", "size_mismatch", "d" * 64)
    # A text is no better than a file of another size; a file of the listed size is.
    await record(database, doubtful(a, second, Doubt.TEXT_ONLY))
    assert (await rows(database, case))[0].doubt == "size_mismatch"
    await record(database, stored(a, second))
    await record(database, doubtful(a, second))
    better = (await rows(database, case))[0]
    assert (better.state, better.doubt, better.sha256) == ("available", None, "a" * 64)


async def test_ended_job_counts_doubtful_documents(database: Database, case: CaseNumber) -> None:
    """(S2, S12) They are included in the available ones."""
    job = f"1-{case}"
    await read(database, case, job, document("a"), document("b"))
    a, b = await rows(database, case)
    await record(database, doubtful(a, job, Doubt.TEXT_ONLY), stored(b, job))
    async with database.transaction() as session:
        await jobs.end_job(
            session, job, JobStatus.COMPLETED_WITH_FAILURES, None, await rows(database, case)
        )
    async with database.transaction() as session:
        row = await session.get_one(Job, job)
    assert (row.available_documents, row.doubtful_documents, row.failed_documents) == (2, 1, 0)


async def test_counters_of_a_running_job_come_from_its_documents(
    database: Database, case: CaseNumber
) -> None:
    """(S36) As in its status; failures of earlier jobs do not count."""
    first, second = f"1-{case}", f"2-{case}"
    listed = [document(name) for name in "abcd"]
    await read(database, case, first, *listed)
    a, b, c, _ = await rows(database, case)
    failed = replace(stored(c, first), state=DocumentState.FAILED, reason=Reason.SECRET)
    await record(database, stored(a, first), doubtful(b, first), failed)
    async with database.transaction() as session:
        running = await session.get_one(Job, first)
        counted = await jobs.counted(session, [running])
    assert counted[first] == jobs.JobCounts(4, 2, 1, 1, 199)
    assert (running.total_documents, running.available_documents) == (4, 0)
    # A lost job ends with the same numbers.
    async with database.transaction() as session:
        await jobs.close_lost(session, first, JobStatus.FAILED, Reason.INTERRUPTED)
    await read(database, case, second, *listed)
    async with database.transaction() as session:
        both = [await session.get_one(Job, job) for job in (first, second)]
        counted = await jobs.counted(session, both)
    assert [counted[job] for job in (first, second)] == [
        jobs.JobCounts(4, 2, 1, 1, 199),
        jobs.JobCounts(4, 2, 1, 0, 199),
    ]


async def test_job_never_starts_before_its_creation(database: Database, case: CaseNumber) -> None:
    """(S36) Regardless of which machine writes the row first, and of its clock."""
    ours, theirs = f"1-{case}", f"2-{case}"
    async with database.transaction() as session:
        await jobs.open_job(session, ours, case)
        await jobs.add_pending(session, job_id=theirs, process_number=case.digits)
        ahead = {"created_at": now() + timedelta(seconds=3)}
        await session.execute(update(Job).where(Job.id == theirs).values(ahead))
        await jobs.open_job(session, theirs, case)
    async with database.transaction() as session:
        for job in (ours, theirs):
            row = await session.get_one(Job, job, populate_existing=True)
            assert row.started_at is not None
            assert row.started_at >= row.created_at


async def test_wait_is_recorded_with_its_limit_and_next_check(
    database: Database, case: CaseNumber
) -> None:
    """(S16) And removed from the row when the job continues."""
    job = f"1-{case}"
    since, until, later = (EARLIER + timedelta(days=days) for days in (0, 7, 1))
    async with database.transaction() as session:
        await jobs.open_job(session, job, case)
        await jobs.record_status(
            session,
            job,
            JobStatus.PROCESSING,
            WaitReason.SOURCE,
            since,
            waiting_until=until,
            next_try_at=later,
            reason=Reason.UNAVAILABLE,
        )
    async with database.transaction() as session:
        row = await session.get_one(Job, job)
        found = (row.waiting_for, row.waiting_since, row.waiting_until, row.next_try_at, row.reason)
    assert found == ("source", since, until, later, "unavailable")
    async with database.transaction() as session:
        await jobs.record_status(session, job, JobStatus.PROCESSING, None, None)
    async with database.transaction() as session:
        row = await session.get_one(Job, job)
        assert (row.waiting_for, row.waiting_until, row.next_try_at) == (None, None, None)


async def test_late_write_does_not_reopen_an_ended_job(
    database: Database, case: CaseNumber
) -> None:
    """(S43) A frozen worker records its wait after another one has recorded the end."""
    job = f"1-{case}"
    async with database.transaction() as session:
        await jobs.open_job(session, job, case)
        await jobs.end_job(session, job, JobStatus.CANCELLED, None, [])
        await jobs.record_status(session, job, JobStatus.PROCESSING, WaitReason.SOURCE, EARLIER)
    async with database.transaction() as session:
        row = await session.get_one(Job, job)
        assert (row.status, row.waiting_for) == ("cancelled", None)
        await jobs.record_status(session, job, JobStatus.PROCESSING, None, None, reopens=True)
    async with database.transaction() as session:
        row = await session.get_one(Job, job)
        assert (row.status, row.completed_at) == ("processing", None)


async def test_repeated_batch_keeps_its_failures(database: Database, case: CaseNumber) -> None:
    """(S36) A status without a worker does not undo a failure."""
    job = f"1-{case}"
    await read(database, case, job, document("a"))
    (row,) = await rows(database, case)
    failed = replace(stored(row, job), state=DocumentState.FAILED, reason=Reason.SECRET)
    await record(database, failed)
    for since, state in ((EARLIER - timedelta(minutes=1), "failed"), (EARLIER, "pending")):
        async with database.transaction() as session:
            await documents.wanted_documents(session, case.digits, [0], since=since)
        assert (await rows(database, case))[0].state == state


async def test_documents_to_retry_are_pending_at_once(database: Database, case: CaseNumber) -> None:
    """(S23) A document that fails after the request has failed again."""
    job = f"1-{case}"
    await read(database, case, job, document("a"), document("b"), document("c"))
    a, b, c = await rows(database, case)
    failed = replace(stored(a, job), state=DocumentState.FAILED, reason=Reason.SECRET)
    later = EARLIER + timedelta(minutes=1)
    again = replace(failed, document_id=b.id, completed_at=later + timedelta(seconds=1))
    await record(database, failed, again, stored(c, job))
    async with database.transaction() as session:
        await documents.reopen_failed(session, job, until=later)
    assert [row.state for row in await rows(database, case)] == ["pending", "failed", "available"]

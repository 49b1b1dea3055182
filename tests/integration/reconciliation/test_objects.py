"""Reconciliation of objects without rows, rows without objects, and expired rows."""

import uuid

import pytest

from activities.reconciliation import objects as reconcile_objects
from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason
from autos.contracts.reconciliation import Kind
from autos.contracts.states import DocumentState
from autos.records.models import Document, IdempotencyKey
from autos.store import Store, manifest_key
from tests.integration.reconciliation.world import World


async def keys(store: Store) -> set[str]:
    return {key async for key in store.list_keys("")}


async def test_orphaned_object_is_deleted(world: World, case: CaseNumber) -> None:
    """Not within the grace period, not while its process has a job, and nothing else."""
    await world.process(case, "aa")
    await world.store.put_json(manifest_key(case.digits), b"{}")
    await world.store.put_json("processes/readme.txt", b"foreign")
    await world.store.put_json(f"processes/{case.digits}/notes.txt", b"foreign")
    healthy = await keys(world.store)
    orphan = await world.put(case, b"orphaned")
    assert await world.reconcile(object_grace=86_400) == {}
    assert await world.reconcile(dry_run=True) == {Kind.OBJECT_ORPHANED: (1, 0)}
    world.metadata_available.clear()
    await world.row(case, await world.start(case))
    assert await world.reconcile() == {}
    assert await keys(world.store) == healthy | {orphan}
    world.metadata_available.set()
    await world.ended(case)
    assert await world.reconcile() == {Kind.OBJECT_ORPHANED: (1, 1)}
    assert await keys(world.store) == healthy
    assert await world.reconcile() == {}


async def test_objects_of_a_purged_process_are_deleted(world: World, case: CaseNumber) -> None:
    await world.put(case, b"one")
    await world.put(case, b"two")
    await world.store.put_json(manifest_key(case.digits), b"{}")
    other = CaseNumber.build(int(case.digits[:7]), case.year + 1, 8, 26, 100)
    await world.process(other, "a")
    assert await world.reconcile() == {Kind.OBJECT_ORPHANED: (3, 3)}
    assert len(await keys(world.store)) == 1
    assert await world.reconcile() == {}


async def test_document_without_an_object_fails_and_can_be_retried(
    world: World, case: CaseNumber
) -> None:
    await world.process(case, "aaa")
    missing = (await world.documents(case))[1]
    assert missing.sha256 is not None
    key = f"processes/{case.digits}/{missing.sha256}"
    await world.store.delete([key])
    assert await world.reconcile(dry_run=True) == {Kind.OBJECT_MISSING: (1, 0)}
    report = await world.report()
    tally = report.tallies.kinds[Kind.OBJECT_MISSING]
    assert [(one.id, one.process_number) for one in tally.first] == [(str(missing.id), case.digits)]
    assert [(one.state, one.reason) for one in await world.documents(case)] == [
        ("available", None),
        ("failed", "storage"),
        ("available", None),
    ]
    assert await world.reconcile() == {}
    # Equivalent to `retry-failed`.
    await world.row(case, await world.start(case))
    await world.ended(case)
    assert [one.state for one in await world.documents(case)] == ["available"] * 3
    assert key in await keys(world.store)
    assert await world.reconcile() == {}


async def test_failed_document_loses_the_link_to_a_missing_version(
    world: World, case: CaseNumber
) -> None:
    """Decision 0011: the previous version is linked only while its object exists."""
    await world.process(case, "aa")
    gone = (await world.documents(case))[1]
    async with world.database.transaction() as session:
        row = await session.get_one(Document, gone.id)
        row.state, row.reason = DocumentState.FAILED, Reason.SECRET
    await world.store.delete([f"processes/{case.digits}/{gone.sha256}"])
    assert await world.reconcile() == {Kind.OBJECT_MISSING: (1, 1)}
    kept, failed = await world.documents(case)
    assert (kept.state, kept.is_stored) == ("available", True)
    assert (failed.state, failed.reason, failed.is_stored) == ("failed", "secret", False)
    assert await world.reconcile() == {}


async def test_bucket_without_known_objects_fails_no_document(
    world: World, case: CaseNumber
) -> None:
    """A wrong bucket name must not fail all documents."""
    await world.process(case, "aa")
    await world.store.delete_prefix(case.digits)
    await world.put(CaseNumber.build(1, case.year + 2, 8, 26, 100), b"another service's")
    assert await world.reconcile(object_grace=86_400) == {Kind.OBJECT_MISSING: (2, 0)}
    assert [one.state for one in await world.documents(case)] == ["available"] * 2


@pytest.mark.parametrize("page", [1, 2, 5])
async def test_all_pages_are_compared(
    world: World, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """The pages of objects and rows end at different keys."""
    monkeypatch.setattr(reconcile_objects, "PAGE", page)
    cases = [CaseNumber.build(7, year, 8, 26, 100) for year in range(2010, 2014)]
    for one in cases:
        await world.process(one, "aaa")
    without_rows = CaseNumber.build(8, 2010, 8, 26, 100)
    orphans = [
        await world.put(one, f"orphaned {number}".encode())
        for one in (*cases, without_rows)
        for number in range(4)
    ]
    without_objects = CaseNumber.build(7, 2015, 8, 26, 100)
    await world.process(without_objects, "aaaaaa")
    missing = [(await world.documents(one))[2] for one in cases]
    missing += await world.documents(without_objects)
    await world.store.delete([f"processes/{one.process_number}/{one.sha256}" for one in missing])
    found = {Kind.OBJECT_ORPHANED: len(orphans), Kind.OBJECT_MISSING: len(missing)}
    assert await world.reconcile(dry_run=True) == {
        kind: (number, 0) for kind, number in found.items()
    }
    assert await world.reconcile() == {kind: (number, number) for kind, number in found.items()}
    assert await world.reconcile() == {}
    assert not set(orphans) & await keys(world.store)


async def test_expired_idempotency_keys_are_deleted(world: World) -> None:
    async with world.database.transaction() as session:
        session.add(
            IdempotencyKey(api_key_id=world.key_id, key=str(uuid.uuid4()), fingerprint="f" * 64)
        )
    assert await world.reconcile() == {}
    await world.make_older("idempotency_keys", "created_at", "25 hours")
    assert await world.reconcile(dry_run=True) == {Kind.IDEMPOTENCY_KEY_EXPIRED: (1, 0)}
    assert await world.reconcile() == {Kind.IDEMPOTENCY_KEY_EXPIRED: (1, 1)}
    assert await world.reconcile() == {}

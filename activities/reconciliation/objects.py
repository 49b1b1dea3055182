"""Objects that no document refers to, and documents whose object is gone.

Both sides are read in the order of the keys, a page of each, and compared as far as both reach: one
call lists a thousand objects, whatever process they are of. The rows are read first, for a document
is stored before its row says so.

Deleted is only what is proven an orphan: a key as this service makes them, older than the grace, of
a process that runs no job, which no row refers to when it is asked once more. A document is failed
only if the store says again that it has not got the object, and if it has others that the records
know; else the bucket is another one, and that is for a person.

Not promised: that an orphan whose very bytes a job stores anew in the moment of its deletion stays.
The next run then finds its document without an object.
"""

from typing import Final

from temporalio.client import Client

from activities.reconciliation.findings import Findings, each
from autos import temporal_client
from autos.contracts.names import job_workflow_id
from autos.contracts.reconciliation import Kind, ReconciledPage, ReconcilePage
from autos.records import reconciliation
from autos.records.database import Database
from autos.records.reconciliation import Stored
from autos.store import ListedObject, Store, document_key
from autos.store.object_keys import MANIFEST, PROCESSES_PREFIX, read_key

PAGE: Final = 1000
"""Objects and rows; the store lists no more in one call."""


class LostObjects:
    """The step `objects`."""

    def __init__(self, database: Database, client: Client, store: Store) -> None:
        self._database = database
        self._client = client
        self._store = store

    async def compare(self, request: ReconcilePage) -> ReconciledPage:
        """Delete orphans and fail documents that have no bytes, as far as this page reaches."""
        findings = Findings(request)
        cursor = request.cursor or ""
        async with self._database.transaction() as session:
            referred = await reconciliation.stored_objects(
                session, after=_place(cursor), limit=PAGE
            )
        listed, more = await self._store.list_page(cursor, PAGE)
        ends = [referred[-1]] if len(referred) == PAGE else []
        ends += [_place(listed[-1].key)] if more and listed else []
        end = min(ends, default=None)

        def reached(place: Stored) -> bool:
            return end is None or place <= end

        objects = {
            Stored(*ours): one
            for one in listed
            if (ours := read_key(one.key)) and reached(Stored(*ours))
        }
        numbers = {place.process_number for place in objects}
        async with self._database.transaction() as session:
            existing = await reconciliation.existing_processes(session, numbers)
        known = {place for place in referred if reached(place)}
        known |= {Stored(number, MANIFEST) for number in existing}
        objects_known = request.objects_known + len(known & objects.keys())
        await self._delete_orphans(
            {place: one for place, one in objects.items() if place not in known}, findings
        )
        await self._fail_missing(
            [place for place in referred if reached(place) and place not in objects],
            findings,
            right_bucket=objects_known > 0,
        )
        page = findings.page(None if end is None else _key(end))
        page.objects_known = objects_known
        return page

    async def _delete_orphans(
        self, orphans: dict[Stored, ListedObject], findings: Findings
    ) -> None:
        old: dict[str, list[Stored]] = {}
        for place, one in orphans.items():
            if one.modified_at <= findings.objects_until:
                old.setdefault(place.process_number, []).append(place)

        async def look_at(digits: str) -> None:
            execution = await temporal_client.newest(self._client, job_workflow_id(digits))
            if execution is not None and execution.running:
                return
            places = old[digits]
            async with self._database.transaction() as session:
                kept = await reconciliation.referred(session, places)
                if await reconciliation.existing_processes(session, [digits]):
                    kept.add(Stored(digits, MANIFEST))
            doomed = [_key(place) for place in places if place not in kept]
            if doomed and not findings.dry_run:
                await self._store.delete(doomed)
            for key in doomed:
                findings.note(Kind.OBJECT_ORPHANED, key, digits, mended=not findings.dry_run)

        await each(list(old), look_at)

    async def _fail_missing(
        self, missing: list[Stored], findings: Findings, *, right_bucket: bool
    ) -> None:
        mend = right_bucket and not findings.dry_run

        async def look_at(place: Stored) -> None:
            digits, sha256 = place
            if right_bucket and await self._store.head(document_key(digits, sha256)) is not None:
                return
            async with self._database.transaction() as session:
                ids = await reconciliation.fail_missing(session, place, dry_run=not mend)
            for document_id in ids:
                findings.note(Kind.OBJECT_MISSING, document_id, digits, mended=mend)

        await each(missing, look_at)


def _place(key: str) -> Stored:
    """Where a key stands in the order of all keys, ours or not."""
    number, _, name = key.removeprefix(PROCESSES_PREFIX).partition("/")
    return Stored(number, name)


def _key(place: Stored) -> str:
    return f"{PROCESSES_PREFIX}{place.process_number}/{place.sha256}"

"""Objects to which no document refers, and documents whose object is missing.

Objects and rows are both read in the order of the keys, one page of each, and compared up to the
end of the shorter page. The rows are read first, because an object is stored before its row is
written.

An object is deleted only if it is certainly an orphan: its key has this service's format, it is
older than the grace period, its process has no running job, and a second query finds no row that
refers to it. A document is failed only if the store confirms that the object is missing and holds
other objects that the records know. Otherwise the bucket may be the wrong one, and the finding is
only reported.

Does not promise to keep an orphan if a job stores the same bytes during its deletion. The next run
then finds a document without an object.
"""

from typing import Final

from temporalio.client import Client

from activities.reconciliation.findings import Findings, for_each
from autos import temporal_client
from autos.contracts.reconciliation import Kind, ReconciledPage, ReconcilePage
from autos.contracts.temporal_names import job_workflow_id
from autos.records import reconciliation
from autos.records.database import Database
from autos.records.reconciliation import Stored
from autos.store import ListedObject, Store, document_key
from autos.store.object_keys import MANIFEST, PROCESSES_PREFIX, read_key

PAGE: Final = 1000
"""Objects and rows per page; the store lists no more in one call."""


class ReconcileObjects:
    """The step `objects`."""

    def __init__(self, database: Database, client: Client, store: Store) -> None:
        self._database = database
        self._client = client
        self._store = store

    async def compare(self, request: ReconcilePage) -> ReconciledPage:
        """Delete orphans and fail documents without an object, as far as this page reaches."""
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
        referred = [place for place in referred if end is None or place <= end]
        objects = {
            Stored(*parts): item
            for item in listed
            if (parts := read_key(item.key)) and (end is None or Stored(*parts) <= end)
        }
        numbers = {place.process_number for place in objects}
        async with self._database.transaction() as session:
            existing = await reconciliation.existing_processes(session, numbers)
        known = {*referred, *(Stored(number, MANIFEST) for number in existing)}
        objects_known = request.objects_known + len(known & objects.keys())
        await self._delete_orphans(
            {place: item for place, item in objects.items() if place not in known}, findings
        )
        await self._fail_missing(
            [place for place in referred if place not in objects],
            findings,
            right_bucket=objects_known > 0,
        )
        return findings.page(None if end is None else _key(end), objects_known=objects_known)

    async def _delete_orphans(
        self, orphans: dict[Stored, ListedObject], findings: Findings
    ) -> None:
        old: dict[str, list[Stored]] = {}
        for place, item in orphans.items():
            if item.modified_at <= findings.objects_until:
                old.setdefault(place.process_number, []).append(place)

        async def check(digits: str) -> None:
            if await temporal_client.is_running(self._client, job_workflow_id(digits)):
                return
            places = old[digits]
            async with self._database.transaction() as session:
                kept = await reconciliation.referred(session, places)
                if await reconciliation.existing_processes(session, [digits]):
                    kept.add(Stored(digits, MANIFEST))
            orphaned = [_key(place) for place in places if place not in kept]
            if orphaned and findings.repairs:
                await self._store.delete(orphaned)
            for key in orphaned:
                findings.note(Kind.OBJECT_ORPHANED, key, digits)

        await for_each(list(old), check)

    async def _fail_missing(
        self, missing: list[Stored], findings: Findings, *, right_bucket: bool
    ) -> None:
        repair = right_bucket and findings.repairs

        async def check(place: Stored) -> None:
            digits, sha256 = place
            if right_bucket and await self._store.head(document_key(digits, sha256)) is not None:
                return
            async with self._database.transaction() as session:
                ids = await reconciliation.fail_missing(session, place, dry_run=not repair)
            for document_id in ids:
                findings.note(Kind.OBJECT_MISSING, document_id, digits, repaired=repair)

        await for_each(missing, check)


def _place(key: str) -> Stored:
    """The position of a key in the order of all keys of the bucket."""
    number, _, name = key.removeprefix(PROCESSES_PREFIX).partition("/")
    return Stored(number, name)


def _key(place: Stored) -> str:
    return f"{PROCESSES_PREFIX}{place.process_number}/{place.sha256}"

"""Writes what became of documents, several at a time.

Documents that end in the same moment share one transaction: while one write is on its way, the
next ones gather. Nothing is reported as done before its row is written.
"""

import asyncio

from autos.records import documents
from autos.records.database import Database, is_outage
from autos.records.documents import DocumentRecord


class Recorder:
    """One per worker; used by all its batches."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[DocumentRecord, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, record: DocumentRecord) -> None:
        """Return once the row is written; raises what the database raises."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await written

    async def _write(self) -> None:
        try:
            while self._waiting:
                entries, self._waiting = self._waiting, []
                await self._write_together(entries)
        finally:
            self._writing = None

    async def _write_together(
        self, entries: list[tuple[DocumentRecord, asyncio.Future[None]]]
    ) -> None:
        try:
            async with self._database.transaction() as session:
                await documents.record_attempts(session, [record for record, _ in entries])
        except Exception as error:  # noqa: BLE001 - each waiting document is told, none is lost
            if len(entries) > 1 and not is_outage(error):
                # One of them cannot be written; the others must not fail with it.
                for entry in entries:
                    await self._write_together([entry])
                return
            for _, written in entries:
                if not written.done():
                    written.set_exception(error)
        else:
            for _, written in entries:
                if not written.done():
                    written.set_result(None)

"""The same job as a durable workflow of DBOS, on the same PostgreSQL.

One step lists the documents; one step per document fetches it, PUTs it and writes its row; one
calls back. DBOS records each step in PostgreSQL and would resume a job after a crash. Unlike Autos
it serves no API or status here. `python -m benchmarks.dbos_job PORT` serves it.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from dbos import DBOS, DBOSConfig

from benchmarks.bare_script import BareScript, open_script
from benchmarks.peer import Download, PeerServer

_TABLE: Final = """CREATE TABLE IF NOT EXISTS dbos_documents (
    number text NOT NULL, href text NOT NULL, sha256 text NOT NULL, PRIMARY KEY (number, href)
)"""
_ROW: Final = "INSERT INTO dbos_documents VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"


class Steps:
    """The side effects of the workflow."""

    def __init__(self, script: BareScript, rows: asyncpg.Pool) -> None:
        self.list_documents = script.list_documents
        self.call_back = script.call_back
        self._script = script
        self._rows = rows

    async def store_document(self, number: str, href: str) -> str:
        """Copy one document and write its row; its SHA-256."""
        sha256 = await self._script.copy(number, href)
        await self._rows.execute(_ROW, number, href, sha256)
        return sha256


_steps: Steps
"""Of this process; a workflow of DBOS is a plain function that can be given no such object."""


async def _download(number: str, callback: str) -> None:
    hrefs = await DBOS.run_step_async({"name": "list"}, _steps.list_documents, number)
    await asyncio.gather(
        *(
            DBOS.run_step_async({"name": "store"}, _steps.store_document, number, href)
            for href in hrefs
        )
    )
    await DBOS.run_step_async({"name": "call back"}, _steps.call_back, number, callback)


_workflow = DBOS.workflow(name="download")(_download)


async def _start(number: str, callback: str) -> None:
    await DBOS.start_workflow_async(_workflow, number, callback)


@asynccontextmanager
async def _opened() -> AsyncIterator[Download]:
    global _steps
    database = os.environ["AUTOS_DATABASE_URL"]
    config: DBOSConfig = {
        "name": "autos-benchmark",
        "system_database_url": database,
        "console_log_level": "WARNING",
    }
    async with open_script() as script, asyncpg.create_pool(database) as rows:
        await rows.execute(_TABLE)
        _steps = Steps(script, rows)
        DBOS(config=config)
        DBOS.launch()
        try:
            yield _start
        finally:
            DBOS.destroy()


if __name__ == "__main__":
    PeerServer(_opened).serve(int(sys.argv[1]))

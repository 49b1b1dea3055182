"""How many of a job's documents are asked for at once, over all of its batches on this worker.

The next batch is handed to the worker while the one before is still at work, so that no time is
lost between them; its documents start as those before them finish. Not promised: one count over
several workers. Over these the bound of all requests holds (autos/records/permits.py).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from autos.stall_watch import queued


class Slots(asyncio.Semaphore):
    """The slots of one job; a document holds one while it is asked for."""

    async def acquire(self) -> Literal[True]:
        """Wait for a slot and take it."""
        with queued():
            return await super().acquire()


class JobSlots:
    """The slots of each job that has batches on this worker."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[Slots, int]] = {}

    @asynccontextmanager
    async def of(self, job_id: str, at_once: int) -> AsyncIterator[Slots]:
        """The job's slots, for as long as a batch lasts; the first batch says how many."""
        slots, batches = self._jobs.get(job_id, (Slots(at_once), 0))
        self._jobs[job_id] = slots, batches + 1
        try:
            yield slots
        finally:
            slots, batches = self._jobs.pop(job_id)
            if batches > 1:
                self._jobs[job_id] = slots, batches - 1

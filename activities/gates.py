"""How many of a job's documents are asked for at once, over all of its batches on this worker.

The next batch is handed to the worker while the one before is still at work, so that no time is
lost between them; its documents start as those before them finish. Not promised: one count over
several workers. Over these the bound of all requests holds (autos/records/permits.py).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gates:
    """One gate for each job that has batches on this worker."""

    def __init__(self) -> None:
        self._gates: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def of(self, job_id: str, at_once: int) -> AsyncIterator[asyncio.Semaphore]:
        """The job's gate, for as long as a batch lasts; the first batch says how wide it is."""
        gate, batches = self._gates.get(job_id, (asyncio.Semaphore(at_once), 0))
        self._gates[job_id] = gate, batches + 1
        try:
            yield gate
        finally:
            gate, batches = self._gates.pop(job_id)
            if batches > 1:
                self._gates[job_id] = gate, batches - 1

"""The batches of a job in flight, and the timer for the next event that the job waits for.

A batch is as slow as its slowest document. A batch that takes long is a straggler: it no longer
counts against the limit, so the next batch starts and uses the free slots on the worker. Beyond a
maximum number of stragglers the job waits.
"""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, Final

from temporalio import workflow

STRAGGLER_AFTER: Final = timedelta(seconds=30)
"""A batch in flight for longer than this is a straggler."""
MAX_STRAGGLERS: Final = 10


class Batches:
    """The tasks in flight and when they started; `at_once` of them beside the stragglers."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._started: dict[asyncio.Task[None], datetime] = {}

    def __len__(self) -> int:
        return len(self._started)

    @property
    def any_done(self) -> bool:
        """True when a batch has finished and is not removed yet."""
        return any(task.done() for task in self._started)

    @property
    def only_stragglers(self) -> bool:
        """True when no batch is in flight that may finish soon."""
        return not self._young()

    @property
    def room(self) -> bool:
        """True when another batch may start."""
        young = len(self._young())
        return young + max(0, len(self) - young - MAX_STRAGGLERS) < self._at_once

    @property
    def next_straggler(self) -> datetime | None:
        """When the next batch becomes a straggler, which may make room."""
        young = self._young()
        return min(young) + STRAGGLER_AFTER if young else None

    def add(self, batch: Coroutine[Any, Any, None]) -> None:
        """Start a batch as a task."""
        self._started[asyncio.create_task(batch)] = workflow.now()

    def remove_finished(self) -> None:
        """Remove finished batches; raises what one of them raised."""
        for task in [task for task in self._started if task.done()]:
            del self._started[task]
            task.result()

    async def stop(self) -> None:
        """Cancel all batches and return when they have stopped."""
        tasks = list(self._started)
        self._started.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _young(self) -> list[datetime]:
        now = workflow.now()
        return [start for start in self._started.values() if now - start < STRAGGLER_AFTER]


class Timer:
    """One durable timer. Only an earlier due time replaces it, because each timer costs events."""

    def __init__(self) -> None:
        self._due: datetime | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def fired(self) -> bool:
        """True from the due time until it is set again."""
        return self._task is not None and self._task.done()

    def set(self, due: datetime | None, summary: str) -> None:
        """Fire at `due` or earlier; None leaves the timer as it is."""
        if self.fired:
            self._task = None
        if due is None or (self._task is not None and self._due is not None and self._due <= due):
            return
        self.cancel()
        self._due = due
        self._task = asyncio.create_task(
            workflow.sleep(max(due - workflow.now(), timedelta(0)), summary=summary)
        )

    def cancel(self) -> None:
        """Stop the timer."""
        if self._task is not None:
            self._task.cancel()
        self._task = None

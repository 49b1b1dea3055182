"""The batches of a job that are on their way, and one timer for all that a job waits a while for.

A batch is as slow as its slowest document. One that takes long is a straggler: it no longer counts
against the bound, so the next batch is handed over, and its documents use the places on the worker
that are free. So many stragglers at the most; beyond them the job waits.
"""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, Final

from temporalio import workflow

STRAGGLING: Final = timedelta(seconds=30)
"""A batch that is under way for longer is a straggler."""
MOST_STRAGGLERS: Final = 10


class Batches:
    """Tasks and when they began; `at_once` of them beside the stragglers."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._begun: dict[asyncio.Task[None], datetime] = {}

    def __len__(self) -> int:
        return len(self._begun)

    @property
    def any_done(self) -> bool:
        """True when there is something to take out."""
        return any(task.done() for task in self._begun)

    @property
    def only_stragglers(self) -> bool:
        """True when nothing is on its way that may soon be back."""
        return not self._young()

    @property
    def room(self) -> bool:
        """True when another batch may be handed over."""
        young = len(self._young())
        return young + max(0, len(self) - young - MOST_STRAGGLERS) < self._at_once

    @property
    def next_straggler(self) -> datetime | None:
        """When there will be one more straggler, and so perhaps room."""
        young = self._young()
        return min(young) + STRAGGLING if young else None

    def add(self, batch: Coroutine[Any, Any, None]) -> None:
        """Have a batch under way."""
        self._begun[asyncio.create_task(batch)] = workflow.now()

    def take_out_finished(self) -> None:
        """Forget what is done; a defect in it must not pass for the end of the job."""
        for task in [task for task in self._begun if task.done()]:
            del self._begun[task]
            task.result()

    async def stop(self) -> None:
        """Cancel all, and come back when they have stopped."""
        tasks = list(self._begun)
        self._begun.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _young(self) -> list[datetime]:
        return [begun for begun in self._begun.values() if workflow.now() - begun < STRAGGLING]


class Alarm:
    """One timer, set anew only when it must ring earlier: a timer that is moved costs events."""

    def __init__(self) -> None:
        self._due: datetime | None = None
        self._timer: asyncio.Task[None] | None = None

    @property
    def rings(self) -> bool:
        """True from the moment it was set for until it is set again."""
        return self._timer is not None and self._timer.done()

    def set(self, due: datetime | None, summary: str) -> None:
        """Ring at that moment, or earlier; None leaves it as it is."""
        if self.rings:
            self._timer = None
        if due is None or (self._timer is not None and self._due is not None and self._due <= due):
            return
        self.cancel()
        self._due = due
        self._timer = asyncio.create_task(
            workflow.sleep(max(due - workflow.now(), timedelta(0)), summary=summary)
        )

    def cancel(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

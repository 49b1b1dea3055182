"""What one page of a reconciliation has found: counted for the report, and told to the log."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

import structlog
from temporalio.service import RPCError

from activities.failures import failure_type
from autos import progress
from autos.contracts.names import INTERNAL_ERROR
from autos.contracts.reconciliation import Counts, Finding, Kind, ReconciledPage, ReconcilePage
from autos.records.models import now

log = structlog.get_logger(__name__)

PAGE: Final = 200
"""Rows that one page looks at."""
_AT_ONCE: Final = 5
"""So many at once; downloads use the same connections to the records."""

Item = TypeVar("Item")


class Findings:
    """Of one page."""

    def __init__(self, request: ReconcilePage) -> None:
        self.dry_run = request.terms.dry_run
        self.until = now() - timedelta(seconds=request.terms.grace_seconds)
        """What is younger is left alone."""
        self.objects_until: datetime = now() - timedelta(seconds=request.terms.object_grace_seconds)
        self.tallies = Counts()

    def note(self, kind: Kind, id: str, process_number: str | None, *, mended: bool) -> None:
        """Count and log one finding."""
        self.tallies.note(kind, Finding(id=id, process_number=process_number, mended=mended))
        log.warning("reconciliation_found", kind=kind, id=id, process=process_number, mended=mended)

    def page(self, cursor: str | None) -> ReconciledPage:
        """All of it as the page's answer; the next page begins at `cursor`."""
        return ReconciledPage(tallies=self.tallies, cursor=cursor)


async def each(items: Sequence[Item], look_at: Callable[[Item], Awaitable[None]]) -> None:
    """Look at every item, a few at once; a defect at one is raised after the others had their turn.

    An outage, of Temporal as well, ends it at once: no other item would fare better.
    """
    waiting = iter(items)
    defects: list[Exception] = []

    async def work() -> None:
        for item in waiting:
            try:
                await look_at(item)
            except Exception as error:
                if isinstance(error, RPCError) or failure_type(error) != INTERNAL_ERROR:
                    raise
                defects.append(error)
            progress.made()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(_AT_ONCE, len(items))):
            group.create_task(work())
    if defects:
        raise ExceptionGroup("Some items could not be looked at", defects)

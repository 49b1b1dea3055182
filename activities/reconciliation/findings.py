"""The findings of one page of a reconciliation: counted for the report, and logged."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeVar

import structlog
from temporalio.service import RPCError

from activities.failures import failure_type
from autos import stall_watch
from autos.contracts.reconciliation import Counts, Finding, Kind, ReconciledPage, ReconcilePage
from autos.contracts.temporal_names import INTERNAL_ERROR
from autos.records.models import now

log = structlog.get_logger(__name__)

PAGE: Final = 200
"""Rows per page."""
_AT_ONCE: Final = 5
"""Items checked concurrently; downloads need database connections as well."""

Item = TypeVar("Item")


class Findings:
    """The findings of one page, and the limits that its request sets."""

    def __init__(self, request: ReconcilePage) -> None:
        options = request.terms
        self.repairs = not options.dry_run
        self.until = now() - timedelta(seconds=options.grace_seconds)
        """Rows younger than this are skipped."""
        self.objects_until = now() - timedelta(seconds=options.object_grace_seconds)
        self.counts = Counts()

    def note(
        self, kind: Kind, id: str, process_number: str | None, *, repaired: bool | None = None
    ) -> None:
        """Count and log one finding; it is repaired unless this is a dry run."""
        mended = self.repairs if repaired is None else repaired
        self.counts.note(kind, Finding(id=id, process_number=process_number, mended=mended))
        log.warning("reconciliation_found", kind=kind, id=id, process=process_number, mended=mended)

    def page(self, cursor: str | None, *, objects_known: int = 0) -> ReconciledPage:
        """The page's result; the next page begins at `cursor`."""
        return ReconciledPage(tallies=self.counts, cursor=cursor, objects_known=objects_known)


async def for_each(items: Sequence[Item], check: Callable[[Item], Awaitable[None]]) -> None:
    """Check every item, a few at once; raise internal errors after all items were checked.

    An outage of records, store or Temporal ends the loop at once: every other item would meet it.
    """
    waiting = iter(items)
    errors: list[Exception] = []

    async def work() -> None:
        for item in waiting:
            try:
                await check(item)
            except Exception as error:
                if isinstance(error, RPCError) or failure_type(error) != INTERNAL_ERROR:
                    raise
                errors.append(error)
            stall_watch.progressed()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(_AT_ONCE, len(items))):
            group.create_task(work())
    if errors:
        raise ExceptionGroup("Some items could not be checked", errors)

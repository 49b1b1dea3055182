"""The activity of reconciliations: one page of one step (workflows/reconcile.py).

The steps about jobs and objects have modules of their own; deliveries and leftovers are here.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from temporalio import activity
from temporalio.client import Client

from activities.jobs import JobActivities
from activities.reconciliation.findings import PAGE, Findings, for_each
from activities.reconciliation.jobs import ReconcileJobs
from activities.reconciliation.objects import ReconcileObjects
from autos import temporal_client
from autos.contracts.reconciliation import Kind, ReconciledPage, ReconcilePage, Step
from autos.contracts.temporal_names import delivery_workflow_id
from autos.records import reconciliation
from autos.records.database import Database
from autos.settings import Settings
from autos.store import Store

_LEFTOVERS: Final = 1000
"""Rows of each kind that one page deletes."""


class ReconciliationActivities:
    """Activities of reconciliations."""

    def __init__(
        self, database: Database, store: Store, client: Client, settings: Settings
    ) -> None:
        jobs = ReconcileJobs(database, client, JobActivities(database, store, client), settings)
        self._database = database
        self._client = client
        self._settings = settings
        self._steps: dict[Step, Callable[[ReconcilePage], Awaitable[ReconciledPage]]] = {
            Step.JOBS: jobs.active,
            Step.RUNNING: jobs.running,
            Step.SUBSCRIPTIONS: jobs.subscriptions,
            Step.DELIVERIES: self._deliveries,
            Step.LEFTOVERS: self._leftovers,
            Step.OBJECTS: ReconcileObjects(database, client, store).compare,
        }

    @activity.defn
    async def reconcile_page(self, request: ReconcilePage) -> ReconciledPage:
        """Compare and repair one page; safe to repeat, as a repaired item is not found again."""
        return await self._steps[request.step](request)

    async def _deliveries(self, request: ReconcilePage) -> ReconciledPage:
        """Restart, under its original id, each due delivery that has no workflow.

        A delivery's workflow writes each outcome before it ends, so Temporal is queried first and
        the row is read again after that: a row that is still pending has lost its workflow.
        """
        findings = Findings(request)
        async with self._database.transaction() as session:
            events = await reconciliation.overdue_deliveries(
                session, until=findings.until, after=request.cursor, limit=PAGE
            )

        async def check(event_id: str) -> None:
            if await temporal_client.is_running(self._client, delivery_workflow_id(event_id)):
                return
            async with self._database.transaction() as session:
                if not await reconciliation.is_pending(session, event_id):
                    return
            if findings.repairs:
                await temporal_client.deliver(
                    self._client, event_id, summary="Delivery restarted by reconciliation"
                )
            findings.note(Kind.DELIVERY_STOPPED, event_id, None)

        await for_each(events, check)
        return findings.page(events[-1] if len(events) == PAGE else None)

    async def _leftovers(self, request: ReconcilePage) -> ReconciledPage:
        """Delete rows past their lifetime, a limited number of each kind."""
        findings = Findings(request)
        more = False
        for kind, lifetime in reconciliation.lifetimes(self._settings).items():
            async with self._database.transaction() as session:
                if findings.repairs:
                    found = deleted = await reconciliation.delete_expired(
                        session, kind, lifetime, limit=_LEFTOVERS
                    )
                else:
                    found, deleted = await reconciliation.count_expired(session, kind, lifetime), 0
            findings.counts.count(kind, found=found, mended=deleted)
            more = more or deleted == _LEFTOVERS
        return findings.page("more" if more else None)

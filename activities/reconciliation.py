"""One page of one step of a reconciliation (workflows/reconcile.py)."""

from collections.abc import Awaitable, Callable

from temporalio import activity
from temporalio.client import Client

from activities.findings import Findings
from activities.jobs import JobActivities
from activities.lost_deliveries import LostDeliveries
from activities.lost_jobs import LostJobs
from activities.lost_objects import LostObjects
from autos.contracts.reconciliation import Kind, ReconciledPage, ReconcilePage, Step
from autos.records import idempotency
from autos.records.database import Database
from autos.settings import Settings
from autos.store import Store


class ReconciliationActivities:
    """Activities of reconciliations."""

    def __init__(
        self, database: Database, store: Store, client: Client, settings: Settings
    ) -> None:
        jobs = LostJobs(database, client, JobActivities(database, store), settings)
        self._database = database
        self._steps: dict[Step, Callable[[ReconcilePage], Awaitable[ReconciledPage]]] = {
            Step.JOBS: jobs.active,
            Step.RUNNING: jobs.running,
            Step.SUBSCRIPTIONS: jobs.subscriptions,
            Step.DELIVERIES: LostDeliveries(database, client).overdue,
            Step.LEFTOVERS: self._leftovers,
            Step.OBJECTS: LostObjects(database, client, store).compare,
        }

    @activity.defn
    async def reconcile_page(self, request: ReconcilePage) -> ReconciledPage:
        """Compare and mend; safe to repeat, for what is mended is not found again."""
        return await self._steps[request.step](request)

    async def _leftovers(self, request: ReconcilePage) -> ReconciledPage:
        """What is past its lifetime and was not cleared up in passing, since nobody came by."""
        findings = Findings(request)
        async with self._database.transaction() as session:
            if findings.dry_run:
                found, mended = await idempotency.count_expired(session), 0
            else:
                found = mended = await idempotency.delete_expired(session)
        findings.tallies.count(Kind.IDEMPOTENCY_KEY_EXPIRED, found=found, mended=mended)
        return findings.page(None)

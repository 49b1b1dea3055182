"""One page of one step of a reconciliation (workflows/reconcile.py)."""

from collections.abc import Awaitable, Callable
from typing import Final

from temporalio import activity
from temporalio.client import Client

from activities.jobs import JobActivities
from activities.reconciliation.deliveries import LostDeliveries
from activities.reconciliation.findings import Findings
from activities.reconciliation.jobs import LostJobs
from activities.reconciliation.objects import LostObjects
from autos.contracts.reconciliation import ReconciledPage, ReconcilePage, Step
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
        jobs = LostJobs(database, client, JobActivities(database, store), settings)
        self._database = database
        self._settings = settings
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
        """What is past its lifetime: so much of each kind at a time."""
        findings = Findings(request)
        more = False
        for kind, lifetime in reconciliation.lifetimes(self._settings).items():
            async with self._database.transaction() as session:
                if findings.dry_run:
                    found, mended = await reconciliation.count_expired(session, kind, lifetime), 0
                else:
                    found = mended = await reconciliation.delete_expired(
                        session, kind, lifetime, limit=_LEFTOVERS
                    )
            findings.tallies.count(kind, found=found, mended=mended)
            more = more or mended == _LEFTOVERS
        return findings.page("more" if more else None)

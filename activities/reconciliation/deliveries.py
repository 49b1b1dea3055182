"""Events that are not delivered and that nobody tries to deliver any more.

A delivery's workflow writes the outcome of each attempt before it ends. So Temporal is asked first,
and the row is read again after that: what is pending then has lost its workflow.
"""

from temporalio.client import Client

from activities.reconciliation.findings import PAGE, Findings, each
from autos import temporal_client
from autos.contracts.names import delivery_workflow_id
from autos.contracts.reconciliation import Kind, ReconciledPage, ReconcilePage
from autos.records import reconciliation
from autos.records.database import Database


class LostDeliveries:
    """The step `deliveries`."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    async def overdue(self, request: ReconcilePage) -> ReconciledPage:
        """Start again, under its original id, what was due and is not under way."""
        findings = Findings(request)
        async with self._database.transaction() as session:
            events = await reconciliation.overdue_deliveries(
                session, until=findings.until, after=request.cursor, limit=PAGE
            )

        async def look_at(event_id: str) -> None:
            execution = await temporal_client.newest(self._client, delivery_workflow_id(event_id))
            if execution is not None and execution.running:
                return
            async with self._database.transaction() as session:
                if not await reconciliation.is_pending(session, event_id):
                    return
            if not findings.dry_run:
                await temporal_client.deliver(
                    self._client, event_id, summary="Told by reconciliation"
                )
            findings.note(Kind.DELIVERY_STOPPED, event_id, None, mended=not findings.dry_run)

        await each(events, look_at)
        return findings.page(events[-1] if len(events) == PAGE else None)

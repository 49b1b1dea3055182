"""The scripted activity of reconciliations under its real name."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from autos.contracts.reconciliation import (
    Finding,
    Kind,
    Reconcile,
    ReconciledPage,
    ReconcilePage,
    Report,
    Step,
)
from autos.contracts.temporal_names import JOBS_QUEUE
from workflows.reconcile import ReconcileWorkflow

Reconciliation = WorkflowHandle[ReconcileWorkflow, Report]


@dataclass
class FakePages:
    """`pages` pages per step, each with one closed job; the last page of a broken step fails."""

    pages: int = 1
    broken: set[Step] = field(default_factory=set)
    requests: list[ReconcilePage] = field(default_factory=list)

    @activity.defn
    async def reconcile_page(self, request: ReconcilePage) -> ReconciledPage:
        self.requests.append(request)
        number = int(request.cursor or "0") + 1
        if request.step in self.broken and number == self.pages:
            raise ApplicationError("As scripted.", non_retryable=True)
        page = ReconciledPage(
            cursor=str(number) if number < self.pages else None,
            objects_known=request.objects_known + 1,
        )
        finding = Finding(id=f"{request.step}-{number}", mended=not request.terms.dry_run)
        page.tallies.note(Kind.JOB_CLOSED, finding)
        return page


@asynccontextmanager
async def reconcile_worker(client: Client, fake: FakePages) -> AsyncIterator[None]:
    """A worker that runs the real workflow on the fake pages."""
    async with Worker(
        client,
        task_queue=JOBS_QUEUE,
        workflows=[ReconcileWorkflow],
        activities=[fake.reconcile_page],
    ):
        yield


async def reconcile(client: Client, request: Reconcile) -> Reconciliation:
    """Start a reconciliation."""
    return await client.start_workflow(
        ReconcileWorkflow.run, request, id=f"reconcile/{uuid.uuid4()}", task_queue=JOBS_QUEUE
    )


async def reconciled(client: Client) -> Reconciliation:
    """A kept history: the last run of a reconciliation with an unfinished step."""
    async with reconcile_worker(client, FakePages(pages=2, broken={Step.OBJECTS})):
        handle = await reconcile(client, Reconcile(continue_as_new_after=20))
        await handle.result()
    return client.get_workflow_handle_for(ReconcileWorkflow.run, handle.id)

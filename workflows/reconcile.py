"""Finds where records, Temporal and the store disagree, mends what can be mended, and reports it.

The steps go one after the other, each page by page, so that neither an activity nor the history
grows with what there is; a long run continues as new. What is compared and mended is the
activities' business (activities/reconciliation/activities.py).

Not promised: that one run sees everything. What is younger than the grace, or changes while it is
looked at, is left for the next run. A step whose page cannot be had is given up and said to be
unfinished; the steps after it are done all the same.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from autos.contracts.reconciliation import (
        Carried,
        Kind,
        Reconcile,
        ReconcilePage,
        Report,
    )
    from autos.contracts.states import WaitReason
    from workflows import activity_calls as calls


@workflow.defn(name="ReconcileWorkflow")
class ReconcileWorkflow:
    """See the module."""

    @workflow.init
    def __init__(self, request: Reconcile) -> None:
        carried = request.carried or Carried(report=Report(dry_run=request.terms.dry_run))
        self._report = carried.report
        self._cursor = carried.cursor
        self._objects_known = carried.objects_known
        self._pages = 0

    @workflow.run
    async def run(self, request: Reconcile) -> Report:
        """Do every step."""
        steps = list(request.steps)
        while steps:
            try:
                page = await calls.run(
                    calls.reconcile_page(
                        ReconcilePage(
                            terms=request.terms,
                            step=steps[0],
                            cursor=self._cursor,
                            objects_known=self._objects_known,
                        ),
                        f"{steps[0]}, page {self._pages + 1}",
                    ),
                    _never,
                )
            except (calls.Defect, calls.OutOfPatience):
                self._report.unfinished.append(steps.pop(0))
                self._cursor, self._pages = None, 0
                continue
            self._report.tallies.add(page.tallies)
            self._cursor, self._objects_known = page.cursor, page.objects_known
            self._pages += 1
            if self._cursor is None:
                steps.pop(0)
                self._pages = 0
            self._show()
            if steps and self._should_continue_as_new(request):
                workflow.continue_as_new(
                    request.model_copy(update={"steps": steps, "carried": self._carry()})
                )
        return self._report

    def _should_continue_as_new(self, request: Reconcile) -> bool:
        limit = request.continue_as_new_after
        info = workflow.info()
        return info.is_continue_as_new_suggested() or (
            limit is not None and info.get_current_history_length() >= limit
        )

    def _carry(self) -> Carried:
        return Carried(report=self._report, cursor=self._cursor, objects_known=self._objects_known)

    def _show(self) -> None:
        kinds = self._report.tallies.kinds
        lines = [
            f"- {kind}: {kinds[kind].found} found, {kinds[kind].mended} mended"
            for kind in Kind
            if kind in kinds
        ]
        workflow.set_current_details("\n".join(lines) or "Nothing found so far.")


@asynccontextmanager
async def _never(waiting_for: WaitReason, until: datetime) -> AsyncIterator[None]:  # noqa: ARG001 - as every outage is shown
    """No page waits for records or store: the next reconciliation comes by itself."""
    yield

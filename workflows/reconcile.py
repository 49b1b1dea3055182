"""Finds and repairs differences between records, Temporal and the store, and reports them.

The steps run one after the other, page by page, so neither an activity nor the history grows with
the amount of data; a long run continues as new. `activities/reconciliation` compares and repairs.

Does not promise that one run finds everything: items younger than the grace period, or changed
during the run, are left for the next run. If a page fails, its step is reported as unfinished and
the next steps still run.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from autos.contracts.reconciliation import Carried, Kind, Reconcile, ReconcilePage, Report
    from workflows import activity_calls as calls


@workflow.defn(name="ReconcileWorkflow")
class ReconcileWorkflow:
    """See the module."""

    @workflow.init
    def __init__(self, request: Reconcile) -> None:
        self._carried = request.carried or Carried(report=Report(dry_run=request.terms.dry_run))
        self._pages = 0

    @workflow.run
    async def run(self, request: Reconcile) -> Report:
        """Run every step."""
        carried, steps = self._carried, list(request.steps)
        while steps:
            page_request = ReconcilePage(
                terms=request.terms,
                step=steps[0],
                cursor=carried.cursor,
                objects_known=carried.objects_known,
            )
            summary = f"{steps[0]}, page {self._pages + 1}"
            try:
                # Does not wait for records or store: the next reconciliation repeats the page.
                page = await calls.call(calls.RECONCILE_PAGE, page_request, summary, None)
            except calls.CallFailed:
                carried.report.unfinished.append(steps.pop(0))
                carried.cursor, self._pages = None, 0
                continue
            carried.report.tallies.add(page.tallies)
            carried.cursor, carried.objects_known = page.cursor, page.objects_known
            self._pages += 1
            if carried.cursor is None:
                steps.pop(0)
                self._pages = 0
            self._show()
            if steps and calls.history_is_long(request.continue_as_new_after):
                workflow.continue_as_new(
                    request.model_copy(update={"steps": steps, "carried": carried})
                )
        return carried.report

    def _show(self) -> None:
        kinds = self._carried.report.tallies.kinds
        lines = [
            f"- {kind}: {kinds[kind].found} found, {kinds[kind].mended} repaired"
            for kind in Kind
            if kind in kinds
        ]
        workflow.set_current_details("\n".join(lines) or "Nothing found so far.")

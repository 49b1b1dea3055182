"""The reconciliation workflow: all pages of all steps, failures, and continue-as-new."""

import asyncio

from temporalio.testing import WorkflowEnvironment

from autos.contracts.reconciliation import (
    MAX_FINDINGS,
    Counts,
    Finding,
    Kind,
    Reconcile,
    ReconcileOptions,
    Report,
    Step,
)
from tests.workflows.reconcile_fakes import FakePages, reconcile, reconcile_worker


async def run(server: WorkflowEnvironment, fake: FakePages, request: Reconcile) -> Report:
    async with reconcile_worker(server.client, fake), asyncio.timeout(120):
        return await (await reconcile(server.client, request)).result()


async def test_every_page_of_every_step_is_requested_in_order(
    dev_server: WorkflowEnvironment,
) -> None:
    fake = FakePages(pages=3)
    report = await run(dev_server, fake, Reconcile(terms=ReconcileOptions(grace_seconds=7)))
    assert [(page.step, page.cursor) for page in fake.requests] == [
        (step, cursor) for step in Step for cursor in (None, "1", "2")
    ]
    assert {page.terms.grace_seconds for page in fake.requests} == {7}
    assert [page.objects_known for page in fake.requests] == list(range(18))
    tally = report.tallies.kinds[Kind.JOB_CLOSED]
    assert (tally.found, tally.mended, report.unfinished) == (18, 18, [])


async def test_failed_step_does_not_stop_the_others(
    dev_server: WorkflowEnvironment,
) -> None:
    """The report has the findings from before the failure."""
    fake = FakePages(pages=2, broken={Step.RUNNING})
    report = await run(dev_server, fake, Reconcile(terms=ReconcileOptions(dry_run=True)))
    assert report.unfinished == [Step.RUNNING]
    assert [page.step for page in fake.requests].count(Step.OBJECTS) == 2
    assert [page.cursor for page in fake.requests if page.step is Step.SUBSCRIPTIONS] == [None, "1"]
    tally = report.tallies.kinds[Kind.JOB_CLOSED]
    assert (tally.found, tally.mended, report.tallies.left, report.dry_run) == (11, 0, 11, True)


async def test_continue_as_new_loses_no_finding(dev_server: WorkflowEnvironment) -> None:
    fake = FakePages(pages=4)
    steps = [Step.JOBS, Step.OBJECTS]
    report = await run(dev_server, fake, Reconcile(steps=steps, continue_as_new_after=12))
    assert [(page.step, page.cursor) for page in fake.requests] == [
        (step, cursor) for step in steps for cursor in (None, "1", "2", "3")
    ]
    assert [page.objects_known for page in fake.requests] == list(range(8))
    assert report.tallies.kinds[Kind.JOB_CLOSED].found == 8


def test_all_findings_are_counted_and_the_first_of_each_kind_listed() -> None:
    tallies = Counts()
    for number in range(MAX_FINDINGS + 10):
        page = Counts()
        page.note(Kind.JOB_CLOSED, Finding(id=str(number), mended=number % 2 == 0))
        page.count(Kind.IDEMPOTENCY_KEY_EXPIRED, found=3, mended=3)
        page.count(Kind.OBJECT_MISSING, found=0, mended=0)
        tallies.add(page)
    closed = tallies.kinds[Kind.JOB_CLOSED]
    assert (closed.found, closed.mended) == (60, 30)
    assert [finding.id for finding in closed.first] == [
        str(number) for number in range(MAX_FINDINGS)
    ]
    assert set(tallies.kinds) == {Kind.JOB_CLOSED, Kind.IDEMPOTENCY_KEY_EXPIRED}
    assert tallies.left == 30
